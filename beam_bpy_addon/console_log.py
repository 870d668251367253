"""Where the messages of the logger "beam_bpy" go: to the terminal that Blender was started from.

Blender configures no logging, and Python then shows warnings only. A program or script that does configure it gets the
messages its own way, and nothing twice.
"""

import logging

_log = logging.getLogger("beam_bpy")

_console: logging.Handler | None = None
_level_before = logging.NOTSET


def set_level(level: str) -> None:
    """Show messages from `level` on: `error`, `warning`, `info` or `debug`."""
    _log.setLevel(level.upper())


def register() -> None:
    """Show the messages."""
    global _console, _level_before
    _level_before = _log.level
    _console = logging.StreamHandler()
    _console.setFormatter(logging.Formatter("%(name)s %(levelname)s: %(message)s"))
    _console.addFilter(_nobody_else_shows_it)
    _log.addHandler(_console)


def unregister() -> None:
    """Undo `register`, and `set_level`."""
    assert _console is not None
    _log.removeHandler(_console)
    _log.setLevel(_level_before)


def _nobody_else_shows_it(_record: logging.LogRecord) -> bool:
    return not logging.getLogger().handlers
