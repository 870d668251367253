"""Handlers that describe a file without opening it in Blender."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from ..support.arguments import Options, options
from ..support.files import absolute
from .blend_reader import read_blend
from .file_formats import content_of
from .limits import LIMITS, Limits, limits
from .transfer import as_bytes, read

_OPTIONAL = ("caches", "nodes")
"""The kinds of references whose file need not exist, or is not known."""


def inspect_file(path: str, given: Options = None) -> dict[str, Any]:
    """Describe a file. The scene does not change, and Blender does not read the file.

    Args:
        path: the file; see `files.absolute`.
        given: the options max_bytes and max_unpacked; see `limits`.

    Returns:
        A map of `path`, `format` (the format of the content, also blend) and `bytes`. For .blend files also `version`
        (of the Blender that saved it, such as 4.5), `compression` (none, gzip, zstd), `unpacked` (in bytes), `names`
        (of the datablocks, by their collection in `bpy.data`), `counts` of them, `libraries` and `missing` (absolute
        paths). For glb and gltf `version` of the format, `counts` and `external`, the URIs of other files. For the
        other formats nothing more.

    Raises:
        ValueError: the content is of no known format, is damaged, or breaks a limit.
        OSError: the file cannot be read.
    """
    limit = limits(options(given, LIMITS))
    source = absolute(path, "the path")
    return {"path": str(source)} | _described(read(source, limit), source, limit)


def inspect_bytes(data: bytes, given: Options = None) -> dict[str, Any]:
    """Describe the content of a file. The scene does not change, and Blender does not read the content.

    Args:
        data: the content of the file.
        given: the options max_bytes and max_unpacked; see `limits`.

    Returns:
        A map as that of `inspect_file`, without `path` and `missing`. `libraries` has the paths that are stored, where
        `//` is the folder of the .blend file.

    Raises:
        ValueError: the content is of no known format, is damaged, or breaks a limit.
    """
    limit = limits(options(given, LIMITS))
    content = as_bytes(data)
    limit.check_size(len(content))
    return _described(content, None, limit)


def _described(data: bytes, source: Path | None, limit: Limits) -> dict[str, Any]:
    found = content_of(data)
    if found is None:
        raise ValueError("the content of the file is of no known format")
    described = {"format": found, "bytes": len(data)}
    if found == "blend":
        return described | _blend(data, source, limit)
    if found in ("glb", "gltf"):
        return described | _gltf(data)
    return described


def _blend(data: bytes, source: Path | None, limit: Limits) -> dict[str, Any]:
    file = read_blend(data, limit)
    described: dict[str, Any] = {
        "version": file.version,
        "compression": file.compression,
        "unpacked": file.unpacked,
        "names": file.names,
        "counts": {kind: len(names) for kind, names in file.names.items()},
    }
    outside = [each for each in file.references if not each.packed]
    if source is None:
        return described | {"libraries": sorted({each.path for each in outside if each.kind == "libraries"})}
    paths = {each: _resolved(each.path, source) for each in outside}
    return described | {
        "libraries": sorted({path for each, path in paths.items() if each.kind == "libraries"}),
        "missing": sorted(
            {path for each, path in paths.items() if each.kind not in _OPTIONAL and not os.path.exists(path)}
        ),
    }


def _resolved(path: str, source: Path) -> str:
    """Return a path that is stored in a .blend file as an absolute path."""
    path = path.replace("\\", "/")
    return os.path.abspath(source.parent / path[2:] if path.startswith("//") else source.parent / path)


def _gltf(data: bytes) -> dict[str, Any]:
    try:
        text = data
        if data.startswith(b"glTF"):
            (size,) = struct.unpack_from("<I", data, 12)
            text = data[20 : 20 + size]
        document = json.loads(text)
        parts = ("scenes", "nodes", "meshes", "materials", "textures", "images", "animations", "skins", "cameras")
        uris = [each.get("uri", "") for part in ("buffers", "images") for each in document.get(part, [])]
        return {
            "version": str(document["asset"]["version"]),
            "counts": {part: len(document.get(part, [])) for part in parts},
            "external": [uri for uri in uris if uri and not uri.startswith("data:")],
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(f"the glTF file is damaged: {error}") from error
