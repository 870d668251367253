"""Read and write runs of numbers in one step, with or without numpy. A run is a sequence of elements of one type.

Each float of a run takes nine bytes: a tag and eight bytes for the number. To read a run, a slice with a stride of nine
collects the tags. If all tags are equal, one `struct` reads all numbers in C; its format skips the tag bytes. To write
a run, `struct` writes the numbers and leaves one free byte before each, and one slice assignment writes the tags into
the free bytes. Integers are read and written in the same way, with a stride of five.

The reader works in chunks of a fixed size. If a chunk is not one run, its numbers are read one by one. So for any order
of tags, reading takes at most a constant factor longer than reading the list one number at a time.

Only `numpy_module` imports numpy, and only if the caller asks for arrays. The encoder uses numpy only if the program
has imported it already.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from math import isfinite, prod
from operator import countOf
from types import ModuleType
from typing import Any

from .errors import DecodeError, EncodeError
from .replacements import type_name
from .tags import INTEGER, NIL, SMALL_INTEGER

SMALL_RUN = 16
"""The longest container of floats, in elements, that one struct of exactly this size reads."""

INT_RUN = 8
"""The shortest container, in elements, that is read as a run if its first element is an integer."""

ENCODE_RUN = 8
"""The shortest list of numbers, in elements, that is written as a run."""

ARRAY_MIN = 16
"""The shortest list, in elements, that becomes an array if the caller asks for arrays."""

_CHUNK = 256
_INT_CHUNK = 64
_MIXED_CHUNK = 16 * _CHUNK
_FLOAT_CHUNK_TAGS = b"F" * _CHUNK
_INT_CHUNK_TAGS = b"b" * _INT_CHUNK
_BYTE_CHUNK_TAGS = b"a" * _INT_CHUNK

FLOAT_TAGS = [b"F" * count for count in range(SMALL_RUN + 1)]
FLOAT_RUNS = [struct.Struct(">" + "xd" * count).unpack_from for count in range(SMALL_RUN + 1)]

_INT_TAGS = (INTEGER, SMALL_INTEGER)

# Matches integers with either tag. The match ends before the first integer that contains the byte "a" (SMALL_INTEGER).
_match_mixed = re.compile(rb"(?s:b[^a][^a][^a][^a]|a[^a]){0,%d}+" % _CHUNK).match
_MIXED_MIN = 8

_unpack_int_chunk = struct.Struct(">" + "xi" * _INT_CHUNK).unpack_from
_unpack_int = struct.Struct(">i").unpack_from
_pack_list = struct.Struct(">BI").pack
_pack_string = struct.Struct(">BH").pack


@lru_cache(maxsize=1024)
def _run_struct(code: str, count: int) -> struct.Struct:
    """Return a struct of `count` numbers with the struct code `code`; it skips the tag byte before each number."""
    return struct.Struct(">" + f"x{code}" * count)


# Reading lists


def read_floats(data: bytes | memoryview, pos: int, count: int) -> list[float]:
    """Return the run of floats at offset `pos`: at most `count` numbers, and none after the first other tag.

    Raises:
        DecodeError: a number is nan or infinite.
        struct.error: the data end inside the last number.
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
    """Return the run of integers of up to 32 bits at offset `pos`, and the offset after the run.

    The run has at most `count` numbers. It ends at the first other tag.

    Raises:
        IndexError, struct.error: the data end inside the run.
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
    """Read a chunk if all its elements have the same tag. Return the offset after the chunk, or 0 if they do not."""
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
    """Read integers with either tag. Return the offset after them, or 0 if there are too few for this method.

    SMALL_INTEGER_EXT is the byte "a". If no other byte of the elements is an "a", one `replace` turns all elements into
    INTEGER_EXT, so that all have the same size. The match ends before the first element that contains another "a";
    `_read_plainly` reads this element.
    """
    found = _match_mixed(data, pos)
    assert found is not None
    if found.end() - pos < 5 * _MIXED_MIN:
        return 0
    numbers = found[0].replace(b"a", b"b\0\0\0")
    values += _run_struct("i", len(numbers) // 5).unpack(numbers)
    return found.end()


def _read_plainly(data: bytes | memoryview, pos: int, count: int, values: list[int]) -> int:
    """Read up to `count` elements one by one, until the first other tag. Return the offset after them."""
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
    """Raise a DecodeError if a number of `values` is nan or infinite. The run of floats starts at offset `pos`."""
    for index, value in enumerate(values):
        if not isfinite(value):
            raise not_finite(pos + 9 * index)


def not_finite(pos: int) -> DecodeError:
    return DecodeError(f"the float at offset {pos} is nan or infinite, and Erlang has neither")


def _check_exponents(data: bytes | memoryview, pos: int, end: int, values: list[float]) -> None:
    # In nan and the infinities all bits of the exponent are ones, so the first byte is 7f or ff. Some very large
    # numbers have the same first byte. So these bytes only show whether the numbers must be checked one by one.
    high = bytes(data[pos + 1 : end : 9])
    if b"\x7f" in high or b"\xff" in high:
        check_finite(values, pos)


# Writing lists


def write_numbers(values: tuple[Any, ...]) -> bytes | None:
    """Return the external form of a list of finite floats or of ints of up to 32 bits; None for other values.

    If all ints are from 0 to 255, the result is a STRING_EXT. Otherwise all ints are written as INTEGER_EXT, also the
    small ones: the terms are the same, and all elements have the same size.
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
            pass  # An int is not from 0 to 255.
    return _int_list(values) if count >= ENCODE_RUN else None


