"""A Blender with both extensions that serves until SIGTERM: a process of its own, which tests call from outside."""

import bpy
import in_blender

in_blender.install("EXTENSION_ZIP")
in_blender.install("SCENE_HANDLERS_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

bpy.ops.beam_bpy.start_server()
print("ready", get_beam_server().node_name)
get_beam_server().serve_forever()
