"""From bytes to Python values.

The strategy. One loop reads one term after the other and appends it to the list of the container that is open; an
explicit stack holds the containers around it, so nesting costs no Python frames. A container collects its elements
flat, and becomes a tuple, dict or list once they are all there: for a map that is `dict(zip(keys, values))`, in C.
Everything that occurs often is written out in the loop, without a call per term; `_read_rare` holds the rest. Runs of
numbers are taken whole (see `arrays`).

Hostile bytes. A length is compared with the bytes that are left before anything is built from it (each element takes
at least one byte). Truncated data show as IndexError or struct.error; the loop turns them into a DecodeError once, for
all tags: while a term is being read `pos` stays on its tag, so the message can say where it starts.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

from . import arrays as _arrays
from . import tags
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
"""How deep lists, tuples, maps and funs may nest."""

MAX_KEY_DEPTH = 64
"""How deep they may nest inside a map's key. Hashing and comparing keys uses the C stack."""

MAX_INFLATED = 256 * 1024 * 1024
"""How many bytes a compressed term may inflate to."""

MAX_CACHED_ATOMS = 4096

Buffer = bytes | bytearray | memoryview

_unpack_u16 = struct.Struct(">H").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
_unpack_double = struct.Struct(">d").unpack_from
_unpack_fun = struct.Struct(">IB16sII").unpack_from

# What the elements in hand become. For LIST the tail is still to be read.
_ROOT, _TUPLE, _MAP, _LIST, _IMPROPER, _FUN, _EXPORT = range(7)

_CONSTANTS: dict[str, Any] = {"nil": None, "true": True, "false": False}


