"""Checks of binary FBX files before Blender reads them.

FBX has no public specification. https://code.blender.org/2013/08/fbx-binary-file-format-specification describes it.
"""

import struct
import zlib

import numpy as np

from ...support.finite import check_finite
from ..limits import Limits
from .image_sizes import check_picture

_FIXED = {b"Z": 1, b"Y": 2, b"B": 1, b"C": 1, b"I": 4, b"F": 4, b"D": 8, b"L": 8}
"""The sizes of the properties that are one number."""

_ARRAYS = {b"b": 1, b"c": 1, b"i": 4, b"l": 8, b"f": 4, b"d": 8}
"""The sizes of the numbers in arrays."""

_PATHS = {b"FileName", b"Filename", b"RelativeFilename"}
_PATH_OWNERS = {b"Texture", b"Video"}
"""Without a path, Blender takes the name of these objects as the path."""

_THREE = struct.Struct("<III")

_DEEPEST = 64


class _Walk:
    """A walk through all nodes of a file, which checks them and changes paths in `data`."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = bytearray(data)
        self.limits = limits
        self.unpacked = 0
        (version,) = struct.unpack_from("<I", data, 23)
        # FBX 2016 has 64 bits for sizes.
        self.head = "<III" if version < 7500 else "<QQQ"
        self.head_size = struct.calcsize(self.head) + 1

    def nodes(self, at: int, end: int, depth: int) -> None:
        """Check the nodes from one position to another."""
        if depth > _DEEPEST:
            raise ValueError("the FBX file is nested too deeply")
        while at < end:
            node_end, count, size = struct.unpack_from(self.head, self.data, at)
            if node_end == 0:
                return
            name_size = self.data[at + self.head_size - 1]
            start = at + self.head_size
            name = bytes(self.data[start : start + name_size])
            properties = start + name_size
            if not properties + size <= node_end <= end:
                raise ValueError("the FBX file is damaged or cut off")
            self.properties(name, properties, properties + size, count)
            if properties + size < node_end:
                self.nodes(properties + size, node_end, depth + 1)
            at = node_end
        if depth == 0:
            raise ValueError("the FBX file is cut off")

    def properties(self, name: bytes, at: int, end: int, count: int) -> None:
        for _ in range(count):
            if at >= end:
                raise ValueError("the FBX file is damaged")
            kind = bytes(self.data[at : at + 1])
            at = self.value(name, kind, at + 1)
            if at > end:
                raise ValueError("the FBX file is damaged")

    def value(self, name: bytes, kind: bytes, at: int) -> int:
        """Check one property. Return where it ends."""
        if kind in _FIXED:
            return at + _FIXED[kind]
        if kind in _ARRAYS:
            return self.array(at, kind)
        if kind not in (b"S", b"R"):
            raise ValueError("the FBX file is damaged")
        size = int.from_bytes(self.data[at : at + 4], "little")
        at += 4
        if kind == b"S" and name in _PATHS | _PATH_OWNERS:
            self.data[at : at + size] = self.data[at : at + size].translate(_WITHOUT_FOLDERS)
        if name == b"Content" and size:
            check_picture(bytes(self.data[at : at + size]), self.limits)
        return at + size

    def array(self, at: int, kind: bytes) -> int:
        length, encoding, size = _THREE.unpack_from(self.data, at)
        at += 12
        wanted = int(length) * _ARRAYS[kind]
        self.unpacked += wanted
        self.limits.check_unpacked(self.unpacked)
        if encoding == 1:
            unpacker = zlib.decompressobj()
            # The declared length can be wrong, so unpack no more than this.
            content = unpacker.decompress(bytes(self.data[at : at + size]), wanted + 1)
        else:
            content = bytes(self.data[at : at + size])
        if len(content) != wanted:
            raise ValueError("the FBX file is damaged: an array does not have the length that it declares")
        if kind in (b"d", b"f"):
            check_finite(np.frombuffer(content, "<f8" if kind == b"d" else "<f4"))
        return at + int(size)


_WITHOUT_FOLDERS = bytes.maketrans(b"/\\:", b"___")


def checked_fbx(data: bytes, limits: Limits) -> bytes:
    """Return an FBX file that refers to no other file: paths in it have no folders.

    Raises:
        ValueError: the file is invalid or breaks a limit.
    """
    try:
        walk = _Walk(data, limits)
        walk.nodes(27, len(data), 0)
    except (struct.error, IndexError):
        raise ValueError("the FBX file is cut off") from None
    except zlib.error:
        raise ValueError("the FBX file is damaged: an array cannot be unpacked") from None
    return bytes(walk.data)
