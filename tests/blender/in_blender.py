"""For code that runs inside Blender: install and enable extensions, and serve while an Erlang node calls."""

import os
import subprocess
import sys
from typing import Any

import bpy
import erlang

EXTENSION = "bl_ext.user_default.beam_bpy"
SCENE_HANDLERS = "bl_ext.user_default.scene_handlers"
PYTHON_HANDLERS = "bl_ext.user_default.python_handlers"


def script_arguments() -> list[str]:
    """The script's arguments: those after "--"; the others belong to Blender."""
    return sys.argv[sys.argv.index("--") + 1 :]


def install(variable: str, *, enable: bool = True) -> None:
    """Install the zip that an environment variable names, with the operator behind "Install from Disk"."""
    bpy.ops.extensions.package_install_files(
        filepath=os.environ[variable], repo="user_default", enable_on_install=enable
    )


def uninstall(extension: str) -> None:
    """Uninstall an extension with the operator behind "Uninstall"."""
    repositories = bpy.context.preferences.extensions.repos
    index = next(index for index, one in enumerate(repositories) if one.module == "user_default")
    bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id=extension.rpartition(".")[2])


def enable(extension: str) -> bool:
    """Enable an extension as the checkbox in the preferences does; whether that worked."""
    return bpy.ops.preferences.addon_enable(module=extension) == {"FINISHED"}


def disable(extension: str) -> None:
    """Disable an extension as the checkbox in the preferences does."""
    bpy.ops.preferences.addon_disable(module=extension)


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
