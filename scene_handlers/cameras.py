"""Cameras."""

from typing import Any

import bpy

from .arguments import Options, options, scene, vector
from .objects import add_to_scene, aim, point


def create_camera(name: str, given: Options = None) -> str:
    """Create a camera and make it the active camera of the scene. Return its name.

    Args:
        name: the name. If it is in use, Blender adds a number.
        given: the options
            location: the position in metres, default [0, -10, 3].
            look_at: a point or the name of an object, default [0, 0, 0].
            lens: the focal length in mm, default 50.
            fstop: the aperture. It makes objects that are not in focus blurred. Default none: all is in focus.
            focus: a point or the name of an object to focus on, default `look_at`.
    """
    chosen = options(given, ("location", "look_at", "lens", "fstop", "focus"))
    # Check all options before creating anything, so that a refused call does not change the scene.
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
