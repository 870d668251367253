"""Handlers for the inputs of geometry nodes: the values that the user sets in the panel of the modifier.

An input has the name that the user sees. If several inputs have this name, its name here also contains that of its
panel, `Panel/Name`; if this is not unique either, a number follows, as in `Name (2)`. Blender's identifiers, such as
`Socket_2`, are not used.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import bpy

from ..support.arguments import (
    Options,
    color,
    editable,
    find,
    flag,
    floats,
    integer,
    listed,
    named,
    number,
    object_named,
    options,
    shown,
    text,
)
from ..support.changes import changes


def get_node_inputs(name: str, given: Options = None) -> dict[str, Any]:
    """Return the values of the inputs of a geometry-nodes modifier: a map from names to values for `set_node_inputs`.

    Inputs for geometry, matrices, bundles and closures have no value and are not contained.

    Args:
        name: the object.
        given: the option `modifier`: the name of the modifier. It can be omitted if the object has only one modifier
            with geometry nodes.
    """
    chosen = options(given, ("modifier",))
    return _values(_modifier(object_named(name), chosen))


def set_node_inputs(name: str, values: Options, given: Options = None) -> dict[str, Any]:
    """Set inputs of a geometry-nodes modifier. Return the values of all its inputs.

    Args:
        name: the object.
        values: a map from names of inputs to values; other inputs do not change. A value is
            a number or an integer, which is moved to the limits of the input;
            true or false;
            a list of numbers for a vector, or for a rotation: angles around X, Y and Z in radians;
            a colour: "#rrggbb", or three or four linear numbers;
            text for a string, or for an item of a menu;
            the name of an object, a collection, a material, an image or a texture; nil for none;
            or a map with the key `attribute` and the name of an attribute of the geometry, which gives the values.
        given: the option `modifier`, as for `get_node_inputs`.
    """
    chosen = options(given, ("modifier",))
    changed = editable(object_named(name))
    modifier = _modifier(changed, chosen)
    inputs = _inputs(modifier)
    wanted = named(values)
    for unknown in (each for each in wanted if each not in inputs):
        raise LookupError(f"{modifier.name!r} has no input {unknown!r}; there are: {listed(inputs)}")
    settings = [setting for key, value in wanted.items() for setting in _settings(modifier, key, inputs[key], value)]
    with changes() as change:
        change.on_undo(changed.update_tag)
        for key, value in settings:
            change.set_item(modifier, key, value)
        # Blender does not see that the custom properties of a modifier have changed.
        changed.update_tag()
    return _values(modifier)


class _Input(NamedTuple):
    """An input: Blender's identifier, the type of its socket, and the limits of its numbers."""

    identifier: str
    socket_type: str
    least: float
    most: float


def _modifier(found: bpy.types.Object, chosen: dict[str, Any]) -> Any:
    """Return the modifier that the options name, or the only one with geometry nodes."""
    modifiers: Any = found.modifiers
    with_nodes = {each.name: each for each in modifiers if each.type == "NODES" and each.node_group is not None}
    if "modifier" not in chosen:
        if len(with_nodes) == 1:
            return next(iter(with_nodes.values()))
        if with_nodes:
            raise ValueError(
                f"{found.name!r} has several modifiers with geometry nodes: name one in the option modifier: "
                f"{listed(with_nodes)}"
            )
        raise ValueError(f"the object {found.name!r} has no modifier with geometry nodes")
    wanted = text(chosen["modifier"], "a modifier")
    if wanted not in with_nodes:
        raise LookupError(
            f"{found.name!r} has no modifier {wanted!r} with geometry nodes; there are: {listed(with_nodes)}"
        )
    return with_nodes[wanted]


def _inputs(modifier: Any) -> dict[str, _Input]:
    """Return the inputs of the node group that have a value, by the names that the user sees."""
    sockets = [
        each
        for each in modifier.node_group.interface.items_tree
        if each.item_type == "SOCKET" and each.in_out == "INPUT" and each.identifier in modifier.keys()  # noqa: SIM118
    ]
    found: dict[str, _Input] = {}
    for socket in sockets:
        name = socket.name
        if sum(each.name == name for each in sockets) > 1 and socket.parent.name:
            name = f"{socket.parent.name}/{name}"
        number_, unique = 1, name
        while unique in found:
            number_ += 1
            unique = f"{name} ({number_})"
        least, most = getattr(socket, "min_value", -math.inf), getattr(socket, "max_value", math.inf)
        found[unique] = _Input(socket.identifier, socket.socket_type, least, most)
    return found


