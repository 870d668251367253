"""Beam-BPy for Blender: this Blender as a node of the BEAM, with a switch in the 3D view's sidebar.

The node itself is the package `beam_bpy`, which the extension brings along as a wheel. What is here belongs to
Blender: the main thread that handlers run on, the preferences, the panel, the operators and the command line.
"""

from . import console_log, drain, headless, lifecycle, operators, panel, panel_state, preferences

# Each knows how to register itself and how to undo it. Classes come first, so that the rest may use them.
_MODULES = (console_log, preferences, operators, panel_state, panel, drain, lifecycle, headless)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled: leaves no thread, timer, class or command behind."""
    for module in reversed(_MODULES):
        module.unregister()
