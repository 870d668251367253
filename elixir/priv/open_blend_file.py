"""Handlers file of BeamBpy.Worker: opens the .blend file that BEAM_BPY_BLEND_FILE names, before other handlers load."""

import os

import bpy

from beam_bpy import BeamServer


def register(_server: BeamServer) -> None:
    """Open the file. Scripts in the file do not run."""
    bpy.ops.wm.open_mainfile(filepath=os.environ["BEAM_BPY_BLEND_FILE"], use_scripts=False)
