"""Pictures of objects, collections, scenes and materials: what is to be seen in them, and that nothing else changes."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import addon
import bpy
import numpy as np
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("rendered")

SMALL = {"width": 64, "height": 64, "samples": 1}

MARGIN = 0.06


@pytest.fixture
def rendered(scene_handlers: None) -> None:
    """The default scene after a first thumbnail: the image for results is there, and nodes are up to date."""
    thumbnail("object", "Cube")


def thumbnail(kind: str = "scene", name: str | None = None, **options: Any) -> Any:
    """The pixels of a small thumbnail, of shape (height, width, 4)."""
    return pixels(addon.scene_thumbnails.thumbnail(kind, name, {**SMALL, **options}))


def pixels(data: bytes) -> Any:
    """The pixels of a picture, of shape (height, width, 4), with the lowest row first."""
    assert data.startswith(b"\x89PNG")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        path.write_bytes(data)
        image = bpy.data.images.load(str(path))
        try:
            width, height = image.size
            return np.array(image.pixels[:]).reshape(height, width, 4)
        finally:
            bpy.data.images.remove(image)


def turned(*arguments: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    """The result of a turntable, and its progress."""
    call = addon.scene_thumbnails.turntable(*arguments, {**SMALL, **options})
    progress = []
    while True:
        try:
            progress.append(next(call))
        except StopIteration as end:
            return end.value, progress


def part_covered(picture: Any) -> float:
    return float((picture[..., 3] > 0.5).mean())


def borders(picture: Any) -> tuple[float, float, float, float]:
    """The free parts of the picture: at the left, the right, below, above."""
    shown = picture[..., 3] > 0.5
    height, width = shown.shape
    across, up = np.flatnonzero(shown.any(axis=0)), np.flatnonzero(shown.any(axis=1))
    return (
        across[0] / width,
        1 - (across[-1] + 1) / width,
        up[0] / height,
        1 - (up[-1] + 1) / height,
    )


def assert_framed(picture: Any) -> None:
    """The subject fills the picture in one direction, is in the middle of it, and is not cut off."""
    left, right, below, above = borders(picture)
    pixel = 1.5 / min(picture.shape[:2])
    assert min(left, right, below, above) > MARGIN - 2 * pixel
    assert left == pytest.approx(right, abs=2 * pixel)
    assert below == pytest.approx(above, abs=2 * pixel)
    assert min(left, below) < MARGIN + 2 * pixel
    assert picture[0, 0, 3] == picture[-1, -1, 3] == 0
    assert part_covered(picture) > 0.02


def cube() -> Any:
    return bpy.data.objects["Cube"]


def _new(name: str, data: Any = None) -> Any:
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def _small() -> str:
    cube().scale = (1e-4,) * 3
    return "Cube"


def _large() -> str:
    cube().scale = (1e6,) * 3
    return "Cube"


def _far() -> str:
    cube().location = (5000.0, -3000.0, 1000.0)
    return "Cube"


def _thin() -> str:
    cube().scale = (5.0, 0.1, 1.0)
    cube().rotation_euler = (1.0, 2.0, 3.0)
    return "Cube"


def _named() -> str:
    cube().name = "Würfel 立方体 🧊"
    return "Würfel 立方体 🧊"


def _hidden() -> str:
    cube().hide_render = cube().hide_viewport = True
    cube().hide_set(True)
    return "Cube"


def _excluded() -> str:
    bpy.context.view_layer.layer_collection.children["Collection"].exclude = True
    return "Cube"


def _in_no_scene() -> str:
    bpy.data.objects.new("Lonely", cube().data)
    return "Lonely"


def _array() -> str:
    """Only renders show the modifier."""
    modifier = cube().modifiers.new("Array", "ARRAY")
    modifier.count, modifier.show_viewport = 5, False
    return "Cube"


def _instances() -> str:
    group = bpy.data.collections.new("Group")
    group.objects.link(bpy.data.objects.new("Part", cube().data))
    group.instance_offset = (3.0, 0.0, 0.0)
    made = _new("Instance")
    made.instance_type, made.instance_collection = "COLLECTION", group
    made.location, made.scale = (0.0, 20.0, 0.0), (2.0, 2.0, 0.5)
    return "Instance"


def _parent() -> str:
    made = _new("Parent")
    for place in (-3.0, 3.0):
        child = _new("Child", cube().data)
        child.parent, child.location = made, (place, 0.0, 0.0)
    made.location = (0.0, 0.0, 7.0)
    return "Parent"


def _text() -> str:
    curve = bpy.data.curves.new("Text", "FONT")
    curve.body = "Straße"
    return str(_new("Text", curve).name)


def _black_world() -> str:
    bpy.context.scene.world = None
    bpy.data.objects["Light"].data.energy = 1e6
    return "Cube"


SUBJECTS: list[Callable[[], str]] = [
    lambda: "Cube",
    _small,
    _large,
    _far,
    _thin,
    _named,
    _hidden,
    _excluded,
    _in_no_scene,
    _array,
    _instances,
    _parent,
    _text,
    _black_world,
]


@pytest.mark.parametrize("make", SUBJECTS, ids=lambda make: make.__name__.strip("_<>"))
def test_objects_are_framed_and_lit_and_nothing_changes(make: Callable[[], str]) -> None:
    name = make()
    thumbnail("object", name)  # Only now positions of objects that belong to no scene are up to date.
    before = scene_dump.dump()
    picture = thumbnail("object", name)
    assert scene_dump.changed(before) == {}
    assert_framed(picture)
    shown = picture[picture[..., 3] == 1.0][:, :3]
    assert 0.2 < shown.mean() < 0.98


@pytest.mark.parametrize("side", ["front", "back", "left", "right", "top", "bottom", [1, 1, 1], [0, 1e-30, 1e-20]])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 32), (32, 96)])
def test_sides_and_sizes(side: Any, width: int, height: int) -> None:
    cube().dimensions = (2.0, 4.0, 1.0)
    picture = thumbnail("object", "Cube", width=width, height=height, **{"from": side})
    assert picture.shape == (height, width, 4)
    assert_framed(picture)


def test_the_camera_is_on_the_side_that_is_named() -> None:
    """A marker at +X, +Y and +Z of the cube shows what is to the right and above."""
    made = _new("Marker", cube().data)
    made.scale, made.location = (0.2,) * 3, (2.0, 2.0, 2.0)
    made.parent = cube()
    material = bpy.data.materials.new("Red")
    material.use_nodes = True
    principled = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    principled.inputs["Base Color"].default_value = (1.0, 0.0, 0.0, 1.0)
    made.data = made.data.copy()
    made.data.materials[0] = material
    right_and_up = {"front": (1, 1), "back": (-1, 1), "left": (-1, 1), "right": (1, 1), "top": (1, 1)}
    for side, (across, up) in right_and_up.items():
        picture = thumbnail("object", "Cube", **{"from": side})
        red = (picture[..., 3] > 0.5) & (picture[..., 0] > 1.3 * picture[..., 1])
        rows, columns = np.nonzero(red)
        assert len(rows), side
        assert (np.sign(columns.mean() - 31.5), np.sign(rows.mean() - 31.5)) == (across, up), side


def test_two_calls_return_the_same_bytes_whatever_the_scene_is_set_to() -> None:
    first = addon.scene_thumbnails.thumbnail("object", "Cube", SMALL)
    scene = bpy.context.scene
    scene.render.film_transparent, scene.render.resolution_percentage = False, 10
    scene.render.use_multiview = scene.render.use_border = True
    scene.view_settings.exposure = 5.0
    scene.cycles.samples, scene.cycles.seed = 3, 7
    bpy.data.objects["Light"].data.energy = 1e6
    assert addon.scene_thumbnails.thumbnail("object", "Cube", SMALL) == first


def test_the_defaults() -> None:
    data = addon.scene_thumbnails.thumbnail()
    assert pixels(data).shape == (256, 256, 4)
    assert_framed(pixels(data))


# Other kinds


def test_a_scene_shows_what_its_render_would_show() -> None:
    assert_framed(thumbnail())
    far = _new("Far", cube().data)
    far.location = (20.0, 0.0, 0.0)
    both = part_covered(thumbnail("scene"))
    far.hide_render = True
    assert part_covered(thumbnail("scene")) > 10 * both
    far.hide_render = False
    group = bpy.data.collections.new("Excluded")
    bpy.context.scene.collection.objects.unlink(far)
    group.objects.link(far)
    bpy.context.scene.collection.children.link(group)
    assert part_covered(thumbnail("scene")) == pytest.approx(both)
    bpy.context.view_layer.layer_collection.children["Excluded"].exclude = True
    before = scene_dump.dump()
    assert part_covered(thumbnail("scene", "Scene")) > 10 * both
    assert scene_dump.changed(before) == {}


def test_another_scene_than_the_current_one() -> None:
    other = bpy.data.scenes.new("Zweite Szene")
    made = bpy.data.objects.new("Other", cube().data)
    other.collection.objects.link(made)
    assert_framed(thumbnail("scene", "Zweite Szene"))
    assert bpy.context.scene.name == "Scene"


def test_collections() -> None:
    group = bpy.data.collections.new("Gruppe")
    group.hide_render = True
    inner = bpy.data.collections.new("Inner")
    group.children.link(inner)
    for place in (-2.0, 2.0):
        made = bpy.data.objects.new("Part", cube().data)
        made.location.z = place
        inner.objects.link(made)
    thumbnail("collection", "Gruppe")
    before = scene_dump.dump("collections", "objects", "scenes")
    picture = thumbnail("collection", "Gruppe")
    assert scene_dump.changed(before, "collections", "objects", "scenes") == {}
    assert_framed(picture)
    left, _right, below, _above = borders(picture)
    assert left > 2 * below


def test_materials_are_shown_on_a_ball() -> None:
    material = bpy.data.materials.new("Grün")
    material.use_nodes = True
    principled = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    principled.inputs["Base Color"].default_value = (0.0, 0.5, 0.0, 1.0)
    thumbnail("material", "Grün")
    before = scene_dump.dump()
    picture = thumbnail("material", "Grün", samples=4)
    assert scene_dump.changed(before) == {}
    assert_framed(picture)
    assert part_covered(picture) == pytest.approx(math.pi / 4 * (1 - 2 * MARGIN) ** 2, rel=0.05)
    red, green, blue = picture[picture[..., 3] == 1.0][:, :3].mean(axis=0)
    assert green > 1.5 * max(red, blue)


def test_a_material_for_grease_pencil_is_refused() -> None:
    material = bpy.data.materials.new("Pencil")
    bpy.data.materials.create_gpencil_data(material)
    with pytest.raises(ValueError, match=r"^the material 'Pencil' is for Grease Pencil"):
        thumbnail("material", "Pencil")


def _lamp() -> tuple[str, str]:
    return "object", "Light"


def _empty_scene() -> tuple[str, str]:
    return "scene", str(bpy.data.scenes.new("Leer").name)


def _empty_collection() -> tuple[str, str]:
    return "collection", str(bpy.data.collections.new("Leer").name)


def _without_faces() -> tuple[str, str]:
    mesh = bpy.data.meshes.new("Points")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0)], [(0, 1)], [])
    return "object", str(_new("Points", mesh).name)


def _hidden_parts() -> tuple[str, str]:
    cube().hide_render = True
    return "scene", "Scene"


@pytest.mark.parametrize("make", [_lamp, _empty_scene, _empty_collection, _without_faces, _hidden_parts])
def test_what_has_no_surface_is_an_error(make: Callable[[], tuple[str, str]]) -> None:
    kind, name = make()
    before = scene_dump.dump()
    with pytest.raises(ValueError, match=f"^the {kind} '{name}' has nothing to picture"):
        thumbnail(kind, name)
    assert scene_dump.changed(before) == {}


def test_a_call_that_fails_leaves_no_image_for_results() -> None:
    bpy.data.batch_remove([image for image in bpy.data.images if image.type == "RENDER_RESULT"])
    with pytest.raises(ValueError, match="has nothing to picture"):
        thumbnail("object", "Light")
    assert [image.name for image in bpy.data.images if image.type == "RENDER_RESULT"] == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_mesh_with_coordinates_that_are_not_finite_is_an_error(number: float) -> None:
    # A single coordinate would be moved to the limits of the property.
    cube().data.vertices.foreach_set("co", np.array([number] + [1.0] * 23, np.float32))
    before = scene_dump.dump("objects", "scenes", "worlds", "lights")
    with pytest.raises(ValueError, match=r"^the mesh 'Cube' has coordinates that are not finite: repair it first$"):
        thumbnail("scene")
    assert scene_dump.changed(before, "objects", "scenes", "worlds", "lights").keys() <= _bounds_of_the_cube()


def _bounds_of_the_cube() -> set[str]:
    """What Blender calculates from the coordinates; a nan differs from itself."""
    return {f"objects['Cube'].{name}" for name in ("bound_box", "dimensions")}


def test_the_picture_is_that_of_the_current_frame() -> None:
    cube().scale = (1.0, 1.0, 1.0)
    cube().keyframe_insert("scale", frame=1)
    cube().scale = (1.0, 1.0, 4.0)
    cube().keyframe_insert("scale", frame=10)
    bpy.context.scene.frame_set(10)
    left, _right, below, _above = borders(thumbnail("object", "Cube", **{"from": "front"}))
    assert left > 2 * below


def test_linked_objects(tmp_path: Path) -> None:
    path = str(tmp_path / "library.blend")
    cube().hide_render = True
    bpy.data.libraries.write(path, {cube(), bpy.data.objects["Light"]})
    with bpy.data.libraries.load(path, link=True) as (_source, target):
        target.objects = ["Cube", "Light"]
    bpy.data.objects.remove(cube())
    for each in target.objects:
        bpy.context.scene.collection.objects.link(each)
    before = scene_dump.dump("objects", "lights", "scenes")
    assert_framed(thumbnail("object", "Cube"))
    assert scene_dump.changed(before, "objects", "lights", "scenes") == {}


# Turntables


def test_a_turntable_goes_around() -> None:
    cube().dimensions = (4.0, 2.0, 1.0)
    cube().location = (10.0, 0.0, 0.0)
    bpy.context.view_layer.update()
    before = scene_dump.dump()
    found, progress = turned("object", "Cube", count=4, **{"from": "front"})
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert scene_dump.changed(before) == {}
    pictures = [pixels(data) for data in found]
    widths = [1 - left - right for left, right, _below, _above in map(borders, pictures)]
    assert widths[0] == pytest.approx(widths[2], abs=0.05)
    assert widths[1] == pytest.approx(widths[3], abs=0.05)
    assert widths[0] > 1.4 * widths[1]
    assert all(min(borders(picture)) > 0 for picture in pictures)


def test_a_turntable_writes_files(tmp_path: Path) -> None:
    found, progress = turned("object", "Cube", count=2.0, folder=str(tmp_path / "Bilder ä"))
    assert [Path(path).name for path in found] == ["0001.png", "0002.png"]
    assert progress == [(1, 2), (2, 2)]
    assert sorted(tmp_path.glob("*/*")) == [Path(path) for path in found]
    first = addon.scene_thumbnails.turntable("object", "Cube", {**SMALL, "count": 2})
    next(first)
    first.close()
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


def test_between_two_pictures_the_scene_is_that_of_before() -> None:
    before = scene_dump.dump()
    call = addon.scene_thumbnails.turntable("object", "Cube", {**SMALL, "count": 3})
    assert next(call) == (1, 3)
    assert scene_dump.changed(before) == {}
    bpy.data.objects.remove(cube())
    with pytest.raises(LookupError, match=r"^no object named 'Cube'"):
        next(call)


def last_render(path: Path) -> tuple[tuple[int, ...], list[float]]:
    """The size and the pixels of the scene's last render, which the user sees in the Image Editor."""
    bpy.data.images["Render Result"].save_render(str(path), scene=bpy.context.scene)
    image = bpy.data.images.load(str(path))
    try:
        return tuple(image.size), list(image.pixels)
    finally:
        bpy.data.images.remove(image)


def test_the_last_render_of_the_scene_stays(tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.render.resolution_percentage = "CYCLES", 2
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    bpy.ops.render.render()
    before = last_render(tmp_path / "before.png")
    assert len(set(before[1])) > 1
    thumbnail("scene")
    turned("object", "Cube", count=2)
    assert last_render(tmp_path / "after.png") == before
