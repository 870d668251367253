"""Handlers that touch bpy run on Blender's main thread, those of a script's own server too."""

import os
import threading

import bpy
import rig

rig.install("EXTENSION_ZIP")

from beam_bpy import BeamServer, get_beam_server  # noqa: E402 - installed just now

seen: list[threading.Thread] = []


def add_empty(name: str) -> str:
    seen.append(threading.current_thread())
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, None))
    return name


get_beam_server().expose(add_empty)
get_beam_server().expose(name="where", inline=True)(lambda: threading.current_thread().name)
bpy.ops.beam_bpy.start_server()
assert rig.call("add_empty", '[<<"First">>]') == "First"
# The network's own thread, or the main thread while that waits for calls.
assert rig.call("where") in ("beam_bpy network", "MainThread")

other = BeamServer(f"other_{os.getpid()}")
other.expose(add_empty)
assert other.start()
code = f"erpc:call('{other.node_name}', 'Elixir.Blender', add_empty, [<<\"Second\">>])"
assert rig.erl(code) == "Second"
other.stop()

assert {"First", "Second"} <= set(bpy.data.objects.keys())
assert seen == [threading.main_thread()] * 2, seen
print("done")
