"""The extensions in any order. usage: -- save FIRST SECOND THIRD | -- load

Two fresh processes: the second enables the extensions as the preferences say that the first has saved.
"""

import bpy
import in_blender

ZIPS = {"beam_bpy": "EXTENSION_ZIP", "scene_handlers": "SCENE_HANDLERS_ZIP", "python_handlers": "PYTHON_HANDLERS_ZIP"}


def save(order: list[str]) -> None:
    for variable in ZIPS.values():
        in_blender.install(variable)
    for name in ZIPS:
        in_blender.disable(f"bl_ext.user_default.{name}")
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
    assert in_blender.call("list_objects") == ["Camera", "Cube", "Light"]

    # The one extension's handlers come and go with it, and nothing else does.
    in_blender.disable(in_blender.SCENE_HANDLERS)
    assert {handler.name for handler in server.handlers} == {"mine", "run_python"}
    in_blender.disable(in_blender.PYTHON_HANDLERS)
    assert [handler.name for handler in server.handlers] == ["mine"]
    assert in_blender.enable(in_blender.PYTHON_HANDLERS)
    assert in_blender.enable(in_blender.SCENE_HANDLERS)
    assert in_blender.call("list_objects") == ["Camera", "Cube", "Light"]
    assert in_blender.call("mine") == "mine"

    # The other one may go and come back; handlers stay registered meanwhile.
    in_blender.disable(in_blender.EXTENSION)
    assert in_blender.enable(in_blender.EXTENSION)
    bpy.ops.beam_bpy.start_server()
    assert in_blender.call("list_objects") == ["Camera", "Cube", "Light"]
    bpy.ops.beam_bpy.stop_server()
    in_blender.disable(in_blender.EXTENSION)
    in_blender.disable(in_blender.SCENE_HANDLERS)
    in_blender.disable(in_blender.PYTHON_HANDLERS)


arguments = in_blender.script_arguments()
if arguments[0] == "save":
    save(arguments[1:])
else:
    load()
print("done")
