"""Encode Python values to bytes in the External Term Format.

Design: one loop takes one value after the other from the iterator of the current container, and appends its bytes to a
list of parts. A stack holds the containers around the current one. The iterator of a map gives keys and values in turn,
so that the loop handles all containers in the same way. The bytes that end a container, such as NIL_EXT after a list,
are stored with its iterator.

The encoder compares types with `is`, frequent types in the loop, other types in a table. A value of any other type
takes a slower path, which finds a value to encode instead: the caller's converters, then numpy values, then the types
of `replacements`, then the caller's function `default`.

Two keys of a map must not be the same term, because a BEAM node considers such a map corrupt and closes the connection.
Most maps have keys of one simple type, for which Python's own comparison is enough. Other keys are compared as terms.

The result must be a valid term even if another thread, or a converter, changes a container while it is encoded. So the
loop copies lists and dicts before it writes their length.

The loop does not record the path to the current value. If a value cannot be encoded, the encoder finds the path from
the containers on the stack, for the error message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from itertools import chain
from typing import Any

from . import arrays, tags
from .decoder import decode_term
from .errors import DecodeError, EncodeError
from .replacements import NO_REPLACEMENT, replacement_of, type_name
from .types import Atom, BitString, Export, Fun, ImproperList, PairsMap, Pid, Port, Reference, atom_ext, exact

MAX_DEPTH = 10_000
"""The deepest nesting of lists, tuples, dicts and funs that can be encoded, in levels."""

MAX_INTEGER_BYTES = 8 * (2**16 - 1)
"""The longest integer of OTP 27 and later, in bytes. A node that receives a longer one closes the connection."""

MAX_TUPLE = 2**24 - 1
"""The largest tuple of the BEAM, in elements. OTP 27 and later close the connection when they receive a larger one."""

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

_Converter = Callable[[Any], Any]
_Converters = Mapping[type[Any], _Converter] | None
_Default = _Converter | None
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


def encode(value: Any, *, converters: _Converters = None, default: _Default = None) -> bytes:
    """Encode a value as an external term: the version byte 131 and the external form of the value.

    A value of each Python type becomes this Erlang term:

        None, True, False               the atoms nil, true, false
        int, float                      an integer, a float
        str                             a binary in UTF-8
        bytes, bytearray, memoryview    a binary
        Atom                            an atom
        list, tuple, dict               a list, a tuple, a map
        numpy array                     a list of numbers or booleans, nested for each axis
        numpy scalar                    a number or boolean
        other types of this package     the term that they represent, such as a pid
        Enum                            the value of the member
        dataclass                       a map with the names of the fields as str
        PurePath, UUID                  its text as a str
        datetime, date, time            its text in ISO 8601
        set, frozenset                  a list, sorted if the elements can be compared
        range, deque, array.array       a list; an array of characters is a str
        views of a dict                 a list
        MappingProxyType                a map

    A subclass of one of these types is encoded like its base class. A class that is derived from Set, Sequence, Mapping
    or MappingView of `collections.abc`, such as a ChainMap, is encoded as a list or map.

    Iterators, among them generators, are not encoded: they may have no end, and they can be read only once.

    Args:
        value: the value.
        converters: functions for classes. Each takes a value and returns the value to encode instead. For a value, the
            function of the first class in its method resolution order is used that has a function; it takes precedence
            over the table above. Functions for int and str are not used for bool and Atom, because these are other
            terms; a function for object is not used. If the same function applies to its own result, the result is
            encoded as in the table above. A function may raise TypeError for a value that it cannot convert. Default
            None: there are no functions.
        default: a function that is called with each value of any other type. It returns a value to encode instead, or
            raises TypeError. Default None: other types cannot be encoded.

    Raises:
        EncodeError: `value`, or a value inside it, has no Erlang term: nan, an infinity, a str with a lone surrogate,
            an Atom of more than 255 characters, an integer longer than `MAX_INTEGER_BYTES`, a tuple longer than
            `MAX_TUPLE`, a map in which two keys are the same term, or a value of an unknown type. Also if `value`
            contains itself or is nested deeper than `MAX_DEPTH`. The message gives the path to the value:
            `result["mesh"][3]: cannot encode bpy_types.Object`. Other exceptions of `converters`, `default` and the
            methods of a value are not caught.

    Source: ERTS user's guide, chapter "External Term Format".
    """
    out: list[_Part] = [_VERSION]
    _write(value, out, converters, default)
    return b"".join(out)


def encode_term(value: Any, *, converters: _Converters = None, default: _Default = None) -> bytes:
    """Encode a value without the version byte. For the arguments and exceptions see `encode`."""
    out: list[_Part] = []
    _write(value, out, converters, default)
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


class _ToConvert:
    """A value of a type that the loop would write, but for which the caller has a converter."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Final(tuple[Any, ...]):
    """A value that is encoded without a converter for its own type."""

    __slots__ = ()


