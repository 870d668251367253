"""Control messages: what one connected node tells another.

Chapter "Protocol between Connected Nodes". Every message is a tuple whose first element is the opcode; some are
followed by a payload, a term of its own. The wire has several forms for one thing (with a trace token, with the exit
reason as payload, addressed to a pid, a name or an alias). `parse` turns them into one event for each thing, and
leaves the payload of a message encoded, because only the receiver knows how it wants it decoded.

The functions below `parse` make a `Message` of the same events; where the form depends on what the peer understands,
they take the flags that were agreed upon in the handshake.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import DIST_HEADER, FIRST, SIZE, split
from beam_bpy.protocol.framing import Frame, framed
from vendor_term_codec import Atom, DecodeError, Pid, Reference, decode_term, encode_term

PASS_THROUGH = 112
"""The byte before a message that has no distribution header."""

VERSION = 131
"""The byte before each term."""

BinaryType = type[str] | type[bytes] | type[memoryview]
"""How binaries are decoded: see `vendor_term_codec.decode`."""

_ALTACT_EXIT = 16


class Payload(NamedTuple):
    """A term that is still encoded: it begins at `offset` of `data`, without the version byte."""

    data: Frame
    offset: int

    def decode(self, *, binaries: BinaryType = str, arrays: bool = False) -> Any:
        """The term; the options are those of `vendor_term_codec.decode`.

        Raises:
            DecodeError: it is no valid term.
        """
        return decode_term(self.data, self.offset, binaries=binaries, arrays=arrays)[0]


def encoded(term: Any) -> Payload:
    """A payload that holds `term`."""
    return Payload(encode_term(term), 0)


class Send(NamedTuple):
    """A message for a pid, a registered name or an alias (SEND, SEND_SENDER, REG_SEND, ALIAS_SEND, ALTACT_SIG_SEND)."""

    sender: Pid | None
    to: Pid | Atom | Reference
    payload: Payload


class Link(NamedTuple):
    """`sender` links itself to `to` (LINK)."""

    sender: Pid
    to: Pid


class Unlink(NamedTuple):
    """`sender` takes its link to `to` back (UNLINK_ID; UNLINK has no id and wants no answer)."""

    id: int | None
    sender: Pid
    to: Pid


class UnlinkAck(NamedTuple):
    """The answer to `Unlink` (UNLINK_ID_ACK)."""

    id: int
    sender: Pid
    to: Pid


class LinkExit(NamedTuple):
    """`sender`, which was linked to `to`, has ended (EXIT, PAYLOAD_EXIT)."""

    sender: Pid
    to: Pid
    reason: Payload


class ExitSignal(NamedTuple):
    """`sender` tells `to` to end (EXIT2, PAYLOAD_EXIT2: `exit/2` of the BEAM)."""

    sender: Pid
    to: Pid | Atom | Reference
    reason: Payload


class GroupLeader(NamedTuple):
    """`sender` makes itself the group leader of `to` (GROUP_LEADER)."""

    sender: Pid
    to: Pid


class Monitor(NamedTuple):
    """`sender` wants to be told when the process or registered name `target` ends (MONITOR_P)."""

    sender: Pid
    target: Pid | Atom
    ref: Reference


class Demonitor(NamedTuple):
    """`sender` takes the monitor `ref` back (DEMONITOR_P)."""

    sender: Pid
    target: Pid | Atom
    ref: Reference


class MonitorExit(NamedTuple):
    """The monitored `target` has ended; `to` set the monitor `ref` (MONITOR_P_EXIT, PAYLOAD_MONITOR_P_EXIT)."""

    target: Pid | Atom
    to: Pid
    ref: Reference
    reason: Payload


class SpawnRequest(NamedTuple):
    """`sender` wants a process that runs `module:function` with the arguments in the payload (SPAWN_REQUEST)."""

    ref: Reference
    sender: Pid
    group_leader: Pid
    module: Atom
    function: Atom
    arity: int
    options: list[Any]
    payload: Payload


class SpawnReply(NamedTuple):
    """The answer to `SpawnRequest`: the new process, or an atom that says why there is none (SPAWN_REPLY)."""

    ref: Reference
    to: Pid
    flags: int
    result: Pid | Atom


_ATOM = (Atom, bool, type(None))
"""true, false and nil are atoms that are decoded to Python's own."""
_NAME = (Pid, *_ATOM)

