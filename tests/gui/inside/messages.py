"""Handlers for the tests of what the window tells its user."""

import addon_utils
import bpy

from beam_bpy import get_beam_server

EXTENSION = "bl_ext.user_default.beam_bpy"


def second_window(scene: str) -> int:
    """Open a window with another scene; returns the number of windows."""
    bpy.ops.wm.window_new_main()
    manager = bpy.context.window_manager
    manager.windows[-1].scene = bpy.data.scenes.new(scene)
    return len(manager.windows)


def start_with_blender(host: str) -> bool:
    """Let the node start as it starts with Blender, with a certain host, soon after this call."""
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    preferences.start_with_blender = True
    preferences.host = host

    def enable_again() -> None:
        addon_utils.disable(EXTENSION)
        addon_utils.enable(EXTENSION)

    bpy.app.timers.register(enable_again, first_interval=0.5)
    return True


for handler in (second_window, start_with_blender):
    get_beam_server().expose(handler)
bpy.app.timers.register(lambda: bpy.ops.beam_bpy.start_server() and None, first_interval=0.5)
