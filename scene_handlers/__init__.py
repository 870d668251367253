"""An extension with handlers for the BEAM. The handlers build, animate and render a scene.

`docs/scene_handlers.md` describes each of them; `changes` lists the rules that all of them follow.

Each handler is a function with positional arguments. Arguments and results contain the names of objects, materials and
properties, and no references to them. After an undo, or after a file is loaded, Python's references are invalid, but
the names are still valid.

The extension also publishes events of Blender; see `events` and `motion_events`.
"""

import atexit
import importlib.metadata
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import (
    animation,
    armatures,
    baking,
    blend_files,
    cameras,
    conversion,
    curves,
    descriptions,
    events,
    geometry,
    image,
    inspection,
    lights,
    materials,
    mesh_edits,
    motion_events,
    node_inputs,
    objects,
    passes,
    properties,
    render,
    thumbnails,
    transfer,
)

if TYPE_CHECKING:
    from beam_bpy import BeamServer

log = logging.getLogger("beam_bpy.scene_handlers")

Handlers = tuple[Callable[..., Any], ...]

READING: Handlers = (
    objects.list_objects,
    objects.describe_object,
    descriptions.describe_scene,
    properties.get_property,
    descriptions.describe_type,
    geometry.download_mesh,
    image.download_image,
    curves.get_fcurve,
    armatures.bones,
    armatures.get_pose,
    armatures.get_shape_keys,
    node_inputs.get_node_inputs,
    inspection.inspect_file,
    motion_events.current_values,
)
"""Handlers that do not change the scene."""

RENDERING: Handlers = (
    animation.bake_motion,
    render.render_still,
    render.render_animation,
    transfer.export_file,
    transfer.export_bytes,
    blend_files.save_file,
    passes.render_pass,
    thumbnails.thumbnail,
    thumbnails.turntable,
)
"""Handlers that change settings or the frame while they run, and then restore them; and that save the file."""

LONGEST_WAIT = 30.0
"""The longest time that a call of a handler in `RENDERING` waits until a tool or another render ends, in seconds."""

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
    mesh_edits.apply_modifiers,
    mesh_edits.decimate,
    mesh_edits.triangulate,
    mesh_edits.quads,
    armatures.set_pose,
    armatures.rest_pose,
    armatures.set_shape_keys,
    node_inputs.set_node_inputs,
    baking.bake,
    transfer.import_file,
    blend_files.append,
    blend_files.link,
)
"""Handlers that change the scene. The user can undo each of them."""

LOADING: Handlers = (
    geometry.upload_mesh,
    image.upload_image,
    curves.set_fcurve,
    transfer.import_bytes,
)
"""Handlers that change the scene and take many numbers: binaries without a copy, or lists as numpy arrays."""

STREAMING: Handlers = (geometry.move_vertices,)
"""Handlers for calls in each frame. They make no undo step, because the step would take longer than the call."""


OPENING: Handlers = (
    blend_files.open_file,
    conversion.new_file,
    conversion.convert_bytes,
)
"""Handlers that replace the current file. They make no undo step, because Blender's undo ends where a file begins."""


def register(server: "BeamServer | None" = None) -> None:
    """Register the handlers and start to publish events.

    Blender calls this without a server when the user enables the extension. `serve --handlers scene_handlers` calls it
    with a server, in a Python program that has the packages bpy and beam-bpy.

    After an update of Beam-BPy, Blender's Python keeps its old modules until Blender ends. Then nothing is registered:
    handlers of a new version may need the new modules, and Blender would disable an extension that raises an exception.
    """
    if server is None:
        server = _server()
        if _core_was_updated():
            log.warning("Beam-BPy was updated: restart Blender. Until then, Scene Handlers has no handlers")
            return
    else:
        # Blender disables its extensions when it ends. In a program nobody does, and with functions in
        # bpy.app.handlers the bpy module does not end.
        atexit.register(events.unregister)
        atexit.register(motion_events.unregister)
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
    for handler in OPENING:
        server.expose(owner=__package__, changes_scene=True, binaries=memoryview)(handler)
    events.register(server)
    motion_events.register(server)


def unregister() -> None:
    """Undo `register`. Blender calls this when the user disables the extension."""
    motion_events.unregister()
    events.unregister()
    _server().unregister_owner(__package__)


def _core_was_updated() -> bool:
    """True if Blender has installed another version of Beam-BPy than the one that Python has imported."""
    import beam_bpy

    try:
        installed = importlib.metadata.version("beam-bpy")
    except importlib.metadata.PackageNotFoundError:  # A program for tests imports the sources.
        return False
    return getattr(beam_bpy, "__version__", None) != installed


def _server() -> "BeamServer":
    # Import it here, so that the user of a Blender without Beam-BPy sees this message and not a ModuleNotFoundError.
    try:
        from beam_bpy import get_beam_server
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "Scene Handlers needs the extension Beam-BPy: install and enable it, then enable Scene Handlers again"
        ) from error
    return get_beam_server()
