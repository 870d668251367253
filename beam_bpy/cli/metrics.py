"""`serve --metrics PORT`: the health of the node in the text format of Prometheus, on a loopback address.

The HTTP server runs on a thread of its own and serves one request after the other. It cannot harm the node: it reads
counters, never waits for a handler, gives each client two seconds, and ends with the program.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.calls.node_answers import Health
from beam_bpy.errors import SettingsError

_ADDRESS = "127.0.0.1"
_CLIENT_TIME = 2.0
"""Seconds that a client has for its request, and for reading the answer."""

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@contextlib.contextmanager
def metrics_server(server: BeamServer, port: int | None) -> Iterator[None]:
    """Serve the metrics of `server` in this block; nothing if `port` is None.

    Raises:
        SettingsError: the port cannot be used.
    """
    if port is None:
        yield
        return
    try:
        http = _HttpServer(server, port)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"the metrics cannot use port {port}: {getattr(error, 'strerror', error)}") from None
    stopping = threading.Event()
    threading.Thread(target=http.run, args=(stopping,), name="beam_bpy metrics", daemon=True).start()
    try:
        yield
    finally:
        # It is not waited for: a slow client must not delay the end of the node.
        stopping.set()
        http.server_close()


class _HttpServer(HTTPServer):
    request_queue_size = 8
    timeout = 0.5

    def __init__(self, server: BeamServer, port: int) -> None:
        self.node = server
        super().__init__((_ADDRESS, port), _Request)

    def run(self, stopping: threading.Event) -> None:
        """Answer requests until `stopping`."""
        with contextlib.suppress(OSError, ValueError):  # The socket has been closed.
            while not stopping.is_set():
                self.handle_request()

    def server_bind(self) -> None:
        # Without the lookup of the computer's name that `HTTPServer` makes.
        socket.socket.bind(self.socket, self.server_address)
        self.server_name, self.server_port = _ADDRESS, self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no news."""


class _Request(BaseHTTPRequestHandler):
    server: _HttpServer
    timeout = _CLIENT_TIME
    server_version = "beam_bpy"

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, explain="The metrics are at /metrics.")
            return
        text = metrics(self.server.node.node_name, self.server.node.health).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests for metrics are not logged."""


def metrics(node_name: str, health: Health | None) -> str:
    """The metrics in Prometheus' text format; of a node that does not run, only that it is not ready."""
    running = health.running if health is not None else None
    rows: list[tuple[str, str, str, float]] = [
        ("ready", "gauge", "1 if the node answers calls.", int(health is not None))
    ]
    if health is not None:
        rows += [
            ("uptime_seconds", "gauge", "Seconds since the start of the node.", health.uptime),
            ("calls_total", "counter", "Calls, failed ones included.", health.calls),
            ("failures_total", "counter", "Calls that failed.", health.failures),
            ("replaced_casts_total", "counter", "Casts that a newer cast has replaced.", health.replaced),
            ("queued_calls", "gauge", "Calls that wait for the thread that runs handlers.", health.queued),
            ("waiting_calls", "gauge", "Calls that wait because the host is busy.", health.waiting),
            (
                "handler_running_seconds",
                "gauge",
                "For how long the handler runs that runs now, or 0.",
                running.seconds if running is not None else 0,
            ),
            ("connected_nodes", "gauge", "Connected nodes.", health.peers),
        ]
        if health.memory is not None:
            rows.append(("memory_bytes", "gauge", "Memory of the process.", health.memory))
    label = f'{{node="{node_name}"}}'
    return "".join(
        f"# HELP beam_bpy_{name} {text}\n# TYPE beam_bpy_{name} {kind}\nbeam_bpy_{name}{label} {value}\n"
        for name, kind, text, value in rows
    )
