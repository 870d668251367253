"""The width and the height of a picture, from the header of its file. A small file can contain a huge picture."""

import re
import struct

from .limits import Limits

_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""The markers that begin a frame, in ITU T.81, table B.1."""


def check_picture(data: bytes, limits: Limits) -> None:
    """Check that a picture is not too large.

    Raises:
        ValueError: the picture has more pixels than the limit, or its header cannot be read.
    """
    try:
        size = _size(bytes(data))
    except (struct.error, IndexError, ValueError):
        size = None
    if size is None:
        raise ValueError(
            "the file contains a picture whose size is unknown: only PNG, JPEG, WebP, EXR, HDR and BMP can be checked"
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
    return None


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
    at = data.find(b"dataWindow\0box2i\0")
    if at < 0:
        return None
    left, bottom, right, top = struct.unpack_from("<iiii", data, at + len(b"dataWindow\0box2i\0") + 4)
    return right - left + 1, top - bottom + 1


def _hdr(data: bytes) -> tuple[int, int] | None:
    found = re.search(rb"[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})", data[:65536])
    return None if found is None else (int(found[2]), int(found[3]))
