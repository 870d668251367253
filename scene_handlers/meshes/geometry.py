"""Handlers for large meshes. They take and return vertices and faces as binaries, and pass them to Blender as arrays.

A mesh is a map with these keys. All but `vertices` are optional. The numbers are binaries, or lists:

    vertices        float32, three for each vertex: its position in metres
    triangles       int32, three for each face: the indices of its vertices
    quads           int32, four for each face
    loop_vertices   int32, the indices of the vertices of all faces, face after face; for faces of any size
    face_sizes      int32, the number of vertices of each face; needed with loop_vertices
    edges           int32, two for each edge: the indices of its vertices; Blender adds the other edges of the faces
    uvs             float32, two for each corner of a face, in the order of the faces: the active UV map
    attributes      a map from names to maps of domain, type and values; see `layers.LAYER_TYPES` and `layers.DOMAINS`
    order           a list of the names of attributes, in Blender's order
    active          a map from uv_map, uv_map_render, color and color_render to the name of an attribute
    normals         float32, three for each corner: custom normals
    materials       a list of the names of the materials, to which the attribute material_index refers; nil for none.
                    Blender creates those that do not exist
    vertex_groups   a list of maps of name, vertices (int32), weights (float32, one for each of these) and lock_weight
    shape_keys      a list of maps of name, vertices (float32, three for each vertex), slider_min, slider_max, value,
                    mute, relative_key and vertex_group

The faces are given as triangles, as quads, or as loop_vertices and face_sizes.

No Python loop runs over vertices, except for the weights of vertex groups and the attributes of texts. A binary is
copied only if its numbers are not aligned in memory.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..scenes.objects import add_to_scene
from ..support.arguments import Options, editable, find, flag, numbers, object_named, options, scene, stored_name, text
from ..support.changes import Changes, changes
from . import topology
from .layers import (
    Layers,
    Pack,
    check_length,
    checked_layers,
    has_edge_layers,
    read_layers,
    read_numbers,
    rows,
    set_numbers,
    write_layers,
)
from .vertex_data import (
    ShapeKey,
    VertexGroup,
    checked_groups,
    checked_keys,
    moved_keys,
    read_groups,
    read_keys,
    write_groups,
    write_keys,
    write_positions_of_keys,
)

Array = NDArray[Any]

_VERTICES, _INDICES = "<f4", "<i4"
_FACES = {"triangles": 3, "quads": 4}
_VERTEX_DATA = ("vertex_groups", "shape_keys")
_PARTS = (
    *("vertices", *_FACES, "loop_vertices", "face_sizes", "edges", "uvs", "attributes", "order", "active"),
    *("normals", "materials", *_VERTEX_DATA),
)


class Geometry(NamedTuple):
    """A valid mesh: each index refers to a vertex, and each array has the right length.

    Attributes:
        edges: None if Blender finds the edges.
        normals, materials, groups, keys: None if they are not given.
        mended: the number of faces, edges and positions that were not valid.
    """

    vertices: Array
    corners: Array
    face_starts: Array
    edges: Array | None
    layers: Layers
    normals: Array | None
    materials: list[str | None] | None
    groups: list[VertexGroup] | None
    keys: list[ShapeKey] | None
    mended: int


class Clock:
    """Measures the time of each part of a call, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the time of the `with` block."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin


