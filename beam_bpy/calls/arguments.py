"""Reading the requests of callers: names of handlers, and lists of arguments.

Arguments stay encoded until the handler is known, because its options say how they are decoded. A request that cannot
be read raises one of `BAD_REQUEST`, and the caller is told why.
"""

import contextlib
from typing import Any

from beam_bpy.calls.handlers import Handler
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.framing import Frame
from vendor_term_codec import DecodeError, ImproperList, decode_term, encode_term, list_header, tags

BAD_REQUEST = (DecodeError, TypeError, ValueError, IndexError, OverflowError)
"""The exceptions of reading a request that has a wrong shape or is truncated."""

NO_ARGUMENTS = Payload(encode_term([]), 0)


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
    if data[offset] == tags.BINARY:
        begin = offset + 5
        end = begin + int.from_bytes(data[offset + 1 : begin])
        if end <= len(data):
            with contextlib.suppress(UnicodeDecodeError):
                return data[begin:end].decode(), end
    term, end = decode_term(data, offset)
    return handler_name(term), end


def read_arguments(handler: Handler, arguments: Payload) -> tuple[list[Any], int]:
    """The arguments, decoded by the handler's options, and the offset behind them.

    A term that is not a list is the only argument.
    """
    data, offset = arguments
    if handler.arrays:
        return _read_with_arrays(handler, data, offset)
    value, end = decode_term(data, offset, binaries=handler.binaries)
    if type(value) is list:
        return value, end
    if isinstance(value, ImproperList):
        raise ValueError("the list of arguments is improper")
    return [value], end


def _read_with_arrays(handler: Handler, data: Frame, offset: int) -> tuple[list[Any], int]:
    """The list of arguments itself must not become an array, so its elements are decoded one by one."""
    if data[offset] == tags.STRING:
        return decode_term(data, offset)
    if data[offset] not in (tags.LIST, tags.NIL):
        value, end = decode_term(data, offset, binaries=handler.binaries, arrays=True)
        return [value], end
    count, offset = list_header(data, offset)
    values = []
    for _ in range(count):
        value, offset = decode_term(data, offset, binaries=handler.binaries, arrays=True)
        values.append(value)
    return values, end_of_list(data, offset) if count else offset


def end_of_list(data: Frame, offset: int) -> int:
    """The offset behind a list whose last element ends at `offset`.

    Raises:
        ValueError: the list is improper.
    """
    if data[offset] != tags.NIL:
        raise ValueError("a proper list was expected")
    return offset + 1


def is_list(arguments: Payload) -> bool:
    """True for a list whose elements are encoded one by one (LIST_EXT)."""
    return arguments.data[arguments.offset] == tags.LIST
