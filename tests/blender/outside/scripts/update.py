"""An update of the extension in a running Blender. usage: -- update NEWER_ZIP ... | -- restarted VERSION

Two fresh processes: the second one is the Blender that was restarted after the update.
"""

import sys
import time
from typing import Any

import bpy
import erlang
import in_blender

SETTINGS = {"node_name": "kept", "cookie": "kept_cookie", "port": 0, "log_level": "debug", "start_with_blender": True}


def preferences() -> Any:
    return bpy.context.preferences.addons[in_blender.EXTENSION].preferences


def update(*newer: str) -> None:
    in_blender.install("EXTENSION_ZIP")
    in_blender.install("SCENE_HANDLERS_ZIP")
    in_blender.install("PYTHON_HANDLERS_ZIP")
    bpy.context.preferences.addons[in_blender.PYTHON_HANDLERS].preferences.allow_python = True
    for name, value in SETTINGS.items():
        setattr(preferences(), name, value)
    from beam_bpy import get_beam_server

    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}

    def reinstall_once_connected(_process: object) -> None:
        while not get_beam_server().peers:
            time.sleep(0.01)
        for path in newer:
            reinstall(path)

    watch = "true = net_kernel:connect_node(N), monitor_node(N, true), receive {nodedown, N} -> noticed end"
    node = f"N = '{get_beam_server().node_name}'"
    assert erlang.erl(f"{node}, {watch}", None, meanwhile=reinstall_once_connected) == "noticed"
    # Nothing of the extension runs with the old core.
    assert not get_beam_server().running
    assert in_blender.EXTENSION in bpy.context.preferences.addons
    assert not hasattr(bpy.types, "BEAM_BPY_OT_start_server")
    assert hasattr(bpy.types, "BEAMBPY_PT_after_update")
    assert "restart Blender" in sys.modules[f"{in_blender.EXTENSION}.updates"].OBSTACLE
    # A second update changes nothing.
    for path in newer:
        reinstall(path)
    assert {in_blender.SCENE_HANDLERS, in_blender.PYTHON_HANDLERS} <= set(bpy.context.preferences.addons.keys())
    assert hasattr(bpy.types, "BEAMBPY_PT_after_update")
    bpy.ops.wm.save_userpref()
    print("done", flush=True)


def reinstall(path: str) -> None:
    bpy.ops.extensions.package_install_files(filepath=path, repo="user_default", enable_on_install=True)


def restarted(version: str) -> None:
    bpy.ops.wm.read_userpref()
    import beam_bpy

    assert beam_bpy.__version__ == version
    holder = preferences()
    assert {name: getattr(holder, name) for name in SETTINGS} == SETTINGS
    assert holder.start_after_update
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert in_blender.call("list_objects") == ["Camera", "Cube", "Light"]
    assert in_blender.call("run_python", '[<<"1 + 1">>]') == {"result": 2, "output": ""}
    for extension in (in_blender.PYTHON_HANDLERS, in_blender.SCENE_HANDLERS, in_blender.EXTENSION):
        in_blender.disable(extension)
    print("done", flush=True)


action, *arguments = in_blender.script_arguments()
{"update": update, "restarted": restarted}[action](*arguments)
