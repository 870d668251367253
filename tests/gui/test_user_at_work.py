"""Calls that arrive while the user paints, drags or renders: they wait, and Blender and the undo history survive.

The tests of a class share a Blender, because its start takes several seconds. `User.ends_well` checks after each test
that this Blender is alive and answers.
"""

import pytest
from user import User
from window import HEIGHT

STROKES = {
    "SCULPT": "SCULPT_OT_brush_stroke",
    "VERTEX_PAINT": "PAINT_OT_vertex_paint",
    "WEIGHT_PAINT": "PAINT_OT_weight_paint",
    "TEXTURE_PAINT": "PAINT_OT_image_paint",
    "SCULPT_CURVES": "SCULPT_CURVES_OT_brush_stroke",
    "PAINT_GREASE_PENCIL": "GREASE_PENCIL_OT_brush_stroke",
    "SCULPT_GREASE_PENCIL": "GREASE_PENCIL_OT_sculpt_paint",
    "PARTICLE_EDIT": "PARTICLE_OT_brush_edit",
}

LOCATION_X = (870, 121)
"""The first field of the tab Item in the sidebar: the location of the active object, X."""

SCULPT_STEP = "Sculpt"
"""Blender's undo type of strokes in Sculpt Mode, before Blender 5 also in Vertex Paint Mode. Such a step holds only the
stroke. So an undo back to it takes nothing else back, also not what an operator of Blender's own has done since."""


class TestStrokes:
    @pytest.mark.parametrize("mode", STROKES)
    def test_a_change_waits_for_the_end_of_a_stroke(self, user: User, mode: str) -> None:
        user.call("enter", mode)
        user.drag()
        user.uses(STROKES[mode])

        def finish() -> None:
            user.window.picture(f"stroke_{mode.lower()}")
            user.button("mouseup")

        assert user.call_while(STROKES[mode], "add_empty", "Waited", finish=finish) == "Waited"

        original, ready, stroke, change = user.history()
        assert (original.name, ready.name, change.name) == ("Original", "Ready", "add_empty")
        assert change.present
        user.press("ctrl+z")
        assert ("Waited" in user.objects()) == (stroke.kind == SCULPT_STEP)
        assert user.present() == 2
        user.press("ctrl+z")
        assert "Waited" not in user.objects()
        assert user.present() == 1
        user.press("ctrl+shift+z", "ctrl+shift+z")
        assert "Waited" in user.objects()
        assert user.present() == 3


def begin(user: User, key: str, tool: str) -> None:
    """Begin a tool by its key, and use it."""
    user.point()
    user.press(key)
    user.uses(tool)
    user.point(80, 20)


def end_background(user: User) -> None:
    """End the operator of an add-on that runs all the time."""
    user.call("end_background")
    user.point(5, 5)
    user.has_finished()


MOVE = "TRANSFORM_OT_translate"
BACKGROUND = "GUI_OT_background"


