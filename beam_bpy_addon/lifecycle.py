"""Starting and stopping the extension's server with the settings that apply."""

import ipaddress
import logging
from typing import Any

import bpy

from beam_bpy import GivenOptions, SettingsError, get_beam_server, settings
from beam_bpy.beam_server import stop_all

from . import preferences

log = logging.getLogger("beam_bpy.blender")

_problem: str | None = None
_applied: dict[str, Any] = {}


def problem() -> str | None:
    """Why the last start through the extension failed, as a sentence; None after one that did not."""
    return _problem


def start(**arguments: Any) -> str | None:
    """Start the server; returns `problem`.

    Args:
        arguments: settings that win over the environment and the preferences, as for `BeamServer.configure`.
    """
    global _problem
    _problem = None if get_beam_server().running else _start(_chosen(arguments))
    return _problem


def stop() -> None:
    """Stop the server. Handlers stay registered."""
    global _problem
    _problem = None
    get_beam_server().stop()


def restart() -> str | None:
    """Stop the server and start it with the preferences as they are now; returns `problem`."""
    stop()
    return start()


def register() -> None:
    """Give the server the preferences, so that a script which starts it gets the node that the user set up."""
    server = get_beam_server()
    if server.running:
        log.warning("the server was running before the extension: restart it to apply the preferences")
        return
    _apply(preferences.take())
    holder = preferences.current()
    if holder is not None and holder.start_with_blender and not bpy.app.background:
        # Later: other extensions register their handlers first, and Blender may still be about to load a file.
        bpy.app.timers.register(_start_with_blender, persistent=True)


def unregister() -> None:
    """Stop every server, those of scripts too: no handler may touch bpy once nothing drains on the main thread."""
    if bpy.app.timers.is_registered(_start_with_blender):
        bpy.app.timers.unregister(_start_with_blender)
    stop()
    stop_all()


def _start_with_blender() -> None:
    start()


def _start(arguments: dict[str, Any]) -> str | None:
    sentence = _refusal(arguments)
    if sentence is not None:
        return sentence
    server = get_beam_server()
    _apply(arguments)
    return None if server.start() else server.last_error


def _apply(arguments: dict[str, Any]) -> None:
    """Give the server the settings, and say which of a script's they replace; a script's other settings stay."""
    global _applied
    server = get_beam_server()
    replaced = [name for name, value in arguments.items() if _set_by_a_script(server.options, name, value)]
    if replaced:
        labels = ", ".join(preferences.label(name) for name in replaced)
        log.warning("the preferences of Beam-BPy replace settings that a script has given the server: %s", labels)
    server.configure(**arguments)
    _applied = arguments


def _set_by_a_script(options: GivenOptions, name: str, value: Any) -> bool:
    present = getattr(options, name)
    return present not in (value, _applied.get(name), getattr(GivenOptions(), name))


def _refusal(arguments: dict[str, Any]) -> str | None:
    """Why a server with these settings may not be started."""
    try:
        checked = _checked(arguments)
    except SettingsError as error:
        return str(error)
    if bpy.app.online_access or _is_loopback(checked.bind_host):
        return None
    return (
        f"to listen on {checked.bind_host}, allow online access in Preferences, System, Network; "
        "or set the host to localhost, which only this computer can reach"
    )


def _checked(arguments: dict[str, Any]) -> settings.Settings:
    known: dict[str, Any] = {name: arguments.get(name) for name in settings.ENVIRONMENT}
    return settings.resolve(**known)


def _chosen(arguments: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    return preferences.take() | given


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name may stand for any address; only this one is sure to stay on this computer.
        return host == "localhost"
