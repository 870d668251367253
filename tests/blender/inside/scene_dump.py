"""All that Blender stores, as a flat map from paths to values. Tests compare it before and after a call."""

from collections.abc import Iterator
from typing import Any

import bpy

_VOLATILE = {
    "rna_type",
    "bl_rna",
    "session_uid",
    "tag",
    "is_updated",
    "is_updated_data",
    "is_dirty",
    "id_data",
    "depsgraph",
}
"""Blender changes these without a call, or they are places in memory."""

_CRASHING = {"uv_sculpt"}
"""Blender 4.2 crashes when a program reads the properties of these structs."""

_OF_WINDOWS = {"screens", "window_managers", "workspaces"}

_LONGEST = 200
"""The number of items of a collection that are compared, besides their number. A mesh has many more."""


def dump(*collections: str) -> dict[str, Any]:
    """Return all properties of all datablocks, or of those in some collections of `bpy.data`, which is faster."""
    found: dict[str, Any] = {}
    for collection in collections or _all_collections():
        for block in getattr(bpy.data, collection):
            found.update(_walk(block, f"{collection}[{block.name_full!r}]", ()))
    return found


def _all_collections() -> list[str]:
    found = [each.identifier for each in bpy.data.bl_rna.properties if each.type == "COLLECTION"]
    return [each for each in found if each not in _OF_WINDOWS]


def changed(before: dict[str, Any], *collections: str) -> dict[str, tuple[Any, Any]]:
    """Return the properties that differ from an earlier dump: former and present value of each."""
    now = dump(*collections)
    paths = before.keys() | now.keys()
    differing = {path: (before.get(path), now.get(path)) for path in paths if before.get(path) != now.get(path)}
    return {path: values for path, values in differing.items() if not _is_chosen_by_blender(path, values[0])}


def _is_chosen_by_blender(path: str, former: Any) -> bool:
    # In a new scene this setting has no value. Blender chooses one with the first format of files, and no program can
    # take it away again.
    return path.endswith("image_settings.linear_colorspace_settings.name") and former == ""


def _walk(owner: Any, path: str, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    inside = (*above, _place(owner))
    for definition in owner.bl_rna.properties:
        name = definition.identifier
        if name in _VOLATILE or name in _CRASHING:
            continue
        value = getattr(owner, name, None)
        if definition.type == "COLLECTION":
            yield f"{path}.{name}", len(value)
            for index, item in enumerate(list(value)[:_LONGEST]):
                yield from _item(item, f"{path}.{name}[{index}]", inside)
        else:
            yield from _item(value, f"{path}.{name}", inside)
    if isinstance(owner, bpy.types.ID) and owner.keys():
        yield f"{path}[]", {key: plain(owner[key]) for key in owner.keys()}  # noqa: SIM118 - it has no other iterator


def _item(value: Any, path: str, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bpy.types.ID) and not value.is_embedded_data:
        yield path, value.name_full
    elif isinstance(value, bpy.types.bpy_struct):
        if _place(value) not in above and len(above) < 6:
            yield from _walk(value, path, above)
    else:
        yield path, plain(value)


def _place(owner: Any) -> tuple[int, str]:
    # A struct and its first member begin at the same place in memory.
    return owner.as_pointer(), owner.bl_rna.identifier


def plain(value: Any) -> Any:
    """Return a copy of a value that does not change with Blender."""
    if hasattr(value, "to_dict"):
        return {key: plain(item) for key, item in value.to_dict().items()}
    if isinstance(value, bpy.types.bpy_struct):
        return repr(value)
    if isinstance(value, set):
        return sorted(value)
    if hasattr(value, "__len__") and not isinstance(value, str | bytes | dict):
        return [plain(item) for item in value]
    return value