class TestTools:
    @pytest.mark.parametrize(("key", "tool"), [("g", MOVE), ("r", "TRANSFORM_OT_rotate"), ("s", "TRANSFORM_OT_resize")])
    def test_a_change_waits_for_the_end_of_a_drag(self, user: User, key: str, tool: str) -> None:
        begin(user, key, tool)
        assert user.call_while(tool, "add_empty", "Waited", finish=lambda: user.window.click(520, 450)) == "Waited"
        assert [step.name for step in user.history()][2:] == ["add_empty"]
        user.press("ctrl+z")
        assert "Waited" not in user.objects()

    def test_adjusting_the_last_operation_does_not_take_back_what_a_handler_has_done(self, user: User) -> None:
        begin(user, "g", MOVE)
        user.press("Return")
        moved = user.objects()["Cube"]
        assert user.call("add_empty", "Added") == "Added"
        user.adjust_last_operation()
        found = user.objects()
        assert "Added" in found
        assert found["Cube"] == moved
        assert [step.name for step in user.history()] == ["Original", "Move", "add_empty"]
        assert user.call("undo_steps") > 0
        user.press("ctrl+z")
        assert "Added" not in user.objects()
        assert user.objects()["Cube"] == moved

    def test_adjusting_the_last_operation_works_when_no_handler_has_changed_the_scene(self, user: User) -> None:
        begin(user, "g", MOVE)
        user.press("Return")
        moved = user.objects()["Cube"]
        assert user.call("names")
        user.adjust_last_operation()
        assert user.objects()["Cube"] != moved

    def test_a_change_waits_for_the_end_of_a_box_selection(self, user: User) -> None:
        user.press("b")
        user.drag()
        user.uses("VIEW3D_OT_select_box")
        value = user.call_while("VIEW3D_OT_select_box", "add_empty", "Waited", finish=lambda: user.button("mouseup"))
        assert value == "Waited"
        assert user.history()[-1].name == "add_empty"

    @pytest.mark.parametrize(("key", "tool"), [("k", "MESH_OT_knife_tool"), ("ctrl+r", "MESH_OT_loopcut_slide")])
    def test_a_change_waits_for_the_end_of_a_cut(self, user: User, key: str, tool: str) -> None:
        user.call("enter", "EDIT")
        begin(user, key, tool)
        assert user.call_while(tool, "add_empty", "Waited", finish=lambda: user.press("Escape")) == "Waited"
        assert [step.name for step in user.history()] == ["Original", "Ready", "add_empty"]
        user.press("ctrl+z")
        assert "Waited" not in user.objects()

    def test_the_object_that_is_dragged_is_deleted_after_the_drag(self, user: User) -> None:
        begin(user, "g", MOVE)

        def finish() -> None:
            user.point(120, 0)
            user.press("Return")

        assert user.call_while(MOVE, "delete", "Cube", finish=finish) == "Cube"
        assert "Cube" not in user.objects()
        user.press("ctrl+z")
        assert "Cube" in user.objects()

    def test_undo_after_a_drag_that_was_cancelled(self, user: User) -> None:
        start = user.objects()["Cube"]
        begin(user, "g", MOVE)
        user.call_while(MOVE, "add_empty", "Waited", finish=lambda: user.press("Escape"))
        assert [step.name for step in user.history()] == ["Original", "add_empty"]
        assert user.objects()["Cube"] == start
        user.press("ctrl+z")
        assert "Waited" not in user.objects()
        assert user.objects()["Cube"] == start

    def test_undo_after_a_drag_that_was_confirmed(self, user: User) -> None:
        start = user.objects()["Cube"]
        begin(user, "g", MOVE)
        user.call_while(MOVE, "add_empty", "Waited", finish=lambda: user.press("Return"))
        assert [step.name for step in user.history()] == ["Original", "Move", "add_empty"]
        left = user.objects()["Cube"]
        assert left != start
        user.press("ctrl+z")
        assert "Waited" not in user.objects()
        assert user.objects()["Cube"] == left
        user.press("ctrl+z")
        assert user.objects()["Cube"] == start
        user.press("ctrl+shift+z")
        assert user.objects()["Cube"] == left

    def test_each_caller_that_has_waited_makes_a_step(self, user: User) -> None:
        begin(user, "g", MOVE)

        def finish() -> None:
            user.window.wait(lambda report: len(report["shown_waiting"]) == 3, "three calls wait")
            user.window.settle()
            user.window.picture("three_calls_wait")
            user.press("Escape")

        added = ["One", "Two", "Three"]
        assert user.calls_at_once("add_empty", added, finish) == added
        assert [step.name for step in user.history()] == ["Original", *["add_empty"] * 3]
        user.press("ctrl+z", "ctrl+z")
        assert len(user.objects().keys() & added) == 1

    def test_a_call_whose_caller_dies_is_dropped_and_makes_no_step(self, user: User) -> None:
        begin(user, "g", MOVE)
        user.call_and_die("add_one", asked="waiting", kill='Value =:= [<<"add_one">>]', end="Value =:= []")
        user.press("Escape")
        user.has_finished()
        assert "One" not in user.objects()
        assert [step.name for step in user.history()] == ["Original"]

    def test_a_call_that_waits_too_long_is_told_why(self, user: User) -> None:
        begin(user, "g", MOVE)
        reason, sentence = user.failed_call("add_soon", "Never")
        assert reason == "busy"
        assert MOVE in sentence
        user.press("Escape")
        assert "Never" not in user.objects()
        assert [step.name for step in user.history()] == ["Original"]

    def test_all_calls_wait_if_the_user_wants_that(self, user: User) -> None:
        user.call("all_calls_wait")
        begin(user, "g", MOVE)

        def finish() -> None:
            user.sees_waiting("names", MOVE)
            user.press("Escape")

        assert "Cube" in user.call_meanwhile("names", meanwhile=finish)

    def test_no_call_waits_while_the_user_moves_the_view(self, user: User) -> None:
        user.drag(2)
        user.uses("VIEW3D_OT_rotate")
        assert user.call("add_empty", "Added") == "Added"
        assert "VIEW3D_OT_rotate" in user.window.report()["tools"]
        user.button("mouseup", 2)
        assert [step.name for step in user.history()] == ["Original", "add_empty"]

    def test_no_call_waits_while_an_animation_plays(self, user: User) -> None:
        user.press("space")
        user.window.wait(lambda report: report["plays"], "the animation plays")
        assert user.call("add_empty", "Added") == "Added"
        assert user.window.report()["plays"]
        user.press("space")
        user.window.wait(lambda report: not report["plays"], "the animation stops")
        # Blender 5 makes a step of its own when the animation stops.
        assert [step.name for step in user.history()][:2] == ["Original", "add_empty"]

    def test_a_change_waits_for_the_operator_of_an_add_on(self, user: User) -> None:
        user.call("begin_background")
        user.uses(BACKGROUND)
        assert user.call_while(BACKGROUND, "add_empty", "Waited", finish=lambda: end_background(user)) == "Waited"

    @pytest.mark.parametrize("name", [BACKGROUND, "gui.background", f"transform.translate, {BACKGROUND}"])
    def test_no_call_waits_for_an_operator_that_is_ignored(self, user: User, name: str) -> None:
        user.call("ignore_tools", name)
        user.call("begin_background")
        user.uses(BACKGROUND)
        assert user.call("add_empty", "Added") == "Added"
        assert BACKGROUND in user.window.report()["tools"]
        assert [step.name for step in user.history()] == ["Original", "add_empty"]
        end_background(user)

    def test_a_call_goes_on_when_what_it_waits_for_is_ignored(self, user: User) -> None:
        user.call("begin_background")
        user.uses(BACKGROUND)
        finish = lambda: user.call("ignore_tools", BACKGROUND)  # noqa: E731
        assert user.call_while(BACKGROUND, "add_empty", "Waited", finish=finish) == "Waited"
        end_background(user)

    def test_a_long_handler_makes_one_step_when_it_ends(self, user: User) -> None:
        assert user.call("add_empties", 20) == 20
        assert [step.name for step in user.history()] == ["Original", "add_empties"]
        assert "Empty 20" in user.objects()
        user.press("ctrl+z")
        assert "Empty 1" not in user.objects()

    def test_a_long_handler_pauses_while_the_user_drags(self, user: User) -> None:
        def drag() -> None:
            user.window.wait(lambda report: "First" in report["objects"], "the long handler runs")
            begin(user, "g", MOVE)
            user.sees_waiting("work", MOVE)
            user.call("end_work")
            slices = user.call("slices")
            user.objects()
            assert user.call("slices") == slices
            assert "Last" not in user.objects()
            user.press("Return")

        assert user.call_meanwhile("work", meanwhile=drag) > 0
        assert [step.name for step in user.history()] == ["Original", "Move", "work"]
        assert {"First", "Last"} <= user.objects().keys()

    def test_what_the_call_of_a_dead_caller_has_done_is_a_step(self, user: User) -> None:
        user.call_and_die("work", asked="slices", kill="Value > 0", end="Value =:= 0")
        assert [step.name for step in user.history()] == ["Original", "work"]
        assert "First" in user.objects()
        user.press("ctrl+z")
        assert "First" not in user.objects()


