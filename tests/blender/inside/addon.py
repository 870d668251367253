"""The modules of the installed extensions: `addon.preferences`, `addon.scene_events`."""

import importlib
from types import ModuleType

from in_blender import EXTENSION, SCENE_HANDLERS

_PATHS = {
    "preferences": f"{EXTENSION}.preferences",
    "guard": f"{EXTENSION}.guard",
    "lifecycle": f"{EXTENSION}.lifecycle",
    "operators": f"{EXTENSION}.operators",
    "panel": f"{EXTENSION}.panel",
    "panel_state": f"{EXTENSION}.panel_state",
    "snippets": f"{EXTENSION}.snippets",
    "scene_events": f"{SCENE_HANDLERS}.events",
}


def __getattr__(name: str) -> ModuleType:
    # At each use, because Blender imports the modules anew when an extension is installed again.
    if name not in _PATHS:
        raise AttributeError(name)
    return importlib.import_module(_PATHS[name])
