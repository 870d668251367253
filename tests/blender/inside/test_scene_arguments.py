"""How the scene handlers check the arguments of a call. Each refusal is a sentence."""

import math
from typing import Any

import addon
import bpy
import numpy as np
import pytest

from beam_bpy import Atom

pytestmark = pytest.mark.usefixtures("scene_handlers")

CHARLIST = [77, 97]
"""The term of "Ma" in Erlang."""

NOT_TEXT = [CHARLIST, np.array(CHARLIST), [], 5, 5.0, None, True, {}, (1, 2), b"\xff\xfe", memoryview(b"\xff"), "M\0"]


@pytest.mark.parametrize("value", NOT_TEXT, ids=repr)
def test_what_is_not_text_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^a name "):
        addon.scene_arguments.text(value)


@pytest.mark.parametrize("value", [CHARLIST, tuple(CHARLIST), np.array(CHARLIST)], ids=repr)
def test_a_charlist_is_refused_with_the_binary_to_write(value: Any) -> None:
    with pytest.raises(ValueError, match='write <<"Ma">>'):
        addon.scene_arguments.text(value)


def test_a_charlist_that_is_not_ascii_needs_utf8() -> None:
    with pytest.raises(ValueError, match='write <<"Größe"/utf8>>'):
        addon.scene_arguments.text([ord(character) for character in "Größe"])


@pytest.mark.parametrize("value", ["Größe", "Größe".encode(), memoryview("Größe".encode()), Atom("Größe")], ids=repr)
def test_text_is_a_plain_str(value: Any) -> None:
    found = addon.scene_arguments.text(value)
    assert found == "Größe"
    assert type(found) is str


@pytest.mark.parametrize(
    ("value", "taken"), [(640, 640), (640.0, 640), (-3.0, -3), (np.float32(7), 7), (np.int8(1), 1)]
)
def test_integers(value: Any, taken: int) -> None:
    found = addon.scene_arguments.integer(value, "width")
    assert found == taken
    assert type(found) is int


NOT_INTEGERS = [640.5, math.nan, math.inf, True, False, None, "640", [640], 2**31, -(2**31) - 1, 10**5000, 1e300]


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=lambda value: repr(value) if value != 10**5000 else "huge")
def test_what_is_not_an_integer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^width has to be "):
        addon.scene_arguments.integer(value, "width")


NOT_NUMBERS = [math.nan, math.inf, -math.inf, True, None, "1.0", [1.0], 1e39, 10**400, 10**5000]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: repr(value) if value != 10**5000 else "huge")
def test_what_is_not_a_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^size has to be "):
        addon.scene_arguments.number(value, "size")


def test_limits_are_included() -> None:
    assert addon.scene_arguments.number(1, "size", 1, 2) == 1.0
    assert addon.scene_arguments.integer(2.0, "size", 1, 2) == 2
    for check in (addon.scene_arguments.number, addon.scene_arguments.integer):
        for value in (0, 3):
            with pytest.raises(ValueError, match=r"^size has to be from 1 to 2, not "):
                check(value, "size", 1, 2)


@pytest.mark.parametrize("value", [0, 1, 0.0, None, "true", Atom("yes"), [], 2**64])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^smooth has to be true or false, not "):
        addon.scene_arguments.flag(value, "smooth")


@pytest.mark.parametrize("value", [[1, 2.0, 3], (1, 2, 3), np.array([1, 2, 3])], ids=repr)
def test_vectors(value: Any) -> None:
    assert addon.scene_arguments.vector(value, "location") == (1.0, 2.0, 3.0)


NOT_VECTORS = [[1, 2], [1, 2, 3, 4], "123", b"123", 5, None, [1, 2, "3"], [1, 2, math.nan], [1, 2, True], {1: 1}]


@pytest.mark.parametrize("value", NOT_VECTORS, ids=repr)
def test_what_is_not_a_vector_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^location has to be a list of three numbers, not "):
        addon.scene_arguments.vector(value, "location")


@pytest.mark.parametrize("value", ["#ff0000", b"#ff0000", [1, 0, 0], (1, 0, 0, 1), np.array([1.0, 0, 0])], ids=repr)
def test_colors(value: Any) -> None:
    assert addon.scene_arguments.color(value) == (1.0, 0.0, 0.0, 1.0)


NOT_COLORS = ["red", "#ff00", "#ff00000", [1, 2], [1, 2, 3, 4, 5], [1, 2, math.inf], None, 5, list(b"#ff0000")]


@pytest.mark.parametrize("value", NOT_COLORS, ids=repr)
def test_what_is_not_a_color_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        addon.scene_arguments.color(value)


@pytest.mark.parametrize("given", [{"a": 1}, {b"a": 1}, {Atom("a"): 1}, [("a", 1)]], ids=repr)
def test_options(given: Any) -> None:
    assert addon.scene_arguments.options(given, ("a", "b")) == {"a": 1}


@pytest.mark.parametrize("given", [None, {}, []], ids=repr)
def test_no_options(given: Any) -> None:
    assert addon.scene_arguments.options(given, ("a",)) == {}


NOT_OPTIONS = [0, False, "", "a", 5, [1], CHARLIST, [("a",)], {1: 2}, {(1, 2): 3}, b"ab"]


@pytest.mark.parametrize("given", NOT_OPTIONS, ids=repr)
def test_what_is_not_a_map_of_options_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected a map whose keys are names, not "):
        addon.scene_arguments.options(given, ("a",))


def test_all_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"^no option 'x' and no option 'y'; there are: a, b$"):
        addon.scene_arguments.options({"y": 1, "a": 2, "x": 3}, ("b", "a"))


@pytest.mark.parametrize("name", ["M", "M" * 300, "é" * 300, "x" + "é" * 300, "語" * 300, "🟥" * 300])
def test_a_name_is_found_as_blender_stores_it(name: str) -> None:
    made = bpy.data.objects.new(name, None)
    assert addon.scene_arguments.stored_name(name) == made.name
    assert addon.scene_arguments.object_named(name) == made


def test_a_missing_object_lists_the_first_names() -> None:
    for number in range(40):
        bpy.data.objects.new(f"Many {number:02}", None)
    with pytest.raises(LookupError, match=r"^no object named 'None such'; there are: .*Many 16 and 23 more$"):
        addon.scene_arguments.object_named("None such")
