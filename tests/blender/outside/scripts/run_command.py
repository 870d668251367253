"""Runs the command `blender --command beam_bpy` and ends with its exit code; the bpy module has no command line."""

import importlib
import sys

import in_blender

in_blender.install("EXTENSION_ZIP")
in_blender.install("PYTHON_HANDLERS_ZIP")
headless = importlib.import_module(f"{in_blender.EXTENSION}.headless")
sys.exit(headless.main(in_blender.script_arguments()))
