"""Two extensions in either order, saved and loaded by the next Blender; usage: -- save FIRST SECOND | -- load"""

import bpy
import rig

ZIPS = {"beam_bpy": "EXTENSION_ZIP", "scene_handlers": "SCENE_HANDLERS_ZIP"}


def save(order: list[str]) -> None:
    rig.install("EXTENSION_ZIP")
    rig.install("SCENE_HANDLERS_ZIP")
    for name in ZIPS:
        rig.disable(f"bl_ext.user_default.{name}")
    # Blender enables add-ons in the order in which the preferences hold them.
    for name in order:
        bpy.context.preferences.addons.new().module = f"bl_ext.user_default.{name}"
    bpy.ops.wm.save_userpref()


def load() -> None:
    bpy.ops.wm.read_userpref()
    from beam_bpy import get_beam_server

    server = get_beam_server()
    server.expose(lambda: "mine", name="mine")
    bpy.ops.beam_bpy.start_server()
    assert rig.call("list_objects") == ["Camera", "Cube", "Light"]

    # The one extension's handlers come and go with it, and nothing else does.
    rig.disable(rig.SCENE_HANDLERS)
    assert [handler.name for handler in server.handlers] == ["mine"]
    assert rig.enable(rig.SCENE_HANDLERS)
    assert rig.call("list_objects") == ["Camera", "Cube", "Light"]
    assert rig.call("mine") == "mine"

    # The other one may go and come back; handlers stay registered meanwhile.
    rig.disable(rig.EXTENSION)
    assert rig.enable(rig.EXTENSION)
    bpy.ops.beam_bpy.start_server()
    assert rig.call("list_objects") == ["Camera", "Cube", "Light"]
    bpy.ops.beam_bpy.stop_server()
    rig.disable(rig.EXTENSION)
    rig.disable(rig.SCENE_HANDLERS)


if rig.ARGUMENTS[0] == "save":
    save(rig.ARGUMENTS[1:])
else:
    load()
print("done")
