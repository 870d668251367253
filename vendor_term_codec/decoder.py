"""Decode bytes in the External Term Format to Python values.

Design: one loop reads one term after the other and appends it to the elements of the current container. A stack holds
the containers around the current one, so nested terms need no nested Python calls. A container first collects all its
elements in one list. When the list is complete, it becomes a tuple, dict or list; for a map, `dict(zip(keys, values))`
does this in C. The loop contains the code for frequent tags, without a function call for each term. `_read_rare` reads
the other tags. `arrays` reads runs of numbers in one step.

Invalid bytes: before the decoder allocates memory for a length, it compares the length with the number of bytes that
are left, because each element needs at least one byte. Truncated data cause an IndexError or a struct.error. The loop
converts both to a DecodeError in one place. While the loop reads a term, `pos` stays on its tag, so the message can
give the offset at which the term starts.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from . import arrays as _arrays
from . import tags
from .arrays import ARRAY_MIN, FLOAT_RUNS, FLOAT_TAGS, INT_RUN, SMALL_RUN
from .errors import DecodeError
from .tags import (
    ATOM,
    ATOM_UTF8,
    BINARY,
    BIT_BINARY,
    COMPRESSED,
    EXPORT,
    FLOAT,
    INTEGER,
    LARGE_BIG,
    LARGE_TUPLE,
    LIST,
    LOCAL,
    MAP,
    NEW_FLOAT,
    NEW_FUN,
    NEW_PID,
    NEW_PORT,
    NEW_REFERENCE,
    NEWER_REFERENCE,
    NIL,
    PID,
    PORT,
    REFERENCE,
    SMALL_ATOM,
    SMALL_ATOM_UTF8,
    SMALL_BIG,
    SMALL_INTEGER,
    SMALL_TUPLE,
    STRING,
    V4_PORT,
    VERSION,
)
from .types import (
    MAX_ATOM_CHARACTERS,
    MAX_REFERENCE_WORDS,
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    Port,
    Reference,
    atom_ext,
)

MAX_DEPTH = 10_000
"""The deepest nesting of lists, tuples, maps and funs that is accepted, in levels."""

MAX_KEY_DEPTH = 64
"""The deepest nesting inside a map key, in levels. The limit is low because Python uses the C stack to hash a key."""

MAX_INFLATED = 256 * 1024 * 1024
"""The largest size of a compressed term after inflation, in bytes: 256 MiB."""

MAX_CACHED_ATOMS = 4096
_MANY_KEYS = 256
_COMPRESSED = bytes((COMPRESSED,))

Buffer = bytes | bytearray | memoryview

_unpack_u16 = struct.Struct(">H").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
_unpack_double = struct.Struct(">d").unpack_from
_unpack_fun = struct.Struct(">IB16sII").unpack_from

# The kind of the current container. For _LIST the tail follows the elements.
_TUPLE, _MAP, _LIST, _IMPROPER, _FUN, _EXPORT, _ROOT = range(7)

_CONSTANTS: dict[str, Any] = {"nil": None, "true": True, "false": False}


class _AtomCache(dict[bytes, Any]):
    """Maps the encoded characters of an atom to its value.

    It needs no lock: if two threads add the same atom at the same time, both store an equal value.
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def __missing__(self, raw: bytes) -> Any:
        name = raw.decode(self.encoding)
        if len(name) > MAX_ATOM_CHARACTERS:
            raise DecodeError(f"an atom has {len(name)} characters; Erlang's limit is {MAX_ATOM_CHARACTERS}")
        return self._keep(raw, _CONSTANTS[name] if name in _CONSTANTS else Atom(name))

    def _keep(self, raw: bytes, value: Any) -> Any:
        if len(self) >= MAX_CACHED_ATOMS:
            self.clear()
        self[raw] = value
        return value


_utf8_atoms = _AtomCache("utf-8")
_latin1_atoms = _AtomCache("latin-1")


