"""Distribution over TLS, as `-proto_dist inet_tls` of the BEAM.

Ssl application, chapter "Using TLS for Erlang Distribution". The same protocol runs inside a TLS connection, and both
sides check the other's certificate.
"""

import contextlib
import os
import selectors
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from beam_bpy.errors import TlsError
from beam_bpy.transport.loop import Loop, Timer
from beam_bpy.transport.sigpipe import no_sigpipe
from beam_bpy.transport.stream import Stream, StreamProtocol

Wrap = Callable[[socket.socket], ssl.SSLSocket]
"""Makes the TLS socket of one side, without a handshake."""

Password = str | bytes | Callable[[], str | bytes]

_HANDSHAKE_TIME = 3.0
"""Seconds that the handshake of TLS may take. A node without TLS waits in silence for the first message."""

_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""Numbers of `SSLCertVerificationError.verify_code`: X509_V_ERR_… of OpenSSL."""


class Tls:
    """Certificates for both directions. No repr, no traceback and no error shows the passphrase.

    Args:
        certificate: a PEM file with this node's certificate, and the chain up to its authority.
        key: a PEM file with its private key; default in the file `certificate`.
        authority: a PEM file with the certificates of the authorities that the other nodes' certificates come from.
        password: the passphrase of the key: str, bytes, or a function that returns one of them; default None, none.
        check_host: True requires that the certificate of a node to which we connect is for its host; default True. A
            node that connects to us proves only that one of the authorities has signed its certificate. So it can
            claim any node name, as at a node of the BEAM.

    Raises:
        SettingsError: a file cannot be read, holds no certificate or key, or the passphrase is missing or wrong. It is
            an OSError, too.
        TypeError: an argument has a wrong type.
    """

    def __init__(
        self,
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str] | None,
        authority: str | os.PathLike[str],
        *,
        password: Password | None = None,
        check_host: bool = True,
    ) -> None:
        self.certificate = _path("certificate", certificate)
        self.key = self.certificate if key is None else _path("key", key)
        self.authority = _path("authority", authority)
        if not isinstance(check_host, bool):
            raise TypeError(f"check_host has to be True or False, not {type(check_host).__name__}")
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client.check_hostname = check_host
        secret = _Passphrase(password, self.key)
        for context in (self._server, self._client):
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            _load_pair(context, self.certificate, self.key, secret)
            _load_authority(context, self.authority)

    def __repr__(self) -> str:
        return f"Tls({str(self.certificate)!r}, {str(self.key)!r}, {str(self.authority)!r})"

    def server_side(self) -> Wrap:
        """For an accepted connection."""
        return lambda sock: self._server.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def client_side(self, host: str) -> Wrap:
        """For a connection to a node on `host`."""
        return lambda sock: self._client.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)

    def problem(self, host: str) -> str | None:
        """Why other nodes will refuse this certificate, as a sentence; None if they will not.

        Args:
            host: the host of the node.
        """
        why = self._refusal(host)
        if why is None:
            return None
        return f"other nodes will refuse the certificate {self.certificate}: {why}"

    def _refusal(self, host: str) -> str | None:
        # Both sides of a handshake in memory: so OpenSSL judges the certificate as it does between two nodes.
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self._client.wrap_bio(to_client, to_server, server_hostname=host)
        server = self._server.wrap_bio(to_server, to_client, server_side=True)
        try:
            for _ in range(4):
                for side in (client, server):
                    with contextlib.suppress(ssl.SSLWantReadError):
                        side.do_handshake()
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == _EXPIRED:
                return "it has expired"
            if error.verify_code == _NOT_YET_VALID:
                return "it is not valid yet; compare its dates with the clock of this computer"
            if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
                return f"it is not for the host {host} of this node"
            return error.verify_message
        except ssl.SSLError as error:
            return error.reason or str(error)
        return None


class _Passphrase:
    """Gives the passphrase to OpenSSL, which would otherwise ask for it on the terminal."""

    def __init__(self, given: Password | None, key: Path) -> None:
        self._given = given
        self._key = key
        if not (given is None or callable(given)):
            self._check(given)

    def __call__(self) -> str | bytes:
        if self._given is None or self._given in ("", b""):
            raise TlsError(f"the key {self._key} has a passphrase: set it, too")
        if callable(self._given):
            # Once only: it may ask the user.
            self._given = self._check(self._given())
        return self._given

    @staticmethod
    def _check(value: object) -> str | bytes:
        if not isinstance(value, str | bytes):
            raise TypeError(f"the passphrase of a key has to be a str or bytes, not {type(value).__name__}")
        return value


def _path(name: str, value: str | os.PathLike[str]) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} has to be a path, not {type(value).__name__}")
    return Path(value).expanduser()


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, secret: _Passphrase) -> None:
    if "-----BEGIN CERTIFICATE-----" not in _text(certificate):
        raise TlsError(f"the file {certificate} contains no certificate in PEM format")
    key_text = _text(key)
    if "PRIVATE KEY-----" not in key_text:
        raise TlsError(f"the file {key} contains no private key in PEM format")
    try:
        context.load_cert_chain(certificate, key, secret)
    except ssl.SSLError as error:
        raise TlsError(_pair_error(error, certificate, key, encrypted="ENCRYPTED" in key_text)) from None
    except ValueError:  # The passphrase is too long for OpenSSL.
        raise TlsError(f"the passphrase of the key {key} is wrong") from None


def _pair_error(error: ssl.SSLError, certificate: Path, key: Path, *, encrypted: bool) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key {key} does not belong to the certificate {certificate}"
    if encrypted:
        return f"the passphrase of the key {key} is wrong"
    return f"the certificate {certificate} or its key {key} is damaged ({error.reason or 'not PEM'})"


def _load_authority(context: ssl.SSLContext, authority: Path) -> None:
    if "-----BEGIN" not in _text(authority):
        raise TlsError(f"the file {authority} contains no certificate of an authority in PEM format")
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise TlsError(f"the file {authority} of the authority is damaged ({error.reason or 'not PEM'})") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise TlsError(f"the file {path} cannot be read: {error.strerror}") from None


_NO_TLS = "it seems to run without TLS (a BEAM needs -proto_dist inet_tls)"


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = getattr(error, "reason", None)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "PACKET_LENGTH_TOO_LONG"):
        return f"the other side sends something else; {_NO_TLS}"
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError):
        return f"the other side has closed the connection; {_NO_TLS}"
    return str(reason or error)


class TlsStream(Stream):
    """A TCP connection that is encrypted by TLS.

    Bytes that are sent before the TLS handshake is done wait for it. OpenSSL does not allow one thread to read while
    another one writes; so both happen under the stream's lock.
    """

    def __init__(self, loop: Loop, sock: socket.socket, protocol: StreamProtocol, wrap: Wrap) -> None:
        sock.setblocking(False)
        self._tls = wrap(sock)
        self._handshake_done = False
        self._timer: Timer | None = None
        super().__init__(loop, self._tls, protocol)
        self._receive = self._decrypt

    def _begin(self) -> None:
        self._blocked = True
        self._loop.set_events(self._sock, selectors.EVENT_READ, self._ready)
        self._timer = self._loop.call_later(_HANDSHAKE_TIME, self._give_up)
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
            self.close(f"no TLS connection: {_why(error)}")
        else:
            self._handshake_done = True
            if self._timer is not None:
                self._timer.cancel()
            self._writable()
            self._read_pending()

    def _give_up(self) -> None:
        if not self._handshake_done:
            self.close(f"no TLS connection: the other side did not answer; {_NO_TLS}")

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
