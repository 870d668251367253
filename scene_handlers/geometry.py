"""Handlers for large meshes. They take and return vertices and faces as binaries, and pass them to Blender as arrays.

A mesh is a map with these keys. The values, except `attributes`, are binaries of little-endian numbers, or lists:

    vertices        float32, three for each vertex: its position in metres
    triangles       int32, three for each face: the indices of its vertices
    quads           int32, four for each face
    loop_vertices   int32, the indices of the vertices of all faces, face after face; for faces of any size
    face_sizes      int32, the number of vertices of each face; needed with loop_vertices
    uvs             float32, two for each corner of a face, in the order of the faces (optional)
    attributes      a map from names to maps of domain, type and values (optional); see `LAYER_TYPES` and `DOMAINS`

The faces are given as triangles, as quads, or as loop_vertices and face_sizes.

No Python loop runs over vertices. A binary is copied only if its numbers are not aligned in memory.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from .arguments import Options, choice, named, numbers, object_named, options, text
from .objects import add_to_scene

Array = NDArray[Any]


class LayerType(NamedTuple):
    """How Blender stores an attribute.

    Attributes:
        number: numpy's name for the type of its numbers, such as "<f4".
        width: the number of numbers in one value.
        property: the name of the property for `foreach_set`.
    """

    number: str
    width: int
    property: str


LAYER_TYPES = {
    "float": LayerType("<f4", 1, "value"),
    "int": LayerType("<i4", 1, "value"),
    "int8": LayerType("<i1", 1, "value"),
    "boolean": LayerType("?", 1, "value"),
    "float2": LayerType("<f4", 2, "vector"),
    "float_vector": LayerType("<f4", 3, "vector"),
    "float_color": LayerType("<f4", 4, "color"),
    "byte_color": LayerType("<f4", 4, "color"),
    "int32_2d": LayerType("<i4", 2, "value"),
    "quaternion": LayerType("<f4", 4, "value"),
    "float4x4": LayerType("<f4", 16, "value"),
}
"""The types of attributes, by Blender's names in lower case. A byte_color is also passed as four linear float32."""

DOMAINS = ("point", "corner", "face")
"""The domains of attributes. Edges are not supported, because Blender creates them and chooses their order."""

_VERTICES, _INDICES = "<f4", "<i4"
_UV_MAP = "UVMap"
_FACES = {"triangles": 3, "quads": 4}
_PARTS = ("vertices", *_FACES, "loop_vertices", "face_sizes", "uvs", "attributes")


class Layer(NamedTuple):
    """A valid attribute."""

    name: str
    type: str
    domain: str
    values: Array


class Geometry(NamedTuple):
    """A valid mesh: each index refers to a vertex, and each array has the right length."""

    vertices: Array
    corners: Array
    face_starts: Array
    layers: list[Layer]


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

    The object keeps its materials and its transform. Other objects that share its mesh change, too.

    Args:
        name: the object.
        mesh: the mesh; see the description of this module.
        given: the option `validate`: True: Blender repairs an invalid mesh, such as one with a face that uses a vertex
            twice. This takes longer than the rest of the call. Default False: an invalid mesh can crash Blender.

    Returns:
        A map: `name` of the object; the numbers of `vertices`, `faces` and `corners`; `mended`, true if `validate` has
        changed the mesh; `seconds`, a map of the times of `parse`, `foreach_set`, `update` and `validate`.
    """
    validate = bool(options(given, ("validate",)).get("validate", False))
    clock = Clock()
    with clock.part("parse"):
        geometry = _checked(mesh)
    target = bpy.data.objects.get(text(name))
    filled = bpy.data.meshes.new(text(name)) if target is None else _emptied(target)
    mended = _fill(filled, geometry, validate, clock)
    if target is None:
        target = bpy.data.objects.new(text(name), filled)
        add_to_scene(target)
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

    Faces, UV maps and attributes do not change, so this takes a small part of the time of `upload_mesh`. Use it if
    another program moves the vertices many times in a second, for example to simulate cloth or water. The user cannot
    undo it.

    Args:
        name: the object.
        vertices: float32, three for each vertex, in the order of the vertices in the mesh; a binary or a list.
    """
    mesh = _own_mesh(object_named(text(name)))
    values = _rows(vertices, _VERTICES, 3, "vertices")
    _check_length("vertices", values, 3, len(mesh.vertices), "point")
    _set(mesh, "position", "vector", values)
    mesh.update()
    return len(mesh.vertices)


def download_mesh(name: str, given: Options = None) -> dict[str, Any]:
    """Return the mesh of an object, as a map in the form for `upload_mesh`.

    The faces are `triangles` or `quads` if all faces have this size, otherwise `loop_vertices` and `face_sizes`.

    Args:
        name: the object.
        given: the options
            evaluated: True: apply the modifiers; this also converts curves and texts to meshes. Default False.
            attributes: the names of the attributes to return; default all attributes that `upload_mesh` can set.
            lists: True: return lists of numbers instead of binaries. Default False.
    """
    chosen = options(given, ("evaluated", "attributes", "lists"))
    found = object_named(name)
    wanted = chosen.get("attributes")
    names = None if wanted is None else {str(each) for each in wanted}
    pack: Callable[[Array], Any] = (lambda array: array) if chosen.get("lists", False) else np.ndarray.tobytes
    with _mesh_of(found, bool(chosen.get("evaluated", False))) as mesh:
        return _faces(mesh, pack) | _layers(mesh, names, pack)


