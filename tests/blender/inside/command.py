"""`blender --command beam_bpy`, whose function the bpy module can only call: it has no command line."""

import importlib
import sys

import rig

rig.install("EXTENSION_ZIP")
sys.exit(importlib.import_module(f"{rig.EXTENSION}.headless").main(rig.ARGUMENTS))
