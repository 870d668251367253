"""One peer's connection, from the first byte to the last: handshake, frames, ticks.

Chapters "Distribution Handshake" and "Protocol between Connected Nodes". It stands between a stream, which knows
bytes, and the node, which knows control messages. All of it, but for `send`, happens on the network thread.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol as Interface

from beam_bpy.limits import Limits, Load
from beam_bpy.logs import log
from beam_bpy.node import CalledProcess, Node, Peer
from beam_bpy.protocol import ProtocolError, control
from beam_bpy.protocol.erpc import ErpcReply
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import Reassembler
from beam_bpy.protocol.framing import TICK, Frame, FrameReader
from beam_bpy.protocol.handshake import Acceptor, Established, HandshakeRefusedError, Initiator, PeerNamed
from beam_bpy.protocol.quick import QuickEvent, QuickReader
from beam_bpy.transport import Loop, Stream, Timer
from vendor_term_codec import DecodeError, Pid, Reference

SETUP_TIME = 7.0
"""Seconds that a handshake may take: the BEAM's `net_setuptime`."""

TICKS_PER_TIME = 4
"""A tick is due when nothing was sent for a quarter of the tick time: the BEAM's `net_tickintensity`."""

_PAUSE = 0.01
"""Seconds after which a peer that is not read from is looked at again."""


class Owner(Interface):
    """Whoever holds the connections of a node."""

    def status(self, connection: "Connection", name: str) -> str:
        """What to answer a node of that name that calls over `connection`: see `Acceptor.answer`."""

    def allows(self, name: str) -> bool:
        """Whether a node of that name may connect."""

    def new_name(self, host: str) -> tuple[str, int]:
        """A full name, and a creation, for a node on `host` that asks to be named."""

    def up(self, connection: "Connection", peer: Peer) -> None:
        """The handshake is done."""

    def gone(self, connection: "Connection", reason: str, *, yielded: bool) -> None:
        """The connection has ended; `yielded` when the peer's own call to us takes its place."""

    def awaits(self, name: str) -> bool:
        """Whether a call from here to the node of that name has no answer yet."""


