"""Render passes: their numbers are those of the scene, and the scene has its old settings afterwards."""

from typing import Any

import addon
import bpy
import numpy as np
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("facing_scene")

SIZE = {"engine": "cycles", "width": 32, "height": 24}

DISTANCE = 7.5

COLORS = (
    *("diffuse_color", "diffuse_direct", "diffuse_indirect", "glossy_color", "glossy_direct", "glossy_indirect"),
    *("transmission_color", "emission", "environment", "ambient_occlusion", "shadow_catcher"),
)

CHANNELS = {
    "combined": 4,
    "depth": 1,
    "mist": 1,
    "position": 3,
    "normal": 3,
    "vector": 4,
    "uv": 3,
    "object_index": 1,
    "material_index": 1,
    **dict.fromkeys(COLORS, 3),
}


@pytest.fixture
def facing_scene(scene_handlers: None) -> None:
    """A camera above the origin that looks down at the top of a cube, which does not fill the picture."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    camera = bpy.data.objects["Camera"]
    camera.location, camera.rotation_euler = (0.0, 0.0, DISTANCE + 1.0), (0.0, 0.0, 0.0)
    cube = bpy.data.objects["Cube"]
    cube.pass_index, cube.data.materials[0].pass_index = 7, 9
    # The image for results is there before the first dump. A small one is made sooner.
    scene.render.resolution_percentage = 1
    bpy.ops.render.render()
    scene.render.resolution_percentage = 100


def rendered(name: str, **options: Any) -> Any:
    """A pass, of shape (height, width, channels), with the lowest row first."""
    found = addon.scene_passes.render_pass(name, {**SIZE, **options})
    assert set(found) == {"width", "height", "channels", "pixels"}
    shape = found["height"], found["width"], found["channels"]
    return np.frombuffer(found["pixels"], "<f4").reshape(shape)


def on_the_cube(values: Any) -> Any:
    return values[values.shape[0] // 2, values.shape[1] // 2].tolist()


@pytest.mark.parametrize("name", CHANNELS)
def test_each_pass_has_its_channels_and_changes_nothing(name: str) -> None:
    before = scene_dump.dump()
    values = rendered(name)
    assert values.shape == (24, 32, CHANNELS[name])
    assert np.isfinite(values).all()
    assert scene_dump.changed(before) == {}


def test_all_passes_are_tested() -> None:
    assert set(CHANNELS) == set(addon.scene_passes.PASSES)


def test_the_depth_is_the_distance_from_the_plane_of_the_camera() -> None:
    depth = rendered("depth")[..., 0]
    covered = depth < 1e9
    assert 0.05 < covered.mean() < 0.9
    assert depth[12, 16] == pytest.approx(DISTANCE, rel=1e-5)
    # The whole top is as far from the plane, though its corners are farther from the camera.
    assert np.median(depth[covered]) == pytest.approx(DISTANCE, rel=1e-5)
    assert depth[0, 0] == pytest.approx(1e10)


def test_normals_are_unit_vectors_in_world_space() -> None:
    bpy.data.objects["Cube"].rotation_euler = (0.4, 0.3, 0.2)
    normals = rendered("normal")
    lengths = np.linalg.norm(normals, axis=2)
    covered = lengths > 0.5
    assert 0.05 < covered.mean() < 0.9
    assert lengths[covered] == pytest.approx(1.0, abs=1e-4)
    assert (lengths[~covered] == 0).all()
    bpy.context.view_layer.update()
    top = bpy.data.objects["Cube"].matrix_world.to_3x3() @ bpy.data.meshes["Cube"].polygons[0].normal
    assert any(np.allclose(normals[12, 16], each, atol=1e-4) for each in _normals()), (normals[12, 16], top)


def _normals() -> list[list[float]]:
    turn = bpy.data.objects["Cube"].matrix_world.to_3x3()
    return [list(turn @ face.normal) for face in bpy.data.meshes["Cube"].polygons]


def test_positions_and_rows_from_bottom_to_top() -> None:
    positions = rendered("position")
    assert positions[12, 16, 2] == pytest.approx(1.0, abs=1e-4)
    rows = positions[positions[:, 16, 2] > 0.5, 16]
    assert (np.diff(rows[:, 1]) > 0).all()
    columns = positions[12, positions[12, :, 2] > 0.5]
    assert (np.diff(columns[:, 0]) > 0).all()


@pytest.mark.parametrize(("name", "index"), [("object_index", 7.0), ("material_index", 9.0)])
def test_indices_are_not_mixed_at_edges(name: str, index: float) -> None:
    values = rendered(name)
    assert set(np.unique(values)) == {0.0, index}
    assert on_the_cube(values) == [index]


def test_uvs() -> None:
    u, v, covered = on_the_cube(rendered("uv"))
    assert 0.0 <= u <= 1.0
    assert 0.0 <= v <= 1.0
    assert covered == 1.0


def test_mist_grows_with_the_distance() -> None:
    mist = bpy.context.scene.world.mist_settings
    mist.start, mist.depth, mist.falloff = DISTANCE - 1.0, 4.0, "LINEAR"
    assert on_the_cube(rendered("mist")) == [pytest.approx(0.25, abs=0.01)]


def test_colors_are_linear() -> None:
    material = bpy.data.objects["Cube"].data.materials[0]
    principled = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    principled.inputs["Base Color"].default_value = (0.5, 0.25, 0.125, 1.0)
    red, green, blue = on_the_cube(rendered("diffuse_color"))
    assert (red / green, green / blue) == (pytest.approx(2.0, rel=0.01), pytest.approx(2.0, rel=0.01))
    bpy.context.scene.view_settings.exposure = 4.0
    assert on_the_cube(rendered("diffuse_color")) == [red, green, blue]


def test_the_size_is_that_of_the_scene_and_the_layer_can_be_chosen() -> None:
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 20, 10, 50
    scene.view_layers[0].name = "Schicht ä.1"
    other = scene.view_layers.new("Leer")
    other.layer_collection.children["Collection"].exclude = True
    before = scene_dump.dump("scenes")
    found = addon.scene_passes.render_pass("object_index")
    assert (found["width"], found["height"], len(found["pixels"])) == (20, 10, 800)
    assert rendered("object_index").max() == 7.0
    assert rendered("object_index", view_layer="Leer").max() == 0.0
    assert rendered("object_index", view_layer="Schicht ä.1").max() == 7.0
    assert scene_dump.changed(before, "scenes") == {}


def test_an_upload_takes_a_pass() -> None:
    found = addon.scene_passes.render_pass("normal", SIZE)
    upload = addon.scene_image.upload_image
    assert upload("Normal", found["width"], found["height"], found["channels"], found["pixels"]) == "Normal"
    assert list(bpy.data.images["Normal"].size) == [32, 24]


def test_a_pass_that_the_engine_does_not_have() -> None:
    """An engine of an add-on, which has only the pass Combined."""

    class Plain(bpy.types.RenderEngine):
        bl_idname = "PLAIN_TEST"
        bl_label = "Plain"

        def render(self, depsgraph: bpy.types.Depsgraph) -> None:  # type: ignore[override]
            self.end_result(self.begin_result(0, 0, 32, 24))

    bpy.utils.register_class(Plain)
    try:
        bpy.context.scene.render.engine = "PLAIN_TEST"
        before = scene_dump.dump("scenes", "images")
        with pytest.raises(ValueError, match=r"^the render engine of the scene does not have the pass 'object_index'"):
            addon.scene_passes.render_pass("object_index", {"width": 32, "height": 24})
        assert scene_dump.changed(before, "scenes", "images") == {}
        found = addon.scene_passes.render_pass("combined", {"width": 32, "height": 24})
        assert found["channels"] == 4
    finally:
        bpy.context.scene.render.engine = "CYCLES"
        bpy.utils.unregister_class(Plain)


def test_a_scene_without_a_camera() -> None:
    bpy.context.scene.camera = None
    with pytest.raises(ValueError, match=r"^the scene has no camera: make one with create_camera$"):
        rendered("depth")


@pytest.mark.parametrize("cut", [0, 3, 8, 100, 5000, -1])
def test_a_file_that_is_cut_is_an_error(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk."""

    def shorten(*_scene: object) -> None:
        part = bpy.path.abspath(bpy.context.scene.render.filepath.replace("{{", "{").replace("}}", "}"))
        with open(part, "r+b") as file:
            file.truncate(cut if cut >= 0 else file.seek(0, 2) + cut)

    before = scene_dump.dump("scenes", "images")
    bpy.app.handlers.render_write.append(shorten)
    try:
        with pytest.raises(OSError, match=r"^Blender could not write the whole pass: is the disk full\?$"):
            rendered("depth")
    finally:
        bpy.app.handlers.render_write.remove(shorten)
    assert scene_dump.changed(before, "scenes", "images") == {}
