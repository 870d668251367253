"""Checks of PLY files before Blender reads them. Blender crashes if a face has a vertex that does not exist.

http://paulbourke.net/dataformats/ply describes the format.
"""

import struct
from typing import NamedTuple

import numpy as np

from ...support.finite import check_finite
from ..limits import Limits

_NUMBERS = {
    **dict.fromkeys((b"char", b"int8"), "i1"),
    **dict.fromkeys((b"uchar", b"uint8"), "u1"),
    **dict.fromkeys((b"short", b"int16"), "i2"),
    **dict.fromkeys((b"ushort", b"uint16"), "u2"),
    **dict.fromkeys((b"int", b"int32"), "i4"),
    **dict.fromkeys((b"uint", b"uint32"), "u4"),
    **dict.fromkeys((b"float", b"float32"), "f4"),
    **dict.fromkeys((b"double", b"float64"), "f8"),
}
"""The types of numbers, by numpy's names."""

_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}

_CUT = "the PLY file is damaged or cut off: it has fewer elements than its header declares"


class _Property(NamedTuple):
    """A property: the type of its number or its numbers, and of the length of the list if it is one."""

    number: str
    length: str | None


class _Element(NamedTuple):
    name: bytes
    number_of: int
    properties: list[_Property]


def checked_ply(data: bytes, limits: Limits) -> bytes:
    """Return a PLY file that is complete, and whose faces and edges have vertices that exist.

    Raises:
        ValueError: the file is invalid.
    """
    header, end, body = data.partition(b"end_header")
    elements = _elements(header)
    if not end or not elements:
        raise ValueError("the PLY file is cut off in its header")
    # The line with end_header ends with \n, \r, or both.
    body = body[2:] if body.startswith(b"\r\n") else body[1:]
    if b"format ascii" in header:
        _check_text(elements, body)
    else:
        _check_binary(elements, body, ">" if b"big_endian" in header else "<")
    return data


def _elements(header: bytes) -> list[_Element]:
    found: list[_Element] = []
    for words in (line.split() for line in header.splitlines()):
        if words[:1] == [b"element"]:
            if len(words) != 3 or not words[2].isdigit() or len(words[2]) > 15:
                raise ValueError("the PLY file is damaged: its header has an element without a number")
            found.append(_Element(words[1], int(words[2]), []))
        elif words[:1] == [b"property"]:
            if not found:
                raise ValueError("the PLY file is damaged: its header has a property without an element")
            found[-1].properties.append(_property(words))
    return found


def _property(words: list[bytes]) -> _Property:
    try:
        if words[1] == b"list":
            return _Property(_NUMBERS[words[3]], _NUMBERS[words[2]])
        return _Property(_NUMBERS[words[1]], None)
    except (KeyError, IndexError):
        raise ValueError("the PLY file is damaged: its header has a property of an unknown type") from None


def _vertices(elements: list[_Element]) -> int:
    return sum(element.number_of for element in elements if element.name == b"vertex")


def _check_indices(indices: "list[float] | np.ndarray[tuple[int, ...], np.dtype[np.generic]]", vertices: int) -> None:
    numbers = np.asarray(indices)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < vertices):
        raise ValueError("the PLY file is damaged: a face has a vertex that does not exist")


def _check_binary(elements: list[_Element], body: bytes, order: str) -> None:
    at, vertices = 0, _vertices(elements)
    for element in elements:
        if all(each.length is None for each in element.properties):
            formats = [(str(index), order + each.number) for index, each in enumerate(element.properties)]
            row = np.dtype(formats)
            if element.number_of * row.itemsize > len(body) - at:
                raise ValueError(_CUT)
            if element.number_of and formats:
                rows = np.frombuffer(body, row, element.number_of, at)
                for name, number in formats:
                    if "f" in number:
                        check_finite(rows[name])
            at += element.number_of * row.itemsize
        else:
            at = _check_rows(element, body, at, order, vertices)
        if at > len(body):
            raise ValueError(_CUT)


def _check_rows(element: _Element, body: bytes, at: int, order: str, vertices: int) -> int:
    """Check elements with lists. Return where they end."""
    if element.number_of > len(body):
        raise ValueError(_CUT)
    indices: list[float] = []
    formats = [
        (
            struct.Struct(order + _CODES[each.length]) if each.length else None,
            order,
            _CODES[each.number],
            int(each.number[1]),
        )
        for each in element.properties
    ]
    try:
        for _ in range(element.number_of):
            for length, first, code, size in formats:
                if length is None:
                    at += size
                    continue
                (count,) = length.unpack_from(body, at)
                at += length.size
                if not 0 <= count <= len(body) - at:
                    raise ValueError(_CUT)
                indices += struct.unpack_from(f"{first}{count:.0f}{code}", body, at)
                at += int(count) * size
    except struct.error:
        raise ValueError(_CUT) from None
    if element.name == b"face":
        _check_indices(indices, vertices)
    return at


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError("the PLY file is damaged: it has a word in place of a number") from None


def _check_text(elements: list[_Element], body: bytes) -> None:
    lines, vertices = iter(body.splitlines()), _vertices(elements)
    indices: list[float] = []
    try:
        for element in elements:
            if element.number_of > len(body):
                raise ValueError(_CUT)
            for _ in range(element.number_of):
                words = [_number(word) for word in next(lines).split()]
                check_finite(np.array(words))
                at = 0
                for each in element.properties:
                    count = int(words[at]) if each.length else 1
                    start = at + 1 if each.length else at
                    at = start + count
                    if count < 0 or at > len(words):
                        raise ValueError(_CUT)
                    if each.length and element.name == b"face":
                        indices += words[start:at]
    except StopIteration:
        raise ValueError(_CUT) from None
    except (IndexError, OverflowError):
        raise ValueError("the PLY file is damaged") from None
    _check_indices(indices, vertices)
