"""Modifiers, levels of detail, triangles and quads: numbers of faces, shapes, and what the mesh keeps."""

import math
from collections.abc import Callable
from typing import Any

import addon
import bpy
import numpy as np
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")


def made(kind: str, name: str, **options: Any) -> Any:
    """A new primitive."""
    return bpy.data.objects[addon.scene_objects.create_primitive(kind, name, options)]


def edits() -> Any:
    return addon.scene_mesh_edits


def positions(mesh: Any) -> Any:
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", values)
    return values.reshape(-1, 3)


def furnished(found: Any) -> None:
    """Give a mesh a UV map, weights, attributes, two materials and custom properties."""
    mesh = found.data
    layer = mesh.uv_layers.new(name="UV é")
    layer.uv.foreach_set("vector", np.tile(np.float32([0.25, 0.75]), len(mesh.loops)))
    found.vertex_groups.new(name="Ärmel").add(range(len(mesh.vertices)), 0.5, "ADD")
    mesh.attributes.new("kind", "INT", "FACE").data.foreach_set("value", np.full(len(mesh.polygons), 7, np.int32))
    for name in ("A", "B"):
        mesh.materials.append(bpy.data.materials.new(name))
    mesh.polygons.foreach_set("material_index", np.ones(len(mesh.polygons), np.int32))
    mesh["property"] = 5


def check_furniture(found: Any) -> None:
    mesh = found.data
    uvs = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers["UV é"].uv.foreach_get("vector", uvs)
    assert np.allclose(uvs.reshape(-1, 2), [0.25, 0.75])
    assert [(each.group, round(each.weight, 3)) for vertex in mesh.vertices for each in vertex.groups] == [
        (0, 0.5)
    ] * len(mesh.vertices)
    assert found.vertex_groups.keys() == ["Ärmel"]
    assert {each.value for each in mesh.attributes["kind"].data} == {7}
    assert [each.name for each in mesh.materials] == ["A", "B"]
    assert {each.material_index for each in mesh.polygons} == {1}


# decimate


@pytest.mark.parametrize("faces", [1900, 1000, 300, 50])
def test_a_number_of_faces_is_reached(faces: int) -> None:
    sphere = made("uv_sphere", "Ball", segments=32)
    result = edits().decimate("Ball", {"faces": faces})
    assert result == {
        "name": "Ball",
        "vertices": len(sphere.data.vertices),
        "faces": len(sphere.data.polygons),
        "triangles": len(sphere.data.polygons),
    }
    assert abs(result["faces"] - min(faces, 960)) <= 2


@pytest.mark.parametrize("ratio", [1, 1.0, 0.5, 0.25, 0.125])
def test_a_ratio_is_that_of_the_triangles_and_keeps_the_bounds(ratio: float) -> None:
    sphere = made("uv_sphere", "Ball", segments=32)
    assert edits().decimate("Ball", {"ratio": ratio})["faces"] == pytest.approx(960 * ratio, abs=2)
    extent = positions(sphere.data)
    assert np.allclose(extent.max(0), 1.0, atol=0.06)
    assert np.allclose(extent.min(0), -1.0, atol=0.06)


def test_a_decimated_mesh_keeps_its_data() -> None:
    sphere = made("uv_sphere", "Ball", segments=32)
    furnished(sphere)
    mesh = sphere.data
    sphere.modifiers.new("Subdivision", "SUBSURF")
    edits().decimate("Ball", {"ratio": 0.3})
    assert sphere.data == mesh
    assert mesh["property"] == 5
    assert sphere.modifiers.keys() == ["Subdivision"]
    assert not mesh.has_custom_normals
    check_furniture(sphere)


def test_levels_of_detail_are_new_objects() -> None:
    sphere = made("uv_sphere", "Kügel", segments=32, location=[1, 2, 3])
    furnished(sphere)
    group = bpy.data.collections.new("Group")
    bpy.context.scene.collection.children.link(group)
    group.objects.link(sphere)
    before = scene_dump.dump("meshes")
    results = edits().decimate("Kügel", {"faces": [480, 240.0, 60]})
    assert [each["name"] for each in results] == ["Kügel_LOD1", "Kügel_LOD2", "Kügel_LOD3"]
    assert [each["faces"] for each in results] == pytest.approx([480, 240, 60], abs=2)
    assert len(sphere.data.polygons) == 512
    for each in results:
        level = bpy.data.objects[each["name"]]
        assert len(level.data.polygons) == each["faces"]
        assert level.data.users == 1
        assert level.location[:] == (1, 2, 3)
        assert set(level.users_collection) == set(sphere.users_collection)
        check_furniture(level)
    changed = scene_dump.changed(before, "meshes")
    assert {path for path, (former, _) in changed.items() if former is not None} <= {
        path for path in changed if path.endswith(".users")
    }


