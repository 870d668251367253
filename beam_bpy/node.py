"""The node: its processes, their names, links and monitors, and where each control message goes.

Chapter "Distribution Protocol", sections "Protocol between Connected Nodes" and "Link Protocol". The node does no
I/O: a connected node is a `Peer` with a `send`, and what it sends arrives at `Node.handle`.

Control messages arrive on the network thread; a process may end on any thread, because a handler does. The tables
are therefore kept under one lock, which is held for table work and for sending, never while a handler runs.
"""

import itertools
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from beam_bpy.limits import Load
from beam_bpy.logs import log
from beam_bpy.protocol import ProtocolError, control
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.erpc import ErpcCall, ErpcReply
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import SIZE as LARGE
from beam_bpy.protocol.gen import GenCall
from beam_bpy.protocol.quick import QuickEvent
from vendor_term_codec import Atom, Pid, Reference, encode_term

_pack_pid = struct.Struct(">II").pack

NOPROC = encode_term(Atom("noproc"))
NOCONNECTION = control.encoded(Atom("noconnection"))
KILLED = encode_term(Atom("killed"))


class Peer:
    """A connected node.

    Attributes:
        name: its full node name.
        name_ext: the same, encoded.
        flags: the capabilities that both sides have.
        creation: its incarnation.
        send: hands a message to the connection, and whose it is: a pid, or for a call the reference that it has to
            itself, so that no call waits behind another. It never blocks, and does nothing once the connection is gone.
        tell_soon: has `CalledProcess.tell` called within a millisecond; only on the network thread.
        connected: False from the moment the connection is gone.
        since: when it connected, in seconds since the epoch.
        calls: how many calls have come from it.
        watches: the processes here that processes there monitor, by the monitor's reference.
        watching: the monitors that processes here hold on processes there, by reference.
        links: pairs of a pid there and a process here.
        load: the calls of it that wait or run.
    """

    __slots__ = (
        *("calls", "connected", "creation", "flags", "links", "load", "name", "name_ext", "send", "since"),
        *("tell_soon", "watches", "watching"),
    )

    def __init__(
        self,
        name: str,
        flags: Flag,
        creation: int,
        send: Callable[[control.Message | ErpcReply, Pid | Reference], None],
        tell_soon: "Callable[[CalledProcess], None] | None" = None,
    ) -> None:
        self.name = name
        self.name_ext = encode_term(Atom(name))
        self.flags = flags
        self.creation = creation
        self.send = send
        self.tell_soon = tell_soon or CalledProcess.tell
        self.connected = True
        self.since = time.time()
        self.calls = 0
        self.watches: dict[bytes, Process] = {}
        self.watching: dict[bytes, Watching] = {}
        self.links: set[tuple[bytes, Process]] = set()
        self.load = Load()


class Watch(NamedTuple):
    """A monitor that a peer's process holds on one of ours."""

    peer: Peer
    watcher: Pid
    target: Pid | Atom
    ref: Reference


class Watching(NamedTuple):
    """A monitor that one of our processes holds on a peer's; a process that is being spawned has no pid yet."""

    process: "Process"
    target: Pid | Atom | None
    ref: Reference


