"""Control messages: what one connected node tells another.

Chapter "Protocol between Connected Nodes". Every message is a tuple whose first element is the opcode; some are
followed by a payload, a term of its own. The wire has several forms for one thing (with a trace token, with the exit
reason as payload, addressed to a pid, a name or an alias). `parse` turns them into one event for each thing, and
leaves the payload of a message encoded, because only the receiver knows how it wants it decoded.

The functions below `parse` encode the same events; where the form depends on what the peer understands, they take
the flags that were agreed upon in the handshake.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.framing import Frame, framed
from vendor_term_codec import Atom, DecodeError, Pid, Reference, decode_term, encode_term

PASS_THROUGH = 112
"""The byte before a message that has no distribution header."""

VERSION = 131
"""The byte before each term."""

_ALTACT_TOKEN = 2
_ALTACT_EXIT = 16


class Payload(NamedTuple):
    """A term that is still encoded: it begins at `offset` of `data`, without the version byte."""

    data: Frame
    offset: int

    def decode(self) -> Any:
        """The term, with binaries as str where they are valid UTF-8.

        Raises:
            DecodeError: it is no valid term.
        """
        return decode_term(self.data, self.offset)[0]


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
    reason: Any


class ExitSignal(NamedTuple):
    """`sender` tells `to` to end (EXIT2, PAYLOAD_EXIT2: `exit/2` of the BEAM)."""

    sender: Pid
    to: Pid | Atom | Reference
    reason: Any


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
    reason: Any


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
    """The event that one message stands for.

    Raises:
        ProtocolError: the message is not as the chapter demands.
    """
    if len(frame) < 3 or frame[0] != PASS_THROUGH or frame[1] != VERSION:
        raise ProtocolError(f"a message that begins with {bytes(frame[:2]).hex(' ')} instead of 70 83")
    try:
        term, offset = decode_term(frame, 2)
        parser = _PARSERS.get(term[0])
        return parser(term, Payload(frame, offset + 1)) if parser else Unknown(term)
    except DecodeError as error:
        raise ProtocolError(f"a message that cannot be decoded: {error}") from None
    except (TypeError, IndexError, ValueError, AttributeError) as error:
        raise ProtocolError(f"a control message of the wrong shape ({type(error).__name__})") from None


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
        return event(*term[1 : 1 + count], payload.decode())  # type: ignore[no-any-return]

    return parse_with_reason


def _exit_with_token(event: type[Any]) -> Callable[[tuple[Any, ...], Payload], Event]:
    def parse_exit_with_token(term: tuple[Any, ...], _payload: Payload) -> Event:
        return event(term[1], term[2], term[4])  # type: ignore[no-any-return]

    return parse_exit_with_token


def _spawn_request(term: tuple[Any, ...], payload: Payload) -> Event:
    module, function, arity = term[4]
    return SpawnRequest(term[1], term[2], term[3], module, function, arity, term[5], payload)


def _altact(term: tuple[Any, ...], payload: Payload) -> Event:
    # OTP 28, DFLAG_ALTACT_SIG: {37, Flags, Sender, To} and, with the token flag, a token behind it.
    if term[1] & _ALTACT_EXIT:
        return ExitSignal(term[2], term[3], payload.decode())
    return Send(term[2], term[3], payload)


def _unlink_without_id(term: tuple[Any, ...], _payload: Payload) -> Event:
    return Unlink(None, term[1], term[2])


# A trace token is read over: seq_trace ends at this node, as it does at every C node.
_PARSERS: dict[int, Callable[[tuple[Any, ...], Payload], Event]] = {
    1: _fields(Link, 2),
    2: _send(None, 2),
    3: _fields(LinkExit, 3),
    4: _unlink_without_id,
    5: _fields(NodeLink, 0),
    6: _send(1, 3),
    7: _fields(GroupLeader, 2),
    8: _fields(ExitSignal, 3),
    12: _send(None, 2),
    13: _exit_with_token(LinkExit),
    16: _send(1, 3),
    18: _exit_with_token(ExitSignal),
    19: _fields(Monitor, 3),
    20: _fields(Demonitor, 3),
    21: _fields(MonitorExit, 4),
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


def _control(opcode: int, *fields: Pid | Reference | Atom | int | list[Any] | tuple[Any, ...]) -> bytes:
    head = bytes((PASS_THROUGH, VERSION, 104, 1 + len(fields), 97, opcode))
    return head + b"".join(
        [field.ext if isinstance(field, Pid | Reference) else encode_term(field) for field in fields]
    )


_UNUSED = Atom("")
_VERSION_BYTE = bytes((VERSION,))


def send(flags: Flag, sender: Pid, to: Pid | Atom | Reference, message: bytes) -> bytes:
    """One frame that carries the encoded term `message` (without version byte) to a pid, a name or an alias."""
    if isinstance(to, Reference):
        head = _control(33, sender, to)
    elif isinstance(to, Atom):
        head = _control(6, sender, _UNUSED, to)
    elif Flag.SEND_SENDER in flags:
        head = _control(22, sender, to)
    else:
        head = _control(2, _UNUSED, to)
    return framed(head, _VERSION_BYTE, message)


def link_exit(flags: Flag, sender: Pid, to: Pid, reason: bytes) -> bytes:
    """`sender`, linked to `to`, has ended with the encoded `reason`."""
    if Flag.EXIT_PAYLOAD in flags:
        return framed(_control(24, sender, to), _VERSION_BYTE, reason)
    return framed(_with_inline_reason(3, sender, to, reason))


def monitor_exit(flags: Flag, target: Pid | Atom, to: Pid, ref: Reference, reason: bytes) -> bytes:
    """The monitored `target` has ended with the encoded `reason`."""
    if Flag.EXIT_PAYLOAD in flags:
        return framed(_control(28, target, to, ref), _VERSION_BYTE, reason)
    return framed(_with_inline_reason(21, target, to, ref, reason))


def _with_inline_reason(opcode: int, *fields: Pid | Reference | Atom | bytes) -> bytes:
    *terms, reason = fields
    assert isinstance(reason, bytes)
    head = _control(opcode, *(term for term in terms if not isinstance(term, bytes)))
    # One element more than _control has counted: the reason, which is encoded already.
    return head[:3] + bytes((head[3] + 1,)) + head[4:] + reason


def spawn_reply(ref: Reference, to: Pid, flags: int, result: Pid | Atom) -> bytes:
    """The answer to a spawn request."""
    return framed(_control(31, ref, to, flags, result))


def unlink_ack(id: int, sender: Pid, to: Pid) -> bytes:
    """The answer to `Unlink`; it goes out before any other signal to the same process (section "Link Protocol")."""
    return framed(_control(36, id, sender, to))
