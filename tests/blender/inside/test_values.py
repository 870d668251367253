"""Values of Blender's own types as results of handlers."""

from collections.abc import Iterator
from typing import Any

import bpy
import in_blender
import mathutils
import numpy
import pytest

from beam_bpy import BeamServer, EncodeError, ErlangVariantDecoder, ErlangVariantEncoder


class Settings(bpy.types.PropertyGroup):
    weights: bpy.props.FloatVectorProperty(size=4)  # type: ignore[valid-type]
    grid: bpy.props.BoolVectorProperty(size=[2, 2])  # type: ignore[valid-type]
    kinds: bpy.props.EnumProperty(  # type: ignore[valid-type]
        items=[("A", "A", ""), ("B", "B", "")], options={"ENUM_FLAG"}
    )


def encoded(value: Any, encoder: ErlangVariantEncoder | None = None) -> Any:
    return ErlangVariantDecoder().decode((encoder or ErlangVariantEncoder()).encode(value))


@pytest.fixture
def settings() -> Iterator[Any]:
    """A property group of the scene."""
    bpy.utils.register_class(Settings)
    bpy.types.Scene.beam_bpy_test = bpy.props.PointerProperty(type=Settings)
    yield bpy.context.scene.beam_bpy_test
    del bpy.types.Scene.beam_bpy_test
    bpy.utils.unregister_class(Settings)


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("mathutils.Vector((1, 2, 3))", [1.0, 2.0, 3.0]),
        ("mathutils.Color((1, 0, 0))", [1.0, 0.0, 0.0]),
        ("mathutils.Euler((0, 0, 1))", [0.0, 0.0, 1.0]),
        ("mathutils.Quaternion()", [1.0, 0.0, 0.0, 0.0]),
        ("mathutils.Matrix.Identity(2)", [[1.0, 0.0], [0.0, 1.0]]),
        ("{mathutils.Vector((1, 2)).freeze(): 1}", None),
        ("object.location", [0.0, 0.0, 0.0]),
        ("object.rotation_euler", [0.0, 0.0, 0.0]),
        ("object.matrix_world", [[float(row == column) for column in range(4)] for row in range(4)]),
        ("object.lock_location", [False, False, False]),
        ("object.bound_box", [[x, *rest] for x, *rest in [(-1, -1, -1)]]),
        ("object.name", "Cube"),
        ("object.type", "MESH"),
        ("object.dimensions", [2.0, 2.0, 2.0]),
        ("bpy.data.objects.keys()", ["Camera", "Cube", "Light"]),
        ("bpy.context.scene.tool_settings.snap_elements", None),
        ("bpy.app.version", None),
        ("bpy.ops.object.select_all(action='SELECT')", ["FINISHED"]),
        ("object['floats']", [1.5, 2.5]),
        ("object['bools']", [True, False]),
        ("object['group']", {"a": 1, "b": [1, 2]}),
        ("object['group'].keys()", ["a", "b"]),
        ("object['group'].values()", [1, [1, 2]]),
        ("object['group'].items()", [("a", 1), ("b", [1, 2])]),
        ("object['groups']", [{"x": 1}, {"x": 2}]),
        ("object['bytes']", b"\xff"),
        ("bpy.data.images['Pixels'].pixels[:4]", (0.0, 0.0, 0.0, 1.0)),
        ("bpy.data.images['Pixels'].pixels", [0.0, 0.0, 0.0, 1.0]),
        ("settings.weights", [0.0, 0.0, 0.0, 0.0]),
        ("settings.grid", [[False, False], [False, False]]),
        ("settings.kinds", ["A", "B"]),
        ("coordinates", [[-1.0, -1.0, -1.0]]),
        ("bpy.data.texts", []),
    ],
)
def test_a_value_of_blender(expression: str, plain: Any, settings: Any) -> None:
    cube = bpy.data.objects["Cube"]
    cube["floats"], cube["bools"], cube["bytes"] = [1.5, 2.5], [True, False], b"\xff"
    cube["group"], cube["groups"] = {"a": 1, "b": [1, 2]}, [{"x": 1}, {"x": 2}]
    bpy.data.images.new("Pixels", 1, 1)
    settings.kinds = {"A", "B"}
    coordinates = numpy.empty(3 * len(cube.data.vertices), numpy.float32)
    cube.data.vertices.foreach_get("co", coordinates)
    names = {"bpy": bpy, "mathutils": mathutils, "object": cube, "settings": settings}
    value = eval(expression, names | {"coordinates": numpy.sort(coordinates.reshape(-1, 3), axis=0)[:1]})

    found = encoded({"a": [value]})["a"][0]

    if plain is not None:
        assert (found[:1] if expression == "object.bound_box" else found) == plain


@pytest.mark.parametrize("expression", ["bpy.data.objects", "bpy.context.selected_objects", "bpy.data.objects[:]"])
def test_objects_need_a_converter(expression: str) -> None:
    bpy.ops.object.select_all(action="SELECT")
    value = eval(expression)
    with pytest.raises(EncodeError, match=r'^result\["a"\]\[0\]: cannot encode _?bpy[_.]types\.Object$'):
        encoded({"a": value})

    encoder = ErlangVariantEncoder()
    encoder.register(bpy.types.ID, lambda datablock: datablock.name)
    assert sorted(encoded(value, encoder)) == ["Camera", "Cube", "Light"]
    assert encoded({value[0]: value[0].data}, encoder) == {value[0].name: value[0].data.name}


@pytest.mark.parametrize("expression", ["iter(bpy.data.objects)", "iter(bpy.data.objects.keys())", "map(len, [])"])
def test_iterators_are_refused(expression: str) -> None:
    with pytest.raises(EncodeError, match="it can be read only once"):
        encoded(eval(expression))


def test_the_result_of_an_operator_reaches_the_beam(server: BeamServer) -> None:
    server.expose(lambda: bpy.ops.mesh.primitive_cube_add(), name="add")
    server.expose(lambda: [object.location for object in bpy.data.objects if object.type == "MESH"], name="locations")
    bpy.ops.beam_bpy.start_server()

    assert in_blender.call("add", "[]") == ["FINISHED"]
    assert in_blender.call("locations", "[]") == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
