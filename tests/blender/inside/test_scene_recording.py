"""Recordings: samples of several senders become keyframes at the times of the senders."""

import struct
from collections.abc import Iterator
from typing import Any

import addon
import bpy
import pytest
from mathutils import Quaternion

pytestmark = pytest.mark.usefixtures("scene_handlers")


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def add_rig(name: str, bones: int = 64) -> Any:
    data = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for number in range(bones):
        data.edit_bones.new(f'Bone "{number}"').tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    if addon.scene_recording._recording.tracks:
        addon.scene_recording.stop_recording({"discard": True})


def set_pose(*arguments: Any) -> Any:
    return addon.scene_armatures.set_pose(*arguments)


def stop(given: Any = None) -> Any:
    return addon.scene_recording.stop_recording(given)


def keyframes(owner: Any, path: str, index: int) -> list[tuple[float, ...]]:
    curve = addon.scene_curves.find_curve(owner, path, index)
    return [] if curve is None else [tuple(point.co) for point in curve.keyframe_points]


def location(number: int) -> str:
    return f'pose.bones["Bone \\"{number}\\""].location'


def test_two_senders_at_sixty_per_second() -> None:
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1
    scene.frame_set(10)
    rigs = [add_rig("A"), add_rig("B")]
    begin = 1_764_000_000.0
    for sample in range(120):
        for offset, name in ((0.0, "A"), (0.005, "B")):
            pose = floats(*[sample, 0, 0, 1, 0, 0, 0] * 64)
            assert set_pose(name, pose, {"record_pose": True, "at": begin + offset + sample / 60}) == 64
    result = stop()
    assert result["samples"] == {"A": 120, "B": 120}
    assert result["missing"] == []
    assert result["first"] == 10
    assert result["last"] == pytest.approx(10 + (119 / 60 + 0.005) * 24)
    for offset, rig in zip((0.0, 0.005), rigs, strict=True):
        for bone in (0, 63):
            found = keyframes(rig, location(bone), 0)
            assert [value for _, value in found] == list(range(120))
            frames = [10 + (offset + sample / 60) * 24 for sample in range(120)]
            assert [frame for frame, _ in found] == pytest.approx(frames, abs=1e-3)
        curve = addon.scene_curves.find_curve(rig, location(5), 0)
        assert curve.group.name == 'Bone "5"'
        assert {point.interpolation for point in curve.keyframe_points} == {"LINEAR"}
    scene.frame_set(10 + 24)
    assert [rig.pose.bones[5].location.x for rig in rigs] == pytest.approx([60, 59.7], abs=0.01)


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_the_keyframes_play_what_was_recorded(mode: str) -> None:
    rig = add_rig("A", 3)
    rig.pose.bones[1].rotation_mode = mode
    turned = [Quaternion((0, 0, 1), 0.1 * sample) for sample in range(10)]
    for sample, rotation in enumerate(turned):
        pose = floats(*[*(sample, 0, 0), *rotation, *(1, 1, 1 + sample)] * 3)
        set_pose("A", pose, {"record_pose": True, "at": sample / 24})
    stop()
    addon.scene_armatures.rest_pose("A")
    for sample, rotation in enumerate(turned):
        bpy.context.scene.frame_set(1 + sample)
        for bone in rig.pose.bones:
            assert bone.location.x == pytest.approx(sample, abs=1e-3)
            assert bone.scale.z == pytest.approx(1 + sample, abs=1e-3)
            assert abs(bone.matrix_basis.to_quaternion().dot(rotation)) == pytest.approx(1, abs=1e-4)


def test_a_map_is_recorded_with_its_parts() -> None:
    rig = add_rig("A", 3)
    bone = rig.pose.bones[0].name
    for at in (0, 1):
        parts = {"location": [at, 2, 3], "rotation": [0, 0, at]}
        set_pose("A", {bone: parts}, {"record_pose": True, "at": at})
    stop()
    assert [value for _, value in keyframes(rig, location(0), 0)] == [0, 1]
    assert len(keyframes(rig, location(0).replace("location", "rotation_quaternion"), 3)) == 2
    assert keyframes(rig, location(0).replace("location", "scale"), 0) == []
    assert keyframes(rig, location(1), 0) == []


