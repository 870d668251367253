"""The node: its processes, their names, links and monitors, and the routing of control messages.

Chapter "Distribution Protocol", sections "Protocol between Connected Nodes" and "Link Protocol". The node does no I/O:
a connected node is a `Peer` that can be sent to, and a peer's messages arrive at `Node.handle`.

Control messages arrive on the network thread. A process may end on any thread, because a handler does. So one lock
protects the tables; it is held while tables change and messages are sent, never while a handler runs.
"""

import itertools
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from beam_bpy.distribution.peer import IncomingMonitor, OutgoingMonitor, Peer
from beam_bpy.distribution.process import Process, SpawnedProcess
from beam_bpy.logger import log
from beam_bpy.protocol import ProtocolError, control, control_writer, erpc, gen_server
from beam_bpy.protocol.control import SpawnFlag
from beam_bpy.protocol.control_reader import Event
from beam_bpy.protocol.fragments import SIZE
from beam_bpy.protocol.gen_server import GenCall
from vendor_term_codec import Atom, Pid, Reference, encode_term

NOPROC = encode_term(Atom("noproc"))
NOCONNECTION = control.encoded(Atom("noconnection"))

_pack_pid = struct.Struct(">II").pack


def _own(handler: Callable[[Peer, Any], None]) -> Callable[[Peer, Any], None]:
    """Accept signals of the peer's own processes only: a node must not change links and monitors of another one."""

    def checked(peer: Peer, event: Any) -> None:
        if not (event.sender.is_of(peer.name_ext) and getattr(event, "ref", event.sender).is_of(peer.name_ext)):
            raise ProtocolError(f"a {type(event).__name__} message of a process of another node")
        handler(peer, event)

    return checked


