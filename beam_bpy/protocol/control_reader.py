"""Reading control messages: `parse` turns each form that the wire has into one type of `control`.

Chapter "Protocol between Connected Nodes". This reader understands every message. `fast_path` understands only the
frequent ones, and reads them as this one does.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.protocol import ProtocolError, erpc, gen_server
from beam_bpy.protocol.control import (
    ControlMessage,
    Demonitor,
    ExitSignal,
    GroupLeader,
    Link,
    LinkExit,
    Monitor,
    MonitorExit,
    Payload,
    Send,
    SpawnReply,
    SpawnRequest,
    Unknown,
    Unlink,
    UnlinkAck,
    as_atom,
    encoded,
)
from beam_bpy.protocol.fragments import FRAGMENT_HEADER
from beam_bpy.protocol.framing import DIST_HEADER, PASS_THROUGH, Frame
from beam_bpy.protocol.opcodes import Opcode
from vendor_term_codec import Atom, DecodeError, Pid, Reference, decode_term

Event = ControlMessage | gen_server.GenCall | erpc.ErpcCall
"""An event for one message. The calls of gen_server and erpc have types of their own."""

_Parser = Callable[[tuple[Any, ...], Payload], ControlMessage]

_ALTACT_EXIT = 16
_FRAGMENT_HEADER_SIZE = 18

_NAME = (Pid, Atom)
_TO = (Pid, Atom, Reference)

_SHAPES: dict[type[Any], tuple[Any, ...]] = {
    Send: ((Pid, type(None)), _TO),
    Link: (Pid, Pid),
    Unlink: ((int, type(None)), Pid, Pid),
    UnlinkAck: (int, Pid, Pid),
    LinkExit: (Pid, Pid),
    ExitSignal: (Pid, _TO),
    GroupLeader: (Pid, Pid),
    Monitor: (Pid, _NAME, Reference),
    Demonitor: (Pid, _NAME, Reference),
    MonitorExit: (_NAME, Pid, Reference),
    SpawnRequest: (Reference, Pid, Pid, Atom, Atom, int, list),
    SpawnReply: (Reference, Pid, int, (Pid, Atom)),
}
"""The types of the fields of each event, up to the payload."""


def parse(frame: Frame) -> Event:
    """The event that one message stands for; a fragmented message has been reassembled before.

    Raises:
        ProtocolError: the message is not as the chapter demands.
    """
    start, version_bytes = _start(frame)
    try:
        term, offset = decode_term(frame, start)
        if not isinstance(term, tuple) or type(term[0]) is not int:
            raise ProtocolError("a control message that is no tuple with an opcode")
        parser = _PARSERS.get(term[0])
        if parser is None:
            return Unknown(term)
        event = _checked(parser(term, Payload(frame, offset + version_bytes)))
    except DecodeError as error:
        raise ProtocolError(f"a message that cannot be decoded: {error}") from None
    except (TypeError, IndexError, ValueError, AttributeError) as error:
        raise ProtocolError(f"a control message of the wrong shape ({type(error).__name__})") from None
    return _call_in(event) or event


def _call_in(event: ControlMessage) -> gen_server.GenCall | erpc.ErpcCall | None:
    """The call that a message or a spawn request is; None if it is none."""
    if isinstance(event, Send):
        return gen_server.call_in(event)
    return erpc.call_in(event) if isinstance(event, SpawnRequest) else None


def _checked(event: ControlMessage) -> ControlMessage:
    if not all(map(isinstance, event, _SHAPES[type(event)])):
        raise ProtocolError(f"a {type(event).__name__} message whose fields are of the wrong types")
    return event


def _start(frame: Frame) -> tuple[int, int]:
    """The offset of the control tuple, and the number of version bytes before the payload."""
    if frame.startswith(PASS_THROUGH):
        return len(PASS_THROUGH), 1
    if frame.startswith(DIST_HEADER):
        return len(DIST_HEADER), 0
    if frame.startswith(FRAGMENT_HEADER) and frame[_FRAGMENT_HEADER_SIZE : _FRAGMENT_HEADER_SIZE + 1] == b"\0":
        return _FRAGMENT_HEADER_SIZE + 1, 0
    head = bytes(frame[:2])
    if head in (DIST_HEADER[:2], FRAGMENT_HEADER):
        raise ProtocolError("a message that uses an atom cache, which this node does not offer")
    raise ProtocolError(f"a message that begins with {head.hex(' ')} instead of 70 83")


def _send(sender: int | None, to: int) -> _Parser:
    return lambda term, payload: Send(None if sender is None else term[sender], as_atom(term[to]), payload)


def _fields(event: type[Any], count: int) -> _Parser:
    return lambda term, _payload: event._make(map(as_atom, term[1 : 1 + count]))


def _reason_in_payload(event: type[Any], count: int) -> _Parser:
    return lambda term, payload: event(*map(as_atom, term[1 : 1 + count]), payload)


def _reason_in_tuple(event: type[Any], count: int) -> _Parser:
    return lambda term, _payload: event(*map(as_atom, term[1 : 1 + count]), encoded(term[1 + count]))


def _reason_behind_token(event: type[Any]) -> _Parser:
    return lambda term, _payload: event(term[1], as_atom(term[2]), encoded(term[4]))


def _spawn_request(term: tuple[Any, ...], payload: Payload) -> ControlMessage:
    module, function, arity = term[4]
    return SpawnRequest(term[1], term[2], term[3], as_atom(module), as_atom(function), arity, term[5], payload)


def _altact(term: tuple[Any, ...], payload: Payload) -> ControlMessage:
    # OTP 28, DFLAG_ALTACT_SIG: {37, Flags, Sender, To} and, with the token flag, a token behind it.
    if term[1] & _ALTACT_EXIT:
        return ExitSignal(term[2], as_atom(term[3]), payload)
    return Send(term[2], as_atom(term[3]), payload)


def _unlink_without_id(term: tuple[Any, ...], _payload: Payload) -> ControlMessage:
    return Unlink(None, term[1], term[2])


# Trace tokens are ignored: seq_trace ends at this node, as it does at every C node.
_PARSERS: dict[int, _Parser] = {
    Opcode.LINK: _fields(Link, 2),
    Opcode.SEND: _send(None, 2),
    Opcode.EXIT: _reason_in_tuple(LinkExit, 2),
    Opcode.UNLINK: _unlink_without_id,
    Opcode.REG_SEND: _send(1, 3),
    Opcode.GROUP_LEADER: _fields(GroupLeader, 2),
    Opcode.EXIT2: _reason_in_tuple(ExitSignal, 2),
    Opcode.SEND_TT: _send(None, 2),
    Opcode.EXIT_TT: _reason_behind_token(LinkExit),
    Opcode.REG_SEND_TT: _send(1, 3),
    Opcode.EXIT2_TT: _reason_behind_token(ExitSignal),
    Opcode.MONITOR_P: _fields(Monitor, 3),
    Opcode.DEMONITOR_P: _fields(Demonitor, 3),
    Opcode.MONITOR_P_EXIT: _reason_in_tuple(MonitorExit, 3),
    Opcode.SEND_SENDER: _send(1, 2),
    Opcode.SEND_SENDER_TT: _send(1, 2),
    Opcode.PAYLOAD_EXIT: _reason_in_payload(LinkExit, 2),
    Opcode.PAYLOAD_EXIT_TT: _reason_in_payload(LinkExit, 2),
    Opcode.PAYLOAD_EXIT2: _reason_in_payload(ExitSignal, 2),
    Opcode.PAYLOAD_EXIT2_TT: _reason_in_payload(ExitSignal, 2),
    Opcode.PAYLOAD_MONITOR_P_EXIT: _reason_in_payload(MonitorExit, 3),
    Opcode.SPAWN_REQUEST: _spawn_request,
    Opcode.SPAWN_REQUEST_TT: _spawn_request,
    Opcode.SPAWN_REPLY: _fields(SpawnReply, 4),
    Opcode.SPAWN_REPLY_TT: _fields(SpawnReply, 4),
    Opcode.ALIAS_SEND: _send(1, 2),
    Opcode.ALIAS_SEND_TT: _send(1, 2),
    Opcode.UNLINK_ID: _fields(Unlink, 3),
    Opcode.UNLINK_ID_ACK: _fields(UnlinkAck, 3),
    Opcode.ALTACT_SIG_SEND: _altact,
}
