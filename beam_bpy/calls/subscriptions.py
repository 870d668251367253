"""Subscriptions: BEAM processes that get the events of a topic.

A subscriber gets `{beam_bpy_event, Node, Topic, Payload}`. It is monitored, and its subscriptions end with it or with
its connection. While its node is over `Limits.max_unsent`, the subscriber misses events, so that no publisher waits and
memory does not grow. When its node has read enough, it gets their number, `{beam_bpy_events_missed, Node, Topic,
Count}`.

Of events whose older values are worth nothing, such as pictures, a subscriber misses those for which others would have
to wait. It gets their number before the next event.
"""

import threading
from dataclasses import dataclass
from typing import Any

from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import OutgoingMonitor, Peer
from beam_bpy.distribution.process import PermanentProcess
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.protocol import control_writer
from beam_bpy.protocol.control import Payload
from vendor_term_codec import Atom, Pid, Reference, encode_term, tuple_of

_EVENT = encode_term(Atom("beam_bpy_event"))
_EVENTS_MISSED = encode_term(Atom("beam_bpy_events_missed"))


@dataclass
class _Gap:
    """The events of one topic that a subscriber has missed."""

    topic: str
    subscriber: Pid
    peer: Peer
    count: int = 0


class Subscriptions(PermanentProcess):
    """The process that sends events.

    Args:
        node: our node.
        encoder: turns payloads into terms.
    """

    __slots__ = ("_encoder", "_gaps", "_lock", "_name_ext", "_skipped", "_subscribers", "_topics")

    node: Node

    def __init__(self, node: Node, encoder: ErlangVariantEncoder) -> None:
        super().__init__(node)
        self._encoder = encoder
        self._name_ext = encode_term(node.name)
        self._lock = threading.Lock()
        self._topics: dict[str, dict[bytes, tuple[Pid, Peer]]] = {}
        self._subscribers: dict[bytes, tuple[Peer, Reference]] = {}
        self._gaps: dict[tuple[str, bytes], _Gap] = {}
        self._skipped: dict[tuple[str, bytes], int] = {}

    def subscribe(self, topic: str, pid: Pid) -> None:
        """Send the events of `topic` to `pid` from now on; once, however often it subscribes.

        Raises:
            ValueError: its node is not connected.
        """
        peer = self.node.peer(pid.node)
        if peer is None:
            raise ValueError(f"the node of {pid} is not connected")
        with self._lock:
            self._topics.setdefault(topic, {})[pid.ext] = (pid, peer)
            if pid.ext in self._subscribers:
                return
            ref = self.node.new_ref()
            self._subscribers[pid.ext] = (peer, ref)
        self.node.monitor(self, peer, pid, ref)

    def unsubscribe(self, topic: str, pid: Pid) -> None:
        """Send the events of `topic` to `pid` no longer."""
        with self._lock:
            self._forget(topic, pid)
            if any(pid.ext in subscribers for subscribers in self._topics.values()):
                return
            peer, ref = self._subscribers.pop(pid.ext, (None, None))
        if peer is not None and ref is not None:
            self.node.demonitor(peer, ref)

    def count(self, topic: str) -> int:
        """The number of subscribers of `topic`."""
        return len(self._topics.get(topic, ()))

    def publish(self, topic: str, payload: Any, *, newest: bool = False) -> int:
        """Send `payload` to all subscribers of `topic`; from any thread. Returns the number of receivers.

        Args:
            topic: the topic.
            payload: any value.
            newest: see `BeamServer.publish`.

        Raises:
            EncodeError: it has no term.
        """
        with self._lock:
            subscribers = tuple(self._topics.get(topic, {}).values())
        if not subscribers:
            return 0
        message = tuple_of(_EVENT, self._name_ext, encode_term(str(topic)), self._encoder.encode_term(payload))
        misses = self._skips if newest else self._misses
        reached = [each for each in subscribers if not misses(topic, *each)]
        for pid, peer in reached:
            self._tell(peer, pid, message)
        return len(reached)

    def _misses(self, topic: str, pid: Pid, peer: Peer) -> bool:
        """Count an event that the subscriber misses; False when it gets the event."""
        key = topic, pid.ext
        with self._lock:
            if key not in self._gaps and peer.load.writable():
                return False
            gap = self._gaps.setdefault(key, _Gap(topic, pid, peer))
            gap.count += 1
            first = gap.count == 1
        if first and not peer.load.park(gap, self._close):
            self._close(gap)
        return True

    def _close(self, gap: _Gap) -> None:
        """There is room, or the peer is gone: tell the subscriber how many events it has missed."""
        with self._lock:
            del self._gaps[gap.topic, gap.subscriber.ext]
        self._tell_missed(gap.topic, gap.subscriber, gap.peer, gap.count)

    def _skips(self, topic: str, pid: Pid, peer: Peer) -> bool:
        """Count an event that would have to wait; otherwise tell how many did not come before it, and return False."""
        key = topic, pid.ext
        with self._lock:
            if not peer.load.all_sent():
                if pid.ext in self._topics.get(topic, ()):
                    self._skipped[key] = self._skipped.get(key, 0) + 1
                return True
            count = self._skipped.pop(key, 0)
        if count:
            self._tell_missed(topic, pid, peer, count)
        return False

    def _tell_missed(self, topic: str, pid: Pid, peer: Peer, count: int) -> None:
        numbers = encode_term(str(topic)), encode_term(count)
        self._tell(peer, pid, tuple_of(_EVENTS_MISSED, self._name_ext, *numbers))

    def _tell(self, peer: Peer, pid: Pid, message: bytes) -> None:
        peer.send(control_writer.send(peer.flags, self.pid, pid, message), self.pid)

    def down(self, monitor: OutgoingMonitor, reason: Payload) -> None:
        """A subscriber has ended."""
        if isinstance(monitor.target, Pid):
            with self._lock:
                self._subscribers.pop(monitor.target.ext, None)
                for topic in tuple(self._topics):
                    self._forget(topic, monitor.target)

    def _forget(self, topic: str, pid: Pid) -> None:
        self._skipped.pop((topic, pid.ext), None)
        subscribers = self._topics.get(topic, {})
        subscribers.pop(pid.ext, None)
        if not subscribers:
            self._topics.pop(topic, None)