def _values(modifier: Any) -> dict[str, Any]:
    return {name: _value(modifier, each) for name, each in _inputs(modifier).items()}


def _value(modifier: Any, of: _Input) -> Any:
    if modifier.get(f"{of.identifier}_use_attribute", False):
        return {"attribute": modifier.get(f"{of.identifier}_attribute_name", "")}
    stored = modifier[of.identifier]
    if of.socket_type == "NodeSocketMenu":
        return next((name for name, value in _menu(modifier, of).items() if value == stored), None)
    if isinstance(stored, bpy.types.ID):
        return stored.name
    return list(stored) if hasattr(stored, "to_list") else stored


def _menu(modifier: Any, of: _Input) -> dict[str, int]:
    """Return the items of a menu: their names and Blender's numbers."""
    items = modifier.id_properties_ui(of.identifier).as_dict().get("items", ())
    return {item[1]: item[4] for item in items}


# Check the values


def _settings(modifier: Any, name: str, of: _Input, value: Any) -> list[tuple[str, Any]]:
    """Return the custom properties of the modifier to set, and their values."""
    switch = f"{of.identifier}_use_attribute"
    takes_attribute = switch in modifier.keys()  # noqa: SIM118 - a modifier has no other iterator.
    if isinstance(value, Mapping):
        attribute = options(value, ("attribute",), f"part of {name!r}")
        if not takes_attribute or "attribute" not in attribute:
            raise ValueError(f"{name!r} cannot be set to {shown(value)}")
        stored_type = type(modifier[switch])
        return [
            (switch, stored_type(True)),
            (f"{of.identifier}_attribute_name", text(attribute["attribute"], "the name of an attribute")),
        ]
    accepted = (of.identifier, _accepted(modifier, name, of, value))
    return [accepted, (switch, type(modifier[switch])(False))] if takes_attribute else [accepted]


def _accepted(modifier: Any, name: str, of: _Input, value: Any) -> Any:
    what = repr(name)
    if of.socket_type in _DATABLOCKS:
        return _datablock(_DATABLOCKS[of.socket_type], value)
    if of.socket_type == "NodeSocketMenu":
        items = _menu(modifier, of)
        if value is None and _value(modifier, of) is None:  # No item is chosen, and it stays so.
            return modifier[of.identifier]
        word = text(value, what)
        if word not in items:
            raise ValueError(f"{what} has no item {word!r}; there are: {listed(items)}")
        return items[word]
    if of.socket_type in _CONVERSIONS:
        converted = _CONVERSIONS[of.socket_type](value, what)
        return _limited(of, converted)
    present = modifier[of.identifier]
    if not hasattr(present, "to_list"):
        raise ValueError(f"{what} is a {of.socket_type}, which cannot be set")
    if of.socket_type == "NodeSocketColor":
        return list(color(value))
    numbers = floats(value)
    if len(numbers) != len(present):
        raise ValueError(f"{what} has to be a list of {len(present)} numbers, not {shown(value)}")
    return [_limited(of, each) for each in numbers]


_CONVERSIONS: dict[str, Callable[[Any, str], Any]] = {
    "NodeSocketFloat": number,
    "NodeSocketInt": integer,
    "NodeSocketBool": flag,
    "NodeSocketString": text,
}

_DATABLOCKS = {
    "NodeSocketObject": "objects",
    "NodeSocketCollection": "collections",
    "NodeSocketMaterial": "materials",
    "NodeSocketImage": "images",
    "NodeSocketTexture": "textures",
}
"""The collections of `bpy.data` with the datablocks for each type of socket."""


def _limited(of: _Input, value: Any) -> Any:
    """Move a number to the limits of the input, as the panel of the modifier does."""
    return value if isinstance(value, bool | str) else max(of.least, min(of.most, value))


def _datablock(collection: str, value: Any) -> Any:
    if value is None:
        return None
    blocks: Any = getattr(bpy.data, collection)
    found = find(blocks, value)
    if found is None:
        raise LookupError(f"none of the {collection} is named {text(value)!r}; there are: {listed(blocks.keys())}")
    return found
