"""Scene events of Scene Handlers as a real Erlang node receives them, and the list of its handlers."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blender_process import REPOSITORY, Environment, seen
from erlang import ErlError, erl, program

Scene = Callable[[str, str], Any]
SceneNode = tuple[str, Environment]

EXAMPLES = REPOSITORY / "examples"
SMALL = "engine => cycles, width => 32, height => 24, samples => 1, denoise => false"


def events(scene_node: SceneNode, topic: str, code: str) -> list[Any]:
    """The payloads that arrive while an expression is evaluated; in it, Call(Function, Arguments) calls a handler."""
    node, environment = scene_node
    return erl(
        f"""
        Call = fun(Function, Arguments) -> erpc:call('{node}', scene, Function, Arguments, 60000) end,
        ok = Call(subscribe, [<<"{topic}">>]),
        begin {code} end,
        Collect = fun(Next) ->
            receive {{beam_bpy_event, '{node}', <<"{topic}">>, Payload}} -> [Payload | Next(Next)] after 0 -> [] end
        end,
        Collect(Collect)
        """,
        environment,
    )


def test_frame_change(scene_node: SceneNode) -> None:
    found = events(scene_node, "frame_change", "Call(set_frame, [12]), Call(set_frame, [15])")
    assert found == [{"scene": "Scene", "frame": 12}, {"scene": "Scene", "frame": 15}]


def test_depsgraph_update_names_what_has_changed(scene_node: SceneNode) -> None:
    found = events(scene_node, "depsgraph_update", 'Call(set_transform, [<<"Cube">>, #{location => [0, 0, 1]}])')
    assert any("Cube" in payload.get("object", []) for payload in found)
    assert all(names == sorted(set(names)) for payload in found for names in payload.values())


def test_render(scene_node: SceneNode) -> None:
    found = events(scene_node, "render", f"Call(set_frame, [3]), Call(render_still, [#{{{SMALL}}}])")
    assert [payload["state"] for payload in found] == ["init", "write", "complete"]
    assert {(payload["scene"], payload["frame"]) for payload in found} == {("Scene", 3)}
    assert all(payload["path"].endswith("still.png") for payload in found)


def test_nobody_else_gets_them(scene_node: SceneNode) -> None:
    assert events(scene_node, "frame_change", 'Call(unsubscribe, [<<"frame_change">>]), Call(set_frame, [7])') == []


def test_the_elixir_example(scene_node: SceneNode, scene: Scene) -> None:
    node, environment = scene_node
    command = [program("elixir"), str(EXAMPLES / "watch_scene.exs"), node, "3"]
    watch = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert watch.stdout is not None
    try:
        assert watch.stdout.readline() == "watching frame_change, selection, depsgraph_update, file_load, render\n"
        for frame in (21, 22, 23):
            scene("set_frame", f"[{frame}]")
        rest = watch.stdout.read()
        assert watch.wait(30) == 0
    finally:
        watch.kill()
    assert 'frame_change %{"frame" => 21, "scene" => "Scene"}' in rest


# Long calls tell how far they are to those who ask.


def long_call(scene_node: SceneNode, function: str, arguments: str) -> tuple[list[Any], Any]:
    """The values that a long call yields, and the value that it returns."""
    node, environment = scene_node
    progress, value = erl(
        f"""
        Call = [self(), <<"{function}">>, {arguments}],
        Value = erpc:call('{node}', scene, call_with_progress, Call, 60000),
        Collect = fun(Next) ->
            receive {{progress, <<"{function}">>, Yielded}} -> [Yielded | Next(Next)] after 0 -> [] end
        end,
        {{Collect(Collect), Value}}
        """,
        environment,
    )
    return progress, value


def test_bake_motion(scene_node: SceneNode, scene: Scene) -> None:
    scene("create_cube", '[<<"Baked">>]')
    scene("set_fcurve", '[<<"Baked">>, location, 0, [1, 5], [0.0, 8.0]]')
    scene("set_frame", "[3]")
    progress, value = long_call(scene_node, "bake_motion", '[<<"Baked">>, #{first => 1, last => 5}]')
    assert progress == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert (value["first"], value["last"]) == (1, 5)
    matrices = value["matrices"].encode() if isinstance(value["matrices"], str) else value["matrices"]
    assert list(memoryview(matrices).cast("f")[3::16]) == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].frame_current">>]') == 3


def test_bake_motion_refuses(scene: Scene) -> None:
    with pytest.raises(ErlError, match="the last frame, 1, comes before the first, 2"):
        scene("bake_motion", '[<<"Cube">>, #{first => 2, last => 1}]')


def test_render_animation(scene_node: SceneNode, scene: Scene, folder: Path) -> None:
    scene("set_frame", "[9]")
    arguments = f'[<<"{seen(folder)}">>, #{{{SMALL}, first => 2, last => 3}}]'
    progress, value = long_call(scene_node, "render_animation", arguments)
    assert progress == [(1, 2), (2, 2)]
    assert value == [f"{seen(folder)}/0002.png", f"{seen(folder)}/0003.png"]
    assert [(folder / name).read_bytes()[:4] for name in ("0002.png", "0003.png")] == [b"\x89PNG"] * 2
    assert sorted(name for name in os.listdir(folder) if name.endswith(".png")) == ["0002.png", "0003.png"]
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].frame_current">>]') == 9
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].render.resolution_x">>]') == 1920
