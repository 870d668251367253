"""The work that one peer has given this program."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Load:
    """The calls of one peer, and those among them that are parked until the peer reads its answers.

    Attributes:
        in_flight: calls that wait or run.
        overloaded: why no further call of the peer is accepted, as a sentence; None when calls are accepted.
        writable: returns True if the peer has read enough to be sent more; from any thread.
        all_sent: returns True if no bytes wait for the peer to read; from any thread.
        parked: called from any thread after a call was parked.
        replaced: the casts of the peer that have never run, because a newer one has replaced them.
        latest: the casts of the peer that a newer cast can replace; None until there is one (`calls.latest`).
    """

    __slots__ = (
        *("__weakref__", "_lock", "_parked"),
        *("all_sent", "in_flight", "latest", "overloaded", "parked", "replaced", "writable"),
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parked: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self.in_flight = 0
        self.replaced = 0
        self.overloaded: str | None = None
        self.writable: Callable[[], bool] = _always
        self.all_sent: Callable[[], bool] = _always
        self.parked: Callable[[], None] = _nothing
        self.latest: Any = None

    def begin(self) -> None:
        """A call has arrived; from any thread."""
        with self._lock:
            self.in_flight += 1

    def end(self) -> None:
        """A call has been answered, or nobody waits for the answer any more; from any thread."""
        with self._lock:
            self.in_flight -= 1

    def park(self, item: Any, unpark: Callable[[Any], None]) -> bool:
        """Park a call until its peer has read its unsent bytes. Parked calls keep their order.

        Args:
            item: the call.
            unpark: called with the item when there is room.

        Returns:
            False when there is room and no other call is parked; nothing is parked then.
        """
        if not self._parked and self.writable():
            return False
        self._parked.append((item, unpark))
        self.parked()
        return True

    def unpark_all(self) -> None:
        """There is room, or the peer is gone; only on the network thread."""
        while self._parked:
            item, unpark = self._parked.popleft()
            unpark(item)


def _always() -> bool:
    return True


def _nothing() -> None:
    pass