@pytest.mark.parametrize("hidden", ["hide_viewport", "excluded", "no scene"])
def test_hidden_objects_can_be_decimated(hidden: str) -> None:
    sphere = made("uv_sphere", "Ball", segments=32)
    hide(sphere, hidden)
    assert edits().decimate("Ball", {"faces": 100})["faces"] == pytest.approx(100, abs=2)


def hide(found: Any, hidden: str) -> None:
    if hidden == "hide_viewport":
        found.hide_viewport = True
        return
    bpy.context.scene.collection.objects.unlink(found)
    if hidden == "excluded":
        group = bpy.data.collections.new("Excluded")
        bpy.context.scene.collection.children.link(group)
        group.objects.link(found)
        bpy.context.view_layer.layer_collection.children["Excluded"].exclude = True


def test_shape_keys_are_only_discarded_if_asked() -> None:
    cube = with_keys()
    with pytest.raises(ValueError, match="would lose its shape keys"):
        edits().decimate("Crate", {"ratio": 0.5})
    assert len(cube.data.polygons) == 6
    edits().decimate("Crate", {"ratio": 0.5, "discard": True})
    assert cube.data.shape_keys is None
    assert len(cube.data.polygons) == 6


# apply_modifiers


def with_keys() -> Any:
    """A cube whose shape key Up moves its vertex 0 by one metre."""
    cube = made("cube", "Crate")
    cube.shape_key_add(name="Basis")
    up = cube.shape_key_add(name="Up")
    up.data[0].co.z += 1
    up.value = 0.5
    return cube


def test_the_visible_modifiers_are_applied() -> None:
    cube = made("cube", "Crate", size=2.0)
    furnished(cube)
    cube.modifiers.new("Two", "ARRAY").count = 2
    cube.modifiers.new("Hidden", "BEVEL").show_viewport = False
    result = edits().apply_modifiers("Crate")
    assert result == {"name": "Crate", "vertices": 16, "faces": 12, "triangles": 24, "applied": ["Two"]}
    assert cube.modifiers.keys() == ["Hidden"]
    assert not cube.modifiers["Hidden"].show_viewport
    extent = positions(cube.data)
    assert extent.min(0).tolist() == [-1, -1, -1]
    assert extent.max(0).tolist() == [3, 1, 1]
    check_furniture(cube)


def test_named_modifiers_are_applied_and_others_stay() -> None:
    cube = made("cube", "Crate")
    cube.modifiers.new("Round", "SUBSURF").levels = 1
    cube.modifiers.new("Two", "ARRAY").count = 2
    cube.modifiers["Round"].show_viewport = False
    assert edits().apply_modifiers("Crate", {"modifiers": ["Round"]})["faces"] == 24
    assert cube.modifiers.keys() == ["Two"]
    assert cube.modifiers["Two"].show_viewport


def test_other_objects_keep_a_shared_mesh() -> None:
    cube = made("cube", "Crate")
    other = cube.copy()
    bpy.context.scene.collection.objects.link(other)
    cube.modifiers.new("Two", "ARRAY").count = 2
    edits().apply_modifiers("Crate")
    assert len(cube.data.polygons) == 12
    assert len(other.data.polygons) == 6


@pytest.mark.parametrize("settings", [{}, {"mute": True}, {"vertex_group": "Half"}])
def test_shape_keys_stay_if_the_modifiers_give_them_the_same_vertices(settings: dict[str, Any]) -> None:
    cube = with_keys()
    cube.vertex_groups.new(name="Half").add(range(8), 0.5, "ADD")
    for setting, value in settings.items():
        setattr(cube.data.shape_keys.key_blocks["Up"], setting, value)
    cube.modifiers.new("Two", "ARRAY").count = 2
    driver = cube.data.shape_keys.driver_add('key_blocks["Up"].slider_max').driver
    driver.expression = "2"
    edits().apply_modifiers("Crate")
    blocks = cube.data.shape_keys.key_blocks
    assert [each.name for each in blocks] == ["Basis", "Up"]
    assert blocks["Up"].value == 0.5
    assert {setting: getattr(blocks["Up"], setting) for setting in settings} == settings
    assert cube.data.shape_keys.animation_data.drivers[0].driver.expression == "2"
    moved = [[round(b.co.z - a.co.z, 5) for a, b in zip(blocks[0].data, blocks[1].data, strict=True)]]
    assert moved[0].count(1.0) == 2
    assert moved[0].count(0.0) == 14
    assert np.allclose(positions(cube.data)[0], blocks[0].data[0].co)
    assert not cube.show_only_shape_key


