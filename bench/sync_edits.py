"""Random edits in a Blender that is a node: `serve --handlers bench/sync_edits.py`.

The edits are those of a user: no call of a handler makes them. A function of `after_tick` makes them after each call of
`edit`, when the call has its answer.
"""

import random
from typing import Any

import bpy

import scene_handlers
from beam_bpy import BeamServer

BONES = 16
CUBES = 12

_edits = 0
_waiting: list[int] = []


def register(server: BeamServer) -> None:
    """Register the handlers, and make a scene that is the same in each Blender."""
    scene_handlers.register(server)
    server.expose(after_tick=_edit_now)(edit)
    server.expose(edits)
    server.expose(state)
    _make_scene()


def edit(seed: int) -> None:
    """Make an edit after this call: move one object or one bone, by random numbers with this seed."""
    _waiting.append(seed)


def edits() -> int:
    """The number of edits."""
    return _edits


def state() -> dict[str, list[float]]:
    """All numbers that the edits change."""
    found: dict[str, list[float]] = {}
    objects: Any = bpy.data.objects
    for each in objects:
        found[each.name] = [*each.location, *each.rotation_euler, *each.rotation_quaternion, *each.scale]
        for bone in each.pose.bones if each.pose else ():
            found[f"{each.name} {bone.name}"] = [*bone.location, *bone.rotation_quaternion, *bone.scale]
    return found


def _edit_now() -> None:
    global _edits
    seeds = _waiting.copy()
    _waiting.clear()
    for seed in seeds:
        _edit(random.Random(seed))
        _edits += 1
        # A window does this after each input of the user.
        layer: Any = bpy.context.view_layer
        layer.update()


def _edit(chance: random.Random) -> None:
    found: Any = chance.choice(list(bpy.data.objects))
    if found.pose and chance.random() < 0.8:
        found = chance.choice([*found.pose.bones])
    what = chance.choice(("location", "rotation", "scale"))
    if what == "rotation":
        mode = found.rotation_mode
        what = "rotation_quaternion" if mode == "QUATERNION" else "rotation_euler"
    setattr(found, what, [chance.uniform(0.5, 2.0) for _ in getattr(found, what)])


def _make_scene() -> None:
    for old in [*bpy.data.objects]:
        bpy.data.objects.remove(old)
    context: Any = bpy.context
    collection = context.scene.collection
    for number in range(CUBES):
        made: Any = bpy.data.objects.new(f"Cube {number}", None)
        collection.objects.link(made)
        if number % 3 == 2:
            made.parent = bpy.data.objects[f"Cube {number - 1}"]
        if number % 4 == 3:
            made.rotation_mode = "QUATERNION"
    rig: Any = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    collection.objects.link(rig)
    context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for number in range(BONES):
        bone = rig.data.edit_bones.new(f"Bone {number}")
        bone.head, bone.tail = (number, 0, 0), (number, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    context.view_layer.update()
