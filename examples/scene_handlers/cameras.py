"""Cameras."""

from typing import Any

import bpy

from .arguments import Options, options, scene, vector
from .objects import add_to_scene, aim, point


def create_camera(name: str, given: Options = None) -> str:
    """Make a camera that the scene is rendered through; returns its name, which Blender makes unique.

    Args:
        name: the name wanted.
        given: location, default [0, -10, 3]; look_at, a point or an object's name, default the origin; lens, the
            focal length in mm, default 50; fstop, the aperture, which blurs what is not in focus, default none;
            focus, a point or an object's name to focus on, default what it looks at.
    """
    chosen = options(given, ("location", "look_at", "lens", "fstop", "focus"))
    # All that may be wrong is looked at first, so that a refused call leaves nothing behind.
    location = vector(chosen.get("location", (0.0, -10.0, 3.0)), "location")
    target = point(chosen.get("look_at", [0.0, 0.0, 0.0]))
    focus = point(chosen["focus"]) if "focus" in chosen else target
    lens, fstop = float(chosen.get("lens", 50.0)), float(chosen.get("fstop", 0.0))
    camera = bpy.data.cameras.new(name)
    camera.lens = lens
    made = bpy.data.objects.new(name, camera)
    made.location = location
    aim(made, target)
    if fstop:
        _focus(camera, fstop, (focus - made.location).length)
    add_to_scene(made)
    scene().camera = made
    return made.name


def _focus(camera: bpy.types.Camera, fstop: float, distance: float) -> None:
    depth: Any = camera.dof
    depth.use_dof = True
    depth.aperture_fstop = fstop
    depth.focus_distance = distance
