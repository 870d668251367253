"""An established connection to one peer: frames, ticks, back-pressure.

Chapter "Protocol between Connected Nodes". A connection stands between its stream, which handles bytes, and the node,
which handles control messages. Everything but `send` and `send_framed` happens on the network thread.
"""

import errno
import itertools
import logging
import os
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Protocol

from beam_bpy.distribution.backpressure import Backpressure
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.limits import Limits
from beam_bpy.logger import log
from beam_bpy.protocol import ProtocolError, control_reader
from beam_bpy.protocol.control_writer import Message
from beam_bpy.protocol.fast_path import FastReader
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.fragments import Reassembler
from beam_bpy.protocol.framing import TICK, Frame, FrameReader
from beam_bpy.protocol.handshake import Established
from beam_bpy.transport.loop import Loop, Timer
from beam_bpy.transport.stream import Stream
from vendor_term_codec import DecodeError, Pid, Reference

TICKS_PER_TIME = 4
"""A tick is due when nothing was sent for a quarter of the tick time: the BEAM's `net_tickintensity`."""

ANSWER_INTERVAL = 0.25
"""The shortest time between two answers to data of a peer, in seconds: a tick of the shortest `net_ticktime`, 1 s."""


_USUAL_ENDS = (
    *("the other side closed the connection", "this node stops", "this node has disconnected it"),
    *("the node has connected again", os.strerror(errno.ECONNRESET), os.strerror(errno.EPIPE)),
)
"""The reasons with which connections end when a node stops or is killed."""


class ConnectionOwner(Protocol):
    """The object that holds the connections of a node."""

    def lost(self, connection: "Connection", reason: str) -> None:
        """The connection has ended."""

    def awaits_answer(self, name: str) -> bool:
        """True while a call from here to the node of that name has no answer."""


