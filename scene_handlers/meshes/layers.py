"""The layers of a mesh: its attributes, UV maps and colours, and which of them are active.

In Blender a UV map is an attribute of the type float2 for each corner, and a colour is an attribute of the type
float_color or byte_color for each vertex or corner.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import Options, choice, named, numbers, options, text
from ..support.changes import changes

Array = NDArray[Any]

Pack = Callable[[Array], Any]
"""Converts an array to a part of a result: a binary or a list of numbers."""


class LayerType(NamedTuple):
    """How Blender stores an attribute.

    Attributes:
        number: numpy's name for the type of its numbers, such as "<f4"; empty for texts.
        width: the number of numbers in one value.
        property: the name of the property for `foreach_set`.
    """

    number: str
    width: int
    property: str


_KNOWN_TYPES = {
    "float": LayerType("<f4", 1, "value"),
    "int": LayerType("<i4", 1, "value"),
    "int8": LayerType("<i1", 1, "value"),
    "boolean": LayerType("?", 1, "value"),
    "float2": LayerType("<f4", 2, "vector"),
    "float_vector": LayerType("<f4", 3, "vector"),
    "float_color": LayerType("<f4", 4, "color"),
    "byte_color": LayerType("<f4", 4, "color"),
    "int16_2d": LayerType("<i2", 2, "value"),
    "int32_2d": LayerType("<i4", 2, "value"),
    "quaternion": LayerType("<f4", 4, "value"),
    "float4x4": LayerType("<f4", 16, "value"),
    "string": LayerType("", 1, "value"),
}

_BLENDERS_TYPES: Any = bpy.types.Attribute.bl_rna.properties["data_type"]

LAYER_TYPES = {
    name: layer_type for name, layer_type in _KNOWN_TYPES.items() if name.upper() in _BLENDERS_TYPES.enum_items
}
"""The types of attributes that this Blender has, by its names in lower case. A byte_color is passed as four linear
float32. The values of a string attribute are a list of binaries."""

DOMAINS = ("point", "edge", "corner", "face")
"""The domains of attributes."""

DEFAULT_UV_MAP = "UVMap"
"""The name of the UV map of the part `uvs`, if the part `active` does not name it."""

LONGEST_TEXT = 255
"""The largest size of a value of a string attribute, in bytes."""

_TOPOLOGY = ("position", ".edge_verts", ".corner_vert", ".corner_edge")
_SELECTION = (".select_vert", ".select_edge", ".select_poly", ".uv_select_vert", ".uv_select_edge", ".uv_select_face")
_UV_SELECTION = (".vs.", ".es.")
_COLORS = ("float_color", "byte_color")
_ROLES = ("uv_map", "uv_map_render", "color", "color_render")


class Layer(NamedTuple):
    """A valid attribute. The values of a string attribute are a list of bytes."""

    name: str
    type: str
    domain: str
    values: Any

    @property
    def is_uv_map(self) -> bool:
        """True if Blender uses the attribute as a UV map."""
        return self.type == "float2" and self.domain == "corner"

    @property
    def is_color(self) -> bool:
        """True if Blender uses the attribute as a colour."""
        return self.type in _COLORS and self.domain in ("point", "corner")

    def only(self, kept: Array) -> "Layer":
        """Return the layer without some of its values. `kept` is a mask of the others."""
        if self.type == "string":
            return self._replace(values=[value for value, keep in zip(self.values, kept, strict=True) if keep])
        return self._replace(values=self.values[np.repeat(kept, LAYER_TYPES[self.type].width)])


class Layers(NamedTuple):
    """The valid attributes of a mesh, in Blender's order.

    Attributes:
        attributes: the attributes, UV maps included.
        active: a map from `uv_map`, `uv_map_render`, `color` and `color_render` to the name of an attribute, or None.
    """

    attributes: list[Layer]
    active: dict[str, str | None]

    def only(self, domain: str, kept: Array) -> "Layers":
        """Return the layers without some values of a domain. `kept` is a mask of the others."""
        return self._replace(
            attributes=[each.only(kept) if each.domain == domain else each for each in self.attributes]
        )


# Check the arguments


def checked_layers(parts: dict[str, Any], sizes: dict[str, int]) -> Layers:
    """Return the parts `uvs`, `attributes`, `order` and `active` of a mesh as layers.

    Args:
        parts: the parts of the mesh.
        sizes: the number of values of each domain; without `edge`, if the mesh does not name its edges.
    """
    given = _given_roles(parts.get("active"))
    layers = [_checked_layer(name, layer, sizes) for name, layer in sorted(named(parts.get("attributes")).items())]
    if "uvs" in parts:
        uv_map = given.get("uv_map") or DEFAULT_UV_MAP
        layers.insert(0, _uv_layer(uv_map, parts["uvs"], sizes["corner"]))
        given["uv_map"] = uv_map
    layers = _ordered(layers, parts.get("order"))
    active = _all_roles(given, layers)
    _check_that_blender_accepts(layers)
    return Layers(layers, active)


def rows(value: Any, number: str, width: int, what: str) -> Array:
    """Return an array of numbers, of which `width` belong to one value."""
    array = numbers(value, number, what)
    if len(array) % width:
        raise ValueError(f"{what} has {len(array)} numbers, which is not a multiple of {width}")
    return array


def check_length(what: str, values: Any, width: int, size: int, domain: str) -> None:
    """Check that there are `width` numbers for each of `size` elements of the domain."""
    if len(values) != size * width:
        raise ValueError(f"{what} has {len(values)} numbers, but needs {width} for each of {size} {domain}s")


def _given_roles(given: Options) -> dict[str, str | None]:
    chosen = options(given, _ROLES, "active layer")
    return {role: None if name is None else text(name) for role, name in chosen.items()}


def _uv_layer(name: str, value: Any, corners: int) -> Layer:
    values = rows(value, "<f4", 2, "uvs")
    check_length("uvs", values, 2, corners, "corner")
    return Layer(name, "float2", "corner", values)


def _checked_layer(name: str, given: Options, sizes: dict[str, int]) -> Layer:
    what = f"the attribute {name!r}"
    if name in _TOPOLOGY or _is_selection(name):
        raise ValueError(f"{what} belongs to Blender: pass vertices and faces instead")
    chosen = options(given, ("domain", "type", "values"), f"part of {what}")
    missing = [part for part in ("domain", "type", "values") if part not in chosen]
    if missing:
        raise ValueError(f"{what} needs {missing[0]}")
    type_name, domain = text(chosen["type"]), text(chosen["domain"])
    layer_type: LayerType = choice(type_name, LAYER_TYPES, "type of attribute")
    choice(domain, dict.fromkeys(DOMAINS), "domain of attributes")
    if domain not in sizes:
        raise ValueError(
            f"{what} has a value for each edge: pass the part edges, too, because only then the order of edges is known"
        )
    if type_name == "string":
        values: Any = _checked_texts(chosen["values"], what)
    else:
        values = rows(chosen["values"], layer_type.number, layer_type.width, what)
    check_length(what, values, layer_type.width, sizes[domain], domain)
    return Layer(name, type_name, domain, values)


def _checked_texts(value: Any, what: str) -> list[bytes]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"the values of {what} have to be a list of binaries, not {type(value).__name__}")
    texts = [each.encode() if isinstance(each, str) else each for each in value]
    wrong = [each for each in texts if not isinstance(each, bytes | memoryview)]
    if wrong:
        raise ValueError(f"the values of {what} have to be binaries, not {type(wrong[0]).__name__}")
    found = [bytes(each) for each in texts]
    if any(len(each) > LONGEST_TEXT or 0 in each for each in found):
        raise ValueError(f"a value of {what} has more than {LONGEST_TEXT} bytes, or contains a zero")
    return found


def _ordered(layers: list[Layer], given: Any) -> list[Layer]:
    """Return the layers in the given order, followed by the others: the part `uvs`, and the attributes by name."""
    if given is None:
        given = []
    if not isinstance(given, list | tuple):
        raise ValueError(f"order has to be a list of the names of attributes, not {type(given).__name__}")
    names = [text(name) for name in given]
    unknown = [name for name in names if name not in {layer.name for layer in layers}]
    if unknown:
        raise ValueError(f"order names the attribute {unknown[0]!r}, which the mesh does not have")
    places = {name: place for place, name in enumerate(names)}
    return sorted(layers, key=lambda layer: places.get(layer.name, len(places)))


def _all_roles(given: dict[str, str | None], layers: list[Layer]) -> dict[str, str | None]:
    """Return the given roles and the default of the others: the first UV map, and the first colour by name."""
    uv_maps = [layer.name for layer in layers if layer.is_uv_map]
    colors = [layer.name for layer in layers if layer.is_color]
    uv_map, color = next(iter(uv_maps), None), min(colors, default=None)
    rendered = given.get("uv_map") or uv_map
    active = {"uv_map": uv_map, "uv_map_render": rendered, "color": color, "color_render": color} | given
    for role, name in active.items():
        fitting = uv_maps if role in ("uv_map", "uv_map_render") else colors
        if name is not None and name not in fitting:
            there = ", ".join(map(repr, fitting)) or "none"
            raise ValueError(f"the active {role} is {name!r}, but of this kind there are: {there}")
    return active


def _check_that_blender_accepts(layers: list[Layer]) -> None:
    """Check in a temporary mesh that Blender accepts the attributes.

    Blender does not accept two attributes with the same name, and some names need a certain type.
    """
    if not layers:
        return
    with changes(temporary=True) as change:
        scratch = change.new(bpy.data.meshes, "attributes")
        for layer in layers:
            made = _add(scratch, layer)
            if made is None or made.name != layer.name:
                raise ValueError(
                    f"Blender accepts no attribute {layer.name!r} of the type {layer.type} for each {layer.domain}"
                )


# Write to Blender


def write_layers(mesh: bpy.types.Mesh, layers: Layers) -> None:
    """Create the attributes of a mesh that has only its vertices, edges and faces, and make some of them active."""
    for layer in layers.attributes:
        _write(_add(mesh, layer), layer)
    if layers.active["uv_map"] is not None:
        mesh.uv_layers.active = mesh.uv_layers[layers.active["uv_map"]]
    if layers.active["uv_map_render"] is not None:
        mesh.uv_layers[layers.active["uv_map_render"]].active_render = True
    attributes: Any = mesh.attributes
    attributes.active_color_name = layers.active["color"] or ""
    attributes.default_color_name = layers.active["color_render"] or ""


def _add(mesh: bpy.types.Mesh, layer: Layer) -> Any:
    return mesh.attributes.new(layer.name, layer.type.upper(), layer.domain.upper())  # type: ignore[arg-type]


def _write(made: Any, layer: Layer) -> None:
    if layer.type != "string":
        set_numbers(made, layer.values)
        return
    for element, value in zip(made.data, layer.values, strict=False):
        element.value = value


def set_numbers(attribute: Any, values: Array) -> None:
    """Set the first values of an attribute. The others, those of the edges that are not in the part `edges`, are 0."""
    layer_type = LAYER_TYPES[attribute.data_type.lower()]
    missing = layer_type.width * len(attribute.data) - len(values)
    if missing:
        values = np.concatenate((values, np.zeros(missing, values.dtype)))
    if len(values):
        attribute.data.foreach_set(layer_type.property, values)


# Read from Blender


def read_layers(mesh: bpy.types.Mesh, names: set[str] | None, pack: Pack) -> dict[str, Any]:
    """Return the layers as the parts `uvs`, `attributes`, `order` and `active` of a mesh.

    Args:
        mesh: the mesh.
        names: the attributes to return, besides the active UV map; None for all.
        pack: converts an array to a part of the result.
    """
    active = _active(mesh)
    found: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    order: list[str] = []
    layers: Any = mesh.attributes
    for layer in layers:
        if layer.name == active["uv_map"]:
            found["uvs"] = pack(read_numbers(layer))
        elif not _is_downloaded(layer) or not (names is None or layer.name in names):
            continue
        else:
            values = _texts(layer) if layer.data_type == "STRING" else pack(read_numbers(layer))
            attributes[layer.name] = {
                "domain": layer.domain.lower(),
                "type": layer.data_type.lower(),
                "values": values,
            }
        order.append(layer.name)
    _check_found(names, attributes)
    if order != _default_order(order, mesh):
        found["order"] = order
    roles = _roles(active, [layer for layer in layers if layer.name in order])
    if roles:
        found["active"] = roles
    return found | {"attributes": attributes}


def has_edge_layers(mesh: bpy.types.Mesh, names: set[str] | None) -> bool:
    """Tell whether `read_layers` with the same names returns an attribute with a value for each edge."""
    layers: Any = mesh.attributes
    return any(
        layer.domain == "EDGE" and _is_downloaded(layer) and (names is None or layer.name in names) for layer in layers
    )


def read_numbers(attribute: Any) -> Array:
    """Return all numbers of an attribute."""
    layer_type = LAYER_TYPES[attribute.data_type.lower()]
    values = np.empty(layer_type.width * len(attribute.data), layer_type.number)
    if len(values):
        attribute.data.foreach_get(layer_type.property, values)
    return values


def _default_order(names: list[str], mesh: bpy.types.Mesh) -> list[str]:
    """Return the order in which Blender has the attributes after `upload_mesh` without the part `order`."""
    # Blender itself orders the attributes by domain and type.
    kinds = {name: (mesh.attributes[name].domain, mesh.attributes[name].data_type) for name in names}
    first = [kinds[name] for name in names].index
    active = mesh.uv_layers.active
    return sorted(names, key=lambda name: (first(kinds[name]), active is None or name != active.name, name))


def _texts(layer: Any) -> list[bytes]:
    return [element.value for element in layer.data]


def _is_downloaded(layer: Any) -> bool:
    known = layer.data_type.lower() in LAYER_TYPES and layer.domain.lower() in DOMAINS
    return known and layer.name not in _TOPOLOGY and not _is_selection(layer.name)


def _is_selection(name: str) -> bool:
    return name in _SELECTION or name.startswith(_UV_SELECTION)


def _active(mesh: bpy.types.Mesh) -> dict[str, str]:
    """Return the names of the active layers; empty texts for those that do not exist."""
    uv_map = mesh.uv_layers.active
    rendered = [layer.name for layer in mesh.uv_layers if layer.active_render]
    attributes: Any = mesh.attributes
    return {
        "uv_map": uv_map.name if uv_map else "",
        "uv_map_render": next(iter(rendered), ""),
        "color": attributes.active_color_name,
        "color_render": attributes.default_color_name,
    }


def _roles(active: dict[str, str], layers: list[Any]) -> dict[str, str | None]:
    """Return the part `active`, without what `upload_mesh` does by default."""
    roles: dict[str, str | None] = {}
    if active["uv_map"] not in ("", DEFAULT_UV_MAP):
        roles["uv_map"] = active["uv_map"]
    if active["uv_map_render"] != active["uv_map"] and active["uv_map_render"] in [layer.name for layer in layers]:
        roles["uv_map_render"] = active["uv_map_render"]
    colors = [each.name for each in layers if each.data_type.lower() in _COLORS and each.domain in ("POINT", "CORNER")]
    for role in ("color", "color_render"):
        # Blender can name an attribute that does not exist, or is no colour.
        name = active[role] if active[role] in colors else None
        if name != min(colors, default=None):
            roles[role] = name
    return roles


def _check_found(names: set[str] | None, attributes: dict[str, Any]) -> None:
    missing = sorted((names or set()) - set(attributes))
    if missing:
        there = ", ".join(sorted(attributes)) or "none"
        raise LookupError(
            f"the mesh has no attribute {missing[0]!r} to download; of the requested ones it has: {there}"
        )
