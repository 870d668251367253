"""Reads the OpenEXR files that Blender writes for render passes: rows of pixels, without compression.

Blender's Python has no other way to the pixels of a pass: `Image.pixels` of a render result is empty without a window,
and bpy comes without the module OpenImageIO. Before version 5, Blender writes all channels to one part of the file, and
since then one part for each pass. https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x76\x2f\x31\x01"

_MULTI_PART = 0x1000
"""The bit of the version field that says that there are several parts."""

_NUMBERS = {0: "<u4", 1: "<f2", 2: "<f4"}
"""numpy's names of the types of channels."""


class _Part(NamedTuple):
    """The header of a part: its channels with their types, in the order of the file; its width, its height."""

    channels: list[tuple[str, str]]
    width: int
    height: int


def read_channels(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the channels of a file by name, each of shape (height, width), with the lowest row first.

    In a file with several parts, the name of a part does not belong to the names of its channels.

    Args:
        data: the bytes of the file.

    Raises:
        ValueError: the file is not complete, or is none that Blender writes without compression.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError(f"the file is no complete OpenEXR file without compression: {error}") from error


def _read(data: bytes) -> dict[str, NDArray[np.float32]]:
    (version,) = struct.unpack_from("<I", data, 4)
    if data[:4] != _MAGIC:
        raise ValueError("the file is no OpenEXR file")
    is_multi_part = bool(version & _MULTI_PART)
    parts, at = _headers(data, 8, is_multi_part=is_multi_part)
    found: dict[str, NDArray[np.float32]] = {}
    for part in parts:
        # After the headers, each part has a table with the places of its rows.
        places = np.frombuffer(data, "<u8", part.height, at)
        at += 8 * part.height
        found.update(_rows(data, part, int(places.min()), 4 if is_multi_part else 0))
    return found


def _headers(data: bytes, at: int, *, is_multi_part: bool) -> tuple[list[_Part], int]:
    """Return the headers that begin at a place, and the place after them."""
    parts: list[_Part] = []
    while True:
        attributes, at = _attributes(data, at)
        if attributes:
            parts.append(_part(attributes))
        if not is_multi_part or not attributes:
            return parts, at


def _attributes(data: bytes, at: int) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    while data[at]:
        name, at = _text(data, at)
        _type, at = _text(data, at)
        (size,) = struct.unpack_from("<I", data, at)
        found[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found, at + 1


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise IndexError("a name has no end")
    return data[at:end].decode(), end + 1


def _part(attributes: dict[str, bytes]) -> _Part:
    if attributes["compression"] != b"\0":
        raise ValueError("the OpenEXR file is compressed")
    left, low, right, high = struct.unpack("<4i", attributes["dataWindow"])
    channels: list[tuple[str, str]] = []
    listed, at = attributes["channels"], 0
    while listed[at]:
        name, at = _text(listed, at)
        (number,) = struct.unpack_from("<I", listed, at)
        channels.append((name, _NUMBERS[number]))
        at += 16
    return _Part(channels, right - left + 1, high - low + 1)


def _rows(data: bytes, part: _Part, first: int, skipped: int) -> dict[str, NDArray[np.float32]]:
    """Return the channels of a part.

    Args:
        data: the file.
        part: the header.
        first: the place of the first row. Blender writes the rows of a part one after the other, from the top.
        skipped: the size of the number of the part before each row.
    """
    fields = [("part", "V", skipped), ("y", "<i4"), ("size", "<u4")]
    row = np.dtype([*fields[skipped == 0 :], *((name, number, part.width) for name, number in part.channels)])
    if first + row.itemsize * part.height > len(data):
        raise IndexError("rows are missing")
    rows = np.frombuffer(data, row, part.height, first)
    if (rows["size"] != row.itemsize - skipped - 8).any() or (np.diff(rows["y"]) != 1).any():
        raise ValueError("the rows of the OpenEXR file are not one after the other")
    return {name: rows[name][::-1].astype(np.float32) for name, _ in part.channels}
