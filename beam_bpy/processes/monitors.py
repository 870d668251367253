"""Monitors that a program holds without a process of its own: `BeamServer.monitor`."""

from collections.abc import Callable
from typing import Any

from beam_bpy.checks import check_callable, check_destination, check_node_name
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.connections import Connections
from beam_bpy.distribution.node import NOCONNECTION, Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.logger import log
from beam_bpy.processes.beam_process import BeamProcess, Destination
from vendor_term_codec import Reference


class Monitors:
    """The monitors of one server.

    Args:
        node: our node.
        connections: the connections of the node.
        submit: runs an object on the thread that runs handlers.
        new_process: makes a process with a callback.
    """

    def __init__(
        self,
        node: Node,
        connections: Connections,
        submit: Callable[[Runnable], None],
        new_process: "Callable[[Callable[[BeamProcess, Any], object]], BeamProcess]",
    ) -> None:
        self._node = node
        self._connections = connections
        self._submit = submit
        self._new_process = new_process
        self._processes: dict[bytes, BeamProcess] = {}
        self._nodes: dict[bytes, tuple[str, Callable[[Any], object]]] = {}
        node.observers.append(self._peer_changed)

    def add(self, target: Destination | str, callback: Callable[[Any], object]) -> Reference:
        """See `BeamServer.monitor`."""
        check_callable(callback, "the callback of a monitor")
        if isinstance(target, str):
            check_node_name(target)
        else:
            check_destination(target, reference=False)
        return self._add_node(target, callback) if isinstance(target, str) else self._add_process(target, callback)

    def remove(self, ref: Reference) -> bool:
        """See `BeamServer.demonitor`."""
        if not isinstance(ref, Reference):
            raise TypeError(f"a monitor is the reference that monitor has returned, not {ref!r}")
        process = self._processes.pop(ref.ext, None)
        if process is not None:
            process.demonitor(ref)
            process.exit()
        return process is not None or self._nodes.pop(ref.ext, None) is not None

    def _add_process(self, target: Destination, callback: Callable[[Any], object]) -> Reference:
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
        self._connections.with_peer(name, lambda _peer: None, lambda _sentence: self._node_down(name))
        return ref

    def _peer_changed(self, peer: Peer) -> None:
        if not peer.connected:
            self._node_down(peer.name)

    def _node_down(self, name: str) -> None:
        for key, (monitored, callback) in list(self._nodes.items()):
            if monitored == name and self._nodes.pop(key, None) is not None:
                self._submit(_Notice(callback, NOCONNECTION.decode()))


class _Notice(Runnable):
    """The callback of a monitor, in the queue."""

    def __init__(self, callback: Callable[[Any], object], reason: Any) -> None:
        self._callback = callback
        self._reason = reason

    def run(self) -> bool:
        """See `Runnable`."""
        try:
            self._callback(self._reason)
        except BaseException:
            log.exception("the callback of a monitor failed")
        return False
