"""Handlers that list, describe, create, move and delete objects."""

import math
from collections.abc import Callable
from typing import Any

import bmesh
import bpy
from mathutils import Euler, Matrix, Vector

from .arguments import Options, choice, object_named, options, scene, vector

Builder = Callable[[bmesh.types.BMesh, float, int, float], None]
"""Fills an empty mesh. Its arguments: the mesh, the size in metres, the number of segments, the thickness in metres."""

_TRANSFORM = {"location": "location", "rotation": "rotation_euler", "scale": "scale"}


def list_objects() -> list[str]:
    """Return the names of all objects."""
    return list(bpy.data.objects.keys())


def describe_object(name: str) -> dict[str, Any]:
    """Describe an object: name, type, location, rotation (radians), scale, dimensions, parent and materials."""
    found = object_named(name)
    _update()
    return {
        "name": found.name,
        "type": found.type,
        "location": found.location.copy(),
        "rotation": found.rotation_euler.copy(),
        "scale": found.scale.copy(),
        "dimensions": found.dimensions.copy(),
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
            segments: the number of segments around the axis, default 32.
            thickness: the thickness of a torus in metres, default a fifth of its size.
            smooth: True for smooth shading, default False.
            location, rotation (radians, XYZ), scale: lists of three numbers.
    """
    build = choice(kind, _BUILDERS, "kind of primitive")
    chosen = options(given, (*_TRANSFORM, "size", "segments", "thickness", "smooth"))
    # Check all options before creating anything, so that a refused call does not change the scene.
    transform = _transform(chosen)
    size = float(chosen.get("size", 2.0))
    segments, thickness = int(chosen.get("segments", 32)), float(chosen.get("thickness", size / 5))
    mesh = bpy.data.meshes.new(name)
    _fill(mesh, build, size, segments, thickness)
    if chosen.get("smooth", False):
        mesh.shade_smooth()
    made = bpy.data.objects.new(name, mesh)
    _apply(made, transform)
    add_to_scene(made)
    return made.name


def create_cube(name: str, given: Options = None) -> str:
    """Create a cube. The arguments are those of `create_primitive` after `kind`."""
    return create_primitive("cube", name, given)


def set_transform(name: str, given: Options) -> dict[str, Any]:
    """Set the transform of an object. Return the result of `describe_object`.

    Args:
        name: the object.
        given: the options `location`, `rotation` (radians, XYZ) and `scale`, lists of three numbers; default unchanged.
    """
    _apply(object_named(name), _transform(options(given, _TRANSFORM)))
    return describe_object(name)


def look_at(name: str, target: str | list[float]) -> Euler:
    """Turn an object so that its -Z axis points to the target. Cameras and lights look along this axis.

    Args:
        name: the object to turn.
        target: a point, or the name of an object.

    Returns:
        The rotation, in radians (XYZ).
    """
    turned = object_named(name)
    _update()
    aim(turned, point(target))
    return turned.rotation_euler.copy()


def delete_object(name: str) -> bool:
    """Delete an object. Delete its data, too, if no other object uses it. Return True."""
    found = object_named(name)
    data = found.data
    bpy.data.objects.remove(found)
    if data is not None and data.users == 0:
        bpy.data.batch_remove([data])
    return True


def add_to_scene(made: bpy.types.Object) -> None:
    """Link a new object to the current scene."""
    scene().collection.objects.link(made)


def point(target: str | list[float]) -> Vector:
    """Return a point in world space: the position of the object with this name, or the three numbers themselves."""
    if isinstance(target, str):
        return object_named(target).matrix_world.to_translation()
    return Vector(vector(target, "a target"))


def aim(turned: bpy.types.Object, target: Vector) -> None:
    """Turn an object so that its -Z axis points to a point in world space, with its +Y axis up."""
    turned.rotation_mode = "XYZ"
    turned.rotation_euler = (target - turned.location).to_track_quat("-Z", "Y").to_euler()


def _transform(chosen: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Check the options and return the properties of the object that they set."""
    return {_TRANSFORM[option]: vector(chosen[option], option) for option in _TRANSFORM if option in chosen}


def _apply(changed: bpy.types.Object, transform: dict[str, tuple[float, float, float]]) -> None:
    if "rotation_euler" in transform:
        changed.rotation_mode = "XYZ"
    for name, value in transform.items():
        setattr(changed, name, value)


def _update() -> None:
    layer = bpy.context.view_layer
    assert layer is not None
    layer.update()


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