class Process:
    """Something on this node that has a pid. What it does with messages is the subclass's business.

    Attributes:
        pid: its process identifier.
        alive: False once it has ended.
        watches: the monitors on it, by the reference's encoding.
        links: the peer of each linked process, by the encoding of that process's pid.
        watching: the peers on which it holds monitors, by the reference's encoding.
        unlinking: the ids of unlink signals that have not been answered, by the encoding of the other's pid.
    """

    __slots__ = ("alive", "links", "node", "pid", "unlinking", "watches", "watching")

    def __init__(self, node: "Node") -> None:
        self.node = node
        self.pid = node.new_pid()
        self.alive = True
        self.watches: dict[bytes, Watch] = {}
        self.links: dict[bytes, tuple[Peer, Pid]] = {}
        self.unlinking: dict[bytes, int] = {}
        self.watching: dict[bytes, Peer] = {}

    def receive(self, peer: Peer, message: control.Send) -> None:
        """A message for this process; called on the network thread. The default drops it."""

    def called(self, peer: Peer, call: GenCall) -> None:
        """A gen_server call for this process; called on the network thread. To the default it is a message."""
        self.receive(peer, call.message)

    def spawned(self, reply: control.SpawnReply) -> None:
        """The answer to a spawn request of this process; called on the network thread. The default drops it."""

    def down(self, watching: Watching, reason: Payload) -> None:
        """What this process monitors has ended; called on the network thread. The default drops it."""

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """A linked process has ended, and so does this one; called on the network thread.

        "Receiving Exit Signals" in the reference manual: `normal` is ignored.
        """
        term = reason.decode()
        if not (isinstance(term, Atom) and term == "normal"):
            self.end(encode_term(term))

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """`exit/2` elsewhere tells this process to end; called on the network thread.

        "Receiving Exit Signals" in the reference manual: `kill` cannot be trapped, and becomes `killed`.
        """
        term = reason.decode()
        if isinstance(term, Atom) and term == "kill":
            self.end(KILLED)
        else:
            self.linked_exit(sender, reason)

    def watched(self, ref: bytes) -> bool:
        """Whether there is a monitor on it, by the reference's encoding."""
        return ref in self.watches

    def lasts(self) -> None:
        """What it was made for is not done at once; called on the network thread. The default need not know."""

    def end(self, reason: bytes) -> None:
        """End with the encoded `reason` and tell all that are linked to it or monitor it; from any thread."""
        self.node.end(self, reason)


class CalledProcess(Process):
    """The process of an `erpc:call`, monitored by the caller, who waits for its end, which is the answer.

    The caller needs to know of it only should that take a while, because it cannot take its monitor back before. So it
    is told of a process that ends soon with the answer; and as nobody else knows of such a process, no table has it.

    Args:
        node: our node.
        peer: where the caller is.
        call: the call.

    Attributes:
        told: whether the caller knows of it.
    """

    __slots__ = ("call", "peer", "told")

    def __init__(self, node: "Node", peer: Peer, call: ErpcCall) -> None:
        super().__init__(node)
        self.peer = peer
        self.call = call
        self.told = False

    def watched(self, ref: bytes) -> bool:
        """See `Process.watched`."""
        return ref in self.watches if self.told else self.peer.connected

    def lasts(self) -> None:
        """See `Process.lasts`."""
        self.peer.tell_soon(self)

    def tell(self) -> None:
        """Tell the caller of it, unless it knows; from any thread."""
        self.node.tell(self)

    def end(self, reason: bytes) -> None:
        """See `Process.end`."""
        self.node.end_called(self, reason)


def _own(handler: Callable[[Peer, Any], None]) -> Callable[[Peer, Any], None]:
    """Take signals of the peer's own processes only: no node sets or undoes the links and monitors of another one."""

    def checked(peer: Peer, event: Any) -> None:
        if not (event.sender.is_of(peer.name_ext) and getattr(event, "ref", event.sender).is_of(peer.name_ext)):
            raise ProtocolError(f"a {type(event).__name__} message of a process of another node")
        handler(peer, event)

    return checked


