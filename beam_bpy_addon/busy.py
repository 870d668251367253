"""The tools and jobs that calls have to wait for.

A modal operator (a stroke, a drag, a box selection) keeps pointers to the data that it works on, and pushes its undo
step at its end. A handler that removes such data crashes Blender, and an undo step inside a stroke does too. So calls
that change the scene wait until no such operator runs.

A render or bake job reads the scene on another thread. So all calls wait for its end, except those of handlers that
are registered with `safe_during_jobs`.

Operators that only move the view, and playback, keep no pointers to the scene: no call waits for them.
"""

from collections.abc import Callable
from typing import Any

import bpy

from beam_bpy.dispatch.runnable import Runnable

from . import preferences

_JOBS = (("RENDER", "a render"), ("OBJECT_BAKE", "a bake"), ("COMPOSITE", "the compositor"))
"""The jobs of `bpy.app.is_job_running` that read the scene. Previews of materials work on copies."""

_VIEW_OPERATORS = frozenset(
    (
        *("VIEW3D_OT_rotate", "VIEW3D_OT_move", "VIEW3D_OT_zoom", "VIEW3D_OT_dolly", "VIEW3D_OT_fly"),
        *("VIEW3D_OT_walk", "VIEW3D_OT_navigate", "VIEW3D_OT_ndof_orbit", "VIEW3D_OT_ndof_all"),
        *("VIEW2D_OT_pan", "VIEW2D_OT_zoom", "VIEW2D_OT_scroller_activate"),
        *("IMAGE_OT_view_pan", "IMAGE_OT_view_zoom", "CLIP_OT_view_pan", "CLIP_OT_view_zoom"),
        *("SCREEN_OT_area_move", "SCREEN_OT_region_scale", "SCREEN_OT_area_join", "SCREEN_OT_area_split"),
        # Our own operator waits for the next event; see `messages`.
        *("BEAM_BPY_OT_tell",),
    )
)

_JOB_OPERATORS = frozenset(("OBJECT_OT_bake", "RENDER_OT_render"))
"""Operators whose work is one of `_JOBS`. After the job they remain until the next event, which may be hours later."""


_is_job_running: Callable[[str], bool] = bpy.app.is_job_running  # type: ignore[assignment]

_all_calls_wait = False


def read_preferences() -> None:
    """Read the preference that `busy_with` uses. Once in each tick, because it takes longer than the rest of it."""
    global _all_calls_wait
    _all_calls_wait = preferences.all_calls_wait()


def tool() -> str | None:
    """The modal operator that works on the scene, such as "Move (TRANSFORM_OT_translate)"; None if there is none."""
    manager = bpy.context.window_manager
    windows: Any = manager.windows if manager is not None else ()
    for window in windows:
        for operator in window.modal_operators:
            identifier = preferences.operator_identifier(operator.bl_idname)
            if identifier not in _VIEW_OPERATORS | _JOB_OPERATORS | preferences.ignored_tools():
                return f"{operator.name} ({identifier})"
    return None


def job() -> str | None:
    """The job that reads the scene on another thread, such as "a render"; None if there is none."""
    for kind, label in _JOBS:
        if _is_job_running(kind):
            return label
    return None


def plays() -> bool:
    """True if an animation plays in a window."""
    manager = bpy.context.window_manager
    windows: Any = manager.windows if manager is not None else ()
    return any(window.screen.is_animation_playing for window in windows)


def busy_with(call: Runnable) -> str | None:
    """The tool or job that the call has to wait for; None if it may run now. See `CallQueue`."""
    if not call.safe_during_jobs and (reason := job()) is not None:
        return reason
    return tool() if _all_calls_wait or call.changes_scene else None
