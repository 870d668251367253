"""The operators of the extension. Users run them with buttons or with the search menu; scripts can call them."""

import os
import textwrap
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import IntProperty, StringProperty

from beam_bpy import SettingsError, get_beam_server, settings
from beam_bpy.cookies import DEFAULT_COOKIE, erlang_cookie, generate_cookie
from beam_bpy.dispatch.host_queue import host_queue

from . import lifecycle, panel_state, preferences, snippets
from .classes import unregister_classes
from .lines import capitalised

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import OperatorReturnItems

_DRAIN_HINT = ". Without a window, Blender answers calls only while beam_bpy.get_beam_server().serve_forever() runs"

_POPUP_WIDTH = 640
_POPUP_LINES = 30
_POPUP_LINE = 96


class BEAMBPY_OT_start_server(bpy.types.Operator):
    """Make this Blender a node that Erlang and Elixir programs can call"""

    bl_idname = "beam_bpy.start_server"
    bl_label = "Start BEAM Node"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the server does not run."""
        if get_beam_server().running:
            cls.poll_message_set("The node is already running")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Start the server, or report the error."""
        return _started(self, lifecycle.start())


class BEAMBPY_OT_stop_server(bpy.types.Operator):
    """Disconnect all nodes and answer no more calls. The handlers stay registered"""

    bl_idname = "beam_bpy.stop_server"
    bl_label = "Stop BEAM Node"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the server runs."""
        return _runs(cls)

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Stop the server."""
        return _stop(self)


