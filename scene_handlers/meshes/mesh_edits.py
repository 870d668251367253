"""Handlers that change the faces of meshes: they apply modifiers, decimate, make triangles and make quads.

No operator runs, because operators need a certain context. The modifiers are calculated in the dependency graph, and
the faces are divided and joined by bmesh. The mesh stays the same datablock, so it keeps its name, its custom
properties, its materials and its animation, and other objects that share it change, too.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import (
    Options,
    choice,
    editable,
    flag,
    integer,
    listed,
    number,
    options,
    scene,
    stored_name,
    text,
)
from ..support.changes import Changes, changes
from ..support.evaluated import evaluated_in
from .geometry import mesh_objects, own_mesh
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


def apply_modifiers(name: str | None, given: Options = None) -> Any:
    """Apply modifiers of an object: its mesh gets the shape that they give it, and they are removed.

    If other objects share the mesh, the object gets a mesh of its own. Shape keys stay, if the modifiers give each of
    them the same number of vertices.

    Args:
        name: the object, a mesh; or nil, which means all mesh objects of the scene.
        given: the options
            modifiers: a list of names of modifiers. They are applied in the order of the stack, also those that are
                hidden. Default: all that the viewport shows. Modifiers of simulations, such as particle systems, are
                not applied.
            discard: True: apply the present mix of the shape keys, and remove the keys. Default False.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles` (as if each face were divided
        into triangles); `applied`, the names of the modifiers. For nil, a list of maps.
    """
    chosen = options(given, ("modifiers", "discard"))
    discard = flag(chosen.get("discard", False), "discard")
    targets = [editable(each) for each in mesh_objects(name)]
    for each in targets:
        own_mesh(each)
    wanted = _checked_modifiers(targets, chosen)
    with changes(temporary=True) as change:
        # All shapes are calculated before one changes: the shape of an object can depend on others.
        shapes = [_shape_from(each, wanted[each], discard, change) for each in targets if wanted[each]]
        with changes() as lasting:
            for shape in shapes:
                _apply(shape, lasting)
    found = []
    for each in targets:
        applied = [modifier.name for modifier in wanted[each]]
        for modifier_name in applied:
            each.modifiers.remove(each.modifiers[modifier_name])
        found.append(_described(each) | {"applied": applied})
    return found if name is None else found[0]


def _for_all(name: Any, targets: list[bpy.types.Object]) -> Any:
    """Return the description of the object, or for nil those of all."""
    found = [_described(each) for each in targets]
    return found if name is None else found[0]


def decimate(name: str | None, given: Options) -> Any:
    """Reduce the number of faces of a mesh. The new faces are triangles.

    UV maps, materials, vertex groups, attributes and modifiers stay. Blender removes the edges first whose absence
    changes the shape least, so the number of faces can differ a little from the wanted one.

    Args:
        name: the object, a mesh; or nil, which means all mesh objects of the scene.
        given: the options, one of `ratio` and `faces`
            ratio: the part of the triangles that remains, at most 1.0; a quad counts as two triangles.
            faces: the number of triangles that remain, for nil in all objects together.
                A number changes the object itself. With a list, the object stays as it is, and for each number a new
                object is made: levels of detail with the names NAME_LOD1, NAME_LOD2 and so on.
            discard: True: the mesh loses what it cannot keep: shape keys, details of the Multiresolution modifier and
                radii of the Skin modifier. Default False: refuse such a mesh.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`. For a list, a list of maps. For
        nil, a list of all objects in place of each map.
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
    targets = [editable(each) for each in mesh_objects(name)]
    meshes = {own_mesh(each): each for each in targets}
    if not discard:
        for each in targets:
            _check_losses(each, own_mesh(each))
    triangles = sum(_triangles(own_mesh(each)) for each in targets)
    ratios = [each if option == "ratio" else _ratio(each, triangles) for each in checked]
    if wanted is not value:  # One number
        with changes(temporary=True) as change:
            made = {mesh: _decimated(mesh, ratios[0], change) for mesh in meshes}
            for mesh, target in meshes.items():
                if mesh.shape_keys is not None:
                    target.shape_key_clear()
                _replace(mesh, made[mesh])
        return _for_all(name, targets)
    with changes() as lasting:
        levels = [[_level(each, ratio, place, lasting) for each in targets] for place, ratio in enumerate(ratios, 1)]
    return levels if name is None else [level for (level,) in levels]


