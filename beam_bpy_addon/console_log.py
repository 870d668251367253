"""Write the messages of the logger "beam_bpy" to the terminal from which Blender was started.

Blender does not configure Python's logging, so Python would show only warnings and errors. If a script configures
logging, its handlers write the messages, and this module writes nothing. So no message appears twice.
"""

import logging

_log = logging.getLogger("beam_bpy")

_console: logging.Handler | None = None
_level_before = logging.NOTSET


def set_level(level: str) -> None:
    """Show messages with this level or a higher one.

    Args:
        level: `error`, `warning`, `info` or `debug`.
    """
    _log.setLevel(level.upper())


def register() -> None:
    """Start to write the messages to the terminal."""
    global _console, _level_before
    _level_before = _log.level
    _console = logging.StreamHandler()
    _console.setFormatter(logging.Formatter("%(name)s %(levelname)s: %(message)s"))
    _console.addFilter(_nobody_else_shows_it)
    _log.addHandler(_console)


def unregister() -> None:
    """Undo `register` and `set_level`."""
    assert _console is not None
    _log.removeHandler(_console)
    _log.setLevel(_level_before)


def _nobody_else_shows_it(_record: logging.LogRecord) -> bool:
    return not logging.getLogger().handlers
