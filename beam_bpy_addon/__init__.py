"""Beam-BPy for Blender: makes this Blender a node of the BEAM. The 3D view's sidebar has a button to start the node.

The package `beam_bpy` implements the node. The extension contains it as a wheel. The modules of this package connect
the node to Blender: they run handlers on the main thread, and define preferences, panels, operators and a command.

After an update, Python may still have the old version of `beam_bpy`. Then this package imports and registers only the
modules that do not need `beam_bpy`; see `updates`.
"""

import contextlib
from types import ModuleType

import bpy

from . import messages, updates
from .guard import guarded

_MODULES: tuple[ModuleType, ...] = (messages, updates)

if updates.OBSTACLE is None:
    from . import console_log, drain, headless, lifecycle, operators, panel, panel_state, preferences

    # Each module has the functions `register` and `unregister`. The modules with classes come first, because other
    # modules use these classes.
    _MODULES = (messages, console_log, preferences, operators, panel_state, panel, drain, lifecycle, headless)


def register() -> None:
    """Register all modules. Blender calls this when the user enables the extension.

    Raises:
        RuntimeError: the extension is enabled already, from another repository of extensions.
    """
    if hasattr(bpy.types, "BEAM_BPY_OT_tell"):
        raise RuntimeError("Beam-BPy is enabled already, from another repository: remove that copy first")
    with contextlib.ExitStack() as undo:
        for module in _MODULES:
            module.register()
            undo.callback(module.unregister)
        undo.pop_all()


def unregister() -> None:
    """Unregister all modules, so that no thread, timer, class or command remains.

    Blender calls this when the user disables the extension, and before it installs an update.
    """
    updates.note_state()
    for module in reversed(_MODULES):
        # A handler may have removed what a module has registered. The other modules must end all the same.
        guarded(module.unregister)
