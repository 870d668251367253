"""Tells the tests what there is to click on: writes where the windows' areas and regions are to the file in GUI_REPORT.

It only looks. Whatever happens in the tests happens by mouse and keyboard, or by calls from the BEAM.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy

TARGET = Path(os.environ["GUI_REPORT"])
INTERVAL = 0.1

_reports = 0
_frames = 0


def _place(thing: Any) -> dict[str, Any]:
    """Its rectangle, in pixels from the lower left corner of its window."""
    return {"type": thing.type, "x": thing.x, "y": thing.y, "width": thing.width, "height": thing.height}


def _area(area: Any) -> dict[str, Any]:
    regions = [_place(region) for region in area.regions if region.width > 1 and region.height > 1]
    return {**_place(area), "regions": regions}


def _window(window: Any) -> dict[str, Any]:
    areas = [_area(area) for area in window.screen.areas]
    return {"x": window.x, "y": window.y, "width": window.width, "height": window.height, "areas": areas}


def _report() -> float:
    global _reports
    _reports += 1
    preferences = bpy.context.preferences
    ours = preferences.addons.get("bl_ext.user_default.beam_bpy")
    python = preferences.addons.get("bl_ext.user_default.python_handlers")
    beam_bpy = sys.modules.get("beam_bpy")
    server = beam_bpy and beam_bpy.get_beam_server()
    told = {
        "number": _reports,
        "frames": _frames,
        "version": bpy.app.version,
        "section": preferences.active_section,
        "addons": [addon.module for addon in preferences.addons],
        "node_name": ours and ours.preferences.node_name,
        "awake_s": ours and getattr(ours.preferences, "awake_s", None),
        "allow_python": python and python.preferences and python.preferences.allow_python,
        "notice": hasattr(bpy.types, "BEAMBPY_PT_after_update"),
        "core": beam_bpy and beam_bpy.__version__,
        "state": server and server.state,
        "nodes": [peer.name for peer in server.peers] if server else [],
        "file": bpy.data.filepath,
        "windows": [_window(window) for window in bpy.context.window_manager.windows],
    }
    host = sys.modules.get("beam_bpy.dispatch.host_queue")
    calls = host and host.host_queue()
    sidebar = sys.modules.get("bl_ext.user_default.beam_bpy.panel_state")
    windows = bpy.context.window_manager.windows
    tools = [operator.bl_idname for window in windows for operator in window.modal_operators]
    told |= {
        # The message that a node has connected is not a tool.
        "tools": [name for name in tools if name != "BEAM_BPY_OT_tell"],
        "plays": any(window.screen.is_animation_playing for window in windows),
        "renders": bpy.app.is_job_running("RENDER"),
        "bakes": bpy.app.is_job_running("OBJECT_BAKE"),
        "waiting": [entry.call.name for entry in calls.waiting] if calls else [],
        "shown_waiting": list(map(list, sidebar.shown.waiting)) if sidebar else [],
        "shown_refused": list((sidebar and sidebar.shown.refused) or ()),
        "shown_state": sidebar and sidebar.shown.state,
        "shown_scene": sidebar and sidebar.shown.scene,
        "mode": bpy.context.mode,
        "objects": {found.name: list(found.location) for found in bpy.data.objects},
    }
    # A reader sees the old report or the new one, never half of one.
    written = TARGET.with_suffix(".new")
    written.write_text(json.dumps(told))
    written.replace(TARGET)
    return INTERVAL


def _drawn() -> None:
    global _frames
    _frames += 1


bpy.types.SpaceView3D.draw_handler_add(_drawn, (), "WINDOW", "POST_PIXEL")
bpy.app.timers.register(_report, persistent=True)