def test_shape_keys_and_transforms_are_recorded() -> None:
    cube = bpy.data.objects["Cube"]
    for key in ("Basis", "Smile"):
        cube.shape_key_add(name=key)
    for at in (0, 1, 2):
        options = {"record_pose": True, "at": at}
        addon.scene_armatures.set_shape_keys("Cube", floats(0, at / 2), options)
        row = [at, 0, 0, 1, 0, 0, 0, 1, 1, 1 + at]
        addon.scene_transforms.set_transforms(["Light", "Camera"], floats(*row, *row), options)
    addon.scene_armatures.set_shape_keys("Cube", {"Smile": 0.25}, {"record_pose": True, "at": 3})
    result = stop()
    assert result["samples"] == {"Cube": 4, "Light": 3, "Camera": 3}
    smile = keyframes(cube.data.shape_keys, 'key_blocks["Smile"].value', 0)
    assert [value for _, value in smile] == [0, 0.5, 1, 0.25]
    for name in ("Light", "Camera"):
        assert [value for _, value in keyframes(bpy.data.objects[name], "scale", 2)] == [1, 2, 3]
        assert [value for _, value in keyframes(bpy.data.objects[name], "location", 0)] == [0, 1, 2]


def test_a_recording_replaces_the_keyframes_in_its_time() -> None:
    cube = bpy.data.objects["Cube"]
    before = [1.0, 5.0, 6.5, 8.0, 20.0]
    addon.scene_curves.set_fcurve("Cube", "location", 0, before, [7.0] * 5, {"interpolation": "constant"})
    bpy.context.scene.frame_set(5)
    for at in (2, 0, 1, 1):  # In any order; of two samples of one time, the later one counts.
        moved = floats(100 + at, 0, 0, 1, 0, 0, 0)
        addon.scene_transforms.set_transforms(["Cube"], moved, {"record_pose": True, "at": at / 24 + 9})
    stop()
    # The first sample, at 2, came to the current frame.
    assert keyframes(cube, "location", 0) == [(1, 7), (3, 100), (4, 101), (5, 102), (6.5, 7), (8, 7), (20, 7)]
    curve = addon.scene_curves.find_curve(cube, "location", 0)
    interpolations = [point.interpolation for point in curve.keyframe_points]
    assert interpolations == ["CONSTANT", "LINEAR", "LINEAR", "LINEAR", "CONSTANT", "CONSTANT", "CONSTANT"]


def test_a_recording_ends_although_something_has_gone() -> None:
    rig = add_rig("A", 2)
    gone = add_rig("Gone", 1)
    options = {"record_pose": True, "at": 0}
    for name, bones in (("A", 2), ("Gone", 1)):
        set_pose(name, floats(*[1, 2, 3, 1, 0, 0, 0] * bones), options)
    bpy.data.objects.remove(gone)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.remove(rig.data.edit_bones[1])
    bpy.ops.object.mode_set(mode="OBJECT")
    missing = stop()["missing"]
    assert set(missing) == {"Gone", f"A: {location(1)}", f"A: {location(1).replace('location', 'rotation_quaternion')}"}
    assert keyframes(rig, location(0), 2) == [(1, 3)]


def test_a_discarded_recording_leaves_nothing() -> None:
    rig = add_rig("A", 2)
    set_pose("A", floats(*[1, 2, 3, 1, 0, 0, 0] * 2), {"record_pose": True, "at": 0})
    assert stop({"discard": True})["samples"] == {"A": 1}
    assert rig.animation_data is None
    with pytest.raises(ValueError, match="nothing was recorded"):
        stop()


def test_a_time_on_another_clock_is_refused_before_anything_changes() -> None:
    rig = add_rig("A", 1)
    set_pose("A", floats(0, 0, 0, 1, 0, 0, 0), {"record_pose": True, "at": 5.0})
    with pytest.raises(ValueError, match="all senders of a recording have to use the same clock"):
        set_pose("A", floats(9, 9, 9, 1, 0, 0, 0), {"record_pose": True, "at": 1_764_000_000})
    assert rig.pose.bones[0].location[:] == (0, 0, 0)


def test_without_a_time_the_time_of_arrival_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = add_rig("A", 1)
    for now in (1000.0, 1000.5):
        monkeypatch.setattr("time.time", lambda now=now: now)
        set_pose("A", floats(now, 0, 0, 1, 0, 0, 0), {"record_pose": True})
    stop()
    assert keyframes(rig, location(0), 0) == [(1, 1000), (13, 1000.5)]


def test_a_full_recording_refuses_more(monkeypatch: pytest.MonkeyPatch) -> None:
    add_rig("A", 1)
    pose, options = floats(0, 0, 0, 1, 0, 0, 0), {"record_pose": True, "at": 0}
    set_pose("A", pose, options)
    monkeypatch.setattr(addon.scene_recording, "MOST_BYTES", 20)
    with pytest.raises(ValueError, match="call stop_recording"):
        set_pose("A", pose, options)
