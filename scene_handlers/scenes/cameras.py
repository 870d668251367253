"""Cameras."""

from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..support import rotations
from ..support.arguments import Options, editable, number, options, scene, text, vector
from ..support.changes import changes
from .objects import add_to_scene, point

_ORIGIN = (0.0, 0.0, 0.0)


def create_camera(name: str, given: Options = None) -> str:
    """Create a camera and make it the active camera of the scene. Return its name.

    Args:
        name: the name. If it is in use, Blender adds a number.
        given: the options
            location: the position in metres, default [0, -10, 3].
            look_at: a point or the name of an object, default [0, 0, 0]. A camera that is at this default looks down.
            lens: the focal length in mm, at least 1, default 50.
            fstop: the aperture. It makes objects that are not in focus blurred. Default none: all is in focus.
            focus: a point or the name of an object to focus on, default `look_at`.
    """
    wanted = text(name)
    chosen = options(given, ("location", "look_at", "lens", "fstop", "focus"))
    location = Vector(vector(chosen.get("location", (0.0, -10.0, 3.0)), "location"))
    target = point(chosen.get("look_at", _ORIGIN))
    focus = point(chosen["focus"]) if "focus" in chosen else target
    lens = number(chosen.get("lens", 50.0), "lens", 1.0)
    fstop = number(chosen.get("fstop", 0.0), "fstop", 0.0)
    if fstop and focus == location:
        raise ValueError("the camera is at the point to focus on: pass another focus or look_at")
    current = editable(scene())
    with changes() as change:
        camera = change.new(bpy.data.cameras, wanted)
        camera.lens = lens
        made: bpy.types.Object = change.new(bpy.data.objects, wanted, camera)
        made.location = location
        if "look_at" in chosen or location != target:
            setattr(made, *rotations.towards(made, Matrix.Translation(location), target))
        if fstop:
            _focus(camera, fstop, (focus - location).length)
        add_to_scene(made)
        change.set(current, "camera", made)
        return made.name


def _focus(camera: bpy.types.Camera, fstop: float, distance: float) -> None:
    depth: Any = camera.dof
    depth.use_dof = True
    depth.aperture_fstop = fstop
    depth.focus_distance = distance
