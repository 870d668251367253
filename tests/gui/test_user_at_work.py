"""Calls that arrive while the user paints, drags or renders: they wait, and Blender and the undo history survive."""

from collections.abc import Callable

import pytest
from test_window import click_start, node
from window import Window, eventually

from tests.blender.erlang import erl

CENTRE = (560, 420)
"""A point of the 3D view, far from its edges."""

# One process changes the scene, another one reads; the reader is answered while the tool still runs.
CHANGE_AND_READ = """
    Me = self(),
    Ask = fun(Function, Arguments) -> erpc:call('{node}', gui, Function, Arguments, 120000) end,
    spawn(fun() -> Me ! {{changed, Ask({function}, [<<"{argument}">>])}} end),
    timer:sleep(300),
    Before = length(Ask(names, [])),
    Early = receive {{changed, _}} -> true after 1000 -> false end,
    {{Before > 0, Early, receive {{changed, Value}} -> Value end}}
"""


def ask(environment: dict[str, str], function: str, *arguments: str) -> object:
    """Call a handler of the tests' Blender."""
    listed = ", ".join(f'<<"{argument}">>' for argument in arguments)
    return erl(f"erpc:call('{node()}', gui, {function}, [{listed}], 120000)", environment)


def press_and_drag(window: Window) -> None:
    """Begin a stroke in the middle of the view, and leave the button pressed."""
    x, y = CENTRE
    window.hover(x, y)
    window.screen.run("xdotool", "mousedown", "1")
    for step in range(1, 8):
        window.screen.run("xdotool", "mousemove", str(x + 6 * step), str(y + 2 * step))
        window.settle()


def change_meanwhile(
    window: Window, environment: dict[str, str], function: str, argument: str, finish: Callable[[], None]
) -> tuple[bool, bool, str]:
    """Call a handler that changes the scene and one that reads it; `finish` ends the tool once the first waits."""

    def end_the_tool(_process: object) -> None:
        window.wait(lambda report: function in report["waiting"], f"{function} waits")
        # The reader is answered in the meantime: see CHANGE_AND_READ.
        for _ in range(20):
            window.settle()
        finish()

    code = CHANGE_AND_READ.format(node=node(), function=function, argument=argument)
    answered, early, value = erl(code, environment, meanwhile=end_the_tool)
    return answered, early, value


STROKES = {
    "SCULPT": "SCULPT_OT_brush_stroke",
    "VERTEX_PAINT": "PAINT_OT_vertex_paint",
    "WEIGHT_PAINT": "PAINT_OT_weight_paint",
    "TEXTURE_PAINT": "PAINT_OT_image_paint",
    "SCULPT_CURVES": "SCULPT_CURVES_OT_brush_stroke",
    "PAINT_GREASE_PENCIL": "GREASE_PENCIL_OT_brush_stroke",
    "PARTICLE_EDIT": "PARTICLE_OT_brush_edit",
}


@pytest.mark.parametrize("mode", STROKES)
def test_a_scene_change_waits_for_the_end_of_a_stroke(
    installed: Window, environment: dict[str, str], mode: str
) -> None:
    click_start(installed)
    ask(environment, "enter", mode)
    press_and_drag(installed)
    installed.wait(lambda report: STROKES[mode] in report["tools"], f"a stroke in {mode}")
    installed.picture(f"stroke_{mode.lower()}")

    def finish() -> None:
        installed.picture(f"waiting_{mode.lower()}")
        installed.screen.run("xdotool", "mouseup", "1")

    assert change_meanwhile(installed, environment, "add_empty", "Waited", finish) == (True, False, "Waited")
    assert not installed.settle()["tools"]
    # The handler's step is the last one, the stroke's the one before.
    installed.press("ctrl+z")
    installed.wait(lambda report: "Waited" not in report["objects"], "the handler's step is undone")
    installed.press("ctrl+z")
    installed.press("ctrl+shift+z", "ctrl+shift+z")
    installed.wait(lambda report: "Waited" in report["objects"], "both steps are done again")


def begin_to_move(window: Window) -> None:
    """Select the cube and drag it."""
    window.hover(*CENTRE)
    window.press("g")
    window.wait(lambda report: "TRANSFORM_OT_translate" in report["tools"], "the cube is dragged")
    window.hover(CENTRE[0] + 80, CENTRE[1] + 20)


def test_the_object_that_is_dragged_is_deleted_after_the_drag(installed: Window, environment: dict[str, str]) -> None:
    click_start(installed)
    begin_to_move(installed)

    def finish() -> None:
        installed.hover(CENTRE[0] + 120, CENTRE[1])
        installed.click(CENTRE[0] + 140, CENTRE[1])

    assert change_meanwhile(installed, environment, "delete", "Cube", finish) == (True, False, "Cube")
    assert "Cube" not in installed.settle()["objects"]


@pytest.mark.parametrize("end", ["Escape", "Return"])
def test_undo_after_a_drag_ends_where_the_user_left_the_object(
    installed: Window, environment: dict[str, str], end: str
) -> None:
    click_start(installed)
    start = installed.settle()["objects"]["Cube"]
    begin_to_move(installed)
    waited = change_meanwhile(installed, environment, "add_empty", "Waited", lambda: installed.press(end))
    assert waited == (True, False, "Waited")
    left = installed.settle()["objects"]["Cube"]
    assert (left == start) == (end == "Escape")
    installed.press("ctrl+z")
    report = installed.wait(lambda report: "Waited" not in report["objects"], "the handler's step is undone")
    assert report["objects"]["Cube"] == pytest.approx(left)


def test_calls_wait_for_a_render_job(installed: Window, folder: object, environment: dict[str, str]) -> None:
    click_start(installed)
    ask(environment, "slow_render")
    installed.hover(*CENTRE)
    installed.press("F12")
    installed.wait(lambda report: report["renders"], "the render job runs")
    # A render handler gives up, with a sentence; a safe one is answered.
    code = f"""
        Ask = fun(Function, Arguments) -> erpc:call('{node()}', gui, Function, Arguments, 60000) end,
        {{Ask(safe, []), try Ask(render, [<<"/tmp/never.png">>]) catch error:{{exception, E, _}} -> E end}}
    """
    safe, (reason, sentence) = erl(code, environment)
    assert (safe, reason) == ("safe", "busy")
    assert "a render" in sentence
    assert installed.report()["renders"]

    def stop_rendering(_process: object) -> None:
        installed.wait(lambda report: "names" in report["waiting"], "the call waits")
        installed.picture("waiting_for_a_render")
        installed.until(
            lambda: installed.press("Escape"), lambda report: not report["renders"], "the render job is stopped"
        )

    assert "Cube" in erl(f"erpc:call('{node()}', gui, names, [], 120000)", environment, meanwhile=stop_rendering)


def test_a_waiting_call_is_dropped_with_its_caller(installed: Window, environment: dict[str, str]) -> None:
    click_start(installed)
    begin_to_move(installed)
    code = f"try erpc:call('{node()}', gui, add_empty, [<<\"Never\">>], 2000) catch error:{{erpc, E}} -> E end"

    def see_it_wait(_process: object) -> None:
        installed.wait(lambda report: report["waiting"] == ["add_empty"], "the call waits")

    assert erl(code, environment, meanwhile=see_it_wait) == "timeout"
    installed.wait(lambda report: not report["waiting"], "the call is dropped")
    installed.press("Escape")
    eventually(lambda: not installed.settle()["tools"], "the drag is over")
    assert "Never" not in installed.settle()["objects"]