def decode(data: Buffer, *, binaries: Callable[..., Any] = str, arrays: bool = False) -> Any:
    """Decode one external term: the version byte 131 and one term, which may be compressed. No bytes may follow.

    Args:
        data: the bytes.
        binaries: the type for binaries. `str` (default): str if the binary is valid UTF-8, otherwise bytes. `bytes`:
            always bytes. `memoryview`: a read-only view of `data`, without a copy; a binary that is a map key becomes
            bytes.
        arrays: True: a proper list of at least 16 numbers becomes a numpy array of one dimension, float64 if all
            elements are floats, int64 if all are integers of up to 64 bits. Without numpy it stays a list.
            Default False.

    Raises:
        DecodeError: `data` are not exactly one valid term, or the term exceeds `MAX_DEPTH`, `MAX_KEY_DEPTH` or
            `MAX_INFLATED`. No bytes cause any other exception.
        ValueError: `binaries` is not `str`, `bytes` or `memoryview`.

    Source: ERTS user's guide, chapter "External Term Format".
    """
    data = _readable(data)
    if not data:
        raise DecodeError("no data: an external term begins with the byte 131")
    if data[0] != VERSION:
        raise DecodeError(f"an external term begins with the byte 131, not with {data[0]}")
    offset = 1
    if data[1:2] == _COMPRESSED:
        data, offset = _inflate(data), 0
    if binaries is not str and binaries is not bytes and binaries is not memoryview:
        raise _no_binaries(binaries)
    value, end = _read(data, offset, binaries, arrays and _arrays.numpy_module() is not None)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes follow the term, which ends at offset {end}")
    return value


def decode_term(
    data: Buffer, offset: int = 0, *, binaries: Callable[..., Any] = str, arrays: bool = False
) -> tuple[Any, int]:
    """Decode one term without a version byte. Return its value and the offset after the term.

    Args:
        data: the bytes.
        offset: the offset of the term's tag in `data`; default 0.
        binaries, arrays: see `decode`.

    Raises:
        DecodeError: see `decode`.
        ValueError: `offset` is negative, or `binaries` is not `str`, `bytes` or `memoryview`.
    """
    # Every call of a handler uses this function, so the checks are here and not in functions of their own.
    if binaries is not str and binaries is not bytes and binaries is not memoryview:
        raise _no_binaries(binaries)
    if offset < 0:
        raise ValueError("the offset is negative")
    if type(data) is not bytes:
        data = _readable(data)
    return _read(data, offset, binaries, arrays and _arrays.numpy_module() is not None)


def _check_offset(offset: int) -> None:
    if offset < 0:
        raise ValueError("the offset is negative")


def _no_binaries(binaries: Any) -> ValueError:
    return ValueError(f"binaries must be str, bytes or memoryview, not {binaries!r}")


def _readable(data: Buffer) -> bytes | memoryview:
    """Return `data` itself if it is bytes, the bytes object of a memoryview of all its bytes, else a read-only view."""
    if type(data) is bytes:
        return data
    view = memoryview(data)
    whole: Any = view.obj
    if type(whole) is bytes and view.nbytes == len(whole):
        return whole
    return view.cast("B").toreadonly()


def tuple_header(data: Buffer, offset: int) -> tuple[int, int]:
    """Return the arity of the tuple at `offset`, and the offset of its first element.

    Raises:
        DecodeError: the tag at `offset` is not that of a tuple, or the data end.
        ValueError: the offset is negative.
    """
    _check_offset(offset)
    try:
        tag = data[offset]
        if tag == SMALL_TUPLE:
            return data[offset + 1], offset + 2
        if tag == LARGE_TUPLE:
            return _unpack_u32(data, offset + 1)[0], offset + 5
    except (IndexError, struct.error):
        raise DecodeError(f"the data end at offset {len(data)}, where a tuple was expected") from None
    raise DecodeError(f"a tuple was expected at offset {offset}, not {tags.describe(tag)}")


def list_header(data: Buffer, offset: int) -> tuple[int, int]:
    """Return the number of elements of the list at `offset`, and the offset of its first element.

    For NIL_EXT the number is 0, and the offset is the one after NIL_EXT. The tail of a LIST_EXT follows its elements.
    STRING_EXT is refused, because its elements are not terms with tags.

    Raises:
        DecodeError: the tag at `offset` is not LIST_EXT or NIL_EXT, or the data end.
        ValueError: the offset is negative.
    """
    _check_offset(offset)
    try:
        tag = data[offset]
        if tag == NIL:
            return 0, offset + 1
        if tag == LIST:
            return _unpack_u32(data, offset + 1)[0], offset + 5
    except (IndexError, struct.error):
        raise DecodeError(f"the data end at offset {len(data)}, where a list was expected") from None
    raise DecodeError(f"a list was expected at offset {offset}, not {tags.describe(tag)}")


