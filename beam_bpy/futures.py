"""Set the result or the exception of a future, unless it is done: another thread may have cancelled it."""

import concurrent.futures
from typing import Any

from beam_bpy.logger import log


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
