"""`blender --command beam_bpy serve`: run a Blender without a window as a node, until SIGTERM or SIGINT.

Blender without a window runs no timers. So `BeamServer.serve_forever` runs the queued handlers on the main thread. A
script for `blender -b`, or a program with the bpy module, calls `beam_bpy.get_beam_server().serve_forever()` itself.
"""

import argparse
import logging
import sys

import bpy

from beam_bpy import get_beam_server
from beam_bpy.cli.load_handlers import HandlersError, load_handlers
from beam_bpy.cli.setting_options import add_setting_options, given_settings

from . import lifecycle

COMMAND = "beam_bpy"

STOPPED, FAILED, USAGE = 0, 1, 2
"""Exit codes: 0 a signal stopped the node; 1 it cannot start; 2 wrong arguments, or the handlers cannot be loaded."""

_EPILOG = """\
If an option is missing, the node uses its environment variable. If the variable is not set either, it uses the
preferences of the extension. Other users of this computer can read your command line, so set the cookie and the
passphrase with BPY_BEAM_COOKIE and BPY_BEAM_TLS_PASSWORD, or use a cookie file.

When the node is ready, it prints one line to standard output. SIGTERM or SIGINT stops the node.
Exit codes: 0 a signal stopped the node, 1 it cannot start, 2 wrong arguments or the handlers cannot be loaded.
"""

# True if Blender is the Python module bpy, which has no program file. `bpy.app.module` does not exist in Blender 4.2.
_IS_MODULE = not bpy.app.binary_path

_command: object = None


def main(arguments: list[str]) -> int:
    """Run `blender --command beam_bpy` with these arguments. Return the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has printed the help or the error. Blender exits with the returned code.
        return USAGE if end.code else STOPPED
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    return _serve(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"blender --background [FILE] --command {COMMAND}",
        description="Make this Blender a node of the BEAM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve")
    serve = commands.add_parser(
        "serve",
        help="answer calls from Erlang and Elixir until SIGTERM or SIGINT",
        description="Answer calls from Erlang and Elixir until SIGTERM or SIGINT.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_setting_options(serve)
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        action="append",
        default=[],
        help="a Python file or module with a function register(server); repeat the option for several of them",
    )
    return parser


def _serve(options: argparse.Namespace) -> int:
    server = get_beam_server()
    try:
        for name in options.handlers:
            load_handlers(name, server)
    except HandlersError as error:
        return _fail(str(error), USAGE)
    problem = lifecycle.start(**given_settings(options))
    if problem is not None:
        return _fail(problem, FAILED)
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return STOPPED


def _fail(problem: str, code: int) -> int:
    print(f"beam_bpy cannot serve: {problem}", file=sys.stderr, flush=True)
    return code


def register() -> None:
    """Register the command with Blender, unless Blender is the bpy module, which has no command line."""
    global _command
    if _IS_MODULE:
        # If the command is still registered when Python ends, the bpy module crashes or hangs.
        return
    _command = bpy.utils.register_cli_command(COMMAND, main)  # type: ignore[func-returns-value]


def unregister() -> None:
    """Undo `register`."""
    if not _IS_MODULE:
        bpy.utils.unregister_cli_command(_command)
