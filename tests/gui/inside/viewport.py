"""For the tests of pictures of a 3D view: the node runs, and tells how many pictures were drawn."""

import sys
from typing import Any

import bpy

from beam_bpy import get_beam_server

(viewport,) = (module for name, module in sys.modules.items() if name.endswith("scene_handlers.pictures.viewport"))
counts = {"pictures": 0, "views": 0}
draw = viewport._pixels


def counted(*arguments: Any) -> Any:
    counts["pictures"] += 1
    return draw(*arguments)


def view_drawn() -> None:
    counts["views"] += 1


def drawn() -> dict[str, int]:
    """How many pictures were drawn for subscribers, and how many views by Blender."""
    return counts


def add_rig() -> None:
    """Add the armature Rig with the bone Bone, and a shape key Up to the cube."""
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.object.mode_set(mode="EDIT")
        rig.data.edit_bones.new("Bone").tail = (0, 0, 1)
        bpy.ops.object.mode_set(mode="OBJECT")
    cube = bpy.data.objects["Cube"]
    for name in ("Basis", "Up"):
        cube.shape_key_add(name=name)


def render_in_the_background(last: int) -> None:
    """Render the frames 1 to `last` as the user does, at a small size."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, last
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 64, 48, 100
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.filepath = bpy.app.tempdir + "rendered_"
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.render.render("INVOKE_DEFAULT", animation=True)


viewport._pixels = counted
bpy.types.SpaceView3D.draw_handler_add(view_drawn, (), "WINDOW", "POST_PIXEL")
get_beam_server().expose(drawn)
get_beam_server().expose(add_rig)
get_beam_server().expose(render_in_the_background)
# With anti-aliasing, Blender draws a view that has changed many times.
bpy.context.preferences.system.viewport_aa = "OFF"
bpy.context.preferences.view.show_splash = False
bpy.context.preferences.view.render_display_type = "NONE"
bpy.app.timers.register(lambda: bpy.ops.beam_bpy.start_server() and None, first_interval=0.5)
