"""Handlers that list, describe, create, move and delete objects."""

import math
from collections.abc import Callable
from typing import Any

import bmesh
import bpy
from mathutils import Euler, Matrix, Vector

from ..support import rotations
from ..support.arguments import (
    Options,
    binary_for,
    choice,
    editable,
    find,
    flag,
    floats,
    integer,
    number,
    object_named,
    options,
    scene,
    shown,
    text,
    vector,
)
from ..support.changes import changes
from ..support.evaluated import evaluated, world_matrix

Builder = Callable[[bmesh.types.BMesh, float, int, float], None]
"""Fills an empty mesh. Its arguments: the mesh, the size in metres, the number of segments, the thickness in metres."""

_TRANSFORM = ("location", "rotation", "scale")

_PROPERTIES = {"location": "location", "rotation": "rotation_euler", "scale": "scale"}

_SMALLEST = 1e-6
"""The smallest size of a primitive, in metres."""

_MOST_SEGMENTS = 1000
"""More segments would need gigabytes, and Blender would answer no other call for a long time."""


def list_objects() -> list[str]:
    """Return the names of all objects."""
    return list(bpy.data.objects.keys())


def describe_object(name: str) -> dict[str, Any]:
    """Describe an object in the current frame. All values are those of its properties, relative to its parent.

    Returns:
        A map:
            name, type: text.
            location, scale, dimensions: lists of three numbers; location and dimensions in metres.
            rotation_mode: the mode in which the object rotates, by Blender's name: XYZ and other orders of Euler
                angles, QUATERNION or AXIS_ANGLE.
            rotation: the rotation in this mode: three angles in radians; or w, x, y, z; or angle, x, y, z.
            rotation_euler: the same rotation as angles around X, Y and Z, in radians.
            parent: the name of the parent, or nil.
            materials: the names of the materials.
    """
    found = object_named(name)
    with evaluated(found) as result:
        dimensions = result.dimensions.copy()
    return {
        "name": found.name,
        "type": found.type,
        "location": found.location.copy(),
        "rotation": rotations.own(found),
        "rotation_mode": found.rotation_mode,
        "rotation_euler": rotations.euler(found),
        "scale": found.scale.copy(),
        "dimensions": dimensions,
        "parent": found.parent.name if found.parent else None,
        "materials": [slot.material.name for slot in found.material_slots if slot.material],
    }


def create_primitive(kind: str, name: str, given: Options = None) -> str:
    """Create a mesh object. Return its name.

    Args:
        kind: cube, uv_sphere, ico_sphere, cylinder, cone, torus, plane or monkey.
        name: the name. If it is in use, Blender adds a number.
        given: the options
            size: the largest dimension in metres, default 2.0.
            segments: the number of segments around the axis, 3 to 1000, default 32.
            thickness: the thickness of a torus in metres, at most its size, default a fifth of its size.
            smooth: True for smooth shading, default False.
            location, rotation (radians, XYZ), scale: lists of three numbers.
    """
    build = choice(kind, _BUILDERS, "kind of primitive")
    wanted = text(name)
    chosen = options(given, (*_TRANSFORM, "size", "segments", "thickness", "smooth"))
    transform = {option: vector(chosen[option], option) for option in _TRANSFORM if option in chosen}
    size = number(chosen.get("size", 2.0), "size", _SMALLEST)
    segments = integer(chosen.get("segments", 32), "segments", 3, _MOST_SEGMENTS)
    thickness = number(chosen.get("thickness", size / 5), "thickness", 0.0, size)
    smooth = flag(chosen.get("smooth", False), "smooth")
    with changes() as change:
        mesh = change.new(bpy.data.meshes, wanted)
        _fill(mesh, build, size, segments, thickness)
        if smooth:
            mesh.shade_smooth()
        made: bpy.types.Object = change.new(bpy.data.objects, wanted, mesh)
        for option, value in transform.items():
            setattr(made, _PROPERTIES[option], value)
        add_to_scene(made)
        return made.name


def create_cube(name: str, given: Options = None) -> str:
    """Create a cube. The arguments are those of `create_primitive` after `kind`."""
    return create_primitive("cube", name, given)


def set_transform(name: str, given: Options) -> dict[str, Any]:
    """Set the transform of an object, relative to its parent. Return the result of `describe_object`.

    The object keeps its rotation mode, so that its animation still works.

    Args:
        name: the object.
        given: the options `location` (metres), `rotation` and `scale`, lists of three numbers; default unchanged. The
            rotation is in the object's own mode, as `describe_object` returns it. For an object that rotates by a
            quaternion or by axis and angle, three numbers are angles around X, Y and Z, in radians.
    """
    changed = editable(object_named(name))
    chosen = options(given, _TRANSFORM)
    values = {option: vector(chosen[option], option) for option in ("location", "scale") if option in chosen}
    rotation = rotations.checked(changed.rotation_mode, chosen["rotation"]) if "rotation" in chosen else None
    with changes() as change:
        for option, value in values.items():
            change.set(changed, option, value)
        if rotation is not None:
            change.set(changed, *rotation)
        return describe_object(changed.name)


