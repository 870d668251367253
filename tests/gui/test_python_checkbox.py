"""The checkbox that allows BEAM nodes to run Python, by mouse. The photographs are in out/gui."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import install, started
from test_window import click_start, open_preferences
from window import System, Window

from tests.blender.erlang import erl

MODULE = "bl_ext.user_default.python_handlers"

CHECKBOX = (192, 296)
"""In the dialog, in pixels from its upper left corner."""


@pytest.fixture
def window(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender with both extensions."""
    install(system, folder, environment)
    install(system, folder, environment, "python_handlers")
    with started(Window(system, folder, environment, "show_python_handlers.py"), request.node) as window:
        window.wait(lambda report: MODULE in report["addons"], "the extension is enabled")
        yield window


def test_by_mouse(window: Window, environment: dict[str, str]) -> None:
    click_start(window)
    open_preferences(window)
    window.settle()
    window.picture("python_handlers_off")
    call = f"erpc:call('gui_{os.getpid()}@127.0.0.1', 'Elixir.Blender', run_python, [<<\"bpy.context.mode\">>])"
    code = f"try {call} catch error:{{exception, {{Word, _}}, _}} -> Word end"
    assert erl(code, environment) == "not_allowed"
    window.until(
        lambda: window.click(*window.in_dialog(*CHECKBOX)), lambda report: report["allow_python"], "Python is allowed"
    )
    window.picture("python_handlers_on")
    assert erl(code, environment) == {"result": "OBJECT", "output": ""}
    assert window.printed().count("the preferences allow Python") == 1
