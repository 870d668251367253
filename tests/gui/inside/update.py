"""Starts the node, and installs the zip in GUI_UPDATE once a test has put it there, with the operator for users."""

import contextlib
import os
from pathlib import Path

import bpy

ZIP = Path(os.environ["GUI_UPDATE"])
KEPT = 0.25
"""A value that the test sets and finds again after the update."""


def _start() -> None:
    bpy.context.preferences.addons["bl_ext.user_default.beam_bpy"].preferences.awake_s = KEPT
    # The test quits Blender with the keyboard.
    bpy.context.preferences.view.use_save_prompt = False
    bpy.context.preferences.is_dirty = True
    bpy.ops.beam_bpy.start_server()


def _update() -> float | None:
    view = next(area for area in bpy.context.window.screen.areas if area.type == "VIEW_3D")
    view.spaces.active.show_region_ui = True
    sidebar = next(region for region in view.regions if region.type == "UI")
    # It is read-only until Blender has drawn the region.
    with contextlib.suppress(AttributeError):
        sidebar.active_panel_category = "BEAM"
    if not ZIP.exists():
        return 0.2
    bpy.ops.extensions.package_install_files(filepath=str(ZIP), repo="user_default")
    return None


bpy.app.timers.register(_start, first_interval=0.5)
bpy.app.timers.register(_update, first_interval=1.0, persistent=True)
