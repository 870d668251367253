"""The limits of what peers may use of this program."""

import math
from dataclasses import dataclass

from beam_bpy.protocol.framing import DEFAULT_MAX_FRAME


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of this program its peers may use, all together and each of them.

    Peers that have not proved yet that they know the cookie are limited by eviction: the oldest is closed for the
    newest. Connected peers are limited by back-pressure: above a limit, which is the high-water mark, nothing more is
    read from the peer until it is below half of the limit, the low-water mark.

    Attributes:
        max_frame: the longest message, whole or in fragments, in bytes; 1 GiB. A peer that sends a longer one is
            disconnected; if it was the answer to a call from here, the call fails with a `NodeDownError` that says so.
        max_connections: all connections, pending ones included; 256. More are refused.
        max_half_open: accepted connections whose handshake is not finished; 128. For one more, the oldest is closed.
        max_half_open_per_address: the same for each address (of IPv6, each network of 64 bits); 64.
        max_queued: calls that wait for the thread that runs handlers, and `async def` handlers that have not ended;
            10 000. One more fails with the reason `{overload, <<"sentence">>}`.
        max_in_flight: calls of one peer that wait or run; 1000. `async def` handlers that have begun do not count.
            Above it, nothing is read from that peer, so calls of inline handlers wait too. While a call from here to
            that peer has no answer, reading continues, because a handler may wait for that answer; further calls of
            that peer then fail with `{overload, <<"sentence">>}`.
        max_unsent: bytes that wait for one peer to read them; 64 MiB. Above it, nothing is read from that peer, and its
            queued calls are parked until it has read half of the bytes.
        stalled_peer_timeout: seconds after which a peer is disconnected that is over `max_unsent` and reads nothing;
            60, and at least the tick time.

    Raises:
        TypeError: a limit is not a whole number, or `stalled_peer_timeout` not a number.
        ValueError: a limit is not above 0.
    """

    max_frame: int = DEFAULT_MAX_FRAME
    max_connections: int = 256
    max_half_open: int = 128
    max_half_open_per_address: int = 64
    max_queued: int = 10_000
    max_in_flight: int = 1000
    max_unsent: int = 64 * 1024 * 1024
    stalled_peer_timeout: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            types = int | float if name == "stalled_peer_timeout" else int
            if isinstance(value, bool) or not isinstance(value, types):
                raise TypeError(f"the limit {name} has to be a number, not {type(value).__name__}")
            if not 0 < value < math.inf:
                raise ValueError(f"the limit {name} has to be above 0")
