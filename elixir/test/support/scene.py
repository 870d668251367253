"""Handlers for the tests of meshes, images and curves: those of Scene Handlers, and one that loads a picture."""

import bpy

import scene_handlers
from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register the handlers in the same way as the extension does it."""
    for handler in scene_handlers.READING + scene_handlers.RENDERING:
        server.expose(handler)
    for handler in scene_handlers.CHANGING:
        server.expose(undo=True)(handler)
    for handler in scene_handlers.LOADING:
        server.expose(undo=True, binaries=memoryview, arrays=True)(handler)
    for handler in scene_handlers.STREAMING:
        server.expose(changes_scene=True, binaries=memoryview, arrays=True)(handler)
    server.expose(load_image)


def load_image(path: str) -> str:
    """Load an image from a file. Return its name."""
    return bpy.data.images.load(path).name
