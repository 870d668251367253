"""One peer's connection, from the first byte to the last: handshake, frames, ticks.

Chapters "Distribution Handshake" and "Protocol between Connected Nodes". It stands between a stream, which knows
bytes, and the node, which knows control messages. All of it happens on the network thread.
"""

import logging
import secrets
from typing import Protocol as Interface

from beam_bpy.node import Node, Peer
from beam_bpy.protocol import control
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.framing import TICK, FrameReader
from beam_bpy.protocol.handshake import Acceptor, Established, PeerNamed
from beam_bpy.transport import Loop, Stream

log = logging.getLogger("beam_bpy")

SETUP_TIME = 7.0
"""Seconds that a handshake may take: the BEAM's `net_setuptime`."""

TICKS_PER_TIME = 4
"""A tick is due when nothing was sent for a quarter of the tick time: the BEAM's `net_tickintensity`."""


class Owner(Interface):
    """Whoever holds the connections of a node."""

    def connection(self, name: str) -> "Connection | None":
        """The connection to the node of that name, if it is up."""

    def gone(self, connection: "Connection") -> None:
        """The connection has ended."""


class Connection:
    """The connection of one peer that has called us.

    Args:
        loop: the loop of its stream.
        node: the node that it connects to.
        cookie: the shared secret.
        tick_time: seconds of silence after which the peer counts as gone.
        owner: who holds it.
        address: where it comes from, for the log.
    """

    def __init__(self, loop: Loop, node: Node, cookie: str, tick_time: float, owner: Owner, address: str) -> None:
        self._loop = loop
        self._node = node
        self._owner = owner
        self._address = address
        self._tick_time = tick_time
        self._stream: Stream | None = None
        self._handshake: Acceptor | None = Acceptor(
            node.name, node.creation, OURS, cookie, int.from_bytes(secrets.token_bytes(4))
        )
        self._first_bytes = bytearray(512)
        self._frames = FrameReader()
        self._silent_ticks = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._timer = loop.call_later(SETUP_TIME, self._too_slow)
        self.peer: Peer | None = None

    def open(self, stream: Stream) -> None:
        """Begin; `stream` is the connection's own from now on."""
        self._stream = stream

    def close(self, reason: str) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.close(reason)

    def buffer(self) -> memoryview:
        """See `transport.Protocol`."""
        return memoryview(self._first_bytes) if self._handshake is not None else self._frames.buffer()

    def received(self, count: int) -> None:
        """See `transport.Protocol`."""
        if self._handshake is not None:
            self._shake_hands(self._handshake, bytes(self._first_bytes[:count]))
        elif self.peer is not None:
            self._handle(self.peer, self._frames.received(count))

    def closed(self, reason: str) -> None:
        """See `transport.Protocol`."""
        self._timer.cancel()
        if self.peer is None:
            log.warning("a connection from %s was not let in: %s", self._address, reason)
        else:
            log.info("%s has disconnected: %s", self.peer.name, reason)
            self._node.peer_down(self.peer)
        self._owner.gone(self)

    def _shake_hands(self, handshake: Acceptor, data: bytes) -> None:
        assert self._stream is not None
        event = handshake.receive(data)
        if isinstance(event, PeerNamed):
            handshake.answer(self._status(event.name))
        self._stream.send(handshake.take_output())
        if isinstance(event, Established):
            self._established(self._stream, event)
        elif isinstance(event, PeerNamed) and event.name == self._node.name:
            self._stream.close_when_sent(f"it calls itself {event.name}, which is this node's own name")

    def _status(self, peer_name: str) -> str:
        if peer_name == self._node.name:
            return "not_allowed"
        return "ok" if self._owner.connection(peer_name) is None else "alive"

    def _established(self, stream: Stream, event: Established) -> None:
        old = self._owner.connection(event.name)
        if old is not None:
            old.close("the node has connected anew")
        self._timer.cancel()
        self._handshake = None
        self.peer = Peer(event.name, event.flags, event.creation, stream.send)
        self._node.peer_up(self.peer)
        log.info("%s has connected from %s", event.name, self._address)
        self._schedule_tick()
        self._handle(self.peer, self._frames.feed(event.rest))

    def _handle(self, peer: Peer, frames: list[bytes | bytearray]) -> None:
        for frame in frames:
            if frame:
                self._node.handle(peer, control.parse(frame))

    def _too_slow(self) -> None:
        self.close(f"the handshake was not done within {SETUP_TIME:g} seconds")

    def _schedule_tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_time / TICKS_PER_TIME, self._tick)

    def _tick(self) -> None:
        assert self._stream is not None
        stream = self._stream
        ticking = stream.bytes_sent == self._bytes_sent
        if ticking:
            stream.send(TICK)
        self._silent_ticks = self._silent_ticks + 1 if stream.bytes_received == self._bytes_received else 0
        self._bytes_received = stream.bytes_received
        # The tick itself leaves after this, and is no reason to leave the next one out.
        self._bytes_sent = stream.bytes_sent + ticking * len(TICK)
        if self._silent_ticks > TICKS_PER_TIME:
            self.close(f"nothing was heard from it for {self._tick_time:g} seconds")
        else:
            self._schedule_tick()
