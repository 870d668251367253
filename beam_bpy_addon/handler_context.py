"""The context of a handler in a Blender with a window: the 3D view, undo steps, progress.

Context: in a timer's callback Blender's context has a window, but no area and no region, and operators that need a 3D
view do not run. So a handler runs inside `Context.temp_override` with a 3D view, if one is open.

Undo: one step for all calls of one caller that end within a tick. The step is pushed before the next caller's call runs
or at the end of the tick. Pushing a step copies the scene, so a step for each of a thousand calls would cost more than
the calls. A long handler therefore makes its step when it ends, and not at each `yield`.

Progress: the mouse pointer shows the progress that a long handler yields.
"""

from collections.abc import Coroutine
from typing import Any

import bpy

from beam_bpy.dispatch.runnable import Runnable

from . import busy


class HandlerContext:
    """Runs calls on Blender's main thread. It keeps the undo step of the present tick and the progress display."""

    def __init__(self) -> None:
        self._caller: Any = None
        self._undo: dict[str, None] = {}
        self._long_calls: dict[Runnable, str] = {}
        self._progress_of: Runnable | None = None
        self._open = True

    def run(self, call: Runnable) -> bool | Coroutine[Any, Any, None]:
        """Run a call, or a slice of it; see `Runnable.run`."""
        if self._undo and call.caller != self._caller:
            self.push_undo_step()
        step = call.undo
        if step is not None and not call.wanted:
            step = None  # The call is dropped: it changes nothing.
        with bpy.context.temp_override(**_view()):
            more = call.run()
        if self._open:
            if step is not None:
                self._note_step(call, step)
            self._show_progress(call, more is True)
        return more

    def end_tick(self) -> None:
        """Push the undo step of this tick, and end the progress display of a long call that has been closed."""
        if self._progress_of is not None and not self._progress_of.begun:
            self._end_progress()
        self.push_undo_step()

    def push_undo_step(self) -> None:
        """Push the undo step, if there is one to be pushed and no tool runs: a tool has its own step in progress.

        A handler may have started the tool. Its step is pushed once the tool has ended.
        """
        self._note_ended_calls()
        if not self._undo or busy.tool() is not None or busy.job() is not None:
            return
        names, self._undo = self._undo, {}
        if bpy.ops.ed.undo_push.poll():  # type: ignore[call-arg]
            bpy.ops.ed.undo_push(message=", ".join(names)[:_LONGEST_NAME])
            _end_adjusting()

    def close(self, *, in_handler: bool) -> None:
        """Push the last undo step, and end the progress display.

        Args:
            in_handler: a handler has ended this. It may be loading a file, so no step is pushed.
        """
        if not in_handler:
            self.push_undo_step()
        self._undo.clear()
        self._long_calls.clear()
        self._end_progress()
        self._open = False

    def _note_step(self, call: Runnable, step: str) -> None:
        if call.begun:
            self._long_calls[call] = step
            return
        self._long_calls.pop(call, None)
        self._caller = call.caller
        self._undo[step] = None

    def _note_ended_calls(self) -> None:
        """Note the steps of long calls that were closed between two slices: what they have done can be undone."""
        for call, step in list(self._long_calls.items()):
            if not call.begun:
                self._note_step(call, step)

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
    """The progress, from 0 to 1, in a value that a handler yields: a float, or a pair of done and whole; else None."""
    match progress:
        case float():
            share = progress
        case (int() | float() as part, int() | float() as whole) if whole:
            share = part / whole
        case _:
            return None
    return min(max(share, 0.0), 1.0)


def _end_adjusting() -> None:
    """Let the user no longer adjust the last operation.

    Adjust Last Operation goes back to the undo step of the user's operator and runs it again, which would take back
    what handlers have done since. So an operator of ours becomes the last one. Blender names the undo step of an
    operator after the operator, but ours is to have the handlers' names. So this operator makes none.
    """
    preferences = bpy.context.preferences
    assert preferences is not None
    edit = preferences.edit
    steps = edit.undo_steps
    edit.undo_steps = 0
    try:
        with bpy.context.temp_override(**_view()):  # Blender removes the panel from the 3D view.
            bpy.ops.beam_bpy.end_adjusting("EXEC_DEFAULT", True)  # type: ignore[attr-defined]
    finally:
        edit.undo_steps = steps


def window() -> bpy.types.Window | None:
    """The window in whose scene handlers work: the first one with a 3D view."""
    found: bpy.types.Window | None = _view().get("window")
    return found


def _view() -> dict[str, Any]:
    """The window, area and region of the first 3D view, for operators; only a window if no 3D view is open."""
    manager = bpy.context.window_manager
    windows = tuple(manager.windows) if manager is not None else ()
    for window in windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                region = next(region for region in area.regions if region.type == "WINDOW")
                return {"window": window, "area": area, "region": region}
    return {"window": windows[0]} if windows else {}
