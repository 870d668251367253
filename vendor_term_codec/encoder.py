"""Encode Python values to bytes in the External Term Format.

Design: one loop takes one value after the other from the iterator of the current container, and appends its bytes to a
list of parts. A stack holds the containers around the current one. The iterator of a map gives keys and values in turn,
so that the loop handles all containers in the same way. The bytes that end a container, such as NIL_EXT after a list,
are stored with its iterator.

The encoder compares types with `is`, frequent types in the loop, other types in a table. A value of any other type
takes a slower path: numpy values, then subclasses of known types, then the caller's function `default`.

The loop does not record the path to the current value. If a value cannot be encoded, the encoder finds the path from
the containers on the stack, for the error message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from . import arrays, tags
from .errors import EncodeError
from .types import Atom, BitString, Export, Fun, ImproperList, PairsMap, Pid, Port, Reference, atom_ext, exact

MAX_DEPTH = 10_000
"""The deepest nesting of lists, tuples, dicts and funs that can be encoded, in levels."""

MAX_INTEGER_BYTES = 8 * (2**19 - 1)
"""The longest integer of the BEAM, in bytes. A BEAM node that receives a longer one closes the connection."""

_MAX_CACHED_ATOMS = 4096
_MAX_CACHED_STRINGS = 1024
_CACHED_STRING_LENGTH = 64
_FIRST_CYCLE_CHECK = 64
_LONGEST_KEY_SHOWN = 60
_MOST_STEPS_SHOWN = 20

_SMALL_INTEGERS = [bytes((tags.SMALL_INTEGER, number)) for number in range(256)]
_NIL, _TRUE, _FALSE = map(atom_ext, ("nil", "true", "false"))
_EMPTY_LIST = bytes((tags.NIL,))
_VERSION = bytes((tags.VERSION,))

_pack_int = struct.Struct(">Bi").pack
_pack_float = struct.Struct(">Bd").pack
_pack_length = struct.Struct(">BI").pack
_pack_fun = struct.Struct(">BIB16sII").pack

_Default = Callable[[Any], Any] | None
_Part = bytes | bytearray | memoryview

# The state of a container:
# - the iterator over the elements that remain
# - the bytes after the last element; for a fun the index of its header in the output
# - the container itself; None for the replacement of a value
# - the value in the parent container; it differs from the container if the container replaces it
_Frame = tuple[Iterator[Any], bytes | int, Any, Any]


class _AtomCache(dict[str, bytes]):
    """Maps the name of an atom to its external form.

    It needs no lock: if two threads add the same atom at the same time, both store equal bytes.
    """

    def __missing__(self, name: str) -> bytes:
        try:
            ext = atom_ext(name)
        except UnicodeEncodeError:
            raise
        except ValueError as error:
            raise EncodeError(f"cannot encode an Atom: {error}") from None
        if len(self) >= _MAX_CACHED_ATOMS:
            self.clear()
        self[name] = ext
        return ext


_atoms = _AtomCache()


def encode(value: Any, *, default: _Default = None) -> bytes:
    """Encode a value as an external term: the version byte 131 and the external form of the value.

    A value of each Python type becomes this Erlang term; a subclass is encoded like its base class:

        None, True, False               the atoms nil, true, false
        int, float                      an integer, a float
        str                             a binary in UTF-8
        bytes, bytearray, memoryview    a binary
        Atom                            an atom
        list, tuple, dict               a list, a tuple, a map
        numpy array                     a list of numbers or booleans, nested for each axis
        numpy scalar                    a number or boolean
        other types of this package     the term that they represent, such as a pid

    Args:
        value: the value.
        default: a function that is called with each value of any other type. It returns a value to encode instead, or
            raises TypeError. Default None: other types cannot be encoded.

    Raises:
        EncodeError: `value`, or a value inside it, has no Erlang term: nan, an infinity, a str with a lone surrogate,
            an Atom of more than 255 characters, an integer longer than `MAX_INTEGER_BYTES`, a dict in which two keys
            are the same term, or a value of an unknown type. Also if `value` contains itself or is nested deeper than
            `MAX_DEPTH`. The message gives the path to the value: `result["mesh"][3]: cannot encode bpy_types.Object`.

    Source: ERTS user's guide, chapter "External Term Format".
    """
    out: list[_Part] = [_VERSION]
    _write(value, out, default)
    return b"".join(out)


def encode_term(value: Any, *, default: _Default = None) -> bytes:
    """Encode a value without the version byte. For the arguments and exceptions see `encode`."""
    out: list[_Part] = []
    _write(value, out, default)
    return b"".join(out)


def tuple_of(*elements: bytes) -> bytes:
    """Return the external form of a tuple. Each element is an external form without the version byte."""
    count = len(elements)
    head = bytes((tags.SMALL_TUPLE, count)) if count <= 255 else _pack_length(tags.LARGE_TUPLE, count)
    return b"".join((head, *elements))  # One copy: an element may be megabytes.


def list_of(*elements: bytes) -> bytes:
    """Return the external form of a proper list. Each element is an external form without the version byte."""
    if not elements:
        return _EMPTY_LIST
    return b"".join((_pack_length(tags.LIST, len(elements)), *elements, _EMPTY_LIST))


def _write(value: Any, out: list[_Part], default: _Default) -> None:
    append = out.append
    strings: dict[str, bytes] = {}
    cached_string = strings.get
    atoms, small_integers, encode_run = _atoms, _SMALL_INTEGERS, arrays.ENCODE_RUN
    pack_int, pack_float, pack_length, write_numbers = _pack_int, _pack_float, _pack_length, arrays.write_numbers
    distinct_keys = _DISTINCT_KEYS
    stack: list[_Frame] = []
    cycle_check = _FIRST_CYCLE_CHECK
    iterator: Iterator[Any] = iter((value,))
    closing: bytes | int = b""
    container: Any = None
    source: Any = None
    item: Any = None
    try:
        while True:
            for item in iterator:
                kind = type(item)
                if kind is str:
                    known = cached_string(item)
                    if known is None:
                        raw = item.encode()
                        known = pack_length(109, len(raw)) + raw
                        if len(raw) <= _CACHED_STRING_LENGTH and len(strings) < _MAX_CACHED_STRINGS:
                            strings[item] = known
                    append(known)
                    continue
                if kind is float:
                    if item - item:  # It is nan for nan and the infinities, else 0.
                        raise EncodeError(f"{item!r} has no Erlang term")
                    append(pack_float(70, item))
                    continue
                if kind is int:
                    if 0 <= item <= 255:
                        append(small_integers[item])
                    elif -0x80000000 <= item <= 0x7FFFFFFF:
                        append(pack_int(98, item))
                    else:
                        append(_big(item))
                    continue
                if kind is Atom:
                    append(atoms[item])
                    continue

                children: Iterable[Any]
                after: bytes | int
                if kind is dict:
                    kinds = set(map(type, item))
                    if len(kinds) > 1 or not kinds <= distinct_keys:
                        _check_keys(item)
                    append(pack_length(116, len(item)))
                    children, after = chain.from_iterable(item.items()), b""
                elif kind is list:
                    count = len(item)
                    if not count:
                        append(_EMPTY_LIST)
                        continue
                    first = item[0]
                    if count >= encode_run or (type(first) is int and 0 <= first <= 255):
                        run = write_numbers(item)
                        if run is not None:
                            append(run)
                            continue
                    append(pack_length(108, count))
                    children, after = item, _EMPTY_LIST
                elif kind is tuple:
                    count = len(item)
                    append(bytes((104, count)) if count <= 255 else pack_length(105, count))
                    children, after = item, b""
                elif item is None:
                    append(_NIL)
                    continue
                elif kind is bool:
                    append(_TRUE if item else _FALSE)
                    continue
                elif kind is bytes:
                    append(pack_length(109, len(item)))
                    append(item)
                    continue
                elif kind in _LEAVES:
                    _LEAVES[kind](item, append)
                    continue
                elif kind in _OPENERS:
                    children, after = _OPENERS[kind](item, out)
                else:
                    children, after = _stand_in(item, append, default), b""
                    if not children:
                        continue
                stack.append((iterator, closing, container, source))
                if len(stack) >= cycle_check:
                    cycle_check = _check_depth(stack, item)
                iterator, closing, source = iter(children), after, item
                container = item if kind in _CONTAINERS else None
                break
            else:
                if type(closing) is int:
                    _close_fun(container, out, closing)
                elif closing:
                    append(closing)  # type: ignore[arg-type]
                if not stack:
                    return
                iterator, closing, container, source = stack.pop()
    except (EncodeError, UnicodeEncodeError, struct.error) as error:
        stack.append((iterator, closing, container, source))
        raise EncodeError(_failure(stack, item, error)) from error.__cause__


_DISTINCT_KEYS = {str, Atom, int, float, bytes}
"""If all keys of a dict have the same one of these types, different keys in Python are different keys in Erlang."""


def _check_keys(item: dict[Any, Any]) -> None:
    """Raise an EncodeError if two keys of a dict are the same term.

    A BEAM node that receives such a map closes the connection.
    """
    try:
        distinct = len(set(map(exact, item)))
    except RecursionError:
        raise EncodeError("a dict's keys are nested too deeply to be compared") from None
    if distinct < len(item):
        raise EncodeError("cannot encode a dict in which two keys are the same term, such as 'a' and b'a'")


def _big(number: int) -> bytes:
    magnitude = abs(number)
    length = (magnitude.bit_length() + 7) // 8
    if length > MAX_INTEGER_BYTES:
        raise EncodeError(f"cannot encode an integer of {length} bytes; Erlang's limit is {MAX_INTEGER_BYTES}")
    raw = magnitude.to_bytes(length, "little")
    if len(raw) <= 255:
        return bytes((tags.SMALL_BIG, len(raw), number < 0)) + raw
    return _pack_length(tags.LARGE_BIG, len(raw)) + bytes((number < 0,)) + raw


def _write_buffer(item: bytearray | memoryview, append: Callable[[_Part], None]) -> None:
    view = memoryview(item)
    raw = view if view.c_contiguous else bytes(view)
    append(_pack_length(tags.BINARY, view.nbytes))
    append(raw)


def _write_identifier(item: Pid | Port | Reference, append: Callable[[_Part], None]) -> None:
    append(item.ext)


def _write_bit_string(item: BitString, append: Callable[[_Part], None]) -> None:
    append(_pack_length(tags.BIT_BINARY, len(item.data)) + bytes((item.bits,)) + item.data)


def _write_export(item: Export, append: Callable[[_Part], None]) -> None:
    append(bytes((tags.EXPORT,)) + _atoms[item.module] + _atoms[item.function] + _SMALL_INTEGERS[item.arity])


_LEAVES: dict[type, Callable[[Any, Callable[[_Part], None]], None]] = {
    bytearray: _write_buffer,
    memoryview: _write_buffer,
    Pid: _write_identifier,
    Port: _write_identifier,
    Reference: _write_identifier,
    BitString: _write_bit_string,
    Export: _write_export,
}


def _open_improper(item: ImproperList, out: list[_Part]) -> tuple[Iterable[Any], bytes | int]:
    out.append(_pack_length(tags.LIST, len(item.elements)))
    return (*item.elements, item.tail), b""


def _open_pairs(item: PairsMap, out: list[_Part]) -> tuple[Iterable[Any], bytes | int]:
    out.append(_pack_length(tags.MAP, len(item)))
    return chain.from_iterable(item.items()), b""


def _open_fun(item: Fun, out: list[_Part]) -> tuple[Iterable[Any], bytes | int]:
    out.append(b"")  # _close_fun replaces this by the header, which contains the size of the whole fun.
    return (item.module, item.old_index, item.old_uniq, item.pid, *item.free), len(out) - 1


def _close_fun(item: Fun, out: list[_Part], place: int) -> None:
    body = b"".join(out[place:])
    size = 29 + len(body)
    out[place:] = [_pack_fun(tags.NEW_FUN, size, item.arity, item.uniq, item.index, len(item.free)), body]


_OPENERS: dict[type, Callable[[Any, list[_Part]], tuple[Iterable[Any], bytes | int]]] = {
    ImproperList: _open_improper,
    PairsMap: _open_pairs,
    Fun: _open_fun,
}

_CONTAINERS = {list, tuple, dict, *_OPENERS}

_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Atom, lambda item: Atom(str.__str__(item))),
    (str, str.__str__),
    (int, int),
    (float, float),
    (bytes, bytes),
    (bytearray, bytes),
    (list, list),
    (tuple, tuple),
    (dict, dict),
)


def _stand_in(item: Any, append: Callable[[_Part], None], default: _Default) -> tuple[Any, ...]:
    """Return a tuple with the value to encode instead of `item`, or () if `item` has been written.

    Args:
        item: a value of a type that the loop does not know.
        append: writes bytes to the output.
        default: see `encode`.
    """
    array = arrays.write_array(item)
    if type(array) is bytes:
        append(array)
        return ()
    if array is not None:
        return (array,)
    for base, convert in _BASES:
        if isinstance(item, base):
            return (convert(item),)
    if default is None:
        raise _unknown(item)
    try:
        replacement = default(item)
    except TypeError as error:
        raise _unknown(item) from error
    if replacement is item:
        raise _unknown(item)
    return (replacement,)


def _unknown(item: Any) -> EncodeError:
    kind = type(item)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return EncodeError(f"cannot encode {name}")


def _check_depth(stack: list[_Frame], item: Any) -> int:
    """Check the depth, and check that no container on the stack contains itself. Return the depth of the next check.

    The checks are at powers of two.
    """
    depth = len(stack)
    if depth > MAX_DEPTH:
        raise EncodeError(f"nested deeper than {MAX_DEPTH} levels")
    open_now = [id(frame[2]) for frame in stack if frame[2] is not None] + [id(item)]
    if len(set(open_now)) < len(open_now):
        raise EncodeError("a container that contains itself has no Erlang term")
    return min(depth * 2, MAX_DEPTH + 1)


def _failure(stack: list[_Frame], item: Any, error: Exception) -> str:
    """Return the error message: the path to `item`, which cannot be encoded, and the reason."""
    children = [frame[3] for frame in stack[2:]] + [item]
    steps = [_step(frame[2], child) for frame, child in zip(stack[1:], children, strict=False)]
    if len(steps) > _MOST_STEPS_SHOWN:
        steps[_MOST_STEPS_SHOWN:] = ["[…]"]
    path = "result" + "".join(steps)
    if isinstance(error, UnicodeEncodeError):
        return f"{path}: cannot encode a str with a lone surrogate ({error.object[error.start]!r})"
    if isinstance(error, struct.error):
        return f"{path}: cannot encode a number or length that is too large for its field ({error})"
    return f"{path}: {error}"


def _step(container: Any, child: Any) -> str:
    """Return the part of the path that leads from `container` to its element `child`, such as `[3]`."""
    kind = type(container)
    if kind is dict or kind is PairsMap:
        for key, value in container.items():
            if value is child:
                return f"[{_key(key)}]"
        return " (a key)"
    if kind is ImproperList and container.tail is child:
        return ".tail"
    prefix, values = {ImproperList: "elements", Fun: "free"}.get(kind, ""), ()
    if kind is list or kind is tuple:
        values = container
    elif prefix:
        values = getattr(container, prefix)
    for index, value in enumerate(values):
        if value is child:
            return f".{prefix}[{index}]" if prefix else f"[{index}]"
    return ""


def _key(key: Any) -> str:
    if type(key) is str:
        text = '"' + repr(key)[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    else:
        try:
            text = repr(key)
        except (ValueError, RecursionError):  # The key is an int of thousands of digits, or nested too deeply.
            text = "…"
    return text if len(text) <= _LONGEST_KEY_SHOWN else text[:_LONGEST_KEY_SHOWN] + "…"
