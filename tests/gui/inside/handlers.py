"""Handlers for the tests to call."""

import json
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

import bpy

from beam_bpy import get_beam_server

EXTENSION = "bl_ext.user_default.beam_bpy"


def move(number: int) -> int:
    """Change what the window shows, so that it is drawn anew."""
    bpy.data.objects["Cube"].location.x = number % 100 / 100
    return number


def save(path: str) -> bool:
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    return True


def load(path: str) -> bool:
    bpy.ops.wm.open_mainfile(filepath=path)
    return True


def slow(seconds: float) -> str:
    Path(os.environ["GUI_REPORT"]).with_name("entered").touch()
    time.sleep(seconds)
    return "slow"


def long(seconds: float) -> Generator[float, None, list[int]]:
    """A long handler: yields which share of its time is over, and returns the latest report's number at each slice."""
    begin = time.monotonic()
    report, reports = Path(os.environ["GUI_REPORT"]), []
    folder = report.parent
    try:
        while (over := time.monotonic() - begin) < seconds:
            (folder / "began").touch()
            reports.append(json.loads(report.read_text())["number"])
            time.sleep(0.004)
            yield over / seconds
    finally:
        (folder / "ended").touch()
    return reports


def add_empty(name: str) -> str:
    made = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(made)
    return made.name


def delete(name: str) -> str:
    bpy.data.objects.remove(bpy.data.objects[name])
    return name


def names() -> list[str]:
    return list(bpy.data.objects.keys())


def _mesh() -> bpy.types.Object:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=3.0)
    return bpy.context.object


def _hair() -> bpy.types.Object:
    mesh = _mesh()
    bpy.ops.object.curves_empty_hair_add()
    bpy.context.object.data.surface = mesh
    return bpy.context.object


def _grease_pencil() -> bpy.types.Object:
    bpy.ops.object.grease_pencil_add(type="STROKE")
    return bpy.context.object


def _particles() -> bpy.types.Object:
    mesh = _mesh()
    bpy.ops.object.particle_system_add()
    mesh.particle_systems[0].settings.type = "HAIR"
    return mesh


MAKERS = {"SCULPT_CURVES": _hair, "PAINT_GREASE_PENCIL": _grease_pencil, "PARTICLE_EDIT": _particles}


def enter(mode: str) -> str:
    """Bring a new object that fills the view into a mode."""
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for old in list(bpy.data.objects):
        bpy.data.objects.remove(old)
    made = MAKERS.get(mode, _mesh)()
    if mode == "TEXTURE_PAINT":
        material = bpy.data.materials.new("Painted")
        material.use_nodes = True
        image = bpy.data.images.new("Canvas", 64, 64)
        node = material.node_tree.nodes.new("ShaderNodeTexImage")
        node.image = image
        material.node_tree.nodes.active = node
        made.data.materials.append(material)
    bpy.ops.object.mode_set(mode=mode)
    if mode in BRUSH_MODES:
        _activate_brush(BRUSH_MODES[mode])
    bpy.ops.ed.undo_push(message="Ready")
    return made.name


BRUSH_MODES = {
    "SCULPT": "SCULPT",
    "VERTEX_PAINT": "VERTEX_PAINT",
    "WEIGHT_PAINT": "WEIGHT_PAINT",
    "TEXTURE_PAINT": "TEXTURE_PAINT",
    "SCULPT_CURVES": "SCULPT_CURVES",
    "PAINT_GREASE_PENCIL": "PAINT_GREASE_PENCIL",
}


def _activate_brush(mode: str) -> None:
    """Make a brush and take it up: Debian's Blender has no assets, and thus no brushes."""
    brush = bpy.data.brushes.new(f"Test {mode}", mode=mode)
    if mode == "PAINT_GREASE_PENCIL":
        bpy.data.brushes.create_gpencil_data(brush)
    brush.asset_mark()
    bpy.ops.brush.asset_activate(asset_library_type="LOCAL", relative_asset_identifier=f"Brush/{brush.name}")


def slow_render() -> bool:
    """Let the next render take long."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 4096
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 256
    return True


def render(path: str) -> str:
    bpy.context.scene.render.filepath = path
    bpy.ops.render.render(write_still=True)
    return path


def stay_awake(seconds: float) -> float:
    """Set the preference."""
    bpy.context.preferences.addons[EXTENSION].preferences.awake_s = seconds
    return seconds


def awake() -> bool:
    """Whether the main loop is kept from sleeping."""
    return sys.modules[f"{EXTENSION}.drain"]._timer is not None


for handler in (stay_awake, awake, move, save, load, slow, long, enter, names, slow_render):
    get_beam_server().expose(handler)
get_beam_server().expose(undo=True)(add_empty)
get_beam_server().expose(changes_scene=True)(delete)
get_beam_server().expose(changes_scene=True, max_wait=2.0)(render)
get_beam_server().expose(name="safe", safe_during_jobs=True)(lambda: "safe")
