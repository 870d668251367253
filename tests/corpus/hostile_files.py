"""Invalid files, damaged files, and files that somebody made to harm a service."""

import gzip
import json
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import zstandard
from entry import DAMAGED, INVALID, VALID, Content, Entry
from exported_files import FORMATS, add, empty
from shapes import Shape, content, surface, tetrahedron
from writers import Gltf, fbx, gltf_of, obj, ply, png, stl, text_stl, usda, usdz, zipped

SUFFIXES = ("glb", "gltf", "fbx", "obj", "usda", "usdc", "usdz", "stl", "ply", "abc", "blend")

MEGABYTE = 1024 * 1024

CAN_BE_SHORTER = ("obj", "text.stl")
"""Formats whose files are also valid without their last lines."""

CRASH_BLENDER = ("usdc", "abc", "blend", "fbx", "usdz")
"""Formats whose damaged files can crash Blender."""


def hostile_files(valid: dict[str, Entry], folder: Path, victim: Path) -> Iterator[Entry]:
    """Yield all files that are not simply valid.

    Args:
        valid: a valid file of each format, by its suffix.
        folder: where the corpus is written; for links.
        victim: a file that does not exist. Some files would write it.
    """
    chance = random.Random("corpus")
    samples = {suffix: entry.data or b"" for suffix, entry in valid.items()}
    contents = {suffix: entry.content for suffix, entry in valid.items()}
    yield from _empty_and_random(chance)
    yield from _cut(samples, chance)
    yield from _changed(samples, chance)
    yield from _wrong_suffixes(samples, contents)
    yield from _large(samples)
    yield from _bombs(samples)
    yield from _archives(samples)
    yield from _cycles(samples)
    yield from _other_files(samples)
    yield from _coordinates()
    yield from _harmful(victim)
    yield from _links(folder)


def _invalid(name: str, data: bytes, **options: Any) -> Entry:
    return Entry(name, data, INVALID, options=options)


# Damage


_MAGIC = {
    "glb": b"glTF\x02\0\0\0",
    "fbx": b"Kaydara FBX Binary  \0\x1a\0\xe8\x1c\0\0",
    "usdc": b"PXR-USDC\0\x08\0\0\0\0\0\0",
    "usda": b"#usda 1.0\n",
    "usdz": b"PK\x03\x04",
    "ply": b"ply\nformat binary_little_endian 1.0\n",
    "abc": b"Ogawa\xff\0\x01",
    "blend": b"BLENDER-v405",
    "gzip.blend": b"\x1f\x8b\x08\0",
    "zstd.blend": b"\x28\xb5\x2f\xfd",
    "gltf": b'{"asset":{"version":"2.0"},',
    "stl": b"solid facet ",
}


def _empty_and_random(chance: random.Random) -> Iterator[Entry]:
    for suffix in SUFFIXES:
        yield _invalid(f"empty.{suffix}", b"")
        yield _invalid(f"one byte.{suffix}", b"\0")
        yield _invalid(f"random.{suffix}", chance.randbytes(5000))
        yield _invalid(f"zeros.{suffix}", bytes(5000))
    for suffix, magic in _MAGIC.items():
        yield _invalid(f"random after the magic bytes.{suffix}", magic + chance.randbytes(5000))
    yield _invalid("text.stl", b"This is a solid text about a facet, and no model.\n" * 20)
    yield _invalid("page.glb", b"<!DOCTYPE html><html><body>404 Not Found</body></html>")
    yield _invalid("picture.glb", png(8, 8))
    yield _invalid("not utf-8.gltf", b'{"asset": {"version": "2.0"}, "x": "\xff\xfe"}')
    yield _invalid("deep.gltf", b'{"asset":' + b"[" * 100_000)


