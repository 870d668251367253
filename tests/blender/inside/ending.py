"""A script of the bpy module that ends with its handlers registered and the server running."""

import bpy
import rig

rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

get_beam_server().expose(lambda: bpy.data.objects.keys(), name="names")
bpy.ops.beam_bpy.start_server()
assert rig.call("names") == ["Camera", "Cube", "Light"]
print("done")
