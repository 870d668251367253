"""Handlers that get and set any property by its RNA path, relative to `bpy.data`.

Example: `objects["Cube"].location` is the path of `bpy.data.objects["Cube"].location`. Blender itself resolves the
paths and finds only properties, so a path cannot run Python code.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import bpy
import numpy as np
from idprop.types import IDPropertyGroup
from mathutils import Matrix

from ..support.arguments import editable, find, flag, integer, listed, number, shown, text
from ..support.changes import Changes, changes

# The last step of a path: .name, [3] or ["key"]. The part before it is the path of the owner.
_LAST_STEP = re.compile(
    r"""(?P<owner>.*?)
    (?:  \.?(?P<name>[A-Za-z_]\w*)
      |  \[(?P<index>\d+)\]
      |  \["(?P<key>(?:[^"\\]|\\.)*)"\]
    )""",
    re.VERBOSE | re.DOTALL,
)


# The names in a path, and the quoted keys, in which nothing is a name.
_NAMES = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<name>[A-Za-z_]\w*)')

_CRASHING: dict[str, tuple[str, tuple[int, int, int] | None]] = {
    "cursor_location": ("SpaceNodeEditor", (5, 0, 0)),
    "search_filter": ("SpaceProperties", (4, 3, 0)),
    "tab_search_results": ("SpaceProperties", (4, 3, 0)),
    "paired_output": ("GeometryNodeClosureInput", (5, 0, 0)),
    "uv_sculpt": ("ToolSettings", (4, 5, 0)),
    "is_hidden": ("NodeLink", None),
}
"""Properties that crash Blender when a program reads them: the type to which each belongs, and the first Blender that
has no such fault. The first three crash if their editor was never drawn, the last one in evaluated data."""


class _Step(NamedTuple):
    """A property: its owner, and its name, index or key in the owner."""

    owner: Any
    name: str | None
    key: int | str | None


def get_property(path: str) -> Any:
    """Return the value of the property at a path: a number, a text, or a list or a map of them.

    A datablock is returned as its name, a collection as a list of names, and an enum whose items can be combined as a
    list of names. A custom property can also be a map.
    """
    wanted = text(path, "a path")
    check_readable(bpy.data, wanted)
    step = _LAST_STEP.fullmatch(wanted)
    if step is None or step["key"] is None:
        return _plain(_resolve(bpy.data, wanted), wanted)
    # Blender resolves the path of a custom property with a map or a list to another type.
    owner = _resolve(bpy.data, step["owner"])
    try:
        return _plain(owner[_unescaped(step["key"])], wanted)
    except (KeyError, TypeError):
        raise _missing(wanted) from None


def set_property(path: str, value: Any) -> Any:
    """Set the property at a path. Return its new value; a number is moved to the limits of the property.

    Args:
        path: the property.
        value: what `get_property` returns for it. A datablock is given by its name, or nil for none. An integer may be
            a float without a fraction. A custom property can be a number, a text, true, false, nil, a binary, a list of
            values of one type, or a map with such values.
    """
    wanted = text(path, "a path")
    step = _LAST_STEP.fullmatch(wanted)
    named = _resolve(bpy.data, step["owner"]) if step is not None and step["name"] == "name" else None
    with changes() as change:
        assign(change, bpy.data, wanted, value)
        # A datablock with a new name is no longer found at this path.
        return get_property(wanted) if named is None else named.name


def assign(change: Changes, root: Any, path: str, value: Any) -> None:
    """Set the property at a path relative to `root`.

    Raises:
        LookupError: there is no such property.
        ValueError: the property cannot have this value.
    """
    check_readable(root, path)
    step = last_step(root, path)
    block = getattr(step.owner, "id_data", None) or getattr(getattr(step.owner, "owner", None), "id_data", None)
    if block is not None:
        editable(block)
    accepted = _accepted(step, path, value)
    with _refusals(path, value):
        if step.name is not None:
            change.set(step.owner, step.name, accepted)
        else:
            change.set_item(step.owner, step.key, accepted)
    if isinstance(accepted, bpy.types.ID) and step.name is not None and getattr(step.owner, step.name) != accepted:
        raise ValueError(f"{path!r} cannot be set to {accepted.name!r}: Blender does not accept it here")


def check_readable(root: Any, path: str) -> None:
    """Check that no property on a path crashes Blender.

    Raises:
        LookupError: there is no such property.
        ValueError: one of the properties crashes Blender.
    """
    for found in _NAMES.finditer(path):
        type_, mended = _CRASHING.get(found["name"] or "", ("", None))
        if not type_ or (mended is not None and bpy.app.version >= mended):
            continue
        owner = _resolve(root, path[: found.start()].rstrip("."))
        definition: Any = getattr(owner, "bl_rna", None)
        is_owner = isinstance(owner, bpy.types.bpy_struct) and definition.identifier == type_
        if is_owner and (mended is not None or owner.id_data.is_evaluated):
            raise ValueError(f"{path!r} cannot be read: this Blender crashes when a program reads {found['name']!r}")


def place(root: Any, path: str) -> tuple[Any, str]:
    """Return the datablock with the animation data of a property, and the path of the property in this datablock.

    Raises:
        LookupError: there is no such property.
    """
    step = last_step(root, path)
    if isinstance(step.key, int):
        raise LookupError(f"{str(path)!r} is one number of a property: name the property, and pass the index")
    name = step.name if step.key is None else f'["{bpy.utils.escape_identifier(step.key)}"]'
    try:
        return step.owner.id_data, step.owner.path_from_id(name)
    except (AttributeError, TypeError, ValueError):
        raise _missing(path) from None


def _accepted(step: _Step, path: str, value: Any) -> Any:
    """Return the value in the form that Blender needs.

    Raises:
        LookupError: there is no such property.
        ValueError: the property cannot have such a value.
    """
    if step.name is not None:
        return _for_property(step.owner, step.name, path, value)
    if isinstance(step.key, int):
        return _for_item(step.owner, step.key, path, value)
    if isinstance(step.owner, bpy.types.bpy_prop_collection):
        raise ValueError(f"{path!r} is an item of a collection and cannot be set: name one of its properties")
    return _for_custom_property(step.owner, str(step.key), path, value)


def _for_property(owner: Any, name: str, path: str, value: Any) -> Any:
    definition: Any = owner.bl_rna.properties.get(name)
    if definition is None:
        raise _missing(path)
    if owner.is_property_readonly(name) or definition.type == "COLLECTION":
        raise ValueError(f"{path!r} is read-only")
    if definition.type == "POINTER":
        return _datablock(owner, definition, path, value)
    with _refusals(path, value):
        if definition.type == "ENUM":
            return _items_of_enum(value) if definition.is_enum_flag else text(value, _VALUE)
        if definition.type == "STRING":
            return _bytes(value) if definition.subtype == "BYTE_STRING" else text(value, _VALUE)
        convert = _CONVERSIONS[definition.type]
        if not definition.is_array:
            return convert(value)
        accepted = _array(value, convert)
        # Blender takes the rows of a list as the columns of a matrix.
        return Matrix(accepted) if isinstance(getattr(owner, name), Matrix) else accepted


def _for_item(owner: Any, index: int, path: str, value: Any) -> Any:
    """Return the value for an item of a vector or an array, which has the type of the present one."""
    try:
        present = owner[index]
    except (IndexError, KeyError, TypeError):
        raise _missing(path) from None
    for type_, convert in ((bool, _boolean), (int, _integer), (float, _number)):
        if isinstance(present, type_):
            with _refusals(path, value):
                return convert(value)
    raise ValueError(f"{path!r} is not one number and cannot be set: name the whole property, or one of its properties")


def _for_custom_property(owner: Any, key: str, path: str, value: Any) -> Any:
    try:
        present = owner.get(key)
    except (AttributeError, TypeError):
        raise _missing(path) from None
    if isinstance(present, bpy.types.ID) and isinstance(value, str):
        return _named_like(present, value)
    with _refusals(path, value):
        return _storable(value)


_VALUE = "the value"


def _boolean(value: Any) -> bool:
    # Blender accepts 0 and 1, too.
    return bool(value) if type(value) is int and value in (0, 1) else flag(value, _VALUE)


def _integer(value: Any) -> int:
    return integer(value, _VALUE)


def _number(value: Any) -> float:
    return number(value, _VALUE)


_CONVERSIONS = {"BOOLEAN": _boolean, "INT": _integer, "FLOAT": _number}


def _array(value: Any, convert: Callable[[Any], Any]) -> list[Any]:
    if not isinstance(value, list | tuple | np.ndarray):
        raise ValueError("the value has to be a list")
    is_nested = any(isinstance(item, list | tuple | np.ndarray) for item in value)
    return [_array(item, convert) if is_nested else convert(item) for item in value]


def _items_of_enum(value: Any) -> set[str]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("the value has to be a list of names")
    return {text(item, "an item") for item in value}


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else text(value, _VALUE).encode()


def _storable(value: Any) -> Any:
    """Return the value of a custom property."""
    if value is None or isinstance(value, bool | bytes):
        return value
    if isinstance(value, str):
        return text(value, _VALUE)
    if isinstance(value, int):
        return integer(value, _VALUE)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the value has to be a finite number, not {value}")
        return value
    if isinstance(value, Mapping):
        return {text(key, "a key"): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    raise ValueError("a custom property is a number, a text, a list or a map")


@contextmanager
def _refusals(path: str, value: Any) -> Iterator[None]:
    """Let each refusal of a value, also by Blender, name the path and the value."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, KeyError, IndexError, RuntimeError) as error:
        raise ValueError(f"{path!r} cannot be set to {shown(value)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    said = str(error).removeprefix("bpy_struct: item.attr = val: ")
    return "a list needs values of one type" if "ID property arrays" in said else said


def _missing(path: str) -> LookupError:
    return LookupError(f"no property at {path!r}")


def _resolve(root: Any, path: str) -> Any:
    try:
        return root.path_resolve(path) if path else root
    except (ValueError, TypeError):
        raise _missing(path) from None


def last_step(root: Any, path: str) -> _Step:
    """Return the owner of the property at a path, and the last step to it.

    Raises:
        LookupError: there is no such property.
    """
    match = _LAST_STEP.fullmatch(path)
    if match is None:
        raise _missing(path)
    owner, name, index, key = match.group("owner", "name", "index", "key")
    found = _resolve(root, owner)
    if name is not None:
        if not hasattr(found, "bl_rna"):
            raise _missing(path)
        return _Step(found, name, None)
    return _Step(found, None, int(index) if key is None else _unescaped(key))


def _unescaped(key: str) -> str:
    return bpy.utils.unescape_identifier(key)


def _datablock(owner: Any, definition: Any, path: str, value: Any) -> Any:
    """Return the datablock with this name and with the type of the property."""
    if value is None:
        if definition.is_never_none:
            raise ValueError(f"{path!r} cannot be nil")
        return None
    wanted: Any = getattr(bpy.types, definition.fixed_type.identifier, None)
    if wanted is bpy.types.ID:
        # The data of an object, for example, has the type of the present data.
        return _named_like(getattr(owner, definition.identifier), value)
    for blocks, type_ in _collections():
        if wanted is not None and issubclass(wanted, type_):
            return _by_name(blocks, value)
    raise ValueError(f"{path!r} is a {definition.fixed_type.identifier}, which cannot be set by name")


def _named_like(present: Any, name: Any) -> Any:
    """Return the datablock with this name and with the type of another datablock."""
    for blocks, type_ in _collections():
        if isinstance(present, type_):
            return _by_name(blocks, name)
    raise ValueError(f"{text(name)!r} cannot be set by name, because its type is not known")


def _collections() -> Iterator[tuple[str, type]]:
    """Yield the name and the type of each collection of `bpy.data`."""
    properties: Any = bpy.data.bl_rna.properties
    for collection in properties:
        if collection.type == "COLLECTION":
            yield collection.identifier, getattr(bpy.types, collection.fixed_type.identifier)


def _by_name(collection: str, name: Any) -> Any:
    blocks: Any = getattr(bpy.data, collection)
    found = find(blocks, name)
    if found is None:
        raise LookupError(f"none of the {collection} is named {text(name)!r}; there are: {listed(blocks.keys())}")
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
        raise ValueError(f"{path!r} is a {definition.identifier}; name one of its properties: {names}")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    items: Any = value
    if isinstance(value, IDPropertyGroup):
        return {key: _plain(item, path) for key, item in items.items()}
    return [_plain(item, path) for item in items]
