"""Futures between threads: await them, wait so that Ctrl-C is noticed, and set a result unless the future is done."""

import concurrent.futures
import time
from collections.abc import Generator
from typing import Any, TypeVar

from beam_bpy.logger import log

Result = TypeVar("Result")

_LONGEST_WAIT = 1.0
"""The longest wait without a break, in seconds. Python notices a signal that arrives directly before a wait only when
that wait ends."""


class CallFuture(concurrent.futures.Future[Result]):
    """The future of a call. An asyncio task can await it; cancelling the task cancels the future."""

    def __await__(self) -> Generator[Any, None, Result]:
        """Wait for the result in the event loop that runs."""
        import asyncio  # It takes a while to import, and a program that awaits has imported it.

        return asyncio.wrap_future(self).__await__()


def wait_for(future: "concurrent.futures.Future[Result]", timeout: float | None) -> Result:
    """Return the result of a future, or raise its exception.

    Args:
        future: the future.
        timeout: the longest time to wait, in seconds; None for no limit.

    Raises:
        TimeoutError: the future is not done in time. It can also be the exception of the future.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        rest = _LONGEST_WAIT if end is None else min(_LONGEST_WAIT, max(0.0, end - time.monotonic()))
        try:
            return future.result(rest)
        except concurrent.futures.TimeoutError:
            if future.done():
                return future.result()
            if end is not None and time.monotonic() >= end:
                raise


def set_result(future: "concurrent.futures.Future[Any]", value: Any) -> None:
    """Set the result of a future. Does nothing if the future is done."""
    if _claim(future):
        with _Callbacks():
            future.set_result(value)


def set_error(future: "concurrent.futures.Future[Any]", error: Exception) -> None:
    """Set the exception of a future. Does nothing if the future is done."""
    if _claim(future):
        with _Callbacks():
            future.set_exception(error)


def _claim(future: "concurrent.futures.Future[Any]") -> bool:
    """Return False if the future is done or was cancelled. Otherwise prevent that it is cancelled, and return True."""
    return not future.done() and future.set_running_or_notify_cancel()


class _Callbacks:
    """Logs and suppresses all exceptions of a future's callbacks.

    The future itself suppresses an Exception, but not other exceptions such as SystemExit.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            log.error("a callback of a future failed: %s", type(error).__name__)
        return error is not None
