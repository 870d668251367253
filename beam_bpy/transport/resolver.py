"""Looking up host names."""

import ipaddress
import socket
import threading
from collections.abc import Callable

from beam_bpy.logger import log
from beam_bpy.transport.loop import Loop


def resolve(loop: Loop, host: str, done: Callable[[list[str]], None]) -> None:
    """Find the numeric addresses of a host, IPv4 first.

    Asking a name server blocks, so a name is looked up on a thread of its own.

    Args:
        loop: the loop on whose thread `done` is called.
        host: a name or a numeric address.
        done: gets the addresses, none when the host is unknown.
    """
    try:
        numeric = str(ipaddress.ip_address(host))
    except ValueError:
        numeric = None
    if numeric is not None:
        done([numeric])
        return

    def look_up() -> None:
        addresses = addresses_of(host)
        loop.call_soon(lambda: done(addresses))

    try:
        threading.Thread(target=look_up, name="beam_bpy resolver", daemon=True).start()
    except RuntimeError:
        log.error("the host %s cannot be looked up: this system cannot start another thread", host)
        loop.call_soon(lambda: done([]))


def addresses_of(host: str) -> list[str]:
    """The numeric addresses of a host, IPv4 first, none when it is unknown; blocks."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    ordered = sorted(found, key=lambda info: info[0] != socket.AF_INET)
    return list(dict.fromkeys(str(info[4][0]) for info in ordered))
