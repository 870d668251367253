"""Keyframes, the current frame, and what moves through many frames.

`bake_motion` and `render.render_animation` are long calls: generators, which Blender's main thread runs a frame at a
time. Between two frames other calls and the window have their turn, and a caller that wants to knows how far they are.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np

from .arguments import Options, object_named, options, scene
from .properties import assign, place


def keyframe_insert(name: str, path: str, frame: float, value: Any = None) -> bool:
    """Set a keyframe on an object's property.

    Args:
        name: the object.
        path: the property, as Blender's Python calls it: `location`, `rotation_euler`, `scale`, `data.energy`, …
        frame: where on the time line.
        value: what to set the property to first; None keyframes what it is.
    """
    animated = object_named(name)
    if value is not None:
        assign(animated, path, value)
    datablock, full_path = place(animated, path)
    inserted: bool = datablock.keyframe_insert(full_path, frame=float(frame))
    return inserted


def set_frame(frame: int) -> int:
    """Go to a frame; returns the frame that is shown."""
    scene().frame_set(int(frame))
    return scene().frame_current


Progress = Generator[tuple[int, int], None, Any]
"""A long call: yields how many of its frames are done, and how many there are."""


def bake_motion(name: str, given: Options = None) -> Progress:
    """Where an object is in each frame, with all that moves it: parents, constraints, drivers and physics.

    A long call, which yields (frames done, frames in all).

    Args:
        name: the object.
        given: first and last frame, default the scene's.

    Returns:
        first and last frame, and matrices: a binary of little-endian float32, sixteen for each frame, the object's
        matrix in the world row by row.
    """
    wanted = frames(given)
    rows = np.empty((len(wanted), 4, 4), "<f4")
    for done, frame in enumerate(wanted, 1):
        # Found anew each time: between two frames somebody may have deleted or undone it.
        with shown(frame):
            rows[done - 1] = object_named(name).evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world
        yield done, len(wanted)
    return {"first": wanted[0], "last": wanted[-1], "matrices": rows.tobytes()}


def frames(given: Options) -> range:
    """The frames that the options `first` and `last` name.

    Raises:
        ValueError: there are none.
    """
    chosen = options(given, ("first", "last"))
    first, last = int(chosen.get("first", scene().frame_start)), int(chosen.get("last", scene().frame_end))
    if last < first:
        raise ValueError(f"the last frame, {last}, comes before the first, {first}")
    return range(first, last + 1)


@contextmanager
def shown(frame: int) -> Generator[None, None, None]:
    """Go to a frame for now."""
    before = scene().frame_current
    scene().frame_set(frame)
    try:
        yield
    finally:
        scene().frame_set(before)
