"""Accepting connections."""

import errno
import selectors
import socket
from collections.abc import Callable

from beam_bpy.logger import log
from beam_bpy.transport.addresses import is_loopback
from beam_bpy.transport.loop import Loop

_BACKLOG = 128

_RETRY_TIME = 1.0
"""Seconds until the next attempt to accept, after the program could not accept a connection."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`, a name or an IPv4 or IPv6 address; port 0 is any free port.

    Raises:
        OSError: the port is taken, or the host is not an address of this machine.
    """
    sock = _bound(host, port)
    try:
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bound(host: str, port: int) -> socket.socket:
    family, _type, _protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Windows, which has no SO_REUSEPORT, the option would let two programs share the port.
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def reachable_by_others(host: str) -> bool:
    """True if `host` is an address of this machine, or the name of one, that other machines reach."""
    try:
        with _bound(host, 0) as sock:  # It does not listen, so nobody can connect.
            return not is_loopback(sock.getsockname()[0])
    except (OSError, UnicodeError):
        return False


class Listener:
    """A listening socket on a loop.

    Args:
        loop: its loop.
        sock: see `listen`.
        accepted: gets each connection and the address that it comes from, on the network thread.
    """

    def __init__(
        self, loop: Loop, sock: socket.socket, accepted: Callable[[socket.socket, tuple[str, int]], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        self._paused = False
        loop.set_events(sock, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Stop listening; only on the network thread."""
        self._loop.set_events(self._sock, 0, self._ready)
        self._sock.close()

    def _ready(self, _events: int) -> None:
        try:
            sock, address = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # The other side has closed it already.
            return
        except OSError as error:
            self._pause(error)
            return
        self._paused = False
        try:
            self._accepted(sock, address[:2])
        except Exception:
            sock.close()
            raise

    def _pause(self, error: OSError) -> None:
        # The connection stays in the kernel's queue; without a pause the loop would try again without end.
        self._loop.set_events(self._sock, 0, self._ready)
        self._loop.call_later(_RETRY_TIME, self._resume)
        if not self._paused:
            self._paused = True
            why = "no file descriptor is left" if error.errno in (errno.EMFILE, errno.ENFILE) else error.strerror
            log.error("new connections wait until this program can accept them: %s", why)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.set_events(self._sock, selectors.EVENT_READ, self._ready)
