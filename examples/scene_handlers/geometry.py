"""Meshes by the megabyte: vertices and faces arrive and leave as binaries, and numpy hands them to Blender whole.

A mesh is a map. Each of its values is a binary of little-endian numbers, or a list of numbers:

    vertices        float32, three for each vertex
    triangles       int32, three vertices for each face; or
    quads           int32, four for each; or, for faces of any size,
    loop_vertices   int32, the vertices of one face after the other, and
    face_sizes      int32, how many of them belong to each face
    uvs             float32, two for each corner of a face, in the order of loop_vertices (optional)
    attributes      a map from names to maps of domain, type and values (optional); see `LAYER_TYPES` and `DOMAINS`

No Python loop runs over vertices, and nothing is copied but what the network left at an odd address.
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
    """How Blender keeps an attribute: the numbers' type, how many make a value, and what foreach_set calls it."""

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
"""The types of attributes, by Blender's names in lower case. A byte_color, too, is passed as four linear float32."""

DOMAINS = ("point", "corner", "face")
"""What an attribute has a value for. Not edges: Blender makes them of the faces, in an order of its own."""

_VERTICES, _INDICES = "<f4", "<i4"
_UV_MAP = "UVMap"
_FACES = {"triangles": 3, "quads": 4}
_PARTS = ("vertices", *_FACES, "loop_vertices", "face_sizes", "uvs", "attributes")


class Layer(NamedTuple):
    """An attribute, checked."""

    name: str
    type: str
    domain: str
    values: Array


class Geometry(NamedTuple):
    """A mesh, checked: every index has its vertex and every array the length that it must have."""

    vertices: Array
    corners: Array
    face_starts: Array
    layers: list[Layer]


class Clock:
    """The seconds that each part of a call has taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs inside."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin


def upload_mesh(name: str | memoryview, mesh: Options, given: Options = None) -> dict[str, Any]:
    """Make a mesh object of that name, or replace the geometry of the one that there is.

    Its materials and its place stay; other objects that share its mesh change with it.

    Args:
        name: the object.
        mesh: the map that this module describes.
        given: validate, default False: let Blender mend what is not a proper mesh, as a face that names a vertex
            twice. Such a mesh, not mended, can crash Blender; validating takes longer than all the rest.

    Returns:
        The object's name; how many vertices, faces and corners it has; whether validating changed anything; and the
        seconds that went into `parse`, `foreach_set`, `update` and `validate`.
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
    """Put the vertices of a mesh elsewhere, in the order in which it has them; returns how many they are.

    Faces, UV maps and attributes stay, so it takes a small part of the time of `upload_mesh`: for cloth, water, or
    whatever else another program moves many times a second. It makes no step to undo.

    Args:
        name: the object.
        vertices: float32, three for each vertex, as for `upload_mesh`.
    """
    mesh = _own_mesh(object_named(text(name)))
    values = _rows(vertices, _VERTICES, 3, "vertices")
    _check_length("vertices", values, 3, len(mesh.vertices), "point")
    _set(mesh, "position", "vector", values)
    mesh.update()
    return len(mesh.vertices)


def download_mesh(name: str, given: Options = None) -> dict[str, Any]:
    """An object's mesh, as the map that `upload_mesh` takes.

    The faces are triangles or quads if all of them are, else loop_vertices and face_sizes.

    Args:
        name: the object.
        given: evaluated, default False: with its modifiers applied, which also makes meshes of curves and texts;
            attributes, the names of those wanted, default all that `upload_mesh` could set; lists, default False:
            lists of numbers instead of binaries.
    """
    chosen = options(given, ("evaluated", "attributes", "lists"))
    found = object_named(name)
    wanted = chosen.get("attributes")
    names = None if wanted is None else {str(each) for each in wanted}
    pack: Callable[[Array], Any] = (lambda array: array) if chosen.get("lists", False) else np.ndarray.tobytes
    with _mesh_of(found, bool(chosen.get("evaluated", False))) as mesh:
        return _faces(mesh, pack) | _layers(mesh, names, pack)


# What a caller passes


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
    """Numbers of which `width` belong together."""
    array = numbers(value, number, what)
    if len(array) % width:
        raise ValueError(f"{what} has {len(array)} numbers, which do not make rows of {width}")
    return array


def _checked_faces(parts: dict[str, Any]) -> tuple[Array, Array]:
    """The faces' corners, and where in them each face begins."""
    ways = [way for way in (*_FACES, "loop_vertices") if way in parts]
    if len(ways) > 1:
        raise ValueError(f"faces are given in one way, not as {' and '.join(ways)}")
    if ("face_sizes" in parts) != ("loop_vertices" in parts):
        raise ValueError("loop_vertices and face_sizes go together")
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
        raise ValueError(f"a face has three vertices or more, and face_sizes holds {sizes.min()}")
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
        raise ValueError(f"a face names vertex {wrong}, and there are {vertices}, counted from 0")


