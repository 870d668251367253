"""Where a handler runs.

A handler registered with `inline=True` runs on the network thread, where the call arrives. All others go through a
`CallQueue`, and one thread drains it: Blender's main thread, the thread inside `BeamServer.serve_forever`, or else
a `Worker` of the server's own. So no two queued handlers ever run at once.

A program with a main thread of its own installs its queue for the whole process (`install_host_queue`); from then on
the handlers of every server in the process go there. That is how the extension gets the handlers of a server that
somebody's script made, without this package knowing of Blender.
"""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from beam_bpy.limits import Load
from beam_bpy.logs import log


class Runnable:
    """What a queue holds.

    Attributes:
        progress: what it has to say of how far it is.
        load: where it counts for as long as it waits or runs; None for nowhere.
    """

    __slots__ = ()

    progress: Any = None
    load: Load | None = None

    @property
    def name(self) -> str:
        """What the user calls it: the name of a handler."""
        return ""

    @property
    def wanted(self) -> bool:
        """False once nobody waits for it any more."""
        return True

    @property
    def changes_scene(self) -> bool:
        """Whether a host with a window lets it wait while the user works with a tool."""
        return False

    @property
    def safe_during_jobs(self) -> bool:
        """Whether a host runs it while the host renders or bakes in the background."""
        return True

    @property
    def max_wait(self) -> float | None:
        """The longest time that a host may let it wait for a tool or a job, in seconds; None for no limit."""
        return None

    @property
    def caller(self) -> Any:
        """Whose work it is, something to compare; None when nobody says."""
        return None

    @property
    def undo(self) -> str | None:
        """The name of the undo step that it makes; None for none."""
        return None

    def run(self) -> bool:
        """Run it, or a slice of it; True when it wants to be run again. Never raises."""
        raise NotImplementedError

    def close(self) -> None:
        """It will not be run again, though it wanted to be."""

    def refuse(self, sentence: str) -> None:
        """It is not run, or not to its end, because the host is busy; `sentence` says with what."""
        self.close()


class Source(Protocol):
    """Where calls come from: a loop that the thread that drains may run while it waits (`transport.Loop`)."""

    @property
    def lent(self) -> bool:
        """True while the thread that drains runs it, on and off."""

    def run_here(self, timeout: float | None, until: Callable[[], bool]) -> bool:
        """Run it on this thread until `until()`, or for `timeout` seconds; False if it has stopped."""

    def wake(self) -> None:
        """End a wait inside `run_here`; from any thread."""

    def hold(self) -> None:
        """Let what this thread sends wait, so that several answers go out together."""

    def release(self) -> None:
        """End `hold`, and send what has waited."""


class WaitingCall(NamedTuple):
    """A call that the host is too busy to run.

    Attributes:
        call: the call.
        reason: what it waits for, such as the name of a tool.
        since: when it began to wait, by `time.monotonic`.
    """

    call: Runnable
    reason: str
    since: float


def run_plainly(call: Runnable) -> bool:
    """What a queue does with a call unless its host wants more."""
    return call.run()


