"""Being found: registering with the port mapper, and the embedded port mapper for a host that runs none.

Chapter "Distribution Protocol", section "EPMD Protocol". A node is registered for as long as its connection to epmd
stays open. When that breaks, `Registrar` registers again: with whatever answers, or with an epmd of its own.
"""

import contextlib
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from typing import Literal
from typing import Protocol as Interface

from beam_bpy.limits import Complaints
from beam_bpy.logs import log
from beam_bpy.protocol import ProtocolError, epmd
from beam_bpy.protocol.epmd import Registration
from beam_bpy.transport import Listener, Loop, Stream, connect, listen

ADDRESSES = ("127.0.0.1", "::1")
"""Where every epmd listens, so that each node of its machine finds it (manual page of epmd, ERL_EPMD_ADDRESS)."""

Mode = Literal["embed", "host", "none"]
"""Register with the machine's epmd, or start one in this program when there is none; with the machine's only; not at
all, for nodes that find each other by a fixed port (ERL_DIST_PORT, `erl -erl_epmd_port`)."""

MODES: tuple[Mode, ...] = ("embed", "host", "none")

_MAX_ANSWER = 1 << 20
_TRIES = 5
"""How often a name that is taken is asked for at the start."""

_TRY_AGAIN = 0.1
"""Seconds between two of these."""

_RETRY = 2.0
_ANSWER_TIME = 10.0
_REQUEST_TIME = 10.0
_MAX_ASKING = 64
"""Connections to the embedded epmd that have not said yet what they want; a further one takes the place of the oldest.
"""
_MAX_REGISTERED = 1024


def port() -> int:
    """The port of epmd: ERL_EPMD_PORT, else 4369."""
    return _port_from("ERL_EPMD_PORT") or epmd.DEFAULT_PORT


def new_creation() -> int:
    """A creation that no incarnation of the node is likely to have had; 1 to 3 are what old epmds gave."""
    return secrets.randbelow(2**32 - 4) + 4


def _more_addresses() -> list[str]:
    """ERL_EPMD_ADDRESS: where epmd listens besides the loopback addresses, separated by commas."""
    return [address.strip() for address in os.environ.get("ERL_EPMD_ADDRESS", "").split(",") if address.strip()]


def fixed_port() -> int | None:
    """ERL_DIST_PORT: the port of every node, on a network that does without epmd."""
    return _port_from("ERL_DIST_PORT")