def look_at(name: str, target: str | list[float]) -> Euler:
    """Turn an object so that its -Z axis points to the target. Cameras and lights look along this axis.

    Parents, constraints that move the object, and delta transforms are taken into account. A constraint that turns the
    object still turns it. The object keeps its rotation mode.

    Args:
        name: the object to turn.
        target: a point in world space, or the name of an object.

    Returns:
        The rotation relative to its parent, in radians (XYZ).
    """
    turned = editable(object_named(name))
    if not isinstance(target, list | tuple) and find(bpy.data.objects, target) == turned:
        raise ValueError(f"the object {turned.name!r} cannot look at itself")
    goal = point(target)
    with changes() as change:
        change.set(turned, *rotations.towards(turned, world_matrix(turned), goal))
        return rotations.euler(turned)


def delete_object(name: str) -> bool:
    """Delete an object. Delete its data, too, if no other object uses it. Return True."""
    found = editable(object_named(name))
    if found.mode != "OBJECT":
        raise ValueError(f"the object {found.name!r} is in {found.mode.lower()} mode: leave this mode first")
    data = found.data
    bpy.data.objects.remove(found)
    if data is not None and data.users == 0 and data.library is None:
        bpy.data.batch_remove([data])
    return True


def add_to_scene(made: bpy.types.Object) -> None:
    """Link a new object to the current scene.

    Raises:
        ValueError: the scene is linked from another file.
    """
    editable(scene()).collection.objects.link(made)


def point(target: Any) -> Vector:
    """Return a point in world space: the position of the object with this name, or the three numbers themselves."""
    if isinstance(target, str | bytes | memoryview):
        return world_matrix(object_named(target)).to_translation()
    if len(floats(target)) != 3:
        hint = binary_for(target)
        raise ValueError(f"a target is a list of three numbers or the name of an object, not {shown(target)}{hint}")
    return Vector(vector(target, "a target"))


def _fill(mesh: bpy.types.Mesh, build: Builder, size: float, segments: int, thickness: float) -> None:
    # Operators of bpy.ops need a certain context. bmesh works in every context, also without a window.
    shape = bmesh.new()
    try:
        build(shape, size, segments, thickness)
        shape.to_mesh(mesh)
    finally:
        shape.free()


def _cube(shape: bmesh.types.BMesh, size: float, _segments: int, _thickness: float) -> None:
    bmesh.ops.create_cube(shape, size=size)


def _uv_sphere(shape: bmesh.types.BMesh, size: float, segments: int, _thickness: float) -> None:
    bmesh.ops.create_uvsphere(shape, u_segments=segments, v_segments=max(3, segments // 2), radius=size / 2)


def _ico_sphere(shape: bmesh.types.BMesh, size: float, segments: int, _thickness: float) -> None:
    # An icosahedron has five edges along its equator. Each subdivision doubles this number.
    levels = max(1, round(math.log2(max(segments, 5) / 5)) + 1)
    bmesh.ops.create_icosphere(shape, subdivisions=levels, radius=size / 2)


def _cylinder(shape: bmesh.types.BMesh, size: float, segments: int, _thickness: float) -> None:
    _tapered(shape, size, segments, size / 2)


def _cone(shape: bmesh.types.BMesh, size: float, segments: int, _thickness: float) -> None:
    _tapered(shape, size, segments, 0.0)


def _tapered(shape: bmesh.types.BMesh, size: float, segments: int, top: float) -> None:
    bmesh.ops.create_cone(shape, cap_ends=True, segments=segments, radius1=size / 2, radius2=top, depth=size)


def _plane(shape: bmesh.types.BMesh, size: float, _segments: int, _thickness: float) -> None:
    bmesh.ops.create_grid(shape, x_segments=1, y_segments=1, size=size / 2)


def _monkey(shape: bmesh.types.BMesh, size: float, _segments: int, _thickness: float) -> None:
    # Blender's monkey mesh is about 2.73 wide.
    bmesh.ops.create_monkey(shape, matrix=Matrix.Scale(size / 2.73, 4))


def _torus(shape: bmesh.types.BMesh, size: float, segments: int, thickness: float) -> None:
    minor = thickness / 2
    around, across = segments, max(3, segments // 3)
    rings = [
        [_torus_vertex(shape, size / 2 - minor, minor, i / around, j / across) for j in range(across)]
        for i in range(around)
    ]
    for i in range(around):
        for j in range(across):
            here, there = rings[i], rings[(i + 1) % around]
            shape.faces.new((here[j], there[j], there[(j + 1) % across], here[(j + 1) % across]))


def _torus_vertex(shape: bmesh.types.BMesh, major: float, minor: float, turn: float, tilt: float) -> bmesh.types.BMVert:
    u, v = 2 * math.pi * turn, 2 * math.pi * tilt
    radius = major + minor * math.cos(v)
    return shape.verts.new((radius * math.cos(u), radius * math.sin(u), minor * math.sin(v)))


_BUILDERS: dict[str, Builder] = {
    "cube": _cube,
    "uv_sphere": _uv_sphere,
    "ico_sphere": _ico_sphere,
    "cylinder": _cylinder,
    "cone": _cone,
    "torus": _torus,
    "plane": _plane,
    "monkey": _monkey,
}
