"""`beam-bpy serve`: answer calls from Erlang and Elixir until Ctrl-C."""

import argparse
import logging
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.load_handlers import HandlersError, load_handlers
from beam_bpy.cli.output import complain
from beam_bpy.cli.setting_options import add_setting_options, given_settings
from beam_bpy.errors import SettingsError
from beam_bpy.settings import arguments, from_environment, merged


def add_command(commands: Any, epilog: str) -> None:
    """Add the command to the parser of `main`."""
    serve = commands.add_parser(
        "serve",
        help="answer calls until Ctrl-C",
        description="Answer calls from Erlang and Elixir until Ctrl-C.",
        epilog=epilog,
    )
    serve.set_defaults(run=_serve, log_level=logging.INFO)
    add_setting_options(serve)
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        help="a Python file, or a module by its name, with a function register(server)",
    )


def _serve(options: argparse.Namespace) -> int:
    server = BeamServer()
    if options.handlers is not None:
        try:
            load_handlers(options.handlers, server)
        except HandlersError as error:
            complain(str(error))
            return 2
    if not _start(server, options):
        return 1
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return 0


def _start(server: BeamServer, options: argparse.Namespace) -> bool:
    try:
        server.configure(**arguments(merged(from_environment(), given_settings(options))))
    except SettingsError as error:
        complain(str(error))
        return False
    return server.start()
