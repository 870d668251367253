"""Descriptions of scenes and of types: their content, and that they are JSON."""

import json
import math
from typing import Any

import addon
import bpy
import numpy as np
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")


def described(**options: Any) -> Any:
    """The description of a scene, after a way through JSON."""
    return json.loads(json.dumps(addon.scene_descriptions.describe_scene(options), allow_nan=False))


def type_of(path: str) -> Any:
    return json.loads(json.dumps(addon.scene_descriptions.describe_type(path), allow_nan=False))


def property_of(path: str, name: str | None = None) -> Any:
    """The description of a property of a type, or of the single property at a path."""
    found = type_of(path)["properties"]
    (only,) = [each for each in found if name in (None, each["name"])]
    return only


def test_the_default_scene() -> None:
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 200, 100, 50
    scene.frame_start, scene.frame_end, scene.frame_step = 2, 20, 3
    before = scene_dump.dump()
    found = described()
    assert scene_dump.changed(before) == {}
    assert found["name"] == "Scene"
    assert found["frame"] == {"current": 1, "first": 2, "last": 20, "step": 3, "fps": 24.0}
    assert (found["render"]["width"], found["render"]["height"]) == (100, 50)
    assert (found["camera"], found["world"]) == ("Camera", "World")
    assert found["bounds"] == {"least": [-1, -1, -1], "most": [1, 1, 1]}
    numbers = {"collections": 1, "materials": 1, "cameras": 1, "lights": 1, "vertices": 8, "faces": 6}
    assert found["counts"] == {"objects": 3, **numbers}
    assert [each["name"] for each in found["objects"]] == ["Camera", "Cube", "Light"]
    assert found["objects"][1] == {
        "name": "Cube",
        "type": "MESH",
        "parent": None,
        "data": "Cube",
        "visible": True,
        "collections": ["Collection"],
        "materials": ["Material"],
    }
    assert found["collections"] == [
        {"name": "Collection", "parent": None, "objects": 3, "excluded": False, "hidden": False}
    ]
    assert [each["object"] for each in found["cameras"]] == ["Camera"]
    assert found["lights"][0]["energy"] == 1000.0


def test_parents_come_before_their_children() -> None:
    scene = bpy.context.scene
    parent = None
    for name in ("z", "ä", "b", "立方体"):
        made = bpy.data.objects.new(name, None)
        scene.collection.objects.link(made)
        made.parent, parent = parent, made
    bpy.data.objects["Cube"].parent = bpy.data.objects["ä"]
    names = [each["name"] for each in described()["objects"]]
    assert names == ["Camera", "Light", "z", "ä", "Cube", "b", "立方体"]


def test_a_parent_of_another_scene() -> None:
    bpy.data.objects["Cube"].parent = bpy.data.objects.new("Elsewhere", None)
    cube = next(each for each in described()["objects"] if each["name"] == "Cube")
    assert cube["parent"] == "Elsewhere"


def test_an_empty_scene_and_another_one() -> None:
    bpy.data.scenes.new("Leer")
    found = described(scene="Leer")
    assert (found["camera"], found["world"], found["bounds"], found["objects"]) == (None, None, None, [])
    assert set(found["counts"].values()) == {0}
    assert bpy.context.scene.name == "Scene"


def test_lists_have_a_limit_and_counts_do_not() -> None:
    scene = bpy.context.scene
    for _ in range(30):
        scene.collection.objects.link(bpy.data.objects.new("Light", bpy.data.lights["Light"]))
        scene.collection.children.link(bpy.data.collections.new("Group"))
    found = described(limit=5)
    lists = [found[name] for name in ("objects", "collections", "lights")]
    assert [len(each) for each in lists] == [5, 5, 5]
    assert (found["counts"]["objects"], found["counts"]["collections"], found["counts"]["lights"]) == (33, 31, 31)
    assert described(limit=0)["objects"] == []


