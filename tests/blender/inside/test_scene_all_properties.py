"""No path crashes Blender: all properties that a path can reach are described and read, and all enums are set."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import addon
import bpy
import pytest

pytestmark = pytest.mark.usefixtures("scene_handlers")

REFUSALS = (ValueError, LookupError)

_ALL_ITEMS = ("nodes", "modifiers", "constraints", "textures", "curves", "node_groups", "strips", "sequences")
"""Collections whose items have different types."""

_DEEPEST = 7


def properties() -> Any:
    return addon.scene_properties


def describe(path: str) -> dict[str, Any]:
    found: dict[str, Any] = addon.scene_descriptions.describe_type(path)
    return found


def _try(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
    with suppress(RuntimeError, TypeError, ValueError):
        function(*arguments, **keywords)


@pytest.fixture
def one_of_each() -> None:
    """A datablock of each kind, and a modifier, a constraint, a node, a texture and a strip of each type."""
    data = bpy.data
    for definition in data.bl_rna.properties:
        if definition.type == "COLLECTION" and hasattr(getattr(data, definition.identifier), "new"):
            _try(getattr(data, definition.identifier).new, "One")
    for kind in ("FONT", "CURVE", "SURFACE"):
        data.curves.new("One", kind)
    for each in bpy.types.Texture.bl_rna.properties["type"].enum_items:
        data.textures.new("One", each.identifier)
    cube = data.objects["Cube"]
    for each in bpy.types.Modifier.bl_rna.properties["type"].enum_items:
        _try(cube.modifiers.new, "One", each.identifier)
    for each in bpy.types.Constraint.bl_rna.properties["type"].enum_items:
        _try(cube.constraints.new, each.identifier)
    cube.keyframe_insert("location")
    trees = [data.node_groups.new("One", f"{kind}NodeTree") for kind in ("Geometry", "Shader", "Texture", "Compositor")]
    for name in dir(bpy.types):
        if "Node" in name and issubclass(getattr(bpy.types, name), bpy.types.Node):
            for tree in trees:
                _try(tree.nodes.new, name)
    editor = bpy.context.scene.sequence_editor_create()
    strips = editor.strips if bpy.app.version >= (4, 4, 0) else editor.sequences
    end = {"length": 10} if bpy.app.version >= (5, 0, 0) else {"frame_end": 10}
    for kind in ("COLOR", "TEXT", "ADJUSTMENT"):
        strips.new_effect(name="One", type=kind, channel=1, frame_start=1, **end)
    bpy.ops.rigidbody.world_add()


def paths() -> Iterator[tuple[str, Any]]:
    """The path of each property that can be reached from `bpy.data`, and the definition of the property."""
    yield from _below(bpy.data, "", set(), 0)


def _below(owner: Any, above: str, seen: set[tuple[int, str]], depth: int) -> Iterator[tuple[str, Any]]:
    for definition in owner.bl_rna.properties:
        name = definition.identifier
        if name in ("rna_type", "depsgraph"):
            continue
        path = f"{above}.{name}".lstrip(".")
        yield path, definition
        if depth == _DEEPEST or definition.type not in ("POINTER", "COLLECTION"):
            continue
        try:
            addon.scene_properties.check_readable(bpy.data, path)
            value = getattr(owner, name)
        except REFUSALS:
            continue
        if definition.type == "POINTER":
            inside = [(path, value)]
        else:
            most = len(value) if name in _ALL_ITEMS else 2
            inside = [(f"{path}[{index}]", item) for index, item in enumerate(value[:most])]
        for place, struct in inside:
            if not isinstance(struct, bpy.types.bpy_struct):
                continue
            # A datablock has its own path below the collection of its kind.
            is_elsewhere = definition.type == "POINTER" and isinstance(struct, bpy.types.ID)
            key = struct.as_pointer(), struct.bl_rna.identifier
            if key not in seen and not (is_elsewhere and not struct.is_embedded_data):
                seen.add(key)
                yield from _below(struct, place, seen, depth + 1)


def test_all_properties_can_be_described_and_read(one_of_each: None) -> None:
    refusals: dict[str, str] = {}
    found = 0
    for path, definition in paths():
        found += 1
        try:
            if definition.type == "ENUM":
                describe(path)
            properties().get_property(path)
        except REFUSALS as error:
            refusals[path] = str(error)
    assert found > 10_000
    assert all(refusals.values())
    crashing = {path.rpartition(".")[2] for path, said in refusals.items() if "this Blender crashes" in said}
    assert crashing <= set(properties()._CRASHING)


def test_all_enums_can_be_set_to_what_they_are(one_of_each: None) -> None:
    found = 0
    for path, definition in list(paths()):
        if definition.type != "ENUM" or definition.is_readonly:
            continue
        try:
            value = properties().get_property(path)
        except REFUSALS:  # Another enum was set before, and the struct has another type now.
            continue
        for wrong in ("No such item", "\U0001f600" * 40):
            with pytest.raises(REFUSALS):
                properties().set_property(path, [wrong] if isinstance(value, list) else wrong)
        with suppress(*REFUSALS):  # An enum can have a value that is none of its items now.
            properties().set_property(path, value)
            found += 1
    assert found > 500


# Enums of add-ons, whose items a function returns


def items_that_change(owner: Any, _context: Any) -> list[tuple[str, str, str]]:
    return [(f"ITEM_{number}", f"Item {number}", "Ünïcode") for number in range(owner.count if owner else 0)]


def failing_items(_owner: Any, _context: Any) -> Any:
    raise RuntimeError("this add-on has a fault")


def wrong_items(_owner: Any, _context: Any) -> Any:
    return [("A",), 5, None]


@pytest.fixture
def enums_of_an_add_on() -> Iterator[None]:
    """The property `enums` of scenes, with enums whose items a function of an add-on returns."""
    fields = {
        "count": bpy.props.IntProperty(default=3),
        "changing": bpy.props.EnumProperty(items=items_that_change),
        "failing": bpy.props.EnumProperty(items=failing_items),
        "wrong": bpy.props.EnumProperty(items=wrong_items),
        "several": bpy.props.EnumProperty(items=items_that_change, options={"ENUM_FLAG"}),
    }
    group = type("EnumsOfAnAddOn", (bpy.types.PropertyGroup,), {"__annotations__": fields})
    bpy.utils.register_class(group)
    bpy.types.Scene.enums = bpy.props.PointerProperty(type=group)
    yield
    del bpy.types.Scene.enums
    bpy.utils.unregister_class(group)


ENUMS = 'scenes["Scene"].enums'


def test_enums_of_an_add_on(enums_of_an_add_on: None) -> None:
    names = [each["name"] for each in describe(ENUMS)["properties"]]
    assert {"changing", "failing", "wrong", "several"} <= set(names)
    for name in names:
        (found,) = describe(f"{ENUMS}.{name}")["properties"]
        assert found["items"] == []
    assert properties().get_property(f"{ENUMS}.changing") == "ITEM_0"
    assert properties().set_property(f"{ENUMS}.changing", "ITEM_2") == "ITEM_2"
    assert properties().set_property(f"{ENUMS}.several", ["ITEM_1"]) == ["ITEM_1"]
    assert properties().set_property(f"{ENUMS}.count", 1) == 1
    # The stored item does not exist any more.
    assert properties().get_property(f"{ENUMS}.changing") == ""
    assert properties().get_property(f"{ENUMS}.failing") == ""
    for name in ("changing", "failing", "wrong"):
        with pytest.raises(ValueError, match="cannot be set to 'ITEM_2'"):
            properties().set_property(f"{ENUMS}.{name}", "ITEM_2")
