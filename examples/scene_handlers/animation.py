"""Keyframes and the current frame."""

from typing import Any

from .arguments import object_named, scene
from .properties import assign


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
    return animated.keyframe_insert(path, frame=float(frame))


def set_frame(frame: int) -> int:
    """Go to a frame; returns the frame that is shown."""
    scene().frame_set(int(frame))
    return scene().frame_current
