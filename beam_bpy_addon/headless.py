"""`blender --command beam_bpy serve`: a Blender without a window as a node, until it is told to stop.

Without a window no timer runs, so `BeamServer.serve_forever` drains the handlers' queue on the main thread. Scripts
for `blender -b` and programs with the bpy module call it themselves: `beam_bpy.get_beam_server().serve_forever()`.
"""

import argparse
import logging
import sys

import bpy

from beam_bpy import get_beam_server
from beam_bpy.cli.load_handlers import HandlersError, load_handlers

from . import lifecycle

COMMAND = "beam_bpy"

STOPPED, FAILED, USAGE = 0, 1, 2
"""Exit codes: stopped on request; could not start; wrong arguments, or handlers that cannot be loaded."""

_EPILOG = """\
Settings that are not given come from the environment (BPY_BEAM_NODE, BPY_BEAM_COOKIE, BPY_BEAM_HOST,
BPY_BEAM_PORT), then from the extension's preferences. Other users of this computer can read a command line:
BPY_BEAM_COOKIE is the better place for a cookie.

When the node is ready, one line says so on standard output. SIGTERM and SIGINT stop it.
Exit codes: 0 it was stopped, 1 it could not start, 2 wrong arguments or handlers that cannot be loaded.
"""

# The bpy module has no program of its own; bpy.app.module, which says it outright, is younger than Blender 4.2.
_IS_MODULE = not bpy.app.binary_path

_command: object = None


def main(arguments: list[str]) -> int:
    """What `blender --command beam_bpy` runs; returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has printed the help or the error; ending Blender is Blender's business.
        return USAGE if end.code else STOPPED
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    return _serve(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"blender --background [FILE] --command {COMMAND}",
        description="This Blender as a node of the BEAM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve")
    serve = commands.add_parser(
        "serve",
        help="answer calls from Erlang and Elixir until it is told to stop",
        description="Answer calls from Erlang and Elixir until it is told to stop.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--node", metavar="NAME", help="name, or name@host, of this node")
    serve.add_argument("--cookie", help="the secret that all nodes of the cluster share")
    serve.add_argument("--host", help="the address to listen on")
    serve.add_argument("--port", type=int, help="the TCP port to listen on; 0 for any free one")
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        action="append",
        default=[],
        help="a Python file or module with a function register(server); may be given more than once",
    )
    return parser


def _serve(options: argparse.Namespace) -> int:
    server = get_beam_server()
    try:
        for name in options.handlers:
            load_handlers(name, server)
    except HandlersError as error:
        return _fail(str(error), USAGE)
    problem = lifecycle.start(node_name=options.node, cookie=options.cookie, host=options.host, port=options.port)
    if problem is not None:
        return _fail(problem, FAILED)
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return STOPPED


def _fail(problem: str, code: int) -> int:
    print(f"beam_bpy cannot serve: {problem}", file=sys.stderr, flush=True)
    return code


def register() -> None:
    """Register the command with Blender; the bpy module has no command line."""
    global _command
    if _IS_MODULE:
        # A command that is still registered there when Python ends crashes or hangs the process.
        return
    _command = bpy.utils.register_cli_command(COMMAND, main)  # type: ignore[func-returns-value]


def unregister() -> None:
    """Undo `register`."""
    if not _IS_MODULE:
        bpy.utils.unregister_cli_command(_command)
