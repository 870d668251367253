"""Which thread runs the loop: its own thread, or a thread that borrows it.

Waking another thread takes longer than a call does. So a thread that waits for calls and runs their handlers (Blender's
main thread, the worker) borrows the loop while it waits: it reads the sockets itself, and a call needs no other thread.
While the borrower runs a handler, nobody reads. So the loop's own thread takes the loop back after `MAX_ABSENCE`
seconds: no handler, however slow, keeps ticks from being sent.

    borrowed  borrower  the loop's own thread
    no        -         runs the loop
    yes       inside    waits until the borrower leaves
    yes       outside   waits `MAX_ABSENCE` seconds for the borrower to enter again, then ends the loan

A borrower enters and leaves with every call, and that must cost next to nothing. So the own thread does not wait for
each leave: it checks every `MAX_ABSENCE` seconds whether the borrower has entered since, and waits only for one that
stays.

`reclaim` ends a loan at once: the borrower is about to wait for an answer that only the network can bring.

Without lending, calls through a queue run at 0.88 of the rate with one caller, at 0.90 with 8 and at 0.81 with 64
(docs/bench/without.md).
"""

import threading
from collections.abc import Callable

MAX_ABSENCE = 0.002
"""The longest time for which a borrower may do something else before the loop's own thread takes the loop back, in
seconds."""


class Lending:
    """The rule of the table above. `running` is the lock that the thread which runs the loop holds."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._inside = False
        self._entries = 0
        self._waits_for_leave = False
        self._left = threading.Event()
        self._reclaimed = threading.Event()
        self.running = threading.Lock()
        self.borrowed = False

    def enter(self) -> None:
        """The calling thread borrows the loop; it returns when no other thread runs it."""
        with self._lock:
            self.borrowed = self._inside = True
            self._entries += 1
        if not self.running.acquire(blocking=False):
            self._wake()
            self.running.acquire()

    def leave(self) -> None:
        """The calling thread does something else from now on."""
        self.running.release()
        self._inside = False
        if self._waits_for_leave:
            self._left.set()

    def reclaim(self) -> None:
        """End the loan now, and not only after `MAX_ABSENCE` seconds; from any thread."""
        self._reclaimed.set()

    def wait_for_borrower(self) -> None:
        """On the loop's own thread: wait for the borrower, or end the loan if it stays away."""
        entries = self._entries
        reclaimed = self._reclaimed.wait(MAX_ABSENCE)
        with self._lock:
            inside = self._inside
            if not inside and (reclaimed or entries == self._entries):
                self.borrowed = False
        if reclaimed:
            self._reclaimed.clear()
        if inside and entries == self._entries:
            self._wait_for_leave()

    def _wait_for_leave(self) -> None:
        self._left.clear()
        self._waits_for_leave = True
        # The borrower may have left before it could see the flag.
        if self._inside:
            self._left.wait()
        self._waits_for_leave = False
