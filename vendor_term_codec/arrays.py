"""Runs of numbers, taken whole; with numpy where it is there, without it where it is not.

A run of floats is a tag and eight bytes, over and over. A slice with a stride of nine gathers the tags; if they are
all the same, one `struct` whose format skips the tag bytes reads the numbers in C. The other way round, `struct`
writes the numbers and leaves a gap before each, and one slice assignment fills the gaps with the tag. Integers go the
same way with a stride of five.

Reading goes in chunks of a fixed size, and a chunk that is not one run is read number by number: no order of tags
makes it slower than reading the list plainly by more than a constant factor.

numpy is imported by `numpy_module` alone, when somebody asks for arrays; encoding only looks whether it is loaded.
"""

from __future__ import annotations

import re
import struct
import sys
from functools import lru_cache
from itertools import repeat
from math import isfinite
from operator import countOf
from types import ModuleType
from typing import Any

from .errors import DecodeError, EncodeError
from .tags import INTEGER, NIL, SMALL_INTEGER

SMALL_RUN = 16
"""Up to so many floats are read by the struct of just that size."""

INT_RUN = 8
"""From so many elements on, a container that starts with an integer is read as a run."""

ENCODE_RUN = 8
"""From so many numbers on, a list is written as a run."""

ARRAY_MIN = 16
"""A shorter list stays a list even where arrays are asked for."""

_CHUNK = 256
_INT_CHUNK = 64
_MIXED_CHUNK = 16 * _CHUNK
_FLOAT_CHUNK_TAGS = b"F" * _CHUNK
_INT_CHUNK_TAGS = b"b" * _INT_CHUNK
_BYTE_CHUNK_TAGS = b"a" * _INT_CHUNK

FLOAT_TAGS = [b"F" * count for count in range(SMALL_RUN + 1)]
FLOAT_RUNS = [struct.Struct(">" + "xd" * count).unpack_from for count in range(SMALL_RUN + 1)]

_INT_TAGS = (INTEGER, SMALL_INTEGER)

# Integers of both tags, up to the first that has the byte of the shorter tag among its own.
_match_mixed = re.compile(rb"(?s:b[^a][^a][^a][^a]|a[^a]){0,%d}+" % _CHUNK).match
_MIXED_MIN = 8

_unpack_int_chunk = struct.Struct(">" + "xi" * _INT_CHUNK).unpack_from
_unpack_int = struct.Struct(">i").unpack_from
_pack_list = struct.Struct(">BI").pack
_pack_string = struct.Struct(">BH").pack


@lru_cache(maxsize=1024)
def _run_struct(code: str, count: int) -> struct.Struct:
    """`count` numbers of the struct code `code`, each behind a byte that is skipped."""
    return struct.Struct(">" + f"x{code}" * count)


# Reading lists


def read_floats(data: bytes | memoryview, pos: int, count: int) -> list[float]:
    """The floats that stand at `pos`, one after the other, up to `count` of them or the first other tag.

    Raises:
        DecodeError: one of them is nan or infinite.
        struct.error: the data end inside the last one.
    """
    values: list[float] = []
    at = pos
    while count >= _CHUNK and data[at : at + 9 * _CHUNK : 9] == _FLOAT_CHUNK_TAGS:
        values += _run_struct("d", _CHUNK).unpack_from(data, at)
        at += 9 * _CHUNK
        count -= _CHUNK
    found = bytes(data[at : at + 9 * min(count, _CHUNK) : 9])
    rest = len(found) - len(found.lstrip(b"F"))
    values += _run_struct("d", rest).unpack_from(data, at)
    _check_exponents(data, pos, at + 9 * rest, values)
    return values