def _cut(samples: dict[str, bytes], chance: random.Random) -> Iterator[Entry]:
    """Files that end early. The last tenth is not cut: FBX and USD have nothing of importance there."""
    for suffix, data in samples.items():
        kind = DAMAGED if suffix in CAN_BE_SHORTER else INVALID
        for number in range(4):
            yield Entry(f"cut {number}.{suffix}", data[: chance.randrange(1, len(data) * 9 // 10)], kind)


def _changed(samples: dict[str, bytes], chance: random.Random) -> Iterator[Entry]:
    """Files with random bytes at random places."""
    for suffix, data in samples.items():
        for number in range(16 if suffix in CRASH_BLENDER else 4):
            changed = bytearray(data)
            for _ in range(1 + number * 5):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            crashes = suffix in CRASH_BLENDER
            yield Entry(f"changed {number}.{suffix}", bytes(changed), DAMAGED, crashes=crashes)


def _wrong_suffixes(samples: dict[str, bytes], contents: dict[str, Content]) -> Iterator[Entry]:
    """Files with the suffix of another format. Only a caller who names the format wants an error."""
    for found, suffix in (
        ("glb", "fbx"),
        ("fbx", "glb"),
        ("obj", "stl"),
        ("stl", "obj"),
        ("usda", "gltf"),
        ("usdz", "abc"),
        ("ply", "usdc"),
        ("abc", "ply"),
        ("blend", "glb"),
        ("usdc", "usda"),
        ("zstd.blend", "usdz"),
    ):
        yield Entry(f"{found} with a wrong suffix.{suffix}", samples[found], VALID, contents[found])
        yield _invalid(f"{found} with a wrong format.{suffix}", samples[found], format=suffix)


# Sizes


def _large(samples: dict[str, bytes]) -> Iterator[Entry]:
    """Files that are larger than the limit."""
    for suffix in SUFFIXES:
        yield _invalid(f"larger than the limit.{suffix}", samples[suffix], max_bytes=len(samples[suffix]) - 1)
    yield _invalid("ten megabytes.obj", b"v 0 0 0\n" * (10 * MEGABYTE // 8), max_bytes=MEGABYTE)


def _bombs(samples: dict[str, bytes]) -> Iterator[Entry]:
    """Small files that would need gigabytes."""
    picture = png(declared=(60_000, 60_000))
    for suffix, made in (("glb", Gltf.glb), ("gltf", Gltf.gltf)):
        file = Gltf()
        file.textured(surface(), {"bufferView": file.view(picture), "mimeType": "image/png"})
        yield _invalid(f"huge picture.{suffix}", made(file))
    painted = usda([surface().of("Painted")], texture="picture.png")
    yield _invalid("huge picture.usdz", usdz({"a.usda": painted, "picture.png": picture}))
    yield _invalid("huge picture.fbx", _fbx_picture(picture))
    file = gltf_of([tetrahedron()])
    file.document["accessors"][0] = {"componentType": 5126, "type": "VEC3", "count": 10**9}
    yield _invalid("accessor without data.glb", file.glb())
    large = bytes(64 * MEGABYTE)
    limit = {"max_unpacked": MEGABYTE}
    yield _invalid("bomb in gzip.blend", gzip.compress(samples["blend"] + large), **limit)
    yield _invalid("bomb in zstd.blend", zstandard.compress(samples["blend"] + large), **limit)
    yield _invalid("bomb.usdz", zipped({"a.usda": usda([tetrahedron()]), "b.usda": large}), **limit)
    yield _invalid("bomb of 64 megabytes.usdz", zipped({"a.usda": usda([tetrahedron()]) + large}))
    packed = zlib.compress(large)
    array = b"d" + struct.pack("<III", 8 * MEGABYTE, 1, len(packed)) + packed
    yield _invalid("bomb in an array.fbx", fbx((b"Vertices", array, 1)), **limit)
    wrong = b"d" + struct.pack("<III", 3, 1, len(packed)) + packed
    yield _invalid("array with a wrong length.fbx", fbx((b"Vertices", wrong, 1)))
    yield _invalid("four billion vertices.ply", ply(tetrahedron()).replace(b"vertex 4", b"vertex 4000000000"))
    yield _invalid("a long list.ply", ply(tetrahedron()).replace(b"\n3 ", b"\n4000000000 "))
    yield _invalid("four billion triangles.stl", stl([tetrahedron()])[:80] + struct.pack("<I", 2**32 - 1) + bytes(500))


def _fbx_picture(picture: bytes) -> bytes:
    properties = b"R" + struct.pack("<I", len(picture)) + picture
    return fbx((b"Content", properties, 1))


# Archives


def _archives(samples: dict[str, bytes]) -> Iterator[Entry]:
    layer = usda([tetrahedron()])
    inner = usdz({"a.usda": layer})
    yield _invalid("archive in an archive.usdz", usdz({"a.usda": layer, "b.usdz": inner}))
    nested = inner
    for _ in range(5):
        nested = usdz({"a.usdz": nested})
    yield _invalid("five archives in each other.usdz", nested)
    yield _invalid("compressed archives.usdz", zipped({"a.zip": zipped({"b.zip": zipped({"c": bytes(1000)})})}))
    yield _invalid("no model.usdz", usdz({"readme.txt": b"nothing here"}))
    yield _invalid("no members.usdz", zipped({}))
    yield _invalid("glb in an archive.usdz", usdz({"a.glb": samples["glb"]}))
    yield _invalid("member outside.usdz", usdz({"a.usda": layer, "../../b.usda": layer}))
    yield _invalid("absolute member.usdz", usdz({"a.usda": layer, "/tmp/b.usda": layer}))
    yield _invalid("gzip in gzip.blend", gzip.compress(gzip.compress(samples["blend"])))
    yield _invalid("zstd in gzip.blend", gzip.compress(zstandard.compress(samples["blend"])))
    yield _invalid("gzip of a glb.blend", gzip.compress(samples["glb"]))
    yield _invalid("gzip of a glb.glb", gzip.compress(samples["glb"]))


# Files that refer to themselves, or to others


def _cycles(samples: dict[str, bytes]) -> Iterator[Entry]:
    shapes = [tetrahedron()]
    for name, header, inside in (
        ("sublayer is itself", "subLayers = [@./sublayer is itself.usda@]", ""),
        ("sublayer is the copy", "subLayers = [@file.usda@]", ""),
        ("reference to itself", "", 'def "a" (references = @./reference to itself.usda@) {}'),
        ("payload of itself", "", 'def "a" (payload = @file.usda@</root>) {}'),
    ):
        yield _invalid(f"{name}.usda", usda(shapes, header=header, inside=inside))
    for name, inside in (
        ("prim in itself", 'def "a" (references = </root>) {}'),
        ("two prims", 'def "a" (references = </root/b>) {}\ndef "b" (references = </root/a>) {}'),
        ("prim inherits itself", 'def "a" (inherits = </root/a>) {}'),
        ("material of itself", "rel material:binding = </root>\nrel proxyPrim = </root>"),
    ):
        # USD reports the cycle, and leaves the reference out.
        yield Entry(f"{name}.usda", usda(shapes, inside=inside), DAMAGED)
    for name, layers in (
        ("layers of an archive", {"a.usda": "b.usda", "b.usda": "a.usda"}),
        ("layer is itself", {"a.usda": "a.usda"}),
    ):
        members = {path: usda(shapes, header=f"subLayers = [@{other}@]") for path, other in layers.items()}
        yield Entry(f"{name}.usdz", usdz(members), DAMAGED)
    for name, nodes in (
        ("node in itself", [{"mesh": 0, "children": [0]}]),
        ("two nodes", [{"mesh": 0, "children": [1]}, {"children": [0]}]),
        ("no root", [{"mesh": 0}, {"children": [2]}, {"children": [1]}]),
        ("two parents", [{"mesh": 0, "children": [2]}, {"children": [2]}, {}]),
    ):
        file = gltf_of(shapes)
        file.document["nodes"] = nodes
        yield _invalid(f"{name}.glb", file.glb())
    yield _invalid("group in itself.abc", _group_in_itself(samples["abc"]))


def _group_in_itself(data: bytes) -> bytes:
    """Return an Alembic file whose first group contains itself."""
    changed = bytearray(data)
    (root,) = struct.unpack_from("<Q", data, 8)
    changed[root + 8 : root + 16] = struct.pack("<Q", root)
    return bytes(changed)


def _other_files(samples: dict[str, bytes]) -> Iterator[Entry]:
    """Files that want to read others. Without a picture, a model is still useful."""
    shape = surface("Picture")
    found = content([shape.of("Painted")])
    for name, uri in (
        ("missing picture", "missing.png"),
        ("picture of the system", "/etc/passwd"),
        ("picture above", "../../../../etc/passwd"),
        ("picture of a device", "/dev/zero"),
        ("picture in the network", "http://127.0.0.1:9/a.png"),
    ):
        file = Gltf()
        file.textured(shape, {"uri": uri})
        for suffix, data in (("glb", file.glb()), ("gltf", file.gltf())):
            yield Entry(f"{name}.{suffix}", data, VALID, found)
    for name, uri in (("missing buffer", "missing.bin"), ("buffer of a device", "/dev/zero")):
        document = {**gltf_of([shape]).document, "buffers": [{"byteLength": 10_000, "uri": uri}]}
        yield _invalid(f"{name}.gltf", json.dumps(document).encode())
    yield Entry("library of a device.obj", obj([tetrahedron()], library="/dev/zero"), VALID, content([tetrahedron()]))
    for name, path in (
        ("layer of the system", "/etc/passwd.usda"),
        ("layer in the network", "http://127.0.0.1:9/a.usd"),
    ):
        yield _invalid(f"{name}.usda", usda([tetrahedron()], inside=f'def "a" (references = @{path}@) {{}}'))


# Coordinates


def _coordinates() -> Iterator[Entry]:
    for name, number in (("nan", np.nan), ("infinite", np.inf)):
        points = tetrahedron().points.copy()
        points[2, 1] = number
        shape = replace(tetrahedron(), points=points)
        for suffix, write in _WRITERS.items():
            yield _invalid(f"{name}.{suffix}", write(shape))
    for suffix, data in _exported(lambda: _with_nan()).items():
        if suffix in ("fbx", "usdc", "abc"):
            yield _invalid(f"nan from Blender.{suffix}", data)
    yield Entry("nan.blend", _exported(lambda: _with_nan())["blend"], DAMAGED)
    nothing = replace(tetrahedron(), points=np.empty((0, 3), np.float32), faces=[])
    for suffix, write in _WRITERS.items():
        yield Entry(f"no vertices.{suffix}", write(nothing), DAMAGED)
    for suffix, data in _exported(lambda: _without_vertices()).items():
        yield Entry(f"no vertices from Blender.{suffix}", data, DAMAGED)
    # A face whose vertices do not exist.
    missing = replace(tetrahedron(), faces=[(0, 1, 99)])
    for suffix in ("glb", "gltf", "ply", "binary.ply"):
        yield _invalid(f"vertex that does not exist.{suffix}", _WRITERS[suffix](missing))
    for suffix in ("obj", "usda"):
        yield Entry(f"vertex that does not exist.{suffix}", _WRITERS[suffix](missing), DAMAGED)
    yield _invalid("no objects.gltf", b'{"asset": {"version": "2.0"}}')
    yield _invalid("no objects.usda", b"#usda 1.0\n")
    yield _invalid("only a comment.obj", b"# v 0 0 0\no Nothing\n")


_WRITERS: dict[str, Callable[[Shape], bytes]] = {
    "glb": lambda shape: gltf_of([shape]).glb(),
    "gltf": lambda shape: gltf_of([shape]).gltf(),
    "obj": lambda shape: obj([shape]),
    "stl": lambda shape: stl([shape]) if len(shape.points) else stl([tetrahedron()])[:80] + bytes(4),
    "text.stl": lambda shape: text_stl([shape]),
    "ply": lambda shape: ply(shape),
    "binary.ply": lambda shape: ply(shape, "binary_little_endian"),
    "usda": lambda shape: usda([shape]),
}


def _exported(build: Callable[[], None]) -> dict[str, bytes]:
    """Return a scene in the formats that only Blender writes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        empty()
        build()
        for suffix in ("fbx", "usdc", "abc", "blend"):
            path = Path(folder, f"file.{suffix}")
            FORMATS[suffix].write(str(path))
            found[suffix] = path.read_bytes()
    return found


def _with_nan() -> None:
    add(tetrahedron()).data.vertices[2].co.y = np.nan


def _without_vertices() -> None:
    add(replace(tetrahedron(), points=np.empty((0, 3), np.float32), faces=[]))


# Files that would run code


def _harmful(victim: Path) -> Iterator[Entry]:
    """Files with code that would write the victim. The model in them is valid."""
    code = f"open({str(victim)!r}, 'w').close()"
    found = content([tetrahedron()])
    for name, build in (
        ("script", _script),
        ("driver", _driver),
        ("driver of a material", _driver_of_a_material),
        ("handler in a script", _handler),
    ):
        yield Entry(f"{name}.blend", _blend(lambda build=build: build(code)), VALID, found)
    yield Entry("file output.blend", _blend(lambda: _file_output(victim)), VALID, found)
    yield _invalid("library.blend", _with_library())


def _blend(build: Callable[[], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.blend")
        empty()
        add(tetrahedron())
        build()
        FORMATS["blend"].write(str(path))
        return path.read_bytes()


def _script(code: str) -> None:
    text = bpy.data.texts.new("script.py")
    text.write(code)
    text.use_module = True


def _handler(code: str) -> None:
    lines = ["import bpy", f"def run(*_): {code}"]
    lines += [
        f"bpy.app.handlers.{name}.append(run)" for name in ("load_post", "depsgraph_update_post", "frame_change_post")
    ]
    _script("\n".join([*lines, "run()"]))


def _driver(code: str) -> None:
    bpy.data.objects["Tetra"].driver_add("location", 0).driver.expression = f"{code} or 0"
    bpy.context.scene["number"] = 1.0
    bpy.context.scene.driver_add('["number"]').driver.expression = f"{code} or 0"


def _driver_of_a_material(code: str) -> None:
    material = bpy.data.materials.new("Driven")
    material.use_nodes = True
    tree = material.node_tree
    curve = tree.nodes["Principled BSDF"].inputs["Roughness"].driver_add("default_value")
    curve.driver.expression = f"{code} or 0"


def _file_output(victim: Path) -> None:
    scene = bpy.context.scene
    scene.use_nodes = True
    node = scene.node_tree.nodes.new("CompositorNodeOutputFile")
    node.base_path = str(victim.parent)
    node.file_slots[0].path = victim.name
    layers = scene.node_tree.nodes.new("CompositorNodeRLayers")
    scene.node_tree.links.new(layers.outputs["Image"], node.inputs[0])


def _with_library() -> bytes:
    """Return a file that links an object of another one."""
    with tempfile.TemporaryDirectory() as folder:
        library, path = Path(folder, "library.blend"), Path(folder, "file.blend")
        empty()
        add(tetrahedron())
        FORMATS["blend"].write(str(library))
        empty()
        with bpy.data.libraries.load(str(library), link=True) as (_source, target):
            target.objects = ["Tetra"]
        bpy.context.collection.objects.link(target.objects[0])
        FORMATS["blend"].write(str(path))
        return path.read_bytes()


# Paths that are no files


def _links(folder: Path) -> Iterator[Entry]:
    for name, target in (
        ("link to itself.glb", "link to itself.glb"),
        ("link to nothing.glb", "no such file.glb"),
        ("link to a folder.glb", "."),
        ("link to a device.glb", "/dev/zero"),
    ):
        (folder / name).symlink_to(target)
        yield Entry(name, None, INVALID)
    (folder / "first link.glb").symlink_to("second link.glb")
    (folder / "second link.glb").symlink_to("first link.glb")
    yield Entry("first link.glb", None, INVALID)
    yield Entry("no such file.glb", None, INVALID)
