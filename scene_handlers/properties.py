"""Handlers that get and set any property by its RNA path, relative to `bpy.data`.

Example: `objects["Cube"].location` is the path of `bpy.data.objects["Cube"].location`. Blender itself resolves the
paths and finds only properties, so a path cannot run Python code.
"""

import re
from typing import Any, NamedTuple

import bpy

# The last step of a path: .name, [3] or ["key"]. The part before it is the path of the owner.
_LAST_STEP = re.compile(
    r"""(?P<owner>.*?)
    (?:  \.?(?P<name>[A-Za-z_]\w*)
      |  \[(?P<index>\d+)\]
      |  \["(?P<key>(?:[^"\\]|\\.)*)"\]
    )""",
    re.VERBOSE,
)


class _Step(NamedTuple):
    """A property: its owner, and its name, index or key in the owner."""

    owner: Any
    name: str | None
    key: int | str | None


def get_property(path: str) -> Any:
    """Return the value of the property at a path: a number, a string or a list of them.

    A datablock is returned as its name, and a collection as a list of names.
    """
    return _plain(_resolve(bpy.data, path), path)


def set_property(path: str, value: Any) -> Any:
    """Set the property at a path. Return its new value. Pass a datablock by its name, or nil for none."""
    assign(bpy.data, path, value)
    return get_property(path)


def assign(root: Any, path: str, value: Any) -> None:
    """Set the property at a path relative to `root`.

    Raises:
        LookupError: there is no such property.
        ValueError: the property cannot have this value.
    """
    step = _last_step(root, path)
    accepted = value if step.name is None else _accepted(step.owner, step.name, path, value)
    try:
        if step.name is None:
            step.owner[step.key] = accepted
        else:
            setattr(step.owner, step.name, accepted)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{str(path)!r} cannot be set to {value!r}: {error}") from error


def place(root: Any, path: str) -> tuple[Any, str]:
    """Return the datablock with the animation data of a property, and the path of the property in this datablock.

    Raises:
        LookupError: there is no such property.
    """
    step = _last_step(root, path)
    if isinstance(step.key, int):
        raise LookupError(f"{str(path)!r} is one number of a property: name the property, and pass the index")
    name = step.name if step.key is None else f'["{bpy.utils.escape_identifier(step.key)}"]'
    try:
        return step.owner.id_data, step.owner.path_from_id(name)
    except (AttributeError, TypeError, ValueError):
        raise _missing(path) from None


def _accepted(owner: Any, name: str, path: str, value: Any) -> Any:
    """Return the value to set: the datablock with this name if the property is a datablock, otherwise `value`."""
    definition: Any = owner.bl_rna.properties.get(name)
    if definition is None:
        raise _missing(path)
    if definition.is_readonly:
        raise ValueError(f"{str(path)!r} is read-only")
    return _datablock(definition, value) if definition.type == "POINTER" else value


def _missing(path: str) -> LookupError:
    return LookupError(f"no property at {str(path)!r}")


def _resolve(root: Any, path: str) -> Any:
    try:
        return root.path_resolve(path) if path else root
    except ValueError:
        raise _missing(path) from None


def _last_step(root: Any, path: str) -> _Step:
    match = _LAST_STEP.fullmatch(path)
    if match is None:
        raise _missing(path)
    owner, name, index, key = match.group("owner", "name", "index", "key")
    if name is not None:
        return _Step(_resolve(root, owner), name, None)
    return _Step(_resolve(root, owner), None, int(index) if key is None else re.sub(r"\\(.)", r"\1", key))


def _datablock(definition: Any, name: Any) -> Any:
    """Return the datablock with this name and with the type of the property."""
    if name is None:
        return None
    wanted = definition.fixed_type.identifier
    collections: Any = bpy.data.bl_rna.properties
    for collection in collections:
        if collection.type == "COLLECTION" and collection.fixed_type.identifier == wanted:
            return _by_name(collection.identifier, str(name))
    raise ValueError(f"a {wanted} cannot be set by name")


def _by_name(collection: str, name: str) -> Any:
    blocks: Any = getattr(bpy.data, collection)
    found = blocks.get(name)
    if found is None:
        raise LookupError(f"none of the {collection} is named {name!r}; there are: {', '.join(blocks.keys())}")
    return found


def _plain(value: Any, path: str) -> Any:
    """Convert a value to one that can be encoded. If that is impossible, the error names the value's properties."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, bpy.types.ID):
        return value.name
    if isinstance(value, bpy.types.bpy_prop_collection):
        return [getattr(item, "name", index) for index, item in enumerate(value)]
    if isinstance(value, bpy.types.bpy_struct):
        definition: Any = value.bl_rna
        names = ", ".join(property.identifier for property in definition.properties)
        raise ValueError(f"{str(path)!r} is a {definition.identifier}; name one of its properties: {names}")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [_plain(item, path) for item in value]
