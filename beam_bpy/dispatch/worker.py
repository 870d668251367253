"""The thread that drains the queue of a server, when neither a host nor `serve_forever` does."""

import threading

from beam_bpy.dispatch.call_queue import CallQueue


class Worker:
    """One thread that drains a queue. It does not keep the interpreter alive.

    Args:
        calls: the queue.

    Raises:
        RuntimeError: the system cannot start another thread.
    """

    def __init__(self, calls: CallQueue) -> None:
        self._calls = calls
        self._stopping = threading.Event()
        self._handing_over = False
        self._thread = threading.Thread(target=self._run, name="beam_bpy worker", daemon=True)
        self._thread.start()

    def stop(self, *, hand_over: bool = False, patience: float | None = None) -> None:
        """End the thread after the handler that runs; queued calls stay queued.

        Args:
            hand_over: True leaves the long calls that have begun to the thread that drains the queue from now on;
                default False closes them.
            patience: the longest time to wait for the handler, in seconds; default None, no limit.
        """
        self._handing_over = hand_over
        self._stopping.set()
        self._calls.wake()
        if not self.is_current():
            self.join(patience)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, at most `timeout` seconds."""
        self._thread.join(timeout)

    def is_current(self) -> bool:
        """True on the worker's thread."""
        return threading.current_thread() is self._thread

    def abandon(self) -> None:
        """After a fork, in the child: if the fork happened in a handler, end that thread after the handler."""
        self._stopping = threading.Event()
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._calls.wait(None):
                self._calls.drain(0.0)
        if not self._handing_over:
            self._calls.close()
