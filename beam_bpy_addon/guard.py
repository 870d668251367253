"""Errors of the extension's own code, in the tick and while Blender draws: each is logged once.

Blender removes a timer whose callback raises. It draws a panel many times a second, and prints each exception again.
"""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

log = logging.getLogger("beam_bpy.blender")

_logged: set[tuple[str, str]] = set()


def guarded(part: Callable[[], object]) -> None:
    """Call `part`. If it raises an exception, log that, unless the same exception has been logged for this part."""
    try:
        part()
    except BaseException as error:  # noqa: BLE001 - not even SystemExit may end the tick
        _log_once(part.__qualname__, error)


def logged_once(
    result: Result,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a function that Blender calls while it draws; after an exception it returns `result`."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - logged there
                _log_once(function.__qualname__, error)
                return result

        return call

    return decorate


def _log_once(where: str, error: BaseException) -> None:
    key = where, type(error).__name__
    if key not in _logged:
        _logged.add(key)
        log.error("%s failed; Beam-BPy continues, and logs this only once", where, exc_info=error)
