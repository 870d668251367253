"""PNG and JPEG files from pixels, without datablocks and without files on the disk.

Blender writes such files only from an image in `bpy.data`. To create and remove one for each picture of a stream would
make Blender draw its windows each time, and the undo history and other programs would see the images.
"""

import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An array of shape (height, width, 3): red, green and blue, row by row from top to bottom."""

PNG_START = b"\x89PNG\r\n\x1a\n"


def png(pixels: Pixels, level: int = -1) -> bytes:
    """Return a PNG file with these pixels. https://www.w3.org/TR/png-3/#5DataRep

    Args:
        pixels: see `Pixels`.
        level: that of `zlib.compress`, 1 is the fastest; default -1, a compromise.
    """
    height, width, _ = pixels.shape
    # Each row begins with the number of its filter; 0 is none.
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level)), (b"IEND", b""))
    return PNG_START + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# JPEG, the baseline process of ITU-T T.81 in a JFIF file, with half the resolution of the colours (4:2:0).
# Numpy computes all blocks at once. Annex K has the tables. One pair of Huffman tables codes all components, which
# makes a file a few percent larger.

_ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, at // 8 if (at // 8 + at % 8) % 2 else at % 8))
"""The places of the coefficients of a block, in the order of the file."""

_BRIGHTNESS_STEPS = bytes.fromhex(
    "100b0a101828333d 0c0c0e131a3a3c37 0e0d101828394538 0e11161d3357503e "
    "121625384 46d674d 182337405168715c 31404e5767797865 485c5f6270646763".replace(" ", "")
)
"""The steps of quality 50 for the brightness, row by row."""

_COLOR_STEPS = bytes.fromhex("1112182f6363636312151a426363636318 1a3863636363632f426363".replace(" ", "") + "63" * 36)
"""The steps of quality 50 for the colours, row by row."""

_SIZE_COUNTS = bytes.fromhex("00010501010101010100000000000000")
_SIZES = bytes(range(12))
"""The Huffman codes of the sizes of differences: how many codes have 1, 2, ... 16 bits, and what they stand for."""

_PAIR_COUNTS = bytes.fromhex("0002010303020403050504040000017d")
_PAIRS = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
    + "".join(f"{high:x}{low:x}" for high in range(4, 8) for low in range(3, 11))
    + "838485868788898a"
    + "".join(f"{high:x}{low:x}" for high in range(9, 14) for low in range(2, 11))
    + "".join(f"{high:x}{low:x}" for high in (14, 15) for low in range(1, 11))
)
"""The same for pairs of a number of zeros and the size of the value after them."""

_ZEROS, _END = 0xF0, 0x00
"""The pairs for sixteen zeros, and for a block whose other values are all zero."""

_DIGITS = np.array([value.bit_length() for value in range(2048)], np.int32)
"""How many bits each value has."""

_TO_YCBCR = np.array(
    (
        (0.299, 0.587, 0.114),
        (-0.168736, -0.331264, 0.5),
        (0.5, -0.418688, -0.081312),
    ),
    np.float32,
)


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return a JPEG file with these pixels.

    Args:
        pixels: see `Pixels`.
        quality: 1 to 100.
    """
    height, width, _ = pixels.shape
    steps = [_steps(table, quality) for table in (_BRIGHTNESS_STEPS, _COLOR_STEPS)]
    start = _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    tables = _segment(0xDB, b"".join(bytes([number, *table]) for number, table in enumerate(steps)))
    # The brightness has two times two blocks for one block of each colour.
    frame = _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1)))
    codes = b"\x00" + _SIZE_COUNTS + _SIZES + b"\x10" + _PAIR_COUNTS + _PAIRS
    scan = _segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0)))
    data = _coded(_coefficients(pixels, steps)).replace(b"\xff", b"\xff\0")
    return b"".join((b"\xff\xd8", start, tables, frame, _segment(0xC4, codes), scan, data, b"\xff\xd9"))


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _steps(table: bytes, quality: int) -> list[int]:
    """Return the steps of a quality in the order of the file, as the library of the Independent JPEG Group does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [min(max((table[at] * scale + 50) // 100, 1), 255) for at in _ZIGZAG]


def _coefficients(pixels: Pixels, steps: list[list[int]]) -> NDArray[np.int32]:
    """Return the quantised coefficients: groups of four blocks of brightness and one of each colour, in file order."""
    height, width, _ = pixels.shape
    padded = np.pad(pixels, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // 16, padded.shape[1] // 16
    planes = (padded.reshape(-1, 3).astype(np.float32) @ _TO_YCBCR.T).reshape(padded.shape)
    brightness = planes[..., 0].reshape(rows, 2, 8, columns, 2, 8).transpose(0, 3, 1, 4, 2, 5) - 128
    shades = planes[..., 1:]
    means = (shades[::2, ::2] + shades[1::2, ::2] + shades[::2, 1::2] + shades[1::2, 1::2]) / 4
    colors = means.reshape(rows, 8, columns, 8, 2).transpose(0, 2, 4, 1, 3)
    found = np.empty((rows * columns, 6, 64), np.float32)
    found[:, :4] = (brightness.reshape(-1, 64) @ _transform() / np.array(steps[0], np.float32)).reshape(-1, 4, 64)
    found[:, 4:] = (colors.reshape(-1, 64) @ _transform() / np.array(steps[1], np.float32)).reshape(-1, 2, 64)
    return np.clip(np.rint(found), -1023, 1023).astype(np.int32)


@lru_cache
def _transform() -> NDArray[np.float32]:
    """Return the matrix of the discrete cosine transform of a whole block, with the coefficients in file order."""
    index = np.arange(8)
    wave = np.cos((2 * index + 1) * index[:, None] * np.pi / 16) / 2
    wave[0] /= np.sqrt(2)
    return np.ascontiguousarray(np.kron(wave, wave)[_ZIGZAG].T.astype(np.float32))


@lru_cache
def _codes(counts: bytes, symbols: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the codes of a Huffman table, and how many bits they have, by their symbols. T.81, Annex C."""
    values, lengths = np.zeros(256, np.int32), np.zeros(256, np.int32)
    code, at = 0, 0
    for bits, count in enumerate(counts, 1):
        for symbol in symbols[at : at + count]:
            values[symbol], lengths[symbol] = code, bits
            code += 1
        at += count
        code <<= 1
    return values, lengths


