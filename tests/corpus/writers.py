"""Writers of 3D files, which do not use Blender, so that Blender's importers are not tested against its own exporters.

Sources: the glTF 2.0 specification, https://openusd.org, http://paulbourke.net/dataformats (obj, ply, stl).
"""

import base64
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from shapes import Points, Shape

# Pictures


def png(width: int = 2, height: int = 2, declared: tuple[int, int] | None = None) -> bytes:
    """Return a picture.

    Args:
        width, height: the size.
        declared: another size in its header.
    """

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes([row * 40 % 256, 128, 200] * width) for row in range(height))
    header = struct.pack(">IIBBBBB", *(declared or (width, height)), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# glTF


_FLOAT, _INT, _SHORT, _BYTE = 5126, 5125, 5123, 5121


def y_up(points: Points) -> Points:
    """Return points in the axes of glTF, OBJ and most USD files."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


class Gltf:
    """A glTF file while it is being made.

    Attributes:
        document: its JSON, which can be changed.
        binary: its buffer.
    """

    def __init__(self) -> None:
        self.binary = b""
        self.document: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}]}

    def add(self, part: str, value: dict[str, Any]) -> int:
        """Append a value to a list of the document. Return its index."""
        values: list[Any] = self.document.setdefault(part, [])
        values.append(value)
        return len(values) - 1

    def view(self, data: bytes) -> int:
        """Append data to the buffer. Return the index of its view."""
        self.binary += bytes(-len(self.binary) % 4)
        start = len(self.binary)
        self.binary += data
        return self.add("bufferViews", {"buffer": 0, "byteOffset": start, "byteLength": len(data)})

    def accessor(self, numbers: Any, kind: str, component: int = _FLOAT) -> int:
        """Append numbers to the buffer. Return the index of their accessor."""
        dtype = {_FLOAT: "<f4", _INT: "<u4", _SHORT: "<u2", _BYTE: "u1"}[component]
        array = np.asarray(numbers, dtype)
        rows = array.reshape(len(array), array.size // max(1, len(array)))
        value: dict[str, Any] = {"bufferView": self.view(array.tobytes()), "componentType": component}
        value |= {"count": len(array), "type": kind}
        if component == _FLOAT and len(array) and np.isfinite(rows).all():
            value |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self.add("accessors", value)

    def material(self, name: str | None) -> int | None:
        """Return the index of a material, which is created if it does not exist."""
        if name is None:
            return None
        for index, each in enumerate(self.document.get("materials", [])):
            if each["name"] == name:
                return index
        return self.add("materials", {"name": name, "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}})

    def mesh(self, shape: Shape, **attributes: int) -> int:
        """Append a mesh. Return its index."""
        primitive: dict[str, Any] = {
            "attributes": {"POSITION": self.accessor(y_up(shape.points), "VEC3"), **attributes}
        }
        primitive["indices"] = self.accessor(np.array(shape.triangles(), np.uint32).reshape(-1), "SCALAR", _INT)
        material = self.material(shape.material)
        if material is not None:
            primitive["material"] = material
        return self.add("meshes", {"name": shape.name, "primitives": [primitive]})

    def node(self, name: str, *, root: bool = True, **value: Any) -> int:
        """Append a node. Return its index."""
        index = self.add("nodes", {"name": name, **value})
        if root:
            self.document["scenes"][0]["nodes"].append(index)
        return index

    def shape(self, shape: Shape) -> int:
        """Append a node with a mesh. Return the index of the node."""
        return self.node(shape.name, mesh=self.mesh(shape))

    def textured(self, shape: Shape, image: dict[str, Any], name: str = "Painted") -> int:
        """Append a node with a mesh that has a picture as its texture. Return the index of the node."""
        self.add("images", image)
        self.add("textures", {"source": 0})
        self.add("materials", {"name": name, "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}})
        places = self.accessor(shape.points[:, :2] / 4, "VEC2")
        return self.node(shape.name, mesh=self.mesh(shape.of(name), TEXCOORD_0=places))

    def glb(self) -> bytes:
        """Return the file in its binary form."""
        return glb(self._finished(), self.binary)

    def gltf(self) -> bytes:
        """Return the file in its text form, with the buffer in it."""
        document = self._finished()
        if self.binary:
            kind = "data:application/octet-stream;base64,"
            document["buffers"][0]["uri"] = kind + base64.b64encode(self.binary).decode()
        return json.dumps(document, ensure_ascii=False).encode()

    def _finished(self) -> dict[str, Any]:
        return {**self.document, **({"buffers": [{"byteLength": len(self.binary)}]} if self.binary else {})}


def glb(document: dict[str, Any], binary: bytes) -> bytes:
    """Return a GLB file with this JSON and this buffer."""
    text = json.dumps(document, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        binary += bytes(-len(binary) % 4)
        parts += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def gltf_of(shapes: Sequence[Shape]) -> Gltf:
    """Return a glTF file with these shapes, one node for each."""
    file = Gltf()
    for shape in shapes:
        file.shape(shape)
    return file


# OBJ


def obj(shapes: Sequence[Shape], *, newline: str = "\n", relative: bool = False, library: str | None = None) -> bytes:
    """Return an OBJ file.

    Args:
        shapes: the shapes.
        newline: the end of each line.
        relative: whether faces count vertices from the last one backwards.
        library: the name of the file with the materials.
    """
    lines, first = ["# made by hand"], 1
    if library:
        lines.append(f"mtllib {library}")
    for shape in shapes:
        lines.append(f"o {shape.name}")
        lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in y_up(shape.points).tolist()]
        if shape.material:
            lines.append(f"usemtl {shape.material}")
        shift = -len(shape.points) if relative else first
        lines += ["f " + " ".join(str(corner + shift) for corner in face) for face in shape.faces]
        first += len(shape.points)
    return (newline.join(lines) + newline).encode()


# STL


def stl(shapes: Sequence[Shape], header: bytes = b"made by hand") -> bytes:
    """Return a binary STL file."""
    corners = np.concatenate([shape.points[np.array(shape.triangles())] for shape in shapes])
    rows = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["corners"] = corners
    return header.ljust(80, b"\0")[:80] + struct.pack("<I", len(rows)) + rows.tobytes()


def text_stl(shapes: Sequence[Shape], *, newline: str = "\n", upper: bool = False) -> bytes:
    """Return a text STL file. Its words can be in upper case."""
    lines = []
    for shape in shapes:
        lines.append(f"solid {shape.name}")
        for triangle in shape.triangles():
            lines += ["facet normal 0 0 0", "outer loop"]
            lines += [f"vertex {x:.9g} {y:.9g} {z:.9g}" for x, y, z in shape.points[list(triangle)].tolist()]
            lines += ["endloop", "endfacet"]
        lines.append(f"endsolid {shape.name}")
    text = newline.join(lines) + newline
    return (text.upper() if upper else text).encode()


# PLY


def ply(
    shape: Shape, format_: str = "ascii", *, newline: str = "\n", extra: bool = False, double: bool = False
) -> bytes:
    """Return a PLY file.

    Args:
        shape: the shape.
        format_: ascii, binary_little_endian or binary_big_endian.
        newline: the end of each line.
        extra: whether vertices also have colours and an unknown property.
        double: whether coordinates have 64 bits.
    """
    number = "double" if double else "float"
    header = ["ply", f"format {format_} 1.0", "comment made by hand", f"element vertex {len(shape.points)}"]
    header += [f"property {number} {axis}" for axis in "xyz"]
    if extra:
        header += [*(f"property uchar {name}" for name in ("red", "green", "blue")), "property int serial"]
    header += [f"element face {len(shape.faces)}", "property list uchar int vertex_indices", "end_header"]
    order = ">" if "big" in format_ else "<"
    vertex = struct.Struct(order + ("ddd" if double else "fff") + ("BBBi" if extra else ""))
    rows = [
        (*point, *((255, index % 256, 0, index) if extra else ())) for index, point in enumerate(shape.points.tolist())
    ]
    if format_ == "ascii":
        lines = [" ".join(f"{value:.9g}" for value in row) for row in rows]
        lines += [" ".join(map(str, (len(face), *face))) for face in shape.faces]
        return (newline.join([*header, *lines]) + newline).encode()
    body = b"".join(vertex.pack(*row) for row in rows)
    body += b"".join(struct.pack(f"{order}B{len(face)}i", len(face), *face) for face in shape.faces)
    return (newline.join(header) + newline).encode() + body


# USD


def usda(
    shapes: Sequence[Shape],
    *,
    up: str = "Z",
    unit: float = 1.0,
    inside: str = "",
    header: str = "",
    texture: str | None = None,
    picture_of: str | None = None,
) -> bytes:
    """Return a text USD file.

    Args:
        shapes: the shapes.
        up: the axis that points upwards: Y or Z.
        unit: the metres of a unit.
        inside: further lines in the root prim.
        header: further lines in the metadata of the file.
        texture: the path of a picture for all materials.
        picture_of: the name of the material with the picture; default all.
    """
    lines = ["#usda 1.0", "(", 'defaultPrim = "root"', f'upAxis = "{up}"', f"metersPerUnit = {unit}", header, ")"]
    lines += ['def Xform "root"', "{", inside]
    for name in sorted({shape.material for shape in shapes if shape.material}):
        lines += _usd_material(name, texture if picture_of in (None, name) else None)
    for shape in shapes:
        points = (y_up(shape.points) if up == "Y" else shape.points) / np.float32(unit)
        lines += [
            f'def Mesh "{shape.name}" (prepend apiSchemas = ["MaterialBindingAPI"])'
            if shape.material
            else f'def Mesh "{shape.name}"',
            "{",
            f"int[] faceVertexCounts = {[len(face) for face in shape.faces]}",
            f"int[] faceVertexIndices = {[corner for face in shape.faces for corner in face]}",
            "point3f[] points = [" + ", ".join(f"({x:.9g}, {y:.9g}, {z:.9g})" for x, y, z in points.tolist()) + "]",
            'uniform token subdivisionScheme = "none"',
        ]
        if shape.material:
            lines.append(f"rel material:binding = </root/{shape.material}>")
        lines.append("}")
    return "\n".join([*lines, "}", ""]).encode()


def _usd_material(name: str, texture: str | None) -> list[str]:
    path = f"/root/{name}"
    lines = [f'def Material "{name}"', "{", f"token outputs:surface.connect = <{path}/shader.outputs:surface>"]
    lines += ['def Shader "shader"', "{", 'uniform token info:id = "UsdPreviewSurface"']
    if texture:
        lines.append(f"color3f inputs:diffuseColor.connect = <{path}/picture.outputs:rgb>")
    else:
        lines.append("color3f inputs:diffuseColor = (1, 0, 0)")
    lines += ["token outputs:surface", "}"]
    if texture:
        lines += ['def Shader "picture"', "{", 'uniform token info:id = "UsdUVTexture"']
        lines += [f"asset inputs:file = @{texture}@", "float3 outputs:rgb", "}"]
    return [*lines, "}"]


def usdz(members: dict[str, bytes]) -> bytes:
    """Return an archive as the specification of usdz wants it: not compressed, each content at a multiple of 64."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            start = file.tell() + 30 + len(name.encode())
            padding = -(start + 4) % 64
            info.extra = struct.pack("<HH", 0x1986, padding) + bytes(padding)
            archive.writestr(info, data)
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a compressed archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


# FBX


def fbx_node(name: bytes, properties: bytes, count: int, at: int, children: bytes = b"") -> bytes:
    """Return a node of a binary FBX file of version 7400.

    Args:
        name: its name.
        properties: its properties.
        count: how many there are.
        at: the position of the node in the file.
        children: the nodes in it, with the null node at their end.
    """
    end = at + 13 + len(name) + len(properties) + len(children)
    return struct.pack("<IIIB", end, count, len(properties), len(name)) + name + properties + children


def fbx(*nodes: tuple[bytes, bytes, int]) -> bytes:
    """Return a binary FBX file with these nodes: name, properties, and how many these are."""
    data = b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 7400)
    for name, properties, count in nodes:
        data += fbx_node(name, properties, count, len(data))
    return data + bytes(13)
