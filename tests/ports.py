"""Free TCP ports for tests."""

import contextlib
import random
import socket


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens.

    Several test suites run at the same time, so the port is a random one outside the range that the system gives to
    outgoing connections and to servers that ask for any port: there, another suite soon gets the same port.
    """
    for port in random.sample(range(10000, 32000), 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port found")