def test_shape_keys_with_different_numbers_of_vertices_are_refused() -> None:
    cube = with_keys()
    cube.data.shape_keys.key_blocks["Up"].data[0].co = cube.data.vertices[1].co
    cube.modifiers.new("Weld", "WELD").merge_threshold = 0.01
    before = scene_dump.dump("objects", "meshes", "shape_keys")
    with pytest.raises(ValueError, match="different numbers of vertices"):
        edits().apply_modifiers("Crate")
    assert scene_dump.changed(before, "objects", "meshes", "shape_keys") == {}
    assert edits().apply_modifiers("Crate", {"discard": True})["vertices"] == 8
    assert cube.data.shape_keys is None


def test_modifiers_use_the_place_of_the_object() -> None:
    cube = made("cube", "Crate", size=2.0, location=[5, 0, 0])
    mirror = cube.modifiers.new("Mirror", "MIRROR")
    mirror.mirror_object = made("cube", "Middle")
    edits().apply_modifiers("Crate")
    assert positions(cube.data)[:, 0].min() == pytest.approx(-11)


def test_modifiers_can_bring_materials_and_groups() -> None:
    cube = made("cube", "Crate")
    other = made("cube", "Other", location=[0.5, 0.5, 0.5])
    other.data.materials.append(bpy.data.materials.new("Cut"))
    cut = cube.modifiers.new("Cut", "BOOLEAN")
    cut.object, cut.solver, cut.material_mode = other, "EXACT", "TRANSFER"
    edits().apply_modifiers("Crate")
    assert "Cut" in [each.name for each in cube.data.materials if each is not None]


def test_particles_stay() -> None:
    cube = made("cube", "Crate")
    cube.modifiers.new("Hair", "PARTICLE_SYSTEM")
    assert edits().apply_modifiers("Crate")["applied"] == []
    assert cube.modifiers.keys() == ["Hair"]


# triangulate and quads


@pytest.mark.parametrize("method", ["beauty", "fixed", "alternate", "shortest_diagonal", "longest_diagonal"])
def test_triangles_and_back_to_quads(method: str) -> None:
    torus = made("torus", "Ring", segments=12)
    furnished(torus)
    quads = len(torus.data.polygons)
    assert edits().triangulate("Ring", {"quads": method})["faces"] == 2 * quads
    check_furniture(torus)
    assert edits().quads("Ring", {"face_angle": math.pi, "shape_angle": math.pi})["faces"] == quads
    check_furniture(torus)


def test_only_large_faces_are_divided() -> None:
    cylinder = made("cylinder", "Can", segments=8)
    assert edits().triangulate("Can", {"min_vertices": 5, "polygons": "clip"}) == {
        "name": "Can",
        "vertices": 16,
        "faces": 8 + 2 * 6,
        "triangles": 28,
    }
    assert {len(each.vertices) for each in cylinder.data.polygons} == {3, 4}


def test_materials_are_borders_of_quads() -> None:
    plane = made("plane", "Floor")
    for name in ("A", "B"):
        plane.data.materials.append(bpy.data.materials.new(name))
    edits().triangulate("Floor")
    plane.data.polygons[0].material_index = 1
    assert edits().quads("Floor")["faces"] == 2
    plane.data.polygons[0].material_index = 0
    assert edits().quads("Floor")["faces"] == 1


@pytest.mark.parametrize("edit", ["triangulate", "quads"])
def test_shape_keys_stay(edit: str) -> None:
    cube = with_keys()
    getattr(edits(), edit)("Crate")
    blocks = cube.data.shape_keys.key_blocks
    assert [round(b.co.z - a.co.z, 5) for a, b in zip(blocks[0].data, blocks[1].data, strict=True)] == [1.0] + [0.0] * 7


def test_custom_normals_stay() -> None:
    cube = made("cube", "Crate")
    chosen = np.random.default_rng(1).normal(size=(24, 3))
    chosen /= np.linalg.norm(chosen, axis=1)[:, None]
    cube.data.normals_split_custom_set(chosen)
    before = normals(cube.data)
    edits().triangulate("Crate")
    assert normals(cube.data) == before
    assert addon.scene_mesh_edits._NORMALS not in cube.data.attributes


def normals(mesh: Any) -> set[tuple[Any, ...]]:
    """The vertex and the rounded normal of each corner."""
    vectors = [each.vector for each in mesh.corner_normals]
    return {
        (loop.vertex_index, *(round(number, 1) for number in vector))
        for loop, vector in zip(mesh.loops, vectors, strict=True)
    }


def test_other_objects_share_the_triangles() -> None:
    cube = made("cube", "Crate")
    other = cube.copy()
    edits().triangulate("Crate")
    assert other.data == cube.data
    assert len(other.data.polygons) == 12


