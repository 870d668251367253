"""What `pytest tests/` collects: all but tests/gui, which needs a window and has its own command, `make test-gui`."""

import importlib.util
import os
from pathlib import Path

import pytest

collect_ignore = ["gui"]

_BLENDER_TESTS = Path(__file__).parent / "blender"

_NO_BLENDER = """tests/blender need Blender, and this Python has no module bpy: it exists for Python 3.11 alone.
Run them with that version: 'uv run --python 3.11 pytest tests/'.
Without Blender, run the other tests: 'uv run pytest tests/unit tests/interop tests/chaos'."""


def _has_blender() -> bool:
    named = "BLENDER" in os.environ or "BLENDER_ROOT" in os.environ
    return named or importlib.util.find_spec("bpy") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path) -> None:
    """End with a sentence instead of errors if there is no Blender for its tests."""
    if path == _BLENDER_TESTS and not _has_blender():
        pytest.exit(_NO_BLENDER, returncode=pytest.ExitCode.USAGE_ERROR)


_ORDER = ("unit", "interop", "chaos", "blender", "gui")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the unit tests first: they look at all threads of this process, and interop tests keep servers running."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(folder).parts[0]))
