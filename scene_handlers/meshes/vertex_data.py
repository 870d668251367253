"""The data of an object for each vertex of its mesh: the weights of its vertex groups, and its shape keys."""

from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import flag, number, numbers, options, stored_name, text
from .layers import Pack, check_length, rows

Array = NDArray[Any]

_GROUP = ("name", "vertices", "weights", "lock_weight")
_KEY_SETTINGS = ("slider_min", "slider_max", "value", "mute", "relative_key", "vertex_group")
_KEY = ("name", "vertices", *_KEY_SETTINGS)
_LONGEST_NAME = 63
"""The largest size of the name of a vertex group or a shape key, in bytes; in all versions of Blender."""


class VertexGroup(NamedTuple):
    """A valid vertex group: `weights` has one number for each index in `vertices`."""

    name: str
    vertices: Array
    weights: Array
    lock_weight: bool


class ShapeKey(NamedTuple):
    """A valid shape key: its positions, three numbers for each vertex of the mesh, and its settings."""

    name: str
    positions: Array
    settings: dict[str, Any]


# Check the arguments


def checked_groups(given: Any, vertices: int) -> list[VertexGroup]:
    """Return the part `vertex_groups` of a mesh with this number of vertices."""
    groups = [_checked_group(group, vertices) for group in _listed(given, "vertex_groups")]
    _check_different("vertex group", [group.name for group in groups])
    return groups


def checked_keys(given: Any, vertices: int) -> list[ShapeKey]:
    """Return the part `shape_keys` of a mesh with this number of vertices."""
    keys = [_checked_key(key, vertices) for key in _listed(given, "shape_keys")]
    names = [key.name for key in keys]
    _check_different("shape key", names)
    for key in keys:
        relative = key.settings.get("relative_key", key.name)
        if relative not in names:
            raise ValueError(f"the shape key {key.name!r} is relative to {relative!r}, which is not in the list")
    return keys


