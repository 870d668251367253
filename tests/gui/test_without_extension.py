"""A server of a script in a Blender with a window in which Beam-BPy is disabled: no timer would run its handlers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import install, started
from window import System, Window, eventually


@pytest.fixture
def disabled(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender whose script disables the extension and tries to start a server."""
    install(system, folder, environment)
    with started(Window(system, folder, environment, "without_extension.py"), request.node) as window:
        yield window


def test_a_server_of_a_script_does_not_start(disabled: Window, folder: Path) -> None:
    eventually((folder / "answer.json").exists, "the script has tried to start a server")
    answer = json.loads((folder / "answer.json").read_text())
    assert not answer["started"]
    assert not answer["running"]
    assert "enable it in Preferences" in answer["error"]