def read_ints(data: bytes | memoryview, pos: int, count: int) -> tuple[list[int], int]:
    """The integers of up to 32 bits that stand at `pos`, up to `count` of them or the first other tag.

    Returns them and the offset behind them.

    Raises:
        IndexError, struct.error: the data end before the run does.
    """
    values: list[int] = []
    while (left := count - len(values)) and data[pos] in _INT_TAGS:
        pos = (
            (left >= _INT_CHUNK and _read_int_chunk(data, pos, values))
            or (left >= _CHUNK and _read_mixed(data, pos, values))
            or _read_plainly(data, pos, min(left, _INT_CHUNK // 2), values)
        )
    return values, pos


def _read_int_chunk(data: bytes | memoryview, pos: int, values: list[int]) -> int:
    """Read a chunk whose elements all have one tag; returns the offset behind it, or 0 if there is no such chunk."""
    if data[pos] == INTEGER:
        end = pos + 5 * _INT_CHUNK
        if data[pos:end:5] == _INT_CHUNK_TAGS:
            values += _unpack_int_chunk(data, pos)
            return end
    else:
        end = pos + 2 * _INT_CHUNK
        if data[pos:end:2] == _BYTE_CHUNK_TAGS:
            values += data[pos + 1 : end : 2]
            return end
    return 0


def _read_mixed(data: bytes | memoryview, pos: int, values: list[int]) -> int:
    """Read elements of both tags; returns the offset behind them, or 0 where that is not worth while.

    Where no byte but the shorter tag is an "a", replacing that writes all elements with the longer tag and one stride.
    The match ends before the first element for which this does not hold; that one is read by itself.
    """
    found = _match_mixed(data, pos)
    assert found is not None
    if found.end() - pos < 5 * _MIXED_MIN:
        return 0
    numbers = found[0].replace(b"a", b"b\0\0\0")
    values += _run_struct("i", len(numbers) // 5).unpack(numbers)
    return found.end()


def _read_plainly(data: bytes | memoryview, pos: int, count: int, values: list[int]) -> int:
    """Read up to `count` elements one by one, and stop at another tag; returns the offset behind them."""
    append, unpack_int = values.append, _unpack_int
    for _ in repeat(None, count):
        tag = data[pos]
        if tag == INTEGER:
            append(unpack_int(data, pos + 1)[0])
            pos += 5
        elif tag == SMALL_INTEGER:
            append(data[pos + 1])
            pos += 2
        else:
            break
    return pos


def check_finite(values: list[float], pos: int) -> None:
    """Raise the DecodeError for the first of `values` that is nan or infinite; the run starts at `pos`."""
    for index, value in enumerate(values):
        if not isfinite(value):
            raise not_finite(pos + 9 * index)


def not_finite(pos: int) -> DecodeError:
    return DecodeError(f"the float at offset {pos} is nan or infinite, and Erlang has neither")


def _check_exponents(data: bytes | memoryview, pos: int, end: int, values: list[float]) -> None:
    # The exponent of nan and of the infinities is all ones, so their first byte is 7f or ff; so is that of some very
    # large numbers, which is why this only decides whether to look closer.
    high = bytes(data[pos + 1 : end : 9])
    if b"\x7f" in high or b"\xff" in high:
        check_finite(values, pos)


# Writing lists


def write_numbers(values: list[Any]) -> bytes | None:
    """The external form of a list that is all floats, or all ints of up to 32 bits; None for any other list.

    Ints that all fit a byte make a STRING_EXT. Otherwise every int is written as INTEGER_EXT, the small ones too:
    the same terms, in bytes of one stride. A list with nan or an infinity is "any other".
    """
    first = type(values[0])
    count = len(values)
    if (first is not float and first is not int) or countOf(map(type, values), first) != count:
        return None
    if first is float:
        return _float_list(values) if count >= ENCODE_RUN else None
    if count <= 0xFFFF and 0 <= values[0] <= 255:
        try:
            return _pack_string(107, count) + bytes(values)
        except ValueError:
            pass  # not all of them fit a byte
    return _int_list(values) if count >= ENCODE_RUN else None


def _float_list(values: list[float]) -> bytes | None:
    out = _tagged("d", b"F", 9, values)
    high = out[6::9]
    if (b"\x7f" in high or b"\xff" in high) and not all(map(isfinite, values)):
        return None
    return bytes(out)


def _int_list(values: list[int]) -> bytes | None:
    try:
        return bytes(_tagged("i", b"b", 5, values))
    except struct.error:
        return None  # more than 32 bits


def _tagged(code: str, tag: bytes, stride: int, values: list[Any]) -> bytearray:
    """LIST_EXT, the numbers each behind its tag, NIL_EXT."""
    count = len(values)
    out = bytearray(_pack_list(108, count))
    whole = count - count % _CHUNK
    pack = _run_struct(code, _CHUNK).pack
    for start in range(0, whole, _CHUNK):
        out += pack(*values[start : start + _CHUNK])
    out += _run_struct(code, count - whole).pack(*values[whole:])
    out[5::stride] = tag * count
    out += b"j"
    return out


# numpy


def numpy_module() -> ModuleType | None:
    """numpy, if it can be imported."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def read_float_array(data: bytes | memoryview, pos: int, count: int) -> tuple[Any, int] | None:
    """The array of the `count` floats at `pos`, and the offset behind the NIL_EXT that follows them.

    None if they are not all floats, or something else follows.

    Raises:
        DecodeError: one of them is nan or infinite.
    """
    end = pos + 9 * count
    if end >= len(data) or data[end] != NIL or bytes(data[pos:end:9]) != b"F" * count:
        return None
    array = _numbers(data, pos, count, ">f8").astype("f8")
    _check_exponents(data, pos, end, array)
    return array, end + 1


def read_int_array(data: bytes | memoryview, pos: int, count: int) -> tuple[Any, int] | None:
    """The same of integers of up to 32 bits, of either tag.

    The indices of a mesh are like that: long runs of INTEGER_EXT, and where they are small both tags by turns.

    Raises:
        IndexError, struct.error: the data end before they do.
    """
    pieces = []
    while count:
        run = _int_run(data, pos, count)
        if run:
            pieces.append(_numbers(data, pos, run, ">i4").astype("i8"))
            pos += 5 * run
        else:
            values, pos = read_ints(data, pos, min(count, _MIXED_CHUNK))
            run = len(values)
            pieces.append(_numpy().array(values, "i8"))
        if not run:
            return None
        count -= run
    if data[pos] != NIL:
        return None
    return (pieces[0] if len(pieces) == 1 else _numpy().concatenate(pieces)), pos + 1


def _int_run(data: bytes | memoryview, pos: int, count: int) -> int:
    """How many INTEGER_EXT stand at `pos`, up to `count`; 0 for fewer than are worth an array of their own."""
    run, window = 0, _CHUNK
    while run < count:
        looked_at = min(window, count - run)
        tags = bytes(data[pos + 5 * run : pos + 5 * (run + looked_at) : 5])
        if tags != b"b" * looked_at:
            run += len(tags) - len(tags.lstrip(b"b"))
            break
        run += looked_at
        window *= 4
    return run if run >= _CHUNK else 0


def _numbers(data: bytes | memoryview, pos: int, count: int, number: str) -> Any:
    """`count` numbers of numpy's type `number`, each behind its tag."""
    dtype = _numpy().dtype([("tag", "u1"), ("number", number)])
    if pos + dtype.itemsize * count > len(data):
        raise IndexError
    return _numpy().frombuffer(data, dtype, count, pos)["number"]


def _numpy() -> Any:
    numpy = numpy_module()
    assert numpy is not None
    return numpy


def as_array(values: list[Any]) -> Any:
    """`values` as a float64 or int64 array if it is long enough and all of one of the two types, else itself."""
    if len(values) < ARRAY_MIN:
        return values
    first = type(values[0])
    if (first is not float and first is not int) or countOf(map(type, values), first) != len(values):
        return values
    try:
        return _numpy().array(values, "f8" if first is float else "i8")
    except OverflowError:
        return values


def write_array(value: Any) -> bytes | int | float | bool | list[Any] | None:
    """What stands for a numpy array or scalar: its external form, or a Python value that has the same one.

    None if `value` is no array or scalar of numbers or booleans.

    Raises:
        EncodeError: nan or infinity among the numbers.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic) or hasattr(value, "mask"):
        return None
    kind = value.dtype.kind
    if kind not in "fiub":
        return None
    if value.ndim == 0:
        return {"f": float, "i": int, "u": int, "b": bool}[kind](value)  # type: ignore[no-any-return]
    if kind == "b" or value.size == 0:
        return value.tolist()  # type: ignore[no-any-return]
    if kind == "f":
        return _nest(numpy, value.shape, _float_records(numpy, value))
    low, high = int(value.min()), int(value.max())
    if low >= 0 and high <= 255 and value.shape[-1] <= 0xFFFF:
        return _strings(numpy, value)
    if low >= -(2**31) and high < 2**31:
        return _nest(numpy, value.shape, _records(numpy, value, INTEGER, ">i4"))
    return _nest(numpy, value.shape, _big_records(numpy, value))


def _records(numpy: Any, value: Any, tag: int, number: str) -> Any:
    """One row of bytes for each number: the tag and the number."""
    records = numpy.empty(value.size, [("tag", "u1"), ("number", number)])
    records["tag"] = tag
    records["number"] = value.reshape(-1)
    return records.view(numpy.uint8).reshape(value.size, -1)


def _float_records(numpy: Any, value: Any) -> Any:
    with numpy.errstate(over="ignore"):
        doubles = value.astype(numpy.float64, copy=False)
    if not numpy.isfinite(doubles).all():
        raise EncodeError("nan and infinity have no Erlang term, and this array holds one")
    return _records(numpy, doubles, 70, ">f8")


def _big_records(numpy: Any, value: Any) -> Any:
    # SMALL_BIG_EXT of eight bytes each. Erlang takes leading zeros, and makes small integers of small values.
    flat = value.reshape(-1)
    negative = flat < 0
    magnitude = flat.astype(numpy.uint64)
    magnitude[negative] = ~magnitude[negative] + numpy.uint64(1)
    records = numpy.empty(value.size, [("tag", "u1"), ("length", "u1"), ("sign", "u1"), ("number", "<u8")])
    records["tag"] = 110
    records["length"] = 8
    records["sign"] = negative
    records["number"] = magnitude
    return records.view(numpy.uint8).reshape(value.size, -1)


def _strings(numpy: Any, value: Any) -> bytes:
    """The last axis as STRING_EXT."""
    length = value.shape[-1]
    rows = value.size // length
    block = numpy.empty((rows, 3 + length), numpy.uint8)
    block[:, :3] = tuple(_pack_string(107, length))
    block[:, 3:] = value.reshape(rows, length)
    return _nest(numpy, value.shape[:-1], block)


def _nest(numpy: Any, shape: tuple[int, ...], block: Any) -> bytes:
    """Wrap the rows of `block` in lists, from the last axis to the first: each turn a header and a NIL_EXT per row."""
    for length in reversed(shape):
        rows = len(block) // length
        body = block.reshape(rows, -1)
        block = numpy.empty((rows, body.shape[1] + 6), numpy.uint8)
        block[:, :5] = tuple(_pack_list(108, length))
        block[:, 5:-1] = body
        block[:, -1] = NIL
    return bytes(block)
