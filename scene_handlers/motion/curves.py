"""Handlers that set or return all keyframes of a property in one call, as binaries of float32 or lists of numbers."""

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..scenes.properties import place
from ..support.arguments import Options, choice, editable, flag, integer, numbers, object_named, options, text
from ..support.changes import Changes, changes

Array = NDArray[Any]

_WORDS = {
    "interpolation": "linear",
    "easing": "auto",
    "handle_left_type": "auto_clamped",
    "handle_right_type": "auto_clamped",
    "type": "keyframe",
}
"""The properties of a keyframe that are words, and their default."""

_HANDLES = ("handle_left", "handle_right")
_FREE_HANDLES = {"free", "aligned", "vector"}
"""The types of handles that the user can place."""

_NUMBERS = ("amplitude", "back", "period")
"""The properties of a keyframe for the interpolations elastic and back."""

_CURVE_WORDS = {"extrapolation": "constant", "auto_smoothing": "cont_accel"}
"""The properties of a curve that are words, and their default: that of curves which the user makes."""

_OPTIONS = (*_WORDS, *_HANDLES, *_NUMBERS, *_CURVE_WORDS)

Given = dict[str, Any]
"""The valid options: numbers of enum items for the words of keyframes, arrays, and enum items of the curve."""


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
        given: the options. All words are those of Blender, in lower case. An option of keyframes is one word for all of
            them, or a list with a word for each.
            interpolation: constant, linear (default), bezier, sine and others.
            easing: auto (default), ease_in, ease_out or ease_in_out.
            handle_left_type, handle_right_type: free, aligned, vector, auto or auto_clamped (default).
            handle_left, handle_right: float32, two for each keyframe: the frame and the value of its handle.
            amplitude, back, period: float32, one for each keyframe.
            type: keyframe (default), breakdown and others; only the colour of the keyframe depends on it.
            extrapolation: constant (default) or linear; for the whole curve.
            auto_smoothing: none or cont_accel (default); for the whole curve.
    """
    chosen = options(given, _OPTIONS)
    element = integer(index, "index", least=0)
    points = _points(frames, values)
    wanted = _checked(chosen, len(points))
    order = np.argsort(points[:, 0], kind="stable")  # Blender would not move the handles together with a keyframe.
    animated, full_path = place(object_named(name), text(path))
    editable(animated)
    with changes() as change:
        curve = find_curve(animated, full_path, element) or make_curve(animated, full_path, element, change)
        curve.keyframe_points.clear()
        curve.keyframe_points.add(len(points))
        curve.keyframe_points.foreach_set("co", points[order].reshape(-1))
        _write(curve, wanted, order)
    curve.update()
    _place_handles(curve, wanted, order)
    return len(curve.keyframe_points)


def get_fcurve(name: str, path: str, index: int, given: Options = None) -> dict[str, Any]:
    """Return all keyframes of a property, as a map of `frames`, `values` and options of `set_fcurve`.

    Frames and values are binaries of little-endian float32, or lists of numbers. The map contains only options that
    differ from the default, so a curve of linear keyframes has none.

    Args:
        name: the object.
        path: the property; see `keyframe_insert`.
        index: the index of the number in a vector, from 0; 0 for a property of one number.
        given: the option `lists`: True for lists of numbers instead of binaries; default False.
    """
    lists = flag(options(given, ("lists",)).get("lists", False), "lists")
    animated, full_path = place(object_named(name), text(path))
    curve = find_curve(animated, full_path, integer(index, "index", least=0))
    if curve is None:
        raise LookupError(f"{text(path)!r} of {text(name)!r} has no keyframes at index {index}")
    pack: Callable[[Array], Any] = (lambda array: array) if lists else np.ndarray.tobytes
    points = _numbers(curve, "co", 2)
    return {"frames": pack(points[0::2]), "values": pack(points[1::2])} | _read_options(curve, pack)


# Check the arguments


def _checked(chosen: dict[str, Any], count: int) -> Given:
    """Return the options for this number of keyframes, with a default for the words."""
    wanted: Given = {word: _checked_words(word, chosen.get(word, default), count) for word, default in _WORDS.items()}
    for part in (*_HANDLES, *_NUMBERS):
        if part in chosen:
            wanted[part] = _checked_numbers(part, chosen[part], count)
    for word, default in _CURVE_WORDS.items():
        items = {name: item.identifier for name, item in _enum(bpy.types.FCurve, word).items()}
        wanted[word] = choice(chosen.get(word, default), items, word)
    return wanted


def _checked_words(part: str, given: Any, count: int) -> Array:
    """Return the number of the enum item of each keyframe."""
    items = {word: item.value for word, item in _enum(bpy.types.Keyframe, part).items()}
    if not isinstance(given, list | tuple):
        return np.full(count, choice(given, items, part), np.int32)
    if len(given) != count:
        raise ValueError(f"{part} has {len(given)} words, but there are {count} keyframes")
    return np.array([choice(word, items, part) for word in given], np.int32)


def _checked_numbers(part: str, given: Any, count: int) -> Array:
    width = 2 if part in _HANDLES else 1
    found = numbers(given, "<f4", part)
    if len(found) != width * count:
        raise ValueError(f"{part} has {len(found)} numbers, but needs {width} for each of {count} keyframes")
    if not np.isfinite(found).all():
        raise ValueError(f"{part} contains a number that is infinite or nan")
    return found.reshape(-1, width)


def _enum(owner: Any, part: str) -> dict[str, Any]:
    return {item.identifier.lower(): item for item in owner.bl_rna.properties[part].enum_items}


def _points(frames: Any, values: Any) -> Array:
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


# Find or create the curve


def find_curve(animated: Any, path: str, index: int) -> Any:
    """Return the curve of a property of a datablock, or None."""
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


def make_curve(animated: Any, path: str, index: int, change: Changes, group: str = "") -> Any:
    """Create a curve with one keyframe. Blender then creates the action, the slot and the layer.

    Args:
        animated: the datablock.
        path: the property.
        index: the index of the number in a vector.
        change: takes the curve back if the call fails.
        group: the name of the group of curves; default none.

    Raises:
        ValueError: the property cannot be animated.
    """
    change.on_undo(_restore_animation, animated, animated.animation_data is not None, _action(animated))
    # For a property of one number Blender accepts no index, not even 0.
    whole = index == 0 and not hasattr(animated.path_resolve(path), "__len__")
    try:
        animated.keyframe_insert(path, index=-1 if whole else index, group=group)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path!r} cannot be animated at index {index}: {error}") from error
    made = find_curve(animated, path, index)
    if made is None:
        raise ValueError(f"{path!r} cannot be animated at index {index}")
    return made


def _action(animated: Any) -> Any:
    return None if animated.animation_data is None else animated.animation_data.action


def _restore_animation(animated: Any, had_data: bool, former: Any) -> None:
    """Take back what Blender has created for a property that cannot be animated."""
    action = _action(animated)
    if action is not None and former is None:
        animated.animation_data.action = None
        bpy.data.actions.remove(action)
    if not had_data:
        animated.animation_data_clear()


# Write and read keyframes


def _write(curve: Any, wanted: Given, order: Array) -> None:
    for part, value in wanted.items():
        if part in _CURVE_WORDS:
            setattr(curve, part, value)
        else:
            curve.keyframe_points.foreach_set(part, value[order].reshape(-1))


def _place_handles(curve: Any, wanted: Given, order: Array) -> None:
    """Set the handles once more: Blender has aligned them, with an error of rounding."""
    if len(order) == len(curve.keyframe_points):  # Blender joins keyframes of the same frame.
        for part in wanted.keys() & set(_HANDLES):
            curve.keyframe_points.foreach_set(part, wanted[part][order].reshape(-1))


def _numbers(curve: Any, part: str, width: int) -> Array:
    values = np.empty(width * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get(part, values)
    return values


def _words(curve: Any, part: str) -> list[str]:
    words = {item.value: word for word, item in _enum(bpy.types.Keyframe, part).items()}
    values = np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get(part, values)
    return [words[value] for value in values.tolist()]


def _read_options(curve: Any, pack: Callable[[Array], Any]) -> dict[str, Any]:
    """Return the options that differ from the default."""
    words = {part: _words(curve, part) for part in _WORDS}
    found: dict[str, Any] = {}
    for part, each in words.items():
        if set(each) != {_WORDS[part]}:
            found[part] = each if len(set(each)) > 1 else each[0]
    for part, default in _CURVE_WORDS.items():
        if getattr(curve, part).lower() != default:
            found[part] = getattr(curve, part).lower()
    types = {*words["handle_left_type"], *words["handle_right_type"]}
    # Outside its keyframes, a curve with another interpolation goes on in the direction of a handle.
    if not {"linear", "constant"}.issuperset(words["interpolation"]) or not types.isdisjoint(_FREE_HANDLES):
        found |= {part: pack(_numbers(curve, part, 2)) for part in _HANDLES}
    if not {"elastic", "back"}.isdisjoint(words["interpolation"]):
        found |= {part: pack(_numbers(curve, part, 1)) for part in _NUMBERS}
    return found
