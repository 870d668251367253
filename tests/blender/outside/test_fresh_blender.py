"""Saved preferences that the next Blender loads, and a Blender that ends: each needs a process of its own."""

from collections.abc import Callable

import pytest

RunScript = Callable[..., None]


@pytest.mark.parametrize("order", [("beam_bpy", "scene_handlers"), ("scene_handlers", "beam_bpy")])
def test_extensions_load_in_either_order(run_script: RunScript, order: tuple[str, str]) -> None:
    run_script("load_order.py", "save", *order)
    run_script("load_order.py", "load")


def test_a_script_ends_by_itself(run_script: RunScript) -> None:
    run_script("end_while_running.py")