_SHAPES: dict[type[Any], tuple[Any, ...]] = {
    Send: ((Pid, type(None)), (*_NAME, Reference)),
    Link: (Pid, Pid),
    Unlink: ((int, type(None)), Pid, Pid),
    UnlinkAck: (int, Pid, Pid),
    LinkExit: (Pid, Pid),
    ExitSignal: (Pid, (*_NAME, Reference)),
    GroupLeader: (Pid, Pid),
    Monitor: (Pid, _NAME, Reference),
    Demonitor: (Pid, _NAME, Reference),
    MonitorExit: (_NAME, Pid, Reference),
    SpawnRequest: (Reference, Pid, Pid, _ATOM, _ATOM, int, list),
    SpawnReply: (Reference, Pid, int, (Pid, Atom)),
}


class NodeLink(NamedTuple):
    """NODE_LINK; no release sends it."""


class Unknown(NamedTuple):
    """A control message that this version does not know."""

    term: Any


Event = (
    Send
    | Link
    | Unlink
    | UnlinkAck
    | LinkExit
    | ExitSignal
    | GroupLeader
    | Monitor
    | Demonitor
    | MonitorExit
    | SpawnRequest
    | SpawnReply
    | NodeLink
    | Unknown
)

SPAWN_LINKED = 1
"""In `SpawnReply.flags`: the new process is linked to the one that asked."""

SPAWN_MONITORED = 2
"""In `SpawnReply.flags`: the new process is monitored by the one that asked."""


def parse(frame: Frame) -> Event:
    """The event that one message stands for; a fragmented one has been put together before.

    Raises:
        ProtocolError: the message is not as the chapter demands.
    """
    start, version_bytes = _start(frame)
    try:
        term, offset = decode_term(frame, start)
        if not isinstance(term, tuple) or type(term[0]) is not int:
            raise ProtocolError("a control message that is no tuple with an opcode")
        parser = _PARSERS.get(term[0])
        return _checked(parser(term, Payload(frame, offset + version_bytes))) if parser else Unknown(term)
    except DecodeError as error:
        raise ProtocolError(f"a message that cannot be decoded: {error}") from None
    except (TypeError, IndexError, ValueError, AttributeError) as error:
        raise ProtocolError(f"a control message of the wrong shape ({type(error).__name__})") from None


def _checked(event: Event) -> Event:
    if not all(map(isinstance, event, _SHAPES.get(type(event), ()))):
        raise ProtocolError(f"a {type(event).__name__} message whose fields are of the wrong types")
    return event


def _start(frame: Frame) -> tuple[int, int]:
    """Where the control tuple begins, and how many version bytes stand before the payload."""
    head = bytes(frame[:2])
    if head == _PASS_THROUGH:
        return 2, 1
    if head == _DIST_HEADER and frame[2:3] == b"\0":
        return 3, 0
    if head == _FRAGMENT_HEADER and frame[18:19] == b"\0":
        return 19, 0
    if head in (_DIST_HEADER, _FRAGMENT_HEADER):
        raise ProtocolError("a message that uses an atom cache, which this node does not offer")
    raise ProtocolError(f"a message that begins with {head.hex(' ')} instead of 70 83")


def _send(sender: int | None, to: int) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_send(term: tuple[Any, ...], payload: Payload) -> Event:
        return Send(None if sender is None else term[sender], term[to], payload)

    return parse_send


def _fields(event: type[Any], count: int) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_fields(term: tuple[Any, ...], _payload: Payload) -> Event:
        return event._make(term[1 : 1 + count])  # type: ignore[no-any-return]

    return parse_fields


