"""A handler for examples/thumbnails.exs: a picture of a model."""

import math
import tempfile
from pathlib import Path
from typing import Any

import bpy
from mathutils import Vector

from beam_bpy import BeamServer

FROM = Vector((1.0, -1.4, 0.8)).normalized()
"""The direction from the model to the camera."""


def register(server: BeamServer) -> None:
    """Register the handler. `beam-bpy serve --handlers` calls this function."""
    server.expose(thumbnail)


def thumbnail(file: str, size: int) -> bytes:
    """Render the model in a glTF file. Return a PNG file with a transparent background.

    Args:
        file: the path of the file, on the computer on which Blender runs.
        size: the width and the height of the picture, in pixels.
    """
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.import_scene.gltf(filepath=file)
    scene: Any = bpy.context.scene
    center, radius = _sphere(scene)
    _add_lights(scene)
    _add_camera(scene, center, radius)
    return _render(scene, size)


def _sphere(scene: bpy.types.Scene) -> tuple[Vector, float]:
    """The center and the radius of a sphere around all meshes."""
    meshes = [each for each in scene.objects if each.type == "MESH"]
    if not meshes:
        raise ValueError("the file has no mesh")
    corners = [each.matrix_world @ Vector(corner) for each in meshes for corner in each.bound_box]
    low = Vector([min(corner[axis] for corner in corners) for axis in range(3)])
    high = Vector([max(corner[axis] for corner in corners) for axis in range(3)])
    return (low + high) / 2, max((high - low).length / 2, 1e-3)


def _add_lights(scene: bpy.types.Scene) -> None:
    for direction, energy in ((Vector((0.3, -1.0, 1.0)), 3.0), (Vector((1.0, 1.0, 0.5)), 1.5)):
        light: Any = bpy.data.lights.new("Sun", "SUN")
        light.energy = energy
        sun = bpy.data.objects.new("Sun", light)
        sun.rotation_euler = direction.to_track_quat("Z", "Y").to_euler()
        scene.collection.objects.link(sun)


def _add_camera(scene: bpy.types.Scene, center: Vector, radius: float) -> None:
    lens = bpy.data.cameras.new("Camera")
    distance = radius / math.sin(lens.angle / 2)
    lens.clip_start, lens.clip_end = distance / 1000, distance * 10
    camera = bpy.data.objects.new("Camera", lens)
    camera.location = center + FROM * distance
    camera.rotation_euler = FROM.to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera


def _render(scene: bpy.types.Scene, size: int) -> bytes:
    render: Any = scene.render
    render.engine = "CYCLES"  # It needs no graphics card.
    cycles: Any = scene.cycles
    cycles.samples = 16
    render.film_transparent = True
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    with tempfile.TemporaryDirectory() as folder:
        render.filepath = str(Path(folder, "thumbnail.png"))
        bpy.ops.render.render(write_still=True)
        return Path(render.filepath).read_bytes()
