"""A recording: poses, shape keys and transforms that arrive with `record_pose: true` become keyframes.

Each call adds a sample: a time, and the numbers that it has set. `stop_recording` writes the samples of all senders in
bulk, as keyframes at the times of the senders. The samples name objects and properties and hold no references.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import Options, editable, find, flag, number, options, scene
from ..support.changes import Changes, changes
from .animation import LAST_FRAME
from .curves import find_curve, make_curve

Array = NDArray[Any]

OPTIONS = ("record_pose", "at")
"""The options of handlers that can be recorded."""

MOST_BYTES = 2**30
"""The largest size of a recording. Half an hour of sixteen armatures with 64 bones fits into it."""


class Column(NamedTuple):
    """A property that is recorded.

    Attributes:
        path: the path of the property, below the object or its shape keys.
        width: how many numbers it has.
        group: the name of its group of curves; empty: none.
        of_shape_keys: True if the path begins at the shape keys of the object.
    """

    path: str
    width: int
    group: str = ""
    of_shape_keys: bool = False


Columns = tuple[Column, ...]

Moment = float
"""A time in seconds, on the clock of the senders."""

_WIDTHS = {"location": 3, "scale": 3, "rotation_euler": 3, "rotation_quaternion": 4, "rotation_axis_angle": 4}


@dataclass
class _Track:
    """The samples of one object that set the same properties: frames, and rows of float32."""

    frames: list[float] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


@dataclass
class _Recording:
    tracks: dict[tuple[str, Columns], _Track] = field(default_factory=dict)
    begin: Moment = 0.0
    first_frame: float = 0.0
    frames_per_second: float = 0.0
    size: int = 0


_recording = _Recording()


# The samples


def moment_of(chosen: dict[str, Any]) -> Moment | None:
    """Return the time of a call's sample, or None if the call is not recorded.

    Args:
        chosen: the options of the call: `record_pose`, default False; and `at`, default the Unix time.

    Raises:
        ValueError: `record_pose` is not true or false, or `at` is not a number.
    """
    recorded = flag(chosen.get("record_pose", False), "record_pose")
    at = number(chosen["at"], "at") if "at" in chosen else time.time()
    return at if recorded else None


def frame_of(moment: Moment | None) -> float | None:
    """Return the frame of a sample; None if there is no moment. The first sample comes to the current frame.

    Raises:
        ValueError: Blender has no such frame, or the recording is full.
    """
    if moment is None:
        return None
    if not _recording.tracks:
        render = scene().render
        _recording.begin, _recording.first_frame = moment, scene().frame_current_final
        _recording.frames_per_second = render.fps / render.fps_base
    if _recording.size > MOST_BYTES:
        raise ValueError(f"the recording has {MOST_BYTES} bytes: call stop_recording, and record again")
    frame = _recording.first_frame + (moment - _recording.begin) * _recording.frames_per_second
    if abs(frame) > LAST_FRAME:
        raise ValueError(
            f"at is {moment - _recording.begin:g} seconds after the first sample, where Blender has no frame: all "
            "senders of a recording have to use the same clock"
        )
    return frame


def add(frame: float, name: str, columns: Columns, row: Array | list[float]) -> None:
    """Add a sample.

    Args:
        frame: see `frame_of`.
        name: the object.
        columns: the properties.
        row: their numbers, one property after the other.
    """
    track = _recording.tracks.setdefault((name, columns), _Track())
    track.frames.append(frame)
    track.rows.append(np.asarray(row, np.float32).tobytes())
    _recording.size += len(track.rows[-1])


def bone_columns(name: str, parts: Iterable[str]) -> list[Column]:
    """Return the columns for properties of a bone, such as `location`."""
    bone = f'pose.bones["{bpy.utils.escape_identifier(name)}"]'
    return [Column(f"{bone}.{part}", _WIDTHS[part], name) for part in parts]


def object_columns(parts: Iterable[str]) -> Columns:
    """Return the columns for properties of an object, such as `location`."""
    return tuple(Column(part, _WIDTHS[part], "Object Transforms") for part in parts)


def shape_key_columns(names: Iterable[str]) -> Columns:
    """Return the columns for the values of shape keys."""
    return tuple(
        Column(f'key_blocks["{bpy.utils.escape_identifier(name)}"].value', 1, of_shape_keys=True) for name in names
    )


# The keyframes


def stop_recording(given: Options = None) -> dict[str, Any]:
    """End the recording, and write its samples as keyframes. They replace keyframes between the first and last sample.

    Args:
        given: the option `discard`: True: forget the samples, and write no keyframes. Default False.

    Returns:
        A map:
            first, last: the frames of the first and the last sample, which may have a fraction.
            samples: a map from names of objects to the numbers of their samples.
            missing: the names of recorded objects, and the paths of properties, that do not exist any more.
    """
    global _recording
    discard = flag(options(given, ("discard",)).get("discard", False), "discard")
    recorded = _recording
    if not recorded.tracks:
        raise ValueError("nothing was recorded: call set_pose or another handler with record_pose: true first")
    missing: list[str] = [] if discard else _write_all(recorded)
    _recording = _Recording()
    samples: dict[str, int] = {}
    for (name, _), track in recorded.tracks.items():
        samples[name] = samples.get(name, 0) + len(track.frames)
    frames = [frame for track in recorded.tracks.values() for frame in track.frames]
    return {"first": min(frames), "last": max(frames), "samples": samples, "missing": missing}


def _write_all(recorded: _Recording) -> list[str]:
    """Write the keyframes of all objects. Return what does not exist any more."""
    missing: list[str] = []
    channels: list[tuple[Any, Column, int, Array]] = []
    for owner, name, column, tables in _properties(recorded):
        if owner is None:
            missing += [name] if name not in missing else []
        elif not _exists(owner, column.path):
            missing.append(f"{name}: {column.path}")
        else:
            frames, values = _in_order(tables)
            channels += [
                (owner, column, index, np.column_stack((frames, values[:, index]))) for index in range(column.width)
            ]
    with changes() as change:
        for owner, column, index, points in channels:
            _write(owner, column, index, points, change)
    return missing


def _properties(recorded: _Recording) -> Iterator[tuple[Any, str, Column, list[tuple[Array, Array]]]]:
    """Yield each recorded property: its datablock or None, the name of the object, and frames and values."""
    tables: dict[tuple[str, Column], list[tuple[Array, Array]]] = {}
    for (name, columns), track in recorded.tracks.items():
        table = np.frombuffer(b"".join(track.rows), np.float32).reshape(len(track.rows), -1)
        frames, begin = np.array(track.frames, np.float32), 0
        for column in columns:
            end = begin + column.width
            tables.setdefault((name, column), []).append((frames, table[:, begin:end]))
            begin = end
    for (name, column), found in tables.items():
        yield _owner(name, of_shape_keys=column.of_shape_keys), name, column, found


def _owner(name: str, *, of_shape_keys: bool) -> Any:
    """Return the object or its shape keys; None if they do not exist any more.

    Raises:
        ValueError: the object, or its action, is linked and cannot be changed.
    """
    found = find(bpy.data.objects, name)
    if found is None:
        return None
    owner = getattr(editable(found).data, "shape_keys", None) if of_shape_keys else editable(found)
    if owner is not None and owner.animation_data is not None and owner.animation_data.action is not None:
        editable(owner.animation_data.action)
    return owner


def _exists(owner: Any, path: str) -> bool:
    try:
        owner.path_resolve(path)
    except ValueError:
        return False
    return True


def _in_order(tables: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return frames and values in the order of the frames. Of several samples of one frame, the last one is kept."""
    frames = np.concatenate([frames for frames, _ in tables])
    values = np.concatenate([values for _, values in tables])
    order = np.argsort(frames, kind="stable")
    frames, values = frames[order], values[order]
    last = np.append(frames[1:] != frames[:-1], True)
    return frames[last], values[last]


