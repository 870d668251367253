"""Files of other formats: import, export and conversions, also of files from strangers."""

import base64
import gzip
import importlib.util
import io
import json
import math
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import addon
import bpy
import numpy as np
import pytest
from in_blender import EXTENSION, SCENE_HANDLERS
from mathutils import Vector

pytestmark = pytest.mark.usefixtures("scene_handlers")

Handlers = Any


class Kept(NamedTuple):
    """The kinds of data that a format can store."""

    material: bool
    motion: bool
    names: bool


KEPT = {
    "glb": Kept(material=True, motion=True, names=True),
    "gltf": Kept(material=True, motion=True, names=True),
    "fbx": Kept(material=True, motion=True, names=True),
    "obj": Kept(material=True, motion=False, names=False),
    "usd": Kept(material=True, motion=True, names=False),
    "usda": Kept(material=True, motion=True, names=False),
    "usdc": Kept(material=True, motion=True, names=False),
    "usdz": Kept(material=True, motion=True, names=False),
    "stl": Kept(material=False, motion=False, names=False),
    "ply": Kept(material=False, motion=False, names=False),
    "abc": Kept(material=False, motion=True, names=False),
}

_OPERATORS = {
    "usd": "usd_import",
    "usda": "usd_import",
    "usdc": "usd_import",
    "usdz": "usd_import",
    "abc": "alembic_import",
}


def _is_here(format_: str) -> bool:
    """Whether this Blender was built with a format. A few builds have no USD and no Alembic."""
    try:
        getattr(bpy.ops.wm, _OPERATORS.get(format_, "obj_import")).get_rna_type()
    except KeyError:
        return False
    return True


HERE = [format_ for format_ in KEPT if _is_here(format_)]

