"""The handlers that work in the current file, in groups of those that are registered in the same way."""

from collections.abc import Callable, Hashable
from typing import Any

from . import motion_events
from .assets import blend_files, inspection, resources, transfer
from .meshes import geometry, mesh_edits
from .motion import animation, armatures, curves, live, recording, transforms
from .pictures import baking, image, passes, render, render_pictures, screenshots, thumbnails, viewport
from .scenes import cameras, descriptions, lights, materials, node_inputs, objects, properties

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
    screenshots.screenshot,
    motion_events.current_values,
)
"""Handlers that do not change the scene."""

WATCHING: Handlers = (viewport.watch_viewport, render_pictures.watch_render)
"""Handlers that return topics of pictures. They can be called while Blender renders."""

INSPECTING: Handlers = (inspection.inspect_bytes,)
"""Handlers that read a binary and do not change the scene."""

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
    armatures.rest_pose,
    recording.stop_recording,
    node_inputs.set_node_inputs,
    baking.bake,
    transfer.import_file,
    blend_files.append,
    blend_files.link,
    resources.pack,
    resources.unpack,
)
"""Handlers that change the scene. The user can undo each of them."""

LOADING: Handlers = (
    geometry.upload_mesh,
    image.upload_image,
    curves.set_fcurve,
    transfer.import_bytes,
)
"""Handlers that change the scene and take many numbers: binaries without a copy, or lists as numpy arrays."""

Keys = dict[Callable[..., Any], Callable[..., Hashable]]
"""Handlers for calls in each frame, and their functions for the option `latest`."""

LIVE: Keys = {
    armatures.set_pose: live.pose_key,
    armatures.set_shape_keys: live.shape_keys_key,
    transforms.set_transforms: live.transforms_key,
}
"""Handlers for casts in each frame, which make no undo step; and for calls, which the user can undo."""

STREAMING: Keys = {geometry.move_vertices: live.vertices_key}
"""Handlers that never make an undo step, because the step would take longer than the call."""

STEPS = {
    handler.__name__: handler
    for group in (READING, INSPECTING, RENDERING, CHANGING, LOADING, LIVE)
    for handler in group
}
"""The handlers that can be steps of `processing.process_bytes`, by their names."""
