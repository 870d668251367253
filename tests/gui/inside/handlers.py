"""Handlers for the tests to call."""

import os
import time
from pathlib import Path

import bpy

from beam_bpy import get_beam_server


def move(number: int) -> int:
    """Change what the window shows, so that it is drawn anew."""
    bpy.data.objects["Cube"].location.x = number % 100 / 100
    return number


def save(path: str) -> bool:
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    return True


def load(path: str) -> bool:
    bpy.ops.wm.open_mainfile(filepath=path)
    return True


def slow(seconds: float) -> str:
    Path(os.environ["GUI_REPORT"]).with_name("entered").touch()
    time.sleep(seconds)
    return "slow"


for handler in (move, save, load, slow):
    get_beam_server().expose(handler)