class BEAMBPY_OT_toggle_server(bpy.types.Operator):
    """Start the node, or stop it if it is running"""

    bl_idname = "beam_bpy.toggle_server"
    bl_label = "Toggle BEAM Node"
    bl_options = {"REGISTER"}

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Start or stop the server."""
        return _stop(self) if get_beam_server().running else _started(self, lifecycle.start())


class BEAMBPY_OT_restart_server(bpy.types.Operator):
    """Disconnect all nodes and start again with the current preferences. The handlers stay registered"""

    bl_idname = "beam_bpy.restart_server"
    bl_label = "Restart BEAM Node"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the server runs."""
        return _runs(cls)

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Stop the server and start it again, or report the error."""
        return _started(self, lifecycle.restart())


class BEAMBPY_OT_generate_cookie(bpy.types.Operator):
    """Replace the cookie with a random one that cannot be guessed, and copy it to the clipboard"""

    bl_idname = "beam_bpy.generate_cookie"
    bl_label = "Generate Cookie"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the cookie can be set in the preferences."""
        return _cookie_can_be_set(cls)

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Set the preference and copy the cookie to the clipboard."""
        cookie = generate_cookie()
        _set_cookie(context, cookie)
        _copy(context, cookie)
        self.report({"INFO"}, "Generated a new cookie and copied it to the clipboard. Set it on the other nodes too")
        return {"FINISHED"}


class BEAMBPY_OT_use_erlang_cookie(bpy.types.Operator):
    """Use the cookie of your Erlang and Elixir nodes, which is in the file .erlang.cookie"""

    bl_idname = "beam_bpy.use_erlang_cookie"
    bl_label = "Use ~/.erlang.cookie"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the cookie can be set in the preferences."""
        return _cookie_can_be_set(cls)

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Set the preference, or report why the cookie cannot be read."""
        try:
            _set_cookie(context, erlang_cookie())
        except SettingsError as error:
            self.report({"ERROR"}, capitalised(str(error)))
            return {"CANCELLED"}
        self.report({"INFO"}, "The node now uses the cookie from .erlang.cookie")
        return {"FINISHED"}


class BEAMBPY_OT_copy_node_name(bpy.types.Operator):
    """Copy the name of this node to the clipboard"""

    bl_idname = "beam_bpy.copy_node_name"
    bl_label = "Copy Node Name"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if Blender has a clipboard."""
        return _has_clipboard(cls)

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Copy the node name and report it."""
        name = get_beam_server().node_name
        _copy(context, name)
        self.report({"INFO"}, f"Copied {name}")
        return {"FINISHED"}


class BEAMBPY_OT_copy_snippet(bpy.types.Operator):
    """Copy Elixir code that calls this node to the clipboard. Paste it into iex and fill in the cookie"""

    bl_idname = "beam_bpy.copy_snippet"
    bl_label = "Copy Elixir Snippet"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if Blender has a clipboard."""
        return _has_clipboard(cls)

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Copy the code and report it."""
        server = get_beam_server()
        _copy(context, snippets.elixir(server.node_name, server.handlers))
        self.report({"INFO"}, "Copied Elixir code that calls this node. Paste it into iex and fill in the cookie")
        return {"FINISHED"}


class BEAMBPY_OT_copy_cookie(bpy.types.Operator):
    """Copy the cookie to the clipboard. Give it only to people whose programs may call this Blender"""

    bl_idname = "beam_bpy.copy_cookie"
    bl_label = "Copy Cookie"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if Blender has a clipboard."""
        return _has_clipboard(cls)

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Copy the cookie of the next start, and report it without the cookie."""
        holder = preferences.current()
        chosen = os.environ.get(settings.ENVIRONMENT["cookie"]) or (holder and holder.cookie) or DEFAULT_COOKIE
        _copy(context, chosen)
        self.report({"INFO"}, "Copied the cookie")
        return {"FINISHED"}


class BEAMBPY_OT_copy_text(bpy.types.Operator):
    """Copy this text to the clipboard"""

    bl_idname = "beam_bpy.copy_text"
    bl_label = "Copy Text"
    bl_options = {"INTERNAL"}

    text: StringProperty(options={"SKIP_SAVE"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if Blender has a clipboard."""
        return _has_clipboard(cls)

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """Return the tooltip: all of a text that the panel shortens."""
        return f"{properties.text}\n\nClick to copy"

    def execute(self, context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Copy the text and report it."""
        _copy(context, self.text)
        self.report({"INFO"}, "Copied the text")
        return {"FINISHED"}


class BEAMBPY_OT_cancel_call(bpy.types.Operator):
    """End this call. The program that made it gets the error {cancelled, Sentence}"""

    bl_idname = "beam_bpy.cancel_call"
    bl_label = "Cancel Call"
    bl_options = {"INTERNAL"}

    number: IntProperty(options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Cancel the call, if it has not ended."""
        calls, call = host_queue(), panel_state.long_call(self.number)
        if calls is None or call is None or not calls.cancel(call, "the user of Blender has cancelled the call"):
            self.report({"INFO"}, "The call has ended already")
            return {"CANCELLED"}
        self.report({"INFO"}, f"Cancelled {call.name}")
        return {"FINISHED"}


class BEAMBPY_OT_show_traceback(bpy.types.Operator):
    """Show the Python traceback of the last failed call, and copy it to the clipboard"""

    bl_idname = "beam_bpy.show_traceback"
    bl_label = "Show Traceback"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Return True if the last failed call has a Python traceback."""
        last = get_beam_server().activity.last_failure
        if last is None or not last.traceback:
            cls.poll_message_set(
                "No call has failed" if last is None else "The last failed call has no Python traceback"
            )
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> "set[OperatorReturnItems]":
        """Copy the traceback to the clipboard and show it in a popup."""
        manager = context.window_manager
        assert manager is not None
        _copy(context, _traceback())
        return manager.invoke_popup(self, width=_POPUP_WIDTH)

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the popup: the last lines of the traceback."""
        layout = self.layout
        assert layout is not None
        column = layout.column(align=True)
        column.label(text="The Last Failed Call (Copied to the Clipboard)", icon="ERROR")
        column.separator()
        column.scale_y = 0.8
        for line in _wrapped(_traceback())[-_POPUP_LINES:]:
            column.label(text=line, translate=False)

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Report the traceback. This runs if a script calls the operator."""
        self.report({"INFO"}, _traceback())
        return {"FINISHED"}


class BEAMBPY_OT_end_adjusting(bpy.types.Operator):
    """Let Adjust Last Operation change nothing: a program has changed the scene since the last operation"""

    bl_idname = "beam_bpy.end_adjusting"
    bl_label = "Change by a BEAM Call"
    # Adjust Last Operation shows the last operator that has both options.
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Become the last operation."""
        return {"FINISHED"}


def _runs(operator: type[bpy.types.Operator]) -> bool:
    if not get_beam_server().running:
        operator.poll_message_set("The node is not running")
        return False
    return True


def _cookie_can_be_set(operator: type[bpy.types.Operator]) -> bool:
    variable = settings.ENVIRONMENT["cookie"]
    if os.environ.get(variable):
        operator.poll_message_set(f"The environment variable {variable} sets the cookie")
        return False
    if preferences.current() is None:
        operator.poll_message_set("The extension has no preferences. Enable it in Preferences, Add-ons")
        return False
    return True


def _has_clipboard(operator: type[bpy.types.Operator]) -> bool:
    if bpy.app.background:
        operator.poll_message_set("Blender has no clipboard without a window")
        return False
    return True


def _started(operator: bpy.types.Operator, problem: str | None) -> "set[OperatorReturnItems]":
    if problem is not None:
        operator.report({"ERROR"}, f"The node cannot start: {problem}")
        return {"CANCELLED"}
    hint = _DRAIN_HINT if bpy.app.background else ""
    operator.report({"INFO"}, f"Running at {get_beam_server().get_address()}{hint}")
    return {"FINISHED"}


def _stop(operator: bpy.types.Operator) -> "set[OperatorReturnItems]":
    lifecycle.stop()
    operator.report({"INFO"}, "Stopped the node")
    return {"FINISHED"}


def _set_cookie(context: bpy.types.Context, cookie: str) -> None:
    holder = preferences.current()
    assert holder is not None
    assert context.preferences is not None
    holder.cookie = cookie
    # Blender saves changed preferences on exit. If Python changes them, it must set this flag.
    context.preferences.is_dirty = True


def _copy(context: bpy.types.Context, text: str) -> None:
    manager = context.window_manager
    assert manager is not None
    manager.clipboard = text


def _traceback() -> str:
    last = get_beam_server().activity.last_failure
    return "" if last is None else preferences.without_cookie(last.traceback)


def _wrapped(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, _POPUP_LINE, subsequent_indent="    ")]


_CLASSES: tuple[type[bpy.types.Operator], ...] = (
    BEAMBPY_OT_start_server,
    BEAMBPY_OT_stop_server,
    BEAMBPY_OT_toggle_server,
    BEAMBPY_OT_restart_server,
    BEAMBPY_OT_generate_cookie,
    BEAMBPY_OT_use_erlang_cookie,
    BEAMBPY_OT_copy_node_name,
    BEAMBPY_OT_copy_snippet,
    BEAMBPY_OT_copy_cookie,
    BEAMBPY_OT_copy_text,
    BEAMBPY_OT_cancel_call,
    BEAMBPY_OT_show_traceback,
    BEAMBPY_OT_end_adjusting,
)


def register() -> None:
    """Register the operators with Blender."""
    for operator in _CLASSES:
        bpy.utils.register_class(operator)


def unregister() -> None:
    """Undo `register`."""
    unregister_classes(_CLASSES)