class Node:
    """This node.

    Args:
        name: its full name.
        creation: its incarnation, which is part of each of its pids.
        spawn: gets this node, a peer and a spawn request that is no erpc call, on the network thread.
        erpc_call: gets this node, a peer and an erpc call, on the network thread.

    Attributes:
        observers: each is called with a peer, on the network thread, when it has connected and when it is gone.
        itself: the peer that this node is to its own processes; None until the connections have made it.
    """

    def __init__(
        self,
        name: str,
        creation: int,
        spawn: "Callable[[Node, Peer, control.SpawnRequest], None]",
        erpc_call: "Callable[[Node, Peer, erpc.ErpcCall], None]",
    ) -> None:
        self.observers: list[Callable[[Peer], None]] = []
        self.name = Atom(name)
        self.creation = creation
        self.since = time.monotonic()
        self._lock = threading.Lock()
        self._pid_numbers = itertools.count(1)
        first = Pid(name, 0, 0, creation).ext
        self._pid_parts = first[:-12], first[-4:]
        self._ref_numbers = itertools.count(1)
        self._unlink_ids = itertools.count(1)
        self._processes: dict[bytes, Process] = {}
        self._registered: dict[str, Process] = {}
        self._peers: dict[str, Peer] = {}
        self.itself: Peer | None = None
        self._last: SpawnedProcess | None = None
        self._nobody = self.new_pid()
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            control.Send: self._route,
            GenCall: self._route_call,
            control.SpawnRequest: partial(spawn, self),
            erpc.ErpcCall: partial(erpc_call, self),
            control.Monitor: _own(self._monitor),
            control.Demonitor: self._demonitor,
            control.Link: _own(self._link),
            control.Unlink: _own(self._unlink),
            control.LinkExit: _own(self._link_exit),
            control.ExitSignal: self._exit_signal,
            control.MonitorExit: self._monitor_exit,
            control.SpawnReply: self._spawn_reply,
            control.UnlinkAck: self._unlink_ack,
        }

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The connected nodes."""
        with self._lock:
            return tuple(self._peers.values())

    def new_pid(self) -> Pid:
        """A pid that this incarnation has not used."""
        number = next(self._pid_numbers)
        head, creation = self._pid_parts
        return Pid.from_ext(head + _pack_pid(number & 0xFFFFFFFF, number >> 32) + creation)

    def new_ref(self) -> Reference:
        """A reference that this incarnation has not used."""
        number = next(self._ref_numbers)
        # The first word has 18 bits that count (chapter "External Term Format", NEWER_REFERENCE_EXT).
        return Reference(self.name, self.creation, (number & 0x3FFFF, number >> 18 & 0xFFFFFFFF, number >> 50))

    def add(self, process: Process, *names: str) -> None:
        """Add a process, and register it under each of `names`.

        Raises:
            ValueError: a name is registered already.
        """
        with self._lock:
            for name in names:
                if name in self._registered:
                    raise ValueError(f"a process is registered as {name!r} already")
            self._registered.update(dict.fromkeys(names, process))
            self._processes[process.pid.ext] = process

    def peer(self, name: str) -> Peer | None:
        """The connected node of that name, or this one."""
        return self.itself if name == self.name else self._peers.get(name)

    def whereis(self, name: str) -> Pid | None:
        """The pid of the process that is registered under a name."""
        process = self._registered.get(name)
        return process.pid if process is not None else None

    def send(self, process: "Process", to: Pid | Reference, message: bytes) -> bool:
        """Send the encoded `message` of `process` to a pid or an alias; False when its node is not connected."""
        peer = self.peer(to.node)
        if peer is not None:
            peer.send(control_writer.send(peer.flags, process.pid, to, message), process.pid)
        return peer is not None

    def ask_for_a_sign(self, peer: Peer) -> None:
        """Let the net_kernel of a peer answer, as `net_adm:ping` does. That it answers is enough: nobody gets it."""
        request = gen_server.call(self._nobody, self.new_ref(), (Atom("is_auth"), self.name))
        peer.send(control_writer.send(peer.flags, self._nobody, Atom("net_kernel"), request), self._nobody)

    def peer_up(self, peer: Peer) -> None:
        """A node has connected."""
        with self._lock:
            self._peers[peer.name] = peer
        self._tell_observers(peer)

    def peer_down(self, peer: Peer) -> None:
        """A node is gone: remove its monitors; our monitors on it and our links to it fire with `noconnection`."""
        with self._lock:
            peer.connected = False
            if self._peers.get(peer.name) is peer:
                del self._peers[peer.name]
            for ref, process in peer.incoming_monitors.items():
                process.monitored_by.pop(ref, None)
            monitors, links = list(peer.outgoing_monitors.values()), list(peer.links)
            for monitor in monitors:
                monitor.process.monitors.pop(monitor.ref.ext, None)
            peer.incoming_monitors.clear()
            peer.outgoing_monitors.clear()
            peer.links.clear()
            for key, process in links:
                process.links.pop(key, None)
            self._forget_unlinks(peer)
        for key, process in links:
            process.linked_exit(Pid.from_ext(key), NOCONNECTION)
        for monitor in monitors:
            monitor.process.down(monitor, NOCONNECTION)
        self._tell_observers(peer)

    def _forget_unlinks(self, peer: Peer) -> None:
        """Drop the unlink signals that the peer has not acknowledged."""
        for process in self._processes.values():
            for key in [key for key in process.unlinking if Pid.from_ext(key).node == peer.name]:
                del process.unlinking[key]

    def close(self, running: Callable[[], SpawnedProcess | None] = lambda: None) -> None:
        """The node stops: every process ends, without a signal, because all connections are closed.

        Args:
            running: returns the process whose call runs now, which goes on, and whose end is told to its requester.
                By default none runs.
        """
        with self._lock:
            alive = [process for process in self._processes.values() if process.alive]
            for process in alive:
                process.alive = False
            for peer in self._peers.values():
                peer.connected = False
            # Only now: a call that begins later sees that its process is not alive.
            self._last = running()
            if self._last is not None and self._last in alive:
                self._last.alive = True
            self._processes.clear()
            self._registered.clear()

    def _tell_observers(self, peer: Peer) -> None:
        for observer in tuple(self.observers):
            observer(peer)

    def add_spawned(self, process: SpawnedProcess, *, monitored: bool, linked: bool) -> None:
        """Add a process that a peer has requested, and introduce it at once."""
        flags = SpawnFlag(linked * SpawnFlag.LINKED | monitored * SpawnFlag.MONITORED)
        with self._lock:
            if linked:
                self._add_link(process, process.peer, process.requester)
            self._introduce(process, flags)

    def introduce(self, process: SpawnedProcess) -> None:
        """See `SpawnedProcess.introduce`."""
        with self._lock:
            if process.alive and process.peer.connected and not process.introduced:
                self._introduce(process, SpawnFlag.MONITORED)

    def _introduce(self, process: SpawnedProcess, flags: SpawnFlag) -> None:
        process.introduced = True
        self._processes[process.pid.ext] = process
        peer, requester = process.peer, process.requester
        if SpawnFlag.MONITORED in flags:
            self._add_incoming(process, IncomingMonitor(peer, requester, process.pid, process.ref))
        peer.send(control_writer.spawn_reply(process.ref, requester, flags, process.pid), process.pid)

    def handle(self, peer: Peer, event: Event) -> None:
        """Process a control message of `peer`; on the network thread."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(peer, event)
        else:
            log.debug("%s sent a %s message, which this node ignores", peer.name, type(event).__name__)

    def end(self, process: Process, reason: bytes) -> None:
        """See `Process.end`."""
        with self._lock:
            if process.alive:
                self._end(process, reason)

    def end_spawned(self, process: SpawnedProcess, reason: bytes) -> None:
        """See `SpawnedProcess.end`: introduce it together with its end, if its requester does not know it yet."""
        with self._lock:
            if not process.alive:
                return
            if process.introduced or not process.peer.headers or len(reason) > SIZE:
                if not process.introduced and self._reaches(process):
                    self._introduce(process, SpawnFlag.MONITORED)
                self._end(process, reason)
                return
            process.alive = False
            if process.peer.connected or process is self._last:  # As `_reaches`: each erpc call ends here.
                reply = erpc.reply(process.ref, process.requester, process.pid, reason)
                process.peer.send_framed(reply, process.pid)

    def _reaches(self, process: SpawnedProcess) -> bool:
        """True if the requester of a process can be told something."""
        return process.peer.connected or process is self._last

    def _end(self, process: Process, reason: bytes) -> None:
        process.alive = False
        self._processes.pop(process.pid.ext, None)
        for name in [name for name, registered in self._registered.items() if registered is process]:
            del self._registered[name]
        for key, monitor in process.monitored_by.items():
            monitor.peer.incoming_monitors.pop(key, None)
            self._fire(process, monitor, reason)
        for key, (peer, pid) in process.links.items():
            peer.links.discard((key, process))
            peer.send(control_writer.link_exit(peer.flags, process.pid, pid, reason), process.pid)
        process.monitored_by.clear()
        process.links.clear()
        for key, peer in list(process.monitors.items()):
            self._remove_monitor(peer, Reference.from_ext(key))

    def fire_monitor(self, process: Process, ref: Reference, reason: bytes) -> bool:
        """Tell one monitor that the process has ended, although it continues; False when there is no such monitor.

        A gen_server that crashes in a call ends, and all its callers see that. Ours continues, and only the caller of
        that call sees an end.
        """
        with self._lock:
            monitor = process.monitored_by.pop(ref.ext, None)
            if monitor is None:
                return False
            monitor.peer.incoming_monitors.pop(ref.ext, None)
            self._fire(process, monitor, reason)
            return True

    def link(self, process: Process, peer: Peer, pid: Pid) -> None:
        """Link `process` with a peer's process (section "Link Protocol", "A LINK signal is sent")."""
        with self._lock:
            if process.alive and pid.ext not in process.links:
                process.unlinking.pop(pid.ext, None)
                self._add_link(process, peer, pid)
                peer.send(control_writer.link(process.pid, pid), process.pid)

    def unlink(self, process: Process, pid: Pid) -> None:
        """Remove a link (section "Link Protocol", "An UNLINK_ID signal is sent")."""
        with self._lock:
            peer, _pid = process.links.pop(pid.ext, (None, pid))
            if peer is not None:
                peer.links.discard((pid.ext, process))
                id = process.unlinking[pid.ext] = next(self._unlink_ids)
                peer.send(control_writer.unlink(id, process.pid, pid), process.pid)

    def monitor(self, process: Process, peer: Peer, target: Pid | Atom, ref: Reference) -> None:
        """Let `process` monitor a peer's process or registered name; its end calls `Process.down`."""
        with self._lock:
            self._add_outgoing(peer, OutgoingMonitor(process, target, ref))
            peer.send(control_writer.monitor(process.pid, target, ref), process.pid)

    def demonitor(self, peer: Peer, ref: Reference) -> bool:
        """Remove a monitor; False when there is none, because it has fired or never existed."""
        with self._lock:
            return self._remove_monitor(peer, ref)

    @staticmethod
    def _remove_monitor(peer: Peer, ref: Reference) -> bool:
        monitor = peer.outgoing_monitors.pop(ref.ext, None)
        if monitor is None:
            return False
        monitor.process.monitors.pop(ref.ext, None)
        if monitor.target is not None:
            peer.send(control_writer.demonitor(monitor.process.pid, monitor.target, ref), monitor.process.pid)
        return True

    def request_spawn(
        self,
        process: Process,
        peer: Peer,
        ref: Reference,
        group_leader: Pid,
        target: tuple[Atom, Atom, int],
        arguments: bytes,
    ) -> None:
        """Request a process at a peer and monitor it; the results call `Process.spawn_replied` and `Process.down`.

        Args:
            process: the process that requests.
            peer: the peer.
            ref: the id of the request, and the monitor.
            group_leader: the group leader of the new process.
            target: `{Module, Function, Arity}`.
            arguments: the encoded list of arguments.
        """
        with self._lock:
            self._add_outgoing(peer, OutgoingMonitor(process, None, ref))
            peer.send(
                control_writer.spawn_request(ref, process.pid, group_leader, target, erpc.MONITORED, arguments), ref
            )

    def set_spawned(self, peer: Peer, ref: Reference, target: Pid) -> None:
        """A spawn request was answered: its monitor is on the process `target`."""
        with self._lock:
            monitor = peer.outgoing_monitors.get(ref.ext)
            if monitor is not None:
                peer.outgoing_monitors[ref.ext] = monitor._replace(target=target)

    def _add_outgoing(self, peer: Peer, monitor: OutgoingMonitor) -> None:
        peer.outgoing_monitors[monitor.ref.ext] = monitor
        monitor.process.monitors[monitor.ref.ext] = peer

    def _add_incoming(self, process: Process, monitor: IncomingMonitor) -> None:
        before = monitor.peer.incoming_monitors.get(monitor.ref.ext)
        if before is not None:  # The peer has used the reference twice: the second monitor replaces the first.
            before.monitored_by.pop(monitor.ref.ext, None)
        process.monitored_by[monitor.ref.ext] = monitor
        monitor.peer.incoming_monitors[monitor.ref.ext] = process

    def _add_link(self, process: Process, peer: Peer, pid: Pid) -> None:
        process.links[pid.ext] = (peer, pid)
        peer.links.add((pid.ext, process))

    @staticmethod
    def _fire(process: Process, monitor: IncomingMonitor, reason: bytes) -> None:
        peer, sender, target, ref = monitor
        peer.send(control_writer.monitor_exit(peer.flags, target, sender, ref, reason), process.pid)

    def _find(self, target: Any) -> Process | None:
        if isinstance(target, Pid):
            return self._processes.get(target.ext)
        return self._registered.get(target) if isinstance(target, Atom) else None

    def _route(self, peer: Peer, message: control.Send) -> None:
        process = self._find(message.to)
        if process is None:
            log.debug("%s sent a message to %s, which does not exist", peer.name, message.to)
        else:
            process.receive(peer, message)

    def _route_call(self, peer: Peer, call: GenCall) -> None:
        process = self._find(call.message.to)
        if process is None:
            self._route(peer, call.message)
        else:
            process.receive_call(peer, call)

    def _monitor(self, peer: Peer, event: control.Monitor) -> None:
        with self._lock:
            process = self._find(event.target)
            if process is None:
                message = control_writer.monitor_exit(peer.flags, event.target, event.sender, event.ref, NOPROC)
                peer.send(message, self._nobody)
            else:
                self._add_incoming(process, IncomingMonitor(peer, event.sender, event.target, event.ref))

    def _demonitor(self, peer: Peer, event: control.Demonitor) -> None:
        with self._lock:
            process = peer.incoming_monitors.pop(event.ref.ext, None)
            if process is not None:
                process.monitored_by.pop(event.ref.ext, None)

    def _link(self, peer: Peer, event: control.Link) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is None:
                peer.send(control_writer.link_exit(peer.flags, event.to, event.sender, NOPROC), event.to)
            elif event.sender.ext not in process.unlinking:
                # A link that crosses our unlink is ignored: the peer will see the unlink after it.
                self._add_link(process, peer, event.sender)

    def _unlink(self, peer: Peer, event: control.Unlink) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is not None:
                self._remove_link(process, peer, event.sender)
            if event.id is not None:
                peer.send(control_writer.unlink_ack(event.id, event.to, event.sender), event.to)

    def _unlink_ack(self, _peer: Peer, event: control.UnlinkAck) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is not None and process.unlinking.get(event.sender.ext) == event.id:
                del process.unlinking[event.sender.ext]

    def _link_exit(self, peer: Peer, event: control.LinkExit) -> None:
        with self._lock:
            process = self._find(event.to)
            linked = process is not None and self._remove_link(process, peer, event.sender)
        if process is not None and linked:
            process.linked_exit(event.sender, event.reason)

    def _exit_signal(self, _peer: Peer, event: control.ExitSignal) -> None:
        process = self._find(event.to)
        if process is not None:
            process.exit_signal(event.sender, event.reason)

    def _monitor_exit(self, peer: Peer, event: control.MonitorExit) -> None:
        with self._lock:
            monitor = peer.outgoing_monitors.pop(event.ref.ext, None)
            if monitor is not None:
                monitor.process.monitors.pop(event.ref.ext, None)
        if monitor is not None:
            monitor.process.down(monitor, event.reason)

    def _spawn_reply(self, _peer: Peer, event: control.SpawnReply) -> None:
        process = self._find(event.to)
        if process is not None:
            process.spawn_replied(event)

    @staticmethod
    def _remove_link(process: Process, peer: Peer, pid: Pid) -> bool:
        peer.links.discard((pid.ext, process))
        return process.links.pop(pid.ext, None) is not None
