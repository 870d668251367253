"""The embedded epmd, for a machine on which none runs.

It answers as the real one, but refuses to be killed or stopped, because it is part of another program.
"""

import contextlib
import socket

from beam_bpy.epmd.client import ADDRESSES, more_addresses
from beam_bpy.epmd.creation import new_creation
from beam_bpy.protocol import ProtocolError, epmd
from beam_bpy.protocol.epmd import Registration
from beam_bpy.transport.addresses import is_loopback
from beam_bpy.transport.listener import Listener, listen
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.refusal_log import RefusalLog
from beam_bpy.transport.stream import Stream

_REQUEST_TIME = 10.0
_MAX_PENDING = 64
"""Connections that have not sent a request yet. For one more, the oldest is closed."""

_MAX_REGISTERED = 1024


class EmbeddedEpmd:
    """An epmd that lives as long as the program's node.

    Args:
        loop: its loop.
        port: the port to listen on.
        address: an address to listen on besides the loopback addresses.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, loop: Loop, port: int, address: str) -> None:
        self._loop = loop
        self._port = port
        self._clients: dict[_Connection, None] = {}
        self._refusals = RefusalLog(loop, "connection to the embedded epmd", reasons=1)
        self.registrations: dict[str, tuple[Registration, int]] = {}
        sockets = [listen(ADDRESSES[0], port)]
        for other in dict.fromkeys((ADDRESSES[1], address, *more_addresses())):
            # A machine without IPv6, or an address that the first one covers.
            with contextlib.suppress(OSError):
                sockets.append(listen(other, port))
        self._listeners = [Listener(loop, sock, self._accepted) for sock in sockets]

    def close(self) -> None:
        """End; every registered node loses its registration."""
        for listener in self._listeners:
            listener.close()
        for client in tuple(self._clients):
            client.understood = True
            client.close("this epmd ends")

    def answer(self, request: epmd.Request, address: str) -> bytes:
        """The answer to a request from `address` that is not a registration."""
        match request:
            case epmd.LookUp(name):
                known = self.registrations.get(name)
                return epmd.port_answer(known and known[0])
            case epmd.ListNames(dump):
                known_nodes = [registration for registration, _creation in self.registrations.values()]
                return epmd.names_answer(self._port, known_nodes, dump=dump)
            case epmd.Refused(what):
                self._refusals.refused(address, f"it asked this epmd to {what}, which this epmd does not do")
                return b"NO" if what == "kill" else b"NOEXIST"
        raise ProtocolError("a registration is answered by its connection")

    def register(self, registration: Registration) -> int:
        """Register a node; returns its creation, 0 when the name is taken or there are too many."""
        if registration.name in self.registrations or len(self.registrations) >= _MAX_REGISTERED:
            return 0
        creation = new_creation()
        self.registrations[registration.name] = (registration, creation)
        return creation

    def forget(self, client: "_Connection", reason: str) -> None:
        """A connection has ended, and with it its registration."""
        self._clients.pop(client, None)
        if not client.understood:
            self._refusals.refused(client.address, reason)
        if client.registered is not None:
            del self.registrations[client.registered]

    def _accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        # As with every epmd, nodes of all machines may look up names, and only nodes of this machine may register.
        local = is_loopback(address[0]) or address[0] == sock.getsockname()[0]
        pending = [client for client in self._clients if client.registered is None]
        if len(pending) >= _MAX_PENDING:
            pending[0].close("too many other connections have not sent a request yet")
        client = _Connection(self, address[0], local=local)
        self._clients[client] = None
        client.open(Stream(self._loop, sock, client))
        self._loop.call_later(_REQUEST_TIME, client.too_slow)


class _Connection:
    """One connection to the embedded epmd. It has one request; a registration lasts as long as the connection."""

    def __init__(self, server: EmbeddedEpmd, address: str, *, local: bool) -> None:
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
            self.close(f"it sent no request, or did not read the answer, within {_REQUEST_TIME:g} seconds")

    def get_buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, count: int) -> None:
        if self.understood:  # A connection has one request; bytes behind it are dropped.
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

    def connection_lost(self, reason: str) -> None:
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
