"""The operators: start, stop and toggle the server, by click, by search or from a script."""

from typing import TYPE_CHECKING

import bpy

from beam_bpy import get_beam_server

from . import lifecycle

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import OperatorReturnItems

_DRAIN_HINT = "; without a window, calls are answered inside beam_bpy.get_beam_server().serve_forever()"


class BEAMBPY_OT_start_server(bpy.types.Operator):
    """Make this Blender a node that Erlang and Elixir can call"""

    bl_idname = "beam_bpy.start_server"
    bl_label = "Start BEAM Node"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Possible while the server does not run."""
        if get_beam_server().running:
            cls.poll_message_set("The server is running already")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Start the server, or report why that failed."""
        return _start(self)


class BEAMBPY_OT_stop_server(bpy.types.Operator):
    """Disconnect all nodes and stop answering; handlers stay registered"""

    bl_idname = "beam_bpy.stop_server"
    bl_label = "Stop BEAM Node"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Possible while the server runs."""
        if not get_beam_server().running:
            cls.poll_message_set("The server is not running")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Stop the server."""
        return _stop(self)


class BEAMBPY_OT_toggle_server(bpy.types.Operator):
    """Start the node, or stop it when it runs"""

    bl_idname = "beam_bpy.toggle_server"
    bl_label = "Toggle BEAM Node"

    def execute(self, _context: bpy.types.Context) -> "set[OperatorReturnItems]":
        """Start or stop the server."""
        return _stop(self) if get_beam_server().running else _start(self)


def _start(operator: bpy.types.Operator) -> "set[OperatorReturnItems]":
    problem = lifecycle.start()
    if problem is not None:
        operator.report({"ERROR"}, f"The server cannot start: {problem}")
        return {"CANCELLED"}
    hint = _DRAIN_HINT if bpy.app.background else ""
    operator.report({"INFO"}, f"Running at {get_beam_server().get_address()}{hint}")
    return {"FINISHED"}


def _stop(operator: bpy.types.Operator) -> "set[OperatorReturnItems]":
    lifecycle.stop()
    operator.report({"INFO"}, "Stopped")
    return {"FINISHED"}


_CLASSES: tuple[type[bpy.types.Operator], ...] = (
    BEAMBPY_OT_start_server,
    BEAMBPY_OT_stop_server,
    BEAMBPY_OT_toggle_server,
)


def register() -> None:
    """Register the operators with Blender."""
    for operator in _CLASSES:
        bpy.utils.register_class(operator)


def unregister() -> None:
    """Undo `register`."""
    for operator in reversed(_CLASSES):
        bpy.utils.unregister_class(operator)
