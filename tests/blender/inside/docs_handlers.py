"""What docs/handlers.md says: its Python in this Blender, its Elixir on a real BEAM. usage: -- PAGE"""

import os
import re
import zipfile
from pathlib import Path

import bpy
import rig

PAGE = Path(rig.ARGUMENTS[0]).read_text(encoding="utf-8")
MY_HANDLERS = "bl_ext.user_default.my_handlers"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def install_minimal(source: str, manifest: str) -> None:
    path = Path("my_handlers.zip").absolute()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__init__.py", source)
        archive.writestr("blender_manifest.toml", manifest)
    bpy.ops.extensions.package_install_files(filepath=str(path), repo="user_default", enable_on_install=True)


def names() -> set[str]:
    return {handler.name for handler in server.handlers}


rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

server = get_beam_server()
minimal, *examples = blocks("python")
(manifest,) = blocks("toml")
install_minimal(minimal, manifest)
assert names() == {"add_empty"}
assert [(handler.owner, handler.undo) for handler in server.handlers] == [(MY_HANDLERS, True)]

namespace: dict[str, object] = {}
for example in examples:
    exec(example, namespace)
assert names() == {"add_empty", "move", "count", "follow", "turn", "rename", "size"}

bpy.ops.beam_bpy.start_server()
print("ready", flush=True)
server.serve_forever()
assert bpy.data.objects["Aim"].location.x == 1.0

# Reload Scripts: what an add-on has registered is registered anew, what a script has registered stays.
bpy.ops.beam_bpy.start_server()
before = {handler.name: handler.function for handler in server.handlers}
bpy.utils.load_scripts(reload_scripts=True)  # What the operator does in the program with a window.
assert not server.running
after = {handler.name: handler.function for handler in server.handlers}
assert set(after) == set(before)
assert {name for name in after if after[name] is not before[name]} == {"add_empty"}

rig.disable(MY_HANDLERS)
assert "add_empty" not in names()
assert rig.enable(MY_HANDLERS)
assert "add_empty" in names()
rig.disable(rig.EXTENSION)
rig.disable(MY_HANDLERS)
print("done", flush=True)
# The bpy module does not end by itself once scripts have been reloaded, with or without the extension.
os._exit(0)
