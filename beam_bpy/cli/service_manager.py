"""Messages to systemd for units with `Type=notify`: sd_notify(3), without its library."""

import os
import socket


def notify(state: str) -> None:
    """Send a state such as `READY=1` to the service manager, if one has started this program. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):  # An address without a file, which begins with a zero byte.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
    except (OSError, ValueError):
        pass  # The node serves all the same, and the service manager reports that it has heard nothing.
