"""Why the node must not listen on an address that other computers reach, in words that tell the user what to do.

The core's start reports a host that cannot be used at all.
"""

import bpy

from beam_bpy.cookies import DEFAULT_COOKIE
from beam_bpy.settings import Settings
from beam_bpy.transport.listener import reachable_by_others


def problem(settings: Settings) -> str | None:
    """Return the reason why a server with these settings must not be started, as a sentence; None if it may be started.

    It asks the system for the address of the host, which can take as long as the start itself.
    """
    host = settings.bind_host
    if not reachable_by_others(host):
        return None
    if not bpy.app.online_access:
        return (
            f"to listen on {host}, allow online access in Preferences, System, Network; "
            "or set the host to localhost, so that only programs on this computer can connect"
        )
    if settings.cookie == DEFAULT_COOKIE:
        return (
            f"other computers can connect to {host}, and the default cookie is publicly known: press Generate Cookie "
            "in the preferences, or set the host to localhost"
        )
    return None
