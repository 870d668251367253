"""Calls from Python to other nodes: the convention of `erpc:call` (`protocol.erpc`), from the caller's side."""

import concurrent.futures
import contextlib
import threading
from dataclasses import dataclass
from typing import Any

from beam_bpy.checks import check_arguments, check_binaries, check_destination, check_name, check_node_name
from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import OutgoingMonitor, Peer
from beam_bpy.distribution.process import PermanentProcess, Process
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow, NodeDownError, NodeNameError
from beam_bpy.futures import CallFuture, set_error, set_result
from beam_bpy.module_names import full_module
from beam_bpy.protocol import control, control_writer, erpc, gen_server
from beam_bpy.protocol.control import BinaryType, Payload
from vendor_term_codec import Atom, DecodeError, Pid, Reference, list_of


@dataclass(slots=True)
class _Pending:
    """A call that has no answer yet.

    Attributes:
        result: the reference that the answer holds.
        ref: the monitor, and the id of the spawn request.
        peer: the node that runs the call, once it has been sent.
    """

    node_name: str
    future: "concurrent.futures.Future[Any]"
    result: Reference
    ref: Reference
    binaries: BinaryType
    arrays: bool
    peer: Peer | None = None


class Client(PermanentProcess):
    """The process that makes all calls from Python.

    Args:
        node: our node.
        connections: the connections of the node.
        encoder: turns arguments into terms.

    Attributes:
        group_leader: the group leader of the processes that its calls start; itself until the server sets another.
    """

    __slots__ = ("_connections", "_lock", "_pending", "_pings", "encoder", "group_leader")

    node: Node

    def __init__(self, node: Node, connections: Connections, encoder: ErlangVariantEncoder) -> None:
        super().__init__(node)
        self._connections = connections
        self.encoder = encoder
        self.group_leader = self.pid
        self._lock = threading.Lock()
        self._pending: dict[bytes, _Pending] = {}
        self._pings: dict[bytes, concurrent.futures.Future[bool]] = {}

    def call(
        self, node_name: str, module: str, function: str, args: list[Any] | None, *, binaries: BinaryType, arrays: bool
    ) -> CallFuture[Any]:
        """See `BeamServer.call_async`."""
        check_node_name(node_name)
        check_binaries(binaries)
        target = _target(module, function)
        encoded = self._encoded_arguments(args)
        result, ref = self.node.new_ref(), self.node.new_ref()
        future: CallFuture[Any] = CallFuture()
        pending = _Pending(node_name, future, result, ref, binaries, arrays)
        request = erpc.call_arguments(result, *target, encoded)
        with self._lock:
            self._pending[ref.ext] = pending
        future.add_done_callback(lambda _future: self._forget(pending))

        def send(peer: Peer) -> None:
            if not future.done():
                pending.peer = peer
                self.node.request_spawn(self, peer, ref, self.group_leader, erpc.EXECUTE_CALL, request)

        self._connections.with_peer(node_name, send, lambda sentence: set_error(future, NodeDownError(sentence)))
        return future

    def cast(self, node_name: str, module: str, function: str, args: list[Any] | None) -> None:
        """See `BeamServer.cast`."""
        check_node_name(node_name)
        request = erpc.cast_arguments(*_target(module, function), self._encoded_arguments(args))
        ref = self.node.new_ref()
        message = control_writer.spawn_request(ref, self.pid, self.group_leader, erpc.EXECUTE_CAST, [], request)
        self._connections.with_peer(node_name, lambda peer: peer.send(message, ref), lambda _sentence: None)

    def send(self, to: "Pid | Reference | tuple[str, str]", term: Any, sender: Process | None = None) -> None:
        """See `BeamServer.send`."""
        check_destination(to)
        self.send_encoded(to, self.encoder.encode_term(term), sender or self)

    def send_encoded(self, to: "Pid | Reference | tuple[str, str]", message: bytes, sender: Process) -> None:
        """Send an encoded term to a process of another node."""
        source = sender.pid
        node_name, target = (str(to[1]), Atom(to[0])) if isinstance(to, tuple) else (str(to.node), to)
        self._connections.with_peer(
            node_name,
            lambda peer: peer.send(control_writer.send(peer.flags, source, target, message), source),
            lambda _sentence: None,
        )

    def ping(self, node_name: str) -> "concurrent.futures.Future[bool]":
        """True if a node answers the gen_server call `{is_auth, Node}` to its net_kernel, as `net_adm:ping` asks it."""
        with contextlib.suppress(NodeNameError):  # No such node can be reached: the answer is False.
            check_node_name(node_name)
        ref = self.node.new_ref()
        future: concurrent.futures.Future[bool] = concurrent.futures.Future()
        request = gen_server.call(self.pid, ref, (Atom("is_auth"), self.node.name))
        self._pings[ref.ext] = future
        future.add_done_callback(lambda _future: self._pings.pop(ref.ext, None))

        def send(peer: Peer) -> None:
            peer.send(control_writer.send(peer.flags, self.pid, Atom("net_kernel"), request), self.pid)

        self._connections.with_peer(node_name, send, lambda _sentence: set_result(future, False))
        return future

    def receive(self, peer: Peer, message: control.Send) -> None:
        """The answer to a ping: `{Ref, yes}`."""
        match message.payload.decode():
            case (Reference() as ref, answer):
                future = self._pings.get(ref.ext)
                if future is not None:
                    set_result(future, answer == "yes")

    def spawn_replied(self, reply: control.SpawnReply) -> None:
        """The other node has spawned the process of a call, or refused to."""
        with self._lock:
            pending = self._pending.get(reply.ref.ext)
        if isinstance(reply.result, Pid):
            self._spawned(reply.ref, reply.result, pending)
        elif pending is not None:
            set_error(pending.future, ErlangError(reply.result))

    def down(self, monitor: OutgoingMonitor, reason: Payload) -> None:
        """A call has ended."""
        with self._lock:
            pending = self._pending.get(monitor.ref.ext)
        if pending is None:
            return
        try:
            _settle(pending, reason.decode(binaries=pending.binaries, arrays=pending.arrays))
        except DecodeError as error:
            set_error(pending.future, error)

    def close(self) -> None:
        """Fail every call that has no answer: the node stops."""
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            set_error(pending.future, NodeDownError("this node has stopped"))
        for ping in list(self._pings.values()):
            set_result(ping, False)

    def _encoded_arguments(self, args: list[Any] | None) -> bytes:
        """The list of arguments of a call, which stays a list even if the encoder has a converter for lists."""
        return list_of(*map(self.encoder.encode_term, check_arguments(args)))

    def _spawned(self, ref: Reference, process: Pid, pending: _Pending | None) -> None:
        peer = self.node.peer(str(process.node))
        if peer is None:
            return
        if pending is None:
            # The caller has given up before the pid was known, so the monitor is removed only now.
            peer.send(control_writer.demonitor(self.pid, process, ref), self.pid)
        else:
            self.node.set_spawned(peer, ref, process)

    def _forget(self, pending: _Pending) -> None:
        with self._lock:
            self._pending.pop(pending.ref.ext, None)
        if pending.peer is not None:
            self.node.demonitor(pending.peer, pending.ref)


def _target(module: str, function: str) -> tuple[Atom, str]:
    """The module and the function that a call names.

    Raises:
        TypeError: one of them is not a str.
        ValueError: one of them cannot be a name.
    """
    check_name(module, "a module")
    full = full_module(module)
    check_name(full, "a module")
    return full, check_name(function, "a function")


def _settle(pending: _Pending, reason: Any) -> None:
    outcome = erpc.outcome_in(reason, pending.result)
    if outcome is None:
        broke = reason == "noconnection"
        why = f": {pending.peer.lost_because}" if pending.peer is not None and pending.peer.lost_because else ""
        sentence = f"the connection to {pending.node_name} broke during the call{why}"
        set_error(pending.future, NodeDownError(sentence) if broke else ErlangExit(reason))
    elif outcome.kind == "return":
        set_result(pending.future, outcome.value)
    else:
        set_error(pending.future, _FAILURES[outcome.kind](outcome.value, outcome.stack))


_FAILURES = {"error": ErlangError, "exit": ErlangExit, "throw": ErlangThrow}
