"""The node: its processes, their names, links and monitors, and where each control message goes.

Chapter "Distribution Protocol", sections "Protocol between Connected Nodes" and "Link Protocol". The node does no
I/O: a connected node is a `Peer` with a `send`, and what it sends arrives at `Node.handle`.

Control messages arrive on the network thread; a process may end on any thread, because a handler does. The tables
are therefore kept under one lock, which is held for table work and for sending, never while a handler runs.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from beam_bpy.protocol import control
from beam_bpy.protocol.flags import Flag
from vendor_term_codec import Atom, Pid, Reference, encode_term

log = logging.getLogger("beam_bpy")

NOPROC = encode_term(Atom("noproc"))
NOCONNECTION = Atom("noconnection")
NORMAL = Atom("normal")


class Peer:
    """A connected node.

    Attributes:
        name: its full node name.
        flags: the capabilities that both sides have.
        creation: its incarnation.
        send: hands a frame to the connection; never blocks, and does nothing once the connection is gone.
        connected: False from the moment the connection is gone.
    """

    __slots__ = ("connected", "creation", "flags", "links", "name", "send", "watches")

    def __init__(self, name: str, flags: Flag, creation: int, send: Callable[[bytes], None]) -> None:
        self.name = name
        self.flags = flags
        self.creation = creation
        self.send = send
        self.connected = True
        self.watches: dict[bytes, Process] = {}
        self.links: set[tuple[bytes, Process]] = set()


class Watch(NamedTuple):
    """A monitor that a peer's process holds on one of ours."""

    peer: Peer
    watcher: Pid
    target: Pid | Atom
    ref: Reference


