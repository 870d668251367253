"""Connecting to a numeric address without blocking."""

import errno
import os
import selectors
import socket
from collections.abc import Callable

from beam_bpy.transport.loop import Loop

Done = Callable[[socket.socket | str], None]
"""Gets the connected socket, or a sentence that says why there is none."""


def connect(loop: Loop, address: tuple[str, int], done: Done, *, timeout: float = 5.0) -> None:
    """Connect to a numeric address; only on the network thread.

    Args:
        loop: the loop that waits for the connection.
        address: an IPv4 or IPv6 address, and a port.
        done: see `Done`.
        timeout: seconds.
    """
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:  # The program has no file descriptor left.
        done(error.strerror or "the system gives no socket")
    else:
        _Attempt(loop, sock, address, timeout, done)


class _Attempt:
    """One attempt to connect."""

    def __init__(self, loop: Loop, sock: socket.socket, address: tuple[str, int], timeout: float, done: Done) -> None:
        self._loop = loop
        self._done = done
        self._sock = sock
        self._sock.setblocking(False)
        self._timer = loop.call_later(timeout, lambda: self._fail("no answer in time"))
        try:
            code = self._sock.connect_ex(address)
        except OSError as error:  # It is not an address.
            self._fail(error.strerror or "it is not an address")
            return
        if code in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            loop.set_events(self._sock, selectors.EVENT_WRITE, self._ready)
        else:
            self._fail(os.strerror(code))

    def _ready(self, _events: int) -> None:
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(os.strerror(code))
            return
        self._timer.cancel()
        self._loop.set_events(self._sock, 0, self._ready)
        self._done(self._sock)

    def _fail(self, reason: str) -> None:
        self._timer.cancel()
        self._loop.set_events(self._sock, 0, self._ready)
        self._sock.close()
        self._done(reason)
