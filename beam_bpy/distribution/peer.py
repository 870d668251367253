"""A connected node, and the monitors between its processes and ours."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from beam_bpy.distribution.load import Load
from beam_bpy.protocol.control_writer import Message
from beam_bpy.protocol.flags import Flag
from vendor_term_codec import Atom, Pid, Reference, encode_term

if TYPE_CHECKING:
    from beam_bpy.distribution.process import Process


class PeerTransport(Protocol):
    """The connection to a peer, as the node sees it. It never blocks, and does nothing once the connection is gone."""

    def send(self, message: Message, sender: Pid | Reference) -> None:
        """Send a message; it arrives behind all messages of the same `sender`. From any thread.

        A call has a reference of its own as `sender`, so that no call waits behind another one.
        """

    def send_framed(self, data: bytes, sender: Pid) -> None:
        """Send messages that have their lengths and headers already; from any thread."""

    def call_deferred(self, callback: Callable[[], object]) -> None:
        """Run `callback` after the next event, or after a millisecond; only on the network thread."""


class IncomingMonitor(NamedTuple):
    """A monitor that a peer's process holds on one of ours."""

    peer: "Peer"
    sender: Pid
    target: Pid | Atom
    ref: Reference


class OutgoingMonitor(NamedTuple):
    """A monitor that one of our processes holds on a peer's; a process that is being spawned has no pid yet."""

    process: "Process"
    target: Pid | Atom | None
    ref: Reference


class Peer:
    """A connected node.

    Args:
        name: its full node name.
        flags: the capabilities that both sides have.
        creation: its incarnation.
        transport: the connection.

    Attributes:
        name_ext: the name, encoded.
        headers: True if both sides send distribution headers and exit reasons as payloads.
        send, send_framed, call_deferred: see `PeerTransport`.
        connected: False once the connection is gone.
        lost_because: why the connection is gone; empty before.
        since: when it connected, in seconds since the epoch.
        calls: the number of calls that have come from it.
        incoming_monitors: our processes that its processes monitor, by the monitor's reference.
        outgoing_monitors: the monitors that our processes hold on its processes, by reference.
        links: pairs of a pid of the peer and a process of ours.
        load: the calls of the peer that wait or run.
    """

    __slots__ = (
        *("call_deferred", "calls", "connected", "creation", "flags", "headers", "incoming_monitors", "links", "load"),
        *("lost_because", "name", "name_ext", "outgoing_monitors", "send", "send_framed", "since"),
    )

    def __init__(self, name: str, flags: Flag, creation: int, transport: PeerTransport) -> None:
        self.name = name
        self.name_ext = encode_term(Atom(name))
        self.flags = flags
        self.headers = Flag.FRAGMENTS in flags and Flag.EXIT_PAYLOAD in flags
        self.creation = creation
        self.send = transport.send
        self.send_framed = transport.send_framed
        self.call_deferred = transport.call_deferred
        self.connected = True
        self.lost_because = ""
        self.since = time.time()
        self.calls = 0
        self.incoming_monitors: dict[bytes, Process] = {}
        self.outgoing_monitors: dict[bytes, OutgoingMonitor] = {}
        self.links: set[tuple[bytes, Process]] = set()
        self.load = Load()