class _Encoded:
    """A value that is encoded already."""

    __slots__ = ("ext",)

    def __init__(self, ext: bytes) -> None:
        self.ext = ext


def _write(value: Any, out: list[_Part], converters: _Converters, default: _Default) -> None:
    append = out.append
    strings: dict[str, bytes] = {}
    cached_string = strings.get
    atoms, small_integers, encode_run = _atoms, _SMALL_INTEGERS, arrays.ENCODE_RUN
    pack_int, pack_float, pack_length, write_numbers = _pack_int, _pack_float, _pack_length, arrays.write_numbers
    distinct_keys = _DISTINCT_KEYS
    stack: list[_Frame] = []
    cycle_check = _FIRST_CYCLE_CHECK
    each: Callable[[Iterable[Any]], Iterator[Any]] = iter
    if converters and not converters.keys().isdisjoint(_WRITTEN_TYPES):
        each, write_numbers, distinct_keys = _marking(converters), _no_numbers, set()
    iterator: Iterator[Any] = each((value,))
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
                    pairs = item.copy()
                    kinds = set(map(type, pairs))
                    append(pack_length(116, len(pairs)))
                    if len(kinds) > 1 or not kinds <= distinct_keys:
                        children, after = _distinct_pairs(pairs, converters, default), b""
                    else:
                        children, after = chain.from_iterable(pairs.items()), b""
                elif kind is list:
                    values = tuple(item)
                    count = len(values)
                    if not count:
                        append(_EMPTY_LIST)
                        continue
                    first = values[0]
                    if count >= encode_run or (type(first) is int and 0 <= first <= 255):
                        run = write_numbers(values)
                        if run is not None:
                            append(run)
                            continue
                    append(pack_length(108, count))
                    children, after = values, _EMPTY_LIST
                elif kind is tuple:
                    count = len(item)
                    append(bytes((104, count)) if count <= 255 else _large_tuple(count))
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
                    children, after = _OPENERS[kind](item, out, converters, default)
                else:
                    children, after = _stand_in(item, append, converters, default), b""
                    if not children:
                        continue
                stack.append((iterator, closing, container, source))
                if len(stack) >= cycle_check:
                    cycle_check = _check_depth(stack, item)
                iterator, closing, source = each(children), after, item
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


_DISTINCT_KEYS: set[type] = {str, Atom, int, float, bytes}
"""If all keys of a dict have the same one of these types, different keys in Python are different keys in Erlang."""

_SIMPLE_KEYS = _DISTINCT_KEYS | {type(None), bool, tuple, Pid, Port, Reference, Export, BitString}
"""Types of keys that `exact` compares as they are; tuples if their elements have such types too."""


