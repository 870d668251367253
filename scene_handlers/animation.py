"""Handlers for keyframes, the current frame, and the motion of an object through many frames.

`bake_motion` and `render.render_animation` are long calls. They are generators, and Blender's main thread runs one
frame of them at a time. Between two frames, Blender answers other calls and redraws its window. The caller can receive
the progress.
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
        path: the name of the property in Blender's Python API: `location`, `rotation_euler`, `scale`, `data.energy`, …
        frame: the frame number; it may have a fraction.
        value: the value to set before. Default None: keep the current value.

    Returns:
        True if Blender has inserted the keyframe.
    """
    animated = object_named(name)
    if value is not None:
        assign(animated, path, value)
    datablock, full_path = place(animated, path)
    inserted: bool = datablock.keyframe_insert(full_path, frame=float(frame))
    return inserted


def set_frame(frame: int) -> int:
    """Make a frame the current frame. Return the number of the current frame."""
    scene().frame_set(int(frame))
    return scene().frame_current


Progress = Generator[tuple[int, int], None, Any]
"""A long call. It yields the number of finished frames and the number of all frames."""


def bake_motion(name: str, given: Options = None) -> Progress:
    """Return the world matrix of an object in each frame. It includes parents, constraints, drivers and physics.

    This is a long call. It yields (number of finished frames, number of all frames).

    Args:
        name: the object.
        given: the options `first` and `last`, the first and the last frame; default those of the scene.

    Returns:
        A map of `first`, `last` and `matrices`. `matrices` is a binary of little-endian float32, of shape
        (frames, 4, 4): for each frame the world matrix of the object, row by row.
    """
    wanted = frames(given)
    rows = np.empty((len(wanted), 4, 4), "<f4")
    for done, frame in enumerate(wanted, 1):
        # Look the object up in each frame: another call or the user may have deleted it since the last frame.
        with shown(frame):
            rows[done - 1] = object_named(name).evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world
        yield done, len(wanted)
    return {"first": wanted[0], "last": wanted[-1], "matrices": rows.tobytes()}


def frames(given: Options) -> range:
    """Return the frames from the option `first` to the option `last`, by default those of the scene.

    Raises:
        ValueError: the last frame comes before the first.
    """
    chosen = options(given, ("first", "last"))
    first, last = int(chosen.get("first", scene().frame_start)), int(chosen.get("last", scene().frame_end))
    if last < first:
        raise ValueError(f"the last frame, {last}, comes before the first, {first}")
    return range(first, last + 1)


@contextmanager
def shown(frame: int) -> Generator[None, None, None]:
    """Make a frame the current frame inside the `with` block."""
    before = scene().frame_current
    scene().frame_set(frame)
    try:
        yield
    finally:
        scene().frame_set(before)
