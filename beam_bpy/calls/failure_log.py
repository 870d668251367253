"""Log messages about calls that fail.

The caller of a call gets the reason, so the message has the level DEBUG, or INFO on request (`log_failed_calls`).
Nobody gets the reason of a cast or of a process that was spawned, so their messages are warnings.
"""

import logging
from enum import Enum

from beam_bpy.failures import Failure, Kind, reason_kind, shortened
from beam_bpy.logger import log, repeated
from beam_bpy.module_names import ELIXIR_PREFIX


class Waiting(Enum):
    """How a caller waits; the value is what a message calls it."""

    CALL = "a call"
    CAST = "a cast"
    SPAWN = "a spawned process"


_call_level = logging.DEBUG


def log_failed_calls(level: int) -> None:
    """Set the level of the messages about calls whose caller gets the reason, for this process."""
    global _call_level
    _call_level = level


def log_failure(waiting: Waiting, node_name: str, failure: Failure) -> None:
    """Log that a call from a node has failed."""
    level = _call_level if waiting is Waiting.CALL else logging.WARNING
    if not log.isEnabledFor(level):
        return
    module, function, last = failure.stack[0][:3]
    arity = len(last) if isinstance(last, list) else last
    called = f"{_module(module)}{function}/{arity}"
    key = (waiting, node_name, called, failure.kind, reason_kind(failure.reason))
    fields = {
        "node": node_name,
        "module": module.removeprefix(ELIXIR_PREFIX),
        "function": function,
        "arity": arity,
        "reason": shortened(failure.reason),
    }
    kind = "" if failure.kind is Kind.ERROR else f"{failure.kind.value} "
    repeated.log(
        level,
        key,
        "%s failed: %s, from %s: %s%s",
        *(waiting.value, called, node_name, kind, fields["reason"]),
        fields=fields,
    )


def _module(module: str) -> str:
    """A module with the sign behind it, as its language writes it: `Blender.` or `lists:`."""
    return f"{module.removeprefix(ELIXIR_PREFIX)}." if module.startswith(ELIXIR_PREFIX) else f"{module}:"