def _inflate(data: Buffer) -> bytes:
    """Return the term inside a compressed term. The layout is 131, 80, size, zlib stream; the size must be exact."""
    if len(data) < 6:
        raise DecodeError("the data end inside COMPRESSED (80) at offset 1")
    size = _unpack_u32(data, 2)[0]
    if size > MAX_INFLATED:
        raise DecodeError(f"a compressed term has {size} bytes; the limit is {MAX_INFLATED}")
    inflater = zlib.decompressobj()
    try:
        # Inflate at most one byte more than the stated size. This is enough to detect a longer stream.
        inflated = inflater.decompress(memoryview(data)[6:], size + 1)
    except zlib.error as error:
        raise DecodeError(f"the compressed term at offset 1 does not inflate: {error}") from None
    if len(inflated) != size or not inflater.eof:
        raise DecodeError(f"the compressed term at offset 1 does not inflate to the {size} bytes that it states")
    if inflater.unused_data:
        raise DecodeError(f"{len(inflater.unused_data)} bytes follow the compressed term")
    return inflated


def _read(data: bytes | memoryview, pos: int, binaries: Callable[..., Any], arrays: bool) -> tuple[Any, int]:
    size = len(data)
    viewed = type(data) is not bytes
    as_text = binaries is str and not viewed
    plain_map = 0 if binaries is memoryview else _MANY_KEYS * 2
    stack: list[tuple[int, list[Any], Iterator[None], int]] = []
    limit = MAX_DEPTH
    kind = _ROOT
    items: list[Any] = []
    append = items.append
    turns: Iterator[None] = repeat(None, 1)  # One None for each term that `items` still lacks.
    tag = 0
    try:
        while True:
            for _ in turns:
                tag = data[pos]
                if tag == BINARY:
                    begin = pos + 5
                    end = begin + _unpack_u32(data, pos + 1)[0]
                    if end > size:
                        raise IndexError
                    if as_text:
                        raw = data[begin:end]
                        try:
                            append(raw.decode())  # type: ignore[union-attr]
                        except UnicodeDecodeError:
                            append(raw)
                    elif binaries is memoryview:
                        append(data[begin:end] if viewed else memoryview(data)[begin:end])
                    else:
                        append(_binary(bytes(data[begin:end]), binaries))
                    pos = end
                    continue
                if tag == SMALL_ATOM_UTF8:
                    begin = pos + 2
                    end = begin + data[pos + 1]
                    if end > size:
                        raise IndexError
                    append(_utf8_atoms[bytes(data[begin:end]) if viewed else data[begin:end]])  # type: ignore[index]
                    pos = end
                    continue
                if tag == SMALL_INTEGER:
                    append(data[pos + 1])
                    pos += 2
                    continue
                if tag == NEW_FLOAT:
                    number = _unpack_double(data, pos + 1)[0]
                    if number - number:  # It is nan for nan and the infinities, else 0.
                        raise _arrays.not_finite(pos)
                    append(number)
                    pos += 9
                    continue
                if tag == INTEGER:
                    append(_unpack_i32(data, pos + 1)[0])
                    pos += 5
                    continue
                if tag == ATOM:
                    begin = pos + 3
                    end = begin + (data[pos + 1] << 8) + data[pos + 2]
                    if end > size:
                        raise IndexError
                    append(_latin1_atoms[bytes(data[begin:end]) if viewed else data[begin:end]])  # type: ignore[index]
                    pos = end
                    continue
                if tag == NIL:
                    append([])
                    pos += 1
                    continue

                head: list[Any] = []
                if tag == SMALL_TUPLE:
                    opened = _TUPLE
                    count = data[pos + 1]
                    end = pos + 2
                elif tag == LIST:
                    opened = _LIST
                    count = _unpack_u32(data, pos + 1)[0]
                    end = pos + 5
                elif tag == MAP:
                    opened = _MAP
                    count = _unpack_u32(data, pos + 1)[0] * 2
                    end = pos + 5
                elif tag == STRING:
                    end = pos + 3 + (data[pos + 1] << 8) + data[pos + 2]
                    if end > size:
                        raise IndexError
                    values = list(data[pos + 3 : end])
                    append(_arrays.as_array(values) if arrays else values)
                    pos = end
                    continue
                elif tag == LARGE_TUPLE:
                    opened = _TUPLE
                    count = _unpack_u32(data, pos + 1)[0]
                    end = pos + 5
                elif tag == NEW_FUN:
                    opened = _FUN
                    length, arity, uniq, index, count = _unpack_fun(data, pos + 1)
                    head.append((pos, pos + 1 + length, arity, uniq, index))
                    count += 4
                    end = pos + 30
                elif tag == EXPORT:
                    opened = _EXPORT
                    count = 3
                    end = pos + 1
                else:
                    value, pos = _read_rare(data, pos, tag, binaries)
                    append(value)
                    continue

                if count > size - end:
                    raise _too_many(tag, pos, count, size - end)
                if len(stack) >= limit:
                    raise DecodeError(f"nested deeper than {MAX_DEPTH} levels (a map's key: {MAX_KEY_DEPTH})")
                if count > 1 and opened != _MAP and opened <= _LIST:
                    # Read short containers of floats, such as vectors, here; `arrays` reads longer runs of numbers.
                    first = data[end]
                    if first == NEW_FLOAT:
                        if arrays and opened == _LIST and count >= ARRAY_MIN:
                            array = _arrays.read_float_array(data, end, count)
                            if array is not None:
                                append(array[0])
                                pos = array[1]
                                continue
                        if count > SMALL_RUN:
                            head = _arrays.read_floats(data, end, count)
                        elif data[end : end + 9 * count : 9] == FLOAT_TAGS[count]:
                            head = list(FLOAT_RUNS[count](data, end))
                            total = sum(head)
                            if total - total:
                                _arrays.check_finite(head, end)
                        end += 9 * len(head)
                        count -= len(head)
                    elif count >= INT_RUN and first in (INTEGER, SMALL_INTEGER):
                        if arrays and opened == _LIST and count >= ARRAY_MIN:
                            array = _arrays.read_int_array(data, end, count)
                            if array is not None:
                                append(array[0])
                                pos = array[1]
                                continue
                        head, end = _arrays.read_ints(data, end, count)
                        count -= len(head)
                if not count:
                    # The container is complete, so it need not go on the stack.
                    if opened == _TUPLE:
                        append(tuple(head))
                        pos = end
                        continue
                    if opened == _MAP:
                        append({})
                        pos = end
                        continue
                    if opened == _LIST and data[end] == NIL:
                        append(_arrays.as_array(head) if arrays else head)
                        pos = end + 1
                        continue
                stack.append((kind, items, turns, limit))
                if kind == _MAP and not len(items) & 1:
                    limit = min(limit, len(stack) - 1 + MAX_KEY_DEPTH)
                kind = opened
                items = head
                append = items.append
                turns = repeat(None, count)
                pos = end
                break
            else:
                if kind == _TUPLE:
                    value = tuple(items)
                elif kind == _MAP:
                    try:
                        value = dict(zip(items[::2], items[1::2])) if len(items) < plain_map else ()  # noqa: B905
                    except (TypeError, RecursionError):
                        value = ()
                    if len(value) * 2 != len(items):
                        value = _map(items, binaries is memoryview)
                elif kind == _LIST:
                    tag = data[pos]
                    if tag == NIL:
                        pos += 1
                        value = _arrays.as_array(items) if arrays else items
                    elif tag == LIST:
                        # The tail is a list, so its elements belong to the same list. No release of Erlang writes this
                        # form, but every release reads it.
                        count = _unpack_u32(data, pos + 1)[0]
                        if count > size - pos - 5:
                            raise _too_many(tag, pos, count, size - pos - 5)
                        pos += 5
                        turns = repeat(None, count)
                        continue
                    elif tag == STRING:
                        end = pos + 3 + (data[pos + 1] << 8) + data[pos + 2]
                        if end > size:
                            raise IndexError
                        items += data[pos + 3 : end]
                        pos = end
                        value = _arrays.as_array(items) if arrays else items
                    else:
                        kind = _IMPROPER
                        turns = repeat(None, 1)
                        continue
                elif kind == _ROOT:
                    return items[0], pos
                elif kind == _IMPROPER:
                    tail = items.pop()
                    value = ImproperList(items, tail) if items else tail
                elif kind == _FUN:
                    value = _fun(items, pos)
                else:
                    value = _export(items, pos)
                kind, items, turns, limit = stack.pop()
                append = items.append
                append(value)
    except (IndexError, struct.error):
        if pos >= size:
            raise DecodeError(f"the data end at offset {size}, where a term was expected") from None
        raise DecodeError(f"the data end inside {tags.describe(tag)} at offset {pos}") from None
    except UnicodeDecodeError as error:
        raise DecodeError(f"the atom at offset {pos} is not valid UTF-8: {error.reason}") from None


