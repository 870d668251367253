"""Reading what a caller sends: names, modules, lists of arguments.

Arguments stay encoded until the handler is known, because it says how it wants them. What cannot be read raises one of
`BAD_REQUEST`, and is the caller's mistake.
"""

import contextlib
from typing import Any, NamedTuple

from beam_bpy.failures import Target
from beam_bpy.handlers import Handler
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.framing import Frame
from beam_bpy.protocol.gen import From
from vendor_term_codec import (
    Atom,
    DecodeError,
    ImproperList,
    Pid,
    Reference,
    decode_term,
    encode_term,
    list_header,
    tuple_header,
)

BAD_REQUEST = (DecodeError, TypeError, ValueError, IndexError, OverflowError)
"""What reading a request of the wrong shape, or one that is cut short, raises."""

EMPTY_ARGUMENTS = Payload(encode_term([]), 0)

ATOM_TAGS = (100, 115, 118, 119)
_SMALL_TUPLE = 104
_BINARY = 109
_NIL = 106
_STRING = 107
_LIST = 108


class Request(NamedTuple):
    """A call that was read: which function, and the list of arguments, encoded."""

    target: Target
    arguments: Payload


def handler_name(term: Any) -> str:
    """The name of a handler as a caller writes it: a binary, an atom, or a character list.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(term, str):
        return str(term)
    if isinstance(term, list) and term and all(isinstance(character, int) for character in term):
        return "".join(map(chr, term))
    raise ValueError("a handler is named by a binary, an atom or a character list")


def read_name(data: Frame, offset: int) -> tuple[str, int]:
    """The name of a handler at `offset`, and the offset behind it; see `handler_name`."""
    if data[offset] == _BINARY:
        begin = offset + 5
        end = begin + int.from_bytes(data[offset + 1 : begin])
        if end <= len(data):
            with contextlib.suppress(UnicodeDecodeError):
                return data[begin:end].decode(), end
    term, end = decode_term(data, offset)
    return handler_name(term), end


def atom_text(term: Any) -> str:
    """The characters of an atom.

    Raises:
        ValueError: it is none.
    """
    match term:
        case Atom():
            return str(term)
        case None:
            return "nil"
        case bool():
            return str(term).lower()
    raise ValueError("a module and a function are named by atoms")


def mfa(data: Frame, offset: int) -> Request:
    """Module, function and the list of arguments, which stand one after the other at `offset`."""
    module, offset = decode_term(data, offset)
    function, offset = decode_term(data, offset)
    arguments = Payload(data, offset)
    return Request(Target(atom_text(module), atom_text(function), length(arguments)), arguments)


def length(arguments: Payload) -> int:
    """How many arguments there are; a list of small integers may come as a string of bytes (STRING_EXT)."""
    data, offset = arguments
    if data[offset] == _STRING:
        return int.from_bytes(data[offset + 1 : offset + 3])
    return list_header(data, offset)[0]


def read_arguments(handler: Handler, arguments: Payload) -> tuple[list[Any], int]:
    """The arguments as the handler wants them, and the offset behind them; what is no list is an only argument."""
    data, offset = arguments
    if not handler.arrays:
        value, end = decode_term(data, offset, binaries=handler.binaries)
        if isinstance(value, ImproperList):
            raise ValueError("the arguments are no proper list")
        return (value if isinstance(value, list) else [value]), end
    if data[offset] == _STRING:
        value, end = decode_term(data, offset)
        return value, end
    if data[offset] not in (_LIST, _NIL):
        value, end = decode_term(data, offset, binaries=handler.binaries, arrays=True)
        return [value], end
    count, offset = list_header(data, offset)
    values = []
    for _ in range(count):
        value, offset = decode_term(data, offset, binaries=handler.binaries, arrays=True)
        values.append(value)
    return values, behind_list(data, offset) if count else offset


def behind_list(data: Frame, offset: int) -> int:
    """The offset behind a list whose last element ends at `offset`.

    Raises:
        ValueError: it is an improper list.
    """
    if data[offset] != _NIL:
        raise ValueError("a proper list was expected")
    return offset + 1


def gen_message(payload: Payload) -> tuple[Any, From | None, Payload]:
    """The tag, the `From` of a call, and where the request begins."""
    data = payload.data
    arity, offset = tuple_header(data, payload.offset)
    tag, offset = decode_term(data, offset)
    caller = None
    if arity == 3:
        caller, offset = _from(data, offset)
    return tag, caller, Payload(data, offset)


def _from(data: Frame, offset: int) -> tuple[From, int]:
    arity, tag_at = tuple_header(data, offset)
    pid, tag_at = decode_term(data, tag_at)
    if arity != 2 or not isinstance(pid, Pid):
        raise ValueError("a gen_server call comes from a {Pid, Tag}")
    tag, end = decode_term(data, tag_at)
    return From(pid, bytes(data[tag_at:end]), *monitor_of(tag)), end


def named(request: Payload) -> tuple[str, Payload]:
    """The handler and the arguments of `{Name, Args}`, or of a name alone."""
    data, offset = request
    if data[offset] != _SMALL_TUPLE:
        return read_name(data, offset)[0], EMPTY_ARGUMENTS
    if data[offset + 1] != 2:
        raise ValueError("a request is {Name, ListOfArguments}")
    name, offset = read_name(data, offset + 2)
    return name, Payload(data, offset)


def is_list(arguments: Payload) -> bool:
    """True for a list of arguments that stand one by one."""
    return arguments.data[arguments.offset] == _LIST


def monitor_of(tag: Any) -> tuple[Reference | None, bool]:
    """The reference in a tag `Ref`, `[alias | Ref]` or `[[alias | Ref] | _]`; True for one that is an alias."""
    if isinstance(tag, Reference):
        return tag, False
    if isinstance(tag, ImproperList) and tag.elements[0] == "alias" and isinstance(tag.tail, Reference):
        return tag.tail, True
    if isinstance(tag, ImproperList):
        return monitor_of(tag.elements[0])
    return monitor_of(tag[0]) if isinstance(tag, list) and tag else (None, False)