# Check the arguments


def _checked(mesh: Options) -> Geometry:
    parts = options(mesh, _PARTS, "part of a mesh")
    if "vertices" not in parts:
        raise ValueError("a mesh needs vertices")
    vertices = _rows(parts["vertices"], _VERTICES, 3, "vertices")
    corners, face_starts = _checked_faces(parts)
    _check_indices(corners, len(vertices) // 3)
    sizes = {"point": len(vertices) // 3, "corner": len(corners), "face": len(face_starts)}
    layers = [_checked_layer(name, layer, sizes) for name, layer in named(parts.get("attributes")).items()]
    if "uvs" in parts:
        layers.insert(0, _uv_layer(parts["uvs"], sizes["corner"]))
    _check_layers(layers)
    return Geometry(vertices, corners, face_starts, layers)


def _rows(value: Any, number: str, width: int, what: str) -> Array:
    """Return an array of numbers, of which `width` belong to one value."""
    array = numbers(value, number, what)
    if len(array) % width:
        raise ValueError(f"{what} has {len(array)} numbers, which is not a multiple of {width}")
    return array


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
    corners = _rows(parts[ways[0]], _INDICES, width, ways[0])
    return corners, np.arange(0, len(corners), width, dtype=np.int32)


def _starts(sizes: Array, corners: int) -> Array:
    if len(sizes) and sizes.min() < 3:
        raise ValueError(f"a face has at least three vertices, but face_sizes contains {sizes.min()}")
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total != corners:
        raise ValueError(f"face_sizes adds up to {total}, but loop_vertices has {corners} numbers")
    return (ends - sizes).astype(np.int32)


def _check_indices(corners: Array, vertices: int) -> None:
    if not len(corners):
        return
    low, high = int(corners.min()), int(corners.max())
    if low < 0 or high >= vertices:
        wrong = low if low < 0 else high
        raise ValueError(f"a face uses vertex {wrong}, but there are {vertices} vertices, numbered from 0")


def _uv_layer(value: Any, corners: int) -> Layer:
    values = _rows(value, "<f4", 2, "uvs")
    _check_length("uvs", values, 2, corners, "corner")
    return Layer(_UV_MAP, "float2", "corner", values)


def _checked_layer(name: str, given: Options, sizes: dict[str, int]) -> Layer:
    what = f"the attribute {name!r}"
    if name == "position" or name.startswith("."):
        raise ValueError(f"{what} belongs to Blender: pass vertices and faces instead")
    chosen = options(given, ("domain", "type", "values"), f"part of {what}")
    missing = [part for part in ("domain", "type", "values") if part not in chosen]
    if missing:
        raise ValueError(f"{what} needs {missing[0]}")
    type_name, domain = text(chosen["type"]), text(chosen["domain"])
    layer_type: LayerType = choice(type_name, LAYER_TYPES, "type of attribute")
    size: int = choice(domain, sizes, "domain of attributes")
    values = _rows(chosen["values"], layer_type.number, layer_type.width, what)
    _check_length(what, values, layer_type.width, size, domain)
    return Layer(name, type_name, domain, values)


def _check_length(what: str, values: Array, width: int, size: int, domain: str) -> None:
    if len(values) != size * width:
        raise ValueError(f"{what} has {len(values)} numbers, but needs {width} for each of {size} {domain}s")


def _check_layers(layers: list[Layer]) -> None:
    """Check in a temporary mesh that Blender accepts the attributes.

    Blender does not accept two attributes with the same name, and some names need a certain type.
    """
    scratch = bpy.data.meshes.new("attributes")
    try:
        for layer in layers:
            made = _add_layer(scratch, layer)
            if made is None or made.name != layer.name:
                raise ValueError(
                    f"Blender accepts no attribute {layer.name!r} of the type {layer.type} for each {layer.domain}"
                )
    finally:
        bpy.data.meshes.remove(scratch)


# Write to Blender


def _add_layer(mesh: bpy.types.Mesh, layer: Layer) -> Any:
    return mesh.attributes.new(layer.name, layer.type.upper(), layer.domain.upper())  # type: ignore[arg-type]


def _emptied(target: bpy.types.Object) -> bpy.types.Mesh:
    mesh = _own_mesh(target)
    mesh.clear_geometry()
    return mesh


def _own_mesh(target: bpy.types.Object) -> bpy.types.Mesh:
    """Return the mesh of an object, if its geometry can be replaced."""
    mesh = target.data
    if not isinstance(mesh, bpy.types.Mesh):
        raise ValueError(f"the object {target.name!r} is a {target.type}, and its geometry cannot be replaced")
    if mesh.is_editmode:
        raise ValueError(f"the object {target.name!r} is in edit mode: leave edit mode first")
    if mesh.shape_keys is not None:
        raise ValueError(f"the object {target.name!r} has shape keys, which do not fit new geometry: remove them first")
    return mesh


def _fill(mesh: bpy.types.Mesh, geometry: Geometry, validate: bool, clock: Clock) -> bool:
    """Write the geometry to an empty mesh. Return True if `validate` has changed it."""
    with clock.part("foreach_set"):
        mesh.vertices.add(len(geometry.vertices) // 3)
        mesh.loops.add(len(geometry.corners))
        mesh.polygons.add(len(geometry.face_starts))
        # vertices.foreach_set("co") and loops.foreach_set("vertex_index") would set the numbers one by one. For
        # attributes, Blender copies all numbers as one block.
        _set(mesh, "position", "vector", geometry.vertices)
        _set(mesh, ".corner_vert", "value", geometry.corners)
        # Blender needs no face sizes: a face ends where the next face starts.
        mesh.polygons.foreach_set("loop_start", geometry.face_starts)
        for layer in geometry.layers:
            _add_layer(mesh, layer).data.foreach_set(LAYER_TYPES[layer.type].property, layer.values)
    with clock.part("update"):
        mesh.update(calc_edges=True)
    with clock.part("validate"):
        return bool(validate and mesh.validate())


def _set(mesh: bpy.types.Mesh, attribute: str, property_name: str, values: Array) -> None:
    if len(values):  # A mesh without faces has no attributes for corners.
        layer: Any = mesh.attributes[attribute]
        layer.data.foreach_set(property_name, values)


# Read from Blender


@contextmanager
def _mesh_of(found: bpy.types.Object, evaluated: bool) -> Iterator[bpy.types.Mesh]:
    if evaluated:
        result = found.evaluated_get(bpy.context.evaluated_depsgraph_get())
        try:
            yield _converted(result)
        finally:
            result.to_mesh_clear()
        return
    if not isinstance(found.data, bpy.types.Mesh):
        raise ValueError(
            f"the object {found.name!r} is a {found.type}: set the option evaluated, which can convert it to a mesh"
        )
    found.update_from_editmode()
    yield found.data


def _converted(result: bpy.types.Object) -> bpy.types.Mesh:
    try:
        return result.to_mesh()
    except RuntimeError:
        raise ValueError(f"the object {result.name!r} is a {result.type}, which has no mesh") from None


def _faces(mesh: bpy.types.Mesh, pack: Callable[[Array], Any]) -> dict[str, Any]:
    """Return the vertices and faces of a mesh."""
    found = {"vertices": pack(_get(mesh, "position", "vector", "<f4", 3 * len(mesh.vertices)))}
    corners = _get(mesh, ".corner_vert", "value", "<i4", len(mesh.loops))
    starts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    sizes = np.diff(starts, append=np.int32(len(corners)))
    for way, width in _FACES.items():
        if len(sizes) and (sizes == width).all():
            return found | {way: pack(corners)}
    return found | {"loop_vertices": pack(corners), "face_sizes": pack(sizes)}


def _layers(mesh: bpy.types.Mesh, names: set[str] | None, pack: Callable[[Array], Any]) -> dict[str, Any]:
    """Return the active UV map and the other attributes."""
    active = mesh.uv_layers.active
    found: dict[str, Any] = {}
    if active is not None:
        found["uvs"] = pack(_get(mesh, active.name, "vector", "<f4", 2 * len(mesh.loops)))
    sizes = {"point": len(mesh.vertices), "corner": len(mesh.loops), "face": len(mesh.polygons)}
    attributes: dict[str, Any] = {}
    layers: Any = mesh.attributes
    for layer in layers:
        type_name, domain = layer.data_type.lower(), layer.domain.lower()
        internal = layer.is_internal or layer.is_required or (active is not None and layer.name == active.name)
        if internal or type_name not in LAYER_TYPES or domain not in sizes:
            continue
        if names is None or layer.name in names:
            kept = LAYER_TYPES[type_name]
            values = _get(mesh, layer.name, kept.property, kept.number, kept.width * sizes[domain])
            attributes[layer.name] = {"domain": domain, "type": type_name, "values": pack(values)}
    _check_found(names, attributes)
    return found | {"attributes": attributes}


def _check_found(names: set[str] | None, attributes: dict[str, Any]) -> None:
    missing = sorted((names or set()) - set(attributes))
    if missing:
        there = ", ".join(sorted(attributes)) or "none"
        raise LookupError(
            f"the mesh has no attribute {missing[0]!r} to download; of the requested ones it has: {there}"
        )


def _get(mesh: bpy.types.Mesh, attribute: str, property_name: str, number: str, count: int) -> Array:
    values = np.empty(count, number)
    if count:
        layer: Any = mesh.attributes[attribute]
        layer.data.foreach_get(property_name, values)
    return values
