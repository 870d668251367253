"""Which addresses stand for the same machine."""

import ipaddress


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
