"""What a server has done so far, for whoever shows it."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from beam_bpy.failures import Failure, shortened


class FailedCall(NamedTuple):
    """A call that failed.

    Attributes:
        handler: the handler's name.
        message: what went wrong, in one line.
        traceback: Python's traceback; empty when the handler chose the failure itself.
        at: when, in seconds since the epoch.
    """

    handler: str
    message: str
    traceback: str
    at: float


class Activity(NamedTuple):
    """What a server has done and has to do; see `BeamServer.activity`.

    Attributes:
        calls: how many calls have been answered or, being casts, run; those that failed too.
        failures: how many of them failed.
        queued: how many wait for the thread that runs handlers, or have begun there and are not done.
        last_failure: the last one that failed.
    """

    calls: int
    failures: int
    queued: int
    last_failure: FailedCall | None


@dataclass(slots=True)
class Tally:
    """Counts calls. One thread counts at a time: that which runs the handlers that it counts."""

    calls: int = 0
    failures: int = 0


@dataclass(slots=True)
class Record:
    """The tallies of a server: of the handlers on the network thread, and of those on the thread that drains."""

    inline: Tally = field(default_factory=Tally)
    queued: Tally = field(default_factory=Tally)
    last_failure: FailedCall | None = None

    def note_failure(self, handler: str, failure: Failure) -> None:
        """Keep the last failure."""
        trace = ""
        match failure.reason:
            case ("python_error", {"traceback": trace}):
                pass
        message = " ".join(shortened(failure.reason).split())
        self.last_failure = FailedCall(handler, message, trace, time.time())
