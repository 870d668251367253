"""Handlers for bench/live.py: `set_pose` of Scene Handlers, which also notes when each pose is up to date in the scene.

`serve --handlers scene_handlers --handlers bench/live_handlers.py` loads them.
"""

import time
from array import array
from typing import Any

import bpy

from beam_bpy import BeamServer
from scene_handlers.motion import armatures, live

_applied: list[tuple[str, float]] = []
"""The armature and the sender's time of each pose since the last update."""

_ages: "dict[str, array[float]]" = {}
"""The ages of the poses of each armature when they were up to date, in seconds."""

_not_drawn: list[float] = []
"""The sender's times of the poses that the window does not show yet."""

_drawn: "array[float]" = array("d")
"""The ages of the poses when the window showed them, in seconds."""


def pose(name: Any, rows: Any, given: dict[str, float]) -> None:
    """Set the pose of an armature. `at` is the Unix time at which it was sent."""
    armatures.set_pose(name, rows, given)
    _applied.append((str(name, "utf-8"), given["at"]))


def displayed() -> None:
    """Update the scene once for all poses of a tick, and note their ages."""
    live.update()
    now = time.time()
    for name, at in _applied:
        _ages.setdefault(name, array("d")).append(now - at)
    if not bpy.app.background:
        _not_drawn.extend(at for _name, at in _applied)
    _applied.clear()


def draw() -> None:
    """Note the ages of the poses that the 3D view shows from now on. Blender calls this when it has drawn the view."""
    now = time.time()
    _drawn.extend(now - at for at in _not_drawn)
    _not_drawn.clear()


def add_rigs(count: int, bones: int) -> None:
    """Add the armatures `rig0`, `rig1`, … with so many bones each, in chains of eight."""
    for number in range(count):
        data = bpy.data.armatures.new(f"rig{number}")
        rig = bpy.data.objects.new(f"rig{number}", data)
        bpy.context.scene.collection.objects.link(rig)  # type: ignore[union-attr]
        view_layer: Any = bpy.context.view_layer
        view_layer.objects.active = rig
        bpy.ops.object.mode_set(mode="EDIT")
        for index in range(bones):
            bone: Any = data.edit_bones.new(f"bone{index}")
            bone.head, bone.tail = (index, 0, 0), (index, 0, 1)
            if index % 8:
                bone.parent = data.edit_bones[f"bone{index - 1}"]
        bpy.ops.object.mode_set(mode="OBJECT")


def begin_ages() -> None:
    """Forget all ages."""
    _ages.clear()
    del _drawn[:]


def drawn() -> list[float]:
    """Return the ages of the poses when the window showed them, since `begin_ages`."""
    return _drawn.tolist()


def drawing_time(times: int) -> float:
    """Draw the window so many times. Return the seconds for one."""
    begin = time.perf_counter()
    bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=times)
    return (time.perf_counter() - begin) / times


def ages() -> dict[str, list[float]]:
    """Return the ages of the poses of each armature since `begin_ages`."""
    return {name: found.tolist() for name, found in _ages.items()}


def last_poses() -> dict[str, float]:
    """Return the number of the pose that each armature has: the first number of its first bone."""
    rigs: Any = bpy.data.objects
    return {rig.name: rig.pose.bones["bone0"].location.x for rig in rigs if rig.type == "ARMATURE"}


def register(server: BeamServer) -> None:
    """Register the handlers."""
    if not bpy.app.background:
        bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", "POST_PIXEL")
    server.expose(undo=True, binaries=memoryview, latest=live.pose_key, after_tick=displayed)(pose)
    for handler in (add_rigs, begin_ages, ages, drawn, drawing_time, last_poses):
        server.expose(handler)
