"""The options of both `serve` commands that set a node's settings, made from the table of settings."""

import argparse
from collections.abc import Callable
from typing import Any

from beam_bpy.errors import SettingsError
from beam_bpy.setting_types import Switch
from beam_bpy.settings import TABLE, Setting

_HEADINGS = {"Node": "the node", "Security": "security", "Limits": "limits of what other nodes may use"}


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting."""
    for group, heading in _HEADINGS.items():
        section = parser.add_argument_group(heading)
        for setting in TABLE:
            if setting.group == group:
                # The option of a switch needs no text.
                switch: dict[str, Any] = {"nargs": "?", "const": True} if isinstance(setting.type, Switch) else {}
                section.add_argument(
                    setting.option,
                    dest=setting.name,
                    metavar=setting.type.placeholder,
                    type=_reader(setting),
                    help=_help(setting),
                    **switch,
                )


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that were given, by the names of the settings."""
    values = {setting.name: getattr(options, setting.name) for setting in TABLE}
    return {name: value for name, value in values.items() if value is not None}


def _reader(setting: Setting) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return setting.type.read(setting.option, text)
        except SettingsError as error:
            # As argparse begins such a message itself.
            kind = setting.type.placeholder.lower()
            raise argparse.ArgumentTypeError(f"invalid {kind} value: {error}") from None

    return read


def _help(setting: Setting) -> str:
    text = setting.help[0].lower() + setting.help[1:]
    default = f"{setting.default:g}" if isinstance(setting.default, float) else setting.default
    default = "" if default is None or setting.secret else f"default: {default}; "
    return f"{text} ({default}environment: {setting.variable})".replace("%", "%%")
