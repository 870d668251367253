"""An example of an extension that gives the BEAM something to call: handlers that build and render a scene.

Each handler is a plain function with positional arguments. Objects, materials and properties are named, never handed
out: after an undo or a loaded file every reference that Python holds is dead, and a name isn't.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import animation, cameras, lights, materials, objects, properties, render

if TYPE_CHECKING:
    from beam_bpy import BeamServer

HANDLERS: tuple[Callable[..., Any], ...] = (
    objects.list_objects,
    objects.describe_object,
    objects.create_primitive,
    objects.create_cube,
    objects.set_transform,
    objects.look_at,
    objects.delete_object,
    materials.set_material,
    lights.create_light,
    lights.set_world,
    cameras.create_camera,
    properties.get_property,
    properties.set_property,
    animation.keyframe_insert,
    animation.set_frame,
    render.render_still,
)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    expose = _server().expose(owner=__package__)
    for handler in HANDLERS:
        expose(handler)


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    _server().unregister_owner(__package__)


def _server() -> "BeamServer":
    # Imported here, so that a Blender without Beam-BPy gets this sentence and not a missing module.
    try:
        from beam_bpy import get_beam_server
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "Scene Handlers needs the extension Beam-BPy: install and enable it, then enable Scene Handlers again"
        ) from error
    return get_beam_server()
