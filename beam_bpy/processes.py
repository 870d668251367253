"""Python processes: something with a pid and perhaps a name, which BEAM processes can send to, monitor and link.

A process has a callback instead of a receive loop: it is called with each message, where handlers run, one message at
a time. It gets what a BEAM process would find in its mailbox: messages, `{'DOWN', Ref, process, Object, Reason}`
for its monitors and, if it traps exits, `{'EXIT', Pid, Reason}`.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.client import Client
from beam_bpy.cluster import Cluster
from beam_bpy.dispatch import Runnable
from beam_bpy.failures import Kind, failure_of, shortened
from beam_bpy.limits import Load
from beam_bpy.logs import log
from beam_bpy.node import NOCONNECTION, Node, Peer, Process, Watching
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from beam_bpy.requests import monitor_of
from vendor_term_codec import Atom, DecodeError, Pid, Reference, encode_term

_DOWN = Atom("DOWN")
_EXIT = Atom("EXIT")
_PROCESS = Atom("process")
_NORMAL = Atom("normal")

Target = Pid | tuple[str, str]
"""A process elsewhere: its pid, or `(registered name, node)`."""


class BeamProcess(Process):
    """A process whose messages a Python function gets. `BeamServer.register_process` makes them.

    Args:
        node: our node.
        cluster: makes the connections.
        client: sends.
        submit: runs something where handlers run.
        callback: called as `callback(process, message)`. When it raises, the process ends with that reason.
        trap_exit: True turns exit signals into messages.
    """

    __slots__ = ("_callback", "_client", "_cluster", "_linking", "_monitored", "_submit", "trap_exit")

    def __init__(
        self,
        node: Node,
        cluster: Cluster,
        client: Client,
        submit: Callable[[Runnable], None],
        callback: "Callable[[BeamProcess, Any], object]",
        *,
        trap_exit: bool,
    ) -> None:
        super().__init__(node)
        self._cluster = cluster
        self._client = client
        self._submit = submit
        self._callback = callback
        self._linking: set[bytes] = set()
        self._monitored: dict[bytes, Target] = {}
        self.trap_exit = trap_exit

    def __repr__(self) -> str:
        return f"<BeamProcess {self.pid}>"

    def send(self, to: Target | Reference, term: Any) -> None:
        """Send a message from this process; see `BeamServer.send`."""
        self._client.send(to, term, self)

    def reply(self, caller: tuple[Pid, Any], value: Any) -> None:
        """Answer a gen_server call, which arrives as `("$gen_call", caller, request)`."""
        pid, tag = caller
        ref, is_alias = monitor_of(tag)
        self.send(ref if is_alias and ref is not None else pid, (tag, value))

    def monitor(self, target: Target) -> Reference:
        """Monitor a process elsewhere; its end arrives as `("DOWN", ref, "process", object, reason)`."""
        ref = self.node.new_ref()
        plain = Atom(target[0]) if isinstance(target, tuple) else target
        self._monitored[ref.ext] = target
        self._cluster.with_peer(
            _node_of(target),
            lambda peer: self.node.watch(self, peer, plain, ref) if ref.ext in self._monitored else None,
            lambda _sentence: self.down(Watching(self, plain, ref), NOCONNECTION),
        )
        return ref

    def demonitor(self, ref: Reference) -> bool:
        """Take a monitor back; False when it has fired already."""
        target = self._monitored.pop(ref.ext, None)
        peer = self.node.peer(_node_of(target)) if target is not None else None
        if peer is not None:
            self.node.unwatch(peer, ref)
        return target is not None

    def link(self, pid: Pid) -> None:
        """Link this process with one elsewhere: when one ends abnormally, so does the other."""
        self._linking.add(pid.ext)

        def connected(peer: Peer) -> None:
            self._linking.discard(pid.ext)
            self.node.link(self, peer, pid)

        def failed(_sentence: str) -> None:
            if pid.ext in self._linking:
                self._linking.discard(pid.ext)
                self.linked_exit(pid, NOCONNECTION)

        self._cluster.with_peer(str(pid.node), connected, failed)

    def unlink(self, pid: Pid) -> None:
        """Take a link back."""
        if pid.ext in self._linking:  # There is no connection yet; what is said first arrives first.
            self._linking.discard(pid.ext)
            self._cluster.with_peer(str(pid.node), lambda _peer: self.node.unlink(self, pid), lambda _sentence: None)
        else:
            self.node.unlink(self, pid)

    def exit(self, reason: Any = _NORMAL) -> None:
        """End; whoever monitors it or is linked to it gets `reason`."""
        self.end(self._client.encoder.encode_term(reason))

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message has come; on the network thread."""
        try:
            self._deliver(message.payload.decode(), peer.load)
        except DecodeError as error:
            log.warning("%s sent %s a message that cannot be decoded: %s", peer.name, self.pid, error)

    def down(self, watching: Watching, reason: Payload) -> None:
        """What it monitors has ended; on the network thread."""
        target = self._monitored.pop(watching.ref.ext, None)
        if target is not None:
            self._deliver((_DOWN, watching.ref, _PROCESS, _object(target), reason.decode()))

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """See `Process.linked_exit`; on the network thread."""
        if self.trap_exit:
            self._deliver((_EXIT, sender, reason.decode()))
        else:
            super().linked_exit(sender, reason)

    def _deliver(self, message: Any, load: Load | None = None) -> None:
        self._submit(_Delivery(self, message, load))

    def handle(self, message: Any) -> None:
        """Give the callback a message; where handlers run."""
        if not self.alive:
            return
        try:
            self._callback(self, message)
        except BaseException as error:  # noqa: BLE001 - it ends this process, never the thread it runs on
            failure = failure_of(error, [], self._client.encoder)
            if failure.kind is not Kind.EXIT:
                log.warning("process %s ends: %s", self.pid, shortened(failure.reason))
            self.end(encode_term(failure.exit_reason))


