"""For the tests of a user at work: the node runs, the sidebar shows it, and handlers bring Blender into each mode."""

import contextlib
import ctypes
import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

import bmesh
import bpy
from mathutils import Vector

from beam_bpy import get_beam_server
from beam_bpy.dispatch.host_queue import host_queue

EXTENSION = "bl_ext.user_default.beam_bpy"
START = str(Path(os.environ["GUI_REPORT"]).with_name("start.blend"))

LIBC = ctypes.CDLL(None)


# -- the window


def prepare() -> float | None:
    """Start the node, show its tab, and draw little else; returns the seconds until the next try, or None."""
    areas = bpy.context.window.screen.areas
    if not get_beam_server().running:
        bpy.ops.beam_bpy.start_server()
        for area in areas:
            # Without a graphics processor, the preview of a material takes a minute.
            if area.type != "VIEW_3D":
                area.type = "TEXT_EDITOR"
    view = next(area for area in areas if area.type == "VIEW_3D")
    space = view.spaces.active
    space.show_region_ui = True
    space.show_region_tool_header = False
    space.show_gizmo = False
    space.overlay.show_overlays = False
    bpy.context.preferences.system.viewport_aa = "OFF"
    sidebar = next(region for region in view.regions if region.type == "UI")
    if sidebar.active_panel_category != "BEAM":
        # It is read-only until Blender has drawn the region.
        with contextlib.suppress(AttributeError):
            sidebar.active_panel_category = "BEAM"
        return 0.1
    bpy.ops.wm.save_as_mainfile(filepath=START, copy=True)
    return None


def begin_anew() -> bool:
    """The default scene, an undo history without steps, and the default preferences."""
    bpy.ops.wm.open_mainfile(filepath=START, load_ui=False)
    _preferences().property_unset("while_tool")
    _preferences().property_unset("ignored_tools")
    return True


def history() -> list[tuple[bool, str, str]]:
    """The steps of the undo history: whether it is the present one, its kind, its name."""
    return [
        ("*" in flags, kind, name)
        for flags, kind, name in re.findall(r"\[(.{4})\].* type='(.*?)', name='(.*)'", _printed_steps())
        if "S" not in flags  # A user does not see the steps that undo skips.
    ]


def _printed_steps() -> str:
    """Blender only prints the undo history, to the standard output of the process."""
    with tempfile.TemporaryFile() as file:
        LIBC.fflush(None)
        output = os.dup(1)
        os.dup2(file.fileno(), 1)
        bpy.context.window_manager.print_undo_steps()
        LIBC.fflush(None)
        os.dup2(output, 1)
        os.close(output)
        file.seek(0)
        return file.read().decode()


# -- the preferences


def undo_steps() -> int:
    return bpy.context.preferences.edit.undo_steps


def _preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[EXTENSION].preferences


def all_calls_wait() -> bool:
    _preferences().while_tool = "all"
    return True


def ignore_tools(names: str) -> str:
    _preferences().ignored_tools = names
    return names


# -- handlers that change the scene, and one that reads it


def add_empty(name: str) -> str:
    made = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(made)
    return made.name


def add_empties(count: int) -> Generator[int, None, int]:
    for number in range(1, count + 1):
        add_empty(f"Empty {number}")
        yield number
    return count


def add_one() -> str:
    return add_empty("One")


_slices = 0
_told_to_end = False


def work() -> Generator[int, None, int]:
    """Run until `end_work` is called."""
    global _slices, _told_to_end
    _told_to_end = False
    try:
        add_empty("First")
        while not _told_to_end:
            _slices += 1
            yield _slices
        add_empty("Last")
        return _slices
    finally:
        _slices = 0


def slices() -> int:
    """How often `work` has yielded; 0 when it does not run."""
    return _slices


def end_work() -> bool:
    global _told_to_end
    _told_to_end = True
    return True


def delete(name: str) -> str:
    bpy.data.objects.remove(bpy.data.objects[name])
    return name


def names() -> list[str]:
    return list(bpy.data.objects.keys())


def vertices() -> dict[str, list[float]]:
    """The number of vertices and the sum of their coordinates, for each mesh. Edit Mode has vertices of its own."""
    found = {}
    for mesh in bpy.data.meshes:
        used = bmesh.from_edit_mesh(mesh).verts if mesh.is_editmode else mesh.vertices
        total = sum((vertex.co for vertex in used), Vector())
        found[mesh.name] = [len(used), *(round(number, 4) for number in total)]
    return found


def waiting() -> list[str]:
    """The handlers whose calls wait for a tool or a job."""
    return [entry.call.name for entry in host_queue().waiting]


# -- editors


def show_tab(name: str) -> str:
    """Show a tab of the 3D view's sidebar."""
    view = next(area for area in bpy.context.window.screen.areas if area.type == "VIEW_3D")
    next(region for region in view.regions if region.type == "UI").active_panel_category = name
    return name