FILE_DIALOG = "WM_OT_open_mainfile"


class TestEditors:
    def test_a_change_waits_while_a_file_dialog_is_open(self, user: User) -> None:
        user.press("ctrl+o")
        user.uses(FILE_DIALOG)
        user.window.place_dialog("Blender File View")

        def close() -> None:
            user.window.hover(600, 400)
            user.press("Escape")

        assert user.call_while(FILE_DIALOG, "add_empty", "Waited", finish=close) == "Waited"
        assert [step.name for step in user.history()] == ["Original", "add_empty"]

    def test_what_the_user_types_in_a_field_of_a_deleted_object_is_dropped(self, user: User) -> None:
        user.call("show_tab", "Item")
        user.window.settle()
        user.window.click(*LOCATION_X, times=2)
        user.window.type("1")
        assert user.call("delete", "Cube") == "Cube"
        user.window.type("2")
        user.press("Return")
        assert "Cube" not in user.objects()

    def test_a_field_that_is_dragged_ends_with_its_object(self, user: User) -> None:
        user.call("show_tab", "Item")
        user.window.settle()
        user.window.hover(*LOCATION_X)
        user.button("mousedown")
        for _ in range(5):
            user.window.screen.run("xdotool", "mousemove_relative", "8", "0")
            user.window.settle()
        assert user.call("delete", "Cube") == "Cube"
        user.window.screen.run("xdotool", "mousemove_relative", "8", "0")
        user.button("mouseup")
        assert "Cube" not in user.objects()

    def test_text_goes_on_during_calls(self, user: User) -> None:
        x, y = user.call("edit_text", "Notes")
        user.window.click(x, HEIGHT - y)
        user.window.type("ab")
        assert user.call("add_empty", "Added") == "Added"
        user.window.type("cd")
        assert user.call("text", "Notes") == "abcd"
        assert [step.name for step in user.history()].count("add_empty") == 1
        user.press("ctrl+z", "ctrl+z")
        assert user.call("text", "Notes") == "ab"
        assert "Added" in user.objects()


F12 = "96"
"""The number of the key: for its name, the xdotool of newer systems presses Alt too."""


class TestJobs:
    def test_calls_wait_for_a_render_job(self, user: User) -> None:
        user.call("slow_render")
        user.press(F12)
        user.window.wait(lambda report: report["renders"], "the render job runs")
        reason, sentence = user.failed_call("render", "/tmp/never.png")
        assert reason == "busy"
        assert "a render" in sentence
        assert user.window.report()["renders"]

        def finish() -> None:
            user.window.picture("waiting_for_a_render")
            user.window.until(
                lambda: user.press("Escape"), lambda report: not report["renders"], "the render job is stopped"
            )

        assert user.call_while("a render", "delete", "Cube", finish=finish, answered="safe") == "Cube"
        assert "Cube" not in user.objects()

    def test_calls_wait_for_a_bake_job(self, user: User) -> None:
        user.call("bake")
        user.window.wait(lambda report: report["bakes"], "the bake job runs")

        def finish() -> None:
            user.window.until(
                lambda: user.press("Escape"), lambda report: not report["bakes"], "the bake job is stopped"
            )

        assert user.call_while("a bake", "delete", "Cube", finish=finish, answered="safe") == "Cube"
        assert "Cube" not in user.objects()
