"""Distribution over TLS, as `-proto_dist inet_tls` of the BEAM.

Ssl application, chapter "Using TLS for Erlang Distribution". The same protocol runs inside a TLS connection, and both
sides check the other's certificate.
"""

import selectors
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from beam_bpy.transport.loop import Loop
from beam_bpy.transport.sigpipe import no_sigpipe
from beam_bpy.transport.stream import Stream, StreamProtocol

Wrap = Callable[[socket.socket], ssl.SSLSocket]
"""Makes the TLS socket of one side, without a handshake."""


class Tls:
    """Certificates for both directions.

    Args:
        certificate: a PEM file with this node's certificate, and the chain up to its authority.
        key: a PEM file with its private key; default in the file `certificate`.
        authority: a PEM file with the certificates of the authorities that the other nodes' certificates come from.
        check_host: True requires that the certificate of a node to which we connect is for its host; default True. A
            node that connects to us proves only that one of the authorities has signed its certificate.

    Raises:
        OSError: a file cannot be read, or holds no certificate.
    """

    def __init__(
        self, certificate: str | Path, key: str | Path | None, authority: str | Path, *, check_host: bool = True
    ) -> None:
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client.check_hostname = check_host
        for context in (self._server, self._client):
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(certificate, key)
            context.load_verify_locations(authority)

    def server_side(self) -> Wrap:
        """For an accepted connection."""
        return lambda sock: self._server.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def client_side(self, host: str) -> Wrap:
        """For a connection to a node on `host`."""
        return lambda sock: self._client.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


class TlsStream(Stream):
    """A TCP connection that is encrypted by TLS.

    Bytes that are sent before the TLS handshake is done wait for it. OpenSSL does not allow one thread to read while
    another one writes; so both happen under the stream's lock.
    """

    def __init__(self, loop: Loop, sock: socket.socket, protocol: StreamProtocol, wrap: Wrap) -> None:
        sock.setblocking(False)
        self._tls = wrap(sock)
        self._handshake_done = False
        super().__init__(loop, self._tls, protocol)
        self._receive = self._decrypt

    def _begin(self) -> None:
        self._blocked = True
        self._loop.set_events(self._sock, selectors.EVENT_READ, self._ready)
        # The connecting side sends first.
        self._loop.call_soon(self._do_handshake)

    def _ready(self, events: int) -> None:
        if self._handshake_done:
            super()._ready(events)
        else:
            self._do_handshake()

    def _do_handshake(self) -> None:
        if self._closed or self._handshake_done:
            return
        try:
            with no_sigpipe():
                self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.set_events(self._sock, selectors.EVENT_READ, self._ready)
        except ssl.SSLWantWriteError:
            self._loop.set_events(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self._ready)
        except (OSError, ValueError) as error:
            why = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            self.close(f"no TLS connection: {why}")
        else:
            self._handshake_done = True
            self._writable()
            self._read_pending()

    def _decrypt(self, buffer: memoryview) -> int:
        try:
            with self._lock, no_sigpipe():
                return self._tls.recv_into(buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _transmit(self, data: bytes | memoryview) -> int:
        try:
            with no_sigpipe():
                return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _readable(self) -> None:
        super()._readable()
        self._read_pending()

    def resume_reading(self) -> None:
        """See `Stream.resume_reading`."""
        super().resume_reading()
        self._read_pending()

    def _read_pending(self) -> None:
        # Bytes that OpenSSL has decrypted already do not make the socket readable again.
        if not (self._closed or self._paused) and self._tls.pending():
            self._loop.call_soon(lambda: self._ready(selectors.EVENT_READ))
