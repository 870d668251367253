"""Blender's main thread runs the handlers: a timer drains the queue into which the network thread puts the calls.

The window's main loop runs a timer that asks for 0.0 seconds about every 5 ms. A caller that waits for each answer
before it sends the next call would get one call per tick. So each tick lingers a moment after a call for the next
one, within a budget that leaves the window its frames.

Without a window (`blender -b`, the bpy module) timers never run: `BeamServer.serve_forever` drains there, see
`headless`. A timer that is left registered there also keeps the process from ending.
"""

import time

import bpy

from beam_bpy.dispatch import CallQueue, install_host_queue, remove_host_queue

from . import panel

BUDGET = 0.008
"""Seconds of a tick after which no further call is begun: half a frame at 60 Hz."""

LINGER = 0.001
"""Seconds to wait, after each call, for the next one."""

IDLE = 0.02
"""Seconds between ticks when nobody calls: how long the first call after a pause may wait."""

RECENT = 0.5
"""Seconds after a call during which the next one is expected, and every round of the main loop ticks."""

_calls = CallQueue()
_last_call = 0.0


def _tick() -> float:
    """Run what is queued; returns the seconds until the next tick."""
    global _last_call
    if _calls.drain(BUDGET, LINGER):
        _last_call = time.monotonic()
    panel.redraw_if_changed()
    return 0.0 if time.monotonic() - _last_call < RECENT else IDLE


def register() -> None:
    """Send all handlers of this process to the main thread."""
    global _calls
    _calls = CallQueue()
    install_host_queue(_calls)
    if not bpy.app.background:
        # Timers that are not persistent are gone when a file is loaded.
        bpy.app.timers.register(_tick, persistent=True)


def unregister() -> None:
    """Undo `register`. Calls that are still queued are dropped: the server has stopped, nobody waits for them."""
    if not bpy.app.background:
        bpy.app.timers.unregister(_tick)
    remove_host_queue(_calls)
