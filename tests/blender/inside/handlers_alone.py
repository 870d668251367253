"""The example extension in a Blender without Beam-BPy."""

import bpy
import rig

rig.install("SCENE_HANDLERS_ZIP")
assert rig.SCENE_HANDLERS not in bpy.context.preferences.addons
rig.install("EXTENSION_ZIP")
assert rig.enable(rig.SCENE_HANDLERS)

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

assert get_beam_server().handlers
print("done")
