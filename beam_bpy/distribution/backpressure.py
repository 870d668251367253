"""Back-pressure: no longer reading from a peer that has given this node too much work or reads too little.

The high-water mark is a limit of `Limits`, the low-water mark half of it. Above the high-water mark the frames of the
peer are queued and the stream stops reading, so that further bytes wait in the kernel and at the peer. Below the
low-water mark the queued frames are processed and the stream reads again.

One exception: a handler may wait for the answer to a call of its own to this peer. While such a call has no answer,
frames are processed above the high-water mark, and the peer's further calls are refused (`Load.overloaded`).

A peer that sends much shares the loop with the others: after `TURN` seconds its further frames are queued, and
processed after the frames of other peers. While frames are queued, the stream reads nothing.

A peer that is over `max_unsent` and reads nothing for `stalled_peer_timeout` seconds is disconnected.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from beam_bpy.distribution.load import Load
from beam_bpy.limits import Limits
from beam_bpy.protocol.framing import Frame
from beam_bpy.transport.stream import Stream

TURN = 0.004
"""The longest time for which the frames of one peer are processed before those of the others, in seconds."""

SHORT_TURN = 0.001
"""The same for a peer that sends faster than its casts can run."""

REST = 0.01
"""The time until the next turn of such a peer, in seconds.

Without turns and rests, a peer that casts 10 000 poses a second makes the poses of the others three times as old
(bench/live.py).
"""

_MOST = 0.75
"""A peer is too fast if this share of the frames of its turn were casts that newer ones replaced (`calls.latest`)."""

_CHECK_TIME = 0.01
"""Seconds between two checks of a paused peer."""


class PausedConnection(Protocol):
    """The connection, as its back-pressure sees it."""

    def handle(self, frame: Frame) -> None:
        """Process one frame."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the events of the other connections; an exception in it closes the connection."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """Call `callback` after `delay` seconds; an exception in it closes the connection."""

    def close(self, reason: str) -> None:
        """Close the connection."""

    def awaits_answer(self) -> bool:
        """True while a call from here to the peer has no answer."""

    def answer(self) -> None:
        """Send a tick if nothing else has been sent for a while."""


class Backpressure:
    """The back-pressure of one connection; only on the network thread, except `is_writable`.

    Args:
        connection: the connection.
        stream: its stream.
        load: the peer's calls.
        limits: the high-water marks.
        stall_time: seconds without reading after which the peer is disconnected.

    Attributes:
        turn: the length of the peer's next turn, in seconds.
        paused: True from above the high-water mark to below the low-water mark.
    """

    def __init__(
        self, connection: PausedConnection, stream: Stream, load: Load, limits: Limits, stall_time: float
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._load = load
        self._limits = limits
        self._stall_time = stall_time
        self._frames: deque[Frame] = deque()
        self._sent_before = 0
        self._sent_at = 0.0
        self._turn_follows = False
        self.turn = TURN
        self.paused = False

    def is_writable(self) -> bool:
        """True if the peer has read enough to be sent more; from any thread."""
        return self._stream.unsent <= self._limits.max_unsent * self._share()

    @property
    def holds_frames(self) -> bool:
        """True if frames are queued, or have to be."""
        return self.paused or bool(self._frames)

    def queue(self, frames: list[Frame]) -> None:
        """Process these frames later: the peer is paused, has to be, or has had its turn."""
        self._frames.extend(frames)
        excess = self._exceeded_limit()
        self._end_turn(excess, excess is not None and self._connection.awaits_answer())

    def update(self) -> None:
        """Process queued frames for one turn, up to the limits; resume reading below the low-water mark."""
        load = self._load
        excess = self._exceeded_limit()
        awaited = excess is not None and self._connection.awaits_answer()
        handled, replaced = 0, load.replaced
        turn_ends = time.perf_counter() + self.turn
        while self._frames and (excess is None or awaited) and (not handled or time.perf_counter() < turn_ends):
            # A handler may wait for an answer behind these frames.
            load.overloaded = excess
            self._connection.handle(self._frames.popleft())
            handled += 1
            excess = self._exceeded_limit()
        too_fast = load.replaced - replaced > handled * _MOST
        self.turn = SHORT_TURN if too_fast else TURN
        self._end_turn(excess, awaited, REST if too_fast else 0.0)

    def _end_turn(self, excess: str | None, awaited: bool, rest: float = 0.0) -> None:
        self._load.overloaded = excess if awaited else None
        if self.is_writable():
            self._load.unpark_all()
        self._set_paused(excess is not None)
        processing = excess is None or awaited
        self._set_reading(processing and not self._frames)
        if processing and self._frames and not self._turn_follows:
            self._turn_follows = True
            if rest:
                self._connection.call_later(rest, self._next_turn)
            else:
                self._connection.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_follows = False
        self.update()

    def forget(self) -> None:
        """The connection is gone: drop queued frames, and let parked calls find out that nobody waits for them."""
        self._frames.clear()
        self._load.unpark_all()

    def _exceeded_limit(self) -> str | None:
        """The limit that the peer exceeds, as a sentence; None for none."""
        limits = self._limits
        if self._load.in_flight >= limits.max_in_flight * self._share():
            return f"this node has {limits.max_in_flight} calls of the caller's node to answer"
        if not self.is_writable():
            return f"more than {limits.max_unsent} bytes wait for the caller's node to read them"
        return None

    def _share(self) -> float:
        """The present mark as a share of the limit: the low-water mark while the peer is paused."""
        return 0.5 if self.paused else 1.0

    def _set_paused(self, paused: bool) -> None:
        if paused and not self.paused:
            self._sent_before, self._sent_at = self._stream.bytes_sent, time.monotonic()
            self._connection.call_later(_CHECK_TIME, self._check)
        self.paused = paused

    def _set_reading(self, reading: bool) -> None:
        if reading and not self._stream.is_reading:
            self._stream.resume_reading()
        elif not reading and self._stream.is_reading:
            self._stream.pause_reading()

    def _check(self) -> None:
        if not self.paused:
            return
        stream, now = self._stream, time.monotonic()
        if stream.bytes_sent != self._sent_before or stream.unsent <= self._limits.max_unsent * 0.5:
            self._sent_before, self._sent_at = stream.bytes_sent, now
        elif now - self._sent_at > self._stall_time:
            self._connection.close(f"it has read nothing for {now - self._sent_at:.0f} seconds of what it was sent")
            return
        self.update()
        if self.paused:
            if not stream.is_reading:  # Its ticks are not read, so they are answered unseen.
                self._connection.answer()
            self._connection.call_later(_CHECK_TIME, self._check)
