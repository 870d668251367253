"""Python processes: objects with a pid, and perhaps a name, which BEAM processes send to, monitor and link.

A process has a callback instead of a receive loop. The callback gets one message at a time, on the thread that runs
handlers: the messages that a BEAM process would find in its mailbox, `{'DOWN', Ref, process, Object, Reason}` for its
monitors and, if it traps exits, `{'EXIT', Pid, Reason}`.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.checks import check_destination, check_pid
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.load import Load
from beam_bpy.distribution.node import NOCONNECTION, Node
from beam_bpy.distribution.peer import OutgoingMonitor, Peer
from beam_bpy.distribution.process import Process
from beam_bpy.failures import Failure, Kind, failure_of, python_error, shortened
from beam_bpy.logger import log
from beam_bpy.processes.client import Client
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.gen_server import reply_alias
from vendor_term_codec import Atom, DecodeError, EncodeError, Pid, Reference, encode_term, tuple_of

_DOWN = Atom("DOWN")
_EXIT = Atom("EXIT")
_PROCESS = Atom("process")
_NORMAL = Atom("normal")

Destination = Pid | tuple[str, str]
"""A process of another node: its pid, or `(registered name, node)`."""


class BeamProcess(Process):
    """A process whose messages a Python function gets; see `BeamServer.register_process`.

    Args:
        node: our node.
        connections: the connections of the node.
        client: sends its messages.
        submit: runs an object on the thread that runs handlers.
        callback: called as `callback(process, message)`. When it raises, the process ends with that reason.
        trap_exit: True turns exit signals into messages.
    """

    __slots__ = ("_callback", "_client", "_connections", "_linking", "_monitored", "_submit", "trap_exit")

    node: Node

    def __init__(
        self,
        node: Node,
        connections: Connections,
        client: Client,
        submit: Callable[[Runnable], None],
        callback: "Callable[[BeamProcess, Any], object]",
        *,
        trap_exit: bool,
    ) -> None:
        super().__init__(node)
        self._connections = connections
        self._client = client
        self._submit = submit
        self._callback = callback
        self._linking: set[bytes] = set()
        self._monitored: dict[bytes, Destination] = {}
        self.trap_exit = trap_exit

    def __repr__(self) -> str:
        return f"<BeamProcess {self.pid}>"

    def send(self, to: Destination | Reference, term: Any) -> None:
        """Send a message from this process; see `BeamServer.send`."""
        self._client.send(to, term, self)

    def reply(self, caller: tuple[Pid, Any], value: Any) -> None:
        """Answer a gen_server call, which arrives as `("$gen_call", caller, request)`."""
        pid, tag = caller
        ref, is_alias = reply_alias(tag)
        to = ref if is_alias and ref is not None else pid
        self._client.send_encoded(to, tuple_of(encode_term(tag), self._client.encoder.encode_term(value)), self)

    def monitor(self, target: Destination) -> Reference:
        """Monitor a process of another node; its end arrives as `("DOWN", ref, "process", object, reason)`."""
        check_destination(target, reference=False)
        ref = self.node.new_ref()
        plain = Atom(target[0]) if isinstance(target, tuple) else target
        self._monitored[ref.ext] = target
        self._connections.with_peer(
            _node_of(target),
            lambda peer: self.node.monitor(self, peer, plain, ref) if ref.ext in self._monitored else None,
            lambda _sentence: self.down(OutgoingMonitor(self, plain, ref), NOCONNECTION),
        )
        return ref

    def demonitor(self, ref: Reference) -> bool:
        """Remove a monitor; False when it has fired already."""
        target = self._monitored.pop(ref.ext, None)
        peer = self.node.peer(_node_of(target)) if target is not None else None
        if peer is not None:
            self.node.demonitor(peer, ref)
        return target is not None

    def link(self, pid: Pid) -> None:
        """Link this process with one of another node: when one ends abnormally, the other does too."""
        check_pid(pid)
        self._linking.add(pid.ext)

        def connected(peer: Peer) -> None:
            self._linking.discard(pid.ext)
            self.node.link(self, peer, pid)

        def failed(_sentence: str) -> None:
            if pid.ext in self._linking:
                self._linking.discard(pid.ext)
                self.linked_exit(pid, NOCONNECTION)

        self._connections.with_peer(str(pid.node), connected, failed)

    def unlink(self, pid: Pid) -> None:
        """Remove a link."""
        check_pid(pid)
        if pid.ext in self._linking:  # The connection is pending: link and unlink are sent in this order.
            self._linking.discard(pid.ext)
            self._connections.with_peer(
                str(pid.node), lambda _peer: self.node.unlink(self, pid), lambda _sentence: None
            )
        else:
            self.node.unlink(self, pid)

    def exit(self, reason: Any = _NORMAL) -> None:
        """End; its monitors and linked processes get `reason`."""
        self.end(self._client.encoder.encode_term(reason))

    def receive(self, peer: Peer, message: control.Send) -> None:
        """See `Process`."""
        try:
            self._deliver(message.payload.decode(), peer.load)
        except DecodeError as error:
            log.warning("%s sent %s a message that cannot be decoded: %s", peer.name, self.pid, error)

    def down(self, monitor: OutgoingMonitor, reason: Payload) -> None:
        """See `Process`."""
        target = self._monitored.pop(monitor.ref.ext, None)
        if target is not None:
            self._deliver((_DOWN, monitor.ref, _PROCESS, _object(target), reason.decode()))

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """See `Process`."""
        if self.trap_exit:
            self._deliver((_EXIT, sender, reason.decode()))
        else:
            super().linked_exit(sender, reason)

    def _deliver(self, message: Any, load: Load | None = None) -> None:
        self._submit(_Delivery(self, message, load))

    def handle(self, message: Any) -> None:
        """Give a message to the callback; on the thread that runs handlers."""
        if not self.alive:
            return
        try:
            self._callback(self, message)
        except BaseException as error:  # noqa: BLE001 - the exception ends this process, not the thread
            failure = failure_of(error, [], self._client.encoder)
            if failure.kind is not Kind.EXIT:
                log.warning("process %s ends: %s", self.pid, shortened(failure.reason))
            self.end(_encoded_end(failure))


class _Delivery(Runnable):
    """A message for a process, in the queue. It counts as work of the node that has sent it."""

    def __init__(self, process: BeamProcess, message: Any, load: Load | None) -> None:
        self._process = process
        self._message = message
        self.load = load  # None for a signal of this node itself.

    def run(self) -> bool:
        """See `Runnable`."""
        self._process.handle(self._message)
        return False


def _encoded_end(failure: Failure) -> bytes:
    """The exit reason of a process whose callback has failed."""
    try:
        return encode_term(failure.exit_reason)
    except EncodeError as error:  # The tuple around the reason makes it deeper than a term may be.
        return encode_term(python_error(error))


def _node_of(target: Destination) -> str:
    return str(target[1]) if isinstance(target, tuple) else str(target.node)


def _object(target: Destination) -> Pid | tuple[Atom, Atom]:
    return (Atom(target[0]), Atom(target[1])) if isinstance(target, tuple) else target
