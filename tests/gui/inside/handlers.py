"""Handlers for the tests to call."""

import json
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

import bpy

from beam_bpy import get_beam_server

EXTENSION = "bl_ext.user_default.beam_bpy"


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


def long(seconds: float) -> Generator[float, None, list[int]]:
    """A long handler: yields which share of its time is over, and returns the latest report's number at each slice."""
    begin = time.monotonic()
    report, reports = Path(os.environ["GUI_REPORT"]), []
    folder = report.parent
    try:
        while (over := time.monotonic() - begin) < seconds:
            (folder / "began").touch()
            reports.append(json.loads(report.read_text())["number"])
            time.sleep(0.004)
            yield over / seconds
    finally:
        (folder / "ended").touch()
    return reports


def stay_awake(seconds: float) -> float:
    """Set the preference."""
    bpy.context.preferences.addons[EXTENSION].preferences.awake_s = seconds
    return seconds


def awake() -> bool:
    """Whether the main loop is kept from sleeping."""
    return sys.modules[f"{EXTENSION}.drain"].awake()


for handler in (stay_awake, awake, move, save, load, slow, long):
    get_beam_server().expose(handler)
