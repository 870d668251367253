"""Handlers for the bones of armatures and their poses, and for shape keys."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import bpy
import numpy as np

from ..support import rotations
from ..support.arguments import (
    Options,
    choice,
    editable,
    flag,
    listed,
    named,
    number,
    object_named,
    options,
    shown,
    text,
    vector,
)
from ..support.changes import Changes, changes
from ..support.evaluated import evaluated
from . import live, poses, recording

_POSE = ("location", "rotation", "rotation_mode", "scale")

_REST = {"location": (0.0, 0.0, 0.0), "scale": (1.0, 1.0, 1.0)}

_ROTATIONS_AT_REST: dict[str, Any] = {
    "rotation_euler": (0.0, 0.0, 0.0),
    "rotation_quaternion": (1.0, 0.0, 0.0, 0.0),
    "rotation_axis_angle": (0.0, 0.0, 1.0, 0.0),
}

_ROTATION_MODES: Any = bpy.types.PoseBone.bl_rna.properties["rotation_mode"]


def bones(name: str) -> list[dict[str, Any]]:
    """Return the bones of an armature in the rest position, parents before their children.

    Args:
        name: the armature object. In Edit Mode, the result contains the changes of the user.

    Returns:
        For each bone a map, in the space of the armature object:
            name, parent: the names of the bone and its parent; nil if it has none.
            head, tail: lists of three numbers, in metres.
            matrix: the rest matrix, four rows of four numbers. The bone lies along its Y axis.
            connected: true if the head is always at the tail of the parent.
            deform: true if the bone moves the vertices of meshes.
    """
    data = _armature(object_named(name))
    if data.is_editmode:
        bpy.ops.ed.flush_edits()  # Edit Mode keeps its changes outside the bones.
    return [
        {
            "name": bone.name,
            "parent": bone.parent.name if bone.parent else None,
            "head": bone.head_local.copy(),
            "tail": bone.tail_local.copy(),
            "matrix": bone.matrix_local.copy(),
            "connected": bone.use_connect,
            "deform": bone.use_deform,
        }
        for bone in data.bones
    ]


def get_pose(name: str, given: Options = None) -> dict[str, dict[str, Any]]:
    """Return the pose of an armature object: a map from names of bones to maps, in the form for `set_pose`.

    Args:
        name: the armature object.
        given: the option `matrix`: True: each map also contains `matrix`, the matrix of the bone in the space of the
            armature object in the current frame, with parents, constraints and drivers: four rows of four numbers.
            Default False.

    Returns:
        For each bone a map of `location` (metres), `rotation_mode`, `rotation` in this mode (radians) and `scale`, all
        relative to the rest position.
    """
    chosen = options(given, ("matrix",))
    with_matrix = flag(chosen.get("matrix", False), "matrix")
    found = object_named(name)
    pose = _pose(found)
    described = {bone.name: _described(bone) for bone in pose.bones}
    if with_matrix:
        with evaluated(found) as result:
            for bone in _pose(result).bones:
                described[bone.name]["matrix"] = bone.matrix.copy()
    return described


def set_pose(name: str | memoryview, pose: Any, given: Options = None) -> dict[str, dict[str, Any]] | int:
    """Set the pose of bones. An animation of a bone sets it again in the next frame; see `stop_recording`.

    Of casts that set the same parts of the same bones, only the newest one runs. Casts make no undo step.

    Args:
        name: the armature object.
        pose: a map, or a binary for many bones.
            A map from names of bones to maps of these keys, all optional; other bones do not change.
                location: three numbers, in metres, relative to the rest position.
                rotation: in the mode of the bone: three angles in radians; w, x, y, z; or angle, x, y, z. For a bone
                    that rotates by a quaternion or by axis and angle, three numbers are angles around X, Y and Z.
                rotation_mode: QUATERNION, AXIS_ANGLE, XYZ or another order of Euler angles. Without a rotation, the
                    bone keeps its direction.
                scale: three numbers.
            A binary of little-endian float32, for each bone 7 or 10 numbers: the location X, Y, Z; the rotation W, X,
                Y, Z as a quaternion, also for bones with another rotation mode; and the scale X, Y, Z.
        given: the options
            bones: the names of the bones in the binary. Default: all bones, in the order of `bones`.
            record_pose: True: add the pose to the recording, see `stop_recording`. Default False.
            at: the time of the pose in seconds, on a clock that all senders share. Default the Unix time.

    Returns:
        For a map, these bones in the form of `get_pose`. For a binary, the number of bones.
    """
    chosen = options(given, ("bones", *recording.OPTIONS))
    moment = recording.moment_of(chosen)
    posed = editable(object_named(name))
    found = _pose_to_change(posed)
    if live.is_binary(pose):
        names = live.names_in(chosen["bones"], "bones") if "bones" in chosen else None
        return poses.set_binary(posed, found, pose, names, moment)
    if "bones" in chosen:
        raise ValueError("the option bones belongs to a binary: a map names the bones itself")
    return _set_map(posed, found, pose, moment)


def rest_pose(name: str, bones: list[str] | None = None) -> list[str]:
    """Set bones back to the rest position: location, rotation and scale. Return their names.

    Args:
        name: the armature object.
        bones: a list of the names of bones. Default None: all of them.
    """
    posed = editable(object_named(name))
    bones_by_name = _bones_to_change(posed)
    wanted = list(bones_by_name) if bones is None else _names(bones, posed.name, bones_by_name)
    with changes() as change:
        for each in wanted:
            for setting, value in (_REST | _ROTATIONS_AT_REST).items():
                change.set(bones_by_name[each], setting, value)
    return wanted


def get_shape_keys(name: str) -> dict[str, float]:
    """Return the values of the shape keys of an object: a map from their names to numbers.

    Args:
        name: the object: a mesh, a curve, a surface or a lattice. Without shape keys the map is empty.
    """
    keys = _shape_keys(object_named(name))
    return {} if keys is None else {key.name: key.value for key in keys.key_blocks}


def set_shape_keys(name: str | memoryview, values: Any, given: Options = None) -> dict[str, float] | int:
    """Set the values of shape keys. An animation of a key sets it again in the next frame.

    Objects that share the data share the keys. Of casts that set the same keys, only the newest one runs. Casts make no
    undo step.

    Args:
        name: the object.
        values: a map from names of shape keys to numbers; other keys do not change. Or a binary of little-endian
            float32, one number for each key. Blender moves each number to the range of its key, which is 0.0 to 1.0 by
            default.
        given: the options
            keys: the names of the keys in the binary. Default: all keys, in Blender's order.
            record_pose, at: as for `set_pose`.

    Returns:
        For a map, the values of all shape keys of the object. For a binary, the number of keys in it.
    """
    chosen = options(given, ("keys", *recording.OPTIONS))
    moment = recording.moment_of(chosen)
    found = object_named(name)
    blocks = _key_blocks(found)
    is_binary = live.is_binary(values)
    if is_binary:
        names = list(blocks) if "keys" not in chosen else live.names_in(chosen["keys"], "keys")
    elif "keys" in chosen:
        raise ValueError("the option keys belongs to a binary: a map names the keys itself")
    else:
        checked = {key: number(value, f"the value of {key!r}") for key, value in named(values).items()}
        names = list(checked)
    for key in names:
        if key not in blocks:
            raise LookupError(f"{found.name!r} has no shape key {key!r}; there are: {listed(blocks)}")
    numbers = live.values(values, len(names), "shape key") if is_binary else None
    if names:
        editable(found.data)
    frame = recording.frame_of(moment)
    if numbers is not None:
        _set_values(found, names, numbers)
    else:
        with changes() as change:
            for key, value in checked.items():
                change.set(blocks[key], "value", value)
    if frame is not None and names:
        recording.add(frame, found.name, recording.shape_key_columns(names), [blocks[key].value for key in names])
    return len(names) if is_binary else get_shape_keys(found.name)


class _Part(NamedTuple):
    """The checked pose of a bone; None: unchanged."""

    location: tuple[float, float, float] | None
    scale: tuple[float, float, float] | None
    mode: str | None
    rotation: rotations.Setting | None


# Find the bones


def _armature(found: bpy.types.Object) -> bpy.types.Armature:
    if not isinstance(found.data, bpy.types.Armature):
        raise ValueError(f"the object {found.name!r} is a {found.type}, not an armature")
    return found.data


def _pose(found: bpy.types.Object) -> Any:
    data = _armature(found)
    if found.pose is None or len(found.pose.bones) != len(data.bones):
        with evaluated(found):  # Blender creates the bones of a pose when it first evaluates the object.
            pass
    return found.pose


def _pose_to_change(posed: bpy.types.Object) -> Any:
    """Return the pose of an armature object.

    Raises:
        ValueError: the object is no armature, or it is in Edit Mode, where it shows no pose.
    """
    if _armature(posed).is_editmode:
        raise ValueError(f"the armature {posed.name!r} is in Edit Mode: switch to Object Mode or Pose Mode first")
    return _pose(posed)


def _bones_to_change(posed: bpy.types.Object) -> dict[str, Any]:
    """Return the bones of a pose by name."""
    return {bone.name: bone for bone in _pose_to_change(posed).bones}


def _names(given: Any, armature: str, known: Mapping[str, Any]) -> list[str]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"bones has to be a list of names, not {shown(given)}")
    names = [text(each) for each in given]
    for unknown in (each for each in names if each not in known):
        raise LookupError(f"{armature!r} has no bone {unknown!r}; there are: {listed(known)}")
    return names


# The pose of a bone


def _set_map(
    posed: bpy.types.Object, pose: Any, given: Options, moment: recording.Moment | None
) -> dict[str, dict[str, Any]]:
    bones_by_name = {bone.name: bone for bone in pose.bones}
    parts = {bone: options(value, _POSE, "part of a pose") for bone, value in named(given).items()}
    wanted: list[tuple[Any, _Part]] = []
    for bone, part in parts.items():
        found = bones_by_name.get(bone)
        if found is None:
            raise LookupError(f"{posed.name!r} has no bone {bone!r}; there are: {listed(bones_by_name.keys())}")
        wanted.append((found, _checked(found, part)))
    frame = recording.frame_of(moment)
    with changes() as change:
        for found, checked in wanted:
            _set(change, found, checked)
    if frame is not None:
        _record(frame, posed.name, wanted)
    return {found.name: _described(found) for found, _ in wanted}


def _record(frame: float, name: str, wanted: "list[tuple[Any, _Part]]") -> None:
    columns: list[recording.Column] = []
    row: list[float] = []
    for bone, part in wanted:
        rotation = rotations.property_of(bone)
        given = {"location": part.location, rotation: part.rotation or part.mode, "scale": part.scale}
        parts = [setting for setting, value in given.items() if value is not None]
        columns += recording.bone_columns(bone.name, parts)
        row += [number for setting in parts for number in getattr(bone, setting)]
    if columns:
        recording.add(frame, name, tuple(columns), row)


def _described(bone: bpy.types.PoseBone) -> dict[str, Any]:
    return {
        "location": bone.location.copy(),
        "rotation_mode": bone.rotation_mode,
        "rotation": rotations.own(bone),
        "scale": bone.scale.copy(),
    }


def _checked(bone: Any, part: dict[str, Any]) -> _Part:
    modes = {mode.identifier: mode.identifier for mode in _ROTATION_MODES.enum_items}
    mode = choice(part["rotation_mode"], modes, "rotation mode") if "rotation_mode" in part else None
    return _Part(
        location=vector(part["location"], "location") if "location" in part else None,
        scale=vector(part["scale"], "scale") if "scale" in part else None,
        mode=mode,
        rotation=rotations.checked(mode or bone.rotation_mode, part["rotation"]) if "rotation" in part else None,
    )


def _set(change: Changes, bone: Any, part: _Part) -> None:
    if part.location is not None:
        change.set(bone, "location", part.location)
    if part.scale is not None:
        change.set(bone, "scale", part.scale)
    if part.mode is not None and part.mode != bone.rotation_mode:
        rotation = rotations.converted(bone, part.mode)
        for setting in _ROTATIONS_AT_REST:  # Blender changes them together with the mode.
            change.set(bone, setting, list(getattr(bone, setting)))
        change.set(bone, "rotation_mode", part.mode)
        change.set(bone, *rotation)
    if part.rotation is not None:
        change.set(bone, *part.rotation)


def _set_values(found: bpy.types.Object, names: list[str], numbers: Any) -> None:
    """Set the values of shape keys in one step."""
    blocks = _shape_keys(found).key_blocks
    indices = {key: index for index, key in enumerate(blocks.keys())}
    whole = np.empty(len(blocks), np.float32)
    blocks.foreach_get("value", whole)
    whole[[indices[name] for name in names]] = numbers
    blocks.foreach_set("value", whole)
    data: Any = found.data
    data.update_tag()


def _key_blocks(found: bpy.types.Object) -> dict[str, Any]:
    keys = _shape_keys(found)
    return {} if keys is None else {key.name: key for key in keys.key_blocks}


def _shape_keys(found: bpy.types.Object) -> Any:
    data: Any = found.data
    if not hasattr(data, "shape_keys"):
        raise ValueError(f"the object {found.name!r} is a {found.type}, which has no shape keys")
    return data.shape_keys
