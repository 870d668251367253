"""For the test of a program that follows a Blender: the node runs, with Scene Handlers and a handler of its own."""

import bpy

from beam_bpy import get_beam_server


def shift(name: str, x: float) -> str:
    """Move an object. Blender evaluates it later, when it draws."""
    bpy.data.objects[name].location.x = x
    return name


get_beam_server().expose(changes_scene=True)(shift)
bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(lambda: bpy.ops.beam_bpy.start_server() and None, first_interval=0.5)
