"""The example extension in a Blender without Beam-BPy."""

import sys

import bpy
import rig

# A Python that has the package for itself, as that of a developer may, is no Blender without it.
sys.modules["beam_bpy"] = None  # type: ignore[assignment]
said = ""
try:
    rig.install("SCENE_HANDLERS_ZIP")
except RuntimeError as error:
    said = str(error)
assert "Scene Handlers needs the extension Beam-BPy: install and enable it" in said, said
assert rig.SCENE_HANDLERS not in bpy.context.preferences.addons
del sys.modules["beam_bpy"]

rig.install("EXTENSION_ZIP")
assert rig.enable(rig.SCENE_HANDLERS)

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

assert get_beam_server().handlers
print("done")