class _AtomCache(dict[bytes, Any]):
    """The values of atoms by their raw characters. Two threads that add the same atom do the work twice, no more."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def __missing__(self, raw: bytes) -> Any:
        name = raw.decode(self.encoding)
        if len(name) > MAX_ATOM_CHARACTERS:
            raise DecodeError(f"an atom of {len(name)} characters; {MAX_ATOM_CHARACTERS} is Erlang's limit")
        value = _CONSTANTS[name] if name in _CONSTANTS else Atom(name)
        if len(self) >= MAX_CACHED_ATOMS:
            self.clear()
        self[raw] = value
        return value


_utf8_atoms = _AtomCache("utf-8")
_latin1_atoms = _AtomCache("latin-1")


def decode(data: Buffer, *, binaries: Callable[..., Any] = str, arrays: bool = False) -> Any:
    """The value of one whole external term: the version byte 131, one term (it may be compressed), nothing behind it.

    Args:
        data: the bytes.
        binaries: how a binary arrives. `str` (the default): as str if it is valid UTF-8, else as bytes. `bytes`: as
            bytes. `memoryview`: as a read-only view of `data`, without a copy (a map's key: as bytes).
        arrays: whether number lists arrive as numpy arrays: a proper list of 16 elements or more that are all floats
            (float64) or all integers within 64 bits (int64). Without numpy they stay lists.

    Raises:
        DecodeError: not exactly one term, an unknown tag, or a limit exceeded (`MAX_DEPTH`, `MAX_KEY_DEPTH`,
            `MAX_INFLATED`). No other exception, whatever the bytes.
        ValueError: `binaries` is none of the three.

    Source: External Term Format, ERTS user's guide.
    """
    if not len(data):
        raise DecodeError("no data: an external term begins with the byte 131")
    if data[0] != VERSION:
        raise DecodeError(f"an external term begins with the byte 131, not with {data[0]}")
    offset = 1
    if len(data) > 1 and data[1] == COMPRESSED:
        data, offset = _inflate(data), 0
    value, end = decode_term(data, offset, binaries=binaries, arrays=arrays)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes follow the term, which ends at offset {end}")
    return value


def decode_term(
    data: Buffer, offset: int = 0, *, binaries: Callable[..., Any] = str, arrays: bool = False
) -> tuple[Any, int]:
    """The value of the term whose tag stands at `offset` (no version byte), and the offset behind the term.

    Arguments and exceptions as for `decode`.
    """
    if binaries is not str and binaries is not bytes and binaries is not memoryview:
        raise ValueError(f"binaries is str, bytes or memoryview, not {binaries!r}")
    if offset < 0:
        raise ValueError("the offset is negative")
    if type(data) is not bytes:
        view = memoryview(data)
        # A view of the whole of a bytes object is that object; anything else is read through a view.
        whole = view.nbytes == len(view.obj) if type(view.obj) is bytes else False
        data = view.obj if whole else view.cast("B").toreadonly()
    return _read(data, offset, binaries, arrays and _arrays.numpy_module() is not None)


def tuple_header(data: Buffer, offset: int) -> tuple[int, int]:
    """The arity of the tuple at `offset`, and the offset of its first element.

    Raises:
        DecodeError: another tag stands there, or the data end.
    """
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
    """The number of elements of the list at `offset`, and the offset of its first element.

    NIL_EXT has none, and the offset is the one behind it. The tail of a LIST_EXT follows its elements. A STRING_EXT
    has no elements to read one by one, and is refused.

    Raises:
        DecodeError: another tag stands there, or the data end.
    """
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
    """The term inside `131, 80, size, zlib stream`, which must have exactly the stated size."""
    if len(data) < 6:
        raise DecodeError("the data end inside COMPRESSED (80) at offset 1")
    size = _unpack_u32(data, 2)[0]
    if size > MAX_INFLATED:
        raise DecodeError(f"a compressed term of {size} bytes; the limit is {MAX_INFLATED}")
    inflater = zlib.decompressobj()
    try:
        # One byte more than stated, so that a longer stream shows without being inflated.
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
    utf8_atoms, latin1_atoms = _utf8_atoms, _latin1_atoms
    unpack_u32, unpack_i32, unpack_double = _unpack_u32, _unpack_i32, _unpack_double
    float_tags, float_runs, small_run = _arrays.FLOAT_TAGS, _arrays.FLOAT_RUNS, _arrays.SMALL_RUN
    stack: list[tuple[int, list[Any], int, int]] = []
    limit = MAX_DEPTH
    kind = _ROOT
    items: list[Any] = []
    append = items.append
    left = 1
    tag = 0
    try:
        while True:
            while left:
                left -= 1
                tag = data[pos]
                if tag == BINARY:
                    begin = pos + 5
                    end = begin + unpack_u32(data, pos + 1)[0]
                    if end > size:
                        raise IndexError
                    raw = data[begin:end]
                    if binaries is str:
                        if viewed:
                            raw = bytes(raw)
                        try:
                            append(raw.decode())  # type: ignore[union-attr]
                        except UnicodeDecodeError:
                            append(raw)
                    elif binaries is bytes:
                        append(bytes(raw))
                    else:
                        append(raw if viewed else memoryview(data)[begin:end])
                    pos = end
                    continue
                if tag == SMALL_ATOM_UTF8 or tag == SMALL_ATOM:  # noqa: PLR1714 -- a chain of ifs is what is fast here
                    begin = pos + 2
                    end = begin + data[pos + 1]
                    if end > size:
                        raise IndexError
                    raw = data[begin:end]
                    if viewed:
                        raw = bytes(raw)
                    append(utf8_atoms[raw] if tag == SMALL_ATOM_UTF8 else latin1_atoms[raw])  # type: ignore[index]
                    pos = end
                    continue
                if tag == SMALL_INTEGER:
                    append(data[pos + 1])
                    pos += 2
                    continue
                if tag == NEW_FLOAT:
                    number = unpack_double(data, pos + 1)[0]
                    if number - number:  # nan for nan and the infinities
                        raise _not_finite(pos)
                    append(number)
                    pos += 9
                    continue
                if tag == INTEGER:
                    append(unpack_i32(data, pos + 1)[0])
                    pos += 5
                    continue
                if tag == ATOM or tag == ATOM_UTF8:
                    begin = pos + 3
                    end = begin + (data[pos + 1] << 8) + data[pos + 2]
                    if end > size:
                        raise IndexError
                    raw = data[begin:end]
                    if viewed:
                        raw = bytes(raw)
                    append(latin1_atoms[raw] if tag == ATOM else utf8_atoms[raw])  # type: ignore[index]
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
                    count = unpack_u32(data, pos + 1)[0]
                    end = pos + 5
                elif tag == MAP:
                    opened = _MAP
                    count = unpack_u32(data, pos + 1)[0] * 2
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
                    count = unpack_u32(data, pos + 1)[0]
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
                    raise DecodeError(
                        f"{tags.describe(tag)} at offset {pos} needs {count} terms, but {size - end} bytes are left"
                    )
                if len(stack) >= limit:
                    raise DecodeError(f"nested deeper than {MAX_DEPTH} levels (a map's key: {MAX_KEY_DEPTH})")
                if count > 1 and opened != _MAP:
                    # Vectors and the like, then the long runs of numbers.
                    first = data[end]
                    if first == NEW_FLOAT:
                        if count <= small_run and data[end : end + 9 * count : 9] == float_tags[count]:
                            head = list(float_runs[count](data, end))
                            total = sum(head)
                            if total - total:
                                _arrays.check_finite(head, end)
                            end += 9 * count
                            count = 0
                        elif count > small_run:
                            pass
                stack.append((kind, items, left, limit))
                if kind == _MAP and not len(items) & 1:
                    limit = min(limit, len(stack) + MAX_KEY_DEPTH)
                kind = opened
                items = head
                append = items.append
                left = count
                pos = end

            if kind == _TUPLE:
                value = tuple(items)
            elif kind == _MAP:
                value = _map(items, binaries is memoryview)
            elif kind == _LIST:
                tag = data[pos]
                if tag == NIL:
                    pos += 1
                    value = _arrays.as_array(items) if arrays else items
                elif tag == LIST:
                    left = unpack_u32(data, pos + 1)[0]
                    if left > size - pos - 5:
                        raise IndexError
                    pos += 5
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
                    left = 1
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
            kind, items, left, limit = stack.pop()
            append = items.append
            append(value)
    except (IndexError, struct.error):
        if pos >= size:
            raise DecodeError(f"the data end at offset {size}, where a term was expected") from None
        raise DecodeError(f"the data end inside {tags.describe(tag)} at offset {pos}") from None
    except UnicodeDecodeError as error:
        raise DecodeError(f"the atom at offset {pos} is not valid UTF-8: {error.reason}") from None


def _not_finite(offset: int) -> DecodeError:
    return DecodeError(f"the float at offset {offset} is nan or infinite, which Erlang has not")


def _map(items: list[Any], views: bool) -> dict[Any, Any] | PairsMap:
    """The map of `[key, value, key, value, …]`: a dict, unless that would lose an entry."""
    keys = items[::2]
    values = items[1::2]
    if views:
        keys = [bytes(key) if type(key) is memoryview else key for key in keys]
    try:
        result = dict(zip(keys, values, strict=True))
        if len(result) == len(keys):
            return result
    except TypeError:
        pass  # a key that Python cannot hash
    except RecursionError:
        raise DecodeError("a map's keys are nested too deeply to be compared") from None
    try:
        return PairsMap(zip(keys, values, strict=True))
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _atom(value: Any) -> Atom | None:
    """The Atom that `value` was decoded from, if it was one."""
    if isinstance(value, Atom):
        return value
    if value is None or value is True or value is False:
        return Atom({None: "nil", True: "true", False: "false"}[value])
    return None


def _fun(items: list[Any], end: int) -> Fun:
    (start, stated_end, arity, uniq, index), module, old_index, old_uniq, pid, *free = items
    name = _atom(module)
    if stated_end != end or name is None or not (type(old_index) is type(old_uniq) is int) or type(pid) is not Pid:
        raise DecodeError(f"NEW_FUN_EXT (112) at offset {start} is malformed")
    return Fun(arity, uniq, index, name, old_index, old_uniq, pid, tuple(free))


def _export(items: list[Any], end: int) -> Export:
    module, function = _atom(items[0]), _atom(items[1])
    arity = items[2]
    if module is None or function is None or type(arity) is not int or not 0 <= arity <= 255:
        raise DecodeError(f"EXPORT_EXT (113) that ends at offset {end} is malformed")
    return Export(module, function, arity)


def _cut(data: bytes | memoryview, begin: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError
    return bytes(data[begin:end])


def _node(data: bytes | memoryview, pos: int) -> tuple[bytes, int]:
    """The atom at `pos` in its canonical external form, and the offset behind it."""
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
    """The canonical external forms of node names by their raw characters."""

    def __missing__(self, raw: bytes) -> bytes:
        name = raw.decode(self.encoding)
        try:
            ext = atom_ext(name)
        except ValueError as error:
            raise DecodeError(str(error)) from None
        if len(self) >= MAX_CACHED_ATOMS:
            self.clear()
        self[raw] = ext
        return ext


_utf8_nodes = _NodeCache("utf-8")
_latin1_nodes = _NodeCache("latin-1")


def _read_rare(data: bytes | memoryview, pos: int, tag: int, binaries: Callable[..., Any]) -> tuple[Any, int]:
    """The terms that occur too seldom for a place in the loop. None of them holds other terms."""
    if tag in (SMALL_BIG, LARGE_BIG):
        return _big(data, pos, tag)
    if tag in (NEW_PID, PID):
        node, at = _node(data, pos + 1)
        if tag == NEW_PID:
            return Pid.from_ext(b"X" + node + _cut(data, at, at + 12)), at + 12
        return Pid.from_ext(b"X" + node + _cut(data, at, at + 8) + b"\0\0\0" + _cut(data, at + 8, at + 9)), at + 9
    if tag in (NEWER_REFERENCE, NEW_REFERENCE, REFERENCE):
        return _reference(data, pos, tag)
    if tag in (V4_PORT, NEW_PORT, PORT):
        return _port(data, pos, tag)
    if tag == BIT_BINARY:
        return _bit_binary(data, pos, binaries)
    if tag == FLOAT:
        return _old_float(data, pos)
    if tag == LOCAL:
        raise DecodeError(
            f"LOCAL_EXT (121) at offset {pos}: only the runtime that made it can read it; "
            "encode without term_to_binary's option `local`"
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
        raise DecodeError(f"the reference at offset {pos} has {words} words; 1 to {MAX_REFERENCE_WORDS} are possible")
    node, at = _node(data, pos + 3)
    width = 4 if tag == NEWER_REFERENCE else 1
    creation = _cut(data, at, at + width).rjust(4, b"\0")
    end = at + width + 4 * words
    return Reference.from_ext(b"Z\0" + bytes((words,)) + node + creation + _cut(data, at + width, end)), end


def _bit_binary(data: bytes | memoryview, pos: int, binaries: Callable[..., Any]) -> tuple[Any, int]:
    length, bits = _unpack_u32(data, pos + 1)[0], data[pos + 5]
    end = pos + 6 + length
    raw = _cut(data, pos + 6, end)
    if not length or not 1 <= bits <= 7:
        raise DecodeError(f"BIT_BINARY_EXT (77) at offset {pos} has {length} bytes and {bits} bits in the last one")
    return BitString(raw, bits), end


def _old_float(data: bytes | memoryview, pos: int) -> tuple[float, int]:
    text = _cut(data, pos + 1, pos + 32).rstrip(b"\0")
    try:
        number = float(text)
    except ValueError:
        raise DecodeError(f"FLOAT_EXT (99) at offset {pos} holds no number: {text!r}") from None
    if number - number:
        raise _not_finite(pos)
    return number, pos + 32
