"""Checks of 3D files from strangers before Blender reads them.

Each check returns a file that refers to no other file. It raises a ValueError if the file is invalid, would load other
files, or would need much more memory than its own size.
"""

import re
import struct
from collections.abc import Callable

import numpy as np

from ...support.finite import check_finite
from ..file_formats import check_content
from ..limits import Limits
from .fbx_checks import checked_fbx
from .gltf_checks import checked_glb, checked_gltf
from .ply_checks import checked_ply
from .usd_checks import checked_usd


def checked(data: bytes, format_: str, limits: Limits) -> bytes:
    """Return the content of a file that Blender may read.

    Raises:
        ValueError: the file is empty or too large, has another format, is invalid, or needs other files.
    """
    limits.check_size(len(data))
    return _CHECKS[check_content(data, format_)](data, limits)


def _checked_obj(data: bytes, limits: Limits) -> bytes:
    if re.search(rb"^[ \t]*v[ \t][^\n]*(?:nan|inf)", data, re.IGNORECASE | re.MULTILINE):
        raise ValueError("the file has a coordinate that is not a finite number")
    # A backslash continues a line, also that of a path.
    return re.sub(rb"^[ \t]*(?:mtllib|maplib)\b(?:[^\n]*\\\r?\n)*[^\n]*", b"", data, flags=re.MULTILINE)


def _checked_stl(data: bytes, limits: Limits) -> bytes:
    if len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        triangles = np.frombuffer(data, [("normal", "<f4", 3), ("corners", "<f4", 9), ("attribute", "<u2")], offset=84)
        check_finite(triangles["corners"])
    elif re.search(rb"^\s*vertex[^\n]*(?:nan|inf)", data, re.IGNORECASE | re.MULTILINE):
        raise ValueError("the file has a coordinate that is not a finite number")
    return data


_MOST_GROUPS = 5_000_000


def _checked_abc(data: bytes, limits: Limits) -> bytes:
    """Check that an Alembic file is complete, and that its groups are a tree. Blender would crash or not end.

    Ogawa files consist of groups. A group is a number, and that many positions of groups or, with the highest bit set,
    of data. https://github.com/alembic/alembic/tree/master/lib/Alembic/Ogawa
    """
    try:
        if data[5] != 0xFF:
            raise ValueError("the Alembic file is not complete: the program that wrote it did not finish it")
        (root,) = struct.unpack_from("<Q", data, 8)
        waiting, seen = [root], 0
        while waiting:
            at = waiting.pop()
            (count,) = struct.unpack_from("<Q", data, at)
            seen += count
            if at + 8 + count * 8 > len(data) or seen > _MOST_GROUPS:
                raise ValueError("the Alembic file is damaged or cut off")
            for child in struct.unpack_from(f"<{count}Q", data, at + 8):
                position = child & ~(1 << 63)
                if child == position and child:
                    waiting.append(child)
                elif position:
                    (size,) = struct.unpack_from("<Q", data, position)
                    if position + 8 + size > len(data):
                        raise ValueError("the Alembic file is damaged or cut off")
    except (struct.error, IndexError, OverflowError):
        raise ValueError("the Alembic file is damaged or cut off") from None
    return data


_CHECKS: dict[str, Callable[[bytes, Limits], bytes]] = {
    "glb": checked_glb,
    "gltf": checked_gltf,
    "fbx": checked_fbx,
    "obj": _checked_obj,
    "stl": _checked_stl,
    "ply": checked_ply,
    "abc": _checked_abc,
    "usda": checked_usd,
    "usdc": checked_usd,
    "usdz": checked_usd,
}
