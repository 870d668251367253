"""The extension is updated while its node runs in a window, and Blender is restarted."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import install, started
from window import System, Window, eventually

from tests.blender import newer_version
from tests.blender.erlang import erl

NODE = f"gui_{os.getpid()}@127.0.0.1"


def quit_blender(window: Window, picture: str) -> None:
    """Quit with the keyboard: only then Blender saves the preferences."""
    window.press("Escape")  # The splash screen goes.
    window.picture(picture)
    window.hover(400, 500)
    window.screen.run("xdotool", "key", "ctrl+q")
    assert window.process.wait(60) == 0


def test_the_node_returns_with_its_settings_after_a_restart(
    system: System, folder: Path, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    install(system, folder, environment)
    (newer,) = newer_version.build(tmp_path / "sources").glob("beam_bpy-*.zip")
    target = folder / "newer.zip"
    environment["GUI_UPDATE"] = system.seen(target)
    with started(Window(system, folder, environment, "update.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")

        def update(_process: object) -> None:
            window.wait(lambda report: report["nodes"], "the node is connected")
            shutil.copy(newer, target.with_suffix(".new")).rename(target)

        watch = "true = net_kernel:connect_node(N), monitor_node(N, true), receive {nodedown, N} -> noticed end"
        assert erl(f"N = '{NODE}', {watch}", environment, meanwhile=update) == "noticed"
        window.wait(lambda report: report["notice"], "the sidebar can show that Blender must be restarted")
        assert "restart Blender" in window.printed()
        quit_blender(window, "updated")

    with started(Window(system, folder, environment), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node has started again")
        report = window.settle()
        assert report["core"] == newer_version.VERSION
        assert report["awake_s"] == 0.25
        assert erl(f"net_adm:ping('{NODE}')", environment) == "pong"
        quit_blender(window, "restarted")

    # Not at every start from now on: the user has not asked for that.
    with started(Window(system, folder, environment), request.node) as window:
        eventually(lambda: window.report()["number"] > 30, "Blender has been running for some time")
        assert window.report()["state"] == "stopped"