def triangulate(name: str | None, given: Options = None) -> Any:
    """Divide the faces of a mesh into triangles. UV maps, materials, weights, attributes and shape keys stay.

    Args:
        name: the object, a mesh; or nil, which means all mesh objects of the scene.
        given: the options
            quads: how to divide faces with four vertices: beauty (default), fixed, alternate, shortest_diagonal or
                longest_diagonal.
            polygons: how to divide faces with more vertices: beauty (default) or clip.
            min_vertices: leave faces with fewer vertices as they are; an integer, at least 4, default 4.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`. For nil, a list of maps.
    """
    chosen = options(given, ("quads", "polygons", "min_vertices"))
    quads = choice(chosen.get("quads", "beauty"), _QUAD_METHODS, "method for quads")
    polygons = choice(chosen.get("polygons", "beauty"), _NGON_METHODS, "method for polygons")
    least = integer(chosen.get("min_vertices", 4), "min_vertices", 4)

    def divide(shape: bmesh.types.BMesh) -> None:
        faces = [face for face in shape.faces if len(face.verts) >= least]
        bmesh.ops.triangulate(shape, faces=faces, quad_method=quads, ngon_method=polygons)

    return _edited(name, divide)


def quads(name: str | None, given: Options = None) -> Any:
    """Join pairs of triangles of a mesh to quads.

    UV maps, materials, weights, attributes and shape keys stay. Triangles with different materials, and those with a
    seam, a sharp edge or a border of a UV map or of colours between them, are not joined.

    Args:
        name: the object, a mesh; or nil, which means all mesh objects of the scene.
        given: the options
            face_angle: the largest angle between the two triangles, in radians, default 0.698 (40 degrees).
            shape_angle: the largest difference between the angles of the quad and right angles, in radians, default
                0.698.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `triangles`. For nil, a list of maps.
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


def _checked_modifiers(
    targets: list[bpy.types.Object], chosen: dict[str, Any]
) -> dict[bpy.types.Object, list[bpy.types.Modifier]]:
    """Return the modifiers that are to be applied, by their objects."""
    if "modifiers" not in chosen:
        return {
            each: [
                modifier for modifier in each.modifiers if modifier.show_viewport and modifier.type not in _NOT_APPLIED
            ]
            for each in targets
        }
    given = chosen["modifiers"]
    if not isinstance(given, list | tuple):
        raise ValueError(f"modifiers has to be a list of names, not {type(given).__name__}")
    names = {text(each) for each in given}
    known = {modifier.name for each in targets for modifier in each.modifiers}
    for unknown in sorted(names - known):
        owner = f"{targets[0].name!r} has" if len(targets) == 1 else "the objects have"
        raise LookupError(f"{owner} no modifier {unknown!r}; there are: {listed(sorted(known))}")
    found = {each: [modifier for modifier in each.modifiers if modifier.name in names] for each in targets}
    for modifier in (modifier for modifiers in found.values() for modifier in modifiers):
        if modifier.type in _NOT_APPLIED:
            raise ValueError(
                f"the modifier {modifier.name!r} belongs to a simulation ({modifier.type}) and cannot be applied"
            )
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


class _Shape(NamedTuple):
    """The shape that modifiers give an object.

    Attributes:
        target: the object.
        made: a temporary mesh with the shape.
        positions: the positions of the vertices for each shape key.
        groups: the names of the vertex groups.
    """

    target: bpy.types.Object
    made: bpy.types.Mesh
    positions: list[Array]
    groups: list[str]


def _shape_from(target: bpy.types.Object, wanted: list[bpy.types.Modifier], discard: bool, change: Changes) -> _Shape:
    mesh = own_mesh(target)
    with changes(temporary=True) as brief:
        for modifier in target.modifiers:
            # Blender also counts a setting of the present value as a change, and calculates the object again.
            if modifier.show_viewport != (modifier in wanted):
                brief.set(modifier, "show_viewport", modifier in wanted)
        positions = [] if discard else _positions_of_keys(target, mesh)
        made = _evaluated_copy(target, change)
    if positions:
        made.vertices.foreach_set("co", positions[0])  # The basis, without the mix of the other keys.
    return _Shape(target, made, positions, _names_of_groups(made, change))


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


def _apply(shape: _Shape, lasting: Changes) -> None:
    """Give an object its new shape. Its modifiers stay."""
    target = shape.target
    own = _unshared(target, own_mesh(target), lasting)
    if not shape.positions and own.shape_keys is not None:
        target.shape_key_clear()
    _replace(own, shape.made)
    write_positions_of_keys(own, [ShapeKey("", each, {}) for each in shape.positions])
    _set_materials(own, shape.made)
    for group in shape.groups[len(target.vertex_groups) :]:
        target.vertex_groups.new(name=group)
    own.update()


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


def _edited(name: Any, edit: Callable[[bmesh.types.BMesh], None]) -> Any:
    """Change the faces of an object, or for nil those of all, by bmesh. Return the description."""
    targets = mesh_objects(name)
    for mesh in dict.fromkeys([own_mesh(each) for each in targets]):
        normals = _with_normals(mesh)
        try:
            with _shape_of(mesh) as shape:
                edit(shape)
                shape.to_mesh(mesh)
        finally:
            if normals:
                _restore_normals(mesh)
        mesh.update()
    return _for_all(name, targets)


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
