"""Sending without SIGPIPE.

A program that sends to a peer which has closed the connection is ended by SIGPIPE. Python ignores that signal;
Blender's Python does not.
"""

import contextlib
import signal
import socket
from collections.abc import Iterator

NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""The flag for `socket.send`; 0 where the system has none."""

MASKS_SIGPIPE = not NO_SIGNAL and hasattr(signal, "SIGPIPE")
"""True where the system has the signal but not the flag: on macOS. Windows has neither."""


@contextlib.contextmanager
def no_sigpipe() -> Iterator[None]:
    """The same without the flag, for macOS and OpenSSL: this thread removes a SIGPIPE that it has caused."""
    if not hasattr(signal, "SIGPIPE"):
        yield
        return
    pipe = {signal.SIGPIPE}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, pipe)
    try:
        yield
    finally:
        if signal.SIGPIPE not in before:
            if signal.SIGPIPE in signal.sigpending():
                signal.sigwait(pipe)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
