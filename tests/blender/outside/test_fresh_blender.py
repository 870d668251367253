"""Saved preferences that the next Blender loads, and a Blender that ends: each needs a process of its own."""

from collections.abc import Callable

import pytest

RunScript = Callable[..., None]


NAMES = ("beam_bpy", "scene_handlers", "python_handlers")


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_extensions_load_in_either_order(run_script: RunScript, order: tuple[str, ...]) -> None:
    run_script("load_order.py", "save", *order)
    run_script("load_order.py", "load")


def test_a_script_ends_by_itself(run_script: RunScript) -> None:
    run_script("end_while_running.py")
