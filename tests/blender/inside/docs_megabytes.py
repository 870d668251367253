"""What docs/megabytes.md says: its Python in this Blender, its Elixir on a real BEAM. usage: -- PAGE"""

import re
from pathlib import Path

import bpy
import rig

PAGE = Path(rig.ARGUMENTS[0]).read_text(encoding="utf-8")

rig.install("EXTENSION_ZIP")
rig.install("SCENE_HANDLERS_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

(example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
exec(example, {})

bpy.ops.beam_bpy.start_server()
print("ready")
get_beam_server().serve_forever()
assert {"set_weights", "get_weights"} <= {handler.name for handler in get_beam_server().handlers if handler.calls == 1}
assert bpy.data.images["Ramp"].size[:] == (64, 64)
print("done")