CALLS: list[Callable[[Any], Any]] = [
    lambda handlers: handlers.apply_modifiers("Crate"),
    lambda handlers: handlers.decimate("Crate", {"ratio": 0.5}),
    lambda handlers: handlers.decimate("Crate", {"ratio": [0.5]}),
    lambda handlers: handlers.triangulate("Crate"),
    lambda handlers: handlers.quads("Crate"),
]


@pytest.mark.parametrize("call", CALLS)
def test_an_object_in_edit_mode_is_refused(call: Callable[[Any], Any]) -> None:
    cube = made("cube", "Crate")
    cube.modifiers.new("Two", "ARRAY")
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(ValueError, match="is in Edit Mode: switch to Object Mode first"):
        call(edits())
    assert bpy.context.mode == "EDIT_MESH"


@pytest.mark.parametrize("call", CALLS)
def test_another_object_may_be_in_edit_mode(call: Callable[[Any], Any]) -> None:
    made("cube", "Crate").modifiers.new("Two", "ARRAY").count = 2
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    bpy.ops.object.mode_set(mode="EDIT")
    call(edits())
    assert bpy.context.mode == "EDIT_MESH"


@pytest.mark.parametrize("call", CALLS)
def test_a_mesh_without_faces_is_no_error(call: Callable[[Any], Any]) -> None:
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Crate", bpy.data.meshes.new("Crate")))
    result = call(edits())
    assert (result[0] if isinstance(result, list) else result)["faces"] == 0


# All mesh objects


@pytest.fixture
def three() -> list[Any]:
    """Two objects that share a mesh with 128 triangles, and one of 12 triangles."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    ball = made("uv_sphere", "A", segments=12)
    twin = bpy.data.objects.new("B", ball.data)
    bpy.context.scene.collection.objects.link(twin)
    return [ball, twin, made("cube", "C")]


def test_nil_is_all_meshes_and_a_shared_one_changes_once(three: list[Any]) -> None:
    before = edits()._triangles(three[0].data)
    results = edits().decimate(None, {"ratio": 0.5})
    assert [each["name"] for each in results] == ["A", "B", "C"]
    assert results[0]["triangles"] == results[1]["triangles"] == pytest.approx(before / 2, abs=2)
    assert results[2]["triangles"] == 6
    assert three[0].data == three[1].data


def test_nil_counts_the_faces_of_all_objects(three: list[Any]) -> None:
    results = edits().decimate(None, {"faces": 100})
    assert sum(each["triangles"] for each in results) == pytest.approx(100, abs=4)


def test_nil_makes_levels_of_all_objects(three: list[Any]) -> None:
    levels = edits().decimate(None, {"ratio": [0.5, 0.25]})
    assert [[each["name"] for each in level] for level in levels] == [
        [f"{name}_LOD{place}" for name in "ABC"] for place in (1, 2)
    ]


def test_nil_divides_and_joins_the_faces_of_all(three: list[Any]) -> None:
    assert [each["faces"] == each["triangles"] for each in edits().triangulate(None)] == [True] * 3
    assert [each["faces"] for each in edits().quads(None)][2] == 6


def test_nil_applies_the_modifiers_of_all(three: list[Any]) -> None:
    for each, count in zip(three, (2, 3, 0), strict=True):
        if count:
            each.modifiers.new("Row", "ARRAY").count = count
    vertices = len(three[0].data.vertices)
    results = edits().apply_modifiers(None, {"modifiers": ["Row"]})
    assert [each["vertices"] for each in results] == [2 * vertices, 3 * vertices, 8]
    assert [each["applied"] for each in results] == [["Row"], ["Row"], []]
    assert [len(each.modifiers) for each in three] == [0, 0, 0]


def test_nil_keeps_the_shape_of_objects_that_depend_on_each_other(three: list[Any]) -> None:
    three[0].modifiers.new("Row", "ARRAY").count = 2
    follower = three[2].modifiers.new("Follow", "SHRINKWRAP")
    follower.target = three[0]
    bpy.context.view_layer.update()
    shape = three[2].evaluated_get(bpy.context.evaluated_depsgraph_get())
    wanted = positions(shape.data).copy()
    edits().apply_modifiers(None)
    assert np.allclose(positions(three[2].data), wanted, atol=1e-5)


def test_nil_without_meshes() -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    for call in (edits().apply_modifiers, edits().triangulate, edits().quads):
        with pytest.raises(ValueError, match="the scene has no mesh objects"):
            call(None)


def test_nil_is_refused_as_a_whole(three: list[Any]) -> None:
    three[2].shape_key_add(name="Basis")
    before = scene_dump.dump("meshes")
    with pytest.raises(ValueError, match="'C' would lose its shape keys"):
        edits().decimate(None, {"ratio": 0.5})
    assert scene_dump.changed(before, "meshes") == {}
