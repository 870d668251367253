"""How much of this program others may take: sizes, counts and times, and what is said of those who want more.

Two rules. Whoever has not proved that it knows the cookie makes room for whoever comes after it. Whoever has is slowed
down before it loses anything: what it sends is not read for a while, so that it waits where it is.
"""

import ipaddress
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from beam_bpy.logs import log
from beam_bpy.protocol.framing import DEFAULT_MAX_FRAME

QUIET_TIME = 60.0
"""Seconds for which no second line is logged of those who come from one address and are not let in."""

_MAX_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes, from all together and from each peer.

    Attributes:
        max_frame: bytes of one message, whole or in fragments; 1 GiB. A peer that sends a longer one is disconnected.
        max_connections: connections in all, those that are being made too; 256. More are refused.
        max_half_open: connections that have come in and have not finished their handshake; 128. A new one takes the
            place of the oldest.
        max_half_open_per_address: the same, for each address (of IPv6, each network of 64 bits); 64.
        max_queued: calls that wait for the thread that runs handlers; 10 000. A further one fails with the reason
            `{overload, <<"sentence">>}`.
        max_in_flight: calls of one peer that wait or run; 1000. From a peer that has more nothing is read until it has
            half as many. While a call from here to that peer has no answer reading goes on, because a handler may
            be waiting for it, and further calls of that peer fail with `{overload, <<"sentence">>}`.
        max_unsent: bytes held for a peer that does not read what it is sent; 64 MiB. The same happens, and calls of
            it that are queued do not run before it has read half of them.
        patience: seconds after which a peer is disconnected that was over `max_unsent` and has read nothing since; 60,
            and no less than the tick time.

    Raises:
        ValueError: a limit is not above 0.
    """

    max_frame: int = DEFAULT_MAX_FRAME
    max_connections: int = 256
    max_half_open: int = 128
    max_half_open_per_address: int = 64
    max_queued: int = 10_000
    max_in_flight: int = 1000
    max_unsent: int = 64 * 1024 * 1024
    patience: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} has to be above 0")


class Load:
    """The work that one peer has given this program.

    Attributes:
        in_flight: calls that wait or run.
        overloaded: why no further call of it is taken, as a sentence; None when calls are taken.
        has_room: whether the peer has read enough to be sent more; from any thread.
        look: called from any thread when a call has been put aside, so that somebody takes it up again.
    """

    __slots__ = ("__weakref__", "_aside", "_lock", "has_room", "in_flight", "look", "overloaded")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._aside: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self.in_flight = 0
        self.overloaded: str | None = None
        self.has_room: Callable[[], bool] = lambda: True
        self.look: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """A call has come; from any thread."""
        with self._lock:
            self.in_flight += 1

    def end(self) -> None:
        """A call has been answered, or nobody wants the answer any more; from any thread."""
        with self._lock:
            self.in_flight -= 1

    def put_aside(self, call: Any, put_back: Callable[[Any], None]) -> bool:
        """Keep a call that would run now for when there is room for its answer, and it stays behind those before it.

        Returns:
            False when there is room, and none waits for it.
        """
        if not self._aside and self.has_room():
            return False
        self._aside.append((call, put_back))
        self.look()
        return True

    def take_up(self) -> None:
        """There is room, or nobody waits for an answer any more: put the calls back; only on the network thread."""
        while self._aside:
            call, put_back = self._aside.popleft()
            put_back(call)


class Clock(Interface):
    """What `Complaints` needs of the loop."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object:
        """Call `callback` after so many seconds."""


class Complaints:
    """One line for each address in a minute, and one with a count for all that came after it. On the network thread.

    A port scan or a node that tries again and again would else fill the log, and hide what matters.

    Args:
        clock: the loop.
        what: what those who are not let in have made: "connection".
    """

    def __init__(self, clock: Clock, what: str) -> None:
        self._clock = clock
        self._what = what
        self._counts: dict[str, int] = {}

    def say(self, address: str, reason: str) -> None:
        """Somebody at `address` was not let in."""
        key = network_of(address)
        if key not in self._counts and len(self._counts) >= _MAX_ADDRESSES:
            key = "other addresses"
        if key in self._counts:
            self._counts[key] += 1
            return
        self._counts[key] = 0
        self._clock.call_later(QUIET_TIME, lambda: self._sum_up(key))
        log.warning("a %s from %s was not let in: %s", self._what, address, reason)

    def _sum_up(self, key: str) -> None:
        more = self._counts.pop(key)
        if more:
            log.warning("%d more %ss from %s were not let in within %g seconds", more, self._what, key, QUIET_TIME)


def network_of(address: str) -> str:
    """Whom an address stands for: itself; of IPv6 the network of 64 bits, all of which is often one machine's."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
