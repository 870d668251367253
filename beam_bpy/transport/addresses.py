"""Addresses: which stand for the same machine, and which one this machine has."""

import contextlib
import ipaddress
import socket


def network_of(address: str) -> str:
    """The machine behind an address: the address itself; of IPv6 its network of 64 bits, which is often one machine."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def is_loopback(address: str) -> bool:
    """True if only this machine reaches the numeric address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def is_ipv6(host: str) -> bool:
    """True if the host is an IPv6 address and not a name."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def outgoing_address(like: str) -> str | None:
    """The address from which this machine reaches other networks; None if it reaches none.

    Args:
        like: an address of the wanted family, IPv4 or IPv6.
    """
    # Connecting a UDP socket sends nothing. The destinations are reserved for documentation (RFC 5737, RFC 3849).
    family, elsewhere = (socket.AF_INET6, "2001:db8::1") if ":" in like else (socket.AF_INET, "192.0.2.1")
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((elsewhere, 9))
        address = str(sock.getsockname()[0])
        return None if is_loopback(address) else address
    return None