class Process:
    """Something on this node that has a pid. What it does with messages is the subclass's business.

    Attributes:
        pid: its process identifier.
        alive: False once it has ended.
        watches: the monitors on it, by the reference's encoding.
        links: the peer of each linked process, by the encoding of that process's pid.
    """

    __slots__ = ("alive", "links", "node", "pid", "watches")

    traps_exit = False
    """Whether it outlives exit signals, as a BEAM process that traps exits does."""

    def __init__(self, node: "Node") -> None:
        self.node = node
        self.pid = node.new_pid()
        self.alive = True
        self.watches: dict[bytes, Watch] = {}
        self.links: dict[bytes, tuple[Peer, Pid]] = {}

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message for this process; called on the network thread. The default drops it."""

    def exit(self, reason: bytes) -> None:
        """End with the encoded `reason` and tell all that are linked to it or monitor it; from any thread."""
        self.node.end(self, reason)


class Node:
    """This node.

    Args:
        name: its full name.
        creation: its incarnation, which is part of each pid that it makes.
        spawn: called with a peer and a spawn request, on the network thread.
    """

    def __init__(self, name: str, creation: int, spawn: Callable[[Peer, control.SpawnRequest], None]) -> None:
        self.name = Atom(name)
        self.creation = creation
        self._spawn = spawn
        self._lock = threading.Lock()
        self._pid_numbers = itertools.count(1)
        self._processes: dict[bytes, Process] = {}
        self._registered: dict[str, Process] = {}
        self._peers: dict[str, Peer] = {}
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            control.Send: self._route,
            control.SpawnRequest: self._spawn,
            control.Monitor: self._monitor,
            control.Demonitor: self._demonitor,
            control.Link: self._link,
            control.Unlink: self._unlink,
            control.LinkExit: self._link_exit,
            control.ExitSignal: self._exit_signal,
        }

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The connected nodes."""
        with self._lock:
            return tuple(self._peers.values())

    def new_pid(self) -> Pid:
        """A pid that this incarnation has not used."""
        number = next(self._pid_numbers)
        return Pid(self.name, number & 0xFFFFFFFF, number >> 32, self.creation)

    def add(self, process: Process, name: str | None = None) -> None:
        """Make a process known, and register it under `name` if there is one."""
        with self._lock:
            self._processes[process.pid.ext] = process
            if name is not None:
                self._registered[name] = process

    def peer(self, name: str) -> Peer | None:
        """The connected node of that name."""
        return self._peers.get(name)

    def peer_up(self, peer: Peer) -> None:
        """A node has connected."""
        with self._lock:
            self._peers[peer.name] = peer

    def peer_down(self, peer: Peer) -> None:
        """A node is gone: its monitors are dropped, and what was linked to it gets `noconnection`."""
        with self._lock:
            peer.connected = False
            if self._peers.get(peer.name) is peer:
                del self._peers[peer.name]
            for ref, process in peer.watches.items():
                process.watches.pop(ref, None)
            links = list(peer.links)
            peer.watches.clear()
            peer.links.clear()
            for pid, process in links:
                process.links.pop(pid, None)
        for _pid, process in links:
            self._signal_exit(process, NOCONNECTION)

    def handle(self, peer: Peer, event: control.Event) -> None:
        """Do what a control message of `peer` asks for; on the network thread."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(peer, event)
        else:
            log.debug("%s sent a %s, which this node has no use for", peer.name, type(event).__name__)

    def end(self, process: Process, reason: bytes) -> None:
        """See `Process.exit`."""
        with self._lock:
            if not process.alive:
                return
            process.alive = False
            self._processes.pop(process.pid.ext, None)
            for key, watch in process.watches.items():
                watch.peer.watches.pop(key, None)
                self._tell_watcher(watch, reason)
            for key, (peer, pid) in process.links.items():
                peer.links.discard((key, process))
                peer.send(control.link_exit(peer.flags, process.pid, pid, reason))
            process.watches.clear()
            process.links.clear()

    def end_watch(self, process: Process, ref: Reference, reason: bytes) -> bool:
        """Tell one monitor of a process that goes on living that it has ended; False when there is no such monitor.

        A gen_server that fails over one call ends, and its callers see that. Ours goes on, and only that caller
        sees an end.
        """
        with self._lock:
            watch = process.watches.pop(ref.ext, None)
            if watch is None:
                return False
            watch.peer.watches.pop(ref.ext, None)
            self._tell_watcher(watch, reason)
            return True

    def add_watch(self, process: Process, watch: Watch) -> None:
        """Let `watch` be told when `process` ends."""
        with self._lock:
            self._add_watch(process, watch)

    def add_link(self, process: Process, peer: Peer, pid: Pid) -> None:
        """Link `process` with a peer's process."""
        with self._lock:
            self._add_link(process, peer, pid)

    def _add_watch(self, process: Process, watch: Watch) -> None:
        process.watches[watch.ref.ext] = watch
        watch.peer.watches[watch.ref.ext] = process

    def _add_link(self, process: Process, peer: Peer, pid: Pid) -> None:
        process.links[pid.ext] = (peer, pid)
        peer.links.add((pid.ext, process))

    @staticmethod
    def _tell_watcher(watch: Watch, reason: bytes) -> None:
        peer = watch.peer
        peer.send(control.monitor_exit(peer.flags, watch.target, watch.watcher, watch.ref, reason))

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

    def _monitor(self, peer: Peer, event: control.Monitor) -> None:
        watch = Watch(peer, event.sender, event.target, event.ref)
        with self._lock:
            process = self._find(event.target)
            if process is None:
                self._tell_watcher(watch, NOPROC)
            else:
                self._add_watch(process, watch)

    def _demonitor(self, peer: Peer, event: control.Demonitor) -> None:
        with self._lock:
            process = peer.watches.pop(event.ref.ext, None)
            if process is not None:
                process.watches.pop(event.ref.ext, None)

    def _link(self, peer: Peer, event: control.Link) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is None:
                peer.send(control.link_exit(peer.flags, event.to, event.sender, NOPROC))
            else:
                self._add_link(process, peer, event.sender)

    def _unlink(self, peer: Peer, event: control.Unlink) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is not None:
                self._remove_link(process, peer, event.sender)
            if event.id is not None:
                peer.send(control.unlink_ack(event.id, event.to, event.sender))

    def _link_exit(self, peer: Peer, event: control.LinkExit) -> None:
        with self._lock:
            process = self._find(event.to)
            linked = process is not None and self._remove_link(process, peer, event.sender)
        if process is not None and linked:
            self._signal_exit(process, event.reason)

    def _exit_signal(self, _peer: Peer, event: control.ExitSignal) -> None:
        process = self._find(event.to)
        if process is not None:
            self._signal_exit(process, event.reason)

    @staticmethod
    def _remove_link(process: Process, peer: Peer, pid: Pid) -> bool:
        peer.links.discard((pid.ext, process))
        return process.links.pop(pid.ext, None) is not None

    @staticmethod
    def _signal_exit(process: Process, reason: Any) -> None:
        # "Receiving Exit Signals" in the reference manual: `normal` is ignored, `kill` becomes `killed`.
        if process.traps_exit or reason == NORMAL:
            return
        process.exit(encode_term(Atom("killed") if reason == "kill" and isinstance(reason, Atom) else reason))
