"""One rule for the names of modules."""

import pytest

from beam_bpy import Atom
from beam_bpy.module_names import full_module, plain_module


@pytest.mark.parametrize(
    ("written", "atom"),
    [
        ("lists", "lists"),
        ("Enum", "Elixir.Enum"),
        ("Elixir.Enum", "Elixir.Enum"),
        ("Enum.Deep", "Elixir.Enum.Deep"),
        (Atom("Blender"), "Blender"),
        ("", ""),
    ],
)
def test_the_atom_of_a_module(written, atom):
    assert full_module(written) == atom
    assert type(full_module(written)) is Atom


@pytest.mark.parametrize(("written", "plain"), [("Elixir.Enum", "Enum"), ("Enum", "Enum"), ("lists", "lists")])
def test_the_plain_name(written, plain):
    assert plain_module(written) == plain
