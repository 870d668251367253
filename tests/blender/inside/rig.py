"""What the scripts inside Blender are made of: installing, enabling, serving while an Erlang node calls."""

import os
import subprocess
import sys
from typing import Any

import bpy
import erlang

EXTENSION = "bl_ext.user_default.beam_bpy"
SCENE_HANDLERS = "bl_ext.user_default.scene_handlers"

ARGUMENTS = sys.argv[sys.argv.index("--") + 1 :]
"""What the script was called with; what comes before is Blender's."""


def install(variable: str, *, enable: bool = True) -> None:
    """Install a zip with Blender's own installer."""
    bpy.ops.extensions.package_install_files(
        filepath=os.environ[variable], repo="user_default", enable_on_install=enable
    )


def enable(module: str) -> bool:
    """Enable an extension as the checkbox in the preferences does."""
    return bpy.ops.preferences.addon_enable(module=module) == {"FINISHED"}


def disable(module: str) -> None:
    """Disable an extension as the checkbox in the preferences does."""
    bpy.ops.preferences.addon_disable(module=module)


def drain_until_end(process: "subprocess.Popen[Any]") -> None:
    """Run handlers on this thread, as `serve_forever` does, until a child process has ended."""
    from beam_bpy.dispatch.host_queue import host_queue

    calls = host_queue()
    assert calls is not None, "the extension has installed no queue"
    while process.poll() is None:
        if calls.wait(0.02):
            calls.drain(0.02)


def erl(code: str, *flags: str) -> Any:
    """The value of an Erlang expression, evaluated by a real node while this thread serves its calls; N is our node."""
    from beam_bpy import get_beam_server

    bound = f"N = '{get_beam_server().node_name}', {code}"
    return erlang.erl(bound, None, *flags, meanwhile=drain_until_end)


def call(function: str, arguments: str = "[]") -> Any:
    """The value of a call from a real Erlang node."""
    return erl(f"erpc:call(N, 'Elixir.Blender', {function}, {arguments}, 60000)")
