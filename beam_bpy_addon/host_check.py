"""Why the node must not listen on the host that the user has chosen, in words that tell the user what to enter.

The core's start reports a host that is not known, and one that is not an address of this computer.
"""

import contextlib
import ipaddress
import socket

import bpy

from beam_bpy.cookies import DEFAULT_COOKIE
from beam_bpy.settings import Settings
from beam_bpy.transport.listener import reachable_by_others


def problem(settings: Settings) -> str | None:
    """Return the reason why a server with these settings must not be started, as a sentence; None if it may be started.

    It asks the system for the address of the host, which can take as long as the start itself.
    """
    host = settings.bind_host
    name, colon, port = host.partition(":")
    if colon and port.isdecimal() and ":" not in port:
        return f"the host {host} contains a port: enter {name} under Host, and {port} under Port"
    if not reachable_by_others(host):
        return None
    if not bpy.app.online_access:
        return (
            f"to listen on {host}, allow online access in Preferences, System, Network; "
            "or set the host to localhost, so that only programs on this computer can connect"
        )
    return _name_problem(settings) or _cookie_problem(settings)


def _name_problem(settings: Settings) -> str | None:
    """The node listens on all addresses, but its name has the address of a computer that calls itself."""
    if settings.bind_host not in ("0.0.0.0", "::") or not _is_loopback(settings.host):  # noqa: S104
        return None
    example = f"{settings.short_name}@{_own_address() or '10.0.0.5'}"
    return (
        f"other computers cannot use the name {settings.node_name}: under Node Name, also enter the address by which "
        f"they reach this computer, such as {example}"
    )


def _cookie_problem(settings: Settings) -> str | None:
    if settings.cookie != DEFAULT_COOKIE:
        return None
    return (
        f"other computers can connect to {settings.bind_host}, and the default cookie is publicly known: press "
        "Generate Cookie in the preferences, or set the host to localhost"
    )


def _is_loopback(host: str) -> bool:
    try:
        address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError):  # No other computer knows this name either.
        return True
    return ipaddress.ip_address(str(address).partition("%")[0]).is_loopback


def _own_address() -> str | None:
    """The address of this computer in its network; None if it has no network. No packet is sent for it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # An address for documentation (RFC 5737).
        own = str(sock.getsockname()[0])
        return None if ipaddress.ip_address(own).is_loopback else own
    return None
