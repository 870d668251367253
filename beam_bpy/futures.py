"""Giving a future its outcome, unless it has one: whoever waited may have given it up on another thread."""

import concurrent.futures
from typing import Any

from beam_bpy.logger import log


def set_result(future: "concurrent.futures.Future[Any]", value: Any) -> None:
    """Let the future end with a value, if it has not ended."""
    if _claim(future):
        with _Callbacks():
            future.set_result(value)


def set_error(future: "concurrent.futures.Future[Any]", error: Exception) -> None:
    """Let the future end with an exception, if it has not ended."""
    if _claim(future):
        with _Callbacks():
            future.set_exception(error)


def _claim(future: "concurrent.futures.Future[Any]") -> bool:
    """False when the future has an outcome already, or was cancelled."""
    return not future.done() and future.set_running_or_notify_cancel()


class _Callbacks:
    """What a future's callbacks raise ends here: the future itself stops an Exception, but no SystemExit."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            log.error("a callback of a future failed: %s", type(error).__name__)
        return error is not None
