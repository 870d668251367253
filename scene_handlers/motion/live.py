"""Shared by handlers for calls in each frame: the layout of binaries, keys for `latest`, the update after a tick.

Casts of these handlers stream: of those that set the same things, only the newest one runs, and they make no undo step.
A call whose caller waits always runs, and makes an undo step if its handler does.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import Options, named, shown, text

LOCATION, ROTATION, SCALE = slice(0, 3), slice(3, 7), slice(7, 10)
"""The columns of `rows`: X, Y, Z in metres; W, X, Y, Z of a quaternion; X, Y, Z."""

_WIDTHS = (7, 10)
"""The possible numbers of columns: without and with a scale."""

_FLOAT = np.dtype("<f4")


def update() -> None:
    """Update the dependency graph, and let Blender draw its 3D views again, once for all calls of a tick."""
    layer = bpy.context.view_layer
    if layer is not None:
        layer.update()
    # `foreach_set` and `update_tag` do not redraw, and an undo step, which does, is not made for casts.
    managers: Any = bpy.data.window_managers
    for area in (area for manager in managers for window in manager.windows for area in window.screen.areas):
        if area.type == "VIEW_3D":
            area.tag_redraw()


# Binaries


def is_binary(value: Any) -> bool:
    """Return whether an argument is a binary."""
    return isinstance(value, bytes | memoryview)


def rows(data: Any, names: Sequence[str], what: str) -> NDArray[Any]:
    """Return an array with a row for each name: location, rotation, and scale if the binary has it.

    Args:
        data: a binary of little-endian float32: for each name 7 or 10 numbers.
        names: what the rows belong to.
        what: the word for one of them in error messages.

    Raises:
        ValueError: the binary has another size, or contains a number that is not finite or a quaternion that is zero.
    """
    found = _floats(data, [width * len(names) for width in _WIDTHS], f"{len(names)} {what}s")
    table = found.reshape(len(names), -1) if names else found.reshape(0, _WIDTHS[0])
    at_zero = np.flatnonzero(~table[:, ROTATION].any(axis=1))
    if len(at_zero):
        raise ValueError(
            f"the rotation of the {what} {names[at_zero[0]]!r} is a quaternion of zeros: [1, 0, 0, 0] is no rotation"
        )
    return table


def values(data: Any, count: int, what: str) -> NDArray[Any]:
    """Return the numbers of a binary with one little-endian float32 for each of `count` things.

    Raises:
        ValueError: the binary has another size, or contains a number that is not finite.
    """
    return _floats(data, [count], f"{count} {what}s")


def _floats(data: Any, counts: list[int], for_what: str) -> NDArray[Any]:
    if not is_binary(data):
        raise ValueError(f"expected a binary of float32, not {shown(data)}")
    sizes = [count * _FLOAT.itemsize for count in counts]
    if len(data) not in sizes:
        expected = " or ".join(map(str, sizes))
        raise ValueError(f"the binary for {for_what} has to have {expected} bytes, not {len(data)}")
    found = np.frombuffer(data, _FLOAT)
    if not np.isfinite(found).all():
        raise ValueError("the binary contains a number that is infinite or nan")
    return found


def names_in(given: Any, what: str) -> list[str]:
    """Return a list of different names.

    Raises:
        ValueError: `given` is not a list of names, or a name comes twice.
    """
    if not isinstance(given, list | tuple):
        raise ValueError(f"{what} has to be a list of names, not {shown(given)}")
    names = [text(each) for each in given]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{what} contains {twice!r} twice")
    return names


# Keys for the option `latest`. They run on the network thread, and do not use Blender's data.


def pose_key(name: Any, pose: Any, given: Options = None) -> Hashable:
    """Return the key of a cast of `set_pose`: the armature, and what the cast sets of which bones."""
    if is_binary(pose):
        return _key(name, given, len(pose), "bones")
    # Without a conversion of the names, which would take longer than everything else here. So an atom differs from a
    # binary, and then no cast is replaced.
    return _key(name, given, frozenset((bone, tuple(_keys(parts))) for bone, parts in _keys(pose).items()))


def shape_keys_key(name: Any, values: Any, given: Options = None) -> Hashable:
    """Return the key of a cast of `set_shape_keys`: the object, and the shape keys."""
    return _key(name, given, len(values) if is_binary(values) else frozenset(_keys(values)), "keys")


def transforms_key(names: Any, data: Any, given: Options = None) -> Hashable:
    """Return the key of a cast of `set_transforms`: the objects."""
    return _key("", given, (tuple(map(text, names)), len(data)))


def vertices_key(name: Any, vertices: Any) -> Hashable:
    """Return the key of a cast of `move_vertices`: the object."""
    return text(name)


def _keys(given: Options) -> Mapping[Any, Any]:
    return given if isinstance(given, Mapping) else named(given)


def _key(name: Any, given: Options, what: Hashable, part: str = "") -> Hashable:
    chosen = named(given)
    if chosen.get("record_pose"):
        return object()  # Another cast never has this key: a recording contains all casts.
    listed = chosen.get(part)
    return text(name), what, None if listed is None else tuple(map(text, listed))
