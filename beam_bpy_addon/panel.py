"""The tab "BEAM" in the sidebar of the 3D view. It shows what is; it decides nothing."""

import textwrap
from typing import TYPE_CHECKING, NamedTuple

import bpy

from beam_bpy import get_beam_server

from . import lifecycle

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_ICONS: dict[str, "IconItems"] = {"stopped": "UNLINKED", "starting": "SORTTIME", "running": "LINKED", "failed": "ERROR"}

# What a sidebar of Blender's default width shows of a line.
_LINE = 34


class _Shown(NamedTuple):
    """All that the panel shows. It is drawn anew when this differs from what was drawn last."""

    state: str
    address: str
    nodes: tuple[str, ...]
    error: str | None


_last_shown: _Shown | None = None


class BEAMBPY_PT_sidebar(bpy.types.Panel):
    """Whether this Blender is a node, under which name, and who is connected."""

    bl_label = "BEAM Node"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "BEAM"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the panel."""
        shown = _now()
        layout = self.layout
        assert layout is not None
        _draw_state(layout, shown)
        if shown.state == "running":
            _draw_nodes(layout, shown.nodes)
        if shown.error is not None:
            _draw_error(layout, shown.error)


def redraw_if_changed() -> None:
    """Tag the sidebars of all windows for drawing if what the panel shows has changed."""
    global _last_shown
    shown = _now()
    if shown == _last_shown:
        return
    _last_shown = shown
    manager = bpy.context.window_manager
    assert manager is not None
    for window in manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _now() -> _Shown:
    server = get_beam_server()
    error = lifecycle.problem() or server.last_error
    state = "failed" if error and not server.running else server.state
    # While it doesn't run, an address would be a promise, and for some hosts a slow question to a name server.
    return _Shown(state, server.get_address() if server.running else "", server.connected_nodes, error)


def _draw_state(layout: bpy.types.UILayout, shown: _Shown) -> None:
    running = shown.state == "running"
    row = layout.row()
    row.alert = shown.state == "failed"
    row.label(text=shown.state.capitalize(), icon=_ICONS[shown.state])
    if running:
        layout.label(text=shown.address)
    row = layout.row()
    row.scale_y = 1.4
    row.operator(
        "beam_bpy.toggle_server",
        text="Stop" if running else "Start",
        icon="PAUSE" if running else "PLAY",
        depress=running,
    )


def _draw_nodes(layout: bpy.types.UILayout, nodes: tuple[str, ...]) -> None:
    box = layout.box().column(align=True)
    box.label(text=f"Connected Nodes: {len(nodes)}", icon="NETWORK_DRIVE")
    for node in nodes:
        box.label(text=node)


def _draw_error(layout: bpy.types.UILayout, error: str) -> None:
    box = layout.box().column(align=True)
    box.alert = True
    for line in textwrap.wrap(error, _LINE):
        box.label(text=line)


def register() -> None:
    """Register the panel with Blender."""
    bpy.utils.register_class(BEAMBPY_PT_sidebar)


def unregister() -> None:
    """Undo `register`."""
    bpy.utils.unregister_class(BEAMBPY_PT_sidebar)
