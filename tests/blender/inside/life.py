"""Install, enable, start, call, stop, disable, and the same again: nothing stays behind."""

import gc
import os
import threading

import bpy
import rig

CLASSES = [
    "BEAMBPY_AP_preferences",
    "BEAMBPY_OT_copy_node_name",
    "BEAMBPY_OT_copy_snippet",
    "BEAMBPY_OT_generate_cookie",
    "BEAMBPY_OT_restart_server",
    "BEAMBPY_OT_show_traceback",
    "BEAMBPY_OT_start_server",
    "BEAMBPY_OT_stop_server",
    "BEAMBPY_OT_tell",
    "BEAMBPY_OT_toggle_server",
    "BEAMBPY_OT_use_erlang_cookie",
    "BEAMBPY_PT_activity",
    "BEAMBPY_PT_handlers",
    "BEAMBPY_PT_nodes",
    "BEAMBPY_PT_sidebar",
]
OPERATORS = {"start_server", "stop_server", "toggle_server"}


def registered() -> list[str]:
    bases = (bpy.types.AddonPreferences, bpy.types.Operator, bpy.types.Panel)
    classes = [class_ for base in bases for class_ in base.__subclasses__()]
    return sorted(
        class_.__name__ for class_ in classes if class_.is_registered and class_.__module__.startswith(rig.EXTENSION)
    )


def left_behind() -> tuple[object, ...]:
    gc.collect()
    return (
        sorted(thread.name for thread in threading.enumerate()),
        registered(),
        OPERATORS & set(dir(bpy.ops.beam_bpy)),
        len(os.listdir("/proc/self/fd")),
    )


def use() -> None:
    from beam_bpy import get_beam_server
    from beam_bpy.dispatch.host_queue import host_queue

    assert registered() == CLASSES, registered()
    assert set(dir(bpy.ops.beam_bpy)) >= OPERATORS
    assert host_queue() is not None
    server = get_beam_server()
    server.register_handler("names", lambda args: bpy.data.objects.keys())
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert server.running
    assert rig.call("names") == ["Camera", "Cube", "Light"]
    assert bpy.ops.beam_bpy.stop_server() == {"FINISHED"}
    assert not server.running


before = left_behind()
assert before[1:3] == ([], set())
rig.install("EXTENSION_ZIP")

import beam_bpy  # noqa: E402 - installed just now
from beam_bpy.dispatch.host_queue import host_queue  # noqa: E402

assert ".local" in beam_bpy.__file__, f"not the wheel: {beam_bpy.__file__}"
for _ in range(3):
    use()
    rig.disable(rig.EXTENSION)
    assert left_behind() == before, (left_behind(), before)
    assert host_queue() is None
    assert rig.enable(rig.EXTENSION)

# Disabled while it runs: the server stops, and so does one that a script has made.
bpy.ops.beam_bpy.toggle_server()
assert beam_bpy.get_beam_server().running
another = beam_bpy.BeamServer("another")
assert another.start()
rig.disable(rig.EXTENSION)
assert not beam_bpy.get_beam_server().running
assert not another.running
assert left_behind() == before, (left_behind(), before)

# Uninstalled.
assert rig.enable(rig.EXTENSION)
bpy.ops.extensions.package_uninstall(repo_index=1, pkg_id="beam_bpy")
assert left_behind() == before, (left_behind(), before)
print("done")
