"""Inputs of geometry nodes by the names that the user sees: each type of socket, and the mesh that results."""

import math
from typing import Any

import addon
import bpy
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")

TYPES = ("Float", "Int", "Bool", "Vector", "Color", "String", "Object", "Collection", "Material", "Image")

VALUES: list[tuple[str, Any, Any]] = [
    ("Float", 1.5, 1.5),
    ("Float", 1, 1.0),
    ("Float", 99, 2.0),
    ("Int", -4.0, -4),
    ("Int", 2**31 - 1, 2**31 - 1),
    ("Bool", True, True),
    ("Vector", [1, 2, 3], [1.0, 2.0, 3.0]),
    ("Rotation", [0.5, 0, -0.5], [0.5, 0.0, -0.5]),
    ("Color", "#ff0000", [1.0, 0.0, 0.0, 1.0]),
    ("Color", [0.25, 0.5, 0.75, 0.5], [0.25, 0.5, 0.75, 0.5]),
    ("String", "Größe", "Größe"),
    ("String", "", ""),
    ("Object", "Cube", "Cube"),
    ("Object", None, None),
    ("Collection", "Collection", "Collection"),
    ("Material", "Material", "Material"),
    ("Image", "Picture", "Picture"),
    ("Menu", "Second one", "Second one"),
    ("Float", {"attribute": "weight"}, {"attribute": "weight"}),
    ("Höhe", 0.75, 0.75),
    ("Panel/Twice", 1, 1.0),
    ("Panel/Twice (2)", 2, 2.0),
]
"""An input, a value, and what Blender stores."""

WRONG: list[tuple[str, Any]] = [
    *[("Float", value) for value in ("1", math.nan, True, None, [1.0], {"attribute": 5}, {"name": "x"}, {})],
    *[("Int", value) for value in (1.5, 2**31, True, None)],
    *[("Bool", value) for value in (1, None, "true")],
    *[("Vector", value) for value in ([1, 2], 5, "123", [1, 2, math.nan], None)],
    *[("Rotation", value) for value in ([1, 0, 0, 0], None)],
    *[("Color", value) for value in ("red", [1, 2], None)],
    *[("String", value) for value in (5, None, [77])],
    *[("Object", value) for value in ("Nothing", 5, "Material")],
    *[("Menu", value) for value in ("Third", 0, None)],
    ("Geometry", "Cube"),
    ("Socket_0", 1.0),
    ("Matrix", [0.0] * 16),
]


@pytest.fixture
def modifier() -> Any:
    """A modifier of the cube that moves all vertices by the float Höhe, and has inputs of all types."""
    bpy.data.images.new("Picture", 4, 4)
    group = bpy.data.node_groups.new("Group", "GeometryNodeTree")
    interface = group.interface
    sockets = {
        name: interface.new_socket(name, in_out="INPUT", socket_type=f"NodeSocket{kind}")
        for name, kind in [("Geometry", "Geometry"), ("Höhe", "Float"), *((each, each) for each in TYPES)]
        + [(each, each) for each in ("Rotation", "Matrix", "Menu")]
    }
    sockets["Float"].min_value, sockets["Float"].max_value = 0.0, 2.0
    panel = interface.new_panel("Panel")
    for _ in range(2):
        interface.new_socket("Twice", in_out="INPUT", socket_type="NodeSocketFloat", parent=panel)
    interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    _connect(group)
    modifier = bpy.data.objects["Cube"].modifiers.new("Nodes", "NODES")
    modifier.node_group = group
    bpy.context.view_layer.update()
    return modifier


def _connect(group: Any) -> None:
    nodes, links = group.nodes, group.links
    given, result = nodes.new("NodeGroupInput"), nodes.new("NodeGroupOutput")
    moved, height, menu = (
        nodes.new(f"{name}") for name in ("GeometryNodeSetPosition", "ShaderNodeCombineXYZ", "GeometryNodeMenuSwitch")
    )
    menu.enum_items[0].name, menu.enum_items[1].name = "First", "Second one"
    menu.data_type = "FLOAT"
    links.new(given.outputs["Geometry"], moved.inputs["Geometry"])
    links.new(given.outputs["Höhe"], height.inputs["Z"])
    links.new(height.outputs[0], moved.inputs["Offset"])
    links.new(given.outputs["Menu"], menu.inputs[0])
    links.new(menu.outputs[0], height.inputs["X"])
    menu.inputs["Second one"].default_value = 10.0
    links.new(moved.outputs[0], result.inputs[0])


def inputs() -> Any:
    return addon.scene_node_inputs


def first_vertex() -> tuple[float, float, float]:
    cube: Any = bpy.data.objects["Cube"].evaluated_get(bpy.context.evaluated_depsgraph_get())
    x, y, z = cube.data.vertices[0].co
    return x, y, z


@pytest.mark.parametrize(("name", "value", "stored"), VALUES)
def test_an_input_of_each_type_can_be_set(modifier: Any, name: str, value: Any, stored: Any) -> None:
    before = inputs().get_node_inputs("Cube")
    after = inputs().set_node_inputs("Cube", {name: value})
    assert after[name] == (pytest.approx(stored) if isinstance(stored, list) else stored)
    assert type(after[name]) is type(stored)
    assert {key: each for key, each in after.items() if key != name} == {
        key: each for key, each in before.items() if key != name
    }
    assert inputs().get_node_inputs("Cube") == after
    assert inputs().set_node_inputs("Cube", after, {"modifier": "Nodes"}) == after


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_changes_no_input(modifier: Any, name: str, value: Any) -> None:
    inputs().set_node_inputs("Cube", {"Menu": "First"})
    before = scene_dump.dump("objects")
    with pytest.raises((ValueError, LookupError)):
        inputs().set_node_inputs("Cube", {"Höhe": 1.0, name: value})
    assert scene_dump.changed(before, "objects") == {}


def test_an_input_changes_the_mesh(modifier: Any) -> None:
    x, y, z = first_vertex()
    inputs().set_node_inputs("Cube", {"Höhe": 0.5, "Menu": "Second one"})
    assert first_vertex() == pytest.approx((x + 10, y, z + 0.5))
    weights = bpy.data.objects["Cube"].data.attributes.new("up", "FLOAT", "POINT")
    weights.data[0].value = 3.0
    inputs().set_node_inputs("Cube", {"Höhe": {"attribute": "up"}})
    assert first_vertex() == pytest.approx((x + 10, y, z + 3))
    inputs().set_node_inputs("Cube", {"Höhe": 0.25})
    assert first_vertex() == pytest.approx((x + 10, y, z + 0.25))


def test_several_modifiers_have_to_be_named(modifier: Any) -> None:
    second = bpy.data.objects["Cube"].modifiers.new("Second", "NODES")
    second.node_group = modifier.node_group
    with pytest.raises(ValueError, match="several modifiers with geometry nodes: name one"):
        inputs().get_node_inputs("Cube")
    inputs().set_node_inputs("Cube", {"Int": 4}, {"modifier": "Second"})
    values = [inputs().get_node_inputs("Cube", {"modifier": name})["Int"] for name in ("Nodes", "Second")]
    assert values == [0, 4]
    with pytest.raises(LookupError, match="no modifier 'Third' with geometry nodes; there are: Nodes, Second"):
        inputs().get_node_inputs("Cube", {"modifier": "Third"})
