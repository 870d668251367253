"""Keeping this node registered with an epmd.

A node is registered for as long as its connection to epmd stays open. When that breaks, `Registrar` registers again,
with the epmd that answers then or with an embedded one.
"""

import socket
from collections.abc import Callable
from typing import Literal, Protocol

from beam_bpy.epmd import client
from beam_bpy.epmd.creation import new_creation
from beam_bpy.epmd.server import EmbeddedEpmd
from beam_bpy.logger import log
from beam_bpy.protocol import epmd
from beam_bpy.protocol.epmd import Registration
from beam_bpy.transport.connector import connect
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.stream import Stream

EpmdMode = Literal["embed", "host", "none"]
"""`embed`: register with the machine's epmd, or start one in this program when none answers. `host`: register with the
machine's only. `none`: do not register, for nodes that find each other by a fixed port (ERL_DIST_PORT,
`erl -erl_epmd_port`)."""

EPMD_MODES: tuple[EpmdMode, ...] = ("embed", "host", "none")

_ATTEMPTS = 5
"""Attempts to register a name that is taken, at the start."""

_ATTEMPT_TIME = 0.1
"""Seconds between two of these attempts."""

_RETRY_TIME = 2.0
_ANSWER_TIME = 10.0


class RegistrationOwner(Protocol):
    """The object that a registrar tells about the registration, on the network thread."""

    def registered(self, creation: int) -> None:
        """Other nodes can find this one; epmd gave it `creation`. Called again after each later registration."""

    def refused(self, sentence: str) -> None:
        """The node cannot be registered."""


class Registrar:
    """Keeps a node registered.

    Args:
        loop: its loop; all methods are called on the network thread.
        registration: the node's name and port.
        owner: the object to tell.
        mode: see `EpmdMode`.
        address: the address on which the node listens; an embedded epmd listens there too.
    """

    def __init__(
        self, loop: Loop, registration: Registration, owner: RegistrationOwner, mode: EpmdMode, address: str
    ) -> None:
        self._loop = loop
        self._registration = registration
        self._owner = owner
        self._mode = mode
        self._address = address
        self._server: EmbeddedEpmd | None = None
        self._stream: Stream | None = None
        self._closing = False
        self._succeeded = False
        self._attempts = _ATTEMPTS
        self._name_was_taken = False

    def open(self) -> None:
        """Register; the owner is told the result later."""
        if self._mode == "none":
            self._owner.registered(new_creation())
        else:
            connect(self._loop, (client.ADDRESSES[0], client.port()), self._connected)

    def close(self) -> None:
        """Unregister, and end the embedded epmd."""
        self._closing = True
        if self._stream is not None:
            self._stream.close("the node stops")
        if self._server is not None:
            self._server.close()

    def _connected(self, result: socket.socket | str) -> None:
        if self._closing:
            if isinstance(result, socket.socket):
                result.close()
        elif isinstance(result, socket.socket):
            self._register(result)
        elif self._mode == "embed" and self._server is None:
            self._start_server()
        else:
            self._fail(
                f"epmd does not answer on port {client.port()} of this machine ({result}): start it with 'epmd -daemon'"
            )

    def _start_server(self) -> None:
        try:
            self._server = EmbeddedEpmd(self._loop, client.port(), self._address)
        except OSError as error:
            self._fail(f"no epmd answers on port {client.port()}, and none can be started there: {error.strerror}")
            return
        log.info("no epmd answers on this machine; this program runs one on port %d", client.port())
        self.open()

    def _register(self, sock: socket.socket) -> None:
        session = _Session(self._answered, self._lost)
        self._stream = Stream(self._loop, sock, session)
        self._stream.send(epmd.register(self._registration))
        self._loop.call_later(_ANSWER_TIME, lambda: self._too_slow(session))

    def _too_slow(self, session: "_Session") -> None:
        if not session.done and self._stream is not None and not self._closing:
            self._stream.close("epmd gave no answer")

    def _answered(self, answer: bytes) -> bool:
        result = epmd.take_creation(answer)
        if result is None:
            return False
        code, creation = result
        if code:
            self._name_taken()
        else:
            self._succeeded = True
            # An epmd older than OTP 23 counts creations from 1 to 3.
            self._owner.registered(creation if creation > 3 else new_creation())
        return True

    def _name_taken(self) -> None:
        # At the start epmd may not have noticed yet that an earlier node of this name has ended.
        self._attempts -= 1
        if self._succeeded or self._attempts > 0:
            self._name_was_taken = not self._succeeded
            if self._stream is not None:
                self._stream.close("the name is taken")
        else:
            self._fail(
                f"the name {self._registration.name!r} is taken by another node on this machine;"
                " stop that node, or choose another name"
            )

    def _lost(self, reason: str) -> None:
        if self._closing:
            return
        if self._name_was_taken:
            self._name_was_taken = False
            self._loop.call_later(_ATTEMPT_TIME, self._open_again)
        elif self._succeeded:
            self._retry()
            log.warning("the connection to epmd broke (%s); this node registers again as soon as it can", reason)
        else:
            self._fail(f"epmd on port {client.port()} of this machine broke off the registration: {reason}")

    def _fail(self, sentence: str) -> None:
        if self._succeeded:
            self._retry()
        else:
            self._closing = True
            self._owner.refused(sentence)

    def _retry(self) -> None:
        self._loop.call_later(_RETRY_TIME, self._open_again)

    def _open_again(self) -> None:
        if not self._closing:
            self.open()


class _Session:
    """The protocol of the stream of a registration: one answer, and then nothing for as long as the node lives."""

    def __init__(self, answered: Callable[[bytes], bool], lost: Callable[[str], None]) -> None:
        self._buffer = bytearray(64)
        self._answer = b""
        self._answered = answered
        self._lost = lost
        self.done = False

    def get_buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, count: int) -> None:
        if not self.done:
            self._answer += self._buffer[:count]
            self.done = self._answered(self._answer)

    def connection_lost(self, reason: str) -> None:
        self._lost(reason)