def _port_from(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:
        log.warning("%s is %r, which is no port; it is left out of account", variable, text)
        return None
    return int(text)


def locate(loop: Loop, address: str, name: str, done: Callable[[int | str], None]) -> None:
    """Ask the epmd at a numeric address where the node of that short name listens; on the network thread.

    Args:
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
    """Send one request to the epmd at a numeric address; it answers and hangs up. On the network thread."""

    def connected(result: socket.socket | str) -> None:
        if isinstance(result, str):
            failed(f"no epmd answers at {address}, port {port()} ({result})")
            return
        stream = Stream(loop, result, _Question(answered))
        stream.send(request)
        loop.call_later(_ANSWER_TIME, lambda: stream.close("epmd gave no answer in time"))

    connect(loop, (address, port()), connected)


class _Question:
    """The stream protocol of a question that epmd answers once, and then hangs up."""

    def __init__(self, answered: Callable[[bytes], None]) -> None:
        self._buffer = bytearray(4096)
        self._answer = bytearray()
        self._answered = answered

    def buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def received(self, count: int) -> None:
        self._answer += self._buffer[:count]
        if len(self._answer) > _MAX_ANSWER:
            raise ProtocolError("epmd's answer does not end")

    def closed(self, _reason: str) -> None:
        self._answered(bytes(self._answer))


class Outcome(Interface):
    """What the owner of a registrar is told, on the network thread."""

    def registered(self, creation: int) -> None:
        """The node can be found now; `creation` is what epmd gave it. Called again after each new registration."""

    def refused(self, sentence: str) -> None:
        """The node cannot be registered."""


class Registrar:
    """Keeps a node registered.

    Args:
        loop: where it lives; all methods are called on the network thread.
        registration: what to register.
        outcome: whom to tell.
        mode: see `Mode`.
        address: where the node listens; an embedded epmd listens there too.
    """

    def __init__(self, loop: Loop, registration: Registration, outcome: Outcome, mode: Mode, address: str) -> None:
        self._loop = loop
        self._registration = registration
        self._outcome = outcome
        self._mode = mode
        self._address = address
        self._server: Server | None = None
        self._stream: Stream | None = None
        self._closing = False
        self._succeeded = False
        self._tries = _TRIES
        self._turned_away = False

    def open(self) -> None:
        """Register; the outcome is told later."""
        if self._mode == "none":
            self._outcome.registered(new_creation())
        else:
            connect(self._loop, (ADDRESSES[0], port()), self._connected)

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
                f"epmd does not answer on port {port()} of this machine ({result}): start it with 'epmd -daemon'"
            )

    def _start_server(self) -> None:
        try:
            self._server = Server(self._loop, port(), self._address)
        except OSError as error:
            self._fail(f"no epmd answers on port {port()}, and none can be started there: {error.strerror}")
            return
        log.info("no epmd answers on this machine; this program runs one on port %d", port())
        self.open()

    def _register(self, sock: socket.socket) -> None:
        conversation = _Conversation(self._answered, self._lost)
        self._stream = Stream(self._loop, sock, conversation)
        self._stream.send(epmd.register(self._registration))
        self._loop.call_later(_ANSWER_TIME, lambda: self._too_slow(conversation))

    def _too_slow(self, conversation: "_Conversation") -> None:
        if not conversation.done and self._stream is not None and not self._closing:
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
            # An epmd that is older than OTP 23 counts creations from 1 to 3.
            self._outcome.registered(creation if creation > 3 else new_creation())
        return True

    def _name_taken(self) -> None:
        # At the start: a node of that name that has ended just now is one that epmd may not have missed yet.
        self._tries -= 1
        if self._succeeded or self._tries > 0:
            self._turned_away = not self._succeeded
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
        if self._turned_away:
            self._turned_away = False
            self._loop.call_later(_TRY_AGAIN, self._open_again)
        elif self._succeeded:
            self._retry()
            log.warning("epmd is gone (%s); this node registers again as soon as it can", reason)
        else:
            self._fail(f"epmd on port {port()} of this machine broke off the registration: {reason}")

    def _fail(self, sentence: str) -> None:
        if self._succeeded:
            self._retry()
        else:
            self._closing = True
            self._outcome.refused(sentence)

    def _retry(self) -> None:
        self._loop.call_later(_RETRY, self._open_again)

    def _open_again(self) -> None:
        if not self._closing:
            self.open()


class _Conversation:
    """The stream protocol of a registration: an answer, and then silence for as long as the node lives."""

    def __init__(self, answered: Callable[[bytes], bool], lost: Callable[[str], None]) -> None:
        self._buffer = bytearray(64)
        self._answer = b""
        self._answered = answered
        self._lost = lost
        self.done = False

    def buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def received(self, count: int) -> None:
        if not self.done:
            self._answer += self._buffer[:count]
            self.done = self._answered(self._answer)

    def closed(self, reason: str) -> None:
        self._lost(reason)


class Server:
    """The embedded epmd. It refuses to be killed or stopped: it lives as long as the program's node.

    Args:
        loop: where it lives.
        port: the port to listen on.
        address: an address to listen on besides the loopback addresses.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, loop: Loop, port: int, address: str) -> None:
        self._loop = loop
        self._port = port
        self._clients: dict[_Client, None] = {}
        self._complaints = Complaints(loop, "connection to the embedded epmd")
        self.registrations: dict[str, tuple[Registration, int]] = {}
        sockets = [listen(ADDRESSES[0], port)]
        for other in dict.fromkeys((ADDRESSES[1], address, *_more_addresses())):
            # A machine without IPv6, or an address that the first one covers.
            with contextlib.suppress(OSError):
                sockets.append(listen(other, port))
        self._listeners = [Listener(loop, sock, self._accepted) for sock in sockets]

    def close(self) -> None:
        """End; every node that is registered loses its registration."""
        for listener in self._listeners:
            listener.close()
        for client in tuple(self._clients):
            client.understood = True
            client.close("this epmd ends")

    def answer(self, request: epmd.Request, address: str) -> bytes:
        """The answer to anything but a registration, which somebody at `address` has sent."""
        match request:
            case epmd.LookUp(name):
                known = self.registrations.get(name)
                return epmd.port_answer(known and known[0])
            case epmd.ListNames(dump):
                known_nodes = [registration for registration, _creation in self.registrations.values()]
                return epmd.names_answer(self._port, known_nodes, dump=dump)
            case epmd.Refused(what):
                self._complaints.say(address, f"it asked this epmd to {what}, which it does not")
                return b"NO" if what == "kill" else b"NOEXIST"
        raise ProtocolError("a registration is answered by its connection")

    def register(self, registration: Registration) -> int:
        """Register a node; returns its creation, 0 when the name is taken or there are too many."""
        if registration.name in self.registrations or len(self.registrations) >= _MAX_REGISTERED:
            return 0
        creation = new_creation()
        self.registrations[registration.name] = (registration, creation)
        return creation

    def forget(self, client: "_Client", reason: str) -> None:
        """A connection is gone, and with it the registration that it held."""
        self._clients.pop(client, None)
        if not client.understood:
            self._complaints.say(client.address, reason)
        if client.registered is not None:
            del self.registrations[client.registered]

    def _accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        # As with every epmd: names are looked up from anywhere, and registered on this machine only.
        local = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback or address[0] == sock.getsockname()[0]
        asking = [client for client in self._clients if client.registered is None]
        if len(asking) >= _MAX_ASKING:
            asking[0].close("others want to ask")
        client = _Client(self, address[0], local=local)
        self._clients[client] = None
        client.open(Stream(self._loop, sock, client))
        self._loop.call_later(_REQUEST_TIME, client.too_slow)


