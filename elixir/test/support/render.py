"""Handlers for the tests that end programs during a long render."""

import ctypes
import os

import bpy

from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register the handlers."""
    for handler in (render, hold_the_gil, process):
        server.expose(handler)


def render(seconds: float) -> None:
    """Render one frame with Cycles, for so long."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode = "FIXED"
    scene.render.threads = 1
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.samples = 1 << 24
    scene.cycles.time_limit = seconds
    bpy.ops.render.render()


def hold_the_gil(seconds: int) -> None:
    """Let no thread of Python run for a while, as a long function in C does."""
    ctypes.PyDLL(None).sleep(seconds)


def process() -> int:
    """Return the identifier of the process."""
    return os.getpid()
