"""Calls of `async def` handlers: asyncio tasks on the thread that runs handlers.

The thread that drains a queue has other work than an event loop, so it runs the loop step by step: one iteration of
asyncio's loop is a slice, as that of any other long call. A step runs only when something is ready: a callback, a
timer, or a file descriptor. A task that waits costs nothing.
"""

import asyncio
import contextlib
import heapq
import math
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.logger import log

CHECK = 0.1
"""Seconds between two looks for calls whose caller no longer waits."""

POLL = 0.005
"""Seconds between two looks at the file descriptors of the tasks, such as sockets, if they have any."""

_END_TIME = 1.0
"""The longest time that cancelled tasks may take to end, in seconds."""


Arguments = TypeVarTuple("Arguments")


class _SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that somebody else runs step by step.

    Args:
        wake: called when a callback of another thread is ready; from any thread.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._times: list[float] = []
        self._ready_now = False
        self._next_poll = 0.0
        self._descriptors = selectors.DefaultSelector()
        super().__init__(self._descriptors)
        # The loop itself has one, which wakes it.
        self._own_descriptors = len(self._descriptors.get_map())

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop`."""
        self._ready_now = True
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop`."""
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._ready_now = True
        self._wake()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop`."""
        heapq.heappush(self._times, when)
        return super().call_at(when, callback, *args, context=context)

    def left(self) -> float:
        """Seconds until the next step; 0.0 if something is ready, `math.inf` if nothing is planned."""
        if self._ready_now:
            return 0.0
        left = max(0.0, self._times[0] - self.time()) if self._times else math.inf
        if len(self._descriptors.get_map()) > self._own_descriptors:
            return min(left, max(0.0, self._next_poll - self.time()))
        return left

    def step(self) -> None:
        """Run what is ready: one iteration of the loop."""
        now = self.time()
        while self._times and self._times[0] <= now:
            heapq.heappop(self._times)
        self._ready_now = False
        self._next_poll = now + POLL
        super().call_soon(self.stop)
        self.run_forever()


class TaskStep(Runnable):
    """One step of all tasks of a queue.

    Args:
        tasks: the tasks.
    """

    __slots__ = ("_tasks",)

    def __init__(self, tasks: "Tasks") -> None:
        self._tasks = tasks

    @property
    def name(self) -> str:
        """See `Runnable`."""
        return ", ".join(sorted({call.name for call in self._tasks.calls}))

    @property
    def changes_scene(self) -> bool:
        """See `Runnable`."""
        return any(call.changes_scene for call in self._tasks.calls)

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable`."""
        return all(call.safe_during_jobs for call in self._tasks.calls)

    def run(self) -> bool:
        """See `Runnable`."""
        self._tasks.run_step()
        return False


class Tasks:
    """The tasks of one queue. Only the draining thread uses it.

    Args:
        wake: see `CallQueue.wake`.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._loop = _SteppedLoop(wake)
        self._tasks: dict[Runnable, asyncio.Task[None]] = {}
        self._next_check = 0.0
        self._closing = False
        self.step = TaskStep(self)

    @property
    def calls(self) -> tuple[Runnable, ...]:
        """The calls that have not ended."""
        return tuple(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def left(self) -> float:
        """Seconds until the next step; 0.0 if it can run now, `math.inf` if nothing is planned."""
        left = self._loop.left()
        return min(left, max(0.0, self._next_check - self._loop.time())) if self._tasks else left

    def start(self, call: Runnable, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the rest of a call as a task.

        Args:
            call: the call.
            coroutine: answers the call in the end, and never raises.
        """
        if not self._tasks:
            self._next_check = self._loop.time() + CHECK
        task = self._loop.create_task(coroutine, name=call.name)
        self._tasks[call] = task
        task.add_done_callback(lambda _task: self._tasks.pop(call, None))

    def cancel(self, call: Runnable) -> bool:
        """Cancel the task of a call. Return False if it has ended."""
        task = self._tasks.get(call)
        return task is not None and task.cancel()

    def run_step(self) -> None:
        """Run what is ready, and cancel the calls whose caller no longer waits."""
        self._loop.step()
        if self._closing:
            self._finish()
        elif self._tasks and self._loop.time() >= self._next_check:
            self._next_check = self._loop.time() + CHECK
            for call, task in tuple(self._tasks.items()):
                if not call.continues:
                    task.cancel()

    def close(self) -> None:
        """Cancel all tasks, and end the loop; after the present step, if a task calls this."""
        self._closing = True
        if not self._loop.is_running():
            self._finish()

    def _finish(self) -> None:
        """Cancel the tasks, also those that handlers have created, and let them end."""
        for call in self.calls:
            call.close()
        end = self._loop.time() + _END_TIME
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        while asyncio.all_tasks(self._loop) and self._loop.time() < end:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_until_complete(asyncio.sleep(0.0))
        for task in asyncio.all_tasks(self._loop):
            log.warning("a task of a handler does not end, although it was cancelled: %r", task.get_coro())
        self._tasks.clear()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
