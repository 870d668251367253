"""Events: what this program tells every BEAM process that has subscribed to a topic.

A subscriber gets `{beam_bpy_event, Node, Topic, Payload}`. It is monitored, and forgotten when it ends or its node is
gone. While its node does not read what it is sent (`Limits.max_unsent`) it misses events, so that no publisher waits,
and no memory is filled; when there is room again it is told how many: `{beam_bpy_events_missed, Node, Topic, Count}`.
"""

import threading
from dataclasses import dataclass
from typing import Any

from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.node import Node, Peer, Process, Watching
from beam_bpy.protocol import control
from beam_bpy.protocol.control import Payload
from vendor_term_codec import Atom, Pid, Reference, encode_term


@dataclass
class _Gap:
    """Events of one topic that a subscriber misses, as there is no room for them."""

    topic: str
    subscriber: Pid
    peer: Peer
    count: int = 0


class Events(Process):
    """The process that events come from.

    Args:
        node: our node.
        encoder: turns what is published into terms.
    """

    __slots__ = ("_encoder", "_gaps", "_head", "_lock", "_missed", "_monitors", "_topics")

    def __init__(self, node: Node, encoder: ErlangVariantEncoder) -> None:
        super().__init__(node)
        self._encoder = encoder
        self._head, self._missed = (
            bytes((104, 4)) + encode_term(Atom(name)) + encode_term(node.name)
            for name in ("beam_bpy_event", "beam_bpy_events_missed")
        )
        self._lock = threading.Lock()
        self._topics: dict[str, dict[bytes, tuple[Pid, Peer]]] = {}
        self._monitors: dict[bytes, tuple[Peer, Reference]] = {}
        self._gaps: dict[tuple[str, bytes], _Gap] = {}

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
        """Send `payload` to all who have subscribed; from any thread. Returns how many it was sent to.

        Raises:
            EncodeError: it has no term.
        """
        with self._lock:
            subscribers = tuple(self._topics.get(topic, {}).values())
        if not subscribers:
            return 0
        message = self._head + encode_term(str(topic)) + self._encoder.encode_term(payload)
        reached = [each for each in subscribers if not self._misses(topic, *each)]
        for pid, peer in reached:
            self._tell(peer, pid, message)
        return len(reached)

    def _misses(self, topic: str, pid: Pid, peer: Peer) -> bool:
        """Whether the subscriber misses an event, which is counted."""
        key = topic, pid.ext
        with self._lock:
            if key not in self._gaps and peer.load.has_room():
                return False
            gap = self._gaps.setdefault(key, _Gap(topic, pid, peer))
            gap.count += 1
            first = gap.count == 1
        if first and not peer.load.put_aside(gap, self._close):
            self._close(gap)
        return True

    def _close(self, gap: _Gap) -> None:
        """There is room again, or no connection any more: tell the subscriber what it has missed."""
        with self._lock:
            del self._gaps[gap.topic, gap.subscriber.ext]
        self._tell(gap.peer, gap.subscriber, self._missed + encode_term(str(gap.topic)) + encode_term(gap.count))

    def _tell(self, peer: Peer, pid: Pid, message: bytes) -> None:
        peer.send(control.send(peer.flags, self.pid, pid, message), self.pid)

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
