"""A hundred times enabled, started, called and disabled: as many threads, sockets, classes and handlers as before."""

import gc
import os
import threading

import bpy
import rig

TIMES = 100


def counted() -> dict[str, int]:
    gc.collect()
    bases = (bpy.types.AddonPreferences, bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.UIList)
    classes = [class_ for base in bases for class_ in base.__subclasses__() if class_.is_registered]
    handlers = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers) if not name.startswith("_")]
    return {
        "threads": threading.active_count(),
        "files and sockets": len(os.listdir("/proc/self/fd")),
        "classes": len([class_ for class_ in classes if rig.EXTENSION in class_.__module__]),
        "app handlers": sum(len(handler) for handler in handlers if isinstance(handler, list)),
    }


rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

rig.disable(rig.EXTENSION)
before = counted()
server = get_beam_server()
for number in range(TIMES):
    assert rig.enable(rig.EXTENSION)
    server.expose(lambda: "pong", name="ping", inline=True, owner="often")
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    if number % 10 == 0:
        assert rig.call("ping") == "pong"
    if number % 2:  # Disabling stops it, too.
        assert bpy.ops.beam_bpy.stop_server() == {"FINISHED"}
    assert server.unregister_owner("often") == 1
    rig.disable(rig.EXTENSION)
    assert not server.running
assert server.handlers == ()
assert counted() == before, (counted(), before)
print("done")
