"""Values of Python's other types, and the simpler values that are encoded instead of them.

The encoder writes the types in the table of `vendor_term_codec.encode` itself. This module has the rest: subclasses of
these types, and types of the standard library that have an obvious Erlang term.

A collection may be a class of an application, so its methods are not trusted: it is read up to its stated length and
one element more, and then both must agree.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections import UserString, deque
from collections.abc import Callable, Iterable, Mapping, MappingView, Sequence, Sized
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import EnumMeta
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import Any
from uuid import UUID

from .errors import EncodeError
from .types import Atom, Export, Fun

LONGEST_RANGE = 2**24 - 1
"""The longest range that is encoded, in numbers. Its length costs nothing in Python, but memory when it is encoded."""

MAX_LENGTH = 2**32 - 1
"""The largest number of elements of a list or map, because the length has 32 bits."""

_ALL = slice(None)

NO_REPLACEMENT = object()
"""What `replacement_of` returns for a value of an unknown type."""


def replacement_of(item: Any) -> Any:
    """Return the value that is encoded instead of `item`, or NO_REPLACEMENT.

    Raises:
        EncodeError: `item` is a collection whose length and elements disagree, or is too long.
    """
    kind = type(item)
    if isinstance(kind, EnumMeta):
        return item.value
    if hasattr(kind, "__dataclass_fields__") and not isinstance(item, Export | Fun):
        return _fields(item)
    for base in kind.__mro__:
        replace = _REPLACEMENTS.get(base)
        if replace is not None:
            return replace(item)
    return NO_REPLACEMENT


def type_name(kind: type) -> str:
    """Return the name of a class as error messages give it: with its module, if it is not a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _elements(item: Any) -> list[Any]:
    return _read(item, item)


def _tuple(item: tuple[Any, ...]) -> tuple[Any, ...]:
    if type(item).__iter__ is tuple.__iter__:  # A named tuple.
        return tuple.__getitem__(item, _ALL)
    return tuple(_elements(item))


def _read(item: Sized, elements: Iterable[Any]) -> list[Any]:
    """Return the elements of the collection `item` as a list."""
    try:
        length = len(item)
    except OverflowError:
        length = MAX_LENGTH + 1
    if length > MAX_LENGTH:
        raise EncodeError(f"cannot encode {type_name(type(item))} with more than {MAX_LENGTH} elements")
    found = [*islice(elements, length + 1)]
    if len(found) != length:
        many = "more" if len(found) > length else str(len(found))
        raise EncodeError(f"cannot encode {type_name(type(item))}: its length is {length}, but it has {many} elements")
    return found


def _sorted(item: Iterable[Any]) -> list[Any]:
    elements = _elements(item)
    try:
        return sorted(elements)
    except Exception:  # noqa: BLE001 - the elements cannot be compared, and a comparison may raise anything
        return elements


def _pairs(item: Any) -> dict[Any, Any]:
    pairs = _read(item, item.items())
    try:
        found = dict(pairs)
    except (TypeError, ValueError) as error:
        raise EncodeError(f"cannot encode {type_name(type(item))}: {error}") from error
    if len(found) != len(pairs):
        raise EncodeError(f"cannot encode {type_name(type(item))}: a key occurs twice")
    return found


def _range(item: range) -> list[int]:
    if item[LONGEST_RANGE:]:
        raise EncodeError(f"cannot encode a range of more than {LONGEST_RANGE} numbers")
    return list(item)


def _fields(item: Any) -> dict[str, Any]:
    """Return the fields of a dataclass."""
    fields = {}
    for field in dataclasses.fields(item):
        try:
            fields[field.name] = getattr(item, field.name)
        except AttributeError as error:
            raise EncodeError(f"cannot encode {type_name(type(item))}: its field {field.name} has no value") from error
    return fields


# The first class in the method resolution order of a value counts. A class that is only registered with Mapping or
# Sequence need not be a collection of its own elements.
_REPLACEMENTS: dict[type, Callable[[Any], Any]] = {
    Atom: lambda item: Atom(str.__str__(item)),
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: memoryview,
    bytearray: memoryview,
    list: _elements,
    tuple: _tuple,
    dict: _pairs,
    MappingProxyType: _pairs,
    set: _sorted,
    frozenset: _sorted,
    range: _range,
    array: lambda item: item.tounicode() if item.typecode in "uw" else array.tolist(item),
    deque: _elements,
    type({}.keys()): _elements,
    type({}.values()): _elements,
    type({}.items()): _elements,
    PurePath: str,
    UUID: str,
    date: lambda item: item.isoformat(),
    time: lambda item: item.isoformat(),
    UserString: str,
    Mapping: _pairs,
    MappingView: _elements,
    AbstractSet: _sorted,
    Sequence: _elements,
}
