"""An update of the extension while Blender runs.

Blender unregisters the old version, replaces its files and imports the new version. But Python keeps the modules of the
old core (the package `beam_bpy`) until Blender ends, because other add-ons use them, too. The new version cannot use
the old core. So it registers only this module: the settings stay, and Blender tells the user to restart it.

The old version has stopped the node, and its callers got an error at once. The node cannot continue: from then on
Python would read the new files for each module that the old core has not imported yet. If the node ran before the
update, it starts again when Blender has been restarted.

This module may use only `bpy` and the standard library, because the core may have any version.
"""

import importlib.metadata
import logging
import pkgutil
import tomllib
from typing import Any

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

import beam_bpy

from . import lines, messages

log = logging.getLogger("beam_bpy.blender")

_RAN = "beam_bpy_ran"
"""A custom property of the window manager: whether the node ran when the extension was unregistered."""

_NOTICE_DELAY = 0.5
"""In seconds. By then, Blender has shown its own message about the installation."""


def _obstacle() -> str | None:
    manifest = pkgutil.get_data(__package__, "blender_manifest.toml")
    assert manifest is not None
    wanted = tomllib.loads(manifest.decode())["version"]
    if getattr(beam_bpy, "__version__", None) == wanted:
        return None
    installed = _installed_version()
    if installed in (wanted, None):
        return "Beam-BPy was updated: restart Blender"
    return (
        f"This copy of Beam-BPy has the version {wanted}, but another copy has installed the version {installed}: "
        "remove one of them in Preferences, Get Extensions, then restart Blender"
    )


def _installed_version() -> str | None:
    """The version of the core on the disk; None if it was not installed from a wheel."""
    try:
        return importlib.metadata.version("beam-bpy")
    except importlib.metadata.PackageNotFoundError:
        return None


OBSTACLE = _obstacle()
"""The reason why the extension cannot use the core that Python has imported, as a sentence; None if it can."""


class RestartPreference:
    """The base of the preferences, with a property that no user sees."""

    start_after_update: BoolProperty(  # type: ignore[valid-type]
        name="Start after Update",
        description="The node ran before an update. It starts when Blender has been restarted",
        options={"HIDDEN"},
    )


class BEAMBPY_AP_after_update(RestartPreference, bpy.types.AddonPreferences):
    """The preferences until Blender is restarted: only settings that all versions have, without the core's checks.

    Blender keeps the values of all other settings, although they are not declared here.
    """

    bl_idname = __package__

    node_name: StringProperty(name="Node Name", default="beam_bpy")  # type: ignore[valid-type]
    cookie: StringProperty(name="Cookie", subtype="PASSWORD")  # type: ignore[valid-type]
    host: StringProperty(name="Host", default="localhost")  # type: ignore[valid-type]
    port: IntProperty(name="Port", min=0, max=65535)  # type: ignore[valid-type]
    start_with_blender: BoolProperty(name="Start with Blender")  # type: ignore[valid-type]

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the notice, and the settings that are kept."""
        layout = self.layout
        assert layout is not None
        _draw_notice(layout, context)
        column = layout.column()
        column.use_property_split = True
        for name in ("node_name", "host", "port", "start_with_blender"):
            column.prop(self, name)


class BEAMBPY_PT_after_update(bpy.types.Panel):
    """The notice that Blender has to be restarted"""

    bl_label = "BEAM Node"
    bl_space_type: Any = "VIEW_3D"
    bl_region_type: Any = "UI"
    bl_category = "BEAM"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the notice."""
        _draw_notice(self.layout, context)


def note_state() -> None:
    """Remember whether the node runs, for a new version that Blender may register next in this process."""
    manager = bpy.context.window_manager
    assert manager is not None
    manager[_RAN] = beam_bpy.get_beam_server().running


def take_restart(holder: Any) -> bool:
    """Return True, once, if the node ran before an update, and Blender has been restarted since.

    Args:
        holder: the preferences of the extension.
    """
    if not holder.start_after_update:
        return False
    _set_restart(holder, start=False)
    return True


def register() -> None:
    """Register the notice, instead of the extension."""
    log.warning("the node has stopped. %s", OBSTACLE)
    for kind in _CLASSES:
        bpy.utils.register_class(kind)
    preferences, manager = bpy.context.preferences, bpy.context.window_manager
    assert preferences is not None
    assert manager is not None
    addon: Any = preferences.addons.get(__package__)
    # If Blender does not save the preferences when it ends, it would start the node at every start from then on.
    if addon is not None and manager.get(_RAN) and preferences.use_preferences_save:
        _set_restart(addon.preferences, start=True)
    if not bpy.app.background:
        bpy.app.timers.register(_tell, first_interval=_NOTICE_DELAY)


def unregister() -> None:
    """Undo `register`."""
    if bpy.app.timers.is_registered(_tell):
        bpy.app.timers.unregister(_tell)
    for kind in reversed(_CLASSES):
        bpy.utils.unregister_class(kind)


def _set_restart(holder: Any, *, start: bool) -> None:
    preferences = bpy.context.preferences
    assert preferences is not None
    holder.start_after_update = start
    # Blender saves changed preferences on exit. If Python changes them, it must set this flag.
    preferences.is_dirty = True


def _tell() -> None:
    messages.tell(OBSTACLE or "", warning=True)


def _draw_notice(layout: bpy.types.UILayout | None, context: bpy.types.Context) -> None:
    assert layout is not None
    box = layout.box().column(align=True)
    width = lines.panel_width(context)
    lines.draw_lines(box, OBSTACLE or "", width, "ERROR")
    lines.draw_lines(box, "The node has stopped. Blender keeps its settings", width)


_CLASSES = (BEAMBPY_AP_after_update, BEAMBPY_PT_after_update)
