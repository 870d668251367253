"""The option `--until-stdin-closes`: a node ends with its owner, the program that has started it.

Three means, because none is enough:

- The owner holds the other end of standard input. When the owner ends or closes it, a thread asks the server to stop,
  and ends the process some seconds later.
- A handler can hold Python's GIL in C code, as a render of Blender may for an hour, and then no thread of Python runs.
  So Linux is asked to kill this process when its parent ends: PR_SET_PDEATHSIG of prctl(2).
- Python can hang while it ends, and then no thread runs either. So SIGALRM ends the process a little later.
"""

import _thread
import argparse
import contextlib
import os
import select
import signal
import stat
import sys
import threading
import time

from beam_bpy.logger import log

OPTION = "--until-stdin-closes"

_KILL_AFTER = 5.0
"""The default of `--kill-after`, in seconds."""

_LOG_TIME = 1.0
"""The longest time to wait until a log line is written, in seconds: standard error may be a full pipe."""

_PR_SET_PDEATHSIG = 1

_PARENT_AT_START = os.getppid()


class OwnerError(Exception):
    """There is no owner to wait for; the message is a sentence that says why."""


def add_owner_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both `serve` commands about the end of the owner."""
    parser.add_argument(
        OPTION,
        action="store_true",
        help="stop the node, as SIGTERM does, when standard input closes: the owner, the program that has started the "
        "node, has ended or has closed the pipe. What standard input contains is discarded. On Linux, the system also "
        "ends the node at once with SIGKILL when the thread that has started it ends",
    )
    parser.add_argument(
        "--kill-after",
        type=_seconds,
        default=_KILL_AFTER,
        metavar="SECONDS",
        help="with --until-stdin-closes: how long a handler may go on after standard input has closed; then the "
        f"process ends whatever the handler does (default: {_KILL_AFTER:g})",
    )


def die_with_parent() -> None:
    """On Linux, let the system kill this process when the thread that has started it ends. Elsewhere, do nothing.

    Call this on the main thread: Linux forgets the request of another thread when that thread ends.
    """
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    except (ImportError, OSError, AttributeError) as error:  # A Python without ctypes, a C library without prctl.
        log.debug("the system cannot be asked to end this process with its parent: %s", error)


class Owner:
    """The program that has started this one.

    It has no reference to the server: the thread that waits lives as long as the interpreter, and what it refers to
    does, too. If that were the handlers and their bpy, the bpy module could not end.

    Args:
        kill_after: seconds after which the process ends, whatever the main thread does then.

    Attributes:
        gone: True when the owner has ended or has closed standard input.
    """

    def __init__(self, kill_after: float) -> None:
        self.gone = False
        self._kill_after = kill_after

    def watch(self) -> None:
        """Begin to wait for the end of the owner. Call this on the main thread, before anything that takes time.

        `serve_forever` then stops as if SIGTERM had come. If it does not run yet, its caller has to look at `gone`.

        Standard input is /dev/null afterwards, so that handlers and their child processes do not read from the owner.

        Raises:
            OwnerError: standard input is not connected to an owner, or the parent of this process has ended already.
        """
        die_with_parent()
        if os.getppid() != _PARENT_AT_START:
            raise OwnerError("the program that has started this one has ended already")
        owners_end = _take_standard_input()
        threading.Thread(target=self._wait, args=(owners_end,), name="beam_bpy owner", daemon=True).start()

    def _wait(self, owners_end: int) -> None:
        _read_to_end(owners_end)
        self.gone = True
        _end_a_hanging_exit(self._kill_after + 2 * _LOG_TIME)
        if callable(signal.getsignal(signal.SIGTERM)):
            _thread.interrupt_main(signal.SIGTERM)
        logged = threading.Event()
        # On a thread of its own: a log line that nobody reads must not delay the end.
        with contextlib.suppress(RuntimeError):  # The system or the interpreter starts no more threads.
            threading.Thread(target=self._log, args=(logged,), name="beam_bpy owner's end", daemon=True).start()
            logged.wait(_LOG_TIME)
        time.sleep(self._kill_after)
        os._exit(0)

    def _log(self, logged: threading.Event) -> None:
        log.info("standard input has closed: the node stops, and the process ends within %g seconds", self._kill_after)
        logged.set()


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 <= seconds <= threading.TIMEOUT_MAX:  # Not for nan.
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a time: write a number of seconds, 0 or above")


def _end_a_hanging_exit(seconds: float) -> None:
    """Let the system end this process by SIGALRM, in case that Python hangs while it ends and runs no more threads.

    The bpy module does so if a program leaves functions in bpy.app.handlers.
    """
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _take_standard_input() -> int:
    """Return a descriptor for what standard input is now, and let standard input be /dev/null."""
    if stat.S_ISCHR(os.fstat(0).st_mode) and not os.isatty(0):
        raise OwnerError(
            "standard input is closed or /dev/null, so --until-stdin-closes would end the node at once:"
            " connect standard input to a pipe that the owner keeps open, or leave the option out"
        )
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


def _read_to_end(descriptor: int) -> None:
    """Read until the other end is closed. A descriptor that cannot be read has nobody at its other end."""
    with contextlib.suppress(OSError):
        while True:
            try:
                if not os.read(descriptor, 65536):
                    return
            except BlockingIOError:  # The owner has made it non-blocking.
                select.select([descriptor], [], [])