def _too_many(tag: int, pos: int, count: int, left: int) -> DecodeError:
    return DecodeError(f"{tags.describe(tag)} at offset {pos} needs {count} terms, but {left} bytes are left")


def _map(items: list[Any], views: bool) -> dict[Any, Any] | PairsMap:
    """Return the map of `[key, value, key, value, …]`: a dict, or a PairsMap if a dict cannot hold all entries.

    Args:
        items: the keys and values.
        views: True if binaries are views; keys then become bytes.
    """
    keys = items[::2]
    values = items[1::2]
    if views:
        keys = [bytes(key) if type(key) is memoryview else key for key in keys]
    try:
        # Python's hash of a number has no secret seed. So a sender can choose many keys with the same hash, and a dict
        # of them needs quadratic time. The counter finds such keys, even if they are only a part of all keys.
        if len(keys) < _MANY_KEYS or max(Counter(map(hash, keys)).values()) < _MANY_KEYS:
            result = dict(zip(keys, values, strict=True))
            if len(result) == len(keys):
                return result
    except TypeError:
        pass  # Python cannot hash one of the keys.
    except RecursionError:
        raise DecodeError("a map's keys are nested too deeply to be compared") from None
    try:
        return PairsMap(zip(keys, values, strict=True))
    except ValueError as error:
        raise DecodeError(str(error)) from None
    except RecursionError:
        raise DecodeError("a map's keys are nested too deeply to be compared") from None


