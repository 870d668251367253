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
    "scene_animation": f"{SCENE_HANDLERS}.motion.animation",
    "scene_armatures": f"{SCENE_HANDLERS}.motion.armatures",
    "scene_arguments": f"{SCENE_HANDLERS}.support.arguments",
    "scene_baking": f"{SCENE_HANDLERS}.pictures.baking",
    "scene_changes": f"{SCENE_HANDLERS}.support.changes",
    "scene_curves": f"{SCENE_HANDLERS}.motion.curves",
    "scene_cameras": f"{SCENE_HANDLERS}.scenes.cameras",
    "scene_descriptions": f"{SCENE_HANDLERS}.scenes.descriptions",
    "scene_encoding": f"{SCENE_HANDLERS}.pictures.encoding",
    "scene_evaluated": f"{SCENE_HANDLERS}.support.evaluated",
    "scene_files": f"{SCENE_HANDLERS}.support.files",
    "scene_image": f"{SCENE_HANDLERS}.pictures.image",
    "scene_live": f"{SCENE_HANDLERS}.motion.live",
    "scene_lights": f"{SCENE_HANDLERS}.scenes.lights",
    "scene_materials": f"{SCENE_HANDLERS}.scenes.materials",
    "scene_mesh_edits": f"{SCENE_HANDLERS}.meshes.mesh_edits",
    "scene_node_inputs": f"{SCENE_HANDLERS}.scenes.node_inputs",
    "scene_objects": f"{SCENE_HANDLERS}.scenes.objects",
    "scene_openexr": f"{SCENE_HANDLERS}.pictures.openexr",
    "scene_passes": f"{SCENE_HANDLERS}.pictures.passes",
    "scene_properties": f"{SCENE_HANDLERS}.scenes.properties",
    "scene_render_pictures": f"{SCENE_HANDLERS}.pictures.render_pictures",
    "scene_streams": f"{SCENE_HANDLERS}.pictures.streams",
    "scene_resources": f"{SCENE_HANDLERS}.assets.resources",
    "scene_transforms": f"{SCENE_HANDLERS}.motion.transforms",
    "scene_recording": f"{SCENE_HANDLERS}.motion.recording",
    "scene_render": f"{SCENE_HANDLERS}.pictures.render",
    "scene_conversion": f"{SCENE_HANDLERS}.assets.conversion",
    "scene_cleaning": f"{SCENE_HANDLERS}.assets.blend_cleaning",
    "scene_checks": f"{SCENE_HANDLERS}.assets.checks.file_checks",
    "scene_formats": f"{SCENE_HANDLERS}.assets.file_formats",
    "scene_limits": f"{SCENE_HANDLERS}.assets.limits",
    "scene_temporary_folders": f"{SCENE_HANDLERS}.support.temporary_folders",
    "scene_thumbnails": f"{SCENE_HANDLERS}.pictures.thumbnails",
    "scene_viewport": f"{SCENE_HANDLERS}.pictures.viewport",
    "scene_events": f"{SCENE_HANDLERS}.events",
    "python_permission": f"{PYTHON_HANDLERS}.permission",
    "scene_motion_events": f"{SCENE_HANDLERS}.motion_events",
}


def __getattr__(name: str) -> ModuleType:
    # At each use, because Blender imports the modules anew when an extension is installed again.
    if name not in _PATHS:
        raise AttributeError(name)
    return importlib.import_module(_PATHS[name])
