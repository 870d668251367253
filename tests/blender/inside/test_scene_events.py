"""Scene events of Scene Handlers: cases that need a handler of the test, and the state after unregister."""

from typing import Any

import addon
import bpy
import in_blender
import pytest
from left_behind import app_handlers

from beam_bpy import BeamServer


def select(*names: str) -> None:
    """Select these objects; the first is the active one."""
    for found in bpy.data.objects:
        found.select_set(found.name in names)
    bpy.context.view_layer.objects.active = bpy.data.objects[names[0]] if names else None
    bpy.context.view_layer.update()


def save_and_load(path: str) -> None:
    """Save the file and load it again."""
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)


@pytest.fixture
def served(scene_handlers: None, server: BeamServer) -> None:
    """A running server with the handlers of Scene Handlers and of this file."""
    server.expose(select)
    server.expose(save_and_load)
    bpy.ops.beam_bpy.start_server()


def received(topics: list[str], code: str) -> list[tuple[str, Any]]:
    """The events that a subscriber gets while an expression runs. In it, Call(Function, Arguments) calls a handler."""
    subscriptions = ", ".join(f'ok = Call(subscribe, [<<"{topic}">>])' for topic in topics)
    found: list[tuple[str, Any]] = in_blender.erl(
        f"""
        Call = fun(Function, Arguments) -> erpc:call(N, scene, Function, Arguments, 60000) end,
        {subscriptions}, begin {code} end,
        Collect = fun(Next) ->
            receive {{beam_bpy_event, N, Topic, Payload}} -> [{{Topic, Payload}} | Next(Next)] after 0 -> [] end
        end,
        Collect(Collect)
        """
    )
    return found


def test_the_selection_is_published_when_it_is_another_one(served: None) -> None:
    steps = [
        'Call(select, [<<"Cube">>, <<"Light">>])',
        'Call(select, [<<"Cube">>, <<"Light">>])',
        'Call(select, [<<"Light">>])',
        "Call(select, [])",
    ]
    assert received(["selection"], ", ".join(steps)) == [
        ("selection", {"selected": ["Cube", "Light"], "active": "Cube"}),
        ("selection", {"selected": ["Light"], "active": "Light"}),
        ("selection", {"selected": [], "active": None}),
    ]


def test_each_update_is_one_message_with_the_new_object_in_it(served: None) -> None:
    found = received(["depsgraph_update"], 'Call(create_cube, [<<"Crate">>]), Call(select, [<<"Crate">>])')

    assert [topic for topic, _ in found] == ["depsgraph_update"], found
    assert "Crate" in found[0][1]["object"], found


def test_nothing_is_computed_while_nobody_has_subscribed(served: None) -> None:
    computed: list[bool] = []

    addon.scene_events._publish("frame_change", lambda: computed.append(True))
    addon.scene_events._depsgraph_updated(bpy.context.scene, bpy.context.evaluated_depsgraph_get())
    select("Cube")

    assert not computed
    assert not addon.scene_events._state.changed
    assert addon.scene_events._state.selection is None


def test_events_are_published_after_another_file_was_loaded(served: None) -> None:
    path = bpy.app.tempdir + "events.blend"

    found = received(["file_load", "frame_change"], f'Call(save_and_load, [<<"{path}">>]), Call(set_frame, [4])')

    assert found == [("file_load", {"path": path}), ("frame_change", {"scene": "Scene", "frame": 4})], found


def test_disabling_leaves_nothing_behind(server: BeamServer) -> None:
    before = app_handlers()
    assert in_blender.enable(in_blender.SCENE_HANDLERS)
    assert len(app_handlers()) == len(before) + 13
    events = addon.scene_events

    in_blender.disable(in_blender.SCENE_HANDLERS)

    assert app_handlers() == before
    assert not any(handler.owner == in_blender.SCENE_HANDLERS for handler in server.handlers)
    assert not bpy.app.timers.is_registered(events._flush)


SMALL = "#{width => 16, height => 16, samples => 1}"

ALL_TOPICS = ["frame_change", "depsgraph_update", "render", "selection"]


@pytest.mark.parametrize(
    "code",
    [
        f"Call(thumbnail, [scene, nil, {SMALL}])",
        f'Call(thumbnail, [object, <<"Cube">>, {SMALL}])',
        f"Call(turntable, [scene, nil, maps:put(count, 2, {SMALL})])",
        "Call(render_pass, [depth, #{width => 16, height => 16, engine => cycles}])",
    ],
)
def test_pictures_of_a_temporary_scene_publish_nothing(served: None, code: str) -> None:
    bpy.context.scene.cycles.samples, bpy.context.scene.cycles.use_denoising = 1, False
    found = received(ALL_TOPICS, f"{code}, Call(set_frame, [7])")
    assert ("frame_change", {"scene": "Scene", "frame": 7}) in found
    assert [each for each in found if each[0] in ("render", "frame_change")] == [found[-1]]
    assert "studio" not in str(found)
