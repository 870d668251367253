"""For the tests of pictures of windows: the node runs, and can open a window."""

import bpy

from beam_bpy import get_beam_server


def open_window() -> int:
    """Open a second window; returns the number of windows."""
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.wm.window_new()
    return len(bpy.context.window_manager.windows)


get_beam_server().expose(open_window)
bpy.context.preferences.system.viewport_aa = "OFF"
bpy.ops.beam_bpy.start_server()
