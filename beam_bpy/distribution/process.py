"""Processes of this node: objects that have a pid.

"Receiving Exit Signals" and "Links" in the chapter "Processes" of the Erlang reference manual.
"""

from typing import Protocol

from beam_bpy.distribution.peer import IncomingMonitor, OutgoingMonitor, Peer
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.gen_server import GenCall
from vendor_term_codec import Atom, Pid, Reference, encode_term

KILLED = encode_term(Atom("killed"))


class ProcessOwner(Protocol):
    """The node, as its processes see it."""

    def new_pid(self) -> Pid:
        """A pid that this incarnation has not used."""

    def end(self, process: "Process", reason: bytes) -> None:
        """See `Process.end`."""

    def introduce(self, process: "SpawnedProcess") -> None:
        """See `SpawnedProcess.introduce`."""

    def end_spawned(self, process: "SpawnedProcess", reason: bytes) -> None:
        """See `Process.end`."""


class Process:
    """An object of this node that has a pid. Subclasses decide what it does with messages.

    Attributes:
        node: the node.
        pid: its process identifier.
        alive: False once it has ended.
        monitored_by: the monitors on it, by the encoding of their references.
        monitors: the peers on which it holds monitors, by the encoding of the references.
        links: the peer and the pid of each linked process, by the encoding of the pid.
        unlinking: the ids of unlink signals without acknowledgement, by the encoding of the other pid.
    """

    __slots__ = ("alive", "links", "monitored_by", "monitors", "node", "pid", "unlinking")

    def __init__(self, node: ProcessOwner) -> None:
        self.node = node
        self.pid = node.new_pid()
        self.alive = True
        self.monitored_by: dict[bytes, IncomingMonitor] = {}
        self.monitors: dict[bytes, Peer] = {}
        self.links: dict[bytes, tuple[Peer, Pid]] = {}
        self.unlinking: dict[bytes, int] = {}

    # -- signals, on the network thread

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message for this process; dropped by default."""

    def receive_call(self, peer: Peer, call: GenCall) -> None:
        """A gen_server call for this process; by default a message like any other."""
        self.receive(peer, call.message)

    def spawn_replied(self, reply: control.SpawnReply) -> None:
        """The answer to a spawn request of this process; dropped by default."""

    def down(self, monitor: OutgoingMonitor, reason: Payload) -> None:
        """A process that this one monitors has ended; ignored by default."""

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """A linked process has ended: this one ends too, unless the reason is `normal`."""
        term = reason.decode()
        if not (isinstance(term, Atom) and term == "normal"):
            self.end(encode_term(term))

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """`exit/2` elsewhere tells this process to end. `kill` cannot be trapped, and becomes `killed`."""
        term = reason.decode()
        if isinstance(term, Atom) and term == "kill":
            self.end(KILLED)
        else:
            self.linked_exit(sender, reason)

    # -- from any thread

    def is_monitored(self, ref: bytes) -> bool:
        """True if the monitor with this encoded reference is on it."""
        return ref in self.monitored_by

    def end(self, reason: bytes) -> None:
        """End with the encoded `reason`; all linked processes and all monitors are told."""
        self.node.end(self, reason)


class PermanentProcess(Process):
    """A process that lives as long as its node: no exit signal ends it."""

    __slots__ = ()

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """Ignored."""

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """Ignored."""


class SpawnedProcess(Process):
    """A process that a peer has requested and monitors: the process of an erpc call.

    Its requester needs to know the pid only if the process lives for a while, because before that it cannot remove its
    monitor. So a process that ends soon is introduced together with its end; until then no table holds it.

    Without this late introduction, erpc calls run at 0.63 (inline, 64 callers) to 0.78 (inline, one caller) of the
    rate (docs/bench/without.md).

    Args:
        node: the node.
        peer: the peer.
        ref: the id of the spawn request, which is the requester's monitor.
        requester: the pid of the requester.

    Attributes:
        introduced: True once the requester knows the pid.
    """

    __slots__ = ("introduced", "peer", "ref", "requester")

    def __init__(self, node: ProcessOwner, peer: Peer, ref: Reference, requester: Pid) -> None:
        super().__init__(node)
        self.peer = peer
        self.ref = ref
        self.requester = requester
        self.introduced = False

    def is_monitored(self, ref: bytes) -> bool:
        """See `Process.is_monitored`."""
        return ref in self.monitored_by if self.introduced else self.peer.connected

    def introduce(self) -> None:
        """Tell the requester the pid, unless it knows it or the process has ended; from any thread."""
        if self.alive:
            self.node.introduce(self)

    def end(self, reason: bytes) -> None:
        """See `Process.end`."""
        self.node.end_spawned(self, reason)
