"""Beam-BPy for Blender: makes this Blender a node of the BEAM. The 3D view's sidebar has a button to start the node.

The package `beam_bpy` implements the node. The extension contains it as a wheel. The modules of this package connect
the node to Blender: they run handlers on the main thread, and define preferences, panels, operators and a command.
"""

from . import console_log, drain, headless, lifecycle, operators, panel, panel_state, preferences
from .guard import guarded

# Each module has the functions `register` and `unregister`. The modules with classes come first, because other modules
# use these classes.
_MODULES = (console_log, preferences, operators, panel_state, panel, drain, lifecycle, headless)


def register() -> None:
    """Register all modules. Blender calls this when the user enables the extension."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Unregister all modules, so that no thread, timer, class or command remains.

    Blender calls this when the user disables the extension.
    """
    for module in reversed(_MODULES):
        # A handler may have removed what a module has registered. The other modules must end all the same.
        guarded(module.unregister)
