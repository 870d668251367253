"""Errors of the extension's own code, in the tick and while Blender draws: each is logged once.

Blender removes a timer whose callback raises. It draws a panel many times a second, and prints each exception again.
"""

import logging
from collections.abc import Callable
from types import TracebackType

log = logging.getLogger("beam_bpy.blender")

_logged: set[tuple[str, str]] = set()


class logged_once:  # noqa: N801 - used like the functions of contextlib
    """A context manager that ends an exception of its block, and logs it unless an equal one has been logged.

    Args:
        what: the name of the block, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if type_ is not None and (self._what, type_.__name__) not in _logged:
            _logged.add((self._what, type_.__name__))
            log.error("%s failed; Beam-BPy continues, and logs this only once", self._what, exc_info=error)
        return True


def guarded(part: Callable[[], object]) -> None:
    """Call `part`. An exception ends here, see `logged_once`."""
    with logged_once(f"{part.__module__}.{part.__qualname__}"):
        part()
