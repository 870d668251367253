"""Errors of the extension's own code: each is logged once, and the tick, the panels and the other modules go on."""

from typing import Any

import addon
import bpy
import in_blender
import pytest


def fail() -> None:
    raise SystemExit("on purpose")


def test_an_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        addon.guard.guarded(fail)

    assert len([line for line in caplog.messages if "test_guard.fail failed" in line]) == 1


def test_a_removed_property_ends_neither_the_tick_nor_the_extension(caplog: pytest.LogCaptureFixture) -> None:
    del bpy.types.WindowManager.beam_bpy

    addon.panel_state._next_update = 0.0
    addon.panel.redraw_if_changed()
    in_blender.disable(in_blender.EXTENSION)

    assert caplog.messages == []


def test_classes_that_a_script_has_unregistered_do_not_end_the_extension(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bpy.utils.unregister_class(bpy.types.BEAMBPY_PT_handlers)
    bpy.utils.unregister_class(bpy.types.BEAMBPY_UL_handlers)

    in_blender.disable(in_blender.EXTENSION)
    assert in_blender.enable(in_blender.EXTENSION)

    assert hasattr(bpy.types, "BEAMBPY_PT_handlers")
    assert [line for line in caplog.messages if "failed" in line] == []
