"""Runs the Python of docs/handlers.md while a real BEAM runs its Elixir. usage: -- PAGE

A fresh process: it serves until SIGTERM, and the bpy module does not end by itself once scripts have been reloaded.
"""

import os
import zipfile
from pathlib import Path

import bpy
import in_blender
from code_blocks import code_blocks

PAGE = Path(in_blender.script_arguments()[0]).read_text(encoding="utf-8")
MY_HANDLERS = "bl_ext.user_default.my_handlers"


def install_minimal(source: str, manifest: str) -> None:
    path = Path("my_handlers.zip").absolute()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__init__.py", source)
        archive.writestr("blender_manifest.toml", manifest)
    bpy.ops.extensions.package_install_files(filepath=str(path), repo="user_default", enable_on_install=True)


def names() -> set[str]:
    return {handler.name for handler in server.handlers}


in_blender.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

server = get_beam_server()
minimal, *examples = code_blocks(PAGE, "python")
(manifest,) = code_blocks(PAGE, "toml")
install_minimal(minimal, manifest)
assert names() == {"add_empty"}
assert [(handler.owner, handler.undo) for handler in server.handlers] == [(MY_HANDLERS, True)]

namespace: dict[str, object] = {}
for example in examples:
    exec(example, namespace)
expected = {"add_empty", "move", "count", "track", "place", "fetch_name", "follow", "turn", "who", "rename", "size"}
assert names() == expected, names() ^ expected

bpy.ops.beam_bpy.start_server()
print("ready", flush=True)
server.serve_forever()
assert bpy.data.objects["Aim"].location.x == 1.0

# Reload Scripts: what an add-on has registered is registered anew, what a script has registered stays.
bpy.ops.beam_bpy.start_server()
before = {handler.name: handler.function for handler in server.handlers}
bpy.utils.load_scripts(reload_scripts=True)  # The operator in a window does the same.
assert not server.running
after = {handler.name: handler.function for handler in server.handlers}
assert set(after) == set(before)
assert {name for name in after if after[name] is not before[name]} == {"add_empty"}

in_blender.disable(MY_HANDLERS)
assert "add_empty" not in names()
assert in_blender.enable(MY_HANDLERS)
assert "add_empty" in names()
in_blender.disable(in_blender.EXTENSION)
in_blender.disable(MY_HANDLERS)
print("done", flush=True)
# With or without the extension, the bpy module would not end by itself now.
os._exit(0)
