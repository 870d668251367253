"""`pytest tests/` collects all tests except tests/gui, which needs a window and its own command, `make test-gui`."""

import importlib.util
import os
from pathlib import Path

import pytest

collect_ignore = ["gui"]

_NO_BLENDER = """tests/blender need Blender, and this Python has no module bpy: it exists for Python 3.11 alone.
Run them with that version: 'uv run --python 3.11 pytest tests/'.
Without Blender, run the other tests: 'uv run pytest tests/unit tests/interop tests/chaos'."""


def _has_blender() -> bool:
    named = "BLENDER" in os.environ or "BLENDER_ROOT" in os.environ
    return named or importlib.util.find_spec("bpy") is not None


_ORDER = ("unit", "interop", "chaos", "blender", "gui")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the unit tests first: they look at all threads of this process, and interop tests keep servers running.

    Raises:
        pytest.UsageError: there are tests that need a Blender, and there is none.
    """
    folder = Path(__file__).parent
    parts = {item: item.path.relative_to(folder).parts[0] for item in items}
    if "blender" in parts.values() and not _has_blender():
        raise pytest.UsageError(_NO_BLENDER)
    items.sort(key=lambda item: _ORDER.index(parts[item]))