class _Client:
    """One connection to the embedded epmd: one request, and for a registration the rest of a node's life."""

    def __init__(self, server: Server, address: str, *, local: bool) -> None:
        self._server = server
        self._local = local
        self.address = address
        self.understood = False
        self._stream: Stream | None = None
        self._buffer = bytearray(2 + epmd.MAX_REQUEST)
        self._request = b""
        self.registered: str | None = None

    def open(self, stream: Stream) -> None:
        self._stream = stream

    def close(self, reason: str) -> None:
        if self._stream is not None:
            self._stream.close(reason)

    def too_slow(self) -> None:
        if self.registered is None:
            self.close(f"it did not ask, or did not take the answer, within {_REQUEST_TIME:g} seconds")

    def buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def received(self, count: int) -> None:
        if self.understood:  # What follows a request means nothing, and is not kept.
            return
        self._request += self._buffer[:count]
        request = epmd.parse_request(self._request)
        if request is None or self._stream is None:
            return
        if isinstance(request, epmd.Register) and not self._local:
            raise ProtocolError("only a node on this machine may register here")
        self.understood = True
        if isinstance(request, epmd.Register):
            self._register(self._stream, request.registration)
        else:
            self._stream.send(self._server.answer(request, self.address))
            self._stream.close_when_sent("answered")

    def closed(self, reason: str) -> None:
        self._server.forget(self, reason)

    def _register(self, stream: Stream, registration: Registration) -> None:
        creation = self._server.register(registration)
        version = registration.highest_version
        if creation:
            self.registered = registration.name
            stream.send(epmd.creation_answer(0, creation, highest_version=version))
        else:
            stream.send(epmd.creation_answer(1, 99, highest_version=version))
            stream.close_when_sent("the name is taken")
