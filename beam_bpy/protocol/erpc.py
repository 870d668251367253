"""The convention of erpc, in both directions: how a call, its answer and a cast look on the wire.

Module erpc of Kernel (lib/kernel/src/erpc.erl). A call is a spawn request for `erpc:execute_call/4`, monitored by the
caller. The spawned process ends with the answer as its exit reason: `{CallRef, return, Value}`, or the class and the
reason of a failure. A cast is a spawn request for `erpc:execute_cast/3`, without monitor.
"""

from typing import Any, NamedTuple

from beam_bpy.protocol.control import Payload, SpawnFlag, SpawnRequest, argument_count, as_atom
from beam_bpy.protocol.framing import DIST_HEADER
from beam_bpy.protocol.opcodes import Opcode
from vendor_term_codec import (
    Atom,
    DecodeError,
    Pid,
    Reference,
    decode_term,
    encode_term,
    list_header,
    list_of,
    tuple_of,
)

EXECUTE_CALL = (Atom("erpc"), Atom("execute_call"), 4)
"""The function that a spawn request for a call names."""

EXECUTE_CAST = (Atom("erpc"), Atom("execute_cast"), 3)
"""The function that a spawn request for a cast names."""

MONITORED = [Atom("monitor")]
"""The options of a spawn request for a call."""

_RETURN = encode_term(Atom("return"))


class ErpcCall(NamedTuple):
    """A spawn request for `erpc:execute_call(CallRef, Module, Function, Arguments)`, monitored.

    Attributes:
        ref: the caller's monitor, and the id of the request.
        sender: the caller.
        call_ref: the reference that the answer has to hold, encoded as it came.
        module: the characters of the atom that names the module.
        function: the same for the function.
        arity: the number of arguments.
        arguments: the list of arguments.
    """

    ref: Reference
    sender: Pid
    call_ref: bytes
    module: str
    function: str
    arity: int
    arguments: Payload


class Invocation(NamedTuple):
    """A module, a function and the list of its arguments, as they stand one after the other in a list."""

    module: Any
    function: Any
    arguments: Payload


def call_in(request: SpawnRequest) -> ErpcCall | None:
    """The call that a spawn request is; None if it is something else, or if its arguments are not those of a call."""
    if (request.module, request.function, request.arity) != EXECUTE_CALL or request.options != MONITORED:
        return None
    return call_of(request)


def call_of(request: SpawnRequest) -> ErpcCall | None:
    """The call in a spawn request for `EXECUTE_CALL`, whatever its options; None if the arguments are not a call's."""
    try:
        count, begin = list_header(*request.payload)
        ref, end = decode_term(request.payload.data, begin)
        called = invocation(Payload(request.payload.data, end))
        arity = argument_count(called.arguments)
    except DecodeError:
        return None
    if count != EXECUTE_CALL[2] or not isinstance(ref, Reference) or arity is None:
        return None
    if not isinstance(called.module, Atom) or not isinstance(called.function, Atom):
        return None
    call_ref = bytes(request.payload.data[begin:end])
    return ErpcCall(
        request.ref, request.sender, call_ref, str(called.module), str(called.function), arity, called.arguments
    )


def cast_of(request: SpawnRequest) -> Invocation:
    """The module, function and arguments in a spawn request for `EXECUTE_CAST`.

    Raises:
        DecodeError: the arguments are not those of a cast.
    """
    _count, offset = list_header(*request.payload)
    return invocation(Payload(request.payload.data, offset))


def invocation(place: Payload) -> Invocation:
    """The module, the function and the list of arguments that stand one after the other at `place`.

    Raises:
        DecodeError: there are no terms.
    """
    module, offset = decode_term(*place)
    function, offset = decode_term(place.data, offset)
    return Invocation(as_atom(module), as_atom(function), Payload(place.data, offset))


def returned(call_ref: bytes, value: bytes) -> bytes:
    """The exit reason of a call that has returned the encoded `value`: `{CallRef, return, Value}`."""
    return tuple_of(call_ref, _RETURN, value)


def failed(call_ref: bytes, kind: Atom, reason: Any, stack: list[Any]) -> bytes:
    """The exit reason of a call that has failed; the class `error` has a stack trace besides.

    Raises:
        EncodeError: the reason has no term.
    """
    fields = [encode_term(kind), encode_term(reason)]
    if kind == "error":
        fields.append(encode_term(stack))
    return tuple_of(call_ref, *fields)


class Outcome(NamedTuple):
    """The answer to a call.

    Attributes:
        kind: `return`, or the class of the failure: `error`, `exit` or `throw`.
        value: the value or the reason.
        stack: the stack trace of an error; None if there is none.
    """

    kind: str
    value: Any
    stack: list[Any] | None = None


def outcome_in(reason: Any, call_ref: Reference) -> Outcome | None:
    """The answer in the exit reason of a call's process; None if the process has ended in another way."""
    match reason:
        case (ref, "return" | "throw" | "exit" | "error" as kind, value) if ref == call_ref:
            return Outcome(str(kind), value)
        case (ref, "error", value, stack) if ref == call_ref:
            return Outcome("error", value, stack)
    return None


def reply(ref: Reference, caller: Pid, process: Pid, reason: bytes) -> bytes:
    """Both answers to a call that ends before its caller knows the process: SPAWN_REPLY and the exit.

    Each message has its length and a distribution header.

    Args:
        ref: the caller's monitor, and the id of the spawn request.
        caller: the caller.
        process: the process that ran the call.
        reason: its exit reason, encoded.
    """
    spawned = b"".join((_SPAWN_REPLY, ref.ext, caller.ext, _MONITORED_FLAG, process.ext))
    end = b"".join((_EXIT, process.ext, caller.ext, ref.ext, reason))
    return b"".join((len(spawned).to_bytes(4), spawned, len(end).to_bytes(4), end))


_SPAWN_REPLY = DIST_HEADER + tuple_of(encode_term(int(Opcode.SPAWN_REPLY)), b"", b"", b"", b"")
_EXIT = DIST_HEADER + tuple_of(encode_term(int(Opcode.PAYLOAD_MONITOR_P_EXIT)), b"", b"", b"")
_MONITORED_FLAG = encode_term(int(SpawnFlag.MONITORED))


def call_arguments(call_ref: Reference, module: Atom, function: str, arguments: bytes) -> bytes:
    """The arguments of a spawn request for `EXECUTE_CALL`; `arguments` is the encoded list of the call's own."""
    return list_of(call_ref.ext, encode_term(module), encode_term(Atom(function)), arguments)


def cast_arguments(module: Atom, function: str, arguments: bytes) -> bytes:
    """The arguments of a spawn request for `EXECUTE_CAST`."""
    return list_of(encode_term(module), encode_term(Atom(function)), arguments)
