"""Valid files that Blender's exporters write, and .blend files."""

import gzip
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import bpy
from entry import VALID, Content, Entry
from shapes import Shape, content, surface, tetrahedron
from written_files import FRAMES, NAMES


class Kept(NamedTuple):
    """What a format stores besides meshes, and the operator that writes it."""

    names: bool
    materials: bool
    motion: bool
    write: Callable[[str], Any]


def _usd(path: str) -> None:
    bpy.ops.wm.usd_export(
        filepath=path, export_animation=True, export_armatures=True, export_shapekeys=True, allow_unicode=True
    )


FORMATS = {
    "glb": Kept(True, True, True, lambda path: bpy.ops.export_scene.gltf(filepath=path, export_format="GLB")),
    "fbx": Kept(
        True,
        True,
        True,
        lambda path: bpy.ops.export_scene.fbx(filepath=path, path_mode="COPY", embed_textures=True),
    ),
    "obj": Kept(True, True, False, lambda path: bpy.ops.wm.obj_export(filepath=path, path_mode="STRIP")),
    "usda": Kept(True, True, True, _usd),
    "usdc": Kept(True, True, True, _usd),
    "usdz": Kept(True, True, True, _usd),
    "stl": Kept(False, False, False, lambda path: bpy.ops.wm.stl_export(filepath=path)),
    "ply": Kept(False, False, False, lambda path: bpy.ops.wm.ply_export(filepath=path)),
    "abc": Kept(True, False, True, lambda path: bpy.ops.wm.alembic_export(filepath=path, as_background_job=False)),
    "blend": Kept(True, True, True, lambda path: bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)),
}
"""The formats that Blender writes."""

SINGLE_MESH = ("stl", "ply")


class Scene(NamedTuple):
    """A scene to export.

    Attributes:
        build: creates its objects in an empty file, and returns its shapes.
        moves: whether it has an animation.
        bounds_differ: whether the bounds also contain bones, which have another length in each format.
        formats: the formats that can store what it shows.
    """

    build: Callable[[], list[Shape]]
    moves: bool = False
    bounds_differ: bool = False
    formats: tuple[str, ...] = tuple(FORMATS)


def exported_files() -> Iterator[Entry]:
    """Yield all valid files that come from Blender."""
    with tempfile.TemporaryDirectory() as folder:
        for name, scene in SCENES.items():
            empty()
            shapes = scene.build()
            for format_ in scene.formats:
                path = Path(folder, f"{name}.{format_}")
                FORMATS[format_].write(str(path))
                yield Entry(f"exported {path.name}", path.read_bytes(), VALID, _content(scene, shapes, format_))
        yield from _compressed(Path(folder))


