"""The selector, timers and the network thread.

The terms are asyncio's (`call_soon`, `call_later`). An asyncio loop cannot be used, because it cannot run for two
milliseconds on another thread: see `lending`.
"""

import contextlib
import heapq
import itertools
import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

from beam_bpy.logger import log
from beam_bpy.transport.lending import Lending
from beam_bpy.transport.sigpipe import NO_SIGNAL

_DEFER_TIME = 0.001
"""Longest time a deferred callback waits, in seconds, if no event arrives first."""


class Writer(Protocol):
    """A connection that a loop flushes, and closes when the loop ends."""

    def flush(self) -> None:
        """Send the bytes that wait."""

    def close(self, reason: str) -> None:
        """Close the connection."""

    def abandon(self) -> None:
        """After a fork, in the child: close this process's copy of the socket, and send nothing."""


class Timer:
    """A callback that `Loop.call_later` runs, unless `cancel` is called before."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not run the callback."""
        self.cancelled = True
        # The timer stays in the heap until its time; it must not keep the callback's objects alive.
        self.callback = _nothing


def _nothing() -> None:
    pass


class Loop:
    """One selector, and the thread that runs it. Another thread may borrow it: see `lending`.

    Args:
        name: the name of the thread.
        daemon: False keeps the interpreter alive until the loop stops; default True.

    Attributes:
        runner: the thread that runs the loop now, by its identifier.
        corked_by: the thread whose sends are buffered: see `cork`.
        unsent: the streams to flush after the present event; only the network thread adds to it.
        corked: the streams to flush when the thread uncorks.
    """

    def __init__(self, name: str, *, daemon: bool = True) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        with contextlib.suppress(OSError):
            # On Windows this is a TCP connection. Without the option, a byte waits until the last one is acknowledged.
            self._wake_sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._woken)
        self._soon: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_numbers = itertools.count()
        self._deferred: list[Callable[[], object]] = []
        self._writers: weakref.WeakSet[Writer] = weakref.WeakSet()
        self._stopping = False
        self._lending = Lending(self.wake)
        self.runner: int | None = None
        self.corked_by: int | None = None
        self.unsent: dict[Writer, None] = {}
        self.corked: dict[Writer, None] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        _loops.add(self)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system cannot start another thread; the loop cannot be used any more.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._finish()
            raise

    def stop(self) -> None:
        """End the thread; from any thread, also from the network thread itself."""
        self.call_soon(self._stop)

    @property
    def started(self) -> bool:
        """True once the thread has been started."""
        return self._thread.ident is not None

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended, unless this is it; False if it has not within `timeout` seconds."""
        if self.started and not self.on_thread() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def on_thread(self) -> bool:
        """True on the thread that runs the loop now."""
        return threading.get_ident() == self.runner

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` on the network thread; may be called from any thread."""
        self._soon.append(callback)
        self.wake()

    def wake(self) -> None:
        """End a wait for events; from any thread."""
        if threading.get_ident() == self.runner:
            return
        with contextlib.suppress(BlockingIOError, OSError):  # A full pipe wakes the loop as well.
            self._wake_sender.send(b"\0", NO_SIGNAL)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` after `delay` seconds; only on the network thread."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._timer_numbers), timer))
        return timer

    def call_deferred(self, callback: Callable[[], object]) -> None:
        """Run `callback` after the next event, or after a millisecond if none arrives; only on the network thread."""
        self._deferred.append(callback)

    def set_events(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` whenever `sock` is ready; 0 ends that. Only on the network thread."""
        if sock not in self._selector.get_map():
            if events:
                self._selector.register(sock, events, callback)
        elif events:
            self._selector.modify(sock, events, callback)
        else:
            self._selector.unregister(sock)

    def add(self, writer: Writer) -> None:
        """Close `writer` when the loop ends, unless it is closed by then."""
        self._writers.add(writer)

    @property
    def writers(self) -> tuple[Writer, ...]:
        """All connections on this loop that still exist."""
        return tuple(self._writers)

    def flush(self) -> None:
        """Send the bytes that wait for the end of the present event; only on the network thread."""
        while self.unsent:
            writers, self.unsent = self.unsent, {}
            for writer in writers:
                try:
                    writer.flush()
                except Exception:  # noqa: BLE001 - logged there
                    _log_own_error()

    # -- other threads

    @property
    def borrowed(self) -> bool:
        """True while another thread borrows the loop: see `lending`."""
        return self._lending.borrowed

    def run_here(self, timeout: float | None, until: Callable[[], bool]) -> bool:
        """Run the loop on this thread until `until()`, or for `timeout` seconds, None for ever.

        Returns:
            False if the loop has stopped.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._lending.enter()
        try:
            while not self._stopping and not until():
                self._iterate(None if deadline is None else max(0.0, deadline - time.monotonic()))
                if deadline is not None and time.monotonic() >= deadline:
                    break
        finally:
            self._lending.leave()
        return not self._stopping

    def reclaim(self) -> None:
        """End a loan at once: the borrower is about to wait for an answer that only the network can bring."""
        self._lending.reclaim()

    def cork(self) -> None:
        """Buffer this thread's sends until `uncork()`, `run_here()` or the loop's next iteration.

        Without it, `serve_forever` runs at 0.80 of the rate with 8 callers and at 0.71 with 64 (docs/bench/without.md).
        """
        self.corked_by = threading.get_ident()

    def uncork(self) -> None:
        """End `cork`, and send the buffered bytes."""
        self.corked_by = None
        self._flush_corked()

    def _flush_corked(self) -> None:
        while self.corked:
            # Another thread may flush at the same time.
            with contextlib.suppress(KeyError):
                self._guarded(self.corked.popitem()[0].flush)

    # -- the network thread

    def _run(self) -> None:
        while not self._stopping:
            if self._lending.borrowed:
                self._lending.wait_for_borrower()
            else:
                with self._lending.running:
                    if not self._lending.borrowed:
                        self._iterate(None)
        with self._lending.running:
            self.runner = threading.get_ident()
            for writer in self.writers:
                self._guarded(writer.close, "this node stops")
            self._finish()
            # The system may give the identifier of this thread to another one.
            self.runner = None

    def _iterate(self, longest: float | None) -> None:
        """Wait for events and timers, at most `longest` seconds, and handle them."""
        self.runner = threading.get_ident()
        if self.corked:
            self._flush_corked()
        deferred, self._deferred = self._deferred, []
        if deferred:
            longest = _DEFER_TIME if longest is None else min(longest, _DEFER_TIME)
        if self._soon:
            longest = 0.0
        elif self._timers:
            left = max(0.0, self._timers[0][0] - time.monotonic())
            longest = left if longest is None else min(left, longest)
        ready = self._selector.select(longest)
        for callback in deferred:
            self._guarded(callback)
        for key, events in ready:
            try:
                key.data(events)
            except Exception:  # noqa: BLE001 - logged there
                _log_own_error()
            if self.unsent:
                self.flush()
        if self._soon or (self._timers and self._timers[0][0] <= time.monotonic()):
            self._run_due()
        if self.unsent:
            self.flush()
        self.runner = None

    def _run_due(self) -> None:
        for _ in range(len(self._soon)):
            self._guarded(self._soon.popleft())
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                self._guarded(timer.callback)

    def _guarded(self, callback: Callable[..., object], *args: object) -> None:
        try:
            callback(*args)
        except Exception:  # noqa: BLE001 - logged there
            _log_own_error()

    def _stop(self) -> None:
        self._stopping = True
        self._lending.reclaim()

    def _woken(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(4096)

    def _finish(self) -> None:
        """Close the sockets that are left: pending connections, and the loop's own."""
        _loops.discard(self)
        for key in tuple((self._selector.get_map() or {}).values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def abandon(self) -> None:
        """After a fork, in the child: close this process's copies of the parent's sockets, and send nothing."""
        for writer in self.writers:
            writer.abandon()
        self._soon.clear()
        self._finish()


def _log_own_error() -> None:
    log.exception("an error of this program's own on the network thread; the thread continues")


_loops: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def _abandon_all() -> None:
    for loop in tuple(_loops):
        loop.abandon()


# A forked child has the parent's sockets but not its threads: bytes that it sent would land in the parent's
# connections, and a connection would end for the peer only when both processes have closed it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
