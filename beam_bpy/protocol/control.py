"""Control messages as types with named fields: one type for each thing that a connected node tells another.

Chapter "Protocol between Connected Nodes". The wire has several forms of one message: with a trace token, with the
exit reason as payload, addressed to a pid, a name or an alias. `control_reader` turns every form into one of these
types, and `control_writer` chooses the form that the peer understands.

The payload of a message stays encoded (`Payload`), because the receiver decides how it is decoded.
"""

from enum import IntFlag
from typing import Any, NamedTuple

from beam_bpy.protocol.framing import Frame
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term, list_header, tags

BinaryType = type[str] | type[bytes] | type[memoryview]
"""How binaries are decoded: see `vendor_term_codec.decode`."""


class Payload(NamedTuple):
    """A term that is still encoded: it begins at `offset` of `data`, without the version byte."""

    data: Frame
    offset: int

    def decode(self, *, binaries: BinaryType = str, arrays: bool = False) -> Any:
        """The term; the options are those of `vendor_term_codec.decode`.

        Raises:
            DecodeError: the bytes are not a valid term.
        """
        return decode_term(self.data, self.offset, binaries=binaries, arrays=arrays)[0]


def argument_count(arguments: Payload) -> int | None:
    """The length of a list of arguments; None if it is no list. Small integers may come as a STRING_EXT.

    Raises:
        DecodeError: the data end.
    """
    data, offset = arguments
    tag = data[offset] if offset < len(data) else tags.NIL
    if tag == tags.STRING:
        return int.from_bytes(data[offset + 1 : offset + 3])
    return list_header(data, offset)[0] if tag in (tags.LIST, tags.NIL) else None


def as_atom(term: Any) -> Any:
    """`term`; the atoms true, false and nil, which the codec decodes to Python's own values, as atoms."""
    return _CONSTANTS[term] if term is None or type(term) is bool else term


_CONSTANTS = {None: Atom("nil"), True: Atom("true"), False: Atom("false")}


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
    """`sender` removes its link to `to` (UNLINK_ID; UNLINK has no id and expects no answer)."""

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
    """`sender` monitors the process or registered name `target` (MONITOR_P)."""

    sender: Pid
    target: Pid | Atom
    ref: Reference


class Demonitor(NamedTuple):
    """`sender` removes its monitor `ref` (DEMONITOR_P)."""

    sender: Pid
    target: Pid | Atom
    ref: Reference


class MonitorExit(NamedTuple):
    """The monitored `target` has ended; `to` holds the monitor `ref` (MONITOR_P_EXIT, PAYLOAD_MONITOR_P_EXIT)."""

    target: Pid | Atom
    to: Pid
    ref: Reference
    reason: Payload


class SpawnRequest(NamedTuple):
    """`sender` requests a process that runs `module:function` with the arguments in the payload (SPAWN_REQUEST)."""

    ref: Reference
    sender: Pid
    group_leader: Pid
    module: Atom
    function: Atom
    arity: int
    options: list[Any]
    payload: Payload


class SpawnFlag(IntFlag):
    """How the new process of a `SpawnReply` is tied to the one that requested it."""

    LINKED = 1
    MONITORED = 2


class SpawnReply(NamedTuple):
    """The answer to `SpawnRequest`: the new process, or an atom that says why there is none (SPAWN_REPLY)."""

    ref: Reference
    to: Pid
    flags: int
    result: Pid | Atom


class Unknown(NamedTuple):
    """A control message that this version does not know."""

    term: Any


ControlMessage = (
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
    | Unknown
)
