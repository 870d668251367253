"""The timer that runs handlers on Blender's main thread: it drains the queue that the network thread fills.

The window's main loop sleeps 5 ms between two rounds, and calls a timer that asks for 0.0 seconds once per round. A
caller that waits for each answer would get one answer per round. Two mechanisms make that faster:

Linger. After a call, the tick waits for the next one, within a budget that leaves the window its frames. While it
waits, it runs the network loop itself (see `transport.lending`), so that a call needs no other thread.

A window-manager timer. While calls arrive, it keeps the main loop from sleeping, which takes a fifth of a processor. It
does not exist while a modal tool runs or an animation plays, because these get an event from each such timer.

`preferences.Pace` has the times, which the user can set.

A handler may do what ends this: disable the extension, load the factory settings, reload the scripts. Then `unregister`
runs inside the tick. The tick ends after this handler, and touches nothing that is no longer registered.

Without a window (`blender -b`, the bpy module) timers never run: `BeamServer.serve_forever` drains there, see
`headless`. A timer that is left registered there also keeps the process from ending. `serve_forever` continues when a
handler disables the extension, and so do the servers and the queue.
"""

import time

import bpy
from bpy.app.handlers import persistent

from beam_bpy import beam_server
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import host_queue, install_host_queue, remove_host_queue

from . import busy, panel, preferences
from .guard import guarded
from .handler_context import HandlerContext

WAKE = 0.001
"""Seconds between two events of the window-manager timer."""

ASLEEP = 0.1
"""Seconds between two ticks while no server runs."""


class Drain:
    """The drain of a Blender with a window, from `register` to `unregister`."""

    def __init__(self) -> None:
        self._context = HandlerContext()
        self._calls = CallQueue(self._context.run, busy.busy_with)
        self._last_call = 0.0
        self._timer: bpy.types.Timer | None = None
        self._open = False
        # Blender compares functions by their identity, and each access to a method makes a new object.
        self._timer_function = self.tick
        self._load_pre_function = persistent(lambda *_arguments: self.let_sleep())

    @property
    def awake(self) -> bool:
        """True while the window-manager timer keeps the main loop from sleeping."""
        return self._timer is not None

    def open(self) -> None:
        """Send all handlers of this process to the main thread."""
        self._open = True
        install_host_queue(self._calls)
        # Timers that are not persistent are gone when a file is loaded.
        bpy.app.timers.register(self._timer_function, persistent=True)
        bpy.app.handlers.load_pre.append(self._load_pre_function)

    def close(self) -> None:
        """Undo `open`. Queued calls are dropped, because the server has stopped and nobody waits for them."""
        self._open = False
        if self._load_pre_function in bpy.app.handlers.load_pre:
            bpy.app.handlers.load_pre.remove(self._load_pre_function)
        if bpy.app.timers.is_registered(self._timer_function):
            bpy.app.timers.unregister(self._timer_function)
        self.let_sleep()
        in_handler = self._calls.runs_here
        self._calls.close()
        self._context.close(in_handler=in_handler)
        remove_host_queue(self._calls)

    def tick(self) -> float | None:
        """Run queued calls; returns the seconds until the next tick.

        Blender removes a timer whose callback raises, and no call would be answered any more.
        """
        for part in (self._drain, self._end_calls, panel.redraw_if_changed):
            guarded(part)
            if not self._open:  # A handler has disabled the extension.
                return None
        return 0.0 if beam_server.any_running() else ASLEEP

    def _drain(self) -> None:
        if not self._calls.expecting:
            return
        pace, occupied = preferences.pace(), _occupied()
        busy.read_preferences()
        served = self._calls.drain(pace.modal_budget if occupied else pace.budget, pace.linger)
        if served and self._open:
            self._last_call = time.monotonic()
            if pace.awake and not occupied:
                self._keep_awake()

    def _end_calls(self) -> None:
        if self.awake and (time.monotonic() - self._last_call > preferences.pace().awake or _occupied()):
            self.let_sleep()
        self._context.end_tick()

    def _keep_awake(self) -> None:
        manager = bpy.context.window_manager
        if self._timer is None and manager is not None and manager.windows:
            self._timer = manager.event_timer_add(WAKE, window=manager.windows[0])

    def let_sleep(self) -> None:
        """Remove the window-manager timer; also before a file is loaded, because its windows do not have the timer."""
        timer, self._timer = self._timer, None
        manager = bpy.context.window_manager
        if timer is not None and manager is not None:
            manager.event_timer_remove(timer)


def _occupied() -> bool:
    """True while the user works with a tool, or an animation plays."""
    return busy.tool() is not None or busy.plays()


_present: Drain | None = None


def awake() -> bool:
    """True while the main loop is kept from sleeping."""
    return _present is not None and _present.awake


def register() -> None:
    """Send all handlers of this process to the main thread."""
    global _present
    if not bpy.app.background:
        _present = Drain()
        _present.open()
    elif host_queue() is None:
        install_host_queue(CallQueue())


def unregister() -> None:
    """Undo `register`; without a window, only if no handler has disabled the extension."""
    global _present
    if _present is not None:
        present, _present = _present, None
        present.close()
    elif not in_handler():
        calls = host_queue()
        assert calls is not None
        calls.close()
        remove_host_queue(calls)


def in_handler() -> bool:
    """True while a handler runs on this thread."""
    calls = host_queue()
    return calls is not None and calls.runs_here
