"""A pytest plugin that makes the standard library look as it does on Windows.

It has to be loaded before anything imports `beam_bpy`: `PYTHONPATH=tests python -m pytest -p windows_like tests/unit`.
Tests with the marker `posix` need what is missing here, so the plugin deselects them.

Not imitated: the codes of socket errors, and the limit of 512 sockets for each `select`. Programs that a test starts
see the real standard library.
"""

import os
import selectors
import signal
import socket
import sys
import time

import pytest

_CLOCK_TICK = 1 / 64
"""Seconds between two values of `time.monotonic`, up to Python 3.12."""

_MISSING = (
    (socket, ("AF_UNIX", "MSG_NOSIGNAL", "SO_REUSEPORT")),
    (signal, ("SIGPIPE", "SIGHUP", "SIGKILL", "SIGSTOP", "pthread_sigmask", "sigpending", "sigwait")),
    (os, ("fork", "register_at_fork")),
)
"""Names that the modules have on POSIX and lack on Windows."""


def _tcp_socketpair(
    family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0
) -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets, which is what `socket.socketpair` makes on Windows."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _address = listening.accept()
    return one, other


_exact_time = time.monotonic


def _coarse_time() -> float:
    return _exact_time() // _CLOCK_TICK * _CLOCK_TICK


def _bind(sock: socket.socket, address: tuple[str, int]) -> None:
    """Bind as Windows does: old connections that wait for their end do not keep the port."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    super(socket.socket, sock).bind(address)


def _imitate() -> None:
    assert "beam_bpy" not in sys.modules, "beam_bpy has already seen the real standard library"
    for module, names in _MISSING:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc, assignment]
    socket.socketpair = _tcp_socketpair  # type: ignore[assignment]
    socket.socket.bind = _bind  # type: ignore[method-assign, assignment]
    time.monotonic = _coarse_time


_imitate()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need what is missing."""
    posix = [item for item in items if item.get_closest_marker("posix")]
    items[:] = [item for item in items if not item.get_closest_marker("posix")]
    config.hook.pytest_deselected(items=posix)
