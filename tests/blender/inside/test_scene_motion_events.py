"""Events of transforms, poses, matrices and objects, as a real Erlang node receives them."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import addon
import bpy
import in_blender
import pytest
from left_behind import app_handlers

from beam_bpy import Atom, BeamServer

TOPICS = ["transforms", "poses", "matrices", "pose_matrices", "objects"]

IDENTITY = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

USER: list[Callable[[], object]] = []
"""What the user does after the call of the handler `user`."""


def user(number: int) -> None:
    """The user does something after this call."""
    USER.append(_STEPS[number])


_STEPS: list[Callable[[], object]] = []


def user_now() -> None:
    """Do what the user does, and update the dependency graph as a window does."""
    while USER:
        USER.pop(0)()
        bpy.context.view_layer.update()


def move(name: str, x: float) -> None:
    """A handler that does not update the dependency graph."""
    bpy.data.objects[name].location.x = x


async def move_later(name: str, x: float) -> None:
    """The same, after it has waited."""
    import asyncio

    await asyncio.sleep(0.01)
    bpy.data.objects[name].location.x = x
    await asyncio.sleep(0.01)


@pytest.fixture
def rig() -> str:
    """An armature of two bones."""
    made = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(made)
    bpy.context.view_layer.objects.active = made
    bpy.ops.object.mode_set(mode="EDIT")
    for name in ("First", "Second"):
        made.data.edit_bones.new(name).tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.update()
    return made.name


@pytest.fixture
def served(scene_handlers: None, server: BeamServer) -> Iterator[BeamServer]:
    """A running server with the handlers of Scene Handlers and of this file."""
    server.expose(after_tick=user_now)(user)
    server.expose(changes_scene=True)(move)
    server.expose(changes_scene=True)(move_later)
    bpy.ops.beam_bpy.start_server()
    yield server
    _STEPS.clear()
    USER.clear()


def step(function: Callable[[], object]) -> str:
    """Erlang code: the user does this, and Blender evaluates it."""
    _STEPS.append(function)
    # The function of after_tick runs before the next call.
    return f"Call(user, [{len(_STEPS) - 1}]), timer:sleep(20), Call(list_objects, [])"


def received(topics: list[str], *code: str) -> list[tuple[str, Any]]:
    """The events that a subscriber gets; in the code, Call(Function, Arguments) calls a handler."""
    subscriptions = ", ".join(f'ok = Call(subscribe, [<<"{topic}">>])' for topic in topics)
    found: list[tuple[str, Any]] = in_blender.erl(
        f"""
        Call = fun(Function, Arguments) -> erpc:call(N, scene, Function, Arguments, 60000) end,
        {subscriptions},
        Call(current_values, [[transforms, poses, matrices, pose_matrices]]),
        {", ".join(code)},
        Collect = fun(Next) ->
            receive {{beam_bpy_event, N, Topic, #{{<<"origin">> := Origin}} = Payload}} ->
                Who = case Origin of nil -> nil; _ when Origin =:= node() -> caller; _ -> Origin end,
                [{{Topic, Payload#{{<<"origin">> := Who}}}} | Next(Next)]
            after 0 -> [] end
        end,
        Collect(Collect)
        """
    )
    return found


CALLER, NOBODY = Atom("caller"), None


def transform(x: float, y: float = 0.0, z: float = 0.0) -> dict[str, Any]:
    return {"location": [x, y, z], "rotation": [0.0] * 3, "rotation_mode": "XYZ", "scale": [1.0] * 3}


def moved(origin: Any, token: Any = None, **objects: Any) -> tuple[str, Any]:
    return ("transforms", {"origin": origin, "token": token, "objects": objects})


def cube() -> Any:
    return bpy.data.objects["Cube"]


def shift(x: float) -> Callable[[], object]:
    return lambda: setattr(cube().location, "x", x)


def test_a_change_of_the_user_has_no_origin(served: BeamServer) -> None:
    assert received(["transforms"], step(shift(2.0)), step(shift(2.0)), step(shift(3.0))) == [
        moved(NOBODY, Cube=transform(2.0)),
        moved(NOBODY, Cube=transform(3.0)),
    ]


@pytest.mark.parametrize(
    "call",
    [
        'Call(set_transform, [<<"Cube">>, #{location => [2, 0, 0]}])',
        'Call(set_property, [<<"objects[\\"Cube\\"].location">>, [2, 0, 0]])',
        'Call(move, [<<"Cube">>, 2.0])',
        'Call(move_later, [<<"Cube">>, 2.0])',
        'Call(call_batch, [[{<<"move">>, [<<"Cube">>, 1.0]}, {<<"move">>, [<<"Cube">>, 2.0]}]])',
        'erpc:cast(N, scene, move, [<<"Cube">>, 2.0]), Call(list_objects, [])',
        'gen_server:call({beam_bpy, N}, {move, <<"Cube">>, 2.0})',
    ],
)
def test_a_change_of_a_handler_has_the_node_of_its_caller(served: BeamServer, call: str) -> None:
    assert received(["transforms"], call) == [moved(CALLER, Cube=transform(2.0))]


def test_a_token(served: BeamServer) -> None:
    call = 'Call(call_with_token, [<<"mine">>, move, [<<"Cube">>, 2.0]]), Call(move, [<<"Cube">>, 3.0])'
    assert received(["transforms"], call) == [
        moved(CALLER, "mine", Cube=transform(2.0)),
        moved(CALLER, Cube=transform(3.0)),
    ]


def test_a_change_that_blender_has_not_evaluated_does_not_belong_to_the_next_call(served: BeamServer) -> None:
    def user_moves_light() -> None:
        bpy.data.objects["Light"].location = (1, 2, 3)

    served.expose(user_moves_light)  # It does not say that it changes the scene.
    code = 'Call(user_moves_light, []), Call(move, [<<"Cube">>, 2.0])'
    first, second = received(["transforms"], code)
    assert (first[1]["origin"], first[1]["objects"].keys()) == (NOBODY, {"Light"})
    assert second == moved(CALLER, Cube=transform(2.0))


def test_an_animation_has_no_origin_and_the_frame_of_a_call_has_one(served: BeamServer) -> None:
    for frame, x in ((1, 0.0), (11, 10.0)):
        cube().location.x = x
        cube().keyframe_insert("location", frame=frame)
    for curve in _curves(cube()):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
    bpy.context.scene.frame_set(1)

    found = received(["transforms"], step(lambda: bpy.context.scene.frame_set(3)), "Call(set_frame, [6])")

    assert [(event["origin"], round(event["objects"]["Cube"]["location"][0], 4)) for _, event in found] == [
        (NOBODY, 2.0),
        (CALLER, 5.0),
    ]


def _curves(found: Any) -> Any:
    action = found.animation_data.action
    if hasattr(action, "fcurves"):
        return action.fcurves
    return action.layers[0].strips[0].channelbags[0].fcurves


def test_children_move_in_matrices_only(served: BeamServer) -> None:
    light = bpy.data.objects["Light"]
    light.parent, light.location, light.rotation_euler = cube(), (0, 0, 1), (0, 0, 0)
    bpy.context.view_layer.update()

    found = dict(received(["transforms", "matrices"], 'Call(move, [<<"Cube">>, 2.0])'))

    assert found["transforms"]["objects"].keys() == {"Cube"}
    assert found["matrices"]["objects"].keys() == {"Cube", "Light"}
    rows = struct.unpack("<16f", _binary(found["matrices"]["objects"]["Light"]))
    assert rows == (1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1)


def _binary(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def test_poses_contain_the_bones_that_have_moved(served: BeamServer, rig: str) -> None:
    code = 'Call(set_pose, [<<"Rig">>, #{<<"Second">> => #{location => [0, 2, 0]}}])'
    found = dict(received(["poses", "pose_matrices", "transforms"], code))
    bone = {"location": [0.0, 2.0, 0.0], "rotation": [1.0, 0.0, 0.0, 0.0], "rotation_mode": "QUATERNION"}
    assert found["poses"]["objects"] == {"Rig": {"Second": {**bone, "scale": [1.0] * 3}}}
    matrices = found["pose_matrices"]["objects"]["Rig"]
    assert matrices.keys() == {"Second"}
    rows = struct.unpack("<16f", _binary(matrices["Second"]))
    # The bone lies along Z, so its own Y axis is Z of the armature.
    assert rows[3::4] == pytest.approx((0.0, 0.0, 2.0, 1.0))
    assert "transforms" not in found


def test_a_pose_of_a_user(served: BeamServer, rig: str) -> None:
    def pose() -> None:
        bones = bpy.data.objects["Rig"].pose.bones
        bones["First"].rotation_mode = "XYZ"
        bones["First"].rotation_euler.x = 1.5

    ((topic, event),) = received(["poses"], step(pose))
    assert (topic, event["origin"]) == ("poses", NOBODY)
    assert event["objects"]["Rig"].keys() == {"First"}
    assert event["objects"]["Rig"]["First"]["rotation"] == [1.5, 0.0, 0.0]


def objects(origin: Any, new: Any = (), deleted: Any = (), renamed: Any = ()) -> tuple[str, Any]:
    parts = {"new": list(new), "deleted": list(deleted), "renamed": dict(renamed)}
    return ("objects", {"origin": origin, "token": None, **parts})


def test_objects_come_and_go(served: BeamServer) -> None:
    def rename() -> None:
        cube().name = "Crate"

    steps = [
        'Call(create_cube, [<<"New">>])',
        'Call(delete_object, [<<"Light">>])',
        step(rename),
        step(lambda: bpy.data.objects.remove(bpy.data.objects["New"])),
    ]
    assert received(["objects"], *steps) == [
        objects(CALLER, new=["New"]),
        objects(CALLER, deleted=["Light"]),
        objects(NOBODY, renamed={"Cube": "Crate"}),
        objects(NOBODY, deleted=["New"]),
    ]


def test_values_of_a_renamed_object_have_the_new_name(served: BeamServer) -> None:
    def rename_and_move() -> None:
        cube().location.x = 5.0
        cube().name = "Crate"

    assert received(["transforms", "objects"], step(rename_and_move)) == [
        objects(NOBODY, renamed={"Cube": "Crate"}),
        moved(NOBODY, Crate=transform(5.0)),
    ]


def test_helpers_that_a_call_adds_and_removes_are_no_objects(served: BeamServer) -> None:
    cube().hide_viewport = True
    bpy.context.view_layer.update()
    assert received(TOPICS, 'Call(describe_object, [<<"Cube">>])') == []


def test_undo_and_redo(served: BeamServer) -> None:
    def change() -> None:
        bpy.ops.ed.undo_push(message="before")
        cube().location.x = 4.0
        bpy.data.objects.remove(bpy.data.objects["Light"])
        bpy.ops.ed.undo_push(message="after")

    steps = [step(change), step(bpy.ops.ed.undo), step(bpy.ops.ed.redo)]
    found = received(["transforms", "objects"], *steps)

    cubes = [event["objects"].get("Cube") for topic, event in found if topic == "transforms"]
    places = [each["location"][0] for each in cubes if each]
    assert places == [4.0, 0.0, 4.0]
    changes = [(event["new"], event["deleted"]) for topic, event in found if topic == "objects"]
    assert changes == [([], ["Light"]), (["Light"], []), ([], ["Light"])]


def test_after_another_file_was_loaded(served: BeamServer) -> None:
    path = bpy.app.tempdir + "motion.blend"
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)

    def load() -> None:
        bpy.ops.wm.open_mainfile(filepath=path)

    again = "Call(current_values, [[transforms]])"
    found = received(["transforms", "objects"], step(load), again, step(shift(7.0)))

    assert found[-1] == moved(NOBODY, Cube=transform(7.0))
    assert [event for topic, event in found if topic == "objects"] == []


def test_the_present_values(served: BeamServer, rig: str) -> None:
    values = in_blender.call("current_values", "[[transforms, poses, matrices, pose_matrices]]")
    assert values["transforms"]["Cube"] == transform(0.0)
    assert values["transforms"].keys() == values["matrices"].keys() == {"Camera", "Cube", "Light", "Rig"}
    assert list(struct.unpack("<16f", _binary(values["matrices"]["Cube"]))) == IDENTITY
    assert values["poses"].keys() == values["pose_matrices"].keys() == {"Rig"}
    assert values["poses"]["Rig"].keys() == values["pose_matrices"]["Rig"].keys() == {"First", "Second"}
    # Nobody has subscribed, so nothing is kept.
    assert not any(addon.scene_motion_events._state.known.values())


def test_without_the_present_values_the_first_event_contains_the_object(served: BeamServer) -> None:
    found = in_blender.erl(
        """
        ok = erpc:call(N, scene, subscribe, [<<"transforms">>]),
        erpc:call(N, scene, move, [<<"Cube">>, 2.0]),
        receive {beam_bpy_event, N, _, #{<<"objects">> := Objects}} -> Objects after 5000 -> none end
        """
    )
    assert found == {"Cube": transform(2.0)}


def test_a_rounding_error_is_no_change(served: BeamServer) -> None:
    assert received(["transforms", "matrices"], step(shift(1e-7)), step(shift(-2e-7))) == []


def test_nothing_is_computed_without_subscribers(served: BeamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    events = addon.scene_motion_events

    def fail(*_arguments: object) -> None:
        raise AssertionError("nobody has subscribed")

    for name in ("_note", "_compare", "_update", "_names", "_flush", "_flush_later"):
        monkeypatch.setattr(events, name, fail)
    in_blender.call("move", '[<<"Cube">>, 2.0]')
    bpy.context.scene.frame_set(3)
    events._undone()

    state = events._state
    assert not state.names
    assert not state.updated
    assert not any(state.known.values())


def test_all_is_forgotten_when_the_last_subscriber_ends(served: BeamServer) -> None:
    received(TOPICS, 'Call(move, [<<"Cube">>, 2.0])')
    state = addon.scene_motion_events._state
    assert state.names

    in_blender.call("move", '[<<"Cube">>, 3.0]')
    bpy.context.view_layer.update()

    assert not state.names
    assert not any(state.known.values())
    assert not state.pending


def test_many_changes_of_one_call_are_one_event(served: BeamServer) -> None:
    def wander() -> None:
        for x in range(100):
            cube().location.x = x
            bpy.context.view_layer.update()

    served.expose(changes_scene=True)(wander)
    assert received(["transforms"], "Call(wander, [])") == [moved(CALLER, Cube=transform(99.0))]


def test_disabling_leaves_nothing_behind(server: BeamServer) -> None:
    before = app_handlers()
    assert in_blender.enable(in_blender.SCENE_HANDLERS)
    events = addon.scene_motion_events
    in_blender.disable(in_blender.SCENE_HANDLERS)
    assert app_handlers() == before
    assert events._state is None
    assert not server._router.context.watchers.all
