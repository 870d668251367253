"""The thread that drains the queue of a server, when neither a host nor `serve_forever` does."""

import threading

from beam_bpy.dispatch.call_queue import CallQueue


class Worker:
    """One thread that drains a queue. It does not keep the interpreter alive.

    Args:
        calls: the queue.
        after: the worker that has drained the queue before and may still run a handler; default None.

    Raises:
        RuntimeError: the system cannot start another thread.
    """

    def __init__(self, calls: CallQueue, *, after: "Worker | None" = None) -> None:
        self._calls = calls
        self._after = after
        self._stopping = threading.Event()
        self._handing_over = False
        self._thread = threading.Thread(target=self._run, name="beam_bpy worker", daemon=True)
        self._thread.start()

    def stop(self, *, timeout: float | None = None, hand_over: bool = False) -> bool:
        """End the thread after the handler that runs; queued calls stay queued.

        Args:
            timeout: the longest time to wait for that handler, in seconds; default None, no limit. A handler that
                calls this method is not waited for.
            hand_over: True leaves the long calls that have begun to the thread that drains the queue from now on;
                default False closes them.

        Returns:
            True if the thread has ended.
        """
        self._handing_over = hand_over
        self._stopping.set()
        self._calls.wake()
        if not self.is_current():
            self.join(timeout)
        return not self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, at most `timeout` seconds, None for ever."""
        self._thread.join(timeout)

    def is_current(self) -> bool:
        """True on the worker's thread."""
        return threading.current_thread() is self._thread

    def abandon(self) -> None:
        """After a fork, in the child: if the fork happened in a handler, end that thread after the handler."""
        self._stopping = threading.Event()
        self._stopping.set()

    def _run(self) -> None:
        after, self._after = self._after, None
        if after is not None:
            after._thread.join()
        while not self._stopping.is_set():
            if self._calls.wait(None):
                self._calls.drain(0.0)
        if not self._handing_over:
            self._calls.close()