def _marking(converters: Mapping[type[Any], _Converter]) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return a function that iterates over values, and marks those of which the type itself has a converter."""

    def each(values: Iterable[Any]) -> Iterator[Any]:
        if type(values) is _Final:
            return iter(values)
        return (_ToConvert(value) if type(value) in converters else value for value in values)

    return each


def _no_numbers(values: tuple[Any, ...]) -> None:
    """Take the place of `arrays.write_numbers` where the elements of lists have to be looked at one by one."""


def _large_tuple(count: int) -> bytes:
    if count > MAX_TUPLE:
        raise EncodeError(f"cannot encode a tuple of {count} elements; Erlang's limit is {MAX_TUPLE}")
    return _pack_length(tags.LARGE_TUPLE, count)


def _distinct_pairs(pairs: dict[Any, Any] | PairsMap, converters: _Converters, default: _Default) -> Iterable[Any]:
    """Return the keys and values of a map in turn, after a check that no two keys are the same term.

    Keys that are no simple values are encoded here, and decoded for the comparison, because only the encoded form shows
    which term a key becomes. They are written in this form, so that a converter cannot give another result later.

    The keys 0.0 and -0.0 are the same term before OTP 27. A PairsMap may have both, because it can come from a later
    release; a dict that gets both from a converter cannot be encoded.
    """
    signed_zero = type(pairs) is PairsMap
    items: Iterable[Any] = pairs.items()
    try:
        kinds = _kinds(pairs)
        if kinds <= _SIMPLE_KEYS and (not converters or kinds.isdisjoint(converters)):
            terms = {exact(key, signed_zero) for key in pairs}
        else:
            encoded = [_encoded_key(key, converters, default) for key in pairs]
            terms = {exact(decode_term(key, binaries=bytes)[0], signed_zero) for key in encoded}
            items = zip(map(_Encoded, encoded), pairs.values(), strict=True)
    except (RecursionError, DecodeError):
        raise EncodeError("the keys of a dict are nested too deeply to be compared") from None
    if len(terms) < len(pairs):
        raise EncodeError("cannot encode a dict in which two keys are the same term, such as 'a' and b'a'")
    return chain.from_iterable(items)


def _kinds(keys: Iterable[Any]) -> set[type]:
    """Return the types of the keys, and of the elements of tuples among them."""
    found = kinds = set(map(type, keys))
    while tuple in found:
        keys = [element for key in keys if type(key) is tuple for element in key]
        found = set(map(type, keys))
        kinds |= found
    return kinds


def _encoded_key(key: Any, converters: _Converters, default: _Default) -> bytes:
    try:
        return encode_term(key, converters=converters, default=default)
    except EncodeError as error:
        raise _KeyError(str(error).removeprefix("result")) from error.__cause__


class _KeyError(EncodeError):
    """A key cannot be encoded. The message begins with the path inside the key."""


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
    try:
        view = memoryview(item)
    except ValueError as error:  # The memoryview has been released.
        raise EncodeError(f"cannot encode a memoryview: {error}") from error
    raw = view if view.c_contiguous else bytes(view)
    append(_pack_length(tags.BINARY, view.nbytes))
    append(raw)


def _write_identifier(item: Pid | Port | Reference, append: Callable[[_Part], None]) -> None:
    append(item.ext)


def _write_bit_string(item: BitString, append: Callable[[_Part], None]) -> None:
    append(_pack_length(tags.BIT_BINARY, len(item.data)) + bytes((item.bits,)) + item.data)


def _write_export(item: Export, append: Callable[[_Part], None]) -> None:
    append(bytes((tags.EXPORT,)) + _atoms[item.module] + _atoms[item.function] + _SMALL_INTEGERS[item.arity])


def _write_encoded(item: _Encoded, append: Callable[[_Part], None]) -> None:
    append(item.ext)


_LEAVES: dict[type, Callable[[Any, Callable[[_Part], None]], None]] = {
    bytearray: _write_buffer,
    memoryview: _write_buffer,
    Pid: _write_identifier,
    Port: _write_identifier,
    Reference: _write_identifier,
    BitString: _write_bit_string,
    Export: _write_export,
    _Encoded: _write_encoded,
}


_Opened = tuple[Iterable[Any], bytes | int]


def _open_improper(item: ImproperList, out: list[_Part], _converters: _Converters, _default: _Default) -> _Opened:
    out.append(_pack_length(tags.LIST, len(item.elements)))
    return (*item.elements, item.tail), b""


def _open_pairs(item: PairsMap, out: list[_Part], converters: _Converters, default: _Default) -> _Opened:
    out.append(_pack_length(tags.MAP, len(item)))
    return _distinct_pairs(item, converters, default), b""


def _open_fun(item: Fun, out: list[_Part], _converters: _Converters, _default: _Default) -> _Opened:
    out.append(b"")  # _close_fun replaces this by the header, which contains the size of the whole fun.
    return (item.module, item.old_index, item.old_uniq, item.pid, *item.free), len(out) - 1


def _close_fun(item: Fun, out: list[_Part], place: int) -> None:
    body = b"".join(out[place:])
    size = 29 + len(body)
    out[place:] = [_pack_fun(tags.NEW_FUN, size, item.arity, item.uniq, item.index, len(item.free)), body]


_OPENERS: dict[type, Callable[[Any, list[_Part], _Converters, _Default], _Opened]] = {
    ImproperList: _open_improper,
    PairsMap: _open_pairs,
    Fun: _open_fun,
}

_CONTAINERS = {list, tuple, dict, *_OPENERS}

_WRITTEN_TYPES: frozenset[type] = frozenset((*_DISTINCT_KEYS, type(None), bool, *_LEAVES, *_CONTAINERS))
"""The types that the loop writes without a stand-in."""


def _stand_in(
    item: Any, append: Callable[[_Part], None], converters: _Converters, default: _Default
) -> tuple[Any, ...]:
    """Return a tuple with the value to encode instead of `item`, or () if `item` has been written.

    Args:
        item: a value of a type that the loop does not know, or a _ToConvert.
        append: writes bytes to the output.
        converters, default: see `encode`.
    """
    if type(item) is _ToConvert:
        item = item.value
    value = item
    if converters:
        converter = _converter(type(item), converters)
        if converter is not None:
            value = _converted(item, converter)
            if _converter(type(value), converters) is not converter:
                return (value,)
            if type(value) in _WRITTEN_TYPES:
                return _Final((value,))
    array = arrays.write_array(value)
    if type(array) is bytes:
        append(array)
        return ()
    if array is not None:
        return _Final((array,)) if converters else (array,)
    replacement = replacement_of(value)
    if replacement is not NO_REPLACEMENT:
        return _Final((replacement,)) if converters and not isinstance(value, Enum) else (replacement,)
    cause = None
    if default is not None:
        try:
            replacement = default(value)
        except TypeError as error:
            cause = error
        else:
            if replacement is not value:
                return (replacement,)
    if value is not item:
        return (value,)  # Its type has no term without the converter, so the converter is used again.
    raise _unknown(item) from cause


def _converter(kind: type, converters: Mapping[type[Any], _Converter]) -> _Converter | None:
    """Return the converter for values of the class `kind`; see `encode`."""
    for base in kind.__mro__:
        if base in converters and base is not object:
            return converters[base]
        if base is bool or base is Atom:
            break
    return None


def _converted(item: Any, converter: _Converter) -> Any:
    try:
        return converter(item)
    except TypeError as error:
        raise EncodeError(f"cannot encode {type_name(type(item))}: its converter raised TypeError: {error}") from error


def _unknown(item: Any) -> EncodeError:
    if isinstance(item, Iterator):
        reason = "it can be read only once and may have no end; use list() to encode its elements"
        return EncodeError(f"cannot encode {type_name(type(item))}: {reason}")
    return EncodeError(f"cannot encode {arrays.array_name(item) or type_name(type(item))}")


def _check_depth(stack: list[_Frame], item: Any) -> int:
    """Check the depth, and check that no container on the stack contains itself. Return the depth of the next check.

    The checks are at powers of two.
    """
    depth = len(stack)
    if depth > MAX_DEPTH:
        raise EncodeError(f"nested deeper than {MAX_DEPTH} levels")
    open_now = [id(frame[3]) for frame in stack if frame[3] is not None] + [id(item)]
    if len(set(open_now)) < len(open_now):
        raise EncodeError("a container that contains itself has no Erlang term")
    return min(depth * 2, MAX_DEPTH + 1)


def _failure(stack: list[_Frame], item: Any, error: Exception) -> str:
    """Return the error message: the path to `item`, which cannot be encoded, and the reason."""
    children = [each.value if type(each) is _ToConvert else each for each in (*(frame[3] for frame in stack[2:]), item)]
    steps = [_step(frame[2], child) for frame, child in zip(stack[1:], children, strict=False)]
    if len(steps) > _MOST_STEPS_SHOWN:
        steps[_MOST_STEPS_SHOWN:] = ["[…]"]
    path = "result" + "".join(steps)
    if isinstance(error, _KeyError):
        return f"{path} (a key){error}"
    if isinstance(error, UnicodeEncodeError) and error.encoding == "utf-8":
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
        except BaseException:  # noqa: BLE001 - an int of thousands of digits; __repr__ of a key may raise anything
            text = "…"
    return text if len(text) <= _LONGEST_KEY_SHOWN else text[:_LONGEST_KEY_SHOWN] + "…"
