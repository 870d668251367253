"""Shows the preferences of Python Handlers when the preferences open."""

import bpy

MODULE = "bl_ext.user_default.python_handlers"


def _show() -> None:
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Python Handlers"
    bpy.ops.preferences.addon_expand(module=MODULE)


# Blender has the window only when its main loop runs.
bpy.app.timers.register(_show, first_interval=0.5)