SINGLE_MESH = ("stl", "ply")
"""These formats store one mesh."""


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls a handler by its name."""
    handlers = {handler.__name__: handler for handler in addon.scene_handlers.ALL}

    def run(name: str, *arguments: Any) -> Any:
        return handlers[name](*arguments)

    return run


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files. Nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def build(*, motion: bool = True) -> None:
    """A scene with a cube that has a material and moves, and a sphere."""
    addon.scene_conversion.empty()
    bpy.ops.mesh.primitive_cube_add(size=2, location=(1, 2, 3))
    cube = bpy.context.object
    cube.name = "Würfel 立方"
    material = bpy.data.materials.new("Röt")
    material.use_nodes = True
    cube.data.materials.append(material)
    if motion:
        cube.keyframe_insert("location", frame=1)
        cube.location.x = 5
        cube.keyframe_insert("location", frame=25)
    bpy.context.scene.frame_end = 25
    bpy.context.scene.frame_set(1)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=1.5, location=(-2, 0, 0))
    bpy.ops.object.shade_smooth()


def bounds() -> list[float]:
    """The smallest and the largest corner of all meshes in the first frame."""
    bpy.context.scene.frame_set(1)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    corners = [
        each.evaluated_get(depsgraph).matrix_world @ Vector(corner)
        for each in bpy.data.objects
        if each.type == "MESH"
        for corner in each.bound_box
    ]
    points = np.array(corners)
    return [round(float(number), 3) for number in (*points.min(axis=0), *points.max(axis=0))]


BOUNDS = [-3.5, -1.5, -1.5, 2.0, 3.0, 4.0]


def places() -> int:
    """The number of different places of vertices. glTF repeats a vertex for each of its normals."""
    found = 0
    for mesh in bpy.data.meshes:
        numbers = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", numbers)
        found += len(np.unique(numbers.reshape(-1, 3).round(4), axis=0))
    return found


def datablocks() -> dict[str, int]:
    """The number of datablocks, without those of the window."""
    kinds = [each.identifier for each in bpy.data.bl_rna.properties if each.type == "COLLECTION"]
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds if len(getattr(bpy.data, kind))}


@pytest.mark.parametrize("format_", HERE)
def test_a_round_trip(call: Callable[..., Any], format_: str) -> None:
    build()
    data = call("export_bytes", format_)
    assert addon.scene_formats.content_of(data) in addon.scene_formats.FORMATS[format_].contents
    addon.scene_conversion.empty()
    names = call("import_bytes", memoryview(data), {"format": format_})
    kept = KEPT[format_]
    assert sorted(names) == sorted(bpy.data.objects.keys())
    assert [each.type for each in bpy.data.objects] == ["MESH"] * (1 if format_ in SINGLE_MESH else 2)
    assert bounds() == pytest.approx(BOUNDS, abs=2e-3)
    assert places() == 8 + 482
    assert [material.name.startswith("Röt") for material in bpy.data.materials] == [True] * kept.material
    if kept.names:
        assert sorted(names) == ["Sphere", "Würfel 立方"]
    lengths = [action.frame_range[1] - action.frame_range[0] for action in bpy.data.actions]
    assert max(lengths, default=0) == pytest.approx(24 if kept.motion else 0, abs=1e-3)


@pytest.mark.parametrize("format_", HERE)
def test_files(call: Callable[..., Any], format_: str, tmp_path: Path) -> None:
    build(motion=False)
    path = tmp_path / "new folder" / f"Größe.{format_}"
    assert call("export_file", str(path)) == str(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    addon.scene_conversion.empty()
    call("import_file", str(path))
    assert bounds() == pytest.approx(BOUNDS, abs=2e-3)
    assert call("inspect_file", str(path))["bytes"] == path.stat().st_size


@pytest.mark.parametrize("format_", HERE)
def test_chosen_objects_and_no_animations(call: Callable[..., Any], format_: str) -> None:
    build()
    selected = [each.name for each in bpy.context.selected_objects]
    frame = bpy.context.scene.frame_current
    data = call("export_bytes", format_, {"objects": ["Würfel 立方"], "animations": False})
    assert [each.name for each in bpy.context.selected_objects] == selected
    assert bpy.context.scene.frame_current == frame
    addon.scene_conversion.empty()
    assert len(call("import_bytes", data, {"format": format_})) == 1
    assert bounds() == pytest.approx([0, 1, 2, 2, 3, 4], abs=2e-3)
    assert len(bpy.data.actions) == 0


@pytest.mark.parametrize(
    "chain", [["usdc", "fbx", "glb"], ["obj", "fbx", "gltf"], ["abc", "glb"], ["ply", "stl", "glb"]]
)
def test_a_chain_of_conversions(call: Callable[..., Any], chain: list[str]) -> None:
    build()
    data = call("export_bytes", "glb")
    formats = [format_ for format_ in chain if format_ in HERE]
    for format_ in formats:
        data = call("convert_bytes", data, format_)
        assert len(bpy.data.objects) == len(bpy.data.meshes) == 0
    call("import_bytes", data)
    meshes = 1 if set(chain) & set(SINGLE_MESH) else 2
    assert len([each for each in bpy.data.objects if each.type == "MESH"]) == meshes
    assert places() == 490
    assert bounds() == pytest.approx(BOUNDS, abs=2e-3)
    if chain[0] == "usdc":
        assert [material.name[:3] for material in bpy.data.materials] == ["Röt"]
        assert max(action.frame_range[1] - action.frame_range[0] for action in bpy.data.actions) == pytest.approx(24)


def test_a_new_object_is_exported(call: Callable[..., Any]) -> None:
    addon.scene_conversion.empty()
    call("create_cube", "Crate")
    data = call("export_bytes", "glb")
    call("create_cube", "Other")
    both = call("export_bytes", "glb", {"objects": ["Crate", "Other"]})
    assert [data.count(b"Crate") > 0, data.count(b"Other") > 0] == [True, False]
    assert both.count(b"Other") > 0


@pytest.mark.parametrize("to", [format_ for format_ in HERE if KEPT[format_].motion])
def test_all_frames_of_a_long_motion_are_kept(call: Callable[..., Any], to: str) -> None:
    build()
    cube = bpy.data.objects["Würfel 立方"]
    cube.location.x = 9
    cube.keyframe_insert("location", frame=400)
    data = call("export_bytes", "glb")
    for converted in (call("convert_bytes", data, to), finished(call("process_bytes", data, [["export_bytes", [to]]]))):
        addon.scene_conversion.empty()
        call("import_bytes", converted, {"format": to})
        assert max(action.frame_range[1] - action.frame_range[0] for action in bpy.data.actions) == pytest.approx(399)


def finished(call: Iterator[Any]) -> Any:
    """The result of the last step of `process_bytes`."""
    while True:
        try:
            next(call)
        except StopIteration as end:
            return end.value[-1]


def test_formats_that_this_blender_does_not_have(call: Callable[..., Any]) -> None:
    for format_ in set(addon.scene_formats.FORMATS) - set(HERE):
        with pytest.raises(ValueError, match=rf"has no .* for the format {format_}: "):
            call("export_bytes", format_)
    with pytest.raises(ValueError, match="enable the extension VRM"):
        call("convert_bytes", glb({}), "vrm")


# VRM


class ImportVRM(bpy.types.Operator):
    """Stands in for the operator of the VRM Add-on for Blender."""

    bl_idname = "import_scene.vrm"
    bl_label = "Import VRM"
    filepath: bpy.props.StringProperty()

    def execute(self, _context: Any) -> set[str]:
        found: set[str] = bpy.ops.import_scene.gltf(filepath=self.filepath)
        return found


class ExportVRM(bpy.types.Operator):
    """Stands in for the operator of the VRM Add-on for Blender, which cancels if there is no armature."""

    bl_idname = "export_scene.vrm"
    bl_label = "Export VRM"
    filepath: bpy.props.StringProperty()
    export_only_selections: bpy.props.BoolProperty()

    def execute(self, _context: Any) -> set[str]:
        if not bpy.data.armatures:
            return {"CANCELLED"}
        path = self.filepath + ".glb"
        found: set[str] = bpy.ops.export_scene.gltf(filepath=path, use_selection=self.export_only_selections)
        Path(path).rename(self.filepath)
        return found


@pytest.fixture
def vrm_add_on() -> Iterator[None]:
    """Operators with the names and the options of the VRM Add-on for Blender."""
    for each in (ImportVRM, ExportVRM):
        bpy.utils.register_class(each)
    yield
    for each in (ImportVRM, ExportVRM):
        bpy.utils.unregister_class(each)


def test_vrm(call: Callable[..., Any], vrm_add_on: None, tmp_path: Path) -> None:
    build()
    with pytest.raises(ValueError, match="could not export to vrm: the scene does not have what vrm needs"):
        call("export_bytes", "vrm")
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    path = str(tmp_path / "avatar.vrm")
    assert call("export_file", path) == path
    data = call("export_bytes", "vrm", {"objects": ["Rig", "Sphere"]})
    assert data.startswith(b"glTF")
    addon.scene_conversion.empty()
    assert sorted(call("import_bytes", data, {"format": "vrm"})) == ["Rig", "Sphere"]
    addon.scene_conversion.empty()
    assert sorted(call("import_file", path)) == ["Rig", "Sphere", "Würfel 立方"]
    # The suffix decides: the content is that of glb.
    assert call("inspect_file", path)["format"] == "glb"
    converted = call("convert_bytes", data, "glb", {"format": "vrm"})
    assert sorted(call("import_bytes", converted)) == ["Rig", "Sphere"]
    with pytest.raises(ValueError, match="damaged or cut off"):
        call("import_bytes", data[:500], {"format": "vrm"})


# Isolation


def test_a_conversion_begins_and_ends_with_an_empty_file(call: Callable[..., Any]) -> None:
    addon.scene_conversion.empty()
    before, scene = datablocks(), bpy.context.scene
    settings = [scene.frame_start, scene.frame_end, scene.render.fps]
    build()
    data = call("export_bytes", "fbx")
    bpy.app.driver_namespace["left"] = 1
    for wanted in ("glb", "stl"):
        assert call("convert_bytes", data, wanted)
        assert datablocks() == before
        scene = bpy.context.scene
        assert [scene.frame_start, scene.frame_end, scene.render.fps] == settings
        assert not bpy.data.filepath
    with pytest.raises(ValueError, match="cut off"):
        call("convert_bytes", data[:-500], "glb")
    assert {EXTENSION, SCENE_HANDLERS} <= set(bpy.context.preferences.addons.keys())


def test_a_failed_conversion_ends_with_an_empty_file(call: Callable[..., Any]) -> None:
    build()
    with pytest.raises(ValueError, match="no objects"):
        call("convert_bytes", glb({"nodes": [], "scenes": [{}], "meshes": []}), "glb")
    assert len(bpy.data.objects) == len(bpy.data.meshes) == 0


def test_the_time_limit(call: Callable[..., Any]) -> None:
    build()
    data = call("export_bytes", "glb")
    with pytest.raises(TimeoutError, match=r"more than 0.0 seconds"):
        call("convert_bytes", data, "stl", {"max_seconds": 0})
    assert len(bpy.data.objects) == 0


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_conversions_do_not_fill_the_memory(call: Callable[..., Any]) -> None:
    build()
    sources = [call("export_bytes", format_) for format_ in ("glb", "fbx", "usdc", "abc") if format_ in HERE]
    sizes = []
    for _ in range(6):
        for source in sources:
            call("convert_bytes", source, "glb")
        sizes.append(_resident())
    # A conversion that kept its scene would add more than this in each round.
    assert sizes[-1] - sizes[2] < 8 * 1024 * 1024


# Invalid files


@pytest.mark.parametrize("format_", [format_ for format_ in HERE if format_ != "obj"])
def test_truncated_files(call: Callable[..., Any], format_: str) -> None:
    build()
    data = call("export_bytes", format_)
    # Text may lose its last line end.
    places_to_cut = random.Random(format_).sample(range(1, len(data) - 2), 12)
    for size in places_to_cut:
        with pytest.raises(ValueError, match=r"[a-z]{3} "):
            call("convert_bytes", data[:size], "ply", {"format": format_})


@pytest.mark.parametrize("format_", HERE)
def test_random_bytes_with_a_valid_suffix(call: Callable[..., Any], format_: str, tmp_path: Path) -> None:
    before = datablocks()
    for size in (1, 100, 10_000):
        path = tmp_path / f"random.{format_}"
        path.write_bytes(b"\0" + random.Random(size).randbytes(size))
        with pytest.raises(ValueError, match=f"not a valid file of the format {format_}"):
            call("import_file", str(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="the file is empty"):
        call("import_file", str(path))
    assert datablocks() == before


@pytest.mark.parametrize(("content", "suffix"), [("glb", "fbx"), ("stl", "glb"), ("obj", "ply"), ("fbx", "obj")])
def test_a_wrong_suffix(call: Callable[..., Any], content: str, suffix: str, tmp_path: Path) -> None:
    build()
    path = tmp_path / f"wrong.{suffix}"
    path.write_bytes(call("export_bytes", content))
    with pytest.raises(ValueError, match=f"has the content of the format {content}, and not of {suffix}"):
        call("import_file", str(path))
    assert call("import_file", str(path), {"format": content})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"; FBX 7.4.0 project file\n", "export it as binary FBX"),
        (b"\x89HDF\r\n\x1a\n", "export it as Ogawa"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n", "fewer elements"),
        (b"ply\nformat ascii 1.0\nelement vertex x\nend_header\n", "element without a number"),
    ],
)
def test_other_invalid_files(call: Callable[..., Any], data: bytes, said: str) -> None:
    before = datablocks()
    with pytest.raises(ValueError, match=said):
        call("import_bytes", data)
    assert datablocks() == before


def ply(vertices: str, faces: str = "") -> bytes:
    count, sides = len(vertices.splitlines()), len(faces.splitlines())
    return (
        f"ply\nformat ascii 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {sides}\nproperty list uchar int vertex_indices\nend_header\n{vertices}{faces}"
    ).encode()


def test_faces_without_their_vertices(call: Callable[..., Any]) -> None:
    triangle = "0 0 0\n1 0 0\n0 1 0\n"
    for wrong in ("3 0 1 3\n", "3 0 1 -1\n", "3 0 1\n"):
        with pytest.raises(ValueError, match="the PLY file is damaged"):
            call("import_bytes", ply(triangle, wrong))
    assert call("import_bytes", ply(triangle, "3 0 1 2\n"))


@pytest.mark.parametrize(
    "data",
    [
        b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        ply("nan 0 0\n1 0 0\n0 1 0\n", "3 0 1 2\n"),
        bytes(80) + struct.pack("<I12fH", 1, *[0.0] * 11, math.nan, 0),
        b"solid a\nfacet normal 0 0 1\nouter loop\nvertex inf 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n",
    ],
    ids=["obj", "ply", "stl", "text of stl"],
)
def test_coordinates_that_are_not_numbers(call: Callable[..., Any], data: bytes) -> None:
    before = datablocks()
    with pytest.raises(ValueError, match="a coordinate that is not a finite number"):
        call("import_bytes", data)
    assert datablocks() == before


def test_a_mesh_without_vertices(call: Callable[..., Any]) -> None:
    addon.scene_conversion.empty()
    names = call("import_bytes", bytes(80) + bytes(4))
    assert [len(bpy.data.objects[name].data.vertices) for name in names] == [0]


# Archives and pictures that unpack to gigabytes


def png(width: int = 1, height: int = 1) -> bytes:
    """A picture, of which only the header is right if it is large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")