def _listed(given: Any, what: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{what} has to be a list of maps, not {type(given).__name__}")
    return list(given)


def _checked_group(given: Any, vertices: int) -> VertexGroup:
    chosen = options(given, _GROUP, "part of a vertex group")
    name = _name(chosen, "vertex group")
    what = f"the vertex group {name!r}"
    at = numbers(chosen.get("vertices", []), "<i4", f"vertices of {what}")
    weights = numbers(chosen.get("weights", []), "<f4", f"weights of {what}")
    if len(at) != len(weights):
        raise ValueError(f"{what} has {len(at)} vertices and {len(weights)} weights, and each vertex needs a weight")
    if len(at) and not (at.min() >= 0 and at.max() < vertices):
        raise ValueError(f"{what} contains a vertex that does not exist: there are {vertices}, numbered from 0")
    if len(weights) and not (weights.min() >= 0.0 and weights.max() <= 1.0):
        raise ValueError(f"{what} contains a weight that is not between 0 and 1")
    return VertexGroup(name, at, weights, flag(chosen.get("lock_weight", False), f"lock_weight of {what}"))


def _checked_key(given: Any, vertices: int) -> ShapeKey:
    chosen = options(given, _KEY, "part of a shape key")
    name = _name(chosen, "shape key")
    what = f"the shape key {name!r}"
    positions = rows(chosen.get("vertices", []), "<f4", 3, what)
    check_length(what, positions, 3, vertices, "point")
    if not np.isfinite(positions).all():
        raise ValueError(f"{what} contains a position that is infinite or nan")
    return ShapeKey(name, positions, _checked_settings(what, chosen))


def _checked_settings(what: str, chosen: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for setting in _KEY_SETTINGS:  # The limits of the slider come before its value.
        if setting not in chosen:
            continue
        if setting in ("relative_key", "vertex_group"):
            settings[setting] = text(chosen[setting])
        elif setting == "mute":
            settings[setting] = flag(chosen[setting], f"{setting} of {what}")
        else:
            settings[setting] = number(chosen[setting], f"{setting} of {what}")
    return settings


def _name(chosen: dict[str, Any], what: str) -> str:
    if "name" not in chosen:
        raise ValueError(f"a {what} needs a name")
    return stored_name(chosen["name"], _LONGEST_NAME)


def _check_different(what: str, names: list[str]) -> None:
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(f"there are two {what}s with the name {twice[0]!r}")


# Write to Blender


def write_groups(target: bpy.types.Object, groups: list[VertexGroup]) -> None:
    """Replace all vertex groups of an object."""
    active = target.vertex_groups.active_index
    target.vertex_groups.clear()
    for group in groups:
        made = target.vertex_groups.new(name=group.name)
        for weight, vertices in _by_weight(group):
            made.add(vertices, weight, "REPLACE")
        made.lock_weight = group.lock_weight
    if active is not None and 0 <= active < len(groups):
        target.vertex_groups.active_index = active


def _by_weight(group: VertexGroup) -> list[tuple[float, list[int]]]:
    """Return each weight with its vertices: Blender sets one weight for many vertices in one call."""
    weights, places = np.unique(group.weights, return_inverse=True)
    order = np.argsort(places, kind="stable")
    parts = np.split(group.vertices[order], np.searchsorted(places[order], np.arange(1, len(weights))))
    return [(float(weight), part.tolist()) for weight, part in zip(weights, parts, strict=False)]


def write_keys(target: bpy.types.Object, keys: list[ShapeKey]) -> None:
    """Set the shape keys of an object. Keys that it has already keep their animation."""
    if [key.name for key in _blocks(target.data)] != [key.name for key in keys]:
        target.shape_key_clear()
        for key in keys:
            target.shape_key_add(name=key.name, from_mix=False)
    blocks = _blocks(target.data)
    for block, key in zip(blocks, keys, strict=True):
        _set_positions(block, key.positions)
        for setting, value in key.settings.items():
            setattr(block, setting, _block_named(blocks, value) if setting == "relative_key" else value)


def moved_keys(mesh: bpy.types.Mesh, positions: Array) -> list[ShapeKey]:
    """Return the shape keys of a mesh whose vertices get new positions.

    Blender does the same when the user moves vertices of the basis: each key keeps its distance from the basis.
    """
    before = _mesh_positions(mesh)
    found = []
    for block in _blocks(mesh):
        at = _positions(block)
        # The second form is exact where the key does not move the vertex.
        after = np.where(at == before, positions, at + (positions - before))
        found.append(ShapeKey(block.name, after.astype(np.float32), {}))
    return found


def write_positions_of_keys(mesh: bpy.types.Mesh, keys: list[ShapeKey]) -> None:
    """Set only the positions of the shape keys of a mesh."""
    for block, key in zip(_blocks(mesh), keys, strict=True):
        _set_positions(block, key.positions)


# Read from Blender


def read_groups(found: bpy.types.Object, pack: Pack) -> list[dict[str, Any]]:
    """Return the vertex groups of a mesh object, in the form of the part `vertex_groups`."""
    if not len(found.vertex_groups):
        return []
    # Blender has no way to read the weights as an array.
    weights = [(each.group, vertex.index, each.weight) for vertex in _mesh(found).vertices for each in vertex.groups]
    table = np.array(weights, np.float64).reshape(-1, 3)
    return [_described_group(group, table[table[:, 0] == group.index], pack) for group in found.vertex_groups]


def _described_group(group: bpy.types.VertexGroup, rows_of_group: Array, pack: Pack) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": group.name,
        "vertices": pack(rows_of_group[:, 1].astype("<i4")),
        "weights": pack(rows_of_group[:, 2].astype("<f4")),
    }
    return described | ({"lock_weight": True} if group.lock_weight else {})


def read_keys(mesh: bpy.types.Mesh, pack: Pack) -> list[dict[str, Any]]:
    """Return the shape keys of a mesh, in the form of the part `shape_keys`."""
    return [
        {
            "name": block.name,
            "vertices": pack(_positions(block)),
            "slider_min": block.slider_min,
            "slider_max": block.slider_max,
            "value": block.value,
            "mute": block.mute,
            "relative_key": block.relative_key.name,
            "vertex_group": block.vertex_group,
        }
        for block in _blocks(mesh)
    ]


def _mesh(found: bpy.types.Object) -> bpy.types.Mesh:
    mesh = found.data
    assert isinstance(mesh, bpy.types.Mesh)
    return mesh


def _blocks(mesh: Any) -> list[Any]:
    return [] if mesh.shape_keys is None else list(mesh.shape_keys.key_blocks)


def _block_named(blocks: list[Any], name: str) -> Any:
    return next(block for block in blocks if block.name == name)


def _positions(block: Any) -> Array:
    values = np.empty(3 * len(block.data), np.float32)
    block.data.foreach_get("co", values)
    return values


def _set_positions(block: Any, positions: Array) -> None:
    block.data.foreach_set("co", positions)


def _mesh_positions(mesh: bpy.types.Mesh) -> Array:
    values = np.empty(3 * len(mesh.vertices), np.float32)
    if len(values):
        layer: Any = mesh.attributes["position"]
        layer.data.foreach_get("vector", values)
    return values
