"""One peer's connection, from the first byte to the last: handshake, frames, ticks.

Chapters "Distribution Handshake" and "Protocol between Connected Nodes". It stands between a stream, which knows
bytes, and the node, which knows control messages. All of it, but for `send`, happens on the network thread.
"""

import itertools
import logging
from typing import Protocol as Interface

from beam_bpy.node import Node, Peer
from beam_bpy.protocol import ProtocolError, control
from beam_bpy.protocol.erpc import ErpcCall, ErpcReader, ErpcReply
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import Reassembler
from beam_bpy.protocol.framing import TICK, Frame, FrameReader
from beam_bpy.protocol.handshake import Acceptor, Established, HandshakeRefusedError, Initiator, PeerNamed
from beam_bpy.transport import Loop, Stream
from vendor_term_codec import DecodeError, Pid, Reference

log = logging.getLogger("beam_bpy")

SETUP_TIME = 7.0
"""Seconds that a handshake may take: the BEAM's `net_setuptime`."""

TICKS_PER_TIME = 4
"""A tick is due when nothing was sent for a quarter of the tick time: the BEAM's `net_tickintensity`."""


class Owner(Interface):
    """Whoever holds the connections of a node."""

    def status(self, connection: "Connection", name: str) -> str:
        """What to answer a node of that name that calls over `connection`: see `Acceptor.answer`."""

    def new_name(self, host: str) -> tuple[str, int]:
        """A full name, and a creation, for a node on `host` that asks to be named."""

    def up(self, connection: "Connection", peer: Peer) -> None:
        """The handshake is done."""

    def gone(self, connection: "Connection", reason: str, *, yielded: bool) -> None:
        """The connection has ended; `yielded` when the peer's own call to us takes its place."""


class Connection:
    """The connection with one peer.

    Args:
        loop: the loop of its stream.
        node: our node.
        handshake: our side of the handshake.
        tick_time: seconds of silence after which the peer counts as gone.
        owner: who holds it.
        label: what to call the other side in the log until it has proved its name.
    """

    def __init__(
        self, loop: Loop, node: Node, handshake: Acceptor | Initiator, tick_time: float, owner: Owner, label: str
    ) -> None:
        self._loop = loop
        self._node = node
        self._handshake: Acceptor | Initiator | None = handshake
        self._tick_time = tick_time
        self._owner = owner
        self._label = label
        self._stream: Stream | None = None
        self._yielded = False
        self._first_bytes = bytearray(512)
        self._frames = FrameReader()
        self._headers = False
        self._calls: ErpcReader | None = None
        self._fragments = Reassembler()
        self._sequences = itertools.count(1)
        self._silent_ticks = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._timer = loop.call_later(SETUP_TIME, self._too_slow)
        self.peer: Peer | None = None

    def open(self, stream: Stream) -> None:
        """Begin; `stream` is the connection's own from now on."""
        self._stream = stream
        if self._handshake is not None:
            stream.send(self._handshake.take_output())

    def close(self, reason: str) -> None:
        """Close the connection; what there is room for is sent before."""
        if self._stream is not None:
            self._stream.flush()
            self._stream.close(reason)

    def send(self, message: control.Message | ErpcReply, sender: Pid | Reference) -> None:
        """Send a message; it arrives after what had the same `sender`. From any thread."""
        assert self._stream is not None
        if isinstance(message, control.Message) and self._headers and message.large:
            self._stream.send_in_pieces(message.fragments(next(self._sequences)), sender.ext)
        else:
            self._stream.send(message.frame(header=self._headers), sender.ext)

    def send_soon(self, message: control.Message, sender: Pid | Reference) -> None:
        """Send a small message that is no hurry, with what follows it; only on the network thread."""
        assert self._stream is not None
        self._stream.send_soon(message.frame(header=self._headers), sender.ext)

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
        if isinstance(self._handshake, Initiator):
            reason = self._handshake.explain(reason)
        if self.peer is not None:
            log.info("%s has disconnected: %s", self.peer.name, reason)
            self._node.peer_down(self.peer)
        elif isinstance(self._handshake, Acceptor):
            log.warning("a connection from %s was not let in: %s", self._label, reason)
        self._owner.gone(self, reason, yielded=self._yielded)

    def _shake_hands(self, handshake: Acceptor | Initiator, data: bytes) -> None:
        assert self._stream is not None
        try:
            event = handshake.receive(data)
        except HandshakeRefusedError as refusal:
            self._yielded = refusal.status == "nok"
            raise
        refused = isinstance(event, PeerNamed) and isinstance(handshake, Acceptor) and self._decide(handshake, event)
        self._stream.send(handshake.take_output())
        if isinstance(event, Established):
            self._established(self._stream, event)
        elif refused:
            self._stream.close_when_sent(f"the answer to {event.name if event else 'it'} was '{refused}'")

    def _decide(self, handshake: Acceptor, event: PeerNamed) -> str | None:
        """Answer a node that said its name; returns the status if it was refused."""
        if Flag.NAME_ME in event.flags:
            handshake.name_peer(*self._owner.new_name(event.name))
            return None
        status = self._owner.status(self, event.name)
        handshake.answer(status)
        return status if status in ("nok", "not_allowed") else None

    def _established(self, stream: Stream, event: Established) -> None:
        self._timer.cancel()
        self._handshake = None
        self._headers = Flag.FRAGMENTS in event.flags
        if self._headers and Flag.EXIT_PAYLOAD in event.flags:
            self._calls = ErpcReader(event.name)
        self.peer = Peer(event.name, event.flags, event.creation, self.send, self.send_soon)
        self._owner.up(self, self.peer)
        log.info("%s has connected", event.name)
        self._schedule_tick()
        self._handle(self.peer, self._frames.feed(event.rest))

    def _handle(self, peer: Peer, frames: list[Frame]) -> None:
        for frame in frames:
            whole = self._fragments.add(frame) if frame else None
            if whole:
                call = self._calls.read(whole) if self._calls is not None else None
                self._handle_message(peer, control.parse(whole) if call is None else call)

    def _handle_message(self, peer: Peer, event: control.Event | ErpcCall) -> None:
        try:
            self._node.handle(peer, event)
        except DecodeError as error:  # A reason; payloads are the receiver's business.
            raise ProtocolError(f"a message that cannot be decoded: {error}") from None

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
