"""Handlers that do harm in a Blender with a window: none costs more than its own call, and the window goes on.

tests/blender/harmful_handlers.py has the table of cases; tests/interop and tests/blender/outside run it, too.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import install, started
from window import REPOSITORY, System, Window

from tests.blender.harm_calls import costly
from tests.blender.harmful_handlers import calls_in_blender, own_faults


@pytest.fixture
def harmed(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender whose node has the handlers of the table. A script starts the node again when one has ended it."""
    install(system, folder, environment)
    shutil.copy(REPOSITORY / "tests" / "blender" / "harmful_handlers.py", folder)
    environment["PYTHONPATH"] = system.seen(folder)
    with started(Window(system, folder, environment, "harm.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")
        yield window


def test_no_handler_costs_more_than_its_call(harmed: Window, environment: dict[str, str]) -> None:
    node = f"{environment['BPY_BEAM_NODE']}@127.0.0.1"
    assert costly(node, calls_in_blender(program=True), environment) == {}
    harmed.settle()
    assert own_faults(harmed.printed()) == []