def _float_list(values: tuple[float, ...]) -> bytes | None:
    out = _tagged("d", b"F", 9, values)
    high = out[6::9]
    if (b"\x7f" in high or b"\xff" in high) and any(map(_is_not_finite, high, out[7::9])):
        return None
    return bytes(out)


def _is_not_finite(first: int, second: int) -> bool:
    """Return True if a float that begins with these two bytes is nan or infinite: all bits of its exponent are ones."""
    return first & 0x7F == 0x7F and second & 0xF0 == 0xF0


def _int_list(values: tuple[int, ...]) -> bytes | None:
    try:
        return bytes(_tagged("i", b"b", 5, values))
    except struct.error:
        return None  # An int has more than 32 bits.


def _tagged(code: str, tag: bytes, stride: int, values: tuple[Any, ...]) -> bytearray:
    """Return a LIST_EXT with its header, a tag and a number for each element, and NIL_EXT."""
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
    """Import numpy and return it; None if it cannot be imported."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def read_float_array(data: bytes | memoryview, pos: int, count: int) -> tuple[Any, int] | None:
    """Read the elements of a LIST_EXT of `count` floats at offset `pos`, and its tail, which must be NIL_EXT.

    Return a float64 array of shape (count,) and the offset after NIL_EXT. Return None if an element is not a float, or
    the tail is not NIL_EXT.

    Raises:
        DecodeError: a number is nan or infinite.
    """
    end = pos + 9 * count
    if end >= len(data) or data[end] != NIL or bytes(data[pos:end:9]) != b"F" * count:
        return None
    array = _numbers(data, pos, count, ">f8").astype("f8")
    _check_exponents(data, pos, end, array)
    return array, end + 1


def read_int_array(data: bytes | memoryview, pos: int, count: int) -> tuple[Any, int] | None:
    """Read the elements of a LIST_EXT of `count` integers at offset `pos`, and its tail, which must be NIL_EXT.

    Return an int64 array of shape (count,) and the offset after NIL_EXT. Return None if an element is not an integer of
    up to 32 bits, or the tail is not NIL_EXT. The elements may be INTEGER_EXT and SMALL_INTEGER_EXT. For example, the
    vertex indices of a mesh are long runs of INTEGER_EXT, with both tags mixed where the indices are small.

    Raises:
        IndexError, struct.error: the data end inside the list.
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
    """Return the number of consecutive INTEGER_EXT at offset `pos`, at most `count`; 0 if it is less than _CHUNK."""
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
    """Return a view of `count` numbers of the numpy type `number` at offset `pos`, without the tag before each."""
    dtype = _numpy().dtype([("tag", "u1"), ("number", number)])
    if pos + dtype.itemsize * count > len(data):
        raise IndexError
    return _numpy().frombuffer(data, dtype, count, pos)["number"]


def _numpy() -> Any:
    numpy = numpy_module()
    assert numpy is not None
    return numpy