def _with_reason(event: type[Any], count: int) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_with_reason(term: tuple[Any, ...], payload: Payload) -> Event:
        return event(*term[1 : 1 + count], payload)  # type: ignore[no-any-return]

    return parse_with_reason


def _exit_with_token(event: type[Any]) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_exit_with_token(term: tuple[Any, ...], _payload: Payload) -> Event:
        return event(term[1], term[2], encoded(term[4]))  # type: ignore[no-any-return]

    return parse_exit_with_token


def _inline_reason(event: type[Any], count: int) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_inline_reason(term: tuple[Any, ...], _payload: Payload) -> Event:
        return event(*term[1 : 1 + count], encoded(term[1 + count]))  # type: ignore[no-any-return]

    return parse_inline_reason


def _spawn_request(term: tuple[Any, ...], payload: Payload) -> Event:
    module, function, arity = term[4]
    return SpawnRequest(term[1], term[2], term[3], module, function, arity, term[5], payload)


def _altact(term: tuple[Any, ...], payload: Payload) -> Event:
    # OTP 28, DFLAG_ALTACT_SIG: {37, Flags, Sender, To} and, with the token flag, a token behind it.
    if term[1] & _ALTACT_EXIT:
        return ExitSignal(term[2], term[3], payload)
    return Send(term[2], term[3], payload)


def _unlink_without_id(term: tuple[Any, ...], _payload: Payload) -> Event:
    return Unlink(None, term[1], term[2])


# A trace token is read over: seq_trace ends at this node, as it does at every C node.
_PARSERS: dict[int, Callable[[tuple[Any, ...], Payload], Event]] = {
    1: _fields(Link, 2),
    2: _send(None, 2),
    3: _inline_reason(LinkExit, 2),
    4: _unlink_without_id,
    5: _fields(NodeLink, 0),
    6: _send(1, 3),
    7: _fields(GroupLeader, 2),
    8: _inline_reason(ExitSignal, 2),
    12: _send(None, 2),
    13: _exit_with_token(LinkExit),
    16: _send(1, 3),
    18: _exit_with_token(ExitSignal),
    19: _fields(Monitor, 3),
    20: _fields(Demonitor, 3),
    21: _inline_reason(MonitorExit, 3),
    22: _send(1, 2),
    23: _send(1, 2),
    24: _with_reason(LinkExit, 2),
    25: _with_reason(LinkExit, 2),
    26: _with_reason(ExitSignal, 2),
    27: _with_reason(ExitSignal, 2),
    28: _with_reason(MonitorExit, 3),
    29: _spawn_request,
    30: _spawn_request,
    31: _fields(SpawnReply, 4),
    32: _fields(SpawnReply, 4),
    33: _send(1, 2),
    34: _send(1, 2),
    35: _fields(Unlink, 3),
    36: _fields(UnlinkAck, 3),
    37: _altact,
}


class Message(NamedTuple):
    """What is to be sent: the encoded control tuple and the encoded payload, both without a version byte."""

    control: bytes
    payload: bytes | None

    def frame(self, *, header: bool) -> bytes:
        """It as one message, with its length.

        Args:
            header: with a distribution header, as both sides do once FRAGMENTS is agreed upon; else "pass through".
        """
        if header:
            return framed(_DIST_HEADER, b"\0", self.control, self.payload or b"")
        if self.payload is None:
            return framed(_PASS_THROUGH, self.control)
        return framed(_PASS_THROUGH, self.control, _VERSION_BYTE, self.payload)

    @property
    def large(self) -> bool:
        """True when it should travel in pieces."""
        return self.payload is not None and len(self.payload) > SIZE

    def fragments(self, sequence: int) -> Iterator[bytes]:
        """It in pieces, each with its length; `sequence` is what no other message on its way has."""
        assert self.payload is not None
        return map(framed, split(sequence, self.control, self.payload))


