"""An example of an extension that gives the BEAM something to call: handlers that build and render a scene.

Each handler is a plain function with positional arguments. Objects, materials and properties are named, never handed
out: after an undo or a loaded file every reference that Python holds is dead, and a name isn't.

It also publishes what happens in Blender: see `events`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import animation, cameras, curves, events, geometry, image, lights, materials, objects, properties, render

if TYPE_CHECKING:
    from beam_bpy import BeamServer

Handlers = tuple[Callable[..., Any], ...]

READING: Handlers = (
    objects.list_objects,
    objects.describe_object,
    properties.get_property,
    geometry.download_mesh,
    image.download_image,
    curves.get_fcurve,
)
"""Handlers that leave the scene as it was."""

RENDERING: Handlers = (
    animation.bake_motion,
    render.render_still,
    render.render_animation,
)
"""Handlers that change settings or the frame for a time, and change them back."""

LONGEST_WAIT = 30.0
"""Seconds that a call of `RENDERING` waits for the end of a tool or of another render."""

CHANGING: Handlers = (
    objects.create_primitive,
    objects.create_cube,
    objects.set_transform,
    objects.look_at,
    objects.delete_object,
    materials.set_material,
    lights.create_light,
    lights.set_world,
    cameras.create_camera,
    properties.set_property,
    animation.keyframe_insert,
    animation.set_frame,
)
"""Handlers that change the scene: each makes a step that the user can undo."""

LOADING: Handlers = (
    geometry.upload_mesh,
    image.upload_image,
    curves.set_fcurve,
)
"""Handlers that change the scene and take numbers by the megabyte: binaries without a copy, lists as numpy arrays."""


STREAMING: Handlers = (geometry.move_vertices,)
"""Those that may be called for each frame: a step to undo for each call would cost more than the call."""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    server = _server()
    for handler in READING:
        server.expose(owner=__package__)(handler)
    for handler in RENDERING:
        server.expose(owner=__package__, changes_scene=True, max_wait=LONGEST_WAIT)(handler)
    for handler in CHANGING:
        server.expose(owner=__package__, undo=True)(handler)
    for handler in LOADING:
        server.expose(owner=__package__, undo=True, binaries=memoryview, arrays=True)(handler)
    for handler in STREAMING:
        server.expose(owner=__package__, changes_scene=True, binaries=memoryview, arrays=True)(handler)
    events.register(server)


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    events.unregister()
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
