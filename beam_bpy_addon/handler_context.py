"""What a handler finds when it runs in a Blender with a window, and what it leaves.

Context: in a timer's callback Blender has a window, but no area and no region; operators that want a 3D view refuse to
run. So a handler runs inside `Context.temp_override` with a 3D view, if one is open.

Undo: one step for all that one caller does within a tick, made once the next caller's turn or the end of the tick has
come. Pushing a step copies the scene, so a step for each of a thousand calls would cost more than the calls.

Progress: what a long handler yields, if it says how far it is, shows at the mouse pointer.
"""

from typing import Any

import bpy

from beam_bpy.dispatch.call_queue import Runnable

from . import busy


class HandlerContext:
    """Runs calls on Blender's main thread, and keeps what lies between them."""

    def __init__(self) -> None:
        self._caller: Any = None
        self._undo: dict[str, None] = {}
        self._progress_of: Runnable | None = None

    def run(self, call: Runnable) -> bool:
        """Run a call, or a slice of it; returns whether there is more of it."""
        if self._undo and call.caller != self._caller:
            self.push_undo_step()
        with bpy.context.temp_override(**_view()):
            more = call.run()
        if call.undo is not None:
            self._caller = call.caller
            self._undo[call.undo] = None
        self._show_progress(call, more)
        return more

    def push_undo_step(self) -> None:
        """Push the undo step, if there is one to be pushed and no tool runs: a tool has its own step in progress.

        A handler may have started the tool. Its step is pushed once the tool has ended.
        """
        if not self._undo or busy.tool() is not None or busy.job() is not None:
            return
        names, self._undo = self._undo, {}
        if bpy.ops.ed.undo_push.poll():  # type: ignore[call-arg]
            bpy.ops.ed.undo_push(message=", ".join(names)[:_LONGEST_NAME])

    def close(self) -> None:
        """Leave nothing behind."""
        self.push_undo_step()
        self._end_progress()

    def _show_progress(self, call: Runnable, more: bool) -> None:
        share = share_of(call.progress) if more else None
        if share is None:
            if call is self._progress_of:
                self._end_progress()
            return
        manager = bpy.context.window_manager
        if manager is None:
            return
        if self._progress_of is None:
            manager.progress_begin(0.0, 1.0)
            self._progress_of = call
        if call is self._progress_of:
            manager.progress_update(share)

    def _end_progress(self) -> None:
        manager = bpy.context.window_manager
        if self._progress_of is not None and manager is not None:
            manager.progress_end()
        self._progress_of = None


_LONGEST_NAME = 60
"""Characters that Blender shows of an undo step's name."""


def share_of(progress: Any) -> float | None:
    """How much is done, from 0 to 1, of what a handler yields: a float, or a pair of the part and the whole."""
    match progress:
        case float():
            share = progress
        case (int() | float() as part, int() | float() as whole) if whole:
            share = part / whole
        case _:
            return None
    return min(max(share, 0.0), 1.0)


def _view() -> dict[str, Any]:
    """The 3D view that operators are to work in: window, area and region; only a window if none shows a 3D view."""
    manager = bpy.context.window_manager
    windows = tuple(manager.windows) if manager is not None else ()
    for window in windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                region = next(region for region in area.regions if region.type == "WINDOW")
                return {"window": window, "area": area, "region": region}
    return {"window": windows[0]} if windows else {}