_PASS_THROUGH = bytes((PASS_THROUGH, VERSION))
_DIST_HEADER = bytes((VERSION, DIST_HEADER))
_FRAGMENT_HEADER = bytes((VERSION, FIRST))
_VERSION_BYTE = bytes((VERSION,))
_UNUSED = Atom("")

Field = Pid | Reference | Atom | int | list[Any] | tuple[Any, ...]


def _control(opcode: int, *fields: Field) -> bytes:
    return bytes((104, 1 + len(fields), 97, opcode)) + b"".join(
        [field.ext if isinstance(field, Pid | Reference) else encode_term(field) for field in fields]
    )


def _exit(flags: Flag, opcode: int, old_opcode: int, fields: tuple[Field, ...], reason: bytes) -> Message:
    """An exit with its reason as payload, or for a peer that does not know that form inside the control tuple."""
    if Flag.EXIT_PAYLOAD in flags:
        return Message(_control(opcode, *fields), reason)
    head = _control(old_opcode, *fields)
    return Message(head[:1] + bytes((head[1] + 1,)) + head[2:] + reason, None)


def send(flags: Flag, sender: Pid, to: Pid | Atom | Reference, message: bytes) -> Message:
    """The encoded term `message` for a pid, a name or an alias."""
    if isinstance(to, Reference):
        return Message(_control(33, sender, to), message)
    if isinstance(to, Atom):
        return Message(_control(6, sender, _UNUSED, to), message)
    if Flag.SEND_SENDER in flags:
        return Message(_control(22, sender, to), message)
    return Message(_control(2, _UNUSED, to), message)


def link(sender: Pid, to: Pid) -> Message:
    """`sender` links itself to `to`."""
    return Message(_control(1, sender, to), None)


def unlink(id: int, sender: Pid, to: Pid) -> Message:
    """`sender` takes its link to `to` back; `id`, from 1 to 2^64 - 1, comes back in the answer."""
    return Message(_control(35, id, sender, to), None)


def unlink_ack(id: int, sender: Pid, to: Pid) -> Message:
    """The answer to `Unlink`; it goes out before any other signal to the same process (section "Link Protocol")."""
    return Message(_control(36, id, sender, to), None)


def link_exit(flags: Flag, sender: Pid, to: Pid, reason: bytes) -> Message:
    """`sender`, linked to `to`, has ended with the encoded `reason`."""
    return _exit(flags, 24, 3, (sender, to), reason)


def exit_signal(flags: Flag, sender: Pid, to: Pid, reason: bytes) -> Message:
    """`sender` tells `to` to end with the encoded `reason`."""
    return _exit(flags, 26, 8, (sender, to), reason)


def monitor(sender: Pid, target: Pid | Atom, ref: Reference) -> Message:
    """`sender` wants to be told when `target` ends."""
    return Message(_control(19, sender, target, ref), None)


def demonitor(sender: Pid, target: Pid | Atom, ref: Reference) -> Message:
    """`sender` takes the monitor `ref` back."""
    return Message(_control(20, sender, target, ref), None)


def monitor_exit(flags: Flag, target: Pid | Atom, to: Pid, ref: Reference, reason: bytes) -> Message:
    """The monitored `target` has ended with the encoded `reason`."""
    return _exit(flags, 28, 21, (target, to, ref), reason)


def spawn_request(
    ref: Reference, sender: Pid, target: tuple[Atom, Atom, int], options: list[Any], arguments: bytes
) -> Message:
    """`sender` wants a process that runs `{Module, Function, Arity}` with the encoded list of `arguments`.

    `sender` is the new process's group leader too: what it prints comes to us, and is dropped.
    """
    return Message(_control(29, ref, sender, sender, target, options), arguments)


def spawn_reply(ref: Reference, to: Pid, flags: int, result: Pid | Atom) -> Message:
    """The answer to a spawn request."""
    return Message(_control(31, ref, to, flags, result), None)