def test_bounds_contain_modifiers_and_instances_and_no_hidden_objects() -> None:
    scene = bpy.context.scene
    cube = bpy.data.objects["Cube"]
    modifier = cube.modifiers.new("Array", "ARRAY")
    modifier.count = 3
    assert described()["bounds"]["most"] == pytest.approx([5, 1, 1])
    group = bpy.data.collections.new("Group")
    group.objects.link(bpy.data.objects.new("Part", cube.data))
    made = bpy.data.objects.new("Instance", None)
    made.instance_type, made.instance_collection, made.location = "COLLECTION", group, (0, 0, 10)
    scene.collection.objects.link(made)
    assert described()["bounds"]["most"] == pytest.approx([5, 1, 11])
    cube.hide_set(True)
    found = described()
    assert found["bounds"]["least"] == pytest.approx([-1, -1, 9])
    assert [each["visible"] for each in found["objects"] if each["name"] == "Cube"] == [False]


def test_numbers_that_are_not_finite_are_no_part_of_the_bounds() -> None:
    # A single coordinate would be moved to the limits of the property.
    numbers = np.array([math.nan, math.inf] + [1.0] * 22, np.float32)
    bpy.data.objects["Cube"].data.vertices.foreach_set("co", numbers)
    assert described()["name"] == "Scene"


def test_positions_are_in_world_space() -> None:
    lamp, parent = bpy.data.objects["Light"], bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.location, lamp.location, lamp.parent = (10, 0, 0), (1, 2, 3), parent
    assert described()["lights"][0]["location"] == pytest.approx([11, 2, 3])
    bpy.context.view_layer.layer_collection.children["Collection"].exclude = True
    parent.location = (20, 0, 0)
    assert described()["lights"][0]["location"] == pytest.approx([21, 2, 3])


# Types


def test_all_types_of_blender_can_be_described() -> None:
    names = [name for name in dir(bpy.types) if hasattr(getattr(bpy.types, name), "bl_rna")]
    assert len(names) > 1000
    for name in names:
        assert type_of(name)["type"]


def test_types_and_paths_to_structs() -> None:
    assert type_of("Object")["properties"] == type_of('objects["Cube"]')["properties"]
    assert type_of('scenes["Scene"].render')["type"] == "RenderSettings"
    assert type_of('scenes["Scene"].cycles')["type"] == "CyclesRenderSettings"
    assert type_of('objects["Cube"].data')["type"] == "Mesh"
    assert "rna_type" not in [each["name"] for each in type_of("Object")["properties"]]


def test_a_vector() -> None:
    found = property_of('objects["Cube"].location')
    assert found["description"]
    assert {name: found[name] for name in ("type", "read_only", "default", "length", "unit")} == {
        "type": "FLOAT",
        "read_only": False,
        "default": [0, 0, 0],
        "length": 3,
        "unit": "LENGTH",
    }


def test_numbers_and_their_limits() -> None:
    found = property_of("RenderSettings", "resolution_percentage")
    assert (found["type"], found["default"], found["least"]) == ("INT", 100, 1)
    assert property_of("Object", "hide_render")["default"] is False


def test_enums() -> None:
    found = property_of('objects["Cube"].rotation_mode')
    assert (found["type"], found["several"]) == ("ENUM", False)
    assert {"QUATERNION", "XYZ", "AXIS_ANGLE"} <= {item["name"] for item in found["items"]}
    found = property_of('scenes["Scene"].tool_settings.snap_elements')
    assert found["several"]
    assert isinstance(found["default"], list)


def test_pointers_and_collections() -> None:
    assert property_of('objects["Cube"].parent')["target"] == "Object"
    found = property_of('objects["Cube"].modifiers')
    assert (found["type"], found["target"], found["read_only"]) == ("COLLECTION", "Modifier", True)
    assert property_of("objects")["target"] == "Object"


def test_paths_with_dots_in_names() -> None:
    bpy.data.objects["Cube"].name = "Würfel.001"
    assert property_of('objects["Würfel.001"].location')["length"] == 3
    bpy.data.objects["Würfel.001"]["a.b"] = 1
    with pytest.raises(LookupError, match="custom property"):
        type_of('objects["Würfel.001"]["a.b"]')


def test_get_property_can_read_what_describe_type_lists() -> None:
    """The names are those for paths: each boolean, number, text and enum of an object can be read."""
    for each in type_of("Object")["properties"]:
        if each["type"] not in ("POINTER", "COLLECTION"):
            addon.scene_properties.get_property(f'objects["Cube"].{each["name"]}')
