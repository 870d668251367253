"""The tab "BEAM" in the sidebar of the 3D view. It shows what is; it decides nothing."""

import textwrap
from typing import TYPE_CHECKING, Any

import bpy

from . import messages, panel_state
from .panel_state import HandlerRow, Shown

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

CATEGORY = "BEAM"

_ICONS: dict[str, "IconItems"] = {"stopped": "UNLINKED", "starting": "SORTTIME", "running": "LINKED", "failed": "ERROR"}

# Characters of a line in a sidebar of Blender's default width.
_LINE = 34


class _Sidebar:
    """Where the panels are."""

    bl_space_type: Any = "VIEW_3D"
    bl_region_type: Any = "UI"
    bl_category = CATEGORY


class _Part(_Sidebar):
    """A panel below the first."""

    bl_parent_id = "BEAMBPY_PT_sidebar"


class BEAMBPY_PT_sidebar(_Sidebar, bpy.types.Panel):
    """State, name and port of this node, and the call that waits for the user"""

    bl_label = "BEAM Node"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = _layout(self)
        _draw_state(layout, panel_state.shown)
        if panel_state.shown.error is not None:
            _draw_error(layout, panel_state.shown.error)
        if panel_state.shown.waiting:
            # Here, because the panels below may be closed or out of sight.
            _draw_waiting(layout.box().column(align=True), panel_state.shown)


class BEAMBPY_PT_nodes(_Part, bpy.types.Panel):
    """Nodes that are connected to this Blender"""

    bl_label = "Connected Nodes"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Only a running server has nodes."""
        return panel_state.shown.state == "running"

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        """Show how many there are."""
        _draw_count(self, len(panel_state.shown.nodes))

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the panel."""
        column = _layout(self).column(align=True)
        if not panel_state.shown.nodes:
            column.label(text="None yet", icon="INFO")
        for node in panel_state.shown.nodes:
            column.label(text=node.name, icon="NETWORK_DRIVE")
            column.label(text=f"{node.uptime}, {_count(node.calls, 'call')}", icon="BLANK1")


class BEAMBPY_PT_handlers(_Part, bpy.types.Panel):
    """Functions that connected nodes can call"""

    bl_label = "Handlers"

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        """Show how many there are."""
        _draw_count(self, len(panel_state.shown.handlers))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = _layout(self)
        manager = context.window_manager
        assert manager is not None
        state: Any = manager.beam_bpy  # type: ignore[attr-defined]
        layout.template_list("BEAMBPY_UL_handlers", "", state, "handlers", state, "active", rows=4)
        if 0 <= state.active < len(state.handlers):
            row = panel_state.shown.handlers.get(state.handlers[state.active].name)
            if row is not None:
                _draw_handler(layout, row)