def _coded(groups: NDArray[np.int32]) -> bytes:
    """Return the Huffman codes of groups of blocks as bytes. T.81, F.1.2.

    Each code stands at the place of the coefficient after which nothing is missing: a zero has none, and the code for
    sixteen zeros stands at the last of them. So the codes of all blocks are in their order.
    """
    # The first coefficient of a block is coded as the difference from that of the block before.
    for component in (groups[:, :4, 0], groups[:, 4, 0], groups[:, 5, 0]):
        component[...] = np.diff(component.reshape(-1), prepend=0).reshape(component.shape)
    flat = groups.reshape(-1)
    codes, lengths = np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32)

    values, bits = _codes(_SIZE_COUNTS, _SIZES)
    digits, numbers = _numbers(flat[::64])
    codes[::64] = values[digits] << digits | numbers
    lengths[::64] = bits[digits] + digits

    values, bits = _codes(_PAIR_COUNTS, _PAIRS)
    nonzero = flat != 0
    nonzero[::64] = False
    places = np.flatnonzero(nonzero)
    before = np.maximum(np.concatenate(([0], places[:-1])), places & ~63)
    zeros = places - before - 1
    digits, numbers = _numbers(flat[places])
    pairs = (zeros % 16) << 4 | digits
    codes[places] = values[pairs] << digits | numbers
    lengths[places] = bits[pairs] + digits
    for count in (16, 32, 48):
        last = before[zeros >= count] + count
        codes[last], lengths[last] = values[_ZEROS], bits[_ZEROS]
    ends = np.flatnonzero(flat[63::64] == 0) * 64 + 63
    codes[ends], lengths[ends] = values[_END], bits[_END]
    used = lengths > 0
    return _packed(codes[used], lengths[used])


def _numbers(values: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return how many bits each value has, and the bits."""
    digits = _DIGITS[np.abs(values)]
    return digits, np.where(values < 0, values + (1 << digits) - 1, values)


def _packed(codes: NDArray[np.int32], lengths: NDArray[np.int32]) -> bytes:
    """Return codes of different lengths as bytes. Ones fill the last byte."""
    ends: Any = np.cumsum(lengths, dtype=np.int32)
    total = int(ends[-1])
    shifts = np.repeat(ends, lengths) - 1 - np.arange(total, dtype=np.int32)
    bits = np.ones(total + -total % 8, np.uint8)
    bits[:total] = np.repeat(codes, lengths) >> shifts & 1
    return np.packbits(bits).tobytes()
