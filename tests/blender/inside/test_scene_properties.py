"""Properties: whatever can be read can be set, and a refused value changes nothing."""

import math
from collections.abc import Iterator
from typing import Any

import addon
import bpy
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")

CUSTOM = 'objects["Cube"]["x"]'


def get(path: str) -> Any:
    return addon.scene_properties.get_property(path)


def put(path: str, value: Any) -> Any:
    return addon.scene_properties.set_property(path, value)


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same, apart from the rounding of angles and lengths."""
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return math.isclose(left, right, rel_tol=1e-4, abs_tol=1e-5)
    return type(left) is type(right) and left == right


BLOCKS = ("scenes", "objects", "cameras", "lights", "materials", "worlds", "meshes", "collections")


def _settable() -> Iterator[str]:
    """The paths of all properties that can be set, of all datablocks in the default scene."""
    bpy.data.objects["Cube"].modifiers.new("Bevel", "BEVEL")
    bpy.data.objects["Cube"].modifiers.new("Decimate", "DECIMATE")
    bpy.data.objects["Cube"].constraints.new("LIMIT_ROTATION")
    for blocks in BLOCKS:
        for block in getattr(bpy.data, blocks):
            yield from _below(block, f'{blocks}["{block.name}"]', 0)


def _below(owner: Any, path: str, depth: int) -> Iterator[str]:
    for definition in owner.bl_rna.properties:
        name = definition.identifier
        if name in ("rna_type", "uv_sculpt", "depsgraph"):  # Blender 4.2 crashes when uv_sculpt is read.
            continue
        if definition.type == "POINTER" and not issubclass(_type(definition), bpy.types.ID):
            value = getattr(owner, name)
            if value is not None and depth < 2:
                yield from _below(value, f"{path}.{name}", depth + 1)
        elif definition.type == "COLLECTION":
            for key, value in getattr(owner, name).items()[:2] if name in ("modifiers", "constraints") else ():
                yield from _below(value, f'{path}.{name}["{key}"]', depth + 1)
        elif not owner.is_property_readonly(name):
            yield f"{path}.{name}"


def _type(definition: Any) -> Any:
    return getattr(bpy.types, definition.fixed_type.identifier, object)


OUT_OF_RANGE = (".tile_offset", ".fade_frames", ".texture_nabla", ".wireframe_color_type", ".denoiser")
"""In a new scene, Blender gives these properties values that it does not accept itself."""


def test_what_is_read_can_be_set() -> None:
    refused = []
    paths = list(_settable())
    for path in paths:
        value = get(path)
        try:
            if not same(put(path, value), value):
                refused.append((path, value, get(path)))
        except (ValueError, LookupError) as error:
            refused.append((path, value, error))
    assert [each for each in refused if not each[0].endswith(OUT_OF_RANGE)] == []
    assert len(paths) > 1000


ENUMS = [
    ('scenes["Scene"].tool_settings.snap_elements', ["VERTEX", "EDGE"]),
    ('scenes["Scene"].tool_settings.mesh_select_mode', [True, False, True]),
    ('objects["Cube"].modifiers["Decimate"].delimit', ["NORMAL", "SEAM"]),
    ('objects["Cube"].modifiers["Decimate"].delimit', []),
]


@pytest.mark.parametrize(("path", "value"), ENUMS)
def test_enums_whose_items_can_be_combined(path: str, value: list[Any]) -> None:
    bpy.data.objects["Cube"].modifiers.new("Decimate", "DECIMATE")
    assert sorted(put(path, value)) == sorted(value)
    assert sorted(put(path, get(path))) == sorted(value)
    assert sorted(put(path, tuple(value))) == sorted(value)


CUSTOM_VALUES: list[Any] = [
    *(1, -(2**31), 2**31 - 1, 1.5, 1e300, True, False, None, "text", "", "größe", b"\xff\xfe"),
    *([], [1, 2], [1.5, 2.5], [True, False], ["a", "b"], [[1, 2], [3]], [{"a": 1}, {"b": [2.5]}]),
    *({}, {"a": 1}, {"a": {"b": {"c": [1, 2]}, "d": None}}, {"a": ["x", "y"], "b": [{"c": True}]}),
]


@pytest.mark.parametrize("before", [None, {"a": [1]}, [1, 2], "text"], ids=repr)
@pytest.mark.parametrize("value", CUSTOM_VALUES, ids=repr)
def test_custom_properties_come_back(value: Any, before: Any) -> None:
    put(CUSTOM, before)
    assert put(CUSTOM, value) == value
    assert get(CUSTOM) == value
    assert put(CUSTOM, get(CUSTOM)) == value
    assert type(get(CUSTOM)) is type(value)


def test_parts_of_custom_properties() -> None:
    put(CUSTOM, {"a": {"b": [1, 2]}, "c.d": 'quo"ted'})
    assert get(f'{CUSTOM}["a"]') == {"b": [1, 2]}
    assert get(f'{CUSTOM}["a"]["b"]') == [1, 2]
    assert get(f'{CUSTOM}["a"]["b"][1]') == 2
    assert get(f'{CUSTOM}["c.d"]') == 'quo"ted'
    assert put(f'{CUSTOM}["a"]["b"][1]', 7.0) == 7
    assert put(f'{CUSTOM}["a"]["e"]', {"f": 1}) == {"f": 1}
    assert get(CUSTOM) == {"a": {"b": [1, 7], "e": {"f": 1}}, "c.d": 'quo"ted'}


def test_custom_properties_that_are_datablocks() -> None:
    bpy.data.objects["Cube"]["x"] = bpy.data.objects["Light"]
    bpy.data.objects["Cube"]["y"] = {"target": bpy.data.objects["Light"]}
    assert get(CUSTOM) == "Light"
    assert get('objects["Cube"]["y"]') == {"target": "Light"}
    assert put(CUSTOM, "Camera") == "Camera"
    assert bpy.data.objects["Cube"]["x"] == bpy.data.objects["Camera"]
    with pytest.raises(LookupError, match=r"^none of the objects is named 'Nikon'"):
        put(CUSTOM, "Nikon")
    assert get(CUSTOM) == "Camera"


NOT_CUSTOM: list[Any] = [
    *(2**31, -(2**31) - 1, 2**70, 10**5000, math.nan, math.inf, [1, "a"], [1, True], [None], [1, {"a": 1}]),
    *({1: 2}, {"a": 2**40}, {"a": [1, "b"]}, {"k" * 70: 1}, {"a": {"b": math.nan}}, object(), {b"\xff": 1}),
]


@pytest.mark.parametrize("before", ["absent", {"a": [1], "b": None}, [{"c": 1}]], ids=repr)
@pytest.mark.parametrize("value", NOT_CUSTOM, ids=lambda value: repr(value)[:20] if value != 10**5000 else "huge")
def test_a_refused_custom_property_changes_nothing(value: Any, before: Any) -> None:
    if before != "absent":
        put(CUSTOM, before)
    dumped = scene_dump.dump("objects")
    with pytest.raises(ValueError, match=r"objects\[.Cube.\]"):
        put(CUSTOM, value)
    assert scene_dump.changed(dumped, "objects") == {}


INTEGER = 'scenes["Scene"].frame_end'
BOOLEAN = 'objects["Cube"].hide_render'
NUMBER = 'objects["Cube"].location[1]'
ENUM = 'objects["Cube"].display_type'
VECTOR = 'objects["Cube"].location'
INTEGERS = 'scenes["Scene"].sync_mode'


@pytest.mark.parametrize(
    ("path", "value", "stored"),
    [
        (INTEGER, 640.0, 640),
        (INTEGER, 640, 640),
        (NUMBER, 3, 3.0),
        (VECTOR, [1, 2.0, 3], [1.0, 2.0, 3.0]),
        (VECTOR, (1, 2, 3), [1.0, 2.0, 3.0]),
        (BOOLEAN, True, True),
        (BOOLEAN, 1, True),
        (ENUM, "WIRE", "WIRE"),
        ('objects["Cube"].delta_scale[2]', 2, 2.0),
        ('objects["Cube"].lock_location', [True, False, True], [True, False, True]),
        ('objects["Cube"].lock_location[1]', True, True),
        ('scenes["Scene"].render.resolution_x', 640.0, 640),
        ('objects["Cube"].data', "Cube", "Cube"),
        ('objects["Light"].data', "Light", "Light"),
        ('objects["Light"].parent', b"Cube", "Cube"),
        ('materials["Material"].node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value', 1, 1.0),
        (
            'objects["Cube"].matrix_parent_inverse',
            [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [0, 0, 0, 1]],
            [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0], [0.0, 0.0, 0.0, 1.0]],
        ),
    ],
)
def test_values_that_are_converted(path: str, value: Any, stored: Any) -> None:
    found = put(path, value)
    assert found == stored
    assert type(found) is type(stored)


REFUSED: list[tuple[str, Any]] = [
    *((INTEGER, value) for value in (640.5, True, "640", None, [640], 2**31, 10**400, math.nan, math.inf, 1e300)),
    *((NUMBER, value) for value in (True, "1", None, [1], math.nan, math.inf, 1e39, 10**400)),
    *((BOOLEAN, value) for value in (2, 1.0, "true", None, [True])),
    *((ENUM, value) for value in (0, "NOTHING", None, ["WIRE"], list(b"WIRE"), b"\xff")),
    *((VECTOR, value) for value in ([1, 2], [1, 2, 3, 4], 1, None, "123", [1, 2, "3"], [1, 2, math.nan], [1, 2, True])),
    *(('objects["Cube"].name', value) for value in (list(b"Box"), 5, None, "a\0b", b"\xff")),
    *(('scenes["Scene"].tool_settings.snap_elements', value) for value in ("VERTEX", ["NOTHING"], [1], None, 3)),
    *(('objects["Light"].parent', value) for value in (5, list(b"Cube"), ["Cube"])),
    ('objects["Cube"].type', "LIGHT"),
    ('objects["Cube"].modifiers', []),
    ('objects["Cube"].users', 3),
    ('objects["Light"].parent', "Light"),
    ('objects["Cube"].matrix_world', [[1, 2], [3, 4]]),
    ('objects["Cube"]', "Cube"),
    ('objects["Cube"].matrix_world[0]', [1, 2, 3, 4]),
    ('scenes["Scene"].render.image_settings', "PNG"),
    ('objects["Cube"].active_material_index', 1.5),
]


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=repr)
def test_a_refused_value_changes_nothing(path: str, value: Any) -> None:
    before = scene_dump.dump("objects", "scenes")
    with pytest.raises(ValueError, match=r"^('|a name)"):
        put(path, value)
    assert scene_dump.changed(before, "objects", "scenes") == {}


MISSING = [
    *('objects["Nothing"].location', 'objects["Cube"].nothing', "os.system('true')", "", "objects[", "objects[0]["),
    *('objects["Cube"].location[3]', 'objects["Cube"].location.x.y', 'objects["Cube"]["absent"]["more"]', "nothing"),
]


@pytest.mark.parametrize("path", MISSING)
def test_properties_that_do_not_exist(path: str) -> None:
    with pytest.raises(LookupError, match=r"^no property at "):
        put(path, 1)


@pytest.mark.parametrize("path", [list(b"objects"), None, 5, b"\xff"], ids=repr)
def test_what_is_not_a_path(path: Any) -> None:
    for call in (get, lambda each: put(each, 1)):
        with pytest.raises(ValueError, match=r"^a path has to be "):
            call(path)


def test_a_new_name_is_returned_as_blender_stores_it() -> None:
    bevel = bpy.data.objects["Cube"].modifiers.new("Bevel", "BEVEL")
    assert put('objects["Cube"].modifiers["Bevel"].name', "Round") == bevel.name == "Round"
    assert put('objects["Cube"].name', "Crate") == "Crate"
    assert put('objects["Crate"].name', "Light") == "Light.001"
    assert get('objects["Light.001"].name') == "Light.001"
