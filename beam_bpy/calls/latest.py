"""Casts of which only the newest value matters: poses, cursors, sliders. See the handler option `latest`.

A cast with a key takes a place in the queue. While it waits there, a newer cast of the same node with the same key
takes over that place, and the older one never runs. So a node that sends faster than its casts can run fills no queue,
and its newest cast runs as soon as its first one would have.

A node's casts with a key pass no other call or cast of this node: behind one, they take a new place. Otherwise a cast
could run before the call that creates the object that it moves.
"""

import threading
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from beam_bpy.calls.call import Call
from beam_bpy.calls.replies import Caller
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.process import SpawnedProcess


class LatestCast(Runnable):
    """A place in the queue, which runs the newest cast with its key.

    Args:
        casts: the waiting casts of the node.
        key: see `LatestCasts.replace`.
        call: the first cast.
    """

    __slots__ = ("_casts", "_key", "call", "load")

    def __init__(self, casts: "LatestCasts", key: Hashable, call: Call) -> None:
        self._casts = casts
        self._key = key
        self.call = call
        self.load = call.load

    @property
    def progress(self) -> Any:
        """See `Runnable`."""
        return self.call.progress

    @property
    def process(self) -> SpawnedProcess | None:  # type: ignore[override]
        """See `Runnable`."""
        return self.call.process

    @property
    def name(self) -> str:
        """See `Runnable`."""
        return self.call.name

    @property
    def wanted(self) -> bool:
        """See `Runnable`."""
        return self.call.wanted

    @property
    def begun(self) -> bool:
        """See `Runnable`."""
        return self.call.begun

    @property
    def changes_scene(self) -> bool:
        """See `Runnable`."""
        return self.call.changes_scene

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable`."""
        return self.call.safe_during_jobs

    @property
    def max_wait(self) -> float | None:
        """See `Runnable`."""
        return self.call.max_wait

    @property
    def caller(self) -> Caller:
        """See `Runnable`."""
        return self.call.caller

    @property
    def undo(self) -> str | None:
        """See `Runnable`: None, because a step for each of these casts would take longer than the casts."""
        return None

    @property
    def after_tick(self) -> tuple[Callable[[], object], ...]:
        """See `Runnable`."""
        return self.call.after_tick

    @property
    def continues(self) -> bool:
        """See `Runnable`."""
        return self.call.continues

    def run(self) -> bool | Coroutine[Any, Any, None]:
        """See `Runnable`. From now on, newer casts take a place of their own."""
        self._casts.remove(self._key, self)
        return self.call.run()

    def close(self) -> None:
        """See `Runnable`."""
        self._casts.remove(self._key, self)
        self.call.close()

    def refuse(self, sentence: str) -> None:
        """See `Runnable`."""
        self._casts.remove(self._key, self)
        self.call.refuse(sentence)

    def cancel(self, sentence: str) -> None:
        """See `Runnable`."""
        self.call.cancel(sentence)


class LatestCasts:
    """The waiting casts of one node that a newer cast can replace. Any thread may use it."""

    __slots__ = ("_lock", "_places")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Hashable, LatestCast] = {}

    def replace(self, key: Hashable, call: Call) -> Call | None:
        """Let a cast take over the place of one that waits. Return the older cast, or None if no cast waits.

        Args:
            key: casts with equal keys replace one another.
            call: the newer cast.
        """
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            older, place.call = place.call, call
            return older

    def add(self, key: Hashable, call: Call) -> LatestCast:
        """Return a new place for a cast, which the caller queues."""
        place = LatestCast(self, key, call)
        with self._lock:
            self._places[key] = place
        return place

    def remove(self, key: Hashable, place: LatestCast) -> None:
        """The cast in this place begins to run, or never will: nothing takes over its place any more."""
        with self._lock:
            if self._places.get(key) is place:
                del self._places[key]

    def keep_order(self) -> None:
        """The node has sent something else: casts that come later take places behind that."""
        with self._lock:
            self._places.clear()
