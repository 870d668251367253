"""Renders to a file, and kills this Blender when an event of the render happens. usage: -- EVENT PATH"""

import importlib
import os
import signal

import bpy
import in_blender

in_blender.install("EXTENSION_ZIP")
in_blender.install("SCENE_HANDLERS_ZIP")


def end(*_scene: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


event, path = in_blender.script_arguments()
getattr(bpy.app.handlers, event).append(end)
render = importlib.import_module(f"{in_blender.SCENE_HANDLERS}.pictures.render")
render.render_still({"engine": "cycles", "samples": 1, "denoise": False, "width": 8, "height": 8, "path": path})
