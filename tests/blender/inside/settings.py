"""Preferences, what overrides them, and what is said about values that cannot be used."""

import importlib
import logging
import os

import bpy
import rig

# Each part decides for itself what the environment says.
for variable in ("BPY_BEAM_NODE", "BPY_BEAM_COOKIE"):
    del os.environ[variable]
rig.install("EXTENSION_ZIP")

from beam_bpy import Limits, get_beam_server  # noqa: E402 - installed just now

said: list[str] = []


class _Collector(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        said.append(record.getMessage())


logging.getLogger("beam_bpy").addHandler(_Collector())
server = get_beam_server()
preferences = bpy.context.preferences.addons[rig.EXTENSION].preferences
stored = importlib.import_module(f"{rig.EXTENSION}.preferences").stored
mine = f"settings_{os.getpid()}"


def refusal() -> str:
    try:
        bpy.ops.beam_bpy.start_server()
    except RuntimeError as error:
        return str(error)
    raise AssertionError("it has started")


def started() -> str:
    assert bpy.ops.beam_bpy.toggle_server() == {"FINISHED"}
    name: str = server.node_name
    assert bpy.ops.beam_bpy.toggle_server() == {"FINISHED"}
    return name


# What a script has set stays, unless a preference replaces it, which the log says in one line.
limits = Limits(max_queued=7)
server.configure(cookie="of a script", port=9101, allow=("app@*",), limits=limits)
assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
assert server.options.allow == ("app@*",)
assert server.options.limits == limits
assert (server.options.cookie, server.options.port) == ("beam_bpy_cookie", 0)
assert [line for line in said if "replace settings that a script has given" in line] == [
    "the preferences of Beam-BPy replace settings that a script has given the server: Cookie, Port"
]
bpy.ops.beam_bpy.restart_server()
bpy.ops.beam_bpy.stop_server()
assert len([line for line in said if "replace settings" in line]) == 1
assert server.options.allow == ("app@*",)
server.configure(allow=None)

# Defaults.
always = {"tick_time": 60.0, "epmd": "embed"}
assert stored() == {"node_name": "beam_bpy", "cookie": "beam_bpy_cookie", "host": "localhost", "port": 0, **always}
assert server.node_name == "beam_bpy@127.0.0.1"
assert preferences.bl_rna.properties["cookie"].subtype == "PASSWORD"
assert all(preferences.bl_rna.properties[name].description for name in type(preferences).__annotations__)

# The preferences hold at the next start.
preferences.node_name = mine
assert started() == f"{mine}@127.0.0.1"

# Wrong values are explained, and do not keep a later start from working.
preferences.node_name = "no spaces please"
assert "the node name 'no spaces please' cannot be used" in refusal()
preferences.node_name = f"{mine}@127.0.0.1"
preferences.host = ""
assert started() == f"{mine}@127.0.0.1"

# Beyond this computer only with online access.
assert not bpy.app.online_access
preferences.host = "0.0.0.0"
assert "allow online access in Preferences, System, Network" in refusal()
assert not server.running
preferences.host = "127.0.0.1"
assert started() == f"{mine}@127.0.0.1"

# The environment wins.
os.environ["BPY_BEAM_NODE"] = f"{mine}_environment"
os.environ["BPY_BEAM_COOKIE"] = "from_the_environment"
os.environ["BPY_BEAM_HOST"] = "localhost"
preferences.host = "0.0.0.0"
assert stored() == {"node_name": None, "cookie": None, "host": None, "port": 0, **always}
assert started() == f"{mine}_environment@127.0.0.1"

# A port that is taken: the operator says so, and the server tells why.
os.environ["BPY_BEAM_PORT"] = os.environ["ERL_EPMD_PORT"]
assert bpy.ops.beam_bpy.toggle_server.poll()
import socket  # noqa: E402

with socket.create_server(("127.0.0.1", int(os.environ["BPY_BEAM_PORT"]))):
    assert f"port {os.environ['BPY_BEAM_PORT']} is taken" in refusal()
# Blender 4.5 as a module sometimes waits for ever in the destructor of a condition variable, after Python has ended.
print("done", flush=True)
os._exit(0)
