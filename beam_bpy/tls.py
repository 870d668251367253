"""Distribution over TLS: what `-proto_dist inet_tls` is on the BEAM's side.

Ssl application, chapter "Using TLS for Erlang Distribution". The same protocol runs inside a TLS connection, whose
certificates both sides check. `Tls` holds the two contexts; nothing of it is needed without TLS.
"""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

Wrap = Callable[[socket.socket], ssl.SSLSocket]


class Tls:
    """Certificates for both directions.

    Args:
        certificate: a PEM file with this node's certificate, and the chain up to its authority.
        key: a PEM file with its private key; default in the file `certificate`.
        authority: a PEM file with the certificates of the authorities that the other nodes' certificates come from.
        check_host: True demands that the certificate of a node that we call is for its host; default True. A node
            that calls us proves only that one of the authorities knows it.

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
        """For a connection that has come in."""
        return lambda sock: self._server.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def client_side(self, host: str) -> Wrap:
        """For a connection to a node on `host`."""
        return lambda sock: self._client.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
