"""SIGINT (Ctrl-C) and SIGTERM while handlers run on the main thread."""

import signal
import threading
import types
from typing import Any


class StopSignals:
    """Notes the first signal, so that the server stops between two handlers and not inside one.

    The second signal has its usual effect, which ends a handler that hangs.

    Attributes:
        seen: True after the first signal.
    """

    def __init__(self) -> None:
        self.seen = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None is a handler that was not set by Python, as Blender's own are; Python cannot set it again.
                self._previous[number] = signal.signal(number, self._note) or signal.SIG_DFL

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: types.FrameType | None) -> None:
        self.seen = True
        signal.signal(number, self._previous[number])
