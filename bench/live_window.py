"""Register the handlers of bench/live.py. A Blender with a window runs this script after bench/calls_window.py."""

import json
import time
from typing import Any

import bpy
import live_handlers

from beam_bpy import get_beam_server
from beam_bpy.dispatch.call_queue import CallQueue

_drains: list[float] = []
_drain = CallQueue.drain


def timed_drain(self: CallQueue, *arguments: Any, **named: Any) -> int:
    """Run the calls that wait, and note how long that takes."""
    begin = time.perf_counter()
    try:
        return _drain(self, *arguments, **named)
    finally:
        _drains.append(time.perf_counter() - begin)


def begin_drains() -> None:
    """Forget the times of all ticks."""
    _drains.clear()


def drains() -> str:
    """Return the p50 and p99 of the time that the calls of a tick take, in milliseconds, as JSON."""
    times = sorted(_drains)
    return json.dumps([1000 * times[len(times) // 2], 1000 * times[int(len(times) * 0.99)]])


CallQueue.drain = timed_drain  # type: ignore[method-assign]
_server = get_beam_server()
live_handlers.register(_server)
_server.expose(begin_drains)
_server.expose(drains)
# With anti-aliasing, Blender draws a view that has changed many times, which takes long without a graphics card.
bpy.context.preferences.system.viewport_aa = "OFF"  # type: ignore[union-attr]
