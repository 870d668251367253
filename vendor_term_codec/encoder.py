from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from . import arrays
from .errors import EncodeError
from .types import Atom, BitString, Export, Fun, ImproperList, PairsMap, Pid, Port, Reference, atom_ext

MAX_DEPTH = 10_000


def encode(value: Any, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """131 and the external form of `value`."""
    return b"\x83" + encode_term(value, default=default)


def encode_term(value: Any, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """The external form of `value` without the leading 131."""
    out: list[bytes] = []
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for item in stack[-1]:
            children = _leaf(item, out.append, default)
            if children is not None:
                stack.append(iter(children))
                if len(stack) > MAX_DEPTH:
                    raise EncodeError("nested too deeply, or contains itself")
                break
        else:
            stack.pop()
    return b"".join(out)


class _Raw(bytes):
    pass


_NIL = _Raw(b"j")


def _int(value: int) -> bytes:
    if 0 <= value <= 255:
        return bytes((97, value))
    if -(2**31) <= value < 2**31:
        return struct.pack(">Bi", 98, value)
    magnitude = abs(value)
    raw = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "little")
    sign = int(value < 0)
    if len(raw) <= 255:
        return bytes((110, len(raw), sign)) + raw
    return struct.pack(">BIB", 111, len(raw), sign) + raw


def _leaf(value: Any, append: Callable[[bytes], None], default: Callable[[Any], Any] | None) -> Iterable[Any] | None:
    if type(value) is _Raw:
        append(value)
    elif value is None or value is True or value is False:
        append(atom_ext({None: "nil", True: "true", False: "false"}[value]))
    elif isinstance(value, Atom):
        append(atom_ext(value))
    elif isinstance(value, str):
        raw = value.encode()
        append(struct.pack(">BI", 109, len(raw)) + raw)
    elif isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        append(struct.pack(">BI", 109, len(raw)) + raw)
    elif isinstance(value, int):
        append(_int(int(value)))
    elif isinstance(value, float):
        if value - value:
            raise EncodeError(f"{value!r} has no Erlang term")
        append(struct.pack(">Bd", 70, value))
    elif isinstance(value, list):
        if not value:
            append(b"j")
        else:
            append(struct.pack(">BI", 108, len(value)))
            return chain(value, (_NIL,))
    elif isinstance(value, tuple):
        append(bytes((104, len(value))) if len(value) <= 255 else struct.pack(">BI", 105, len(value)))
        return value
    elif isinstance(value, dict | PairsMap):
        append(struct.pack(">BI", 116, len(value)))
        return chain.from_iterable(value.items())
    elif isinstance(value, Pid | Port | Reference):
        append(value.ext)
    elif isinstance(value, ImproperList):
        append(struct.pack(">BI", 108, len(value.elements)))
        return (*value.elements, value.tail)
    elif isinstance(value, BitString):
        append(struct.pack(">BIB", 77, len(value.data), value.bits) + value.data)
    elif isinstance(value, Export):
        append(b"q")
        return Atom(value.module), Atom(value.function), value.arity
    elif isinstance(value, Fun):
        inner = b"".join(
            encode_term(item) for item in (Atom(value.module), value.old_index, value.old_uniq, value.pid, *value.free)
        )
        append(struct.pack(">BIB16sII", 112, 29 + len(inner), value.arity, value.uniq, value.index, len(value.free)))
        append(inner)
    else:
        plain = arrays.plain(value)
        if plain is not NotImplemented:
            return (plain,)
        if default is None:
            raise EncodeError(f"cannot encode {type(value).__name__}")
        return (default(value),)
    return None
