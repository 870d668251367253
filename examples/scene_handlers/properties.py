"""Any property by its RNA path: what Blender shows as `bpy.data.objects["Cube"].location` is the path
`objects["Cube"].location` here.

Paths are resolved by Blender itself, which knows properties and nothing else: no Python runs.
"""

import re
from typing import Any, NamedTuple

import bpy

# The last step of a path: .name, [3] or ["key"]. What stands before it is the owner.
_LAST_STEP = re.compile(
    r"""(?P<owner>.*?)
    (?:  \.?(?P<name>[A-Za-z_]\w*)
      |  \[(?P<index>\d+)\]
      |  \["(?P<key>(?:[^"\\]|\\.)*)"\]
    )""",
    re.VERBOSE,
)


class _Step(NamedTuple):
    """A property: what it belongs to, and its name, index or key there."""

    owner: Any
    name: str | None
    key: int | str | None


def get_property(path: str) -> Any:
    """The value at a path: numbers, strings and lists of them; a datablock, or a collection, by name."""
    return _plain(_resolve(bpy.data, path), path)


def set_property(path: str, value: Any) -> Any:
    """Set the property at a path; returns what it is then. A datablock is given by its name, or nil for none."""
    assign(bpy.data, path, value)
    return get_property(path)


def assign(root: Any, path: str, value: Any) -> None:
    """Set the property at a path that begins at `root`.

    Raises:
        LookupError: there is no such property.
        ValueError: it cannot be set to this.
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
    """The datablock that the property at a path belongs to, and the property's path from there: where its animation is.

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
    """What to set the property to: the value itself, or the datablock that it names."""
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
    """The datablock of the property's type that has this name."""
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
    """A value that has a term; what else there is to read, when it has none."""
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