class Connection:
    """The connection to one peer, from the end of the handshake on.

    Args:
        loop: the loop of its stream.
        stream: its stream.
        node: our node.
        event: the result of the handshake.
        tick_time: seconds of silence after which the peer counts as gone.
        limits: the limits for the peer.
        owner: the object that holds it.

    Attributes:
        peer: the connected node.
        get_buffer: see `StreamProtocol`.
    """

    def __init__(
        self,
        loop: Loop,
        stream: Stream,
        node: Node,
        event: Established,
        tick_time: float,
        limits: Limits,
        owner: ConnectionOwner,
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._node = node
        self._owner = owner
        self._tick_time = tick_time
        self._max_in_flight = limits.max_in_flight
        self._max_unsent = limits.max_unsent
        self._frames = FrameReader(limits.max_frame)
        self._fragments = Reassembler(limits.max_frame)
        self._headers = Flag.FRAGMENTS in event.flags
        self._sequences = itertools.count(1)
        self._silent_ticks = 0
        self._bytes_received = 0
        self._bytes_sent = 0
        self._answer_after = 0.0
        self._sent_at_answer = -1
        self._timer: Timer | None = None
        self.get_buffer = self._frames.get_buffer
        self.call_deferred = loop.call_deferred
        self.peer = Peer(event.name, event.flags, event.creation, self)
        self._fast_path = FastReader(event.name).read if self.peer.headers else None
        self._load = self.peer.load
        stall_time = max(limits.stalled_peer_timeout, tick_time)
        self._backpressure = Backpressure(self, stream, self._load, limits, stall_time)
        self._load.writable = self._backpressure.is_writable
        self._load.all_sent = lambda: not stream.unsent
        self._load.parked = lambda: loop.call_soon(self._call_was_parked)

    def open(self, rest: bytes) -> None:
        """Begin: the owner knows it. `rest` are bytes that followed the handshake."""
        self._schedule_tick()
        log.debug("%s has connected", self.peer.name, fields={"node": self.peer.name})
        self._handle_frames(self._frames.feed(rest))

    def close(self, reason: str) -> None:
        """Close the connection; bytes that there is room for are sent before."""
        self._stream.flush()
        self._stream.close(reason)

    def send(self, message: Message, sender: Pid | Reference) -> None:
        """See `PeerTransport`."""
        if self._headers and message.large:
            size = len(message.payload or b"")
            self._stream.send_in_pieces(message.fragments(next(self._sequences)), sender.ext, size)
        else:
            self._stream.send(message.frame(header=self._headers), sender.ext)

    def send_framed(self, data: bytes, sender: Pid) -> None:
        """See `PeerTransport`."""
        self._stream.send(data, sender.ext)

    def buffer_updated(self, count: int) -> None:
        """See `StreamProtocol`."""
        frames = self._frames.buffer_updated(count)
        if frames:
            self._handle_frames(frames)
        if monotonic() >= self._answer_after:
            self.answer()

    def connection_lost(self, reason: str) -> None:
        """See `StreamProtocol`."""
        if self._timer is not None:
            self._timer.cancel()
        self.peer.lost_because = reason
        try:
            self._node.peer_down(self.peer)
        finally:
            self._backpressure.forget()
            self._owner.lost(self, reason)
        # Clients come and go. Only the end of a connection that nobody wanted is worth a line.
        level = logging.DEBUG if reason in _USUAL_ENDS else logging.WARNING
        log.log(level, "%s has disconnected: %s", self.peer.name, reason, fields={"node": self.peer.name})

    def _handle_frames(self, frames: list[Frame]) -> None:
        if self._backpressure.holds_frames:
            self._backpressure.queue(frames)
            return
        load, stream = self._load, self._stream
        turn_ends = perf_counter() + self._backpressure.turn
        for number, frame in enumerate(frames, 1):
            if frame:
                self.handle(frame)
            if (
                load.in_flight >= self._max_in_flight
                or stream.unsent > self._max_unsent
                or (perf_counter() >= turn_ends and number < len(frames))
            ):
                self._backpressure.queue(frames[number:])
                return

    def handle(self, frame: Frame) -> None:
        """Process one frame; a tick is an empty one."""
        if not (frame and self.peer.connected):
            return
        event: control_reader.Event | None = self._fast_path(frame) if self._fast_path is not None else None
        if event is None:
            whole = self._fragments.add(frame)
            if not whole:
                return
            event = control_reader.parse(whole)
        try:
            self._node.handle(self.peer, event)
        except DecodeError as error:  # An exit reason; all other payloads are decoded by their receivers.
            raise ProtocolError(f"a message that cannot be decoded: {error}") from None

    # -- see `PausedConnection`

    def answer(self) -> None:
        """Answer data of the peer with a tick, if this node has sent nothing since it was to answer before.

        A peer with a shorter tick time expects to hear from this node more often than `_tick` sends. Such a peer sends
        something in each quarter of its own tick time. (C nodes answer each tick: lib/erl_interface, ei_receive_msg.)
        A tick that is an answer counts as sent, so no answer follows upon an answer: two nodes of this kind cannot send
        ticks to and fro for ever, however long a tick is on its way.
        """
        now = monotonic()
        if now < self._answer_after:
            return
        self._answer_after = now + ANSWER_INTERVAL
        sent = self._stream.bytes_sent
        if sent == self._sent_at_answer:
            self._stream.send(TICK)
        self._sent_at_answer = sent

    def awaits_answer(self) -> bool:
        """See `PausedConnection`."""
        return self._owner.awaits_answer(self.peer.name)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See `PausedConnection`."""
        self._loop.call_soon(self._while_connected(callback))

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """See `PausedConnection`."""
        return self._loop.call_later(delay, self._while_connected(callback))

    def _while_connected(self, callback: Callable[[], None]) -> Callable[[], None]:
        def connected() -> None:
            if self.peer.connected:
                self._run_guarded(callback)

        return connected

    def _run_guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except ProtocolError as error:
            self.close(str(error))
        except Exception:
            self.close("an error of this program's own")
            raise

    def _call_was_parked(self) -> None:
        if self.peer.connected:
            self._backpressure.update()
        else:
            self._load.unpark_all()

    # -- ticks

    def _schedule_tick(self) -> None:
        # Also while the node stops: the peer waits for the answer of the last call, which may take longer than a tick.
        self._timer = self._loop.call_later(self._tick_time / TICKS_PER_TIME, lambda: self._run_guarded(self._tick))

    def _tick(self) -> None:
        stream = self._stream
        ticking = stream.bytes_sent == self._bytes_sent
        if ticking:
            stream.send(TICK)
        # A peer from which nothing is read has not been silent.
        silent = stream.is_reading and stream.bytes_received == self._bytes_received
        self._silent_ticks = self._silent_ticks + 1 if silent else 0
        self._bytes_received = stream.bytes_received
        # The tick is sent after this line; it is no traffic for which the next tick could be left out.
        self._bytes_sent = stream.bytes_sent + ticking * len(TICK)
        if self._silent_ticks > TICKS_PER_TIME:
            self.close(f"nothing was heard from it for {self._tick_time:g} seconds")
        else:
            if self._silent_ticks == TICKS_PER_TIME // 2:  # Its tick time may be longer than that of this node.
                self._node.ask_for_a_sign(self.peer)
            self._schedule_tick()
            self._backpressure.update()  # Messages that this node sends by itself are limited only here.
