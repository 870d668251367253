"""Handlers for the bones of armatures and their poses, and for shape keys."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import bpy

from . import rotations
from .arguments import (
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
from .changes import Changes, changes
from .evaluated import evaluated

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
        for bone in _sorted(data)
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


def set_pose(name: str, pose: Options) -> dict[str, dict[str, Any]]:
    """Set the pose of bones. Return these bones in the form of `get_pose`.

    An animation of a bone sets it again in the next frame; see `keyframe_insert` and `set_fcurve`.

    Args:
        name: the armature object.
        pose: a map from names of bones to maps of these keys, all optional; other bones do not change.
            location: three numbers, in metres, relative to the rest position.
            rotation: in the mode of the bone: three angles in radians; w, x, y, z; or angle, x, y, z. For a bone that
                rotates by a quaternion or by axis and angle, three numbers are angles around X, Y and Z.
            rotation_mode: QUATERNION, AXIS_ANGLE, XYZ or another order of Euler angles. Without a rotation, the bone
                keeps its direction.
            scale: three numbers.
    """
    posed = editable(object_named(name))
    bones_by_name = _bones_to_change(posed)
    parts = {bone: options(value, _POSE, "part of a pose") for bone, value in named(pose).items()}
    wanted: list[tuple[Any, _Part]] = []
    for bone, given in parts.items():
        found = bones_by_name.get(bone)
        if found is None:
            raise LookupError(f"{posed.name!r} has no bone {bone!r}; there are: {listed(bones_by_name.keys())}")
        wanted.append((found, _checked(found, given)))
    with changes() as change:
        for found, part in wanted:
            _set(change, found, part)
    return {found.name: _described(found) for found, _ in wanted}


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


def set_shape_keys(name: str, values: Options) -> dict[str, float]:
    """Set the values of shape keys. Return the values of all shape keys of the object.

    An animation of a key sets it again in the next frame. Objects that share the data share the keys.

    Args:
        name: the object.
        values: a map from names of shape keys to numbers. Blender moves each number to the range of its key, which is
            0.0 to 1.0 by default. Other keys do not change.
    """
    found = object_named(name)
    keys = _shape_keys(found)
    given = named(values)
    blocks: dict[str, Any] = {} if keys is None else {key.name: key for key in keys.key_blocks}
    checked = {key: number(value, f"the value of {key!r}") for key, value in given.items()}
    for key in checked:
        if key not in blocks:
            raise LookupError(f"{found.name!r} has no shape key {key!r}; there are: {listed(blocks)}")
    if checked:
        editable(found.data)
    with changes() as change:
        for key, value in checked.items():
            change.set(blocks[key], "value", value)
    return get_shape_keys(found.name)


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


def _sorted(data: bpy.types.Armature) -> list[bpy.types.Bone]:
    """Return the bones of an armature, parents before their children."""
    bones: Any = data.bones
    return sorted(bones, key=lambda bone: len(bone.parent_recursive))


def _pose(found: bpy.types.Object) -> Any:
    data = _armature(found)
    if found.pose is None or len(found.pose.bones) != len(data.bones):
        with evaluated(found):  # Blender creates the bones of a pose when it first evaluates the object.
            pass
    return found.pose


def _bones_to_change(posed: bpy.types.Object) -> dict[str, Any]:
    """Return the bones of a pose by name.

    Raises:
        ValueError: the object is no armature, or it is in Edit Mode, where it shows no pose.
    """
    if _armature(posed).is_editmode:
        raise ValueError(f"the armature {posed.name!r} is in Edit Mode: switch to Object Mode or Pose Mode first")
    return {bone.name: bone for bone in _pose(posed).bones}


def _names(given: Any, armature: str, known: Mapping[str, Any]) -> list[str]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"bones has to be a list of names, not {shown(given)}")
    names = [text(each) for each in given]
    for unknown in (each for each in names if each not in known):
        raise LookupError(f"{armature!r} has no bone {unknown!r}; there are: {listed(known)}")
    return names


# The pose of a bone


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


def _shape_keys(found: bpy.types.Object) -> Any:
    data: Any = found.data
    if not hasattr(data, "shape_keys"):
        raise ValueError(f"the object {found.name!r} is a {found.type}, which has no shape keys")
    return data.shape_keys
