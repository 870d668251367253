"""Stands in for the Blender program where Blender is the Python module bpy: `-b OPTIONS --python FILE -- ARGUMENTS`."""

import runpy
import sys

import bpy  # noqa: F401 - Blender has started before the script runs

runpy.run_path(sys.argv[sys.argv.index("--python") + 1], run_name="__main__")
