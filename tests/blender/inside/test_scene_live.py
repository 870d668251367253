"""Poses, shape keys and transforms as binaries: what is set, what a stream of casts costs, what the user can undo."""

import math
import struct
import subprocess
from typing import Any

import addon
import bpy
import erlang
import pytest
from mathutils import Euler, Quaternion, Vector

from beam_bpy import BeamServer

pytestmark = pytest.mark.usefixtures("scene_handlers")

MODES = ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"]

BONES = 200


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def row(seed: int, *, with_scale: bool = False) -> list[float]:
    """Location, rotation and scale, which differ for each seed."""
    turned = Euler((0.01 * seed, -0.02 * seed, 0.005 * seed)).to_quaternion()
    return [seed, -seed, 0.5, *turned, *((1, 2, 1 + seed) if with_scale else ())]


@pytest.fixture
def rig() -> Any:
    """An armature of many bones, which were created in another order than the order of their parents."""
    data = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    made = [data.edit_bones.new(f"Bone {number}") for number in range(BONES)]
    for number, bone in enumerate(made):
        bone.head, bone.tail = (number, 0, 0), (number, 0, 1)
        if number + 7 < BONES:
            bone.parent = made[number + 7]
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def set_pose(*arguments: Any) -> Any:
    return addon.scene_armatures.set_pose(*arguments)


def order() -> list[str]:
    return [bone["name"] for bone in addon.scene_armatures.bones("Rig")]


def is_at(posed: Any, expected: list[float]) -> None:
    assert posed.location[:] == pytest.approx(expected[:3], abs=1e-5)
    rotation = posed.matrix_basis.to_quaternion()
    # A quaternion and its negative are the same rotation.
    assert abs(rotation.dot(Quaternion(expected[3:7]).normalized())) == pytest.approx(1, abs=1e-5)
    assert posed.scale[:] == pytest.approx(expected[7:] or (1, 1, 1), abs=1e-5)


def test_bones_come_after_their_parents(rig: Any) -> None:
    seen: set[str | None] = {None}
    for bone in addon.scene_armatures.bones("Rig"):
        assert bone["parent"] in seen
        seen.add(bone["name"])
    assert len(seen) == BONES + 1


