"""Messages in the status bar and the Info editor, for code that is not an operator."""

from typing import TYPE_CHECKING

import bpy
from bpy.props import EnumProperty, StringProperty

from .classes import unregister_classes

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import OperatorReturnItems

_LEVELS = (("INFO", "Information", ""), ("WARNING", "Warning", ""))


class BEAMBPY_OT_tell(bpy.types.Operator):
    """Show a message in the status bar and the Info editor"""

    bl_idname = "beam_bpy.tell"
    bl_label = "Show Message"
    bl_options = {"INTERNAL"}

    text: StringProperty(options={"SKIP_SAVE"})  # type: ignore[valid-type]
    level: EnumProperty(items=_LEVELS, options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> "set[OperatorReturnItems]":
        """Become modal until the next event. Blender sends an event at once.

        A report from this method would go to the Python code that called the operator, and not to the status bar.
        """
        manager = context.window_manager
        assert manager is not None
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, _context: bpy.types.Context, _event: bpy.types.Event) -> "set[OperatorReturnItems]":
        """Report the message, and pass the event on to other operators."""
        self.report({self.level}, self.text)
        return {"FINISHED", "PASS_THROUGH"}


def tell(sentence: str, *, warning: bool = False) -> None:
    """Show a sentence in the status bar and the Info editor. Only an operator that is invoked can do that.

    Without a window it does nothing.
    """
    manager = bpy.context.window_manager
    if bpy.app.background or manager is None or not manager.windows:
        return
    # The context has no window in a tick in which a handler has loaded a file.
    with bpy.context.temp_override(window=manager.windows[0]):
        bpy.ops.beam_bpy.tell(  # type: ignore[attr-defined]
            "INVOKE_DEFAULT", text=sentence, level="WARNING" if warning else "INFO"
        )


def register() -> None:
    """Register the operator with Blender."""
    bpy.utils.register_class(BEAMBPY_OT_tell)


def unregister() -> None:
    """Undo `register`."""
    unregister_classes([BEAMBPY_OT_tell])
