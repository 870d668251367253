"""The width and the height of a picture, from the header of its file. A small file can contain a huge picture."""

import re
import struct

from ..limits import Limits

_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""The markers that begin a frame, in ITU T.81, table B.1."""


def check_picture(data: bytes, limits: Limits) -> None:
    """Check that a picture is not too large.

    Raises:
        ValueError: the picture has more pixels than the limit, or its header cannot be read.
    """
    try:
        size = _size(bytes(data))
    except (struct.error, IndexError, KeyError, ValueError):
        size = None
    if size is None:
        raise ValueError(
            "the file contains a picture whose size is unknown: only PNG, JPEG, WebP, EXR, HDR, BMP, TIFF, TGA and "
            "DDS can be checked"
        )
    check_pixels(*size, limits)


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise a ValueError if a picture of this size is too large."""
    if width * height > limits.max_pixels:
        raise ValueError(
            f"the file contains a picture of {width}x{height} pixels, and max_pixels is {limits.max_pixels}"
        )


def _size(data: bytes) -> tuple[int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return struct.unpack_from(">II", data, 16)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(b"\x76\x2f\x31\x01"):
        return _exr(data)
    if data.startswith(b"#?"):
        return _hdr(data)
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(width), abs(height)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff(data)
    if data.startswith(b"DDS "):
        height, width = struct.unpack_from("<II", data, 12)
        return width, height
    return _tga(data)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        marker = data[at + 1]
        if data[at] != 0xFF:
            return None
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        # A marker without a length, or a fill byte before a marker.
        at += (
            1
            if marker == 0xFF
            else 2
            if marker in {0x01, *range(0xD0, 0xD9)}
            else 2 + struct.unpack_from(">H", data, at + 2)[0]
        )


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _exr(data: bytes) -> tuple[int, int] | None:
    """Return the largest window of all parts. https://openexr.com/en/latest/OpenEXRFileLayout.html"""
    (version,) = struct.unpack_from("<I", data, 4)
    parts_follow = bool(version & 0x1000)
    at, sizes = 8, []
    while True:
        if data[at] == 0:
            # The end of a header. Two of them are the end of all headers.
            at += 1
            if not parts_follow or data[at] == 0:
                break
        name, kind, rest = data[at : at + 600].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        (size,) = struct.unpack_from("<I", rest)
        if name in (b"dataWindow", b"displayWindow"):
            left, bottom, right, top = struct.unpack_from("<iiii", data, at + 4)
            sizes.append((right - left + 1, top - bottom + 1))
        at += 4 + size
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _hdr(data: bytes) -> tuple[int, int] | None:
    # The line after the first empty line. A comment before could look the same.
    found = re.match(rb"[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})\n", data.partition(b"\n\n")[2][:100])
    if found is None:
        return None
    first, second = int(found[2]), int(found[3])
    return (first, second) if found[1] == b"X" else (second, first)


def _tiff(data: bytes) -> tuple[int, int] | None:
    """Return the width and height in the first directory. https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf"""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    found = {}
    for index in range(count):
        tag, kind, _count = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * index)
        if tag in (256, 257):
            code = {3: "H", 4: "I"}[kind]
            (found[tag],) = struct.unpack_from(f"{order}{code}", data, at + 10 + 12 * index)
    return (found[256], found[257]) if len(found) == 2 else None


def _tga(data: bytes) -> tuple[int, int] | None:
    """Return the size of a Targa picture, which has no mark at its beginning: its header has to be plausible."""
    color_map, kind = data[1], data[2]
    width, height, depth = struct.unpack_from("<HHB", data, 12)
    if color_map > 1 or kind not in (1, 2, 3, 9, 10, 11) or depth not in (8, 15, 16, 24, 32):
        return None
    return width, height
