"""Valid files that do not come from Blender."""

import base64
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from entry import VALID, Content, Entry
from shapes import Shape, bounds, box, content, disc, surface, tetrahedron, triangulated
from writers import Gltf, gltf_of, obj, ply, png, stl, text_stl, usda, usdz

LARGE = 500_000
"""The vertices of the large meshes."""

NAMES = ("Würfel", "立方体", "مكعب", "куб", "a b", "🧊", "e\u0301")
"""Names of objects and materials."""

FRAMES = 48
"""The length of the animations: two seconds, of 24 frames each."""


def written_files() -> Iterator[Entry]:
    """Yield all valid files that do not come from Blender."""
    for entries in (_gltf(), _obj(), _stl(), _ply(), _usd(), _large(), _names()):
        yield from entries


def _valid(name: str, data: bytes, of: Content) -> Entry:
    return Entry(name, data, VALID, of)


def _single(of: Content) -> Content:
    """Return the content of a file that stores one mesh without a name."""
    return replace(of, objects=None, materials=frozenset(), object_count=1)


# glTF


def _gltf() -> Iterator[Entry]:
    for suffix, made in (("glb", Gltf.glb), ("gltf", Gltf.gltf)):
        for name, shapes in _shapes().items():
            found = triangulated(content(shapes), shapes)
            yield _valid(f"written {name}.{suffix}", made(gltf_of(shapes)), found)
        yield _valid(f"written family.{suffix}", made(_family()), _family_content())
        yield _valid(f"written texture.{suffix}", made(_texture(embedded=True)), _texture_content())
        yield _valid(f"written data uri.{suffix}", made(_texture(embedded=False)), _texture_content())
        yield _valid(f"written motion.{suffix}", made(_motion()), replace(_tetra_content(), frames=FRAMES))
        yield _valid(f"written morph.{suffix}", made(_morph()), _tetra_content())
        yield _valid(f"written skin.{suffix}", made(_skin()), Content(vertices=63, faces=96, frames=FRAMES))
        yield _valid(f"written sparse.{suffix}", made(_sparse()), _sparse_content())
    file = gltf_of([tetrahedron()])
    file.document["extras"] = {"note": "x" * 1000, "list": [1, None, True, {"a": []}]}
    file.document["extensionsUsed"] = ["EXT_unknown"]
    yield _valid("written extras.glb", file.glb(), _tetra_content())
    yield _valid("written bom.gltf", b"\xef\xbb\xbf" + gltf_of([tetrahedron()]).gltf(), _tetra_content())


