"""Start and stop the server of the extension, with settings from arguments, the environment and the preferences."""

import ipaddress
import logging
from typing import Any

import bpy

from beam_bpy import GivenOptions, SettingsError, get_beam_server, settings
from beam_bpy.beam_server import stop_all

from . import drain, preferences

log = logging.getLogger("beam_bpy.blender")

_problem: str | None = None
_applied: dict[str, Any] = {}


def problem() -> str | None:
    """The reason why the extension's last start of the server failed, as a sentence; None if it did not fail."""
    return _problem


def start(**arguments: Any) -> str | None:
    """Start the server, if it does not run. Return `problem()`.

    Args:
        arguments: options of `BeamServer.configure`. They have precedence over the environment and the preferences;
            None means that the option is not given.
    """
    global _problem
    _problem = None if get_beam_server().running else _start(_chosen(arguments))
    return _problem


def stop() -> None:
    """Stop the server. The handlers stay registered."""
    global _problem
    _problem = None
    get_beam_server().stop()


def restart() -> str | None:
    """Stop the server and start it with the current preferences. Return `problem()`."""
    stop()
    return start()


def register() -> None:
    """Apply the preferences to the server, so that a script that starts the server also uses them."""
    server = get_beam_server()
    if server.running:
        log.warning(
            "the server already ran when the extension was enabled: restart the server to apply the preferences"
        )
        return
    _apply(preferences.take())
    holder = preferences.current()
    if holder is not None and holder.start_with_blender and not bpy.app.background:
        # Start in a timer: by then, other extensions have registered their handlers, and Blender has loaded the file.
        bpy.app.timers.register(_start_with_blender, persistent=True)


def unregister() -> None:
    """Stop all servers, also those of scripts.

    Without the extension, the queue of the main thread is no longer used, and no other thread may run a handler of bpy.

    Without a window, the servers continue if a handler has disabled the extension, for example with
    `bpy.ops.wm.read_factory_settings`: the program that called `serve_forever` still drains the queue.
    """
    if bpy.app.timers.is_registered(_start_with_blender):
        bpy.app.timers.unregister(_start_with_blender)
    if bpy.app.background and drain.in_handler():
        return
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
    """Apply settings to the server. Log a warning if they replace settings of a script; its other settings stay."""
    global _applied
    server = get_beam_server()
    replaced = [name for name, value in arguments.items() if _set_by_a_script(server.options, name, value)]
    if replaced:
        labels = ", ".join(preferences.label(name) for name in replaced)
        log.warning("the preferences of Beam-BPy replace these settings of a script: %s", labels)
    server.configure(**arguments)
    _applied = arguments


def _set_by_a_script(options: GivenOptions, name: str, value: Any) -> bool:
    present = getattr(options, name)
    return present not in (value, _applied.get(name), getattr(GivenOptions(), name))


def _refusal(arguments: dict[str, Any]) -> str | None:
    """The reason why a server with these settings must not be started, as a sentence; None if it may be started."""
    try:
        checked = _checked(arguments)
    except SettingsError as error:
        return str(error)
    if bpy.app.online_access or _is_loopback(checked.bind_host):
        return None
    return (
        f"to listen on {checked.bind_host}, allow online access in Preferences, System, Network; "
        "or set the host to localhost, so that only programs on this computer can connect"
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
        # A host name can have any address. Only localhost is always an address of this computer.
        return host == "localhost"
