"""The rotation of an object or a bone in its own mode: Euler angles in an order, a quaternion, or axis and angle."""

from typing import Any

import bpy
from mathutils import Euler, Matrix, Quaternion, Vector

from .arguments import floats, shown

Turned = bpy.types.Object | bpy.types.PoseBone
"""Both have a rotation mode, and the same properties for it."""

Setting = tuple[str, list[float]]
"""A property of an object and its value."""

_PROPERTIES = ("rotation_euler", "rotation_quaternion", "rotation_axis_angle")

_SAME_PLACE = 1e-6
"""Two points that are closer than this are the same, in metres."""


def own(turned: Turned) -> list[float]:
    """Return the rotation in the mode of the object: three angles; w, x, y, z; or angle, x, y, z."""
    return list(getattr(turned, property_of(turned)))


def euler(turned: Turned) -> Euler:
    """Return the rotation as angles around X, Y and Z, in radians."""
    if turned.rotation_mode == "XYZ":
        return turned.rotation_euler.copy()
    if turned.rotation_mode == "QUATERNION":
        return turned.rotation_quaternion.normalized().to_euler("XYZ")
    if turned.rotation_mode == "AXIS_ANGLE":
        angle, *axis = turned.rotation_axis_angle
        return Quaternion(axis, angle).to_euler("XYZ")
    return turned.rotation_euler.to_matrix().to_euler("XYZ")


def check_effect(turned: Turned, name: str) -> None:
    """Check that a property with a rotation is that of the mode of the object.

    Raises:
        ValueError: it is that of another mode, so that its keyframes would have no effect.
    """
    if name in _PROPERTIES and name != property_of(turned):
        raise ValueError(
            f"keyframes of {name!r} have no effect: {turned.name!r} rotates in the mode {turned.rotation_mode}. "
            f"Use the path 'rotation', which means {property_of(turned)!r} here"
        )


def checked(mode: str, value: Any) -> Setting:
    """Return the property to set for a rotation of a caller: the value in this rotation mode, or three angles.

    Raises:
        ValueError: it is neither of them.
    """
    numbers = floats(value)
    if _is_euler(mode):
        if len(numbers) != 3:
            raise ValueError(f"rotation has to be a list of three numbers, not {shown(value)}")
        return "rotation_euler", numbers
    if len(numbers) == 3:
        return _setting(mode, Euler(numbers, "XYZ").to_matrix())
    if len(numbers) != 4:
        raise ValueError(f"rotation has to be a list of three or four numbers, not {shown(value)}")
    vector = numbers if mode == "QUATERNION" else numbers[1:]
    if not any(vector):
        raise ValueError(f"rotation has to be a quaternion or an axis that is not zero, not {shown(value)}")
    return _property_in(mode), numbers


def converted(turned: Turned, mode: str) -> Setting:
    """Return the property to set so that the direction stays in another rotation mode.

    Blender does the same if a program sets the mode, but it turns an object around another axis than (1, 1, 1).
    """
    return _setting(mode, _rotation(turned))


def from_quaternion(turned: Turned, numbers: list[float]) -> Setting:
    """Return the property to set for a quaternion, in the mode of the object or bone.

    Euler angles stay near those that it has now, so that no angle jumps by a whole turn between two frames.

    Args:
        turned: the object or bone.
        numbers: w, x, y, z, not all zero.
    """
    mode = turned.rotation_mode
    if mode == "QUATERNION":
        return "rotation_quaternion", numbers
    quaternion = Quaternion(numbers).normalized()
    if mode == "AXIS_ANGLE":
        return _setting(mode, quaternion.to_matrix())
    present: Any = turned.rotation_euler
    return "rotation_euler", list(quaternion.to_euler(mode, Euler(present[:], mode))[:])


def towards(turned: bpy.types.Object, world: Matrix, goal: Vector) -> Setting:
    """Return the property to set so that the -Z axis points to a point, and the +Y axis up as far as possible.

    Args:
        turned: the object.
        world: its world matrix.
        goal: the point in world space.

    Raises:
        ValueError: the object is at this point, or has a scale of zero.
    """
    direction = goal - world.to_translation()
    if direction.length < _SAME_PLACE:
        raise ValueError(f"the object {turned.name!r} is at the point that it is to look at")
    above = _above(turned, world)
    # The directions of the axes in the space of the parent. A parent with a scale changes angles.
    back: Any = -(above.inverted() @ direction).normalized()
    up: Any = above.inverted() @ (direction.to_track_quat("-Z", "Y") @ Vector((0.0, 1.0, 0.0)))
    # A negative scale turns an axis of the object around.
    scale = _scale(turned)
    z = back if scale.z >= 0 else -back
    x: Any = (up if scale.y >= 0 else -up).cross(z)
    x.normalize()
    rotation = Matrix((x, z.cross(x), z)).transposed()
    return _setting(turned.rotation_mode, _delta(turned).transposed() @ rotation)


def _above(turned: bpy.types.Object, world: Matrix) -> Matrix:
    """Return the part of the world matrix that does not come from rotation and scale: of parents and constraints."""
    if turned.parent is None and not turned.constraints:
        return Matrix.Identity(3)
    basis = _delta(turned) @ _rotation(turned) @ Matrix.Diagonal(_scale(turned))
    try:
        above = world.to_3x3() @ basis.inverted()
        above.inverted()
    except ValueError:
        raise ValueError(f"the object {turned.name!r} or a parent of it has a scale of zero") from None
    return above


def _rotation(turned: Turned) -> Matrix:
    return euler(turned).to_matrix()


def _delta(turned: bpy.types.Object) -> Matrix:
    """Return the delta rotation, which Blender applies after the rotation."""
    if turned.rotation_mode == "AXIS_ANGLE":
        return Matrix.Identity(3)  # Blender has no property for it.
    if turned.rotation_mode == "QUATERNION":
        return turned.delta_rotation_quaternion.normalized().to_matrix()
    delta: Any = turned.delta_rotation_euler
    return Euler(delta[:], turned.rotation_mode).to_matrix()


def _scale(turned: bpy.types.Object) -> Vector:
    return Vector([turned.scale[axis] * turned.delta_scale[axis] for axis in range(3)])


def _setting(mode: str, rotation: Matrix) -> Setting:
    if mode == "QUATERNION":
        return "rotation_quaternion", list(rotation.to_quaternion()[:])
    if mode == "AXIS_ANGLE":
        axis, angle = rotation.to_quaternion().to_axis_angle()
        return "rotation_axis_angle", [angle, axis.x, axis.y, axis.z]
    return "rotation_euler", list(rotation.to_euler(mode)[:])


def _is_euler(mode: str) -> bool:
    return mode not in ("QUATERNION", "AXIS_ANGLE")


def property_of(turned: Turned) -> str:
    """Return the property that contains the rotation in the mode of the object."""
    return _property_in(turned.rotation_mode)


def _property_in(mode: str) -> str:
    return "rotation_euler" if _is_euler(mode) else f"rotation_{mode.lower()}"
