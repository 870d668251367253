"""Events for programs that follow a Blender: transforms, poses, matrices, and objects that come and go.

    topic           objects
    transforms      the properties of each object that has moved, as `describe_object` returns them
    poses           for each armature the bones that have moved, as `get_pose` returns them
    matrices        the world matrix of each object, after parents, constraints and drivers
    pose_matrices   for each armature the matrices of its bones, after constraints, in the space of the armature
    objects         the names of new, deleted and renamed objects

Each payload has the keys `origin` and `token`: the node whose call has made the change, and the value that it gave with
`call_with_token`. Both are nil for a change that no call has made, such as one by the user or by an animation. So a
program that follows two Blenders ignores what it has caused itself.

Blender reports which objects have been updated. Their values are compared with those that were published last, so an
object is published only if its value has changed. A window collects for `PAUSE` seconds, and sends the newest value of
each object. Without a window, each call sends its changes before its answer.

To know the origin, the dependency graph is updated before and after each call of a handler that changes the scene: what
it reports before the call was not made by it. Without subscribers, nothing of this happens.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from .support import rotations
from .support.arguments import choice, shown

if TYPE_CHECKING:
    from beam_bpy import BeamServer, CurrentCall

PAUSE = 1 / 60
"""The shortest time between two messages of a topic in a Blender with a window, in seconds."""

BUDGET = 0.004
"""The longest time that a window compares values at once, in seconds. The other objects follow after `PAUSE`."""

ABSOLUTE, RELATIVE = 1e-6, 2.5e-7
"""Smaller differences are rounding errors of 32-bit floats, and no change."""

Values = NDArray[np.float32]
"""One row of numbers for each part of an object: one for its transform, or one for each bone."""


# The values of the topics. Each part of an object has a row of numbers, so that rows with changes are found at once.


class _Topic(NamedTuple):
    """How to read the values of a topic.

    Attributes:
        name: the topic.
        read: returns the values of an object, or None if it has none.
        describe: returns the payload of some rows, from the object and the numbers of the rows.
    """

    name: str
    read: Callable[[bpy.types.Object], Values | None]
    describe: Callable[[bpy.types.Object, list[int]], Any]


def _transform(found: bpy.types.Object) -> Values | None:
    owner: Any = found
    numbers = (
        *owner.location,
        _MODES[owner.rotation_mode],
        *owner.rotation_euler,
        *owner.rotation_quaternion,
        *owner.rotation_axis_angle,
        *owner.scale,
    )
    return np.array([numbers], dtype=np.float32)


def _described_transform(found: bpy.types.Object, _rows: list[int]) -> dict[str, Any]:
    return _described(found)


def _pose(found: bpy.types.Object) -> Values | None:
    if found.pose is None or not found.pose.bones:
        return None
    bones = found.pose.bones
    parts = []
    for name, width in _BONE_PROPERTIES:
        numbers = np.empty(len(bones) * width, dtype=np.int32 if name == "rotation_mode" else np.float32)
        bones.foreach_get(name, numbers)
        parts.append(numbers.reshape(len(bones), width).astype(np.float32, copy=False))
    return np.hstack(parts)


def _described_pose(found: bpy.types.Object, rows: list[int]) -> dict[str, Any]:
    pose: Any = found.pose
    return {pose.bones[row].name: _described(pose.bones[row]) for row in rows}


def _described(owner: Any) -> dict[str, Any]:
    return {
        "location": owner.location.copy(),
        "rotation": rotations.own(owner),
        "rotation_mode": owner.rotation_mode,
        "scale": owner.scale.copy(),
    }


def _matrix(found: bpy.types.Object) -> Values | None:
    return np.array(_evaluated(found).matrix_world, dtype=np.float32).reshape(1, 16)


def _described_matrix(found: bpy.types.Object, _rows: list[int]) -> bytes:
    return _bytes(_matrix(found))


def _pose_matrices(found: bpy.types.Object) -> Values | None:
    evaluated = _evaluated(found)
    if evaluated.pose is None or not evaluated.pose.bones:
        return None
    bones = evaluated.pose.bones
    columns = np.empty(len(bones) * 16, dtype=np.float32)
    bones.foreach_get("matrix", columns)
    return columns.reshape(-1, 4, 4).transpose(0, 2, 1).reshape(-1, 16)


def _described_pose_matrices(found: bpy.types.Object, rows: list[int]) -> dict[str, bytes]:
    values = _pose_matrices(found)
    bones: Any = found.pose
    assert values is not None
    return {bones.bones[row].name: _bytes(values[row]) for row in rows}


def _bytes(values: Values | None) -> bytes:
    assert values is not None
    return values.astype("<f4").tobytes()


def _evaluated(found: bpy.types.Object) -> bpy.types.Object:
    layer = bpy.context.view_layer
    assert layer is not None
    assert layer.depsgraph is not None
    return found.evaluated_get(layer.depsgraph)


_BONE_PROPERTIES = (
    ("location", 3),
    ("rotation_mode", 1),
    ("rotation_euler", 3),
    ("rotation_quaternion", 4),
    ("rotation_axis_angle", 4),
    ("scale", 3),
)

_MODE_PROPERTY: Any = bpy.types.Object.bl_rna.properties["rotation_mode"]
_MODES: dict[str, int] = {mode.identifier: mode.value for mode in _MODE_PROPERTY.enum_items}

_TOPICS = {
    topic.name: topic
    for topic in (
        _Topic("transforms", _transform, _described_transform),
        _Topic("poses", _pose, _described_pose),
        _Topic("matrices", _matrix, _described_matrix),
        _Topic("pose_matrices", _pose_matrices, _described_pose_matrices),
    )
}

_OBJECTS = "objects"


class _State:
    """The values that were published last, and the changes that were not published yet.

    Attributes:
        server: publishes.
        names: the names of all objects, by their `session_uid`; empty until somebody has subscribed.
        known: for each topic the values of objects, by their `session_uid`.
        updated: the names of the objects that Blender has updated since they were compared.
        came_or_went: True if objects may be new, deleted or renamed.
        pending: for each topic the payload for each object.
        author: the call that has made the pending changes.
        changing: True while a handler that changes the scene runs.
    """

    def __init__(self, server: "BeamServer") -> None:
        self.server = server
        self.end_watching = server.watch_changes(_before_call, _after_call)
        self.changing = False
        self.forget()

    def forget(self) -> None:
        """Forget all values: nobody has subscribed, or another file was loaded."""
        self.names: dict[int, str] = {}
        self.known: dict[str, dict[int, Values]] = {name: {} for name in _TOPICS}
        self.updated: set[str] = set()
        self.came_or_went = False
        self.pending: dict[str, dict[str, Any]] = {}
        self.author: CurrentCall | None = None

    def wanted(self) -> list[_Topic]:
        """The topics with values that have subscribers."""
        return [topic for topic in _TOPICS.values() if self.server.subscribers(topic.name)]

    def anything_wanted(self) -> bool:
        """True if a topic has subscribers."""
        return any(map(self.server.subscribers, (*_TOPICS, _OBJECTS)))


_state: _State | None = None


def register(server: "BeamServer") -> None:
    """Start to publish events with this server, and no longer with another one."""
    global _state
    unregister()
    _state = _State(server)
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Undo `register`."""
    global _state
    if _state is None:
        return
    _state.end_watching()
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    if bpy.app.timers.is_registered(_flush_in_time):
        bpy.app.timers.unregister(_flush_in_time)
    _state = None