def upload_mesh(name: str | memoryview, mesh: Options, given: Options = None) -> dict[str, Any]:
    """Create a mesh object, or replace the geometry of the mesh object with this name.

    The object keeps its transform, and its materials, if the mesh has no part `materials`. It also keeps the weights of
    its vertex groups and its shape keys, if the mesh has no such parts and as many vertices as before. Other objects
    that share its mesh change, too.

    Args:
        name: the object.
        mesh: the mesh; see the description of this module.
        given: the options
            validate: True: drop faces and edges that are not valid, such as a face that uses a vertex twice, and let
                Blender check the rest; this takes longer than the rest of the call. Default False: refuse them.
            discard: True: if the number of vertices changes, the object loses its weights and its shape keys; it also
                loses what a mesh cannot contain. Default False: refuse the mesh.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `corners`; `mended`, true if `validate` has
        changed the mesh; `seconds`, a map of the times of `parse`, `foreach_set`, `update` and `validate`.
    """
    chosen = options(given, ("validate", "discard"))
    validate, discard = flag(chosen.get("validate", False), "validate"), flag(chosen.get("discard", False), "discard")
    stored = stored_name(name)
    clock = Clock()
    with clock.part("parse"):
        geometry = _checked(mesh, validate)
        target = find(bpy.data.objects, stored)
        kept = geometry if target is None else _with_kept_data(target, geometry, discard)
    with changes() as change:
        filled = change.new(bpy.data.meshes, stored) if target is None else own_mesh(target)
        mended = _fill(filled, kept, validate, clock)
        if target is None:
            target = change.new(bpy.data.objects, stored, filled)
            add_to_scene(target)
        _fill_object(target, kept, change)
    return {
        "name": target.name,
        "vertices": len(filled.vertices),
        "faces": len(filled.polygons),
        "corners": len(filled.loops),
        "mended": mended,
        "seconds": clock.seconds,
    }


def move_vertices(name: str | memoryview, vertices: Any) -> int:
    """Set the positions of all vertices of a mesh. Return the number of vertices.

    Faces, UV maps, attributes and weights do not change, and shape keys keep their distance from the basis, so this
    takes a small part of the time of `upload_mesh`. Use it if another program moves the vertices many times in a
    second, for example to simulate cloth or water. The user cannot undo it.

    Args:
        name: the object.
        vertices: float32, three for each vertex, in the order of the vertices in the mesh; a binary or a list.
    """
    mesh = own_mesh(object_named(name))
    values = _positions(vertices)
    check_length("vertices", values, 3, len(mesh.vertices), "point")
    keys = moved_keys(mesh, values)
    _set(mesh, "position", values)
    write_positions_of_keys(mesh, keys)
    mesh.update()
    return len(mesh.vertices)


def download_mesh(name: str, given: Options = None) -> dict[str, Any]:
    """Return the mesh of an object, as a map in the form for `upload_mesh`.

    The faces are `triangles` or `quads` if all faces have this size, otherwise `loop_vertices` and `face_sizes`. The
    parts after `attributes` are left out if they are empty, or what `upload_mesh` does without them. So are the edges,
    if all of them belong to faces and no attribute has a value for each edge.

    Args:
        name: the object.
        given: the options
            evaluated: True: apply the modifiers and shape keys; this also converts curves and texts to meshes. The
                result has no vertex groups. Default False.
            attributes: the names of the attributes to return, without vertex groups and shape keys; default all
                attributes that `upload_mesh` can set.
            lists: True: return lists of numbers instead of binaries. Default False.
    """
    chosen = options(given, ("evaluated", "attributes", "lists"))
    found = object_named(name)
    evaluated, lists = flag(chosen.get("evaluated", False), "evaluated"), flag(chosen.get("lists", False), "lists")
    names = _names(chosen.get("attributes"))
    pack: Pack = (lambda array: array) if lists else np.ndarray.tobytes
    with _mesh_of(found, evaluated) as mesh:
        parts = _faces(mesh, pack) | _edges(mesh, names, pack) | read_layers(mesh, names, pack)
        if names is None:
            parts |= _without_empty(_surface(mesh, pack))
        if names is None and not evaluated:
            parts |= _without_empty({"vertex_groups": read_groups(found, pack), "shape_keys": read_keys(mesh, pack)})
        return parts


# Check the arguments


def _names(given: Any) -> set[str] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple):
        raise ValueError(f"attributes has to be a list of names, not {type(given).__name__}")
    return {text(name) for name in given}


