"""The tab "BEAM" in the sidebar of the 3D view. It shows what is; it decides nothing.

Blender does not translate names, addresses and errors; see `lines`.
"""

import time
from typing import TYPE_CHECKING, Any

import bpy

from . import lines, messages, panel_state
from .classes import unregister_classes
from .guard import logged_once
from .panel_state import HandlerRow, LongCallRow, Shown
from .reports import Reports

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

CATEGORY = "BEAM"

_ICONS: dict[str, "IconItems"] = {"stopped": "UNLINKED", "starting": "SORTTIME", "running": "LINKED", "failed": "ERROR"}

_FAILURE_LINES = 12
"""The most lines of the last failure. Its tooltip has all of it."""

_NO_HANDLERS = (
    "No handlers yet. Handlers are the functions that programs can call. Enable an add-on that has some, "
    "such as Scene Handlers"
)

_reports = Reports()


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

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        with logged_once("the panel BEAM Node"):
            self._draw(context)

    def _draw(self, context: bpy.types.Context) -> None:
        layout, shown, width = _layout(self), panel_state.shown, lines.panel_width(context)
        _draw_state(layout, shown, width)
        if shown.error is not None:
            _draw_error(layout, shown.error, width)
        # Here, because the panels below may be closed or out of sight.
        for call in shown.long_calls:
            _draw_long_call(layout, call, width)
        if shown.waiting:
            _draw_waiting(layout.box().column(align=True), shown, width)
        if shown.scene:
            sentence = f"Handlers work in the scene {shown.scene}, which the first window shows"
            lines.draw_lines(layout.column(align=True), sentence, width, "SCENE_DATA")


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

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        with logged_once("the panel Connected Nodes"):
            self._draw(context)

    def _draw(self, context: bpy.types.Context) -> None:
        column, width = _layout(self).column(align=True), lines.panel_width(context)
        if not panel_state.shown.nodes:
            column.label(text="None Yet", icon="INFO")
        for node in panel_state.shown.nodes:
            _draw_name(column, node.name, width, "NETWORK_DRIVE")
            told = lines.capitalised(f"{node.uptime}, {_count(node.calls, 'call')}")
            column.label(text=told, icon="BLANK1", translate=False)


class BEAMBPY_PT_handlers(_Part, bpy.types.Panel):
    """Functions that connected nodes can call"""

    bl_label = "Handlers"

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        """Show how many there are."""
        _draw_count(self, len(panel_state.shown.handlers))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        with logged_once("the panel Handlers"):
            self._draw(context)

    def _draw(self, context: bpy.types.Context) -> None:
        layout, width = _layout(self), lines.panel_width(context)
        if not panel_state.shown.handlers:
            lines.draw_lines(layout.box().column(align=True), _NO_HANDLERS, width, "INFO")
            return
        state = panel_state.list_state()
        if state is None:
            return
        layout.template_list(
            "BEAMBPY_UL_handlers", "", state, "handlers", state, "active", item_dyntip_propname="tooltip", rows=4
        )
        if 0 <= state.active < len(state.handlers):
            row = panel_state.shown.handlers.get(state.handlers[state.active].name)
            if row is not None:
                _draw_handler(layout, row, width)


class BEAMBPY_PT_activity(_Part, bpy.types.Panel):
    """Number of calls and failures, waiting calls, the last failure, and the last refused connection"""

    bl_label = "Activity"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        with logged_once("the panel Activity"):
            self._draw(context)

    def _draw(self, context: bpy.types.Context) -> None:
        layout, shown, width = _layout(self), panel_state.shown, lines.panel_width(context)
        column = layout.column(align=True)
        for name, value in (("Calls per Second", shown.rate), ("Calls", shown.calls), ("Waiting", shown.queued)):
            _draw_pair(column, name, str(value), width)
        _draw_pair(column, "Failed", str(shown.failures), width)
        if shown.replaced:
            _draw_pair(column, "Replaced", str(shown.replaced), width)
        if shown.failed is not None:
            box = layout.box().column(align=True)
            text = f"{shown.failed.handler}: {shown.failed.message}"
            _draw_text(box, text, width, "ERROR")
            if shown.failed.has_traceback:
                box.operator("beam_bpy.show_traceback", icon="TEXT")
        if shown.refused is not None:
            _draw_pair(column, "Refused", str(shown.refused.number), width)
            box = layout.box().column(align=True)
            _draw_text(box, f"Refused {shown.refused.address}: {shown.refused.reason}", width, "CANCEL")


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
        with logged_once("a line of the list of handlers"):
            self._draw_row(layout, item)

    def _draw_row(self, layout: bpy.types.UILayout, item: Any) -> None:
        row = panel_state.shown.handlers.get(item.name)
        if row is None:  # Unregistered since the last look.
            return
        layout.label(text=item.name, icon="URL" if row.inline else "VIEW3D", translate=False)
        count = layout.row()
        count.alignment = "RIGHT"
        count.label(text=str(row.calls), translate=False)

    def filter_items(self, _context: bpy.types.Context | None, data: Any, property: str | None) -> Any:
        """Hide what the search does not mean; sort by name if that is asked for."""
        with logged_once("the search in the list of handlers"):
            return self._filter_items(data, property)
        return [], []

    def _filter_items(self, data: Any, property: str | None) -> Any:
        lines = getattr(data, property or "")
        words = self.filter_name or ""
        order: Any = bpy.types.UI_UL_list.sort_items_by_name(lines) if self.use_filter_sort_alpha else []
        return [self.bitflag_filter_item if _matches(line.name, words) else 0 for line in lines], order


