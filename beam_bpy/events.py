"""Events: what this program tells every BEAM process that has subscribed to a topic.

A subscriber gets `{beam_bpy_event, Node, Topic, Payload}`. It is monitored, and forgotten when it ends or its node is
gone.
"""

import threading
from typing import Any

from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.node import Node, Peer, Process, Watching
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from vendor_term_codec import Atom, Pid, Reference, encode_term


class Events(Process):
    """The process that events come from.

    Args:
        node: our node.
        encoder: turns what is published into terms.
    """

    __slots__ = ("_encoder", "_head", "_lock", "_monitors", "_topics")

    def __init__(self, node: Node, encoder: ErlangVariantEncoder) -> None:
        super().__init__(node)
        self._encoder = encoder
        self._head = bytes((104, 4)) + encode_term(Atom("beam_bpy_event")) + encode_term(node.name)
        self._lock = threading.Lock()
        self._topics: dict[str, dict[bytes, tuple[Pid, Peer]]] = {}
        self._monitors: dict[bytes, tuple[Peer, Reference]] = {}

    def subscribe(self, topic: str, pid: Pid) -> None:
        """Send `pid` what is published under `topic` from now on; once, however often it asks.

        Raises:
            ValueError: its node is not connected.
        """
        peer = self.node.peer(pid.node)
        if peer is None:
            raise ValueError(f"the node of {pid} is not connected")
        with self._lock:
            self._topics.setdefault(topic, {})[pid.ext] = (pid, peer)
            if pid.ext in self._monitors:
                return
            ref = self.node.new_ref()
            self._monitors[pid.ext] = (peer, ref)
        self.node.watch(self, peer, pid, ref)

    def unsubscribe(self, topic: str, pid: Pid) -> None:
        """Send it no more of that topic."""
        with self._lock:
            self._forget(topic, pid)
            if any(pid.ext in subscribers for subscribers in self._topics.values()):
                return
            peer, ref = self._monitors.pop(pid.ext, (None, None))
        if peer is not None and ref is not None:
            self.node.unwatch(peer, ref)

    def count(self, topic: str) -> int:
        """How many processes have subscribed to `topic`."""
        return len(self._topics.get(topic, ()))

    def publish(self, topic: str, payload: Any) -> int:
        """Send `payload` to all who have subscribed; from any thread. Returns how many they are.

        Raises:
            EncodeError: it has no term.
        """
        with self._lock:
            subscribers = tuple(self._topics.get(topic, {}).values())
        if subscribers:
            message = self._head + encode_term(str(topic)) + self._encoder.encode_term(payload)
            for pid, peer in subscribers:
                peer.send(control.send(peer.flags, self.pid, pid, message), self.pid)
        return len(subscribers)

    def linked_exit(self, sender: Pid, reason: Payload) -> None:
        """It lives as long as its node: without it no end of a subscriber would be seen."""

    def exit_signal(self, sender: Pid, reason: Payload) -> None:
        """See `linked_exit`."""

    def down(self, watching: Watching, reason: Payload) -> None:
        """A subscriber has ended."""
        if isinstance(watching.target, Pid):
            with self._lock:
                self._monitors.pop(watching.target.ext, None)
                for topic in tuple(self._topics):
                    self._forget(topic, watching.target)

    def _forget(self, topic: str, pid: Pid) -> None:
        subscribers = self._topics.get(topic, {})
        subscribers.pop(pid.ext, None)
        if not subscribers:
            self._topics.pop(topic, None)