def _checked(mesh: Options, validate: bool) -> Geometry:
    parts = options(mesh, _PARTS, "part of a mesh")
    if "vertices" not in parts:
        raise ValueError("a mesh needs vertices")
    vertices, mended = _mended_positions(parts["vertices"]) if validate else (_positions(parts["vertices"]), 0)
    count = len(vertices) // 3
    corners, face_starts = _checked_faces(parts)
    edges = rows(parts["edges"], _INDICES, 2, "edges") if "edges" in parts else None
    sizes = {"point": count, "corner": len(corners), "face": len(face_starts)}
    if edges is not None:
        _check_indices("an edge", edges, count)
        sizes["edge"] = len(edges) // 2
    _check_indices("a face", corners, count)
    geometry = Geometry(
        *(vertices, corners, face_starts, edges),
        layers=checked_layers(parts, sizes),
        normals=_checked_normals(parts["normals"], len(corners)) if "normals" in parts else None,
        materials=_checked_materials(parts["materials"]) if "materials" in parts else None,
        groups=checked_groups(parts["vertex_groups"], count) if "vertex_groups" in parts else None,
        keys=checked_keys(parts["shape_keys"], count) if "shape_keys" in parts else None,
        mended=mended,
    )
    return _without_faults(geometry, validate)


def _positions(value: Any) -> Array:
    vertices = rows(value, _VERTICES, 3, "vertices")
    if not np.isfinite(vertices).all():
        wrong = int(np.flatnonzero(~np.isfinite(vertices))[0]) // 3
        raise ValueError(f"the position of vertex {wrong} is infinite or nan")
    return vertices


def _mended_positions(value: Any) -> tuple[Array, int]:
    """Return the positions with 0 in place of infinite numbers and nan, and the number of those."""
    vertices = rows(value, _VERTICES, 3, "vertices")
    wrong = int(np.count_nonzero(~np.isfinite(vertices)))
    return (np.nan_to_num(vertices, nan=0.0, posinf=0.0, neginf=0.0) if wrong else vertices), wrong


def _checked_faces(parts: dict[str, Any]) -> tuple[Array, Array]:
    """Return the corners of all faces, and the index of the first corner of each face."""
    ways = [way for way in (*_FACES, "loop_vertices") if way in parts]
    if len(ways) > 1:
        raise ValueError(f"give the faces in one form only, not as {' and '.join(ways)}")
    if ("face_sizes" in parts) != ("loop_vertices" in parts):
        raise ValueError("loop_vertices and face_sizes must be given together")
    if not ways:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    if ways[0] == "loop_vertices":
        corners = numbers(parts["loop_vertices"], _INDICES, "loop_vertices")
        return corners, _starts(numbers(parts["face_sizes"], _INDICES, "face_sizes"), len(corners))
    width = _FACES[ways[0]]
    corners = rows(parts[ways[0]], _INDICES, width, ways[0])
    return corners, np.arange(0, len(corners), width, dtype=np.int32)


def _starts(sizes: Array, corners: int) -> Array:
    if len(sizes) and sizes.min() < 3:
        raise ValueError(f"a face has at least three vertices, but face_sizes contains {sizes.min()}")
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total != corners:
        raise ValueError(f"face_sizes adds up to {total}, but loop_vertices has {corners} numbers")
    return (ends - sizes).astype(np.int32)


def _check_indices(what: str, indices: Array, vertices: int) -> None:
    if not len(indices):
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= vertices:
        wrong = low if low < 0 else high
        raise ValueError(f"{what} uses vertex {wrong}, but there are {vertices} vertices, numbered from 0")


def _checked_normals(value: Any, corners: int) -> Array:
    normals = rows(value, _VERTICES, 3, "normals")
    check_length("normals", normals, 3, corners, "corner")
    if not np.isfinite(normals).all():
        raise ValueError("normals contains a number that is infinite or nan")
    return normals


def _checked_materials(value: Any) -> list[str | None]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"materials has to be a list of names, not {type(value).__name__}")
    return [None if name is None else stored_name(name) for name in value]


