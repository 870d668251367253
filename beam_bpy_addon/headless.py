"""`blender --command beam_bpy serve`: run a Blender without a window as a node, until SIGTERM or SIGINT.

Blender without a window runs no timers. So `BeamServer.serve_forever` runs the queued handlers on the main thread. A
script for `blender -b`, or a program with the bpy module, calls `beam_bpy.get_beam_server().serve_forever()` itself.
"""

import argparse
import sys

import bpy

from beam_bpy import get_beam_server
from beam_bpy.cli import serving
from beam_bpy.cli.output import SUCCESS, USAGE
from beam_bpy.cli.owner import OPTION, die_with_parent
from beam_bpy.cli.serving import EXIT_CODES, add_serving_options
from beam_bpy.cli.setting_options import add_setting_options, given_settings

from . import lifecycle

COMMAND = "beam_bpy"

_EPILOG = f"""\
If an option is missing, the node uses its environment variable. If the variable is not set either, it uses the
preferences of the extension. Other users of this computer can read your command line, so set the cookie and the
passphrase with BPY_BEAM_COOKIE and BPY_BEAM_TLS_PASSWORD, or use a cookie file.

{EXIT_CODES}
"""

# True if Blender is the Python module bpy, which has no program file. `bpy.app.module` does not exist in Blender 4.2.
_IS_MODULE = not bpy.app.binary_path

_command: object = None


def main(arguments: list[str]) -> int:
    """Run `blender --command beam_bpy` with these arguments. Return the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has printed the help or the error. Blender exits with the returned code.
        return USAGE if end.code else SUCCESS
    return _serve(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"blender --background [FILE] --command {COMMAND}",
        description="Make this Blender a node of the BEAM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(log_level=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve")
    serve = commands.add_parser(
        "serve",
        help="answer calls from Erlang and Elixir until SIGTERM or SIGINT",
        description="Answer calls from Erlang and Elixir until SIGTERM or SIGINT.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_setting_options(serve)
    add_serving_options(serve)
    return parser


def _serve(options: argparse.Namespace) -> int:
    def start() -> str | None:
        return lifecycle.start(**given_settings(options))

    return serving.serve(get_beam_server(), options, start)


def register() -> None:
    """Register the command with Blender, unless Blender is the bpy module, which has no command line."""
    global _command
    if _IS_MODULE:
        # If the command is still registered when Python ends, the bpy module crashes or hangs.
        return
    if COMMAND in sys.argv and OPTION in sys.argv:
        die_with_parent()  # Blender opens a file, which may take minutes, before it runs the command.
    _command = bpy.utils.register_cli_command(COMMAND, main)  # type: ignore[func-returns-value]


def unregister() -> None:
    """Undo `register`."""
    if not _IS_MODULE:
        bpy.utils.unregister_cli_command(_command)
