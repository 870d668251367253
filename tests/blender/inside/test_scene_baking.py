"""Baked images: their values in known scenes, and nothing else in Blender changes."""

import math
from pathlib import Path
from typing import Any

import addon
import bpy
import imbuf
import numpy as np
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")

SMALL = {"width": 16, "height": 16, "samples": 16, "margin": 0}

KINDS = ["diffuse", "normal", "ao"]


def bake(kind: str, name: str, **options: Any) -> Any:
    return addon.scene_baking.bake(kind, name, {**SMALL, **options})


def pixels(name: str) -> Any:
    """The pixels of an image, row by row, each of red, green, blue and alpha."""
    image = bpy.data.images[name]
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)


@pytest.fixture
def floor() -> Any:
    """A plane of 2 m, with a UV map that covers the image, above which nothing is."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    floor = bpy.data.objects[addon.scene_objects.create_primitive("plane", "Floor")]
    layer = floor.data.uv_layers.new(name="Map")
    for loop in floor.data.loops:
        x, y, _ = floor.data.vertices[loop.vertex_index].co
        layer.uv[loop.index].vector = ((x + 1) / 2, (y + 1) / 2)
    return floor


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_name_the_image_is_a_png_file_and_nothing_changes(floor: Any, kind: str, tmp_path: Path) -> None:
    addon.scene_materials.set_material("Floor", {"base_color": [1, 0, 0]})
    bake(kind, "Floor")  # Blender itself updates other nodes when it adds the first one.
    before = scene_dump.dump()
    data = bake(kind, "Floor", width=20, height=10)
    assert scene_dump.changed(before) == {}
    path = tmp_path / "baked.png"
    path.write_bytes(data)
    assert tuple(imbuf.load(str(path)).size) == (20, 10)


def test_a_plane_below_nothing_is_white(floor: Any) -> None:
    assert bake("ao", "Floor", image="AO") == "AO"
    assert np.allclose(pixels("AO"), 1.0, atol=0.01)
    image = bpy.data.images["AO"]
    assert (image.colorspace_settings.name, image.size[:], image.packed_file is not None) == (
        "Non-Color",
        (16, 16),
        True,
    )


@pytest.mark.parametrize("way", ["shown", "hide_render", "excluded", "hide_viewport"])
def test_what_is_rendered_makes_the_plane_dark(floor: Any, way: str) -> None:
    box = bpy.data.objects[addon.scene_objects.create_cube("Box", {"size": 1.0, "location": [0, 0, 0.55]})]
    if way == "excluded":
        group = bpy.data.collections.new("Excluded")
        bpy.context.scene.collection.children.link(group)
        bpy.context.scene.collection.objects.unlink(box)
        group.objects.link(box)
        bpy.context.view_layer.layer_collection.children["Excluded"].exclude = True
    elif way != "shown":
        setattr(box, way, True)
    bake("ao", "Floor", image="AO")
    values = pixels("AO")[:, :, 0]
    middle, corner = values[6:10, 6:10].mean(), values[0, 0]
    if way in ("shown", "hide_viewport"):
        assert middle < 0.1
        assert 0.6 < corner < 1.0
    else:
        assert middle > 0.99


@pytest.mark.parametrize("others", [{}, {"metallic": 1}, {"coat": 1, "sheen": 1, "transmission": 1, "subsurface": 1}])
@pytest.mark.parametrize("linear", [(1.0, 0.0, 0.0), (0.5, 0.25, 0.05)])
def test_diffuse_is_the_base_color(floor: Any, linear: tuple[float, float, float], others: dict[str, float]) -> None:
    addon.scene_materials.set_material("Floor", {"base_color": list(linear), **others})
    bake("diffuse", "Floor", image="Färbung")
    encoded = [1.055 * each ** (1 / 2.4) - 0.055 if each > 0.0031308 else each * 12.92 for each in linear]
    assert np.allclose(pixels("Färbung")[:, :, :3], encoded, atol=0.01)
    assert bpy.data.images["Färbung"].colorspace_settings.name == "sRGB"


@pytest.mark.parametrize(
    ("space", "expected"), [("tangent", (0.5, 0.5, 1.0)), ("object", (0.5, 0.5, 1.0)), (None, (0.5, 0.5, 1.0))]
)
def test_normals_of_a_plane(floor: Any, space: str | None, expected: Any) -> None:
    floor.rotation_euler = (1.0, 0.5, 0.0)
    bake("normal", "Floor", image="Normal", **({"space": space} if space else {}))
    assert np.allclose(pixels("Normal")[:, :, :3], expected, atol=0.01)


def test_normals_of_a_slope_in_both_spaces(floor: Any) -> None:
    for vertex in floor.data.vertices:
        vertex.co.z = vertex.co.x
    bake("normal", "Floor", image="Tangent")
    bake("normal", "Floor", image="Object", space="object")
    assert np.allclose(pixels("Tangent")[:, :, :3], (0.5, 0.5, 1.0), atol=0.01)
    tilted = (0.5 - math.sqrt(0.5) / 2, 0.5, 0.5 + math.sqrt(0.5) / 2)
    assert np.allclose(pixels("Object")[:, :, :3], tilted, atol=0.01)


def test_the_image_is_replaced_for_its_users(floor: Any) -> None:
    texture = bpy.data.textures.new("Texture", "IMAGE")
    texture.image = bpy.data.images.new("AO", 4, 4)
    assert bake("ao", "Floor", image="AO") == "AO"
    assert texture.image == bpy.data.images["AO"]
    assert texture.image.size[:] == (16, 16)


def test_a_uv_map_is_made_only_if_asked() -> None:
    ball = bpy.data.objects[addon.scene_objects.create_primitive("uv_sphere", "Ball", {"location": [0, 5, 0]})]
    before, meshes = scene_dump.dump(), scene_dump.dump("meshes")
    with pytest.raises(ValueError, match="has no UV map: make one, or set the option unwrap"):
        bake("ao", "Ball")
    assert scene_dump.changed(before) == {}
    bake("ao", "Ball", unwrap=True, image="AO")
    assert ball.data.uv_layers.keys() == ["UVMap"]
    values = np.empty(2 * len(ball.data.loops), np.float32)
    ball.data.uv_layers[0].uv.foreach_get("vector", values)
    assert 0 <= values.min() < 0.1
    assert 0.5 < values.max() <= 1
    assert (pixels("AO")[:, :, 0] > 0.5).mean() > 0.3
    others = [path for path in scene_dump.changed(meshes, "meshes") if not path.startswith("meshes['Ball']")]
    assert others == []
    assert set(bpy.data.objects.keys()) == {"Ball", "Camera", "Cube", "Light"}


def test_the_uv_map_can_be_named(floor: Any) -> None:
    second = floor.data.uv_layers.new(name="Ecke")
    for each in second.uv:
        each.vector = each.vector / 2
    floor.data.uv_layers["Map"].active = True
    bake("ao", "Floor", image="AO", uv_map="Ecke")
    covered = pixels("AO")[:, :, 0] > 0.5
    assert covered[:8, :8].all()
    assert not covered[8:, 8:].any()
    with pytest.raises(LookupError, match="no UV map 'Nowhere'; there are: Map, Ecke"):
        bake("ao", "Floor", uv_map="Nowhere")


def test_the_margin_grows_the_parts(floor: Any) -> None:
    for each in floor.data.uv_layers["Map"].uv:
        each.vector = each.vector / 2
    bake("ao", "Floor", image="AO", margin=4)
    assert np.count_nonzero(pixels("AO")[:, :, 0] > 0.5) > 100
    bake("ao", "Floor", image="AO", margin=0)
    assert np.count_nonzero(pixels("AO")[:, :, 0] > 0.5) == 64


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT", "TEXTURE_PAINT"])
@pytest.mark.parametrize("name", ["Floor", "Other"])
def test_the_user_can_be_in_any_mode(floor: Any, mode: str, name: str) -> None:
    addon.scene_objects.create_cube("Other", {"location": [0, 0, -5]})
    bpy.context.view_layer.objects.active = bpy.data.objects[name]
    bpy.ops.object.mode_set(mode=mode)
    bake("ao", "Floor", image="AO")
    assert bpy.context.object.mode == mode
    assert np.allclose(pixels("AO"), 1.0, atol=0.01)
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.mark.parametrize("way", ["hide_render", "hide_viewport", "no scene"])
def test_hidden_objects_can_be_baked(floor: Any, way: str) -> None:
    if way == "no scene":
        bpy.context.scene.collection.objects.unlink(floor)
    else:
        setattr(floor, way, True)
    bake("ao", "Floor", image="AO")
    assert np.allclose(pixels("AO"), 1.0, atol=0.01)


def test_materials_can_be_absent_or_shared_by_slots(floor: Any) -> None:
    shared = bpy.data.materials.new("Shared")
    for material in (None, shared, shared):
        floor.data.materials.append(material)
    bake("diffuse", "Floor")
    before = scene_dump.dump("objects", "meshes", "materials")
    bake("diffuse", "Floor")
    assert scene_dump.changed(before, "objects", "meshes", "materials") == {}


def test_modifiers_have_an_effect(floor: Any) -> None:
    copies = floor.modifiers.new("Above", "ARRAY")
    copies.use_relative_offset, copies.offset_u = False, 1.0
    copies.use_constant_offset, copies.constant_offset_displace = True, (0, 0, 0.05)
    bake("ao", "Floor", image="AO")
    assert pixels("AO")[8, 8, 0] < 0.2


def test_an_empty_file_has_no_new_datablock() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.scene_objects.create_cube("Crate")
    before = scene_dump.dump()
    bake("diffuse", "Crate", unwrap=True)
    added = {path.split("[")[0] for path, (former, _) in scene_dump.changed(before).items() if former is None}
    assert added <= {"meshes"}


def test_nil_is_all_meshes_with_faces(floor: Any) -> None:
    twin = bpy.data.objects.new("Twin", floor.data)
    addon.scene_materials.set_material("Floor", {"base_color": [1, 0, 0]})
    for each in (twin, bpy.data.objects.new("Points", bpy.data.meshes.new("Points"))):
        bpy.context.scene.collection.objects.link(each)
    while floor.data.uv_layers:
        floor.data.uv_layers.remove(floor.data.uv_layers[0])
    with pytest.raises(ValueError, match="has no UV map"):
        bake("diffuse", None)
    baked = bake("diffuse", None, unwrap=True)
    assert set(baked) == {"Floor", "Twin"}
    assert all(data.startswith(b"\x89PNG") for data in baked.values())
    assert len(floor.data.uv_layers) == 1
    with pytest.raises(ValueError, match="the option image is for one object"):
        bake("diffuse", None, image="All")
