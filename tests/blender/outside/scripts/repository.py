"""Extensions from a repository on a web server, and an update while the node runs. usage: -- URL

The test changes the repository when this script prints "installed", and then sends a line.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

import bpy
import in_blender

MODULE = "studio"
EXTENSION = f"bl_ext.{MODULE}.beam_bpy"


def add_repository(url: str) -> int:
    """Add a remote repository, as the user does; returns its number."""
    preferences = bpy.context.preferences
    preferences.system.use_online_access = True
    bpy.ops.preferences.extension_repo_add(name=MODULE, remote_url=url, type="REMOTE")
    repositories = preferences.extensions.repos
    return next(number for number, one in enumerate(repositories) if one.remote_url == url)


def installed_version() -> str:
    (path,) = (Path(one.directory) for one in bpy.context.preferences.extensions.repos if one.module == MODULE)
    with (path / "beam_bpy" / "blender_manifest.toml").open("rb") as file:
        return str(tomllib.load(file)["version"])


def preferences() -> Any:
    return bpy.context.preferences.addons[EXTENSION].preferences


number = add_repository(in_blender.script_arguments()[0])
bpy.ops.extensions.repo_sync(repo_index=number)
for name in ("beam_bpy", "scene_handlers"):
    bpy.ops.extensions.package_install(repo_index=number, pkg_id=name, enable_on_install=True)
preferences().cookie = "kept"
bpy.ops.beam_bpy.start_server()

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

assert "list_objects" in {handler.name for handler in get_beam_server().handlers}
assert get_beam_server().running
before = installed_version()
print("installed", flush=True)
assert sys.stdin.readline() == "the repository has changed\n"

bpy.ops.extensions.repo_sync(repo_index=number)
bpy.ops.extensions.package_upgrade_all()
assert installed_version() != before
assert not get_beam_server().running
assert "restart Blender" in sys.modules[f"{EXTENSION}.updates"].OBSTACLE
assert preferences().cookie == "kept"
print("done", flush=True)