_PARTS: dict[str, tuple[int, type[np.generic]]] = {
    "co": (2, np.float32),
    "handle_left": (2, np.float32),
    "handle_right": (2, np.float32),
    "interpolation": (1, np.int32),
    "easing": (1, np.int32),
    "handle_left_type": (1, np.int32),
    "handle_right_type": (1, np.int32),
    "type": (1, np.int32),
    "amplitude": (1, np.float32),
    "back": (1, np.float32),
    "period": (1, np.float32),
}
"""The properties of a keyframe: how many numbers of which type."""

_NEW = {"interpolation": "LINEAR", "handle_left_type": "AUTO_CLAMPED", "handle_right_type": "AUTO_CLAMPED"}
"""The properties of recorded keyframes that differ from Blender's default."""


def _write(owner: Any, column: Column, index: int, points: Array, change: Changes) -> None:
    curve = find_curve(owner, column.path, index)
    kept: dict[str, Array] = {}
    if curve is None:
        curve = make_curve(owner, column.path, index, change, column.group)
    else:
        kept = _outside(curve, points[0, 0], points[-1, 0])
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.reshape(-1))
    for part, word in _NEW.items():
        # All new keyframes have the same properties, mostly these already: the user's preferences choose them.
        if getattr(curve.keyframe_points[0], part) != word:
            curve.keyframe_points.foreach_set(part, np.full(len(points), _number(part, word), np.int32))
    curve.update()  # This places the handles.
    if kept:
        _insert(curve, kept)
        curve.update()


def _number(part: str, word: str) -> int:
    """Return Blender's number for a word of a property of keyframes."""
    definition: Any = bpy.types.Keyframe.bl_rna.properties[part]
    number: int = definition.enum_items[word].value
    return number


def _insert(curve: Any, kept: dict[str, Array]) -> None:
    """Insert keyframes into a curve, in the order of the frames."""
    recorded = _read(curve)
    whole = {part: np.concatenate((kept[part], recorded[part])) for part in _PARTS}
    order = np.argsort(whole["co"][:, 0], kind="stable")
    curve.keyframe_points.add(len(kept["co"]))
    for part, values in whole.items():
        curve.keyframe_points.foreach_set(part, values[order].reshape(-1))


def _outside(curve: Any, first: float, last: float) -> dict[str, Array]:
    """Return the keyframes before the first and after the last frame. The map is empty if there are none."""
    found = _read(curve)
    frames = found["co"][:, 0]
    outside = (frames < first) | (frames > last)
    return {part: values[outside] for part, values in found.items()} if outside.any() else {}


def _read(curve: Any) -> dict[str, Array]:
    found = {}
    for part, (width, type_) in _PARTS.items():
        values = np.empty(width * len(curve.keyframe_points), type_)
        curve.keyframe_points.foreach_get(part, values)
        found[part] = values.reshape(-1, width)
    return found
