"""Checks of glTF and GLB files before Blender reads them.

The specification is https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

import base64
import codecs
import json
import struct
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from ...support.finite import check_finite
from ..limits import Limits
from .image_sizes import check_picture

_JSON, _BIN = 0x4E4F534A, 0x004E4942

_BASE64 = ";base64,"

_NUMBER_SIZES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_FLOAT = 5126
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def checked_glb(data: bytes, limits: Limits) -> bytes:
    """Return a GLB file that refers to no other file. See `checked_gltf` for the errors."""
    try:
        version, length = struct.unpack_from("<II", data, 4)
    except struct.error:
        raise ValueError("the GLB file is cut off in its header") from None
    if version != 2:
        raise ValueError(f"the GLB file has version {version}; Blender can read version 2")
    if length != len(data):
        raise ValueError(f"the GLB file is damaged or cut off: it has {len(data)} bytes instead of {length}")
    chunks = _chunks(data)
    if not chunks or chunks[0][0] != _JSON:
        raise ValueError("the GLB file is damaged: its first part is not JSON")
    binary = next((body for kind, body in chunks if kind == _BIN), None)
    document, changed = _checked(chunks[0][1], binary, limits)
    if not changed:
        return data
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    parts = [struct.pack("<II", len(body), kind) + body for kind, body in [(_JSON, text), *chunks[1:]]]
    return struct.pack("<4sII", b"glTF", 2, 12 + sum(map(len, parts))) + b"".join(parts)


def checked_gltf(data: bytes, limits: Limits) -> bytes:
    """Return a glTF file that refers to no other file. Pictures in other files are left out.

    Raises:
        ValueError: the file is invalid, has meshes in other files, or breaks a limit.
    """
    document, changed = _checked(data, None, limits)
    return json.dumps(document).encode() if changed else data


def _chunks(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 12
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("the GLB file is cut off")
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > len(data):
            raise ValueError("the GLB file is cut off")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    return found


def _checked(text: bytes, binary: bytes | None, limits: Limits) -> tuple[dict[str, Any], bool]:
    try:
        document: Any = json.loads(text.decode("utf-8-sig"))
        changed = _check(document, binary, limits)
        # Blender cannot read a file with a byte order mark, which some programs write.
        return document, changed or text.startswith(codecs.BOM_UTF8)
    except RecursionError:
        raise ValueError("the glTF file is nested too deeply") from None
    except (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"the glTF file is not valid: {type(error).__name__}: {error}") from error


def _check(document: Any, binary: bytes | None, limits: Limits) -> bool:
    version = str(document["asset"]["version"])
    if not version.startswith("2."):
        raise ValueError(f"the glTF file has version {version}; Blender can read version 2")
    changed = _rewrite_uris(document)
    buffers = [_buffer(each, binary) for each in document.get("buffers", [])]
    views = [_view(each, buffers) for each in document.get("bufferViews", [])]
    for view in document.get("bufferViews", []):
        _check_compression(view, limits)
    strides = [int(each.get("byteStride", 0)) for each in document.get("bufferViews", [])]
    limits.check_unpacked(sum(_accessor(each, views, strides) for each in document.get("accessors", [])))
    _check_tree(document.get("nodes", []))
    return _check_images(document, views, limits) or changed


def _rewrite_uris(document: Any) -> bool:
    """Give data URIs the form of which Blender finds the same data as `_data_of`. Return whether there are others.

    Blender takes what follows the first ";base64,", and looks for a file if there is none.
    """
    changed = False
    for owner in (*document.get("buffers", []), *document.get("images", [])):
        uri: str | None = owner.get("uri")
        if uri is not None and uri.startswith("data:") and uri.find(_BASE64) + len(_BASE64) != uri.find(",") + 1:
            owner["uri"] = f"data:{_BASE64}{base64.b64encode(_data_of(uri)).decode()}"
            changed = True
    return changed


def _buffer(buffer: Any, binary: bytes | None) -> bytes:
    uri: str | None = buffer.get("uri")
    if uri is None:
        content = b"" if binary is None else binary
    elif uri.startswith("data:"):
        content = _data_of(uri)
    else:
        raise ValueError("the glTF file has its meshes in another file: export it as GLB, which is a single file")
    if buffer["byteLength"] > len(content):
        raise ValueError(f"the glTF file has {len(content)} bytes of data instead of {buffer['byteLength']}")
    return content


def _data_of(uri: str) -> bytes:
    """Return the content of a URI as in RFC 2397."""
    kind, comma, body = uri.partition(",")
    if not comma:
        raise ValueError("the glTF file has a data URI without data")
    try:
        return base64.b64decode(body) if kind.endswith(";base64") else unquote_to_bytes(body)
    except ValueError:
        raise ValueError("the glTF file has a data URI that is not base64") from None


def _view(view: Any, buffers: list[bytes]) -> bytes:
    start: int = view.get("byteOffset", 0)
    size: int = view["byteLength"]
    content: bytes = buffers[view["buffer"]]
    if start < 0 or size < 0 or start + size > len(content):
        raise ValueError("the glTF file refers to data after the end of its buffer")
    return content[start : start + size]


def _check_compression(view: Any, limits: Limits) -> None:
    packed = view.get("extensions", {}).get("EXT_meshopt_compression")
    if packed is not None:
        limits.check_unpacked(packed["count"] * packed["byteStride"])


def _accessor(accessor: Any, views: list[bytes], strides: list[int]) -> int:
    """Check an accessor. Return the size of its numbers."""
    number = _NUMBER_SIZES[accessor["componentType"]]
    count = accessor["count"]
    if not isinstance(count, int) or count < 0:
        raise ValueError("the glTF file has an accessor without a valid count")
    element: int = number * _COMPONENTS[accessor["type"]]
    if "bufferView" in accessor:
        stride = strides[accessor["bufferView"]]
        start, view = accessor.get("byteOffset", 0), views[accessor["bufferView"]]
        if start < 0 or start + count * element > len(view):
            raise ValueError("the glTF file refers to numbers after the end of their buffer")
        if accessor["componentType"] == _FLOAT and start % 4 == 0 and not stride % 4:
            numbers = np.frombuffer(view[: len(view) // 4 * 4], "<f4")[start // 4 :]
            columns = (stride or element) // 4
            rows = -(-len(numbers) // columns)
            padded = np.zeros(rows * columns, np.float32)
            padded[: len(numbers)] = numbers
            check_finite(padded.reshape(rows, columns)[:count, : element // 4])
    return count * element


def _check_tree(nodes: list[Any]) -> None:
    """Check that each node has at most one parent and is not above itself: Blender would not end."""
    parents: dict[int, int] = {}
    for index, node in enumerate(nodes):
        for child in node.get("children", []):
            if not isinstance(child, int) or not 0 <= child < len(nodes) or child in parents:
                raise ValueError("the nodes of the glTF file are not a tree")
            parents[child] = index
    below_a_root: set[int] = set()
    for index in range(len(nodes)):
        path: list[int] = []
        at: int | None = index
        while at is not None and at not in below_a_root:
            if len(path) > len(nodes):
                raise ValueError("the nodes of the glTF file are not a tree: a node is above itself")
            path.append(at)
            at = parents.get(at)
        below_a_root.update(path)


def _check_images(document: Any, views: list[bytes], limits: Limits) -> bool:
    """Check all pictures. Take those that are in other files out of the document; return whether there are some."""
    outside = set()
    for index, image in enumerate(document.get("images", [])):
        uri = image.get("uri")
        if uri is None:
            check_picture(views[image["bufferView"]], limits)
        elif uri.startswith("data:"):
            check_picture(_data_of(uri), limits)
        else:
            outside.add(index)
            image["uri"] = "data:image/png;base64,"
    for texture in document.get("textures", []) if outside else []:
        for owner in (texture, *texture.get("extensions", {}).values()):
            if owner.get("source") in outside:
                del owner["source"]
    return bool(outside)
