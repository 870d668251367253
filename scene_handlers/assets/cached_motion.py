"""Turns motion that Blender reads from a USD or Alembic file in each frame into keyframes, so that the file can go."""

from typing import Any

import bpy

from ..motion.curves import set_fcurve
from ..support.arguments import scene
from .limits import Limits

_MOST_FRAMES = 100_000


def bake_cached_motion(objects: list[bpy.types.Object], limits: Limits) -> bool:
    """Replace the constraints that move objects as a file says by keyframes. Return whether there were some.

    Args:
        objects: new objects. The frames of the scene are those of the file.
        limits: the limits of the call.

    Raises:
        ValueError: there are too many frames.
        TimeoutError: the call takes too long.
    """
    moving = [each for each in objects if _constraints(each)]
    if not moving:
        return False
    current = scene()
    frames = range(current.frame_start, current.frame_end + 1)
    if len(frames) > _MOST_FRAMES:
        raise ValueError(f"the file has {len(frames)} frames; the most that can be imported are {_MOST_FRAMES}")
    values = _sampled(moving, frames, limits)
    for each in moving:
        for constraint in _constraints(each):
            each.constraints.remove(constraint)
        each.rotation_mode = "XYZ"
        for path, vectors in values[each.name].items():
            for index in range(3):
                numbers = [vector[index] for vector in vectors]
                set_fcurve(each.name, path, index, list(frames), numbers, {"interpolation": "linear"})
    return True


def _constraints(of: bpy.types.Object) -> list[Any]:
    return [constraint for constraint in of.constraints if constraint.type == "TRANSFORM_CACHE"]


def _sampled(moving: list[bpy.types.Object], frames: range, limits: Limits) -> dict[str, dict[str, list[Any]]]:
    """Return location, rotation and scale of objects in each frame, relative to their parents."""
    found: dict[str, dict[str, list[Any]]] = {
        each.name: {"location": [], "rotation_euler": [], "scale": []} for each in moving
    }
    before = scene().frame_current
    for frame in frames:
        limits.check_time()
        scene().frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for each in moving:
            location, rotation, scale = _basis(each, depsgraph).decompose()
            curves = found[each.name]
            curves["location"].append(location)
            former = curves["rotation_euler"][-1:]
            curves["rotation_euler"].append(rotation.to_euler("XYZ", *former))
            curves["scale"].append(scale)
    scene().frame_set(before)
    return found


def _basis(of: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Any:
    """Return the matrix of an object before parents and constraints."""
    world: Any = of.evaluated_get(depsgraph).matrix_world
    if of.parent is None:
        return world
    parent: Any = of.parent.evaluated_get(depsgraph).matrix_world
    inverse: Any = of.matrix_parent_inverse
    return (parent @ inverse).inverted_safe() @ world