def current_values(topics: list[str]) -> dict[str, Any]:
    """Return the present values of all objects, for a program that begins to follow. Subscribe before that.

    The values count as published: the next event of an object comes when its value is another one.

    Args:
        topics: a list of transforms, poses, matrices and pose_matrices.

    Returns:
        For each topic a map from the names of objects to their values, in the form of the events.
    """
    if not isinstance(topics, list | tuple):
        raise ValueError(f"topics has to be a list, not {shown(topics)}")
    chosen = [choice(topic, _TOPICS, "topic") for topic in topics]
    state = _state
    if state is not None and state.anything_wanted():
        _update()
        _compare(None)
        _flush()
        state.names = _names()
    result: dict[str, Any] = {topic.name: {} for topic in chosen}
    for found in _local_objects():
        for topic in chosen:
            values = topic.read(found)
            if values is None:
                continue
            result[topic.name][found.name] = topic.describe(found, list(range(len(values))))
            if state is not None and state.server.subscribers(topic.name):
                state.known[topic.name][_uid(found)] = values
    return result


# Functions that Blender and the server call


@persistent  # type: ignore[untyped-decorator]
def _updated(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Note the objects that Blender has updated."""
    state = _state
    if state is None or depsgraph is None:
        return
    if not state.anything_wanted():
        if state.names:
            state.forget()
        return
    if depsgraph.mode != "VIEWPORT":  # A render has a dependency graph of its own, on another thread.
        return
    if not state.names:
        state.names = _names()
    if depsgraph.id_type_updated("COLLECTION"):
        state.came_or_went = True
    if depsgraph.id_type_updated("OBJECT"):
        _note(state, depsgraph)
    if state.changing or not (state.updated or state.came_or_went):
        return
    if bpy.app.background:
        _compare(None)
        _flush()
    else:
        _flush_later()


def _note(state: _State, depsgraph: bpy.types.Depsgraph) -> None:
    for update in depsgraph.updates:
        if isinstance(update.id, bpy.types.Object):
            found: Any = update.id.original
            if found.library is None:
                state.updated.add(found.name)
                if state.names.get(_uid(found)) != found.name:
                    state.came_or_went = True


@persistent  # type: ignore[untyped-decorator]
def _undone(*_arguments: object) -> None:
    """Undo and redo can change, remove and create any object."""
    state = _state
    if state is not None and state.names:
        state.updated.update(found.name for found in _local_objects())
        state.came_or_went = True
        if not bpy.app.background:
            _flush_later()


@persistent  # type: ignore[untyped-decorator]
def _loaded(*_arguments: object) -> None:
    if _state is not None:
        _state.forget()


def _before_call() -> None:
    """A call that changes the scene begins: what has changed until now, it has not changed."""
    state = _state
    if state is not None and state.anything_wanted():
        _update()
        _compare(None)
        state.changing = True


def _after_call() -> None:
    """A call that changes the scene has ended: what has changed since it began, it has changed."""
    state = _state
    if state is None or not state.changing:
        return
    from beam_bpy import current_call

    _update()
    state.changing = False
    _compare(current_call())
    if bpy.app.background:
        _flush()
    elif state.pending:
        _flush_later()


def _update() -> None:
    """Update the dependency graph. Blender calls `_updated` if anything has changed."""
    layer = bpy.context.view_layer
    if layer is not None:
        layer.update()


# Compare and publish


def _compare(author: "CurrentCall | None", budget: float | None = None) -> None:
    """Compare the updated objects with the values that were published last.

    Args:
        author: the call that has made the changes since the last comparison; None for none.
        budget: seconds after which no further object is compared; default None, no limit.
    """
    state = _state
    if state is None or not (state.updated or state.came_or_went):
        return
    if author != state.author:
        _flush()
        state.author = author
    if state.came_or_went:
        _note_names(state)
    end = None if budget is None else time.perf_counter() + budget
    topics = state.wanted()
    while state.updated and (end is None or time.perf_counter() < end):
        found = bpy.data.objects.get((state.updated.pop(), None))
        if found is not None:
            for topic in topics:
                _compare_values(state, topic, found)


def _compare_values(state: _State, topic: _Topic, found: bpy.types.Object) -> None:
    values = topic.read(found)
    if values is None:
        return
    known = state.known[topic.name]
    rows = _changed_rows(known.get(_uid(found)), values)
    if not rows:
        return
    known[_uid(found)] = values
    described = topic.describe(found, rows)
    pending = state.pending.setdefault(topic.name, {})
    if topic.name in ("poses", "pose_matrices"):
        pending.setdefault(found.name, {}).update(described)
    else:
        pending[found.name] = described


def _changed_rows(before: Values | None, values: Values) -> list[int]:
    if before is None or before.shape != values.shape:
        return list(range(len(values)))
    same: Any = np.isclose(values, before, rtol=RELATIVE, atol=ABSOLUTE)
    rows: list[int] = np.flatnonzero(~same.all(axis=1)).tolist()
    return rows


def _note_names(state: _State) -> None:
    """Note which objects are new, deleted and renamed."""
    before, now = state.names, _names()
    state.names, state.came_or_went = now, False
    if before == now:
        return
    for values in state.known.values():
        for uid in before.keys() - now.keys():
            values.pop(uid, None)
    renamed = {before[uid]: now[uid] for uid in before.keys() & now.keys() if before[uid] != now[uid]}
    changed = {
        "new": sorted(now[uid] for uid in now.keys() - before.keys()),
        "deleted": sorted(before[uid] for uid in before.keys() - now.keys()),
        "renamed": renamed,
    }
    # The events of values before this one have the names before it.
    _flush()
    if any(changed.values()) and state.server.subscribers(_OBJECTS):
        state.server.publish(_OBJECTS, {**_origin(state.author), **changed})


def _flush() -> None:
    """Publish the pending changes."""
    state = _state
    if state is None:
        return
    pending, state.pending = state.pending, {}
    for topic, objects in pending.items():
        state.server.publish(topic, {**_origin(state.author), "objects": objects})


def _origin(author: "CurrentCall | None") -> dict[str, Any]:
    if author is None:
        return {"origin": None, "token": None}
    return {"origin": author.node, "token": author.token}


def _flush_later() -> None:
    if not bpy.app.timers.is_registered(_flush_in_time):
        bpy.app.timers.register(_flush_in_time, first_interval=PAUSE, persistent=True)


def _flush_in_time() -> float | None:
    state = _state
    if state is None or state.changing:
        return None
    _compare(None, BUDGET)
    _flush()
    return PAUSE if state.updated else None


# Objects


def _local_objects() -> list[bpy.types.Object]:
    return [found for found in bpy.data.objects if found.library is None]


def _names() -> dict[int, str]:
    return {_uid(found): found.name for found in _local_objects()}


def _uid(found: Any) -> int:
    uid: int = found.session_uid
    return uid


_HANDLERS = (
    ("depsgraph_update_post", _updated),
    ("frame_change_post", _updated),
    ("undo_post", _undone),
    ("redo_post", _undone),
    ("load_post", _loaded),
)
