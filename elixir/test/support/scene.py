"""Handlers for the tests of meshes, images and curves: those of Scene Handlers, and one that loads a picture."""

import bpy

import scene_handlers
from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register the handlers."""
    scene_handlers.register(server)
    server.expose(load_image)


def load_image(path: str) -> str:
    """Load an image from a file. Return its name."""
    return bpy.data.images.load(path).name
