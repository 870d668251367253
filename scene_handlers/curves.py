"""Handlers that set or return all keyframes of a property in one call, as binaries of float32 or lists of numbers."""

from typing import Any

import bpy
import numpy as np

from .arguments import Options, choice, numbers, object_named, options, text
from .properties import place

_INTERPOLATIONS = {"constant": "CONSTANT", "linear": "LINEAR", "bezier": "BEZIER"}


def set_fcurve(
    name: str | memoryview, path: str | memoryview, index: int, frames: Any, values: Any, given: Options = None
) -> int:
    """Replace all keyframes of a property. Return the number of keyframes.

    Args:
        name: the object.
        path: the property; see `keyframe_insert`.
        index: the index of the number in a vector, from 0; 0 for a property of one number.
        frames: the frame numbers, in any order: a binary of little-endian float32, or a list.
        values: the value of each frame: a binary of little-endian float32, or a list.
        given: the option `interpolation`: constant, linear (default) or bezier.
    """
    chosen = options(given, ("interpolation",))
    wanted = choice(text(chosen.get("interpolation", "linear")), _INTERPOLATIONS, "interpolation")
    points = _points(frames, values)
    animated, full_path = place(object_named(text(name)), text(path))
    curve = _find(animated, full_path, index) or _make(animated, full_path, index)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.reshape(-1))
    _set_all(curve, "interpolation", wanted)
    for side in ("handle_left_type", "handle_right_type"):
        _set_all(curve, side, "AUTO_CLAMPED")
    curve.update()
    return len(curve.keyframe_points)


def get_fcurve(name: str, path: str, index: int, given: Options = None) -> dict[str, Any]:
    """Return all keyframes of a property, as a map of `frames` and `values`.

    Both are binaries of little-endian float32, or lists of numbers.

    Args:
        name: the object.
        path: the property; see `keyframe_insert`.
        index: the index of the number in a vector, from 0; 0 for a property of one number.
        given: the option `lists`: True for lists of numbers instead of binaries; default False.
    """
    lists = bool(options(given, ("lists",)).get("lists", False))
    animated, full_path = place(object_named(name), path)
    curve = _find(animated, full_path, index)
    if curve is None:
        raise LookupError(f"{text(path)!r} of {text(name)!r} has no keyframes at index {index}")
    points = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", points)
    frames, values = points[0::2], points[1::2]
    if lists:
        return {"frames": frames, "values": values}
    return {"frames": frames.tobytes(), "values": values.tobytes()}


def _points(frames: Any, values: Any) -> "np.ndarray[Any, Any]":
    """Return an array of shape (keyframes, 2): frame and value of each keyframe."""
    at, heights = numbers(frames, "<f4", "frames"), numbers(values, "<f4", "values")
    if len(at) != len(heights):
        raise ValueError(f"there are {len(at)} frames and {len(heights)} values, and each frame needs a value")
    if not len(at):
        raise ValueError("a curve needs at least one keyframe")
    points = np.column_stack((at, heights))
    if not np.isfinite(points).all():
        raise ValueError("frames and values must be finite numbers, but one of them is infinite or nan")
    return points


def _find(animated: Any, path: str, index: int) -> Any:
    animation = animated.animation_data
    if animation is None or animation.action is None:
        return None
    for curves in _curves(animation):
        found = curves.find(path, index=index)
        if found is not None:
            return found
    return None


def _curves(animation: Any) -> list[Any]:
    """The collections of curves that animate the datablock."""
    if bpy.app.version < (4, 4, 0):
        return [animation.action.fcurves]
    # Since Blender 4.4 an action contains the curves of several datablocks, and each datablock has a slot.
    if animation.action_slot is None:
        return []
    bags = (strip.channelbag(animation.action_slot) for layer in animation.action.layers for strip in layer.strips)
    return [bag.fcurves for bag in bags if bag is not None]


def _make(animated: Any, path: str, index: int) -> Any:
    """Create a curve. When it gets its first keyframe, Blender creates the action, the slot and the layer."""
    # For a property of one number Blender accepts no index, not even 0.
    whole = index == 0 and not hasattr(animated.path_resolve(path), "__len__")
    try:
        animated.keyframe_insert(path, index=-1 if whole else index)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path!r} cannot be animated at index {index}: {error}") from error
    return _find(animated, path, index)


def _set_all(curve: Any, property_name: str, item: str) -> None:
    definition: Any = bpy.types.Keyframe.bl_rna.properties[property_name]
    numbered = np.full(len(curve.keyframe_points), definition.enum_items[item].value, np.int32)
    curve.keyframe_points.foreach_set(property_name, numbered)
