"""Objects: what there is, making primitives, moving and deleting them."""

import math
from collections.abc import Callable
from typing import Any

import bmesh
import bpy
from mathutils import Euler, Matrix, Vector

from .arguments import Options, choice, object_named, options, scene, vector

Builder = Callable[[bmesh.types.BMesh, float, int, float], None]
"""Fills an empty mesh: its size, its segments around, and for a torus its thickness."""

_TRANSFORM = {"location": "location", "rotation": "rotation_euler", "scale": "scale"}


def list_objects() -> list[str]:
    """The names of all objects."""
    return list(bpy.data.objects.keys())


def describe_object(name: str) -> dict[str, Any]:
    """What an object is and where: type, location, rotation (radians), scale, dimensions, parent, materials."""
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
    """Make a mesh object; returns its name, which Blender makes unique.

    Args:
        kind: cube, uv_sphere, ico_sphere, cylinder, cone, torus, plane or monkey.
        name: the name wanted.
        given: size, its largest extent in metres, default 2.0; segments around, default 32; thickness of a torus,
            default a fifth of its size; smooth, shading, default False; location, rotation (radians, XYZ) and scale,
            lists of three numbers.
    """
    build = choice(kind, _BUILDERS, "kind of primitive")
    chosen = options(given, (*_TRANSFORM, "size", "segments", "thickness", "smooth"))
    # All that may be wrong is looked at first, so that a refused call leaves nothing behind.
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
    """`create_primitive` of the kind cube."""
    return create_primitive("cube", name, given)


def set_transform(name: str, given: Options) -> dict[str, Any]:
    """Set location, rotation (radians, XYZ) or scale; what is not named stays. Returns `describe_object`."""
    _apply(object_named(name), _transform(options(given, _TRANSFORM)))
    return describe_object(name)


def look_at(name: str, target: str | list[float]) -> Euler:
    """Turn a camera, a light or any object's -Z axis to a point or an object; returns the rotation."""
    turned = object_named(name)
    _update()
    aim(turned, point(target))
    return turned.rotation_euler.copy()


def delete_object(name: str) -> bool:
    """Delete an object, and its data if nothing else uses it."""
    found = object_named(name)
    data = found.data
    bpy.data.objects.remove(found)
    if data is not None and data.users == 0:
        bpy.data.batch_remove([data])
    return True


def add_to_scene(made: bpy.types.Object) -> None:
    """Link a new object into the open scene."""
    scene().collection.objects.link(made)


def point(target: str | list[float]) -> Vector:
    """A point in the world: where the named object is, or the three numbers themselves."""
    if isinstance(target, str):
        return object_named(target).matrix_world.to_translation()
    return Vector(vector(target, "a target"))


def aim(turned: bpy.types.Object, target: Vector) -> None:
    """Point an object's -Z axis at a place in the world, with +Y up."""
    turned.rotation_mode = "XYZ"
    turned.rotation_euler = (target - turned.location).to_track_quat("-Z", "Y").to_euler()


def _transform(chosen: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """The properties of an object that the options name, checked."""
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
    # Not bpy.ops: operators want a context, and this has to work in any, also without a window.
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
    # Each subdivision doubles the edges along the equator, of which an icosahedron has five.
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
    # Suzanne is about 2.73 wide as she comes.
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