class CallQueue:
    """Calls that wait for the thread that runs handlers. Any thread puts, one thread drains.

    A long call (a handler that is a generator) runs in slices, between which others get their turn: a `drain` begins
    with one slice, or with a queued call when the last that ran was a slice, and runs more slices when nothing else is
    queued. So neither keeps the other waiting, however short the budget.

    Args:
        run: called with each call, or each slice of one, on the thread that drains: a host's way to set the scene
            for its handlers. It returns what the call's `run` has returned. Default: nothing but that.
        busy_with: called before that; a host returns what the call has to wait for, such as the name of a tool, and
            None for a call that may run. Waiting calls keep their order, and other calls pass them. Default: no call
            waits.
    """

    def __init__(
        self,
        run: Callable[[Runnable], bool] = run_plainly,
        busy_with: Callable[[Runnable], str | None] | None = None,
    ) -> None:
        self._run = run
        self._busy_with = busy_with
        self._waiting: deque[WaitingCall] = deque()
        self._calls: queue.SimpleQueue[Runnable | None] = queue.SimpleQueue()
        self._next: Runnable | None = None
        self._put_back: deque[Runnable] = deque()
        self._unfinished: deque[Runnable] = deque()
        self._sources: list[Source] = []
        self._slice_was_last = False

    def __len__(self) -> int:
        queued = self._calls.qsize() + (self._next is not None)
        return queued + len(self._waiting) + len(self._put_back) + len(self._unfinished)

    @property
    def waiting(self) -> tuple[WaitingCall, ...]:
        """The calls that the host is too busy to run."""
        return tuple(self._waiting)

    def put(self, call: Runnable) -> None:
        """Queue a call; from any thread."""
        if call.load is not None:
            call.load.begin()
        self._calls.put(call)
        self._wake_source()

    def put_back(self, call: Runnable) -> None:
        """Queue a call again that has been put aside, before those that came after it; from any thread."""
        self._put_back.append(call)
        self.wake()

    def wake(self) -> None:
        """Make a `wait` that is going on return; from any thread."""
        self._calls.put(None)
        self._wake_source()

    def attach(self, source: Source) -> None:
        """Let the thread that drains run `source` while it waits; not while there are several."""
        self._sources.append(source)

    def detach(self, source: Source) -> None:
        """Undo `attach`."""
        if source in self._sources:
            self._sources.remove(source)

    @property
    def expecting(self) -> bool:
        """Whether a `drain` may find something: calls, or a source that nobody else looks after just now."""
        return bool(self) or any(source.lent for source in self._sources)

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds, None for ever, for a call; False when there is none or `wake` was called."""
        if self._unfinished or self._put_back:
            return True
        if self._next is None:
            self._next = self._take(timeout)
        return self._next is not None

    def drain(self, budget: float, linger: float = 0.0) -> int:
        """Run queued calls on this thread; returns how many were run.

        Args:
            budget: seconds after which no further call is begun.
            linger: seconds to wait for a next call after each one, within the budget. A caller that sends its next
                call when it has the answer to the last one is then served without waiting for the next `drain`.
        """
        deadline = time.perf_counter() + budget
        served = 0
        self._end_waits()
        call = None if self._unfinished and not self._slice_was_last else self._take(0.0)
        if call is None:
            call = self._next_slice()
        while call is not None:
            load = call.load
            if not self._has_to_wait(call) and (load is None or not load.put_aside(call, self.put_back)):
                self._hold_answer()
                if self._run_guarded(call):
                    self._unfinished.append(call)
                elif load is not None:
                    load.end()
                served += 1
            left = deadline - time.perf_counter()
            if left <= 0.0:
                break
            call = self._take(0.0 if self._unfinished else min(linger, left))
            if call is None:
                call = self._next_slice()
        for source in tuple(self._sources):
            source.release()
        return served

    def _has_to_wait(self, call: Runnable) -> bool:
        reason = self._busy_with(call) if self._busy_with is not None and call.wanted else None
        if reason is None:
            return False
        self._waiting.append(WaitingCall(call, reason, time.monotonic()))
        return True

    def _end_waits(self) -> None:
        """Queue the calls again that need not wait any more, and refuse those that have waited too long."""
        for _ in range(len(self._waiting)):
            entry = self._waiting.popleft()
            call, reason = entry.call, self._busy_with(entry.call) if self._busy_with is not None else None
            if reason is None or not call.wanted:
                self._put_back.append(call)
            elif call.max_wait is not None and time.monotonic() - entry.since >= call.max_wait:
                call.refuse(f"busy with {reason} for more than {call.max_wait:g} seconds: call again later")
                self._done(call)
            else:
                self._waiting.append(entry._replace(reason=reason))

    @staticmethod
    def _done(call: Runnable) -> None:
        if call.load is not None:
            call.load.end()

    def _run_guarded(self, call: Runnable) -> bool:
        """Whatever a host, or an answer, does wrong costs this call and no other: the thread goes on."""
        try:
            return self._run(call)
        except Exception:
            log.exception("an error of this program's own ends a call")
            with contextlib.suppress(Exception):
                call.close()
            return False

    def _hold_answer(self) -> None:
        """The answer to a call waits for the next one's, if that waits already."""
        for source in tuple(self._sources):
            if source.lent and not self._calls.empty():
                source.hold()
            else:
                source.release()

    def close(self) -> None:
        """Close the long calls that have begun; on the thread that drains, which will drain no more."""
        waiting = deque(entry.call for entry in self._waiting)
        self._waiting.clear()
        for calls in (waiting, self._unfinished, self._put_back):
            while calls:
                call = calls.popleft()
                call.close()
                self._done(call)

    def _next_slice(self) -> Runnable | None:
        self._slice_was_last = bool(self._unfinished)
        return self._unfinished.popleft() if self._unfinished else None

    def _take(self, timeout: float | None) -> Runnable | None:
        self._slice_was_last = False
        if self._put_back:
            return self._put_back.popleft()
        call, self._next = self._next, None
        if call is not None:
            return call
        try:
            if timeout != 0.0 and not self._listen(timeout):
                return self._calls.get(timeout=timeout)
            if timeout == 0.0 and self.expecting:
                self._listen(0.0)
            while call is None:  # A wake that nobody waited for hides no call.
                call = self._calls.get_nowait()
            return call
        except queue.Empty:
            return None

    def _listen(self, timeout: float | None) -> bool:
        """Wait for calls where they come from; False if that is not possible."""
        if not self._calls.empty():
            return True
        return len(self._sources) == 1 and self._sources[0].run_here(timeout, self._has_arrived)

    def _has_arrived(self) -> bool:
        return not self._calls.empty()

    def _wake_source(self) -> None:
        for source in tuple(self._sources):
            source.wake()