class Connection:
    """The connection with one peer.

    Args:
        loop: the loop of its stream.
        node: our node.
        handshake: our side of the handshake.
        tick_time: seconds of silence after which the peer counts as gone.
        limits: what the peer may take.
        owner: who holds it.
    """

    def __init__(
        self,
        loop: Loop,
        node: Node,
        handshake: Acceptor | Initiator,
        tick_time: float,
        limits: Limits,
        owner: Owner,
    ) -> None:
        self._loop = loop
        self._node = node
        self._handshake: Acceptor | Initiator | None = handshake
        self._tick_time = tick_time
        self._owner = owner
        self._limits = limits
        self._stream: Stream | None = None
        self._yielded = False
        self._first_bytes = bytearray(512)
        # Made when the peer has proved that it knows the cookie: until then it costs next to nothing.
        self._frames: FrameReader | None = None
        self._headers = False
        self._quick: QuickReader | None = None
        self._fragments = Reassembler(limits.max_frame)
        self._load = Load()
        self._untold: list[CalledProcess] = []
        self._waiting: deque[Frame] = deque()
        self._paused = False
        self._sent_then = 0
        self._read_then = 0.0
        self._sequences = itertools.count(1)
        self._silent_ticks = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._timer = self._later(SETUP_TIME, self._too_slow)
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
            size = len(message.payload or b"")
            self._stream.send_in_pieces(message.fragments(next(self._sequences)), sender.ext, size)
        else:
            self._stream.send(message.frame(header=self._headers), sender.ext)

    def tell_soon(self, process: CalledProcess) -> None:
        """See `Peer`."""
        self._untold.append(process)
        self._loop.call_patiently(self._tell)

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for process in untold:
            if process.alive:
                process.tell()

    def buffer(self) -> memoryview:
        """See `transport.Protocol`."""
        return memoryview(self._first_bytes) if self._frames is None else self._frames.buffer()

    def received(self, count: int) -> None:
        """See `transport.Protocol`."""
        if self._handshake is not None:
            self._shake_hands(self._handshake, bytes(self._first_bytes[:count]))
        elif self._frames is not None:
            self._take(self._frames.received(count))

    def closed(self, reason: str) -> None:
        """See `transport.Protocol`."""
        self._timer.cancel()
        self._waiting.clear()
        if isinstance(self._handshake, Initiator):
            reason = self._handshake.explain(reason)
        try:
            if self.peer is not None:
                self._node.peer_down(self.peer)
        finally:
            # Nobody waits for their answers any more, which they find out when they run.
            self._load.take_up()
            self._owner.gone(self, reason, yielded=self._yielded)
        if self.peer is not None:
            log.info("%s has disconnected: %s", self.peer.name, reason)

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
            name, creation = self._owner.new_name(event.name)
            if self._owner.allows(name):
                handshake.name_peer(name, creation)
                return None
            status = "not_allowed"
        else:
            status = self._owner.status(self, event.name)
        handshake.answer(status)
        return status if status in ("nok", "not_allowed") else None

    def _established(self, stream: Stream, event: Established) -> None:
        self._timer.cancel()
        self._handshake = None
        self._frames = FrameReader(self._limits.max_frame)
        self._first_bytes = bytearray()
        self._headers = Flag.FRAGMENTS in event.flags
        if self._headers and Flag.EXIT_PAYLOAD in event.flags:
            self._quick = QuickReader(event.name)
        self.peer = Peer(event.name, event.flags, event.creation, self.send, self.tell_soon)
        self._load = self.peer.load
        self._load.has_room = self._has_room
        self._load.look = lambda: self._loop.call_soon(self._look_aside)
        self._owner.up(self, self.peer)
        self._schedule_tick()
        log.info("%s has connected", event.name)
        self._take(self._frames.feed(event.rest))

    def _take(self, frames: list[Frame]) -> None:
        if self._paused:
            self._waiting.extend(frames)
            self._restrain()
            return
        for number, frame in enumerate(frames, 1):
            self._handle(frame)
            if self._excess() is not None:
                self._waiting.extend(frames[number:])
                self._restrain()
                return

    def _handle(self, frame: Frame) -> None:
        peer = self.peer
        if peer is None or not frame:
            return
        event: control.Event | QuickEvent | None = self._quick.read(frame) if self._quick is not None else None
        if event is None:
            whole = self._fragments.add(frame)
            if not whole:
                return
            event = control.parse(whole)
        try:
            self._node.handle(peer, event)
        except DecodeError as error:  # A reason; payloads are the receiver's business.
            raise ProtocolError(f"a message that cannot be decoded: {error}") from None

    # -- a peer that gives more than it may

    def _excess(self) -> str | None:
        """Which limit the peer is over, as a sentence; once it is, it has to come down to half of it."""
        limits, share = self._limits, 0.5 if self._paused else 1.0
        if self._load.in_flight >= limits.max_in_flight * share:
            return f"this node has {limits.max_in_flight} calls of the caller's node to answer"
        if not self._has_room():
            return f"more than {limits.max_unsent} bytes wait for the caller's node to read them"
        return None

    def _has_room(self) -> bool:
        share = 0.5 if self._paused else 1.0
        return self._stream is None or self._stream.unsent <= self._limits.max_unsent * share

    def _look_aside(self) -> None:
        """A call has been put aside for as long as the peer does not read."""
        if self.peer is not None and self.peer.connected:
            self._restrain()
        else:
            self._load.take_up()

    def _restrain(self) -> None:
        """Handle what waits as far as the limits go, and read on if they allow it."""
        peer, stream = self.peer, self._stream
        if peer is None or stream is None or not peer.connected:
            return
        excess = self._excess()
        awaited = excess is not None and self._owner.awaits(peer.name)
        while self._waiting and (excess is None or awaited):
            # A handler may be waiting for an answer that stands behind what is too much.
            self._load.overloaded = excess
            self._handle(self._waiting.popleft())
            excess = self._excess()
        self._load.overloaded = excess if awaited else None
        if self._has_room():
            self._load.take_up()
        self._pause(stream, paused=excess is not None, reading=excess is None or awaited)

    def _pause(self, stream: Stream, *, paused: bool, reading: bool) -> None:
        if paused and not self._paused:
            self._sent_then, self._read_then = stream.bytes_sent, time.monotonic()
            self._later(_PAUSE, self._look_again)
        self._paused = paused
        if reading and not stream.reading:
            stream.resume()
        elif not reading and stream.reading:
            stream.pause()

    def _look_again(self) -> None:
        stream, now = self._stream, time.monotonic()
        if not self._paused or stream is None or self.peer is None or not self.peer.connected:
            return
        if stream.bytes_sent != self._sent_then or stream.unsent <= self._limits.max_unsent * 0.5:
            self._sent_then, self._read_then = stream.bytes_sent, now
        elif now - self._read_then > max(self._limits.patience, self._tick_time):
            self.close(f"it has read nothing for {now - self._read_then:.0f} seconds of what it was sent")
            return
        self._restrain()
        if self._paused:
            self._later(_PAUSE, self._look_again)

    def _later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Like `Loop.call_later`; an error in it costs this connection."""

        def guarded() -> None:
            try:
                callback()
            except ProtocolError as error:
                self.close(str(error))
            except Exception:
                self.close("an error of this program's own")
                raise

        return self._loop.call_later(delay, guarded)

    def _too_slow(self) -> None:
        self.close(f"the handshake was not done within {SETUP_TIME:g} seconds")

    def _schedule_tick(self) -> None:
        self._timer = self._later(self._tick_time / TICKS_PER_TIME, self._tick)

    def _tick(self) -> None:
        assert self._stream is not None
        stream = self._stream
        ticking = stream.bytes_sent == self._bytes_sent
        if ticking:
            stream.send(TICK)
        # A peer that is not read from has not been silent.
        silent = stream.reading and stream.bytes_received == self._bytes_received
        self._silent_ticks = self._silent_ticks + 1 if silent else 0
        self._bytes_received = stream.bytes_received
        # The tick itself leaves after this, and is no reason to leave the next one out.
        self._bytes_sent = stream.bytes_sent + ticking * len(TICK)
        if self._silent_ticks > TICKS_PER_TIME:
            self.close(f"nothing was heard from it for {self._tick_time:g} seconds")
        else:
            self._schedule_tick()
            self._restrain()  # What this node sends by itself has no limit but this.