def glb(changes: dict[str, Any], binary: bytes = b"") -> bytes:
    """A triangle with a texture, with changes in its JSON."""
    points = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    body = points + binary
    body += bytes(-len(body) % 4)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Dreieck"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": f"data:image/png;base64,{base64.b64encode(png()).decode()}"}],
        "buffers": [{"byteLength": len(body)}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": len(binary)},
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 3,
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [1, 1, 0],
            }
        ],
        **changes,
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return file.getvalue()


def fbx_bomb() -> bytes:
    """An FBX file with an array that declares to be short, and unpacks to 64 MB."""
    packed = zlib.compress(bytes(64 * 1024 * 1024))
    properties = b"d" + struct.pack("<III", 3, 1, len(packed)) + packed
    start = 27
    end = start + 13 + len(b"Vertices") + len(properties)
    node = struct.pack("<IIIB", end, 1, len(properties), 8) + b"Vertices" + properties
    return b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 7400) + node + bytes(13)


PICTURE = png(60_000, 60_000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (glb({"images": [{"bufferView": 1}]}, PICTURE), "a picture of 60000x60000 pixels"),
        (
            glb({"images": [{"uri": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}]}),
            "a picture of 60000x60000 pixels",
        ),
        (glb({"images": [{"bufferView": 1}]}, b"GIF89a" + bytes(100)), "a picture whose size is unknown"),
        (glb({"accessors": [{"componentType": 5126, "count": 10**10, "type": "VEC3"}]}), "would unpack to"),
        (fbx_bomb(), "does not have the length that it declares"),
        (ply("0 0 0\n").replace(b"vertex 1", b"vertex 4000000000"), "fewer elements"),
        (archive({"a.usda": b"#usda 1.0\n" * 10_000}, zipfile.ZIP_DEFLATED), "compressed or encrypted member"),
        (archive({"a.usda": b"#usda 1.0\n", "b.png": PICTURE}), "a picture of 60000x60000 pixels"),
        (archive({"a.usda": b"#usda 1.0\n", "b.usdz": archive({"c": b"c"})}), "contains another archive"),
        (archive({"a.usda": b"#usda 1.0\n", "../b.png": png()}), "outside its own folder"),
        (archive({}), "empty|content"),
    ],
)
def test_files_that_would_need_too_much_memory(call: Callable[..., Any], data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        addon.scene_checks.checked(data, addon.scene_formats.content_of(data) or "usdz", addon.scene_limits.limits({}))


def test_limits_of_a_call(call: Callable[..., Any]) -> None:
    data = glb({"images": [{"bufferView": 1}]}, png())
    assert call("convert_bytes", data, "glb", {"max_pixels": 1, "max_bytes": len(data)})
    for limits, said in (
        ({"max_bytes": len(data) - 1}, "max_bytes is"),
        ({"max_unpacked": 35}, "max_unpacked is 35"),
    ):
        with pytest.raises(ValueError, match=said):
            call("convert_bytes", data, "glb", limits)


# Other files


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture that belongs to someone else."""
    image = bpy.data.images.new("secret", 2, 2)
    path = tmp_path / "secret.png"
    image.filepath_raw = str(path)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def test_pictures_in_other_files_are_left_out(call: Callable[..., Any], secret: Path, tmp_path: Path) -> None:
    (tmp_path / "own.mtl").write_text(f"newmtl Own\nmap_Kd {secret}\n")
    obj = f"mtllib {tmp_path}/own.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl Own\nf 1 2 3\n".encode()
    for data in (
        glb({"images": [{"uri": "../secret.png"}]}),
        glb({"images": [{"uri": str(secret)}]}),
        obj,
        obj.replace(b"mtllib ", b"mtllib \\\n"),
    ):
        addon.scene_conversion.empty()
        assert len(call("import_bytes", data)) == 1
        assert [image.name for image in bpy.data.images] == []
    (tmp_path / "own.obj").write_bytes(obj)
    call("import_file", str(tmp_path / "own.obj"))
    assert [image.name for image in bpy.data.images] == []
    call("import_file", str(tmp_path / "own.obj"), {"external": True})
    assert [image.name for image in bpy.data.images] == ["secret.png"]


def test_an_fbx_file_cannot_name_other_files(call: Callable[..., Any], secret: Path) -> None:
    build()
    material = bpy.data.materials["Röt"]
    texture = material.node_tree.nodes.new("ShaderNodeTexImage")
    texture.image = bpy.data.images.load(str(secret))
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    material.node_tree.links.new(texture.outputs[0], shader.inputs["Base Color"])
    embedded = call("export_bytes", "fbx")
    path = secret.parent / "named.fbx"
    bpy.ops.export_scene.fbx(filepath=str(path), path_mode="ABSOLUTE")
    for data, pictures in ((embedded, 1), (path.read_bytes(), 0)):
        addon.scene_conversion.empty()
        call("import_bytes", data)
        assert len(bpy.data.images) == pictures
        assert all(image.packed_file for image in bpy.data.images)


USDA = """#usda 1.0
(defaultPrim = "root")
def Xform "root" {LINE
{
    def Mesh "triangle"
    {
        int[] faceVertexCounts = [3]
        int[] faceVertexIndices = [0, 1, 2]
        point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    }
}
"""


@pytest.mark.parametrize(
    "line",
    [
        "(prepend references = @./file.usda@)",
        "(prepend payload = @/etc/x.usdc@</a>)",
        "(prepend references = @x.usdz[a.usda]@)",
        "(prepend references = @@@a.abc@@@)",
        "(prepend references = @a.usd:SDF_FORMAT_ARGS:a=b@)",
        '(doc = "a@b" prepend references = @a.USD@)',
    ],
)
def test_usd_files_that_refer_to_others(line: str) -> None:
    for data in (
        USDA.replace("{LINE", line).encode(),
        archive(
            {
                "a.usda": USDA.replace(
                    "{LINE", line.replace("a.", "../a.").replace("./file", "/file").replace("x.", "/x.")
                ).encode()
            }
        ),
    ):
        with pytest.raises(ValueError, match="refers to another file"):
            addon.scene_checks.checked(data, addon.scene_formats.content_of(data), addon.scene_limits.limits({}))


def test_gltf_files_that_need_others(call: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="its meshes in another file"):
        call("import_bytes", glb({"buffers": [{"byteLength": 36, "uri": "../other.bin"}]}))


@pytest.mark.parametrize(
    "nodes",
    [
        [{"children": [1], "mesh": 0}, {"children": [0]}],
        [{"mesh": 0}, {"children": [2]}, {"children": [1]}],
        [{"children": [0], "mesh": 0}],
        [{"children": [2], "mesh": 0}, {"children": [2]}, {}],
        [{"children": [5], "mesh": 0}],
    ],
)
def test_nodes_that_are_no_tree(call: Callable[..., Any], nodes: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="are not a tree"):
        call("import_bytes", glb({"nodes": nodes}))


# .blend files


@pytest.fixture
def harmful(tmp_path: Path) -> Path:
    """A .blend file with a script and a driver that would write a file."""
    build()
    written = str(tmp_path / "written")
    text = bpy.data.texts.new("script.py")
    text.write(f"open({written!r}, 'w').close()")
    text.use_module = True
    cube = bpy.data.objects["Würfel 立方"]
    curve = cube.driver_add("rotation_euler", 0)
    curve.driver.type = "SCRIPTED"
    curve.driver.expression = f"open({written!r}, 'w').close() or 1.0"
    curve.mute = True
    path = tmp_path / "harmful.blend"
    curve.mute = False
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    addon.scene_conversion.empty()
    return path


@pytest.mark.parametrize("name", ["open_file", "append", "link"])
def test_scripts_and_drivers_do_not_run(call: Callable[..., Any], name: str, harmful: Path, tmp_path: Path) -> None:
    (tmp_path / "written").unlink(missing_ok=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = True
    try:
        if name == "open_file":
            assert call("open_file", str(harmful)) == str(harmful)
        else:
            assert call(name, str(harmful), "objects", ["Würfel 立方"]) == ["Würfel 立方"]
        bpy.context.scene.frame_set(5)
        bpy.context.view_layer.update()
        assert "Würfel 立方" in bpy.context.scene.objects
        assert not (tmp_path / "written").exists()
    finally:
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False


def test_save_and_open(call: Callable[..., Any], tmp_path: Path) -> None:
    build()
    path = tmp_path / "folder" / "größe.blend"
    assert call("save_file", str(path), {"copy": True}) == str(path)
    assert bpy.data.filepath == ""
    assert call("save_file", str(path), {"compress": True}) == str(path)
    assert bpy.data.filepath == str(path)
    assert call("save_file") == str(path)
    assert call("new_file") is True
    assert (len(bpy.data.objects), bpy.data.filepath) == (0, "")
    assert call("open_file", str(path)) == str(path)
    assert bounds() == pytest.approx(BOUNDS, abs=1e-3)
    assert list(path.parent.iterdir()) == [path]
    assert bpy.context.preferences.filepaths.save_version > 0


def test_append_and_link(call: Callable[..., Any], tmp_path: Path) -> None:
    build()
    path = str(tmp_path / "other.blend")
    call("save_file", path)
    call("new_file")
    with pytest.raises(LookupError, match="has no objects named 'Nothing'"):
        call("append", path, "objects", ["Sphere", "Nothing"])
    assert len(bpy.data.objects) == len(bpy.data.libraries) == 0
    assert call("append", path, "objects", ["Sphere"]) == ["Sphere"]
    assert call("append", path, "materials", ["Röt"]) == ["Röt"]
    assert call("link", path, "objects", ["Würfel 立方"]) == ["Würfel 立方"]
    assert [bpy.data.objects[name].library is None for name in ("Sphere", "Würfel 立方")] == [True, False]
    assert len(bpy.context.scene.objects) == 2
    second = str(tmp_path / "second.blend")
    call("save_file", second)
    with pytest.raises(ValueError, match=r"loads other files: .*other.blend"):
        call("open_file", second)
    call("open_file", second, {"external": True})
    assert len(bpy.data.libraries) == 1


def test_libraries_that_link_each_other(call: Callable[..., Any], tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("first.blend", "second.blend")]
    for _ in range(2):
        for path, other in (paths, paths[::-1]):
            call("new_file")
            bpy.context.scene.collection.objects.link(bpy.data.objects.new(Path(path).stem, None))
            if Path(other).exists():
                call("link", other, "objects", [Path(other).stem], {"external": True})
            call("save_file", path)
    described = call("inspect_file", paths[0])
    assert described["libraries"] == [paths[1]]
    assert call("open_file", paths[0], {"external": True}) == paths[0]


def test_describe_a_blend_file(call: Callable[..., Any], secret: Path, tmp_path: Path) -> None:
    build()
    image = bpy.data.images.load(str(secret))
    image.use_fake_user = True
    for name, compress in (("plain.blend", False), ("packed.blend", True)):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name), compress=compress, copy=True)
        if compress and importlib.util.find_spec("zstandard") is None:  # As in the Blender of Debian.
            with pytest.raises(ValueError, match="compressed, and this Blender has no Python module zstandard"):
                call("inspect_file", str(tmp_path / name))
            continue
        described = call("inspect_file", str(tmp_path / name))
        assert described["format"] == "blend"
        assert described["version"] == ".".join(map(str, bpy.app.version[:2]))
        assert described["compression"] == ("zstd" if compress else "none")
        assert described["names"]["objects"] == ["Sphere", "Würfel 立方"]
        assert described["counts"]["materials"] == 1
        assert described["missing"] == []
    plain = (tmp_path / "plain.blend").read_bytes()
    (tmp_path / "old.blend").write_bytes(gzip.compress(plain))
    secret.unlink()
    described = call("inspect_file", str(tmp_path / "old.blend"))
    assert (described["compression"], described["unpacked"]) == ("gzip", len(plain))
    assert described["missing"] == [str(secret)]
    assert len(bpy.data.objects) == 2


def test_blend_files_that_are_damaged_or_too_large(call: Callable[..., Any], tmp_path: Path) -> None:
    build()
    path = tmp_path / "file.blend"
    call("save_file", str(path), {"copy": True})
    plain = path.read_bytes()
    for size in random.Random(1).sample(range(8, len(plain) - 30), 10):
        path.write_bytes(plain[:size])
        for name in ("inspect_file", "open_file"):
            with pytest.raises(ValueError, match=r"damaged|cut off|empty"):
                call(name, str(path))
    path.write_bytes(gzip.compress(b"BLENDER" + bytes(64 * 1024 * 1024)))
    for name in ("inspect_file", "open_file"):
        with pytest.raises(ValueError, match="would unpack to"):
            call(name, str(path), {"max_unpacked": 16 * 1024 * 1024})
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"is not a .blend file"):
        call("open_file", str(path))
    assert len(bpy.data.objects) == 2


def test_describe_a_gltf_file(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "file.glb"
    path.write_bytes(glb({"images": [{"uri": "missing.png"}]}))
    described = call("inspect_file", str(path))
    assert (described["format"], described["version"], described["external"]) == ("glb", "2.0", ["missing.png"])
    assert described["counts"]["meshes"] == 1
