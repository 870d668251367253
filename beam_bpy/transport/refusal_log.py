"""Log lines about refused connections: one for each address and reason in a minute, and one with the number of others.

A port scan, or a node that tries again and again, would otherwise fill the log. A peer can cause many different
reasons, because some contain the name that it claims; so there is a limit for each address, too.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from beam_bpy.logger import log
from beam_bpy.transport.addresses import network_of

QUIET_TIME = 60.0
"""Seconds without a second line about one address and reason."""

_NUMBERS = re.compile(r"\d+")
"""Two reasons that differ only in numbers are the same reason."""

_MAX_ADDRESSES = 1000


class Clock(Protocol):
    """The part of a loop that `RefusalLog` needs."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object:
        """Call `callback` after `delay` seconds."""


class Refusal(NamedTuple):
    """A connection that was refused.

    Attributes:
        address: the address that it came from.
        reason: the reason, as a sentence.
        number: the number of connections that were refused so far, with this one.
    """

    address: str
    reason: str
    number: int


class RefusalLog:
    """Logs refusals. Only on the network thread.

    Args:
        clock: the loop.
        what: the thing that is refused: "connection".
        reasons: the number of lines about one address, each with another reason; default 5.

    Attributes:
        last: the last refusal; None if there was none.
    """

    def __init__(self, clock: Clock, what: str, *, reasons: int = 5) -> None:
        self._clock = clock
        self._what = what
        self._max_reasons = reasons
        self._counts: dict[str, int] = {}
        self._reasons: dict[str, set[str]] = {}
        self.last: Refusal | None = None

    def refused(self, address: str, reason: str) -> None:
        """Something that came from `address` was refused."""
        self.last = Refusal(address, reason, 1 if self.last is None else self.last.number + 1)
        key = network_of(address)
        if key not in self._counts and len(self._counts) >= _MAX_ADDRESSES:
            key = "other addresses"
        if key not in self._counts:
            self._counts[key] = 0
            self._reasons[key] = set()
            self._clock.call_later(QUIET_TIME, lambda: self._summarise(key))
        reasons = self._reasons[key]
        kind = _NUMBERS.sub("", reason)
        if kind in reasons or len(reasons) >= self._max_reasons:
            self._counts[key] += 1
            return
        reasons.add(kind)
        log.warning("a %s from %s was refused: %s", self._what, address, reason)

    def _summarise(self, key: str) -> None:
        more = self._counts.pop(key)
        del self._reasons[key]
        if more:
            log.warning("%d more %ss from %s were refused within %g seconds", more, self._what, key, QUIET_TIME)