def edit_text(name: str) -> list[int]:
    """Show a new text in the largest text editor; returns the middle of this editor, from the lower left corner."""
    editors = [area for area in bpy.context.window.screen.areas if area.type == "TEXT_EDITOR"]
    editor = max(editors, key=lambda area: area.width * area.height)
    editor.spaces.active.text = bpy.data.texts.new(name)
    return [editor.x + editor.width // 2, editor.y + editor.height // 2]


def text(name: str) -> str:
    return bpy.data.texts[name].as_string()


# -- modes


def _mesh() -> bpy.types.Object:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=3.0)
    return bpy.context.object


def _painted_mesh() -> bpy.types.Object:
    made = _mesh()
    material = bpy.data.materials.new("Painted")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new("Canvas", 64, 64)
    material.node_tree.nodes.active = node
    made.data.materials.append(material)
    return made


def _hair() -> bpy.types.Object:
    mesh = _mesh()
    bpy.ops.object.curves_empty_hair_add()
    bpy.context.object.data.surface = mesh
    return bpy.context.object


def _drawing() -> bpy.types.Object:
    bpy.ops.object.grease_pencil_add(type="STROKE")
    return bpy.context.object


def _particles() -> bpy.types.Object:
    mesh = _mesh()
    bpy.ops.object.particle_system_add()
    mesh.particle_systems[0].settings.type = "HAIR"
    return mesh


MAKERS = {
    "TEXTURE_PAINT": _painted_mesh,
    "SCULPT_CURVES": _hair,
    "PAINT_GREASE_PENCIL": _drawing,
    "SCULPT_GREASE_PENCIL": _drawing,
    "PARTICLE_EDIT": _particles,
}


def enter(mode: str) -> str:
    """Bring a new object that fills the view into a mode."""
    for old in list(bpy.data.objects):
        bpy.data.objects.remove(old)
    made = MAKERS.get(mode, _mesh)()
    bpy.ops.object.mode_set(mode=mode)
    # It is read-only in modes that have none.
    with contextlib.suppress(AttributeError):
        bpy.context.space_data.show_region_asset_shelf = False
    if mode not in ("EDIT", "PARTICLE_EDIT"):
        _activate_brush(mode)
    bpy.ops.ed.undo_push(message="Ready")
    return made.name


def _activate_brush(mode: str) -> None:
    """Make a brush and use it: Debian's Blender has no assets, and thus no brushes."""
    brush = bpy.data.brushes.new(f"Test {mode}", mode=mode)
    if mode.endswith("GREASE_PENCIL"):
        bpy.data.brushes.create_gpencil_data(brush)
    brush.asset_mark()
    bpy.ops.brush.asset_activate(asset_library_type="LOCAL", relative_asset_identifier=f"Brush/{brush.name}")


# -- jobs


def _slow_cycles() -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 100_000
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 256


def slow_render() -> bool:
    """Let the next render take long, and open no window for it."""
    _slow_cycles()
    bpy.context.preferences.view.render_display_type = "NONE"
    return True


def bake() -> list[str]:
    """Begin a bake that takes long, as the button of the properties editor does."""
    _slow_cycles()
    cube = bpy.data.objects["Cube"]
    cube.data.materials.clear()
    material = bpy.data.materials.new("Baked")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new("Baked", 1024, 1024)
    material.node_tree.nodes.active = node
    cube.data.materials.append(material)
    return list(bpy.ops.object.bake("INVOKE_DEFAULT", type="COMBINED"))


def render(path: str) -> str:
    bpy.context.scene.render.filepath = path
    bpy.ops.render.render(write_still=True)
    return path


# -- an add-on whose operator runs all the time


class GUI_OT_background(bpy.types.Operator):  # noqa: N801 - Blender's convention
    """Sees all events and does nothing, until it is told to end"""

    bl_idname = "gui.background"
    bl_label = "Background"

    runs = False

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        GUI_OT_background.runs = True
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, _context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return {"PASS_THROUGH"} if GUI_OT_background.runs else {"FINISHED", "PASS_THROUGH"}


def begin_background() -> bool:
    bpy.ops.gui.background("INVOKE_DEFAULT")
    return True


def end_background() -> bool:
    """It ends at the next event."""
    GUI_OT_background.runs = False
    return True


for handler in (begin_anew, history, all_calls_wait, ignore_tools, names, vertices, waiting, enter, slow_render, bake):
    get_beam_server().expose(handler)
for handler in (show_tab, edit_text, text):
    get_beam_server().expose(handler)
for handler in (undo_steps, slices, end_work, begin_background, end_background):
    get_beam_server().expose(handler)
for handler in (add_empty, add_one, add_empties, work):
    get_beam_server().expose(undo=True)(handler)
get_beam_server().expose(changes_scene=True)(delete)
get_beam_server().expose(changes_scene=True, max_wait=1.0)(render)
get_beam_server().expose(undo=True, name="add_soon", max_wait=1.0)(add_empty)
get_beam_server().expose(name="safe", safe_during_jobs=True)(lambda: "safe")

bpy.utils.register_class(GUI_OT_background)
bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(prepare, first_interval=0.5)
