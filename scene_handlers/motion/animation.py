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

from ..scenes.properties import assign, place
from ..support import rotations
from ..support.arguments import Options, editable, integer, number, object_named, options, scene, scene_named, text
from ..support.changes import changes
from ..support.evaluated import world_matrix

FRAMES = ("first", "last", "step")
"""The options of handlers that go through frames."""

LAST_FRAME = 1048574
"""The last frame that Blender has. The first one is the negative of it."""


def keyframe_insert(name: str, path: str, frame: float, value: Any = None) -> bool:
    """Set a keyframe on an object's property.

    Args:
        name: the object.
        path: the name of the property in Blender's Python API: `location`, `rotation_euler`, `scale`, `data.energy`, …
            `rotation` means the rotation in the object's own mode; its value is that of `set_transform`.
        frame: the frame number; it may have a fraction.
        value: the value to set before. Default None: keep the current value.

    Returns:
        True if Blender has inserted the keyframe.
    """
    animated = editable(object_named(name))
    wanted = text(path, "a path")
    at = number(frame, "frame", -LAST_FRAME, LAST_FRAME)
    if wanted == "rotation":
        wanted, value = (
            rotations.property_of(animated),
            None if value is None else rotations.checked(animated.rotation_mode, value)[1],
        )
    rotations.check_effect(animated, wanted)
    datablock, full_path = place(animated, wanted)
    editable(datablock)
    with changes() as change:
        if value is not None:
            assign(change, animated, wanted, value)
        return _insert(datablock, full_path, at)


def _insert(datablock: Any, path: str, frame: float) -> bool:
    try:
        inserted: bool = datablock.keyframe_insert(path, frame=frame)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path!r} cannot be animated: {error}") from error
    return inserted


def set_frame(frame: int) -> int:
    """Make a frame the current frame. Return the number of the current frame.

    Args:
        frame: the frame number, an integer; it may be negative. The scene must not be linked.
    """
    wanted = frame_number(frame, "frame")
    current: bpy.types.Scene = editable(scene())
    current.frame_set(wanted)
    return current.frame_current


Progress = Generator[tuple[int, int], None, Any]
"""A long call. It yields the number of finished frames and the number of all frames."""


def bake_motion(name: str, given: Options = None) -> Progress:
    """Return the world matrix of an object in each frame. It includes parents, constraints, drivers and physics.

    This is a long call. It yields (number of finished frames, number of all frames).

    Args:
        name: the object.
        given: the options `first`, `last` and `step`: the first and the last frame, and the distance between two
            frames; default those of the scene.

    Returns:
        A map of `first`, `last`, `step` and `matrices`. `last` is the last frame that the steps reach. `matrices` is a
        binary of little-endian float32, of shape (frames, 4, 4): for each frame the world matrix of the object, row by
        row.
    """
    wanted = frames(given)
    object_named(name)
    baked = scene().name
    rows = np.empty((len(wanted), 4, 4), "<f4")
    for done, frame in enumerate(wanted, 1):
        # Look both up in each frame: another call or the user may have deleted them since the last frame.
        current = scene_named(baked)
        with shown(frame, current):
            rows[done - 1] = world_matrix(object_named(name), current)
        yield done, len(wanted)
    return {"first": wanted[0], "last": wanted[-1], "step": wanted.step, "matrices": rows.tobytes()}


def frames(given: Options) -> range:
    """Return the frames that the options `first`, `last` and `step` choose, by default those of the scene.

    The preview range is not used, as in a render of Blender itself.

    Raises:
        ValueError: an option is not an integer, or the last frame comes before the first.
    """
    chosen = options(given, FRAMES)
    first = frame_number(chosen.get("first", scene().frame_start), "first")
    last = frame_number(chosen.get("last", scene().frame_end), "last")
    step = integer(chosen.get("step", scene().frame_step), "step", 1)
    if last < first:
        raise ValueError(f"the last frame, {last}, comes before the first, {first}")
    return range(first, last + 1, step)


def frame_number(value: Any, what: str) -> int:
    """Return the number of a frame; it may be negative.

    Raises:
        ValueError: it is not an integer, or Blender has no such frame.
    """
    return integer(value, what, -LAST_FRAME, LAST_FRAME)


@contextmanager
def shown(frame: int, of: bpy.types.Scene) -> Generator[None, None, None]:
    """Make a frame the current frame of a scene inside the `with` block."""
    # Markers can choose another camera for the frame. Afterwards, the scene has its former camera again.
    before, fraction, camera = of.frame_current, of.frame_subframe, of.camera
    of.frame_set(frame)
    try:
        yield
    finally:
        of.frame_set(before, subframe=fraction)
        of.camera = camera