def _shapes() -> dict[str, list[Shape]]:
    """Return shapes that all formats with names and materials can store."""
    two = [surface("Left").of("Red"), surface("Right").of("Blue").at(9, 0, 0), box("Box").of("Red").at(0, 9, 0)]
    return {
        "tetrahedron": [tetrahedron()],
        "box": [box()],
        "disc": [disc()],
        "materials": two,
        "many": [tetrahedron(f"T{index}").at(index % 20, index // 20, 0) for index in range(200)],
        "tiny": [surface().scaled(1e-4)],
        "huge": [surface().scaled(1e5)],
        "far": [box().at(10_000, -20_000, 30_000)],
    }


def _tetra_content() -> Content:
    return content([tetrahedron()])


def _family() -> Gltf:
    """Three nodes, each a child of the one before, moved by 10 along X and two times as large."""
    file = Gltf()
    mesh = file.mesh(tetrahedron())
    child = file.node("Grandchild", root=False, mesh=mesh, translation=[10, 0, 0], scale=[2, 2, 2])
    parent = file.node("Child", root=False, mesh=mesh, children=[child], translation=[10, 0, 0], scale=[2, 2, 2])
    file.node("Parent", mesh=mesh, children=[parent])
    return file


def _family_content() -> Content:
    return Content(
        vertices=12,
        faces=12,
        bounds=(0.0, 0.0, 0.0, 34.0, 8.0, 12.0),
        objects=frozenset({"Parent", "Child", "Grandchild"}),
        object_count=3,
        materials=frozenset(),
    )


def _texture(*, embedded: bool) -> Gltf:
    file = Gltf()
    picture = png(16, 16)
    if embedded:
        image = {"bufferView": file.view(picture), "mimeType": "image/png"}
    else:
        image = {"uri": "data:image/png;base64," + base64.b64encode(picture).decode()}
    file.textured(surface("Picture"), image)
    return file


def _texture_content() -> Content:
    return content([surface("Picture").of("Painted")])


def _motion() -> Gltf:
    """A node that moves by 5 in two seconds, but not in the first half second: Blender shows the frame 1."""
    file = Gltf()
    node = file.shape(tetrahedron())
    times = file.accessor([0.0, 0.5, 2.0], "SCALAR")
    places = file.accessor([[0, 0, 0], [0, 0, 0], [5, 0, 0]], "VEC3")
    file.add("animations", _animation(node, "translation", times, places))
    return file


def _animation(node: int, path: str, times: int, values: int) -> dict[str, object]:
    sampler = {"input": times, "output": values, "interpolation": "LINEAR"}
    return {
        "name": "Motion",
        "samplers": [sampler],
        "channels": [{"sampler": 0, "target": {"node": node, "path": path}}],
    }


def _morph() -> Gltf:
    """A mesh with two shape keys, both off."""
    file = Gltf()
    mesh = file.mesh(tetrahedron())
    targets = [{"POSITION": file.accessor(np.full((4, 3), size, np.float32), "VEC3")} for size in (0.5, 2.0)]
    file.document["meshes"][mesh] |= {"weights": [0, 0], "extras": {"targetNames": ["Brighter", "Größer"]}}
    file.document["meshes"][mesh]["primitives"][0]["targets"] = targets
    file.node("Tetra", mesh=mesh)
    return file


def _skin() -> Gltf:
    """A mesh with two bones, of which the second one turns."""
    file = Gltf()
    shape = surface("Skinned")
    weights = np.zeros((len(shape.points), 4), np.float32)
    weights[:, 0] = np.linspace(0, 1, len(shape.points))
    weights[:, 1] = 1 - weights[:, 0]
    joints = np.tile(np.array([0, 1, 0, 0], np.uint16), (len(shape.points), 1))
    mesh = file.mesh(shape, JOINTS_0=file.accessor(joints, "VEC4", 5123), WEIGHTS_0=file.accessor(weights, "VEC4"))
    tip = file.node("Tip", root=False, translation=[0, 1, 0])
    base = file.node("Base", children=[tip])
    inverse = np.stack([np.eye(4), np.eye(4)]).astype(np.float32)
    inverse[1, 3, 1] = -1
    skin = file.add(
        "skins", {"joints": [base, tip], "inverseBindMatrices": file.accessor(inverse.reshape(2, 16), "MAT4")}
    )
    file.node("Skinned", mesh=mesh, skin=skin)
    times = file.accessor([0.0, 0.5, 2.0], "SCALAR")
    turns = file.accessor([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0.7071068, 0.7071068]], "VEC4")
    file.add("animations", _animation(tip, "rotation", times, turns))
    return file


def _sparse() -> Gltf:
    """A mesh whose points are all zero, except those that the file lists."""
    file = gltf_of([tetrahedron()])
    accessor = file.document["accessors"][0]
    del accessor["bufferView"]
    accessor["sparse"] = {
        "count": 2,
        "indices": {"bufferView": file.view(np.array([1, 3], "<u4").tobytes()), "componentType": 5125},
        "values": {"bufferView": file.view(np.array([[4, 0, 0], [0, 5, 0]], "<f4").tobytes())},
    }
    return file


def _sparse_content() -> Content:
    return Content(vertices=4, bounds=(0.0, 0.0, 0.0, 4.0, 0.0, 5.0), object_count=1)


# OBJ, STL and PLY


def _obj() -> Iterator[Entry]:
    for name, shapes in _shapes().items():
        yield _valid(f"written {name}.obj", obj(shapes), content(shapes))
    two = [tetrahedron("A").of("Red"), box("B").of("Blue")]
    yield _valid("written crlf.obj", obj(two, newline="\r\n"), content(two))
    yield _valid("written relative.obj", obj(two, relative=True), content(two))
    yield _valid("written missing library.obj", obj(two, library="missing.mtl"), content(two))
    yield _valid("written bom.obj", b"\xef\xbb\xbf" + obj(two), content(two))


def _stl() -> Iterator[Entry]:
    for name, shapes in _shapes().items():
        if name in ("tetrahedron", "box", "tiny", "huge"):
            found = _single(triangulated(content(shapes), shapes))
            yield _valid(f"written {name}.stl", stl(shapes), found)
            yield _valid(f"written text {name}.stl", text_stl(shapes), found)
    found = _single(_tetra_content())
    yield _valid("written solid.stl", stl([tetrahedron()], b"solid of a program that writes binary"), found)
    yield _valid("written crlf.stl", text_stl([tetrahedron()], newline="\r\n"), found)
    yield _valid(
        "written two solids.stl", text_stl([tetrahedron("A"), tetrahedron("B").at(5, 0, 0)]), Content(vertices=8)
    )


def _ply() -> Iterator[Entry]:
    for format_ in ("ascii", "binary_little_endian", "binary_big_endian"):
        for shape in (tetrahedron(), box(), disc()):
            yield _valid(f"written {shape.name} {format_}.ply", ply(shape, format_), _single(content([shape])))
        extra = ply(tetrahedron(), format_, extra=True)
        yield _valid(f"written extra {format_}.ply", extra, _single(_tetra_content()))
    yield _valid("written crlf.ply", ply(tetrahedron(), newline="\r\n"), _single(_tetra_content()))
    points = replace(surface(), faces=[])
    yield _valid("written points.ply", ply(points, "binary_little_endian"), _single(content([points])))


# USD


def _usd() -> Iterator[Entry]:
    for name, shapes in _shapes().items():
        data, found = usda(shapes), content(shapes)
        yield _valid(f"written {name}.usda", data, found)
        yield _valid(f"written {name}.usdz", usdz({"a.usda": data}), found)
    found = content([tetrahedron()])
    yield _valid("written y up.usda", usda([tetrahedron()], up="Y"), found)
    yield _valid("written centimetres.usda", usda([tetrahedron()], unit=0.01), found)
    yield _valid("written motion.usda", _usd_motion(), replace(found, frames=FRAMES))
    painted = [surface("Picture").of("Painted")]
    picture = usda(painted, texture="textures/picture.png")
    yield _valid(
        "written texture.usdz", usdz({"a.usda": picture, "textures/picture.png": png(16, 16)}), content(painted)
    )
    yield _valid("written missing texture.usda", usda(painted, texture="missing.png"), content(painted))
    yield _valid("written missing texture.usdz", usdz({"a.usda": picture}), content(painted))


def _usd_motion() -> bytes:
    header = f"startTimeCode = 1\nendTimeCode = {1 + FRAMES}\ntimeCodesPerSecond = 24"
    samples = f"{{1: (0, 0, 0), 12: (0, 0, 0), {1 + FRAMES}: (5, 0, 0)}}"
    moves = f'double3 xformOp:translate.timeSamples = {samples}\nuniform token[] xformOpOrder = ["xformOp:translate"]'
    return usda([tetrahedron()], header=header, inside=moves)


# Large meshes, and names


def _large() -> Iterator[Entry]:
    shape = surface("Large", 1000, LARGE // 1000)
    shape = replace(shape, points=shape.points * np.array([1, 1, 0.1], np.float32))
    found = content([shape])
    yield _valid("written large.glb", gltf_of([shape]).glb(), found)
    yield _valid("written large.stl", stl([shape]), _single(found))
    points = replace(shape, faces=[])
    yield _valid("written large.ply", ply(points, "binary_little_endian"), _single(content([points])))


def _names() -> Iterator[Entry]:
    """Unicode in the names of objects, materials and files."""
    shapes = [tetrahedron(name).of(f"{name} {name}").at(3.0 * at, 0, 0) for at, name in enumerate(NAMES)]
    for suffix, data in (("glb", gltf_of(shapes).glb()), ("gltf", gltf_of(shapes).gltf())):
        yield _valid(f"written names.{suffix}", data, content(shapes))
    yield _valid("written names.obj", obj(shapes), content(shapes))
    identifiers = [each for each in shapes if each.name.isidentifier()]
    usd = [each.of(each.name + "_") for each in identifiers]
    yield _valid("written names.usda", usda(usd), content(usd))
    for name in (*NAMES, "-rf", "a;b $(c) `d` 'e' \"f\"", "%41%2F", "x" * 200, "line\nbreak", " "):
        yield _valid(f"{name}.glb", gltf_of([tetrahedron()]).glb(), _tetra_content())
    for suffix, data in (("stl", stl([tetrahedron()])), ("usda", usda([tetrahedron()])), ("obj", obj([tetrahedron()]))):
        yield _valid(f"Würfel 立方.{suffix}", data, replace(_tetra_content(), objects=None))
    yield _valid("UPPER.GLB", gltf_of([tetrahedron()]).glb(), _tetra_content())
    yield _valid("no suffix", gltf_of([tetrahedron()]).glb(), _tetra_content())


__all__ = ["bounds", "written_files"]
