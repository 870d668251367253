"""Messages of the window in the status bar and the Info editor."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import install, started
from window import System, Window, eventually

from tests.blender.erlang import erl

NODE = f"gui_{os.getpid()}@127.0.0.1"


@pytest.fixture
def running(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender whose node runs."""
    install(system, folder, environment)
    with started(Window(system, folder, environment, "messages.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")
        window.press("Escape")  # The splash screen goes.
        yield window


def told(window: Window, kind: str, text: str) -> list[str]:
    """The messages with a text that Blender has shown; it prints them, too. It shows them when the mouse moves."""
    for x in (400, 420):
        window.hover(x, 500)
    return [line for line in window.printed().splitlines() if line.startswith(f"{kind}: ") and text in line]


def test_short_lived_nodes_are_reported_once(running: Window, environment: dict[str, str]) -> None:
    for _ in range(4):
        # The sidebar looks four times in a second.
        code = f"true = net_kernel:connect_node('{NODE}'), timer:sleep(1000)"
        assert erl(code, environment) == "ok"
        running.wait(lambda report: not report["nodes"], "the node has left")
    eventually(lambda: told(running, "Info", "has disconnected"), "the first one has been reported", timeout=30)
    assert len(told(running, "Info", "has connected")) == 1
    assert len(told(running, "Info", "has disconnected")) == 1


def test_a_refused_cookie_is_reported_once(running: Window, environment: dict[str, str]) -> None:
    for _ in range(3):
        assert erl(f"erlang:set_cookie(node(), wrong), net_adm:ping('{NODE}')", environment) == "pang"
    eventually(lambda: told(running, "Warning", "its cookie is not this node's cookie"), "the warning", timeout=30)
    report = running.wait(lambda report: report["shown_refused"][2:] == [3], "the sidebar counts three")
    assert report["shown_refused"][0] == "127.0.0.1"
    assert len(told(running, "Warning", "its cookie is not this node's cookie")) == 1
    running.picture("refused")


def test_a_start_with_blender_that_fails_is_reported(running: Window, environment: dict[str, str]) -> None:
    assert erl(f"erpc:call('{NODE}', gui, start_with_blender, [<<\"nowhere.invalid\">>])", environment) is True
    eventually(lambda: told(running, "Warning", "The node cannot start"), "the warning", timeout=30)
    running.wait(lambda report: report["shown_state"] == "failed", "the sidebar shows the failure")
    running.picture("start_failed")


def test_with_two_scenes_the_sidebar_names_the_one_that_handlers_work_in(
    running: Window, environment: dict[str, str]
) -> None:
    assert running.report()["shown_scene"] == ""
    assert erl(f"erpc:call('{NODE}', gui, second_window, [<<\"Second\">>])", environment) == 2
    running.wait(lambda report: report["shown_scene"] == "Scene", "the sidebar names the first window's scene")
