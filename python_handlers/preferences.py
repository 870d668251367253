"""The preference that allows BEAM nodes to run Python in this Blender."""

import logging
import os
from typing import Any

import bpy
from bpy.props import BoolProperty

log = logging.getLogger("beam_bpy.python_handlers")

VARIABLE = "BPY_BEAM_ALLOW_PYTHON"

_CONSEQUENCES = (
    "Every node that knows the cookie can then do everything that you can do",
    "on this computer: read and delete files, and start programs.",
    "Use it only if you trust all programs that know the cookie.",
)


def _changed(holder: "BEAMBPY_AP_python_handlers", _context: bpy.types.Context) -> None:
    if holder.allow_python:
        _warn()


class BEAMBPY_AP_python_handlers(bpy.types.AddonPreferences):
    """The settings of the user in Preferences, Add-ons, Python Handlers."""

    # Blender's name for the extension depends on the repository from which it was installed.
    bl_idname = __package__

    allow_python: BoolProperty(  # type: ignore[valid-type]
        name="Allow BEAM Nodes to Run Python",
        description="Every node that knows the cookie can then do everything that you can do on this computer: read "
        "and delete files, and start programs. Use it only if you trust all programs that know the cookie. A change "
        "applies to the next call",
        default=False,
        update=_changed,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the checkbox and the consequences; or, if the environment variable decides, the variable's name."""
        layout = self.layout
        assert layout is not None
        value = os.environ.get(VARIABLE)
        if value:
            layout.label(text=f"Set by {VARIABLE}={value}", icon="LOCKED", translate=False)
        else:
            layout.prop(self, "allow_python")
        column = layout.column(align=True)
        for number, line in enumerate(_CONSEQUENCES):
            column.label(text=line, icon="BLANK1" if number else "ERROR")


def allowed() -> bool:
    """Return the preference of the user; False if the extension is not enabled."""
    holder = _current()
    return holder is not None and bool(holder.allow_python)


def register() -> None:
    """Register the preference with Blender."""
    bpy.utils.register_class(BEAMBPY_AP_python_handlers)
    if allowed():
        _warn()


def unregister() -> None:
    """Undo `register`."""
    bpy.utils.unregister_class(BEAMBPY_AP_python_handlers)


def _current() -> Any:
    preferences = bpy.context.preferences
    assert preferences is not None
    addon = preferences.addons.get(__package__)
    return None if addon is None else addon.preferences


def _warn() -> None:
    log.warning(
        "the preferences allow Python: every node that knows the cookie can do everything that this user can do"
    )
