"""Calls from Python to other nodes.

A call is what `erpc:call` is on the BEAM: a spawn request for erpc:execute_call/4, monitored; the spawned process ends
with `{Ref, return, Value}`, or with the class and reason of what went wrong (lib/kernel, erpc.erl).
"""

import concurrent.futures
import threading
from dataclasses import dataclass
from typing import Any

from beam_bpy.cluster import Cluster
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow, NodeDownError
from beam_bpy.futures import set_error, set_result
from beam_bpy.node import Node, Peer, Process, Watching
from beam_bpy.protocol import control
from beam_bpy.protocol.control import BinaryType, Payload
from vendor_term_codec import Atom, DecodeError, Pid, Reference, encode_term

_EXECUTE_CALL = (Atom("erpc"), Atom("execute_call"), 4)
_EXECUTE_CAST = (Atom("erpc"), Atom("execute_cast"), 3)
_LIST_OF_3 = bytes((108, 0, 0, 0, 3))
_LIST_OF_4 = bytes((108, 0, 0, 0, 4))
_NIL = bytes((106,))


@dataclass(slots=True)
class _Pending:
    """A call that has no answer yet.

    Attributes:
        result: the reference in the answer.
        ref: the monitor, and the id of the spawn request.
        peer: where the call runs, once it has been sent.
    """

    node_name: str
    future: "concurrent.futures.Future[Any]"
    result: Reference
    ref: Reference
    binaries: BinaryType
    arrays: bool
    peer: Peer | None = None


class Client(Process):
    """The process that all calls from Python come from.

    Args:
        node: our node.
        cluster: makes the connections.
        encoder: turns arguments into terms.
    """

    __slots__ = ("_cluster", "_lock", "_pending", "_pings", "encoder")

    def __init__(self, node: Node, cluster: Cluster, encoder: ErlangVariantEncoder) -> None:
        super().__init__(node)
        self._cluster = cluster
        self.encoder = encoder
        self._lock = threading.Lock()
        self._pending: dict[bytes, _Pending] = {}
        self._pings: dict[bytes, concurrent.futures.Future[bool]] = {}

    def call(
        self, node_name: str, module: str, function: str, args: list[Any], *, binaries: BinaryType, arrays: bool
    ) -> "concurrent.futures.Future[Any]":
        """See `BeamServer.call_async`."""
        result, ref = self.node.new_ref(), self.node.new_ref()
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        pending = _Pending(node_name, future, result, ref, binaries, arrays)
        request = _LIST_OF_4 + result.ext + self._mfa(module, function, args) + _NIL
        with self._lock:
            self._pending[ref.ext] = pending
        future.add_done_callback(lambda _future: self._forget(pending))

        def send(peer: Peer) -> None:
            if not future.done():
                pending.peer = peer
                self.node.request_spawn(self, peer, ref, _EXECUTE_CALL, request)

        self._cluster.with_peer(node_name, send, lambda sentence: set_error(future, NodeDownError(sentence)))
        return future

    def cast(self, node_name: str, module: str, function: str, args: list[Any]) -> None:
        """See `BeamServer.cast`."""
        request = _LIST_OF_3 + self._mfa(module, function, args) + _NIL
        ref = self.node.new_ref()
        message = control.spawn_request(ref, self.pid, _EXECUTE_CAST, [], request)
        self._cluster.with_peer(node_name, lambda peer: peer.send(message, ref), lambda _sentence: None)

    def send(self, to: "Pid | Reference | tuple[str, str]", term: Any, sender: Process | None = None) -> None:
        """See `BeamServer.send`."""
        message = self.encoder.encode_term(term)
        source = (sender or self).pid
        node_name, target = (str(to[1]), Atom(to[0])) if isinstance(to, tuple) else (str(to.node), to)
        self._cluster.with_peer(
            node_name,
            lambda peer: peer.send(control.send(peer.flags, source, target, message), source),
            lambda _sentence: None,
        )

    def ping(self, node_name: str) -> "concurrent.futures.Future[bool]":
        """Whether a node answers as `net_adm:ping` asks it: a gen_server call `{is_auth, Node}` to its net_kernel."""
        ref = self.node.new_ref()
        future: concurrent.futures.Future[bool] = concurrent.futures.Future()
        request = (Atom("$gen_call"), (self.pid, ref), (Atom("is_auth"), self.node.name))
        self._pings[ref.ext] = future
        future.add_done_callback(lambda _future: self._pings.pop(ref.ext, None))

        def send(peer: Peer) -> None:
            peer.send(control.send(peer.flags, self.pid, Atom("net_kernel"), encode_term(request)), self.pid)

        self._cluster.with_peer(node_name, send, lambda _sentence: set_result(future, False))
        return future

    def receive(self, peer: Peer, message: control.Send) -> None:
        """The answer to a ping: `{Ref, yes}`."""
        match message.payload.decode():
            case (Reference() as ref, answer):
                future = self._pings.get(ref.ext)
                if future is not None:
                    set_result(future, answer == "yes")

    def spawned(self, reply: control.SpawnReply) -> None:
        """The node that was called has begun, or cannot."""
        with self._lock:
            pending = self._pending.get(reply.ref.ext)
        if isinstance(reply.result, Pid):
            self._begun(reply.ref, reply.result, pending)
        elif pending is not None:
            set_error(pending.future, ErlangError(reply.result))

    def down(self, watching: Watching, reason: Payload) -> None:
        """A call has ended."""
        with self._lock:
            pending = self._pending.get(watching.ref.ext)
        if pending is None:
            return
        try:
            _settle(pending, reason.decode(binaries=pending.binaries, arrays=pending.arrays))
        except DecodeError as error:
            set_error(pending.future, error)

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """Nothing ends this process but the end of the node."""

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """See `linked_exit`."""

    def close(self) -> None:
        """Fail every call that has no answer: the node stops."""
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            set_error(pending.future, NodeDownError("this node has stopped"))
        for ping in list(self._pings.values()):
            set_result(ping, False)

    def _mfa(self, module: str, function: str, args: list[Any]) -> bytes:
        return encode_term(Atom(module)) + encode_term(Atom(function)) + self.encoder.encode_term(args)

    def _begun(self, ref: Reference, process: Pid, pending: _Pending | None) -> None:
        peer = self.node.peer(str(process.node))
        if peer is None:
            return
        if pending is None:
            # Its caller has given up in the meantime, and could not take back what it did not know of.
            peer.send(control.demonitor(self.pid, process, ref), self.pid)
        else:
            self.node.retarget(peer, ref, process)

    def _forget(self, pending: _Pending) -> None:
        with self._lock:
            self._pending.pop(pending.ref.ext, None)
        if pending.peer is not None:
            self.node.unwatch(pending.peer, pending.ref)


def _settle(pending: _Pending, reason: Any) -> None:
    match reason:
        case (ref, "return", value) if ref == pending.result:
            set_result(pending.future, value)
        case (ref, "throw", value) if ref == pending.result:
            set_error(pending.future, ErlangThrow(value))
        case (ref, "exit", why) if ref == pending.result:
            set_error(pending.future, ErlangExit(why))
        case (ref, "error", why, stack) if ref == pending.result:
            set_error(pending.future, ErlangError(why, stack))
        case (ref, "error", why) if ref == pending.result:
            set_error(pending.future, ErlangError(why))
        case "noconnection":
            set_error(pending.future, NodeDownError(f"the connection to {pending.node_name} broke during the call"))
        case other:
            set_error(pending.future, ErlangExit(other))