def empty() -> None:
    """Begin with an empty file."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.frame_end = 1 + FRAMES


def _content(scene: Scene, shapes: list[Shape], format_: str) -> Content:
    kept = FORMATS[format_]
    spelled = [
        replace(
            shape, name=_spelled(shape.name, format_), material=shape.material and _spelled(shape.material, format_)
        )
        for shape in shapes
    ]
    found = content(spelled, names=kept.names, materials=kept.materials)
    if scene.bounds_differ:
        found = replace(found, bounds=None)
    if format_ in SINGLE_MESH:
        found = replace(found, object_count=1)
    if scene.moves and kept.motion:
        found = replace(found, frames=FRAMES)
    return found


def _spelled(name: str, format_: str) -> str:
    """Return how Blender writes a name: without spaces, and in USD as an identifier."""
    if format_.startswith("usd"):
        return "".join(each if f"a{each}".isidentifier() else "_" for each in name)
    return name.replace(" ", "_") if format_ in ("obj", "abc") else name


def _compressed(folder: Path) -> Iterator[Entry]:
    """The two compressions that .blend files have."""
    empty()
    shapes = _plain()
    path = folder / "compressed.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True)
    yield Entry("exported zstd.blend", path.read_bytes(), VALID, content(shapes))
    plain = (folder / "plain.blend").read_bytes()
    yield Entry("exported gzip.blend", gzip.compress(plain), VALID, content(shapes))


# Scenes


def add(shape: Shape, parent: Any = None) -> Any:
    """Create an object with a smooth mesh, so that no format needs several vertices at one place. Return it."""
    mesh = bpy.data.meshes.new(shape.name)
    mesh.from_pydata(shape.points.tolist(), [], shape.faces)
    mesh.shade_smooth()
    if shape.material:
        found = bpy.data.materials.get(shape.material) or bpy.data.materials.new(shape.material)
        found.use_nodes = True
        mesh.materials.append(found)
    made = bpy.data.objects.new(shape.name, mesh)
    made.parent = parent
    bpy.context.collection.objects.link(made)
    return made


def _plain() -> list[Shape]:
    add(tetrahedron())
    return [tetrahedron()]


def _family() -> list[Shape]:
    """Three nested objects, the last one three times as large."""
    parent = add(tetrahedron("Parent"))
    child = add(tetrahedron("Child"), parent)
    child.location = (10, 0, 0)
    grandchild = add(tetrahedron("Grandchild"), child)
    grandchild.location = (0, 20, 0)
    grandchild.scale = (3, 3, 3)
    return [
        tetrahedron("Parent"),
        tetrahedron("Child").at(10, 0, 0),
        tetrahedron("Grandchild").scaled(3).at(10, 20, 0),
    ]


def _coloured() -> list[Shape]:
    shapes = [
        surface("Left").of("Red"),
        surface("Right").of("Blue").at(9, 0, 0),
        tetrahedron("Top").of("Red").at(0, 0, 4),
    ]
    for shape in shapes:
        add(shape)
    return shapes


def _textured() -> list[Shape]:
    shape = surface("Picture").of("Painted")
    mesh = add(shape).data
    places = mesh.uv_layers.new(name="UVMap")
    for loop in mesh.loops:
        x, y, _z = mesh.vertices[loop.vertex_index].co
        places.data[loop.index].uv = (x / 4, y / 4)
    image = bpy.data.images.new("Picture", 8, 8)
    image.pixels.foreach_set([0.5] * (8 * 8 * 4))
    image.pack()
    tree = bpy.data.materials["Painted"].node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.links.new(node.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    return [shape]


def _moving() -> list[Shape]:
    """The object moves only after the frame 12, so that its place in the first frame is known."""
    made = add(tetrahedron())
    for frame, x in ((1, 0.0), (12, 0.0), (1 + FRAMES, 5.0)):
        made.location.x = x
        made.keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_set(1)
    return [tetrahedron()]


def _rigged() -> list[Shape]:
    """A mesh with two bones, of which the second one turns."""
    shape = surface("Skinned")
    mesh = add(shape)
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    base = rig.data.edit_bones.new("Base")
    base.tail = (0, 0, 1)
    tip = rig.data.edit_bones.new("Tip")
    tip.head, tip.tail, tip.parent = (0, 0, 1), (0, 0, 2), base
    bpy.ops.object.mode_set(mode="OBJECT")
    mesh.parent = rig
    mesh.modifiers.new("Rig", "ARMATURE").object = rig
    count = len(shape.points)
    for index, bone in enumerate(("Base", "Tip")):
        group = mesh.vertex_groups.new(name=bone)
        for vertex in range(count):
            share = vertex / (count - 1)
            group.add([vertex], share if index else 1 - share, "REPLACE")
    bone = rig.pose.bones["Tip"]
    bone.rotation_mode = "XYZ"
    for frame, angle in ((1, 0.0), (12, 0.0), (1 + FRAMES, 0.5)):
        bone.rotation_euler.x = angle
        bone.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.scene.frame_set(1)
    return [shape]


def _shaped() -> list[Shape]:
    """A mesh with shape keys that are off."""
    made = add(tetrahedron())
    made.shape_key_add(name="Basis")
    for name, size in (("Breiter", 2.0), ("Höher", 3.0)):
        key = made.shape_key_add(name=name)
        for point in key.data:
            point.co *= size
    return [tetrahedron()]


def _named() -> list[Shape]:
    shapes = [tetrahedron(name).of(f"{name} {name}").at(3.0 * at, 0, 0) for at, name in enumerate(NAMES)]
    for shape in shapes:
        add(shape)
    return shapes


def _crowd() -> list[Shape]:
    shapes = [tetrahedron(f"T{index}").at(index % 12, index // 12, 0) for index in range(100)]
    for shape in shapes:
        add(shape)
    return shapes


_WITH_MOTION = tuple(name for name, kept in FORMATS.items() if kept.motion)

SCENES = {
    "plain": Scene(_plain),
    "family": Scene(_family),
    "coloured": Scene(_coloured),
    "textured": Scene(_textured, formats=("glb", "fbx", "obj", "usda", "usdc", "usdz", "abc", "blend")),
    "moving": Scene(_moving, moves=True, formats=_WITH_MOTION),
    "rigged": Scene(_rigged, moves=True, bounds_differ=True, formats=("glb", "fbx", "usda", "usdc", "usdz", "blend")),
    "shaped": Scene(_shaped, formats=("glb", "fbx", "usdc", "blend")),
    "named": Scene(_named, formats=("glb", "fbx", "obj", "usda", "usdc", "usdz", "abc", "blend")),
    "crowd": Scene(_crowd, formats=("glb", "fbx", "obj", "usda", "usdc", "abc", "blend")),
}