def _uv_layer(value: Any, corners: int) -> Layer:
    values = _rows(value, "<f4", 2, "uvs")
    _check_length("uvs", values, 2, corners, "corner")
    return Layer(_UV_MAP, "float2", "corner", values)


def _checked_layer(name: str, given: Options, sizes: dict[str, int]) -> Layer:
    what = f"the attribute {name!r}"
    if name == "position" or name.startswith("."):
        raise ValueError(f"{what} is Blender's own: vertices and faces set it")
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
        raise ValueError(f"{what} has {len(values)} numbers, and {width} for each of {size} {domain}s are needed")


def _check_layers(layers: list[Layer]) -> None:
    """Let Blender say whether it takes them: some names are bound to a type, and two of one name do not fit."""
    scratch = bpy.data.meshes.new("attributes")
    try:
        for layer in layers:
            made = _add_layer(scratch, layer)
            if made is None or made.name != layer.name:
                raise ValueError(f"Blender takes no {layer.type} for each {layer.domain} by the name {layer.name!r}")
    finally:
        bpy.data.meshes.remove(scratch)


# Into Blender


def _add_layer(mesh: bpy.types.Mesh, layer: Layer) -> Any:
    return mesh.attributes.new(layer.name, layer.type.upper(), layer.domain.upper())  # type: ignore[arg-type]


def _emptied(target: bpy.types.Object) -> bpy.types.Mesh:
    mesh = _own_mesh(target)
    mesh.clear_geometry()
    return mesh


def _own_mesh(target: bpy.types.Object) -> bpy.types.Mesh:
    """The mesh of an object, if its geometry may be set."""
    mesh = target.data
    if not isinstance(mesh, bpy.types.Mesh):
        raise ValueError(f"the object {target.name!r} is a {target.type}, and its geometry cannot be replaced")
    if mesh.is_editmode:
        raise ValueError(f"the object {target.name!r} is in edit mode: leave that first")
    if mesh.shape_keys is not None:
        raise ValueError(f"the object {target.name!r} has shape keys, which would not fit another mesh")
    return mesh


def _fill(mesh: bpy.types.Mesh, geometry: Geometry, validate: bool, clock: Clock) -> bool:
    """Put the geometry into an empty mesh; returns whether validating changed it."""
    with clock.part("foreach_set"):
        mesh.vertices.add(len(geometry.vertices) // 3)
        mesh.loops.add(len(geometry.corners))
        mesh.polygons.add(len(geometry.face_starts))
        # Not vertices.foreach_set("co") and loops.foreach_set("vertex_index"): those set numbers one by one, where
        # an attribute's are copied as one block.
        _set(mesh, "position", "vector", geometry.vertices)
        _set(mesh, ".corner_vert", "value", geometry.corners)
        # Where a face ends follows from where the next one begins.
        mesh.polygons.foreach_set("loop_start", geometry.face_starts)
        for layer in geometry.layers:
            _add_layer(mesh, layer).data.foreach_set(LAYER_TYPES[layer.type].property, layer.values)
    with clock.part("update"):
        mesh.update(calc_edges=True)
    with clock.part("validate"):
        return bool(validate and mesh.validate())


def _set(mesh: bpy.types.Mesh, attribute: str, property_name: str, values: Array) -> None:
    if len(values):  # A mesh without faces has no attributes of its corners.
        layer: Any = mesh.attributes[attribute]
        layer.data.foreach_set(property_name, values)


# Out of Blender


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
        raise ValueError(f"the object {found.name!r} is a {found.type}: ask for evaluated, which may make a mesh of it")
    found.update_from_editmode()
    yield found.data


def _converted(result: bpy.types.Object) -> bpy.types.Mesh:
    try:
        return result.to_mesh()
    except RuntimeError:
        raise ValueError(f"the object {result.name!r} is a {result.type}, which has no mesh") from None


def _faces(mesh: bpy.types.Mesh, pack: Callable[[Array], Any]) -> dict[str, Any]:
    """The vertices and faces."""
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
    """The UV map that is active, and the other attributes."""
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
        raise LookupError(f"no attribute {missing[0]!r} to download; of those wanted there are: {there}")


def _get(mesh: bpy.types.Mesh, attribute: str, property_name: str, number: str, count: int) -> Array:
    values = np.empty(count, number)
    if count:
        layer: Any = mesh.attributes[attribute]
        layer.data.foreach_get(property_name, values)
    return values
