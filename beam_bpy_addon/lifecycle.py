"""Start and stop the server of the extension, with settings from arguments, the environment and the preferences."""

import contextlib
import logging
from typing import Any

import bpy

from beam_bpy import GivenOptions, SettingsError, get_beam_server, settings
from beam_bpy.beam_server import stop_all

from . import drain, host_check, messages, preferences, security, updates

log = logging.getLogger("beam_bpy.blender")

_problem: str | None = None
_applied: dict[str, Any] = {}


def problem() -> str | None:
    """The reason why the extension's last start of the server failed, as a sentence; None if it did not fail."""
    return _problem


def start(**values: Any) -> str | None:
    """Start the server, if it does not run. Return `problem()`.

    Args:
        values: values by the names of `settings.TABLE`. They have precedence over the environment and the
            preferences; None means that the setting is not given.
    """
    global _problem
    _problem = None if get_beam_server().running else _start(values)
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
    with contextlib.suppress(SettingsError):  # The start reports it.
        _apply(_chosen({}))
    holder = preferences.current()
    if holder is None or bpy.app.background:
        return
    if updates.take_restart(holder) or holder.start_with_blender:
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
    sentence = start()
    if sentence is not None:
        messages.tell(f"The node cannot start: {sentence}", warning=True)


def _start(values: dict[str, Any]) -> str | None:
    server = get_beam_server()
    try:
        arguments = _chosen(values)
        _check_host(arguments)
        _apply(arguments)
    except SettingsError as error:
        return str(error)
    return None if server.start() else server.last_error


def _chosen(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `BeamServer` for the preferences, the environment and these values.

    Raises:
        SettingsError: an environment variable cannot be used.
    """
    layers = (security.read(preferences.take()), settings.from_environment(), values)
    given = ({name: value for name, value in layer.items() if value is not None} for layer in layers)
    return settings.arguments(settings.merged(*given))


def _apply(arguments: dict[str, Any]) -> None:
    """Apply settings to the server. Log a warning if they replace settings of a script; its other settings stay."""
    global _applied
    server = get_beam_server()
    replaced = [name for name, value in arguments.items() if _set_by_a_script(server.options, name, value)]
    if replaced:
        labels = ", ".join(preferences.label(name) for name in replaced)
        log.warning("the preferences of Beam-BPy replace these settings of a script: %s", labels)
    # None resets a preference that the user has removed since the last time.
    server.configure(**{**dict.fromkeys(_applied), **arguments})
    _applied = arguments


def _set_by_a_script(options: GivenOptions, name: str, value: Any) -> bool:
    present = getattr(options, name)
    return present not in (value, _applied.get(name), getattr(GivenOptions(), name))


def _check_host(arguments: dict[str, Any]) -> None:
    """Refuse a host on which this Blender must not listen; see `host_check`.

    Raises:
        SettingsError: see above, or a setting cannot be used.
    """
    given = arguments.get
    checked = settings.resolve(
        given("node_name"), given("cookie"), given("host"), given("port"), cookie_file=given("cookie_file")
    )
    sentence = host_check.problem(checked)
    if sentence is not None:
        raise SettingsError(sentence)
