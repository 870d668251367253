"""The queue of calls that wait for the thread that runs handlers."""

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.logger import log

if TYPE_CHECKING:
    from beam_bpy.dispatch.tasks import Tasks


TICK = 0.005
"""The longest time from a call until its `after_tick` functions run, in seconds, if no call runs longer."""


class Source(Protocol):
    """The origin of calls: a loop that the draining thread may borrow while it waits (`transport.loop.Loop`)."""

    @property
    def borrowed(self) -> bool:
        """True while the draining thread borrows it."""

    def run_here(self, timeout: float | None, until: Callable[[], bool]) -> bool:
        """Run it on this thread until `until()`, or for `timeout` seconds; False if it has stopped."""

    def wake(self) -> None:
        """End a wait inside `run_here`; from any thread."""

    def cork(self) -> None:
        """Buffer this thread's sends, so that several answers leave together."""

    def uncork(self) -> None:
        """End `cork`, and send the buffered bytes."""


class WaitingCall(NamedTuple):
    """A call that waits because the host is busy.

    Attributes:
        call: the call.
        reason: the tool or job that it waits for.
        since: the time at which it began to wait, by `time.monotonic`.
    """

    call: Runnable
    reason: str
    since: float


class CallQueue:
    """Calls that wait for the thread that runs handlers. Any thread puts, one thread drains.

    A long call (a handler that is a generator) runs in slices, between which other calls run: a `drain` begins with one
    slice, or with a queued call if a slice ran last, and runs further slices when nothing else is queued. So neither
    delays the other, however short the budget is.

    A call of an `async def` handler becomes a task, see `tasks`. A step of all tasks counts as a slice.

    The functions in a call's `after_tick` run at the end of the `drain`, and in a long `drain` after `TICK`. A function
    runs once, however many calls have it.

    Args:
        run: called with each call or slice on the draining thread, so that a host can prepare for its handlers. It
            returns the result of the call's `run`. Default None: the call's `run` itself.
        busy_with: called before that; a host returns the tool or job that the call has to wait for, and None for a call
            that may run. Waiting calls keep their order, and other calls pass them. Default None: no call waits.

    Attributes:
        running: the call that runs now; None between two calls.
        running_since: the time at which it began, by `time.monotonic`.
    """

    def __init__(
        self,
        run: "Callable[[Runnable], bool | Coroutine[Any, Any, None]] | None" = None,
        busy_with: Callable[[Runnable], str | None] | None = None,
    ) -> None:
        self._run = run
        self._busy_with = busy_with
        self._calls: queue.SimpleQueue[Runnable | None] = queue.SimpleQueue()
        self._next: Runnable | None = None
        self._returned: deque[Runnable] = deque()
        self._unfinished: deque[Runnable] = deque()
        self._waiting: deque[WaitingCall] = deque()
        self._sources: tuple[Source, ...] = ()
        self._tasks: Tasks | None = None
        self._slice_was_last = False
        self._step_was_last = False
        self._corked = False
        self._closed = False
        self._thread: int | None = None
        self._last_ones: list[tuple[Runnable, Callable[[], object]]] = []
        # In the order of the calls; the values mean nothing.
        self._after_tick: dict[Callable[[], object], None] = {}
        self._tick_ends = 0.0
        self.running: Runnable | None = None
        self.running_since = 0.0

    def __len__(self) -> int:
        queued = self._calls.qsize() + (self._next is not None)
        tasks = 0 if self._tasks is None else len(self._tasks)
        return queued + len(self._waiting) + len(self._returned) + len(self._unfinished) + tasks

    @property
    def waiting(self) -> tuple[WaitingCall, ...]:
        """The calls that wait because the host is busy."""
        return tuple(self._waiting)

    @property
    def long_calls(self) -> tuple[Runnable, ...]:
        """The long calls that have begun; on the draining thread, between two drains."""
        tasks = () if self._tasks is None else self._tasks.calls
        return (*self._unfinished, *tasks)

    def cancel(self, call: Runnable, sentence: str) -> bool:
        """End a long call between two slices; on the draining thread. False if it has ended already.

        Args:
            call: one of `long_calls`.
            sentence: the reason, for its caller.
        """
        if self._tasks is not None and call in self._tasks.calls:
            call.cancel(sentence)
            return self._tasks.cancel(call)
        if call not in self._unfinished:
            return False
        self._unfinished.remove(call)
        call.cancel(sentence)
        _end(call)
        return True

    def put(self, call: Runnable) -> None:
        """Queue a call; from any thread."""
        if call.load is not None:
            call.load.begin()
        self._calls.put(call)
        for source in self._sources:
            source.wake()

    def unpark(self, call: Runnable) -> None:
        """Queue a parked call again, before all calls that came after it; from any thread."""
        self._returned.append(call)
        self.wake()

    def wake(self) -> None:
        """End a `wait`; from any thread."""
        self._calls.put(None)
        for source in self._sources:
            source.wake()

    def attach(self, source: Source) -> None:
        """Let the draining thread borrow `source` while it waits. With several sources it borrows none."""
        self._sources = (*self._sources, source)

    def detach(self, source: Source) -> None:
        """Undo `attach`."""
        self._sources = tuple(other for other in self._sources if other is not source)

    @property
    def expecting(self) -> bool:
        """True if a `drain` may find something: calls, or a source that only the draining thread runs."""
        return bool(self) or self._tasks_left() == 0.0 or any(source.borrowed for source in self._sources)

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds, None for ever, for a call; False when there is none or `wake` was called."""
        if self._unfinished or self._returned:
            return True
        left = self._tasks_left()
        if left != math.inf:
            timeout = left if timeout is None else min(timeout, left)
        if self._next is None:
            self._next = self._take(timeout)
        return self._next is not None or self._tasks_left() == 0.0

    def drain(self, budget: float, linger: float = 0.0) -> int:
        """Run queued calls on this thread; returns how many were run.

        Args:
            budget: seconds after which no further call is begun.
            linger: seconds to wait for the next call after each one, within the budget. A caller that sends its next
                call when it has the answer is then served without waiting for the next `drain`.
        """
        deadline = time.perf_counter() + budget
        served = 0
        self._thread = threading.get_ident()
        self._closed = False
        if self._waiting:
            self._end_waits()
        call = None if self._has_slices() and not self._slice_was_last else self._take(0.0)
        if call is None:
            call = self._next_slice()
        while call is not None:
            if not self._is_delayed(call):
                self._cork(more=not self._calls.empty())
                self._run_guarded(call)
                served += 1
            left = deadline - time.perf_counter()
            if left <= 0.0 or self._closed:
                break
            timeout = 0.0 if self._unfinished else min(linger, left)
            if self._tasks is not None:
                timeout = min(timeout, self._tasks.left())
            call = self._take_in_tick(timeout) if self._after_tick else self._take(timeout)
            if call is None:
                call = self._next_slice()
        if self._after_tick:
            self._end_tick()
        self._cork(more=False)
        return served

    def _take_in_tick(self, timeout: float) -> Runnable | None:
        """Wait up to `timeout` seconds for a call. Run the `after_tick` functions when it is time."""
        left = max(0.0, self._tick_ends - time.perf_counter())
        call = self._take(min(timeout, left))
        if time.perf_counter() >= self._tick_ends:
            self._end_tick()
        return call if call is not None or timeout <= left else self._take(timeout)

    def _note_after_tick(self, function: Callable[[], object]) -> None:
        if not self._after_tick:
            self._tick_ends = time.perf_counter() + TICK
        self._after_tick[function] = None

    def _end_tick(self) -> None:
        """Run the `after_tick` functions of the calls that have run, unless the queue was closed."""
        functions, self._after_tick = self._after_tick, {}
        for function in functions if not self._closed else ():
            try:
                function()
            except BaseException:  # Not even SystemExit may end the draining thread.
                log.exception("the function after_tick %r failed", function)

    @property
    def runs_here(self) -> bool:
        """True inside a call: on the draining thread, while a call runs."""
        return self.running is not None and threading.get_ident() == self._thread

    @property
    def drained_by_main_thread(self) -> bool:
        """True if the main thread drains."""
        return self._thread == threading.main_thread().ident

    def run_last(self, call: Runnable, afterwards: Callable[[], object]) -> None:
        """Call `afterwards` once `call` has run: at once, if it does not run now. A long call ends with its slice.

        From any thread. `afterwards` is called on that thread or on the draining thread.
        """
        self._last_ones.append((call, afterwards))
        if self.running is not call:
            self._end_last_ones()

    def _end_last_ones(self) -> None:
        for entry in tuple(self._last_ones):
            call, afterwards = entry
            # The draining thread and the caller of `run_last` may get here at the same time; one of them removes it.
            with contextlib.suppress(ValueError):
                if call is not self.running:
                    self._last_ones.remove(entry)
                    afterwards()

    def close(self) -> None:
        """Close the long calls that have begun; on the draining thread. A `drain` in progress ends with its call."""
        self._closed = True
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.close()
        waiting = deque(entry.call for entry in self._waiting)
        self._waiting.clear()
        for calls in (waiting, self._unfinished, self._returned):
            while calls:
                call = calls.popleft()
                call.close()
                _end(call)

    def _is_delayed(self, call: Runnable) -> bool:
        """Let a call wait for the host, or park it until its peer reads; True if so."""
        if self._busy_with is not None and call.wanted and (reason := self._busy_with(call)) is not None:
            self._waiting.append(WaitingCall(call, reason, time.monotonic()))
            return True
        return call.load is not None and call.load.park(call, self.unpark)

    def _end_waits(self) -> None:
        """Queue the calls again for which the host is no longer busy; refuse those that have waited too long."""
        for _ in range(len(self._waiting)):
            entry = self._waiting.popleft()
            call, reason = entry.call, self._busy_with(entry.call) if self._busy_with is not None else None
            if reason is None or not call.wanted:
                self._returned.append(call)
            elif call.max_wait is not None and time.monotonic() - entry.since >= call.max_wait:
                call.refuse(f"busy with {reason} for more than {call.max_wait:g} seconds: call again later")
                _end(call)
            else:
                self._waiting.append(entry._replace(reason=reason))

    def _run_guarded(self, call: Runnable) -> None:
        """Run one call. An exception from the host's `run` or from the reply ends this call only."""
        self.running_since = time.monotonic()
        self.running = call
        try:
            more = call.run() if self._run is None else self._run(call)
            if more and (self._closed or self._last_ones):
                call.close()
                more = _closed(more)
        except BaseException:  # Not even SystemExit may end the draining thread.
            log.exception("an error of this program's own ends a call")
            with contextlib.suppress(BaseException):
                call.close()
            more = False
        self.running = None
        for function in call.after_tick:
            self._note_after_tick(function)
        if self._last_ones:
            self._end_last_ones()
        if more is True:
            self._unfinished.append(call)
        elif more:
            self._start_task(call, more)
        else:
            _end(call)

    def _start_task(self, call: Runnable, rest: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            # asyncio takes a while to import, and most programs have no such handlers.
            from beam_bpy.dispatch.tasks import Tasks

            self._tasks = Tasks(self.wake)
        # A task that waits is no work, so its peer may make other calls. `Limits.max_queued` limits the tasks.
        _end(call)
        self._tasks.start(call, rest)

    def _tasks_left(self) -> float:
        """Seconds until the next step of the tasks, or `math.inf`."""
        return math.inf if self._tasks is None else self._tasks.left()

    def _due_step(self) -> Runnable | None:
        """The step of the tasks, if something is ready and the host does not let it wait."""
        if self._tasks is None or self._tasks.left() != 0.0:
            return None
        step = self._tasks.step
        return None if any(entry.call is step for entry in self._waiting) else step

    def _has_slices(self) -> bool:
        return bool(self._unfinished) or self._due_step() is not None

    def _cork(self, *, more: bool) -> None:
        """Let an answer leave together with the next one, if the next call is queued already."""
        corked = more and len(self._sources) == 1 and self._sources[0].borrowed
        if corked == self._corked:
            return
        self._corked = corked
        for source in self._sources:
            if corked:
                source.cork()
            else:
                source.uncork()

    def _next_slice(self) -> Runnable | None:
        """A slice of a long call, or a step of the tasks; in turn, if there are both."""
        step = self._due_step()
        if step is not None and (not self._unfinished or not self._step_was_last):
            self._slice_was_last = self._step_was_last = True
            return step
        self._slice_was_last, self._step_was_last = bool(self._unfinished), False
        return self._unfinished.popleft() if self._unfinished else None

    def _take(self, timeout: float | None) -> Runnable | None:
        self._slice_was_last = False
        if self._returned:
            return self._returned.popleft()
        call, self._next = self._next, None
        if call is not None:
            return call
        try:
            if timeout != 0.0 and not self._listen(timeout):
                return self._calls.get(timeout=timeout)
            if timeout == 0.0 and self.expecting:
                self._listen(0.0)
            while call is None:  # None is a wake; a call may stand behind it.
                call = self._calls.get_nowait()
            return call
        except queue.Empty:
            return None

    def _listen(self, timeout: float | None) -> bool:
        """Wait for a call by running the only source; False if that is not possible."""
        if not self._calls.empty():
            return True
        return len(self._sources) == 1 and self._sources[0].run_here(timeout, self._has_arrived)

    def _has_arrived(self) -> bool:
        return not self._calls.empty()


def _closed(rest: bool | Coroutine[Any, Any, None]) -> bool:
    """Close the rest of a call that will not be run."""
    if rest is not True and rest is not False:
        rest.close()
    return False


def _end(call: Runnable) -> None:
    if call.load is not None:
        call.load.end()
