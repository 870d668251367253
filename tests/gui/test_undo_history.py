"""The undo history of a user at work: what it is without calls, plus one step for each call or batch.

Each test does the same work twice in a row, first alone and then with calls during and after each action, and
compares the two histories. Then it undoes everything and redoes everything, and compares the scene at each step.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from user import State, Step, User


class Action(NamedTuple):
    """Something that a user does with a tool.

    Attributes:
        keys: the keys that start the tool.
        tool: the modal operator, as Blender names it.
        finish: ends the tool.
        mouse: whether the user drags the mouse with a pressed button.
    """

    keys: tuple[str, ...]
    tool: str
    finish: Callable[[User], None]
    mouse: bool = False

    def begin(self, user: User) -> None:
        """Start the tool and move the mouse."""
        user.point()
        user.press(*self.keys)
        if self.mouse:
            user.drag()
        user.uses(self.tool)
        user.point(60, 15)


def confirm(user: User) -> None:
    user.press("Return")


def cancel(user: User) -> None:
    user.press("Escape")


def release(user: User) -> None:
    user.button("mouseup")


WORK = {
    "OBJECT": (
        Action(("g",), "TRANSFORM_OT_translate", confirm),
        Action(("r",), "TRANSFORM_OT_rotate", cancel),
        Action(("shift+d",), "OBJECT_OT_duplicate_move", confirm),
        Action(("s",), "TRANSFORM_OT_resize", confirm),
        Action(("b",), "VIEW3D_OT_select_box", release, mouse=True),
    ),
    "EDIT": (
        Action(("g",), "TRANSFORM_OT_translate", confirm),
        Action(("k",), "MESH_OT_knife_tool", cancel),
        Action(("e",), "MESH_OT_extrude_region_move", confirm),
        Action(("r",), "TRANSFORM_OT_rotate", cancel),
    ),
    "VERTEX_PAINT": (
        Action((), "PAINT_OT_vertex_paint", release, mouse=True),
        Action((), "PAINT_OT_vertex_paint", release, mouse=True),
    ),
    "SCULPT": (
        Action((), "SCULPT_OT_brush_stroke", release, mouse=True),
        Action((), "SCULPT_OT_brush_stroke", release, mouse=True),
    ),
}
"""The actions of the user in each mode."""


class TestHistory:
    @pytest.mark.parametrize("mode", WORK)
    def test_it_is_the_users_and_a_step_for_each_call_and_batch(self, user: User, mode: str) -> None:
        alone = [step.name for step in work_alone(user, mode)]
        user.begin_anew()
        steps = [step.name for step in work_with_calls(user, mode)]
        assert [name for name in steps if name != "add_empty"] == alone
        assert steps.count("add_empty") == 2 * len(WORK[mode])
        if WORK[mode][0].mouse:
            return  # Blender's steps of strokes hold only the stroke; `TestStrokes` undoes and redoes them.
        undone = [user.state(), *(after(user, "ctrl+z") for _ in steps[1:])]
        assert user.present() == 0
        redone = [undone[-1], *(after(user, "ctrl+shift+z") for _ in steps[1:])]
        assert user.present() == len(steps) - 1
        assert redone[::-1] == undone
        assert {"During 0", "After 0", "Also after 0"} <= undone[0].objects.keys()
        assert not undone[-1].objects.keys() & {"During 0", "After 0", "Also after 0"}

    def test_a_call_between_undo_and_redo_ends_what_can_be_redone(self, user: User) -> None:
        work_alone(user, "OBJECT")
        before = user.state()
        user.press("ctrl+z", "ctrl+z")
        assert user.call("add_empty", "Between") == "Between"
        with_call = user.state()
        user.press("ctrl+shift+z")
        assert user.state() == with_call
        user.press("ctrl+z")
        assert "Between" not in user.objects()
        assert user.state() != before

    def test_a_call_that_reads_leaves_what_can_be_redone(self, user: User) -> None:
        work_alone(user, "OBJECT")
        before = user.state()
        user.press("ctrl+z", "ctrl+z")
        assert user.call("names")
        user.press("ctrl+shift+z", "ctrl+shift+z")
        assert user.state() == before


def work_alone(user: User, mode: str) -> list[Step]:
    """Do the work of a mode; returns the history."""
    enter(user, mode)
    for action in WORK[mode]:
        action.begin(user)
        action.finish(user)
        user.has_finished()
    return user.history()


def work_with_calls(user: User, mode: str) -> list[Step]:
    """Do the same, with a call during and a batch after each action; returns the history."""
    enter(user, mode)
    for number, action in enumerate(WORK[mode]):
        action.begin(user)
        during = f"During {number}"
        finish = lambda action=action: action.finish(user)  # noqa: E731
        assert user.call_while(action.tool, "add_empty", during, finish=finish) == during
        user.has_finished()
        user.batch("add_empty", f"After {number}", f"Also after {number}")
    return user.history()


def enter(user: User, mode: str) -> None:
    if mode != "OBJECT":
        user.call("enter", mode)


def after(user: User, key: str) -> State:
    """The state of the scene after a key."""
    user.press(key)
    return user.state()
