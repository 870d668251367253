"""A user at work in a Blender that is a node: mouse and keyboard, the undo history, and calls that arrive meanwhile."""

from collections.abc import Callable
from typing import Any, NamedTuple

from window import Report, Window

from tests.blender.erlang import erl

CENTRE = (420, 420)
"""A point in the middle of what the sidebar leaves of the 3D view."""

F9 = "75"
"""The number of the key: for its name, the xdotool of newer systems presses Alt too."""


class Step(NamedTuple):
    """A step of the undo history.

    Attributes:
        present: whether it is the step that Blender is at.
        kind: Blender's name of its type.
        name: what the user sees.
    """

    present: bool
    kind: str
    name: str


class State(NamedTuple):
    """The data that undo and redo change.

    Attributes:
        mode: the mode of the 3D view.
        objects: the names and locations of all objects.
        vertices: the number of vertices and the sum of their coordinates, for each mesh.
    """

    mode: str
    objects: dict[str, list[float]]
    vertices: dict[str, list[float]]


class User:
    """The input of a user, and the calls that programs make at the same time.

    Args:
        window: the user's Blender.
        environment: the variables with the name of its node and the port of its epmd.
    """

    def __init__(self, window: Window, environment: dict[str, str]) -> None:
        self.window = window
        self._environment = environment
        self._node = f"{environment['BPY_BEAM_NODE']}@127.0.0.1"

    # -- calls

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a handler, and wait for its value."""
        return self._erl(self._call(function, *arguments))

    def call_meanwhile(self, function: str, *arguments: Any, meanwhile: Callable[[], None]) -> Any:
        """Call a handler, and do something until it is answered; returns its value."""
        return self._erl(self._call(function, *arguments), meanwhile)

    def call_while(
        self, tool: str, function: str, *arguments: Any, finish: Callable[[], object], answered: str = "names"
    ) -> Any:
        """Call a handler that waits for a tool or job, see that others are answered, and finish; returns its value.

        Args:
            tool: what the sidebar says that the call waits for, or a part of it.
            function: the handler.
            arguments: its arguments.
            finish: ends the tool, once the call waits for it.
            answered: a handler that does not wait for the tool.
        """

        def meanwhile() -> None:
            self.sees_waiting(function, tool)
            assert self.call(answered)
            assert function in self.window.report()["waiting"]
            finish()

        return self.call_meanwhile(function, *arguments, meanwhile=meanwhile)

    def failed_call(self, function: str, *arguments: Any) -> Any:
        """Call a handler; returns the reason for which the call fails."""
        code = f"try {self._call(function, *arguments)} catch error:{{exception, Raised, _}} -> Raised end"
        return self._erl(code)

    def call_and_die(self, function: str, *, asked: str, kill: str, end: str) -> None:
        """Call a handler, and kill the caller before it is answered.

        Args:
            function: the handler.
            asked: another handler, without arguments, that is asked all the time for a `Value`.
            kill: a condition in Erlang on `Value`; once it is true the caller is killed.
            end: a condition in Erlang on `Value`; once it is true this method returns.
        """
        code = f"""
            Caller = spawn(fun() -> {self._call(function)} end),
            Wait = fun Again(Condition, Left) when Left > 0 ->
                Condition({self._call(asked)}) orelse begin timer:sleep(50), Again(Condition, Left - 1) end
            end,
            true = Wait(fun(Value) -> {kill} end, 1000),
            exit(Caller, kill),
            Wait(fun(Value) -> {end} end, 1000)
        """
        assert self._erl(code) is True

    def calls_at_once(self, function: str, arguments: list[str], meanwhile: Callable[[], None]) -> list[str]:
        """Call a handler with each of the arguments, each in a process of its own; returns the values."""
        calls = ", ".join(f"fun() -> {self._call(function, argument)} end" for argument in arguments)
        code = f"""
            Me = self(),
            Callers = [spawn(fun() -> Me ! {{self(), Call()}} end) || Call <- [{calls}]],
            [receive {{Caller, Value}} -> Value end || Caller <- Callers]
        """
        return list(self._erl(code, meanwhile))

    def batch(self, function: str, *arguments: str) -> None:
        """Call a handler with each of the arguments, in one batch."""
        calls = ", ".join(f'{{<<"{function}">>, [{_term(argument)}]}}' for argument in arguments)
        answers = self._erl(f"erpc:call('{self._node}', gui, call_batch, [[{calls}]], 120000)")
        assert answers == [("ok", argument) for argument in arguments]

    def _call(self, function: str, *arguments: Any) -> str:
        return f"erpc:call('{self._node}', gui, {function}, [{', '.join(map(_term, arguments))}], 120000)"

    def _erl(self, code: str, meanwhile: Callable[[], None] = lambda: None) -> Any:
        return erl(code, self._environment, meanwhile=lambda _process: meanwhile())

    # -- what Blender shows

    def sees_waiting(self, function: str, reason: str) -> None:
        """Wait until the sidebar says that a call waits, and for what."""

        def shown(report: Report) -> bool:
            return any(name == function and reason in told for name, told in report["shown_waiting"])

        self.window.wait(shown, f"the sidebar shows that {function} waits for {reason}")

    def uses(self, tool: str) -> None:
        """Wait until Blender says that a modal operator runs."""
        self.window.wait(lambda report: tool in report["tools"], f"{tool} runs")

    def has_finished(self) -> Report:
        """Wait until no modal operator runs, and return what Blender says."""
        return self.window.wait(lambda report: not report["tools"], "no tool runs")

    def history(self) -> list[Step]:
        """The undo history."""
        return [Step(*step) for step in self.call("history")]

    def present(self) -> int:
        """The number of the present step of the undo history."""
        return [step.present for step in self.history()].index(True)

    def objects(self) -> dict[str, list[float]]:
        """The names and locations of all objects, once Blender has handled what the user did."""
        found: dict[str, list[float]] = self.window.settle()["objects"]
        return found

    def state(self) -> State:
        """The data that undo and redo change, after Blender has handled the input of the user."""
        report = self.window.settle()
        return State(report["mode"], report["objects"], self.call("vertices"))

    # -- mouse and keyboard

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        self.window.press(*keys)

    def point(self, x: int = 0, y: int = 0) -> None:
        """Move the mouse to a place beside the middle of the view."""
        self.window.hover(CENTRE[0] + x, CENTRE[1] + y)

    def button(self, action: str, number: int = 1) -> None:
        """Press or release a mouse button: `mousedown` or `mouseup`; 1 is the left one, 2 the middle one."""
        self.window.screen.run("xdotool", action, str(number))
        self.window.settle()

    def drag(self, number: int = 1) -> None:
        """Press a mouse button in the middle of the view, and move the mouse without releasing the button."""
        self.point()
        self.button("mousedown", number)
        for step in range(1, 5):
            self.point(10 * step, 4 * step)

    def adjust_last_operation(self) -> None:
        """Increase the first number of the panel Adjust Last Operation, if it has one that can be changed."""
        self.point()
        self.press(F9)
        # The number is below the title, in the right half.
        self.point(222, 52)
        self.window.screen.run("xdotool", "keydown", "ctrl", "click", "4", "keyup", "ctrl")
        self.window.settle()
        self.point(-200, -150)
        self.press("Escape")

    # -- before and after a test

    def begin_anew(self) -> None:
        """Let go of mouse and keyboard, and take the default scene."""
        for number in (1, 2):
            self.window.screen.run("xdotool", "mouseup", str(number))
        self.press("Escape")
        assert self.call("begin_anew") is True
        self.point()
        self.has_finished()

    def ends_well(self) -> None:
        """Check that Blender is alive, no tool runs and no call waits, and that it answers."""
        report = self.has_finished()
        assert not report["waiting"]
        assert self.call("safe") == "safe"
        assert self.window.process.poll() is None


def _term(value: Any) -> str:
    return f'<<"{value}">>' if isinstance(value, str) else str(value)
