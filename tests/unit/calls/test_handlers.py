"""The registry: who answers to which name."""

import pytest

from beam_bpy.calls.handlers import Handler, Registry
from beam_bpy.module_names import plain_module
from vendor_term_codec import Atom


def handler(name="move", **options):
    return Handler(name, lambda args: args, spread=False, **options)


def registry(*handlers):
    found = Registry()
    for each in handlers:
        found.add(each)
    return found


def test_a_handler_for_any_module_answers_to_every_module():
    any_module = handler()

    handlers = registry(any_module)

    assert handlers.find("move") is any_module
    assert handlers.find("move", "Elixir.Blender") is any_module
    assert handlers.find("move", "blender") is any_module


@pytest.mark.parametrize("module", ["Blender", "Elixir.Blender", Atom("Elixir.Blender")])
def test_a_bound_handler_answers_to_its_module_alone(module):
    bound = handler(module="Blender")

    handlers = registry(bound)

    assert handlers.find(Atom("move"), module) is bound
    assert handlers.find("move", "Elixir.Other") is None
    assert handlers.find("move") is None


def test_the_bound_handler_is_preferred():
    any_module, bound = handler(), handler(module="Blender")

    handlers = registry(any_module, bound)

    assert handlers.find("move", "Elixir.Blender") is bound
    assert handlers.find("move", "Elixir.Other") is any_module


def test_an_unknown_name_has_no_handler():
    assert registry(handler()).find("turn", "Elixir.Blender") is None


def test_the_same_name_and_module_is_replaced():
    old, new, other = handler(), handler(), handler(module="Blender")

    handlers = registry(old, other, new)

    assert handlers.find("move") is new
    assert handlers.all() == (new, other)


def test_a_handler_is_removed_by_name_and_module():
    any_module, bound = handler(), handler(module="Blender")
    handlers = registry(any_module, bound)

    assert handlers.remove("move", "Blender") is True
    assert handlers.remove("move", "Blender") is False
    assert handlers.all() == (any_module,)
    assert handlers.remove("move") is True
    assert handlers.remove("move") is False


def test_all_handlers_of_an_owner_are_removed_at_once():
    handlers = registry(
        handler("a", owner="crates"), handler("b", owner="crates"), handler("c", owner="other"), handler("d")
    )

    assert handlers.remove_owner("crates") == 2
    assert handlers.remove_owner("crates") == 0
    assert [left.name for left in handlers.all()] == ["c", "d"]


def test_an_owner_loses_what_another_has_replaced():
    handlers = registry(handler(owner="first"), handler(owner="second"))

    assert handlers.remove_owner("first") == 0
    assert handlers.find("move").owner == "second"


def test_arguments_come_as_one_list_or_one_by_one():
    def echo(*args):
        return args

    assert Handler("h", echo, spread=False).invoke([1, 2]) == ([1, 2],)
    assert Handler("h", echo, spread=True).invoke([1, 2]) == (1, 2)


@pytest.mark.parametrize(
    ("module", "plain"),
    [
        ("Elixir.Blender", "Blender"),
        ("blender", "blender"),
        ("Elixir.My.Addon", "My.Addon"),
        ("MyElixir.A", "MyElixir.A"),
    ],
)
def test_elixirs_prefix_is_taken_away(module, plain):
    assert plain_module(module) == plain
