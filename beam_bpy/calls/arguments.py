"""Reading the requests of callers: names of handlers, lists of arguments, and the functions that `apply` names.

Arguments stay encoded until the handler is known, because its options say how they are decoded. A request that cannot
be read raises one of `BAD_REQUEST`, and the caller is told why.
"""

import contextlib
from typing import Any

from beam_bpy.calls.handlers import Handler
from beam_bpy.checks import MAX_ATOM
from beam_bpy.errors import ErlangError
from beam_bpy.failures import Mfa
from beam_bpy.protocol import erpc
from beam_bpy.protocol.control import Payload, argument_count
from beam_bpy.protocol.framing import Frame
from vendor_term_codec import (
    Atom,
    DecodeError,
    Export,
    Fun,
    ImproperList,
    decode_term,
    encode_term,
    list_header,
    list_of,
    tags,
    tuple_header,
)

BAD_REQUEST = (DecodeError, TypeError, ValueError, IndexError, OverflowError)
"""The exceptions of reading a request that has a wrong shape or is truncated."""

NO_ARGUMENTS = Payload(encode_term([]), 0)

APPLY_MODULES = ("erlang", "Elixir.Kernel")
"""The modules whose function `apply` calls another function."""

_NIL = encode_term([])
_TUPLES = (tags.SMALL_TUPLE, tags.LARGE_TUPLE)
_LISTS = (tags.LIST, tags.NIL, tags.STRING)

_APPLY_FORMS = "apply takes a fun and a list of arguments, or a module, a function and a list of arguments"
_FORMS = "a request is :name, {:name, [argument, ...]} or {:name, argument, ...}; the name is an atom or a string"


def text_in(term: Any) -> str:
    """The name of a handler or a topic as a caller writes it: a binary, an atom, or a character list.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(term, list) and term and all(type(character) is int for character in term):
        term = "".join(map(chr, term))
        term.encode()  # Raises a ValueError if the list holds half of a surrogate pair.
    if not isinstance(term, str):
        raise ValueError("a name is a binary, an atom or a character list")
    return str(term)


def handler_name(term: Any) -> str:
    """The name of a handler; see `text_in`.

    Raises:
        ValueError: it is no name, or longer than an atom, so that no handler has it.
    """
    name = text_in(term)
    if len(name) > MAX_ATOM:
        raise ValueError(f"the name of a handler has at most {MAX_ATOM} characters")
    return name


def read_name(data: Frame, offset: int) -> tuple[str, int]:
    """The name of a handler at `offset`, and the offset behind it; see `handler_name`."""
    if data[offset] == tags.BINARY:
        begin = offset + 5
        end = begin + int.from_bytes(data[offset + 1 : begin])
        if end <= min(len(data), begin + MAX_ATOM):
            with contextlib.suppress(UnicodeDecodeError):
                return data[begin:end].decode(), end
    term, end = decode_term(data, offset)
    return handler_name(term), end


def read_request(request: Payload) -> tuple[str, Payload]:
    """The name and the arguments in a request of gen_server's style.

    `Name` has no arguments. In `{Name, List}`, the list is the list of arguments. In any other tuple, the elements
    behind the name are the arguments.

    Raises:
        ValueError: the request has another form.
    """
    try:
        return _read_request(*request)
    except BAD_REQUEST:
        raise ValueError(_FORMS) from None


def _read_request(data: Frame, offset: int) -> tuple[str, Payload]:
    if data[offset] not in _TUPLES:
        return read_name(data, offset)[0], NO_ARGUMENTS
    size, offset = tuple_header(data, offset)
    name, offset = read_name(data, offset)
    if size == 1:
        return name, NO_ARGUMENTS
    if size == 2 and data[offset] in _LISTS:
        return name, Payload(data, offset)
    head = list_of(*[b""] * (size - 1))[: -len(_NIL)]
    return name, Payload(head + data[offset:] + _NIL, 0)


def mfa_of(called: erpc.Invocation) -> Mfa:
    """The module, function and arity of a call.

    Raises:
        ValueError: module or function is not an atom, or the arguments are not a list.
    """
    if not isinstance(called.module, Atom) or not isinstance(called.function, Atom):
        raise ValueError("a module and a function are named by atoms")
    return Mfa(str(called.module), str(called.function), count_arguments(called.arguments))


def count_arguments(arguments: Payload) -> int:
    """The number of arguments in a list.

    Raises:
        ValueError: it is not a list.
    """
    count = argument_count(arguments)
    if count is None:
        raise ValueError("the arguments of a call are a list")
    return count


def applied(mfa: Mfa, arguments: Payload) -> tuple[Mfa, Payload]:
    """The call that a call of `apply` makes: `apply(Fun, Args)` or `apply(Module, Function, Args)`.

    `erpc:call(Node, Fun)` and `spawn(Node, Fun)` arrive as calls of `erlang:apply/2`.

    Raises:
        ErlangError: the fun has another number of parameters.
        ValueError: it names no function that can run here.
    """
    while mfa.function == "apply" and mfa.module in APPLY_MODULES and mfa.arity in (2, 3):
        if not is_list(arguments):  # Two or three small integers, as a STRING_EXT.
            raise ValueError(_APPLY_FORMS)
        _count, offset = list_header(*arguments)
        if mfa.arity == 3:
            called = erpc.invocation(Payload(arguments.data, offset))
            mfa, arguments = mfa_of(called), called.arguments
            continue
        fun, offset = decode_term(arguments.data, offset)
        arguments = Payload(arguments.data, offset)
        mfa = _mfa_of_fun(fun, arguments)
    return mfa, arguments


def _mfa_of_fun(fun: Any, arguments: Payload) -> Mfa:
    if isinstance(fun, Fun):
        raise ValueError(
            "this node has no code of the BEAM, so it cannot run this fun: "
            "only &Mod.fun/arity can run here, such as &Blender.ping/0"
        )
    if not isinstance(fun, Export):
        raise ValueError(_APPLY_FORMS)
    count = count_arguments(arguments)
    if count != fun.arity:
        raise ErlangError((Atom("badarity"), (fun, arguments.decode(binaries=bytes))))
    return Mfa(str(fun.module), str(fun.function), count)


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
