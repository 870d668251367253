"""A Blender with both extensions that serves until SIGTERM."""

import bpy
import rig

rig.install("EXTENSION_ZIP")
rig.install("SCENE_HANDLERS_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

bpy.ops.beam_bpy.start_server()
print("ready", get_beam_server().node_name)
get_beam_server().serve_forever()
