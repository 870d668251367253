"""The modules of the installed extensions: `addon.preferences`, `addon.scene_events`."""

import importlib
from types import ModuleType

from in_blender import EXTENSION, PYTHON_HANDLERS, SCENE_HANDLERS

_PATHS = {
    "preferences": f"{EXTENSION}.preferences",
    "headless": f"{EXTENSION}.headless",
    "guard": f"{EXTENSION}.guard",
    "lines": f"{EXTENSION}.lines",
    "host_check": f"{EXTENSION}.host_check",
    "reports": f"{EXTENSION}.reports",
    "lifecycle": f"{EXTENSION}.lifecycle",
    "operators": f"{EXTENSION}.operators",
    "panel": f"{EXTENSION}.panel",
    "panel_state": f"{EXTENSION}.panel_state",
    "security": f"{EXTENSION}.security",
    "snippets": f"{EXTENSION}.snippets",
    "scene_handlers": SCENE_HANDLERS,
    "scene_animation": f"{SCENE_HANDLERS}.animation",
    "scene_armatures": f"{SCENE_HANDLERS}.armatures",
    "scene_arguments": f"{SCENE_HANDLERS}.arguments",
    "scene_baking": f"{SCENE_HANDLERS}.baking",
    "scene_changes": f"{SCENE_HANDLERS}.changes",
    "scene_curves": f"{SCENE_HANDLERS}.curves",
    "scene_cameras": f"{SCENE_HANDLERS}.cameras",
    "scene_descriptions": f"{SCENE_HANDLERS}.descriptions",
    "scene_evaluated": f"{SCENE_HANDLERS}.evaluated",
    "scene_files": f"{SCENE_HANDLERS}.files",
    "scene_image": f"{SCENE_HANDLERS}.image",
    "scene_live": f"{SCENE_HANDLERS}.live",
    "scene_lights": f"{SCENE_HANDLERS}.lights",
    "scene_materials": f"{SCENE_HANDLERS}.materials",
    "scene_mesh_edits": f"{SCENE_HANDLERS}.mesh_edits",
    "scene_node_inputs": f"{SCENE_HANDLERS}.node_inputs",
    "scene_objects": f"{SCENE_HANDLERS}.objects",
    "scene_openexr": f"{SCENE_HANDLERS}.openexr",
    "scene_passes": f"{SCENE_HANDLERS}.passes",
    "scene_properties": f"{SCENE_HANDLERS}.properties",
    "scene_resources": f"{SCENE_HANDLERS}.resources",
    "scene_recording": f"{SCENE_HANDLERS}.recording",
    "scene_render": f"{SCENE_HANDLERS}.render",
    "scene_conversion": f"{SCENE_HANDLERS}.conversion",
    "scene_cleaning": f"{SCENE_HANDLERS}.blend_cleaning",
    "scene_checks": f"{SCENE_HANDLERS}.file_checks",
    "scene_formats": f"{SCENE_HANDLERS}.file_formats",
    "scene_limits": f"{SCENE_HANDLERS}.limits",
    "scene_thumbnails": f"{SCENE_HANDLERS}.thumbnails",
    "scene_events": f"{SCENE_HANDLERS}.events",
    "python_permission": f"{PYTHON_HANDLERS}.permission",
    "scene_motion_events": f"{SCENE_HANDLERS}.motion_events",
}


def __getattr__(name: str) -> ModuleType:
    # At each use, because Blender imports the modules anew when an extension is installed again.
    if name not in _PATHS:
        raise AttributeError(name)
    return importlib.import_module(_PATHS[name])