def _without_faults(geometry: Geometry, validate: bool) -> Geometry:
    """Return the mesh without the faces and edges that are not valid, or refuse it."""
    faces = topology.faulty_faces(geometry.corners, geometry.face_starts)
    edges = topology.faulty_edges(np.empty(0, np.int32) if geometry.edges is None else geometry.edges)
    if not validate:
        _refuse("face", faces)
        _refuse("edge", edges)
    return _without_edges(_without_faces(geometry, faces.all()), edges.all())


def _refuse(what: str, faults: topology.Faults) -> None:
    for faulty, reason in (
        (faults.repeating, "uses a vertex more than once"),
        (faults.duplicates, f"has the same vertices as an earlier {what}"),
    ):
        if len(faulty):
            others = f", and so do {len(faulty) - 1} others" if len(faulty) > 1 else ""
            raise ValueError(
                f"{what} {faulty[0]} {reason}{others}: Blender would stop working later; "
                f"correct the mesh, or set the option validate, which drops such {what}s"
            )


def _without_faces(geometry: Geometry, dropped: Array) -> Geometry:
    if not len(dropped):
        return geometry
    corners, face_starts, kept, kept_corners = topology.without_faces(geometry.corners, geometry.face_starts, dropped)
    layers = geometry.layers.only("face", kept).only("corner", kept_corners)
    normals = None if geometry.normals is None else geometry.normals[np.repeat(kept_corners, 3)]
    return geometry._replace(
        corners=corners,
        face_starts=face_starts,
        layers=layers,
        normals=normals,
        mended=geometry.mended + len(dropped),
    )