class Node:
    """This node.

    Args:
        name: its full name.
        creation: its incarnation, which is part of each pid that it makes.
        spawn: called with this node, a peer and a spawn request, on the network thread.
        erpc: called with this node, a peer and a spawn request that is an `erpc:call`, likewise.

    Attributes:
        observers: each is called with a peer, on the network thread, when it has connected and when it is gone.
        itself: the peer that this node is to its own processes; None until the cluster has made it.
    """

    def __init__(
        self,
        name: str,
        creation: int,
        spawn: "Callable[[Node, Peer, control.SpawnRequest], None]",
        erpc: "Callable[[Node, Peer, ErpcCall], None]",
    ) -> None:
        self.observers: list[Callable[[Peer], None]] = []
        self.name = Atom(name)
        self.creation = creation
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
        self._nobody = self.new_pid()
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            control.Send: self._route,
            GenCall: self._route_call,
            control.SpawnRequest: partial(spawn, self),
            ErpcCall: partial(erpc, self),
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

    def add(self, process: Process, name: str | None = None) -> None:
        """Make a process known, and register it under `name` if there is one.

        Raises:
            ValueError: the name is registered already.
        """
        with self._lock:
            if name is not None:
                if name in self._registered:
                    raise ValueError(f"a process is registered as {name!r} already")
                self._registered[name] = process
            self._processes[process.pid.ext] = process

    def peer(self, name: str) -> Peer | None:
        """The connected node of that name, or this one."""
        return self.itself if name == self.name else self._peers.get(name)

    def send(self, process: "Process", to: Pid | Reference, message: bytes) -> bool:
        """Send the encoded `message` of `process` to a pid or an alias; False when its node is not connected."""
        peer = self.peer(to.node)
        if peer is not None:
            peer.send(control.send(peer.flags, process.pid, to, message), process.pid)
        return peer is not None

    def peer_up(self, peer: Peer) -> None:
        """A node has connected."""
        with self._lock:
            self._peers[peer.name] = peer
        self._tell_observers(peer)

    def peer_down(self, peer: Peer) -> None:
        """A node is gone: its monitors are dropped, ours on it and links to it end with `noconnection`."""
        with self._lock:
            peer.connected = False
            if self._peers.get(peer.name) is peer:
                del self._peers[peer.name]
            for ref, process in peer.watches.items():
                process.watches.pop(ref, None)
            watching, links = list(peer.watching.values()), list(peer.links)
            for entry in watching:
                entry.process.watching.pop(entry.ref.ext, None)
            peer.watches.clear()
            peer.watching.clear()
            peer.links.clear()
            for key, process in links:
                process.links.pop(key, None)
            self._forget_unlinks(peer)
        for key, process in links:
            process.linked_exit(Pid.from_ext(key), NOCONNECTION)
        for entry in watching:
            entry.process.down(entry, NOCONNECTION)
        self._tell_observers(peer)

    def _forget_unlinks(self, peer: Peer) -> None:
        """What the peer has not acknowledged it never will."""
        for process in self._processes.values():
            for key in [key for key in process.unlinking if Pid.from_ext(key).node == peer.name]:
                del process.unlinking[key]

    def close(self) -> None:
        """The node stops: every process has ended, and nobody is left to be told."""
        with self._lock:
            for peer in self._peers.values():
                peer.connected = False
            for process in self._processes.values():
                process.alive = False
            self._processes.clear()
            self._registered.clear()

    def _tell_observers(self, peer: Peer) -> None:
        for observer in tuple(self.observers):
            observer(peer)

    def spawned(self, peer: Peer, sender: Pid, ref: Reference, *, monitored: bool, linked: bool) -> Process:
        """A process that `sender` has asked for with the request `ref`; it is told of it.

        At once, and not with the answer: a caller that gives up can only take back a monitor that it knows of.
        """
        process = Process(self)
        flags = linked * control.SPAWN_LINKED | monitored * control.SPAWN_MONITORED
        with self._lock:
            self._processes[process.pid.ext] = process
            if monitored:
                self._add_watch(process, Watch(peer, sender, process.pid, ref))
            if linked:
                self._add_link(process, peer, sender)
            peer.send(control.spawn_reply(ref, sender, flags, process.pid), process.pid)
        return process

    def tell(self, process: CalledProcess) -> None:
        """See `CalledProcess.tell`."""
        peer, call, pid = process.peer, process.call, process.pid
        with self._lock:
            if process.alive and peer.connected and not process.told:
                process.told = True
                self._processes[pid.ext] = process
                self._add_watch(process, Watch(peer, call.sender, pid, call.ref))
                self._reply_to_spawn(process)

    @staticmethod
    def _reply_to_spawn(process: CalledProcess) -> None:
        call, pid = process.call, process.pid
        process.peer.send(control.spawn_reply(call.ref, call.sender, control.SPAWN_MONITORED, pid), pid)

    def handle(self, peer: Peer, event: control.Event | QuickEvent) -> None:
        """Do what a control message of `peer` asks for; on the network thread."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(peer, event)
        else:
            log.debug("%s sent a %s, which this node has no use for", peer.name, type(event).__name__)

    def end(self, process: Process, reason: bytes) -> None:
        """See `Process.end`."""
        with self._lock:
            if process.alive:
                self._end(process, reason)

    def end_called(self, process: CalledProcess, reason: bytes) -> None:
        """See `CalledProcess.end`."""
        with self._lock:
            if not process.alive:
                return
            if process.told:
                self._end(process, reason)
                return
            process.alive = False
            if process.peer.connected:
                self._answer(process, reason)

    def _answer(self, process: CalledProcess, reason: bytes) -> None:
        """Tell the caller of a process and of its end, in one if that is not too long."""
        peer, call, pid = process.peer, process.call, process.pid
        if len(reason) <= LARGE:
            peer.send(ErpcReply(call, pid, reason), pid)
        else:
            self._reply_to_spawn(process)
            peer.send(control.monitor_exit(peer.flags, pid, call.sender, call.ref, reason), pid)

    def _end(self, process: Process, reason: bytes) -> None:
        process.alive = False
        self._processes.pop(process.pid.ext, None)
        for name in [name for name, registered in self._registered.items() if registered is process]:
            del self._registered[name]
        for key, watch in process.watches.items():
            watch.peer.watches.pop(key, None)
            self._tell_watcher(process, watch, reason)
        for key, (peer, pid) in process.links.items():
            peer.links.discard((key, process))
            peer.send(control.link_exit(peer.flags, process.pid, pid, reason), process.pid)
        process.watches.clear()
        process.links.clear()
        self._end_watching(process)

    def _end_watching(self, process: Process) -> None:
        for key, peer in list(process.watching.items()):
            self._unwatch(peer, Reference.from_ext(key))

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
            self._tell_watcher(process, watch, reason)
            return True

    def link(self, process: Process, peer: Peer, pid: Pid) -> None:
        """Link `process` with a peer's process (section "Link Protocol", "A LINK signal is sent")."""
        with self._lock:
            if process.alive and pid.ext not in process.links:
                process.unlinking.pop(pid.ext, None)
                self._add_link(process, peer, pid)
                peer.send(control.link(process.pid, pid), process.pid)

    def unlink(self, process: Process, pid: Pid) -> None:
        """Take a link back (section "Link Protocol", "An UNLINK_ID signal is sent")."""
        with self._lock:
            peer, _pid = process.links.pop(pid.ext, (None, pid))
            if peer is not None:
                peer.links.discard((pid.ext, process))
                id = process.unlinking[pid.ext] = next(self._unlink_ids)
                peer.send(control.unlink(id, process.pid, pid), process.pid)

    def watch(self, process: Process, peer: Peer, target: Pid | Atom, ref: Reference) -> None:
        """Let `process` monitor a peer's process or registered name; `Process.down` is told."""
        with self._lock:
            self._track(peer, Watching(process, target, ref))
            peer.send(control.monitor(process.pid, target, ref), process.pid)

    def unwatch(self, peer: Peer, ref: Reference) -> bool:
        """Take a monitor back; False when there is none, because it has fired or never was."""
        with self._lock:
            return self._unwatch(peer, ref)

    @staticmethod
    def _unwatch(peer: Peer, ref: Reference) -> bool:
        entry = peer.watching.pop(ref.ext, None)
        if entry is None:
            return False
        entry.process.watching.pop(ref.ext, None)
        if entry.target is not None:
            peer.send(control.demonitor(entry.process.pid, entry.target, ref), entry.process.pid)
        return True

    def request_spawn(
        self, process: Process, peer: Peer, ref: Reference, target: tuple[Atom, Atom, int], arguments: bytes
    ) -> None:
        """Spawn a process at a peer and monitor it; `Process.spawned` and `Process.down` are told.

        `target` is `{Module, Function, Arity}`, `arguments` the encoded list.
        """
        with self._lock:
            self._track(peer, Watching(process, None, ref))
            peer.send(control.spawn_request(ref, process.pid, target, [Atom("monitor")], arguments), ref)

    def retarget(self, peer: Peer, ref: Reference, target: Pid) -> None:
        """A spawn request was answered: what its monitor is on is known now."""
        with self._lock:
            entry = peer.watching.get(ref.ext)
            if entry is not None:
                peer.watching[ref.ext] = entry._replace(target=target)

    def _track(self, peer: Peer, entry: Watching) -> None:
        peer.watching[entry.ref.ext] = entry
        entry.process.watching[entry.ref.ext] = peer

    def _add_watch(self, process: Process, watch: Watch) -> None:
        before = watch.peer.watches.get(watch.ref.ext)
        if before is not None:  # A node that uses a reference twice must not leave the first monitor behind.
            before.watches.pop(watch.ref.ext, None)
        process.watches[watch.ref.ext] = watch
        watch.peer.watches[watch.ref.ext] = process

    def _add_link(self, process: Process, peer: Peer, pid: Pid) -> None:
        process.links[pid.ext] = (peer, pid)
        peer.links.add((pid.ext, process))

    @staticmethod
    def _tell_watcher(process: Process, watch: Watch, reason: bytes) -> None:
        peer = watch.peer
        peer.send(control.monitor_exit(peer.flags, watch.target, watch.watcher, watch.ref, reason), process.pid)

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
            process.called(peer, call)

    def _monitor(self, peer: Peer, event: control.Monitor) -> None:
        with self._lock:
            process = self._find(event.target)
            if process is None:
                message = control.monitor_exit(peer.flags, event.target, event.sender, event.ref, NOPROC)
                peer.send(message, self._nobody)
            else:
                self._add_watch(process, Watch(peer, event.sender, event.target, event.ref))

    def _demonitor(self, peer: Peer, event: control.Demonitor) -> None:
        with self._lock:
            process = peer.watches.pop(event.ref.ext, None)
            if process is not None:
                process.watches.pop(event.ref.ext, None)

    def _link(self, peer: Peer, event: control.Link) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is None:
                peer.send(control.link_exit(peer.flags, event.to, event.sender, NOPROC), event.to)
            elif event.sender.ext not in process.unlinking:
                # A link that crosses our unlink is ignored: the peer will see the unlink after it.
                self._add_link(process, peer, event.sender)

    def _unlink(self, peer: Peer, event: control.Unlink) -> None:
        with self._lock:
            process = self._find(event.to)
            if process is not None:
                self._remove_link(process, peer, event.sender)
            if event.id is not None:
                peer.send(control.unlink_ack(event.id, event.to, event.sender), event.to)

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
            entry = peer.watching.pop(event.ref.ext, None)
            if entry is not None:
                entry.process.watching.pop(event.ref.ext, None)
        if entry is not None:
            entry.process.down(entry, event.reason)

    def _spawn_reply(self, _peer: Peer, event: control.SpawnReply) -> None:
        process = self._find(event.to)
        if process is not None:
            process.spawned(event)

    @staticmethod
    def _remove_link(process: Process, peer: Peer, pid: Pid) -> bool:
        peer.links.discard((pid.ext, process))
        return process.links.pop(pid.ext, None) is not None