class Worker:
    """One thread that drains a queue.

    Args:
        calls: the queue.
        daemon: True lets the interpreter end while the worker runs.
    """

    def __init__(self, calls: CallQueue, *, daemon: bool) -> None:
        self._calls = calls
        self._stopping = threading.Event()
        self._handing_over = False
        self._thread = threading.Thread(target=self._run, name="beam_bpy worker", daemon=daemon)
        self._thread.start()

    def stop(self, *, hand_over: bool = False) -> None:
        """End the thread once the handler that runs has returned; what is queued stays queued.

        Args:
            hand_over: True leaves the long calls that have begun to the thread that drains the queue from now on;
                default False closes them.
        """
        self._handing_over = hand_over
        self._stopping.set()
        self._calls.wake()
        if not self.is_current():
            self._thread.join()

    def is_current(self) -> bool:
        """True on the worker's thread."""
        return threading.current_thread() is self._thread

    def abandon(self) -> None:
        """After a fork, in the child: let the thread that runs a handler there, if it does, end with it."""
        self._stopping = threading.Event()
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._calls.wait(None):
                self._calls.drain(0.0)
        if not self._handing_over:
            self._calls.close()


_host_queue: CallQueue | None = None


def install_host_queue(calls: CallQueue) -> None:
    """Send the handlers of every server in this process to `calls`, which the host drains on its main thread.

    Raises:
        RuntimeError: another queue is installed.
    """
    global _host_queue
    if _host_queue is not None:
        raise RuntimeError("this process has a host queue already: remove it first")
    _host_queue = calls


def remove_host_queue(calls: CallQueue) -> None:
    """Undo `install_host_queue`; nothing happens when `calls` is not the one that is installed."""
    global _host_queue
    if _host_queue is calls:
        _host_queue = None


def host_queue() -> CallQueue | None:
    """The queue that the host has installed, if any."""
    return _host_queue