class BEAMBPY_PT_activity(_Part, bpy.types.Panel):
    """Number of calls and failures, waiting calls, and the last failure"""

    bl_label = "Activity"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the panel."""
        shown = panel_state.shown
        column = _layout(self).column(align=True)
        for name, value in (("Calls per Second", shown.rate), ("Calls", shown.calls), ("Waiting", shown.queued)):
            _draw_pair(column, name, str(value))
        _draw_pair(column, "Failed", str(shown.failures))
        if shown.failed is not None:
            box = _layout(self).box().column(align=True)
            box.label(text=textwrap.shorten(f"{shown.failed.handler}: {shown.failed.message}", 200), icon="ERROR")
            if shown.failed.has_traceback:
                box.operator("beam_bpy.show_traceback", icon="TEXT")


class BEAMBPY_UL_handlers(bpy.types.UIList):
    """The handlers, with a search by name, module and owner."""

    def draw_item(
        self,
        _context: bpy.types.Context | None,
        layout: bpy.types.UILayout,
        _data: Any,
        item: Any,
        _icon: int | None,
        _active_data: Any,
        _active_property: str | None,
        _index: int | None,
        _flt_flag: int | None,
    ) -> None:
        """Draw a line."""
        row = panel_state.shown.handlers.get(item.name)
        if row is None:  # Unregistered since the last look.
            return
        layout.label(text=item.name, icon="URL" if row.inline else "VIEW3D")
        count = layout.row()
        count.alignment = "RIGHT"
        count.label(text=str(row.calls))

    def filter_items(self, _context: bpy.types.Context | None, data: Any, property: str | None) -> Any:
        """Hide what the search does not mean; sort by name if that is asked for."""
        lines = getattr(data, property or "")
        words = self.filter_name or ""
        order: Any = bpy.types.UI_UL_list.sort_items_by_name(lines) if self.use_filter_sort_alpha else []
        return [self.bitflag_filter_item if _matches(line.name, words) else 0 for line in lines], order


def redraw_if_changed() -> None:
    """Have the sidebars that are to be seen drawn if what they show has changed; tell who connects and leaves.

    For every tick: nearly all of the calls only compare two times.
    """
    if not panel_state.is_due():
        return
    nodes = panel_state.shown.nodes
    if not panel_state.update():
        return
    if not bpy.app.background:
        _tag_sidebars()
        for sentence in panel_state.connection_messages(nodes):
            messages.tell(sentence)


def _tag_sidebars() -> None:
    manager = bpy.context.window_manager
    assert manager is not None
    for window in manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D" and area.spaces.active.show_region_ui:  # type: ignore[union-attr]
                _tag_tab(area)


def _tag_tab(area: bpy.types.Area) -> None:
    for region in area.regions:
        if region.type == "UI" and region.active_panel_category == CATEGORY:
            region.tag_redraw()


def _layout(panel: bpy.types.Panel) -> bpy.types.UILayout:
    layout = panel.layout
    assert layout is not None
    return layout


def _draw_state(layout: bpy.types.UILayout, shown: Shown) -> None:
    running = shown.state == "running"
    row = layout.row()
    row.alert = shown.state == "failed"
    row.label(text=shown.state.capitalize(), icon=_ICONS[shown.state])
    row = layout.row()
    row.scale_y = 1.4
    row.operator(
        "beam_bpy.toggle_server",
        text="Stop" if running else "Start",
        icon="PAUSE" if running else "PLAY",
        depress=running,
    )
    if running:
        row = layout.row()
        row.label(text=shown.address)
        row.operator("beam_bpy.copy_node_name", text="", icon="COPYDOWN")
        layout.operator("beam_bpy.copy_snippet", icon="COPYDOWN")
    if shown.outdated:
        layout.label(text="The preferences have changed", icon="INFO")
        layout.operator("beam_bpy.restart_server", text="Restart to Apply", icon="FILE_REFRESH")


def _draw_error(layout: bpy.types.UILayout, error: str) -> None:
    box = layout.box().column(align=True)
    box.alert = True
    for line in textwrap.wrap(error, _LINE):
        box.label(text=line)


def _draw_waiting(column: bpy.types.UILayout, shown: Shown) -> None:
    first, *more = shown.waiting
    column.label(text=f"{1 + len(more)} Calls Wait" if more else "A Call Waits", icon="SORTTIME")
    for line in textwrap.wrap(f"{first.handler} waits for {first.reason}", _LINE):
        column.label(text=line)


def _draw_handler(layout: bpy.types.UILayout, row: HandlerRow) -> None:
    column = layout.column(align=True)
    _draw_pair(column, "Module", row.module or "Any")
    # A sidebar has no room for all of <repository>.scene_handlers.
    _draw_pair(column, "Owner", row.owner.rpartition(".")[2] or "Not Set")
    _draw_pair(column, "Thread", "Network" if row.inline else "Main")
    _draw_pair(column, "Calls", f"{row.calls}, {row.failures} failed" if row.failures else str(row.calls))


def _draw_pair(column: bpy.types.UILayout, name: str, value: str) -> None:
    split = column.split(factor=0.5)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=name)
    split.label(text=value)


def _draw_count(panel: bpy.types.Panel, count: int) -> None:
    _layout(panel).label(text=str(count))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _matches(key: str, words: str) -> bool:
    row = panel_state.shown.handlers.get(key)
    return row is not None and row.matches(words)


_CLASSES: tuple[type[bpy.types.Panel] | type[bpy.types.UIList], ...] = (
    BEAMBPY_UL_handlers,
    BEAMBPY_PT_sidebar,
    BEAMBPY_PT_nodes,
    BEAMBPY_PT_handlers,
    BEAMBPY_PT_activity,
)


def register() -> None:
    """Register the panels with Blender."""
    for panel in _CLASSES:
        bpy.utils.register_class(panel)


def unregister() -> None:
    """Undo `register`."""
    for panel in reversed(_CLASSES):
        bpy.utils.unregister_class(panel)