def _atom(value: Any) -> Atom | None:
    """Return the Atom for a decoded atom, which may be None, True or False; return None if `value` is not an atom."""
    if isinstance(value, Atom):
        return value
    if value is None or value is True or value is False:
        return Atom({None: "nil", True: "true", False: "false"}[value])
    return None


def _fun(items: list[Any], end: int) -> Fun:
    (start, stated_end, arity, uniq, index), module, old_index, old_uniq, pid, *free = items
    name = _atom(module)
    if stated_end != end or name is None:
        raise DecodeError(f"NEW_FUN_EXT (112) at offset {start} is malformed")
    try:
        return Fun(arity, uniq, index, name, old_index, old_uniq, pid, tuple(free))
    except ValueError as error:
        raise DecodeError(f"NEW_FUN_EXT (112) at offset {start} is malformed: {error}") from None


def _export(items: list[Any], end: int) -> Export:
    module, function = _atom(items[0]), _atom(items[1])
    arity = items[2]
    if module is None or function is None:
        raise DecodeError(f"EXPORT_EXT (113) that ends at offset {end} is malformed")
    try:
        return Export(module, function, arity)
    except ValueError as error:
        raise DecodeError(f"EXPORT_EXT (113) that ends at offset {end} is malformed: {error}") from None


def _cut(data: bytes | memoryview, begin: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError
    return bytes(data[begin:end])


def _node(data: bytes | memoryview, pos: int) -> tuple[bytes, int]:
    """Return the canonical external form of the node name (an atom) at offset `pos`, and the offset after it."""
    tag = data[pos]
    if tag in (SMALL_ATOM_UTF8, SMALL_ATOM):
        begin = pos + 2
        end = begin + data[pos + 1]
    elif tag in (ATOM, ATOM_UTF8):
        begin = pos + 3
        end = begin + _unpack_u16(data, pos + 1)[0]
    else:
        raise DecodeError(f"the name of a node was expected at offset {pos}, not {tags.describe(tag)}")
    raw = _cut(data, begin, end)
    cache = _utf8_nodes if tag in (SMALL_ATOM_UTF8, ATOM_UTF8) else _latin1_nodes
    return cache[raw], end


class _NodeCache(_AtomCache):
    """Maps the encoded characters of a node name to its canonical external form."""

    def __missing__(self, raw: bytes) -> Any:
        name = raw.decode(self.encoding)
        try:
            ext = atom_ext(name)
        except ValueError as error:
            raise DecodeError(str(error)) from None
        return self._keep(raw, ext)


_utf8_nodes = _NodeCache("utf-8")
_latin1_nodes = _NodeCache("latin-1")


def _read_rare(data: bytes | memoryview, pos: int, tag: int, binaries: Callable[..., Any]) -> tuple[Any, int]:
    """Read a term with a rare tag. Return its value and the offset after it. These terms contain no other terms."""
    if tag == NEW_PID:
        node, at = _node(data, pos + 1)
        return Pid.from_ext(b"X" + node + _cut(data, at, at + 12)), at + 12
    if tag in (NEWER_REFERENCE, NEW_REFERENCE, REFERENCE):
        return _reference(data, pos, tag)
    if tag in (SMALL_BIG, LARGE_BIG):
        return _big(data, pos, tag)
    if tag in (SMALL_ATOM, ATOM_UTF8):
        begin = pos + (2 if tag == SMALL_ATOM else 3)
        end = begin + int.from_bytes(_cut(data, pos + 1, begin), "big")
        return (_utf8_atoms if tag == ATOM_UTF8 else _latin1_atoms)[_cut(data, begin, end)], end
    if tag == PID:
        node, at = _node(data, pos + 1)
        return Pid.from_ext(b"X" + node + _cut(data, at, at + 8) + b"\0\0\0" + _cut(data, at + 8, at + 9)), at + 9
    if tag in (V4_PORT, NEW_PORT, PORT):
        return _port(data, pos, tag)
    if tag == BIT_BINARY:
        return _bit_binary(data, pos, binaries)
    if tag == FLOAT:
        return _old_float(data, pos)
    if tag == LOCAL:
        raise DecodeError(
            f"LOCAL_EXT (121) at offset {pos}: only the runtime system that encoded this term can decode it; "
            "encode it without the option `local` of term_to_binary"
        )
    raise DecodeError(f"{tags.describe(tag)} at offset {pos} is not supported")


def _big(data: bytes | memoryview, pos: int, tag: int) -> tuple[int, int]:
    if tag == SMALL_BIG:
        length, begin = data[pos + 1], pos + 3
    else:
        length, begin = _unpack_u32(data, pos + 1)[0], pos + 6
    end = begin + length
    magnitude = int.from_bytes(_cut(data, begin, end), "little")
    return (-magnitude if data[begin - 1] else magnitude), end


def _port(data: bytes | memoryview, pos: int, tag: int) -> tuple[Port, int]:
    node, at = _node(data, pos + 1)
    if tag == V4_PORT:
        return Port.from_ext(b"x" + node + _cut(data, at, at + 12)), at + 12
    head = b"x" + node + b"\0\0\0\0" + _cut(data, at, at + 4)
    if tag == NEW_PORT:
        return Port.from_ext(head + _cut(data, at + 4, at + 8)), at + 8
    return Port.from_ext(head + b"\0\0\0" + _cut(data, at + 4, at + 5)), at + 5


def _reference(data: bytes | memoryview, pos: int, tag: int) -> tuple[Reference, int]:
    if tag == REFERENCE:
        node, at = _node(data, pos + 1)
        ids, creation = _cut(data, at, at + 4), _cut(data, at + 4, at + 5)
        return Reference.from_ext(b"Z\0\1" + node + b"\0\0\0" + creation + ids), at + 5
    words = _unpack_u16(data, pos + 1)[0]
    if not 1 <= words <= MAX_REFERENCE_WORDS:
        raise DecodeError(f"the reference at offset {pos} has {words} words; it must have 1 to {MAX_REFERENCE_WORDS}")
    node, at = _node(data, pos + 3)
    width = 4 if tag == NEWER_REFERENCE else 1
    creation = _cut(data, at, at + width).rjust(4, b"\0")
    end = at + width + 4 * words
    return Reference.from_ext(b"Z\0" + bytes((words,)) + node + creation + _cut(data, at + width, end)), end


def _bit_binary(data: bytes | memoryview, pos: int, binaries: Callable[..., Any]) -> tuple[Any, int]:
    length, bits = _unpack_u32(data, pos + 1)[0], data[pos + 5]
    end = pos + 6 + length
    raw = _cut(data, pos + 6, end)
    if (length and bits == 8) or (not length and not bits):
        return _binary(raw, binaries), end
    if not length or not 1 <= bits <= 7:
        raise DecodeError(f"BIT_BINARY_EXT (77) at offset {pos} has {length} bytes and {bits} bits in the last one")
    return BitString(raw, bits), end


def _binary(raw: bytes, binaries: Callable[..., Any]) -> Any:
    """Convert a binary to the type `binaries`; see `decode`."""
    if binaries is not str:
        return binaries(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _old_float(data: bytes | memoryview, pos: int) -> tuple[float, int]:
    text = _cut(data, pos + 1, pos + 32).rstrip(b"\0")
    try:
        number = float(text)
    except ValueError:
        raise DecodeError(f"FLOAT_EXT (99) at offset {pos} does not contain a number: {text!r}") from None
    if number - number:
        raise _arrays.not_finite(pos)
    return number, pos + 32
