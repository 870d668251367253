"""Poses of hundreds of bones, as binaries that Blender takes in one step."""

from functools import lru_cache
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support import rotations
from ..support.arguments import listed
from . import live, recording

Array = NDArray[Any]

_QUATERNION: int = bpy.types.PoseBone.bl_rna.properties["rotation_mode"].enum_items["QUATERNION"].value  # type: ignore[attr-defined]


def set_binary(
    posed: bpy.types.Object, pose: Any, data: Any, bones: list[str] | None, moment: recording.Moment | None
) -> int:
    """Set the pose of bones. Return the number of bones.

    Args:
        posed: the armature object.
        pose: its pose.
        data: the binary, see `live.rows`.
        bones: the names of the bones in the binary; None: all bones, in the order of the handler `bones`.
        moment: the time of the pose for the recording; None: it is not recorded.
    """
    armature: Any = posed.data
    present: list[str] = pose.bones.keys()
    names: list[str] = armature.bones.keys() if bones is None else bones
    places = None if names == present else _places(names, present, posed.name)
    table = live.rows(data, names, "bone")
    modes = np.empty(len(present), np.int32)
    pose.bones.foreach_get("rotation_mode", modes)
    frame = recording.frame_of(moment)

    chosen = modes if places is None else modes[places]
    _fill(pose.bones, "location", places, table[:, live.LOCATION])
    if (chosen == _QUATERNION).all():
        _fill(pose.bones, "rotation_quaternion", places, table[:, live.ROTATION])
    else:
        _set_rotations(pose.bones, names, table[:, live.ROTATION])
    if table.shape[1] == live.SCALE.stop:
        _fill(pose.bones, "scale", places, table[:, live.SCALE])
    posed.update_tag(refresh={"DATA"})
    if frame is not None:
        _record(frame, posed.name, pose.bones, names, chosen, table)
    return len(names)


def _places(names: list[str], present: list[str], armature: str) -> Array:
    """Return the index of each bone in the pose."""
    indices = {name: index for index, name in enumerate(present)}
    for unknown in (name for name in names if name not in indices):
        raise LookupError(f"{armature!r} has no bone {unknown!r}; there are: {listed(present)}")
    return np.array([indices[name] for name in names], np.intp)


def _fill(bones: Any, part: str, places: Array | None, new: Array) -> None:
    """Set a property of the bones at these places, or of all bones."""
    if places is None:
        bones.foreach_set(part, new.reshape(-1))
        return
    whole = np.empty((len(bones), new.shape[1]), np.float32)
    bones.foreach_get(part, whole.reshape(-1))
    whole[places] = new
    bones.foreach_set(part, whole.reshape(-1))


def _set_rotations(bones: Any, names: list[str], quaternions: Array) -> None:
    """Set the rotation of each bone in its own mode."""
    for name, quaternion in zip(names, quaternions.tolist(), strict=True):
        bone = bones[name]
        setattr(bone, *rotations.from_quaternion(bone, quaternion))


def _record(frame: float, name: str, bones: Any, names: list[str], modes: Array, table: Array) -> None:
    with_scale = table.shape[1] == live.SCALE.stop
    if (modes == _QUATERNION).all():
        columns = _columns(tuple(names), ("rotation_quaternion",) * len(names), with_scale)
        recording.add(frame, name, columns, table)
        return
    properties = tuple(rotations.property_of(bones[bone]) for bone in names)
    columns = _columns(tuple(names), properties, with_scale)
    parts = []
    for bone, rotation, row in zip(names, properties, table, strict=True):
        parts += [row[live.LOCATION], getattr(bones[bone], rotation)[:], row[live.SCALE]]
    recording.add(frame, name, columns, np.concatenate(parts))


@lru_cache(maxsize=64)
def _columns(names: tuple[str, ...], rotations: tuple[str, ...], with_scale: bool) -> recording.Columns:
    columns: list[recording.Column] = []
    for name, rotation in zip(names, rotations, strict=True):
        columns += recording.bone_columns(name, ("location", rotation, *(("scale",) if with_scale else ())))
    return tuple(columns)