def redraw_if_changed() -> None:
    """Have the visible sidebars drawn if what they show has changed, and report what has happened.

    For every tick: nearly all of the calls only compare two times.
    """
    if not panel_state.is_due():
        return
    changed = panel_state.update()
    if bpy.app.background:
        return
    if changed:
        _tag_sidebars()
    for message in _reports.messages(panel_state.shown, time.monotonic()):
        messages.tell(message.text, warning=message.warning)


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


def _draw_state(layout: bpy.types.UILayout, shown: Shown, width: float) -> None:
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
        lines.draw_lines(row.column(align=True), shown.address, width - lines.ICON)
        row.operator("beam_bpy.copy_node_name", text="", icon="COPYDOWN")
        layout.operator("beam_bpy.copy_snippet", icon="COPYDOWN")
    if shown.outdated:
        layout.label(text="The preferences have changed", icon="INFO")
        layout.operator("beam_bpy.restart_server", text="Restart to Apply", icon="FILE_REFRESH")


def _draw_error(layout: bpy.types.UILayout, error: str, width: float) -> None:
    box = layout.box()
    column = box.column(align=True)
    column.alert = True
    lines.draw_lines(column, error, width)
    box.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES").module = __package__


def _draw_long_call(layout: bpy.types.UILayout, call: LongCallRow, width: float) -> None:
    box = layout.box().column(align=True)
    _draw_name(box, call.handler, width, "SORTTIME")
    row = box.row(align=True)
    if call.share is None:
        row.label(text="Running")
    else:
        row.progress(factor=call.share, text=f"{call.share:.0%}", translate=False)
    row.operator("beam_bpy.cancel_call", text="Cancel", icon="CANCEL").number = call.number


def _draw_waiting(column: bpy.types.UILayout, shown: Shown, width: float) -> None:
    first, *more = shown.waiting
    title = f"{1 + len(more)} Calls Wait" if more else "A Call Waits"
    column.label(text=title, icon="SORTTIME", translate=False)
    lines.draw_lines(column, f"{first.handler} waits for {first.reason}", width)


def _draw_handler(layout: bpy.types.UILayout, row: HandlerRow, width: float) -> None:
    column = layout.column(align=True)
    _draw_pair(column, "Module", row.module or "Any", width)
    # A sidebar has no room for all of <repository>.scene_handlers. The tooltip of the list's line has all of it.
    _draw_pair(column, "Owner", row.owner.rpartition(".")[2] or "Not Set", width)
    _draw_pair(column, "Thread", "Network" if row.inline else "Main", width)
    _draw_pair(column, "Calls", f"{row.calls}, {row.failures} failed" if row.failures else str(row.calls), width)


def _draw_pair(column: bpy.types.UILayout, name: str, value: str, width: float) -> None:
    split = column.split(factor=0.5)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=name)
    if lines.text_width(value) <= width / 2:
        split.label(text=value, translate=False)
    else:
        _draw_name(split, value, width / 2)


def _draw_name(layout: bpy.types.UILayout, name: str, width: float, icon: "IconItems" = "NONE") -> None:
    """Draw a name in one line, with a tooltip that has all of it; a click copies it."""
    row = layout.row()
    row.alignment = "LEFT"
    text = lines.shortened(name, width - lines.ICON)
    row.operator("beam_bpy.copy_text", text=text, icon=icon, emboss=False, translate=False).text = name


def _draw_text(column: bpy.types.UILayout, text: str, width: float, icon: "IconItems") -> None:
    """Draw a text in several lines, with a button that copies it and whose tooltip has all of it."""
    row = column.row(align=True)
    lines.draw_lines(row.column(align=True), text, width - lines.ICON, icon, _FAILURE_LINES)
    row.operator("beam_bpy.copy_text", text="", icon="COPYDOWN", emboss=False).text = text


def _draw_count(panel: bpy.types.Panel, count: int) -> None:
    _layout(panel).label(text=str(count), translate=False)


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
    unregister_classes(_CLASSES)
