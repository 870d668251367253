"""The logger of this package.

- It suppresses exceptions of the program's logging handlers. Otherwise a logging handler that raises an exception would
  close connections, lose replies and end threads.
- It escapes control characters, because the names and reasons in a message come from peers. A newline in a name cannot
  begin a line of its own.
- It counts repeated messages instead of writing them (`RepeatedLines`).

A log record has the attribute `fields`: a dict with the values that the message names, for a formatter such as JSON.
"""

import contextlib
import logging
import re
import threading
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

SUMMARY_INTERVAL = 10.0
"""Seconds in which the same message is written once; then one line says how often it was repeated."""

_MAX_KEYS = 100
"""The number of different messages that are told apart in this time."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Log(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log a message with the option `fields`. An exception of the program's logging handlers is suppressed."""
        if not self.isEnabledFor(level):
            return
        with contextlib.suppress(Exception):
            options["extra"] = {"fields": dict(options.pop("fields", None) or {})}
            # With stacklevel 2, the log record names the caller of this method, and not this method.
            self.logger.log(level, msg, *map(_escaped, args), **{"stacklevel": 2, **options})


def _escaped(argument: object) -> object:
    if isinstance(argument, int | float):
        return argument
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(argument))


log = _Log(logging.getLogger("beam_bpy"))


class _Repeated(NamedTuple):
    level: int
    message: str
    fields: Mapping[str, Any]
    repeats: int


class RepeatedLines:
    """Writes each message once, and then only counts it until `summarise`; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Hashable, _Repeated] = {}

    def log(self, level: int, key: Hashable, msg: str, *args: object, fields: Mapping[str, Any] | None = None) -> None:
        """Log a message, unless one with the same key was logged since the last `summarise`."""
        if not log.isEnabledFor(level):
            return
        with self._lock:
            if key not in self._lines and len(self._lines) >= _MAX_KEYS:
                key, args, fields = ("others", level), (), None
                msg = f"more than {_MAX_KEYS} different messages: others are only counted"
            known = self._lines.get(key)
            if known is not None:
                self._lines[key] = known._replace(repeats=known.repeats + 1)
                return
            message = msg % tuple(map(_escaped, args))
            self._lines[key] = _Repeated(level, message, fields or {}, 0)
        log.log(level, "%s", message, fields=fields, stacklevel=3)

    def summarise(self) -> None:
        """Write for each message how often it was repeated. The server calls this every `SUMMARY_INTERVAL`."""
        with self._lock:
            lines, self._lines = self._lines, {}
        for line in lines.values():
            if line.repeats:
                fields = {**line.fields, "repeated": line.repeats}
                sentence = "… and %d more in the last %d seconds: %s"
                log.log(line.level, sentence, line.repeats, SUMMARY_INTERVAL, line.message, fields=fields)


repeated = RepeatedLines()