class _Delivery(Runnable):
    """A message on its way to a process; it is the work of the node that has sent it."""

    def __init__(self, process: BeamProcess, message: Any, load: Load | None) -> None:
        self._process = process
        self._message = message
        self.load = load  # None for what this node itself has to say.

    def run(self) -> bool:
        """Deliver it."""
        self._process.handle(self._message)
        return False


def _node_of(target: Target) -> str:
    return str(target[1]) if isinstance(target, tuple) else str(target.node)


def _object(target: Target) -> Pid | tuple[Atom, Atom]:
    return (Atom(target[0]), Atom(target[1])) if isinstance(target, tuple) else target


class Monitors:
    """The monitors that a program sets without a process of its own.

    Args:
        node: our node.
        cluster: makes the connections.
        submit: runs something where handlers run.
        new_process: makes a process with a callback.
    """

    def __init__(
        self,
        node: Node,
        cluster: Cluster,
        submit: Callable[[Runnable], None],
        new_process: "Callable[[Callable[[BeamProcess, Any], object]], BeamProcess]",
    ) -> None:
        self._node = node
        self._cluster = cluster
        self._submit = submit
        self._new_process = new_process
        self._processes: dict[bytes, BeamProcess] = {}
        self._nodes: dict[bytes, tuple[str, Callable[[Any], object]]] = {}
        node.observers.append(self._peer_changed)

    def add(self, target: Target | str, callback: Callable[[Any], object]) -> Reference:
        """See `BeamServer.monitor`."""
        return self._add_node(target, callback) if isinstance(target, str) else self._add_process(target, callback)

    def remove(self, ref: Reference) -> bool:
        """See `BeamServer.demonitor`."""
        process = self._processes.pop(ref.ext, None)
        if process is not None:
            process.demonitor(ref)
            process.exit()
        return process is not None or self._nodes.pop(ref.ext, None) is not None

    def _add_process(self, target: Target, callback: Callable[[Any], object]) -> Reference:
        def down(process: BeamProcess, message: Any) -> None:
            ref, reason = message[1], message[4]
            self._processes.pop(ref.ext, None)
            process.exit()
            callback(reason)

        process = self._new_process(down)
        ref = process.monitor(target)
        self._processes[ref.ext] = process
        return ref

    def _add_node(self, name: str, callback: Callable[[Any], object]) -> Reference:
        ref = self._node.new_ref()
        self._nodes[ref.ext] = (name, callback)
        self._cluster.with_peer(name, lambda _peer: None, lambda _sentence: self._node_down(name))
        return ref

    def _peer_changed(self, peer: Peer) -> None:
        if not peer.connected:
            self._node_down(peer.name)

    def _node_down(self, name: str) -> None:
        for key, (watched, callback) in list(self._nodes.items()):
            if watched == name and self._nodes.pop(key, None) is not None:
                self._submit(_Notice(callback, NOCONNECTION.decode()))


class _Notice(Runnable):
    """A callback on its way to where handlers run."""

    def __init__(self, callback: Callable[[Any], object], reason: Any) -> None:
        self._callback = callback
        self._reason = reason

    def run(self) -> bool:
        """Call it."""
        try:
            self._callback(self._reason)
        except BaseException:
            log.exception("the callback of a monitor failed")
        return False
