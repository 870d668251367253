"""Handlers that change the faces of meshes: they apply modifiers, decimate, make triangles and make quads.

No operator runs, because operators need a certain context. The modifiers are calculated in the dependency graph, and
the faces are divided and joined by bmesh. The mesh stays the same datablock, so it keeps its name, its custom
properties, its materials and its animation, and other objects that share it change, too.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from .arguments import (
    Options,
    choice,
    editable,
    flag,
    integer,
    listed,
    number,
    object_named,
    options,
    scene,
    stored_name,
    text,
)
from .changes import Changes, changes
from .evaluated import evaluated_in
from .geometry import own_mesh
from .vertex_data import ShapeKey, write_positions_of_keys

Array = NDArray[Any]

_QUAD_METHODS = {
    "beauty": "BEAUTY",
    "fixed": "FIXED",
    "alternate": "ALTERNATE",
    "shortest_diagonal": "SHORT_EDGE",
    "longest_diagonal": "LONG_EDGE",
}

_NGON_METHODS = {"beauty": "BEAUTY", "clip": "EAR_CLIP"}

_NOT_APPLIED = {"PARTICLE_SYSTEM", "COLLISION", "SURFACE", "FLUID", "DYNAMIC_PAINT"}
"""The types of modifiers that belong to a simulation and have no shape that could be applied."""

_LARGEST_ANGLE = math.pi

_SMALLEST_RATIO = 1e-6

_NORMALS = "beam_bpy custom normals"
"""The attribute that holds the custom normals while bmesh divides or joins faces."""


def apply_modifiers(name: str, given: Options = None) -> dict[str, Any]:
    """Apply modifiers of an object: its mesh gets the shape that they give it, and they are removed.

    If other objects share the mesh, the object gets a mesh of its own. Shape keys stay, if the modifiers give each of
    them the same number of vertices.

    Args:
        name: the object, a mesh.
        given: the options
            modifiers: a list of names of modifiers. They are applied in the order of the stack, also those that are
                hidden. Default: all that the viewport shows. Modifiers of simulations, such as particle systems, are
                not applied.
            discard: True: apply the present mix of the shape keys, and remove the keys. Default False.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles` (as if each face were divided
        into triangles); `applied`, the names of the modifiers.
    """
    chosen = options(given, ("modifiers", "discard"))
    discard = flag(chosen.get("discard", False), "discard")
    target = editable(object_named(name))
    wanted = _checked_modifiers(target, chosen)
    mesh = own_mesh(target)
    applied = [modifier.name for modifier in wanted]
    if not applied:
        return _described(target) | {"applied": []}
    with changes(temporary=True) as change:
        for modifier in target.modifiers:
            # Blender also counts a setting of the present value as a change, and calculates the object again.
            if modifier.show_viewport != (modifier in wanted):
                change.set(modifier, "show_viewport", modifier in wanted)
        positions = [] if discard else _positions_of_keys(target, mesh)
        made = _evaluated_copy(target, change)
        if positions:
            made.vertices.foreach_set("co", positions[0])  # The basis, without the mix of the other keys.
        groups = _names_of_groups(made, change)
        with changes() as lasting:
            own = _unshared(target, mesh, lasting)
            if discard and own.shape_keys is not None:
                target.shape_key_clear()
            _replace(own, made)
            write_positions_of_keys(own, [ShapeKey("", each, {}) for each in positions])
            _set_materials(own, made)
            for group in groups[len(target.vertex_groups) :]:
                target.vertex_groups.new(name=group)
    for modifier_name in applied:
        target.modifiers.remove(target.modifiers[modifier_name])
    own.update()
    return _described(target) | {"applied": applied}


def decimate(name: str, given: Options) -> dict[str, Any] | list[dict[str, Any]]:
    """Reduce the number of faces of a mesh. The new faces are triangles.

    UV maps, materials, vertex groups, attributes and modifiers stay. Blender removes the edges first whose absence
    changes the shape least, so the number of faces can differ a little from the wanted one.

    Args:
        name: the object, a mesh.
        given: the options, one of `ratio` and `faces`
            ratio: the part of the triangles that remains, at most 1.0; a quad counts as two triangles.
            faces: the number of triangles that remain.
                A number changes the object itself. With a list, the object stays as it is, and for each number a new
                object is made: levels of detail with the names NAME_LOD1, NAME_LOD2 and so on.
            discard: True: the mesh loses what it cannot keep: shape keys, details of the Multiresolution modifier and
                radii of the Skin modifier. Default False: refuse such a mesh.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`. For a list, a list of maps.
    """
    chosen = options(given, ("ratio", "faces", "discard"))
    discard = flag(chosen.pop("discard", False), "discard")
    if len(chosen) != 1:
        raise ValueError("give either the option ratio or the option faces")
    (option, value), *_ = chosen.items()
    wanted = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if not len(wanted):
        raise ValueError(f"{option} has to be a number or a list of numbers, not an empty list")
    checked = [_checked_ratio(option, each) for each in wanted]
    target = editable(object_named(name))
    mesh = own_mesh(target)
    if not discard:
        _check_losses(target, mesh)
    triangles = _triangles(mesh)
    ratios = [each if option == "ratio" else _ratio(each, triangles) for each in checked]
    if wanted is not value:  # One number
        with changes(temporary=True) as change:
            made = _decimated(mesh, ratios[0], change)
            if mesh.shape_keys is not None:
                target.shape_key_clear()
            _replace(mesh, made)
        return _described(target)
    with changes() as lasting:
        return [_level(target, ratio, place, lasting) for place, ratio in enumerate(ratios, 1)]


def triangulate(name: str, given: Options = None) -> dict[str, Any]:
    """Divide the faces of a mesh into triangles. UV maps, materials, weights, attributes and shape keys stay.

    Args:
        name: the object, a mesh.
        given: the options
            quads: how to divide faces with four vertices: beauty (default), fixed, alternate, shortest_diagonal or
                longest_diagonal.
            polygons: how to divide faces with more vertices: beauty (default) or clip.
            min_vertices: leave faces with fewer vertices as they are; an integer, at least 4, default 4.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`.
    """
    chosen = options(given, ("quads", "polygons", "min_vertices"))
    quads = choice(chosen.get("quads", "beauty"), _QUAD_METHODS, "method for quads")
    polygons = choice(chosen.get("polygons", "beauty"), _NGON_METHODS, "method for polygons")
    least = integer(chosen.get("min_vertices", 4), "min_vertices", 4)

    def divide(shape: bmesh.types.BMesh) -> None:
        faces = [face for face in shape.faces if len(face.verts) >= least]
        bmesh.ops.triangulate(shape, faces=faces, quad_method=quads, ngon_method=polygons)

    return _edited(name, divide)


def quads(name: str, given: Options = None) -> dict[str, Any]:
    """Join pairs of triangles of a mesh to quads.

    UV maps, materials, weights, attributes and shape keys stay. Triangles with different materials, and those with a
    seam, a sharp edge or a border of a UV map or of colours between them, are not joined.

    Args:
        name: the object, a mesh.
        given: the options
            face_angle: the largest angle between the two triangles, in radians, default 0.698 (40 degrees).
            shape_angle: the largest difference between the angles of the quad and right angles, in radians, default
                0.698.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`.
    """
    chosen = options(given, ("face_angle", "shape_angle"))
    face, shape_ = (
        number(chosen.get(option, math.radians(40)), option, 0.0, _LARGEST_ANGLE)
        for option in ("face_angle", "shape_angle")
    )

    def join(shape: bmesh.types.BMesh) -> None:
        bmesh.ops.join_triangles(
            shape,
            faces=[face for face in shape.faces if len(face.verts) == 3],
            angle_face_threshold=face,
            angle_shape_threshold=shape_,
            **dict.fromkeys(("cmp_seam", "cmp_sharp", "cmp_uvs", "cmp_vcols", "cmp_materials"), True),
        )

    return _edited(name, join)


# Check the arguments


def _checked_modifiers(target: bpy.types.Object, chosen: dict[str, Any]) -> list[bpy.types.Modifier]:
    modifiers: Any = target.modifiers
    if "modifiers" not in chosen:
        return [each for each in modifiers if each.show_viewport and each.type not in _NOT_APPLIED]
    given = chosen["modifiers"]
    if not isinstance(given, list | tuple):
        raise ValueError(f"modifiers has to be a list of names, not {type(given).__name__}")
    names = {text(each) for each in given}
    for unknown in sorted(names - set(modifiers.keys())):
        raise LookupError(f"{target.name!r} has no modifier {unknown!r}; there are: {listed(modifiers.keys())}")
    found = [each for each in modifiers if each.name in names]
    for each in found:
        if each.type in _NOT_APPLIED:
            raise ValueError(f"the modifier {each.name!r} belongs to a simulation ({each.type}) and cannot be applied")
    return found


def _checked_ratio(option: str, value: Any) -> float:
    if option == "ratio":
        return number(value, "ratio", _SMALLEST_RATIO, 1.0)
    return integer(value, "faces", 1)


def _check_losses(target: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    losses = []
    if mesh.shape_keys is not None:
        losses.append("shape keys")
    if any(isinstance(each, bpy.types.MultiresModifier) and each.total_levels for each in target.modifiers):
        losses.append("details of the Multiresolution modifier")
    if len(mesh.skin_vertices):
        losses.append("radii of the Skin modifier")
    if losses:
        raise ValueError(
            f"the object {target.name!r} would lose its {' and its '.join(losses)}: remove or apply them first, or set "
            "the option discard"
        )


def _ratio(faces: float, triangles: int) -> float:
    """Return the ratio for a number of triangles. Blender rounds the result down."""
    return min(1.0, (faces + 0.5) / triangles) if triangles else 1.0


# Calculate the new mesh


def _evaluated_copy(source: bpy.types.Object, change: Changes) -> bpy.types.Mesh:
    """Return a new mesh with the shape that the modifiers of an object give it."""
    with evaluated_in(source) as (result, depsgraph):
        made = bpy.data.meshes.new_from_object(result, preserve_all_data_layers=True, depsgraph=depsgraph)
    change.on_undo(bpy.data.meshes.remove, made)
    return made


def _positions_of_keys(target: bpy.types.Object, mesh: bpy.types.Mesh) -> list[Array]:
    """Return for each shape key the positions that the modifiers give it."""
    keys: Any = mesh.shape_keys
    if keys is None:
        return []
    positions: list[Array] = []
    with changes(temporary=True) as change:
        change.set(target, "active_shape_key_index", 0)
        change.set(target, "show_only_shape_key", True)
        for block in keys.key_blocks:  # Blender would show the basis, or a part of the key.
            change.set(block, "mute", False)
            change.set(block, "vertex_group", "")
        for index in range(len(keys.key_blocks)):
            target.active_shape_key_index = index
            with changes(temporary=True) as brief:
                positions.append(_positions(_evaluated_copy(target, brief)))
    if len({len(each) for each in positions}) > 1:
        raise ValueError(
            f"the modifiers give the shape keys of {target.name!r} different numbers of vertices: apply other "
            "modifiers, or set the option discard, which removes the shape keys"
        )
    return positions


def _positions(mesh: bpy.types.Mesh) -> Array:
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", values)
    return values


def _names_of_groups(mesh: bpy.types.Mesh, change: Changes) -> list[str]:
    """Return the names of the vertex groups of a mesh. Only an object shows them."""
    holder: bpy.types.Object = change.new(bpy.data.objects, "groups", mesh)
    return [group.name for group in holder.vertex_groups]


def _decimated(mesh: bpy.types.Mesh, ratio: float, change: Changes) -> bpy.types.Mesh:
    """Return a new mesh with a part of the triangles of another one."""
    source = mesh.copy()
    change.on_undo(bpy.data.meshes.remove, source)
    holder: bpy.types.Object = change.new(bpy.data.objects, "decimated", source)
    if source.shape_keys is not None:
        holder.shape_key_clear()
    divide: Any = holder.modifiers.new("triangles", "TRIANGULATE")
    divide.keep_custom_normals = mesh.has_custom_normals
    reduce: Any = holder.modifiers.new("decimate", "DECIMATE")
    reduce.ratio = ratio
    reduce.use_collapse_triangulate = True
    return _evaluated_copy(holder, change)


def _level(target: bpy.types.Object, ratio: float, place: int, lasting: Changes) -> dict[str, Any]:
    """Make a level of detail of an object. Return its description."""
    source: Any = target.data
    mesh = source.copy()
    lasting.on_undo(bpy.data.meshes.remove, mesh)
    made = target.copy()
    lasting.on_undo(bpy.data.objects.remove, made)
    made.data = mesh
    made.name = mesh.name = stored_name(f"{target.name}_LOD{place}")
    if mesh.shape_keys is not None:
        made.shape_key_clear()
    with changes(temporary=True) as change:
        _replace(mesh, _decimated(source, ratio, change))
    for collection in _collections(target):
        collection.objects.link(made)
    return _described(made)


def _collections(target: bpy.types.Object) -> list[bpy.types.Collection]:
    """Return the collections for a new object beside another one."""
    # A collection of another file cannot get an object.
    own = [each for each in target.users_collection if each.library is None]
    return own or [editable(scene()).collection]


# Change the mesh


def _replace(mesh: bpy.types.Mesh, made: bpy.types.Mesh) -> None:
    """Give a mesh the geometry of another one, with all its attributes."""
    with _shape_of(made) as shape:
        shape.to_mesh(mesh)
    mesh.update()


@contextmanager
def _shape_of(mesh: bpy.types.Mesh) -> Iterator[bmesh.types.BMesh]:
    shape = bmesh.new()
    try:
        shape.from_mesh(mesh)
        yield shape
    finally:
        shape.free()


def _unshared(target: bpy.types.Object, mesh: bpy.types.Mesh, lasting: Changes) -> bpy.types.Mesh:
    """Return the mesh of an object, or a copy that only this object uses, if other objects share the mesh."""
    if not any(each.data == mesh for each in bpy.data.objects if each != target):
        return mesh
    own = mesh.copy()
    lasting.on_undo(bpy.data.meshes.remove, own)
    lasting.set(target, "data", own)
    return own


def _set_materials(mesh: bpy.types.Mesh, made: bpy.types.Mesh) -> None:
    """Append the materials that the modifiers have added."""
    slots: Any = mesh.materials
    for place, material in enumerate(made.materials):
        if place < len(slots):
            if slots[place] != material:
                slots[place] = material
        else:
            slots.append(material)


def _edited(name: str, edit: Callable[[bmesh.types.BMesh], None]) -> dict[str, Any]:
    """Change the faces of an object by bmesh. Return the description of the object."""
    target = object_named(name)
    mesh = own_mesh(target)
    normals = _with_normals(mesh)
    try:
        with _shape_of(mesh) as shape:
            edit(shape)
            shape.to_mesh(mesh)
    finally:
        if normals:
            _restore_normals(mesh)
    mesh.update()
    return _described(target)


def _with_normals(mesh: bpy.types.Mesh) -> bool:
    """Store the custom normals as an attribute, which each corner of a new face takes over from an old one.

    Blender stores them relative to the other corners around the vertex, so new faces would turn them.
    """
    if not mesh.has_custom_normals:
        return False
    normals = np.empty(3 * len(mesh.loops), np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    layer: Any = mesh.attributes.new(_NORMALS, "FLOAT_VECTOR", "CORNER")
    layer.data.foreach_set("vector", normals)
    return True


def _restore_normals(mesh: bpy.types.Mesh) -> None:
    layer: Any = mesh.attributes[_NORMALS]
    normals = np.empty(3 * len(mesh.loops), np.float32)
    layer.data.foreach_get("vector", normals)
    mesh.attributes.remove(layer)
    mesh.normals_split_custom_set(normals.reshape(-1, 3))


def _described(target: bpy.types.Object) -> dict[str, Any]:
    mesh: Any = target.data
    return {
        "name": target.name,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.polygons),
        "triangles": _triangles(mesh),
    }


def _triangles(mesh: bpy.types.Mesh) -> int:
    """Return the number of triangles that a mesh has if each face is divided: two less than its vertices."""
    return len(mesh.loops) - 2 * len(mesh.polygons)
