"""Ends with handlers registered and the server running. A fresh process, because its end is what is tested."""

import bpy
import in_blender

in_blender.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

get_beam_server().expose(lambda: bpy.data.objects.keys(), name="names")
bpy.ops.beam_bpy.start_server()
assert in_blender.call("names") == ["Camera", "Cube", "Light"]
print("done")
