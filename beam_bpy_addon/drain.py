"""The timer that runs handlers on Blender's main thread: it drains the queue that the network thread fills.

The window's main loop sleeps 5 ms between two rounds, and calls a timer that asks for 0.0 seconds once per round. A
caller that waits for each answer would get one answer per round. Two mechanisms make that faster:

Linger. After a call, the tick waits for the next one, within a budget that leaves the window its frames. While it
waits, it runs the network loop itself (see `transport.lending`), so that a call needs no other thread.

A window-manager timer. While calls arrive, it keeps the main loop from sleeping, which takes a fifth of a processor. It
does not exist while a modal tool runs or an animation plays, because these get an event from each such timer.

`preferences.Pace` has the times, which the user can set.

Without a window (`blender -b`, the bpy module) timers never run: `BeamServer.serve_forever` drains there, see
`headless`. A timer that is left registered there also keeps the process from ending.
"""

import logging
import time

import bpy
from bpy.app.handlers import persistent

from beam_bpy import beam_server
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import install_host_queue, remove_host_queue

from . import busy, panel, preferences
from .handler_context import HandlerContext

log = logging.getLogger("beam_bpy.blender")

WAKE = 0.001
"""Seconds between two events of the window-manager timer."""

ASLEEP = 0.1
"""Seconds between two ticks while no server runs, and after a tick that has failed."""

_context = HandlerContext()
_calls = CallQueue(_context.run, busy.busy_with)
_last_call = 0.0
_timer: bpy.types.Timer | None = None


def _tick() -> float:
    """Run queued calls; returns the seconds until the next tick.

    Blender removes a timer whose callback raises, and no call would be answered any more.
    """
    try:
        _run_tick()
    except Exception:
        log.exception("a tick of Beam-BPy failed; the next one follows in %g seconds", ASLEEP)
        return ASLEEP
    return 0.0 if beam_server.any_running() else ASLEEP


def _run_tick() -> None:
    global _last_call
    if _calls.expecting and _drain():
        _last_call = time.monotonic()
    if _timer is not None and (time.monotonic() - _last_call > preferences.pace().awake or _occupied()):
        _let_sleep()
    _context.end_tick()
    panel.redraw_if_changed()


def _drain() -> int:
    pace, occupied = preferences.pace(), _occupied()
    busy.read_preferences()
    served = _calls.drain(pace.modal_budget if occupied else pace.budget, pace.linger)
    if served and pace.awake and not occupied:
        _keep_awake()
    return served


def _occupied() -> bool:
    """True while the user works with a tool, or an animation plays."""
    return busy.tool() is not None or busy.plays()


def _keep_awake() -> None:
    global _timer
    manager = bpy.context.window_manager
    if _timer is None and manager is not None and manager.windows:
        _timer = manager.event_timer_add(WAKE, window=manager.windows[0])


@persistent  # type: ignore[untyped-decorator]
def _let_sleep(*_arguments: object) -> None:
    """Remove the window-manager timer; also before a file is loaded, because its windows do not have the timer."""
    global _timer
    timer, _timer = _timer, None
    manager = bpy.context.window_manager
    if timer is not None and manager is not None:
        manager.event_timer_remove(timer)


def register() -> None:
    """Send all handlers of this process to the main thread."""
    global _calls, _context
    if bpy.app.background:
        _calls = CallQueue()
        install_host_queue(_calls)
        return
    _context = HandlerContext()
    _calls = CallQueue(_context.run, busy.busy_with)
    install_host_queue(_calls)
    # Timers that are not persistent are gone when a file is loaded.
    bpy.app.timers.register(_tick, persistent=True)
    bpy.app.handlers.load_pre.append(_let_sleep)


def unregister() -> None:
    """Undo `register`. Queued calls are dropped, because the server has stopped and nobody waits for them."""
    if not bpy.app.background:
        bpy.app.handlers.load_pre.remove(_let_sleep)
        bpy.app.timers.unregister(_tick)
        _let_sleep()
    _calls.close()
    _context.close()
    remove_host_queue(_calls)
