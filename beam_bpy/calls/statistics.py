"""Counting calls and failures."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from beam_bpy.failures import Failure, shortened


class FailedCall(NamedTuple):
    """A call that failed.

    Attributes:
        handler: the handler's name; for a call that no handler has answered, `Module.function/arity`.
        message: the failure, in one line; `undef` if there is no such handler.
        traceback: Python's traceback; empty when the handler has chosen the failure itself.
        at: the time, in seconds since the epoch.
    """

    handler: str
    message: str
    traceback: str
    at: float


class Activity(NamedTuple):
    """The calls of a server so far; see `BeamServer.activity`.

    Attributes:
        calls: the number of calls that were answered and of casts that were run, failed ones included.
        failures: the number of them that failed.
        queued: the number of calls that wait for the thread that runs handlers, or that it has not finished.
        last_failure: the last call that failed.
        replaced: the number of casts that never ran, because a newer one took their place; see the handler option
            `latest`.
    """

    calls: int
    failures: int
    queued: int
    last_failure: FailedCall | None
    replaced: int = 0


@dataclass(slots=True)
class Tally:
    """Counts calls. Only the thread that runs the counted handlers changes it."""

    calls: int = 0
    failures: int = 0


@dataclass(slots=True)
class Statistics:
    """The tallies of a server: one for inline handlers on the network thread, one for the draining thread.

    Attributes:
        inline, queued: the tallies.
        replaced: see `Activity`; only the network thread changes it.
        last_failure: see `Activity`.
    """

    inline: Tally = field(default_factory=Tally)
    queued: Tally = field(default_factory=Tally)
    replaced: int = 0
    last_failure: FailedCall | None = None

    def note_failure(self, handler: str, failure: Failure) -> None:
        """Remember the last failure."""
        trace = ""
        match failure.reason:
            case ("python_error", {"traceback": trace}):
                pass
        message = " ".join(shortened(failure.reason).split())
        self.last_failure = FailedCall(handler, message, trace, time.time())