@pytest.mark.parametrize("with_scale", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_binary_sets_all_bones_in_their_own_modes(rig: Any, mode: str, with_scale: bool) -> None:
    names = order()
    for name in names[::2]:
        rig.pose.bones[name].rotation_mode = mode
    rows = [row(number, with_scale=with_scale) for number in range(BONES)]
    binary = b"".join(floats(*each) for each in rows)
    assert set_pose("Rig", memoryview(binary)) == BONES
    for name, expected in zip(names, rows, strict=True):
        is_at(rig.pose.bones[name], expected)
    assert {rig.pose.bones[name].rotation_mode for name in names[::2]} == {mode}


@pytest.mark.parametrize("mode", MODES)
def test_a_binary_sets_some_bones(rig: Any, mode: str) -> None:
    chosen = ["Bone 150", "Bone 3", "Bone 77"]
    rig.pose.bones["Bone 3"].rotation_mode = mode
    before = addon.scene_armatures.get_pose("Rig")
    rows = [row(number, with_scale=True) for number in (5, 6, 7)]
    assert set_pose("Rig", b"".join(floats(*each) for each in rows), {"bones": chosen}) == 3
    for name, expected in zip(chosen, rows, strict=True):
        is_at(rig.pose.bones[name], expected)
    after = addon.scene_armatures.get_pose("Rig")
    assert {name for name in after if after[name] != before[name]} == set(chosen)


def test_bones_that_were_added_later(rig: Any) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    root = rig.data.edit_bones.new("Root")
    root.tail = (0, 0, 1)
    for bone in rig.data.edit_bones:
        if bone.parent is None and bone != root:
            bone.parent = root
    bpy.ops.object.mode_set(mode="OBJECT")
    names = order()
    assert names[0] == "Root"
    rows = [row(number) for number in range(BONES + 1)]
    set_pose("Rig", b"".join(floats(*each) for each in rows))
    for name, expected in zip(names, rows, strict=True):
        is_at(rig.pose.bones[name], expected)


def test_euler_angles_stay_near_the_former_ones(rig: Any) -> None:
    bone = rig.pose.bones["Bone 3"]
    bone.rotation_mode = "XYZ"
    turns = []
    for degrees in range(0, 720, 10):
        turned = Quaternion((0, 0, 1), math.radians(degrees))
        set_pose("Rig", floats(0, 0, 0, *turned), {"bones": ["Bone 3"]})
        turns.append(math.degrees(bone.rotation_euler.z))
    assert turns == pytest.approx(list(range(0, 720, 10)), abs=0.1)


def test_a_pose_moves_what_is_evaluated(rig: Any) -> None:
    set_pose("Rig", floats(*[5, 0, 0, 1, 0, 0, 0] * BONES))
    addon.scene_live.update()
    posed = rig.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    root = next(bone for bone in rig.data.bones if bone.parent is None)
    offset = posed[root.name].matrix.to_translation() - root.matrix_local.to_translation()
    assert offset.length == pytest.approx(5)


@pytest.mark.parametrize(
    ("pose", "sentence"),
    [
        (b"1234", f"the binary for {BONES} bones has to have {28 * BONES} or {40 * BONES} bytes, not 4"),
        (floats(*[0.0] * 7 * BONES), "is a quaternion of zeros"),
        (floats(*[math.nan] * 7 * BONES), "a number that is infinite or nan"),
    ],
)
def test_a_wrong_binary_is_refused_with_a_sentence(rig: Any, pose: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        set_pose("Rig", pose)


@pytest.fixture
def face() -> Any:
    cube = bpy.data.objects["Cube"]
    for key in ("Basis", "Smile", "Blink"):
        cube.shape_key_add(name=key)
    cube.data.shape_keys.key_blocks["Smile"].data[0].co = (9, 9, 9)
    return cube


def test_shape_keys_from_a_binary(face: Any) -> None:
    set_keys = addon.scene_armatures.set_shape_keys
    assert set_keys("Cube", floats(0, 0.25, 7)) == 3
    assert addon.scene_armatures.get_shape_keys("Cube") == {"Basis": 0, "Smile": 0.25, "Blink": 1}
    assert set_keys("Cube", floats(0.5, 0.75), {"keys": ["Blink", "Smile"]}) == 2
    assert addon.scene_armatures.get_shape_keys("Cube") == {"Basis": 0, "Smile": 0.75, "Blink": 0.5}
    addon.scene_live.update()
    evaluated = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    assert evaluated.vertices[0].co[:] != face.data.vertices[0].co[:]
    assert set_keys("Cube", {"Smile": 1}) == {"Basis": 0, "Smile": 1, "Blink": 0.5}
    with pytest.raises(ValueError, match="the binary for 3 shape keys has to have 12 bytes, not 8"):
        set_keys("Cube", floats(0, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_scale", [False, True])
def test_transforms_of_many_objects(mode: str, with_scale: bool) -> None:
    names = [f"Crate {number}" for number in range(300)]
    for name in names:
        made = bpy.data.objects.new(name, None)
        made.rotation_mode = mode
        bpy.context.scene.collection.objects.link(made)
    rows = [row(number, with_scale=with_scale) for number in range(300)]
    assert addon.scene_transforms.set_transforms(names, b"".join(floats(*each) for each in rows)) == 300
    addon.scene_live.update()
    for name, expected in zip(names, rows, strict=True):
        is_at(bpy.data.objects[name], expected)
        assert bpy.data.objects[name].matrix_world.to_translation() == Vector(expected[:3])


def test_transforms_without_objects() -> None:
    assert addon.scene_transforms.set_transforms([], b"") == 0


# Casts


def cast_in_one_tick(server: BeamServer, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Evaluate Erlang, in which Cast(Function, Arguments) casts, and then run all casts in one tick."""
    monkeypatch.setattr("beam_bpy.dispatch.call_queue.TICK", 60.0)
    from beam_bpy.dispatch.host_queue import host_queue

    server.expose(name="arrived", inline=True)(lambda: True)
    calls = host_queue()
    assert calls is not None

    def wait(process: "subprocess.Popen[Any]") -> None:
        process.wait(60)

    erlang.erl(
        f"""
        N = '{server.node_name}',
        Cast = fun(Function, Arguments) -> erpc:cast(N, scene, Function, Arguments) end,
        {code},
        erpc:call(N, scene, arrived, [])
        """,
        None,
        meanwhile=wait,
    )
    calls.drain(60.0)


BINARY = "<< <<F:32/float-little>> || F <- [X, 0, 0, 1, 0, 0, 0] >>"


def test_a_hundred_casts_make_one_update(server: BeamServer, monkeypatch: pytest.MonkeyPatch, rig: Any) -> None:
    for number in range(100):
        bpy.context.scene.collection.objects.link(bpy.data.objects.new(f"Crate {number}", None))
    bpy.context.view_layer.update()
    bpy.ops.beam_bpy.start_server()
    updates: list[None] = []

    def count(*_: Any) -> None:
        updates.append(None)

    bpy.app.handlers.depsgraph_update_post.append(count)
    try:
        cast_in_one_tick(
            server,
            monkeypatch,
            f"""
            Name = fun(X) -> <<"Crate ", (integer_to_binary(X))/binary>> end,
            [Cast(set_transforms, [[Name(X)], {BINARY}]) || X <- lists:seq(0, 97)],
            [Cast(set_pose, [<<"Rig">>, {BINARY}, #{{bones => [<<"Bone 3">>]}}]) || X <- [7]],
            Cast(move_vertices, [<<"Cube">>, lists:duplicate(24, 0.5)])
            """,
        )
    finally:
        bpy.app.handlers.depsgraph_update_post.remove(count)
    assert len(updates) == 1
    assert [bpy.data.objects[f"Crate {number}"].location.x for number in range(98)] == list(range(98))
    assert bpy.data.objects["Crate 97"].matrix_world.to_translation().x == 97
    assert rig.pose.bones["Bone 3"].location.x == 7
    assert {tuple(vertex.co) for vertex in bpy.data.objects["Cube"].data.vertices} == {(0.5, 0.5, 0.5)}


def test_the_last_cast_of_each_kind_runs(
    server: BeamServer, monkeypatch: pytest.MonkeyPatch, rig: Any, face: Any
) -> None:
    """Casts that set the same things replace one another. Those that set others do not."""
    bpy.ops.beam_bpy.start_server()
    before = server.activity.replaced
    cast_in_one_tick(
        server,
        monkeypatch,
        f"""
        [begin
            Cast(set_pose, [<<"Rig">>, {BINARY}, #{{bones => [<<"Bone 1">>]}}]),
            Cast(set_pose, ['Rig', {BINARY}, [{{bones, [<<"Bone 2">>]}}]]),
            Cast(set_pose, [<<"Rig">>, #{{<<"Bone 3">> => #{{location => [X, 0, 0]}}}}]),
            Cast(set_pose, [<<"Rig">>, #{{<<"Bone 3">> => #{{scale => [X, 1, 1]}}}}]),
            Cast(set_pose, [<<"Rig">>, #{{'Bone 4' => #{{location => [X, 0, 0]}}}}]),
            Cast(set_shape_keys, [<<"Cube">>, #{{'Smile' => X / 10}}]),
            Cast(set_shape_keys, [<<"Cube">>, <<(X / 10):32/float-little>>, #{{keys => ['Blink']}}]),
            Cast(set_transforms, [[<<"Camera">>], {BINARY}]),
            Cast(set_transforms, [[<<"Light">>], {BINARY}]),
            Cast(move_vertices, [<<"Cube">>, [float(X) || _ <- lists:seq(1, 24)]])
        end || X <- lists:seq(1, 10)]
        """,
    )
    bones = rig.pose.bones
    assert [bones[f"Bone {number}"].location.x for number in (1, 2, 3, 4)] == [10] * 4
    assert bones["Bone 3"].scale.x == 10
    keys = addon.scene_armatures.get_shape_keys("Cube")
    assert (keys["Smile"], keys["Blink"]) == (1, 1)
    assert [bpy.data.objects[name].location.x for name in ("Camera", "Light")] == [10, 10]
    assert server.activity.replaced - before == 90


def test_recorded_casts_are_not_replaced(server: BeamServer, monkeypatch: pytest.MonkeyPatch, rig: Any) -> None:
    bpy.ops.beam_bpy.start_server()
    cast_in_one_tick(
        server,
        monkeypatch,
        f"""
        Options = fun(X) -> #{{bones => [<<"Bone 1">>], record_pose => true, at => X / 24}} end,
        [Cast(set_pose, [<<"Rig">>, {BINARY}, Options(X)]) || X <- lists:seq(1, 50)]
        """,
    )
    assert addon.scene_recording.stop_recording()["samples"] == {"Rig": 50}
