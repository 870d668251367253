"""Asking an epmd for the ports of other nodes, and the environment variables of epmd."""

import os
import socket
from collections.abc import Callable

from beam_bpy.errors import SettingsError
from beam_bpy.logger import log
from beam_bpy.protocol import ProtocolError, epmd
from beam_bpy.transport.connector import connect
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.stream import Stream

ADDRESSES = ("127.0.0.1", "::1")
"""The addresses on which every epmd listens for the nodes of its machine (manual page of epmd, ERL_EPMD_ADDRESS)."""

_MAX_ANSWER = 1 << 20
_ANSWER_TIME = 10.0


def port() -> int:
    """The port of epmd: ERL_EPMD_PORT, else 4369."""
    return _port_from("ERL_EPMD_PORT") or epmd.DEFAULT_PORT


def fixed_port() -> int | None:
    """ERL_DIST_PORT: the port of every node, in a cluster that does without epmd."""
    return _port_from("ERL_DIST_PORT")


def more_addresses() -> list[str]:
    """ERL_EPMD_ADDRESS: the addresses on which epmd listens besides `ADDRESSES`, separated by commas."""
    return [address.strip() for address in os.environ.get("ERL_EPMD_ADDRESS", "").split(",") if address.strip()]


def check_environment() -> None:
    """Check the environment variables of epmd, for a program that can refuse to run.

    Raises:
        SettingsError: one of them is not a port.
    """
    for variable in ("ERL_EPMD_PORT", "ERL_DIST_PORT"):
        text = os.environ.get(variable, "")
        if text and not _is_port(text):
            raise SettingsError(f"{variable} is {text!r}: set it to a number from 1 to 65535, or remove it")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536


def _port_from(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not _is_port(text):
        log.warning("%s is %r, which is not a port; it is ignored", variable, text)
        return None
    return int(text)


def locate(loop: Loop, address: str, name: str, done: Callable[[int | str], None]) -> None:
    """Ask the epmd at a numeric address for the port of a node; on the network thread.

    Args:
        loop: the loop that waits for the answer.
        address: an IPv4 or IPv6 address.
        name: the node's short name.
        done: gets the port, or a sentence that says why there is none.
    """
    fixed = fixed_port()
    if fixed is not None:
        done(fixed)
        return

    def answered(answer: bytes) -> None:
        try:
            found = epmd.take_port(answer)
        except ProtocolError as error:
            done(str(error))
            return
        done(found if found is not None else f"the epmd at {address} knows no node {name!r}")

    ask(loop, address, epmd.look_up(name), answered, done)


def ask(
    loop: Loop, address: str, request: bytes, answered: Callable[[bytes], None], failed: Callable[[str], None]
) -> None:
    """Send one request to the epmd at a numeric address; on the network thread.

    Args:
        loop: the loop that waits for the answer.
        address: an IPv4 or IPv6 address.
        request: see `protocol.epmd`.
        answered: gets all bytes of the answer, once epmd has closed the connection.
        failed: gets a sentence, if epmd cannot be reached.
    """

    def connected(result: socket.socket | str) -> None:
        if isinstance(result, str):
            failed(f"no epmd answers at {address}, port {port()} ({result})")
            return
        stream = Stream(loop, result, _Question(answered))
        stream.send(request)
        loop.call_later(_ANSWER_TIME, lambda: stream.close("epmd gave no answer in time"))

    connect(loop, (address, port()), connected)


class _Question:
    """The protocol of a stream on which epmd answers once, and then closes the connection."""

    def __init__(self, answered: Callable[[bytes], None]) -> None:
        self._buffer = bytearray(4096)
        self._answer = bytearray()
        self._answered = answered

    def get_buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, count: int) -> None:
        self._answer += self._buffer[:count]
        if len(self._answer) > _MAX_ANSWER:
            raise ProtocolError("epmd's answer does not end")

    def connection_lost(self, _reason: str) -> None:
        self._answered(bytes(self._answer))


def ask_and_wait(host: str, request: bytes, timeout: float = 5.0) -> bytes:
    """Send a request to the epmd of a host and return the whole answer; blocks, for the command line.

    Raises:
        OSError: no epmd answers there, or the answer does not come in time.
    """
    with socket.create_connection((host, port()), timeout) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(4096), b""))
