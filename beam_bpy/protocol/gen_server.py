"""The convention of gen_server, in both directions: how a call, its reply and a cast look on the wire.

Modules gen and gen_server of STDLIB (lib/stdlib/src/gen.erl). A caller monitors the server and sends it
`{'$gen_call', {Pid, Tag}, Request}`. The server answers `{Tag, Reply}`. Since OTP 24 the tag is `[alias | Ref]`, where
`Ref` is the caller's monitor, and the reply goes to that alias. A cast is `{'$gen_cast', Request}`.
"""

from typing import Any, NamedTuple

from beam_bpy.protocol.control import Payload, Send
from vendor_term_codec import (
    Atom,
    DecodeError,
    ImproperList,
    Pid,
    Reference,
    decode_term,
    encode_term,
    tuple_header,
    tuple_of,
)

CALL = Atom("$gen_call")
CAST = Atom("$gen_cast")
SYSTEM = Atom("system")
"""The label of the calls of the module sys (lib/stdlib/src/sys.erl), which otherwise look like a gen_server's."""


class From(NamedTuple):
    """The process that makes a gen_server call: `{Pid, Tag}`.

    Attributes:
        pid: the caller.
        tag: the first element of the reply, encoded as it came.
        ref: the reference in the tag: the caller's monitor on the server; None if it holds none.
        is_alias: True if the reply goes to that reference instead of the pid.
    """

    pid: Pid
    tag: bytes
    ref: Reference | None
    is_alias: bool


class GenCall(NamedTuple):
    """A message `{'$gen_call', From, Request}`.

    Attributes:
        message: the message as it came.
        caller: its `From`.
        request: its request.
    """

    message: Send
    caller: From
    request: Payload


def call_in(message: Send, label: Atom = CALL) -> GenCall | None:
    """The call that a message `{Label, From, Request}` is; None if it is something else."""
    data, offset = message.payload
    try:
        arity, offset = tuple_header(data, offset)
        if arity != 3:
            return None
        kind, offset = decode_term(data, offset)
        if kind != label:
            return None
        arity, offset = tuple_header(data, offset)
        pid, tag_at = decode_term(data, offset)
        tag, end = decode_term(data, tag_at)
    except DecodeError:
        return None
    if arity != 2 or not isinstance(pid, Pid):
        return None
    return GenCall(message, From(pid, bytes(data[tag_at:end]), *reply_alias(tag)), Payload(data, end))


def cast_in(payload: Payload) -> Payload | None:
    """The request of a cast; None if the message is something else.

    Raises:
        DecodeError: the message cannot be decoded.
    """
    arity, offset = tuple_header(*payload)
    if arity != 2:
        return None
    kind, offset = decode_term(payload.data, offset)
    return Payload(payload.data, offset) if kind == CAST else None


def reply_alias(tag: Any) -> tuple[Reference | None, bool]:
    """The reference in a tag `Ref`, `[alias | Ref]` or `[[alias | Ref] | _]`; True if the reply goes to it."""
    if isinstance(tag, Reference):
        return tag, False
    if isinstance(tag, ImproperList) and tag.elements[0] == "alias" and isinstance(tag.tail, Reference):
        return tag.tail, True
    if isinstance(tag, ImproperList):
        return reply_alias(tag.elements[0])
    return reply_alias(tag[0]) if isinstance(tag, list) and tag else (None, False)


def reply(tag: bytes, value: bytes) -> bytes:
    """The message that answers a call: `{Tag, Reply}`, both encoded."""
    return tuple_of(tag, value)


def call(caller: Pid, tag: Reference, request: Any) -> bytes:
    """The message of a call.

    Raises:
        EncodeError: the request has no term.
    """
    return encode_term((CALL, (caller, tag), request))
