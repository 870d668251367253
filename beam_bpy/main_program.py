"""How the main program of this process has ended: by itself, or with an exception.

A program such as

    server.start()

ends at once, and the server has to go on. A program that fails, or that calls `sys.exit`, has to end together with its
server. Both look the same at the end of the interpreter: `sys.excepthook` does not see `SystemExit`. But the outermost
frame of the main thread has executed a return instruction only in the first case.
"""

import concurrent.futures.thread
import dis
import os
import sys
import threading
import types
from collections.abc import Callable

# `threading` calls the callbacks in reverse order. The one of `call_at_end` has to run before the one of this module,
# after which no executor accepts work: handlers use executors until the server stops.
assert concurrent.futures.thread

_frame: types.FrameType | None = None
_registered: set[Callable[[], None]] = set()
_ended = False


def call_at_end(callback: Callable[[], None]) -> bool:
    """Call `callback` on the main thread when the main program has ended, before Python waits for other threads.

    The main program is the one that the main thread runs now.

    Returns:
        False if the main program has ended already. Then nothing is called.
    """
    global _frame
    if _ended:
        return False
    _frame = _outermost(sys._current_frames().get(threading.main_thread().ident or 0))
    if callback not in _registered:
        try:
            # `atexit` is too late: its callbacks run after Python has waited for all threads and after the callbacks
            # that the program registered later, which may delete files or close what the handlers use.
            threading._register_atexit(callback)  # type: ignore[attr-defined]
        except RuntimeError:  # The main program has ended.
            return False
        _registered.add(callback)
    return True


def ended_by_itself() -> bool:
    """True if the main program has run to its end; False after an exception, `sys.exit`, or an interactive session.

    Only for the callback of `call_at_end`. It forgets the main program, whose objects must not outlive it.
    """
    global _frame, _ended
    frame, _frame = _frame, None
    _ended = True
    if frame is None or hasattr(sys, "ps1"):
        return False
    last_instruction = frame.f_code.co_code[frame.f_lasti]
    return dis.opname[last_instruction].startswith("RETURN_")


def _outermost(frame: types.FrameType | None) -> types.FrameType | None:
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _begin_again() -> None:
    """After a fork, in the child: the thread that has forked is the main thread now."""
    global _ended
    _ended = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
