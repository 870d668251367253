"""The preferences for security and limits, in two panels that are closed at first: a user rarely needs them."""

import os
from typing import Any

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from beam_bpy import SettingsError, settings
from beam_bpy.setting_types import File, Seconds, Whole
from beam_bpy.settings import TABLE, Setting, TlsFiles

OF_PYTHON_HANDLERS = "allow_python"
"""The setting that is a preference of the extension Python Handlers."""

_ELSEWHERE = ("cookie", OF_PYTHON_HANDLERS)
"""The settings of the group Security that these panels do not have: the cookie has a box of its own."""

SETTINGS = tuple(
    setting for setting in TABLE if setting.group in ("Security", "Limits") and setting.name not in _ELSEWHERE
)

_TLS_FILES = ("tls_certificate", "tls_key", "tls_authority")

# The last answer of `certificate_problem`, and what it depends on.
_checked: tuple[object, str | None] = (None, None)


def _property(setting: Setting) -> Any:
    label, tooltip, default = setting.label, setting.help, setting.default
    if isinstance(setting.type, File):
        return StringProperty(name=label, description=tooltip, subtype="FILE_PATH")
    if isinstance(setting.type, Whole):
        return IntProperty(name=label, description=tooltip, default=default, min=1)
    if isinstance(setting.type, Seconds):
        return FloatProperty(name=label, description=tooltip, default=default, min=1.0, precision=0, step=100)
    return StringProperty(name=label, description=tooltip, subtype="PASSWORD" if setting.secret else "NONE")


class SecurityPreferences:
    """The properties, for the class of the preferences: one for each of `SETTINGS`."""

    __annotations__ = {setting.name: _property(setting) for setting in SETTINGS}


def stored(holder: Any) -> dict[str, Any]:
    """Return the values that the user has set, by the names of the settings; the list of allowed nodes is a text."""
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        value = getattr(holder, setting.name)
        if isinstance(setting.type, Whole | Seconds):
            if value != setting.default:
                values[setting.name] = value
        elif value:
            is_file = isinstance(setting.type, File)
            values[setting.name] = setting.type.read(setting.label, bpy.path.abspath(value)) if is_file else value
    return values


def read(values: dict[str, Any]) -> dict[str, Any]:
    """Return values from `stored` with the list of allowed nodes as `BeamServer` takes it.

    Raises:
        SettingsError: the list cannot be used.
    """
    if not values.get("allow"):
        return values
    setting = settings.SETTINGS["allow"]
    return values | {"allow": setting.type.read(setting.label, values["allow"])}


def certificate_problem(values: dict[str, Any], host: str) -> str | None:
    """Return what is wrong with the certificate files, as a sentence; None if nothing is, or if TLS is not used.

    Args:
        values: values by the names of the settings.
        host: the host in the name of this node.
    """
    global _checked
    parts = {name: value for name, value in values.items() if name.startswith("tls_")}
    if not parts:
        return None
    # A panel is drawn often. The files are read again only when they have changed.
    key = (tuple(parts.items()), host, tuple(_changed(parts.get(name)) for name in _TLS_FILES))
    if _checked[0] != key:
        _checked = (key, _problem(parts, host))
    return _checked[1]


def _changed(path: os.PathLike[str] | None) -> float | None:
    try:
        return None if path is None else os.stat(path).st_mtime
    except OSError:
        return None


def _problem(parts: dict[str, Any], host: str) -> str | None:
    try:
        return TlsFiles(**parts).load().problem(host)
    except SettingsError as error:
        return str(error)


def host_of_node(holder: Any) -> str:
    """Return the host in the node's name, as far as it is known without a name server."""
    try:
        return settings.resolve(holder.node_name, None, holder.host, look_up=False).host
    except SettingsError:
        return settings.LOOPBACK