def _without_edges(geometry: Geometry, dropped: Array) -> Geometry:
    if geometry.edges is None or not len(dropped):
        return geometry
    kept = np.ones(len(geometry.edges) // 2, np.bool_)
    kept[dropped] = False
    return geometry._replace(
        edges=geometry.edges[np.repeat(kept, 2)],
        layers=geometry.layers.only("edge", kept),
        mended=geometry.mended + len(dropped),
    )


def _with_kept_data(target: bpy.types.Object, geometry: Geometry, discard: bool) -> Geometry:
    """Return the mesh together with the weights and shape keys that the object keeps, or refuse it."""
    mesh = own_mesh(target)
    same = len(geometry.vertices) == 3 * len(mesh.vertices)
    losses = _losses(target, mesh, geometry, same)
    if losses and not discard:
        counts = f"it has {len(mesh.vertices)} vertices, and the new mesh {len(geometry.vertices) // 3}"
        raise ValueError(
            f"the object {target.name!r} would lose its {' and its '.join(losses)} ({counts}): "
            "remove them first, or set the option discard"
        )
    if geometry.groups is None:
        groups = (
            read_groups(target, np.ndarray.tobytes) if same else [{"name": each.name} for each in target.vertex_groups]
        )
        geometry = geometry._replace(groups=checked_groups(groups, len(mesh.vertices)))
    if geometry.keys is None and same:
        geometry = geometry._replace(keys=moved_keys(mesh, geometry.vertices))
    return geometry


def _losses(target: bpy.types.Object, mesh: bpy.types.Mesh, geometry: Geometry, same: bool) -> list[str]:
    """Return what the object would lose, as words for the error message."""
    losses = []
    if geometry.groups is None and not same and len(target.vertex_groups):
        losses.append("vertex weights")
    if geometry.keys is None and not same and mesh.shape_keys is not None:
        losses.append("shape keys")
    if any(isinstance(each, bpy.types.MultiresModifier) and each.total_levels for each in target.modifiers):
        losses.append("details of the Multiresolution modifier")
    if len(mesh.skin_vertices):
        losses.append("radii of the Skin modifier")
    return losses


def mesh_objects(name: Any) -> list[bpy.types.Object]:
    """Return the object with this name; for nil, all mesh objects of the scene.

    Raises:
        ValueError: `name` is neither text nor nil, or the scene has no mesh objects.
        LookupError: there is no object with this name.
    """
    if name is not None:
        return [object_named(name)]
    found = [each for each in scene().objects if each.type == "MESH"]
    if not found:
        raise ValueError("the scene has no mesh objects")
    return found


def own_mesh(target: bpy.types.Object) -> bpy.types.Mesh:
    """Return the mesh of an object, if its geometry can be replaced."""
    mesh = target.data
    if not isinstance(mesh, bpy.types.Mesh):
        raise ValueError(f"the object {target.name!r} is a {target.type}, and its geometry cannot be replaced")
    editable(mesh)
    for user in in_a_mode(target):
        raise ValueError(f"the object {user.name!r} is in {mode_of(user)}: switch to Object Mode first")
    return mesh


def in_a_mode(found: bpy.types.Object) -> list[bpy.types.Object]:
    """Return the objects with the same data that are not in Object Mode. Each other mode keeps changes of its own."""
    shared = found.data is not None and found.data.users > 1
    users = [each for each in bpy.data.objects if each.data == found.data] if shared else [found]
    return [user for user in users if user.mode != "OBJECT"]


def mode_of(found: bpy.types.Object) -> str:
    """Return the mode of an object by the name that the user sees."""
    modes: Any = bpy.types.Object.bl_rna.properties["mode"]
    return str(modes.enum_items[found.mode].name)


# Write to Blender


def _fill(mesh: bpy.types.Mesh, geometry: Geometry, validate: bool, clock: Clock) -> bool:
    """Replace the geometry of a mesh. Return True if `validate` has changed it."""
    with clock.part("foreach_set"):
        mesh.clear_geometry()
        mesh.vertices.add(len(geometry.vertices) // 3)
        mesh.loops.add(len(geometry.corners))
        mesh.polygons.add(len(geometry.face_starts))
        # vertices.foreach_set("co") and loops.foreach_set("vertex_index") would set the numbers one by one. For
        # attributes, Blender copies all numbers as one block.
        _set(mesh, "position", geometry.vertices)
        _set(mesh, ".corner_vert", geometry.corners)
        # Blender needs no face sizes: a face ends where the next face starts.
        mesh.polygons.foreach_set("loop_start", geometry.face_starts)
        if geometry.edges is not None:
            _fill_edges(mesh, geometry, geometry.edges)
        write_layers(mesh, geometry.layers)
    with clock.part("update"):
        mesh.update(calc_edges=geometry.edges is None)
        if geometry.normals is not None:
            _fill_normals(mesh, geometry.normals)
    with clock.part("validate"):
        return bool(validate and mesh.validate()) or bool(geometry.mended)


def _fill_edges(mesh: bpy.types.Mesh, geometry: Geometry, edges: Array) -> None:
    all_edges, edges_of_corners = topology.numbered_edges(edges, geometry.corners, geometry.face_starts)
    mesh.edges.add(len(all_edges) // 2)
    _set(mesh, ".edge_verts", all_edges)
    _set(mesh, ".corner_edge", edges_of_corners)


def _fill_normals(mesh: bpy.types.Mesh, normals: Array) -> None:
    had_sharp_edges = "sharp_edge" in mesh.attributes
    mesh.normals_split_custom_set(normals.reshape(-1, 3))
    made: Any = mesh.attributes.get("sharp_edge")
    # Blender adds the attribute also if it marks no edge.
    if made is not None and not had_sharp_edges and not read_numbers(made).any():
        mesh.attributes.remove(made)


def _fill_materials(slots: Any, names: list[str | None], change: Changes) -> None:
    for place, name in enumerate(names):
        material = None if name is None else _material(name, change)
        if place < len(slots):
            slots[place] = material
        else:
            slots.append(material)
    while len(slots) > len(names):
        slots.pop()


def _material(name: str, change: Changes) -> bpy.types.Material:
    found: bpy.types.Material | None = find(bpy.data.materials, name)
    return change.new(bpy.data.materials, name) if found is None else found


def _fill_object(target: bpy.types.Object, geometry: Geometry, change: Changes) -> None:
    """Set the materials, the vertex groups and the shape keys."""
    mesh: Any = target.data
    if geometry.materials is not None:
        _fill_materials(mesh.materials, geometry.materials, change)
    if geometry.groups is not None:
        write_groups(target, geometry.groups)
    if geometry.keys:
        write_keys(target, geometry.keys)
    elif mesh.shape_keys is not None:
        target.shape_key_clear()
    if geometry.groups or geometry.keys:
        mesh.update()


def _set(mesh: bpy.types.Mesh, attribute: str, values: Array) -> None:
    if len(values):  # A mesh without faces has no attributes for corners.
        set_numbers(mesh.attributes[attribute], values)


# Read from Blender


@contextmanager
def _mesh_of(found: bpy.types.Object, evaluated: bool) -> Iterator[bpy.types.Mesh]:
    if in_a_mode(found):
        bpy.ops.ed.flush_edits()  # Edit Mode and Sculpt Mode keep their changes outside the mesh.
    if evaluated:
        result = found.evaluated_get(bpy.context.evaluated_depsgraph_get())
        try:
            yield _converted(result)
        finally:
            result.to_mesh_clear()
        return
    mesh = found.data
    if not isinstance(mesh, bpy.types.Mesh):
        raise ValueError(
            f"the object {found.name!r} is a {found.type}: set the option evaluated, which can convert it to a mesh"
        )
    if not mesh.is_editmode:
        yield mesh
        return
    copy = mesh.copy()  # In Edit Mode, the attributes of the mesh itself have no values.
    try:
        yield copy
    finally:
        bpy.data.meshes.remove(copy)


def _converted(result: bpy.types.Object) -> bpy.types.Mesh:
    try:
        return result.to_mesh()
    except RuntimeError:
        raise ValueError(f"the object {result.name!r} is a {result.type}, which has no mesh") from None


def _faces(mesh: bpy.types.Mesh, pack: Pack) -> dict[str, Any]:
    """Return the vertices and faces of a mesh."""
    found = {"vertices": pack(_get(mesh, "position", 3 * len(mesh.vertices), _VERTICES))}
    corners = _get(mesh, ".corner_vert", len(mesh.loops))
    starts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    sizes = topology.face_sizes(starts, len(corners))
    for way, width in _FACES.items():
        if len(sizes) and (sizes == width).all():
            return found | {way: pack(corners)}
    return found | {"loop_vertices": pack(corners), "face_sizes": pack(sizes)}


def _edges(mesh: bpy.types.Mesh, names: set[str] | None, pack: Pack) -> dict[str, Any]:
    """Return the edges, if the faces alone do not determine them and their order."""
    belongs_to_face = np.zeros(len(mesh.edges), np.bool_)
    belongs_to_face[_get(mesh, ".corner_edge", len(mesh.loops))] = True
    if belongs_to_face.all() and not has_edge_layers(mesh, names):
        return {}
    return {"edges": pack(_get(mesh, ".edge_verts", 2 * len(mesh.edges)))}


def _surface(mesh: bpy.types.Mesh, pack: Pack) -> dict[str, Any]:
    """Return the names of the materials, and the custom normals, if they are not an attribute."""
    surface: dict[str, Any] = {"materials": [None if each is None else each.name for each in mesh.materials]}
    if mesh.has_custom_normals and "custom_normal" not in mesh.attributes:  # Blender before 4.5
        normals = np.empty(3 * len(mesh.loops), np.float32)
        mesh.corner_normals.foreach_get("vector", normals)
        surface["normals"] = pack(normals)
    return surface


def _without_empty(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if len(part)}


def _get(mesh: bpy.types.Mesh, attribute: str, count: int, number: str = _INDICES) -> Array:
    return read_numbers(mesh.attributes[attribute]) if count else np.empty(0, number)
