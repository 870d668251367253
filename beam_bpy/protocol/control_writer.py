"""Writing control messages.

Chapter "Protocol between Connected Nodes". Each function makes a `Message` of one of the types in `control`. Where the
form depends on the peer, the function takes the flags that both sides agreed upon in the handshake.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import SIZE, split
from beam_bpy.protocol.framing import DIST_HEADER, PASS_THROUGH, VERSION_BYTE, framed
from beam_bpy.protocol.opcodes import Opcode
from vendor_term_codec import Atom, Pid, Reference, encode_term, tuple_of

Field = Pid | Reference | Atom | int | list[Any] | tuple[Any, ...]

_UNUSED = Atom("")
_EXT_OF_OPCODE = {opcode: encode_term(int(opcode)) for opcode in Opcode}


class Message(NamedTuple):
    """A message to send: the encoded control tuple and the encoded payload, both without a version byte."""

    control: bytes
    payload: bytes | None

    def frame(self, *, header: bool) -> bytes:
        """The bytes of one message, with its length.

        Args:
            header: with a distribution header, as both sides do once FRAGMENTS is agreed upon; else "pass through".
        """
        if header:
            return framed(DIST_HEADER, self.control, self.payload or b"")
        if self.payload is None:
            return framed(PASS_THROUGH, self.control)
        return framed(PASS_THROUGH, self.control, VERSION_BYTE, self.payload)

    @property
    def large(self) -> bool:
        """True when it should travel in fragments."""
        return self.payload is not None and len(self.payload) > SIZE

    def fragments(self, sequence: int) -> Iterator[bytes]:
        """Its fragments, each with its length; no other message on this connection has the same `sequence` id."""
        assert self.payload is not None
        return map(framed, split(sequence, self.control, self.payload))


def send(flags: Flag, sender: Pid, to: Pid | Atom | Reference, message: bytes) -> Message:
    """The encoded term `message` for a pid, a name or an alias."""
    if isinstance(to, Reference):
        return Message(_control(Opcode.ALIAS_SEND, sender, to), message)
    if isinstance(to, Atom):
        return Message(_control(Opcode.REG_SEND, sender, _UNUSED, to), message)
    if Flag.SEND_SENDER in flags:
        return Message(_control(Opcode.SEND_SENDER, sender, to), message)
    return Message(_control(Opcode.SEND, _UNUSED, to), message)


def link(sender: Pid, to: Pid) -> Message:
    """`sender` links itself to `to`."""
    return Message(_control(Opcode.LINK, sender, to), None)


def unlink(id: int, sender: Pid, to: Pid) -> Message:
    """`sender` removes its link to `to`; `id`, from 1 to 2^64 - 1, comes back in the answer."""
    return Message(_control(Opcode.UNLINK_ID, id, sender, to), None)


def unlink_ack(id: int, sender: Pid, to: Pid) -> Message:
    """The answer to `Unlink`; it is sent before any other signal to the same process (section "Link Protocol")."""
    return Message(_control(Opcode.UNLINK_ID_ACK, id, sender, to), None)


def link_exit(flags: Flag, sender: Pid, to: Pid, reason: bytes) -> Message:
    """`sender`, linked to `to`, has ended with the encoded `reason`."""
    return _exit(flags, Opcode.PAYLOAD_EXIT, Opcode.EXIT, (sender, to), reason)


def exit_signal(flags: Flag, sender: Pid, to: Pid, reason: bytes) -> Message:
    """`sender` tells `to` to end with the encoded `reason`."""
    return _exit(flags, Opcode.PAYLOAD_EXIT2, Opcode.EXIT2, (sender, to), reason)


def monitor(sender: Pid, target: Pid | Atom, ref: Reference) -> Message:
    """`sender` monitors `target`."""
    return Message(_control(Opcode.MONITOR_P, sender, target, ref), None)


def demonitor(sender: Pid, target: Pid | Atom, ref: Reference) -> Message:
    """`sender` removes the monitor `ref`."""
    return Message(_control(Opcode.DEMONITOR_P, sender, target, ref), None)


def monitor_exit(flags: Flag, target: Pid | Atom, to: Pid, ref: Reference, reason: bytes) -> Message:
    """The monitored `target` has ended with the encoded `reason`."""
    return _exit(flags, Opcode.PAYLOAD_MONITOR_P_EXIT, Opcode.MONITOR_P_EXIT, (target, to, ref), reason)


def spawn_request(
    ref: Reference,
    sender: Pid,
    group_leader: Pid,
    target: tuple[Atom, Atom, int],
    options: list[Any],
    arguments: bytes,
) -> Message:
    """`sender` requests a process that runs `{Module, Function, Arity}` with the encoded list of `arguments`."""
    return Message(_control(Opcode.SPAWN_REQUEST, ref, sender, group_leader, target, options), arguments)


def spawn_reply(ref: Reference, to: Pid, flags: int, result: Pid | Atom) -> Message:
    """The answer to a spawn request."""
    return Message(_control(Opcode.SPAWN_REPLY, ref, to, flags, result), None)


def _control(opcode: Opcode, *fields: Field) -> bytes:
    return tuple_of(
        _EXT_OF_OPCODE[opcode],
        *[field.ext if isinstance(field, Pid | Reference) else encode_term(field) for field in fields],
    )


def _exit(flags: Flag, opcode: Opcode, old_opcode: Opcode, fields: tuple[Field, ...], reason: bytes) -> Message:
    """An exit with its reason as payload; for a peer that does not know that form, inside the control tuple."""
    if Flag.EXIT_PAYLOAD in flags:
        return Message(_control(opcode, *fields), reason)
    return Message(tuple_of(_EXT_OF_OPCODE[old_opcode], *map(encode_term, fields), reason), None)