def as_array(values: list[Any]) -> Any:
    """Return a float64 or int64 array of `values`, or `values` itself.

    The result is an array if there are at least `ARRAY_MIN` values, all of them floats or all ints of up to 64 bits.
    """
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
    """Encode a numpy array or scalar of numbers or booleans.

    Return its external form (bytes), or a Python value with the same external form. Return None for any other value,
    and for an array whose class reads its elements in its own way (`_plain`).

    Raises:
        EncodeError: a number is nan or infinite.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    array = _plain(numpy, value)
    if array is None or (kind := array.dtype.kind) not in "fiub":
        return None
    if array.ndim == 0:
        return _PYTHON_TYPES[kind](array)  # type: ignore[no-any-return]
    if array.size == 0:
        return _empty(numpy, array.shape)
    if kind == "b":
        return array.tolist()  # type: ignore[no-any-return]
    if kind == "f":
        return _nest(numpy, array.shape, _float_records(numpy, array))
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high <= 255 and array.shape[-1] <= 0xFFFF:
        return _strings(numpy, array)
    if low >= -(2**31) and high < 2**31:
        return _nest(numpy, array.shape, _records(numpy, array, INTEGER, ">i4"))
    return _nest(numpy, array.shape, _big_records(numpy, array))


def _plain(numpy: Any, value: Any) -> Any:
    """Return a numpy scalar, or an array without its subclass; None if its elements may not be what memory holds.

    A masked array hides elements, and an array with a unit scales them. Such a class has a mask, or replaces a method
    that reads elements. The classes of numpy itself, such as numpy.matrix, may replace them.
    """
    kind = type(value)
    if kind is numpy.ndarray or not isinstance(value, numpy.ndarray):
        return value
    if hasattr(value, "mask"):
        return None
    own = next(base for base in kind.__mro__ if base.__module__.partition(".")[0] == "numpy")
    if any(getattr(kind, method, None) is not getattr(own, method, None) for method in _READING_METHODS):
        return None
    return numpy.asarray(value)


def array_name(value: Any) -> str | None:
    """Return the class and the type of the elements of a numpy array, for error messages; None for any other value."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return None
    return f"{type_name(type(value))} of {value.dtype}"


_PYTHON_TYPES: dict[str, Callable[[Any], Any]] = {"f": float, "i": int, "u": int, "b": bool}

_READING_METHODS = ("__getitem__", "__iter__", "__array__", "__len__", "item", "tolist")


def _empty(numpy: Any, shape: tuple[int, ...]) -> bytes:
    """Encode an array without elements: its last lists are empty."""
    outer = shape[: shape.index(0)]
    return _nest(numpy, outer, numpy.full((prod(outer), 1), NIL, numpy.uint8))


def _records(numpy: Any, value: Any, tag: int, number: str) -> Any:
    """Return a uint8 array with one row for each number: the tag and the number."""
    records = numpy.empty(value.size, [("tag", "u1"), ("number", number)])
    records["tag"] = tag
    records["number"] = value.reshape(-1)
    return records.view(numpy.uint8).reshape(value.size, -1)


def _float_records(numpy: Any, value: Any) -> Any:
    with numpy.errstate(over="ignore"):
        rows = _records(numpy, value, 70, ">f8")
    # The records are checked, and not the array: another thread may change the array.
    suspects = (rows[:, 1] | 0x80) == 0xFF
    if suspects.any() and any(map(_is_not_finite, *rows[suspects, 1:3].T.tolist())):
        raise EncodeError("nan and infinity have no Erlang term, and this array holds one")
    return rows


def _big_records(numpy: Any, value: Any) -> Any:
    # Each number becomes a SMALL_BIG_EXT of eight bytes. Erlang accepts leading zeros, and decodes small values as
    # small integers.
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
    """Encode the last axis of the array as STRING_EXT, and the other axes as lists."""
    length = value.shape[-1]
    rows = value.size // length
    block = numpy.empty((rows, 3 + length), numpy.uint8)
    block[:, :3] = tuple(_pack_string(107, length))
    block[:, 3:] = value.reshape(rows, length)
    return _nest(numpy, value.shape[:-1], block)


def _nest(numpy: Any, shape: tuple[int, ...], block: Any) -> bytes:
    """Combine the rows of `block` to nested lists, from the last axis of `shape` to the first.

    Each iteration adds a list header before each row, and NIL_EXT after it.
    """
    for length in reversed(shape):
        rows = len(block) // length
        body = block.reshape(rows, -1)
        block = numpy.empty((rows, body.shape[1] + 6), numpy.uint8)
        block[:, :5] = tuple(_pack_list(108, length))
        block[:, 5:-1] = body
        block[:, -1] = NIL
    return bytes(block)
