"""The preferences: what the node is called, its cookie, where it listens."""

import textwrap
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty

from beam_bpy import settings

# What the preferences show of a line in their default width.
_LINE = 66

_LABELS = {"node_name": "Node Name", "cookie": "Cookie", "host": "Host", "port": "Port"}


class BEAMBPY_AP_preferences(bpy.types.AddonPreferences):
    """What a user sets under Preferences, Add-ons, Beam-BPy."""

    # The name under which Blender knows the extension depends on the repository that it was installed from.
    bl_idname = __package__

    node_name: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["node_name"],
        description="What Erlang and Elixir call this Blender: a name, which gets the host, or a whole name@host",
        default=settings.DEFAULT_NODE_NAME,
    )
    cookie: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["cookie"],
        description="The secret that all nodes of a cluster share. Whoever has it can call every handler. "
        "It is saved with Blender's preferences; the environment variable BPY_BEAM_COOKIE keeps it out of there",
        subtype="PASSWORD",
        default=settings.DEFAULT_COOKIE,
    )
    host: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["host"],
        description="The address to listen on. localhost: only this computer can connect. "
        "Empty: the host of the node name",
        default=settings.DEFAULT_HOST,
    )
    port: IntProperty(  # type: ignore[valid-type]
        name=_LABELS["port"],
        description="The TCP port to listen on; 0 takes any free one, which other nodes learn from epmd",
        default=settings.DEFAULT_PORT,
        min=0,
        max=65535,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the settings, each with what is wrong with it or what overrides it."""
        layout = self.layout
        assert layout is not None
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        overridden = settings.overridden()
        for name in _LABELS:
            _draw_setting(column, self, name, name in overridden)


def stored() -> dict[str, Any]:
    """The preferences as arguments of `BeamServer.configure`; None for what the environment overrides."""
    preferences = bpy.context.preferences
    assert preferences is not None
    addon = preferences.addons.get(__package__)
    if addon is None:  # Enabled by a script for this session only: Blender keeps no preferences then.
        return dict.fromkeys(_LABELS)
    overridden = settings.overridden()
    return {name: None if name in overridden else getattr(addon.preferences, name) for name in _LABELS}


def _draw_setting(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences, name: str, overridden: bool) -> None:
    if overridden:
        _draw_override(column, name)
        return
    problem = _problem(name, getattr(holder, name))
    row = column.row()
    row.alert = problem is not None
    row.prop(holder, name)
    for number, line in enumerate(textwrap.wrap(problem or "", _LINE)):
        column.label(text=line, icon="BLANK1" if number else "ERROR")


def _draw_override(column: bpy.types.UILayout, name: str) -> None:
    variable = settings.ENVIRONMENT[name]
    split = column.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=_LABELS[name])
    split.label(text=f"set by {variable}", icon="LOCKED")


def _problem(name: str, value: Any) -> str | None:
    """Why this value cannot be used, as a sentence."""
    try:
        settings.resolve(**{name: value}, environment={})
    except settings.SettingsError as error:
        return str(error)
    return None


def register() -> None:
    """Register the preferences with Blender."""
    bpy.utils.register_class(BEAMBPY_AP_preferences)


def unregister() -> None:
    """Undo `register`."""
    bpy.utils.unregister_class(BEAMBPY_AP_preferences)
