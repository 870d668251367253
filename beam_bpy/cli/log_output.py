"""The log of the command line: its level, and its lines as text or JSON."""

import argparse
import json
import logging
import time
from typing import Any

from beam_bpy.calls.failure_log import log_failed_calls
from beam_bpy.erlang_text import show

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both `serve` commands about the log."""
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        default=argparse.SUPPRESS,
        help="the least important messages to log (default: info)",
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        default="text",
        help="a line of text for each message (default), or a JSON object with time, level, logger, message and fields",
    )
    parser.add_argument(
        "--log-failed-calls",
        action="store_true",
        help="log calls that fail with level info; the default is debug, because their callers get the reason",
    )


def configure_log(options: argparse.Namespace, default_level: str = "info") -> None:
    """Write the log to standard error, as the options say.

    If the program has configured logging before, its handlers write the messages, and only the level is set.
    """
    chosen = options.log_level or default_level
    level = chosen.upper()
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if options.log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    if options.log_level is not None:
        logging.getLogger("beam_bpy").setLevel(level)
    log_failed_calls(logging.INFO if options.log_failed_calls else logging.DEBUG)


class TextFormatter(logging.Formatter):
    """One line with time and level. The lines of a traceback are indented, so that no message can look like two."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return "\n    ".join(super().format(record).splitlines())

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - of `Formatter`
        """See `logging.Formatter`."""
        return _time_of(record)


class JsonFormatter(logging.Formatter):
    """One JSON object in one line, with the keys time, level, logger, message, the fields, and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        entry: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in getattr(record, "fields", {}).items() if name not in entry}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=show)


def _time_of(record: logging.LogRecord) -> str:
    """The time with its zone, such as `2026-05-31T12:00:00.250+0200`."""
    moment = time.localtime(record.created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03}{time.strftime('%z', moment)}"
