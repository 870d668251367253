"""`beam-bpy serve`: answer calls from Erlang and Elixir until Ctrl-C."""

import argparse
import logging
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.load_handlers import HandlersError, load_handlers
from beam_bpy.cli.output import complain
from beam_bpy.epmd.registration import EPMD_MODES


def add_command(commands: Any, epilog: str) -> None:
    """Add the command to the parser of `main`."""
    serve = commands.add_parser(
        "serve",
        help="answer calls until Ctrl-C",
        description="Answer calls from Erlang and Elixir until Ctrl-C.",
        epilog=epilog,
    )
    serve.set_defaults(run=_serve, log_level=logging.INFO)
    serve.add_argument("--node", metavar="NAME", help="node name, or name@host (default: beam_bpy)")
    serve.add_argument("--cookie", help="the cluster's secret; BPY_BEAM_COOKIE keeps it out of 'ps'")
    serve.add_argument("--host", help="address to listen on (default: localhost)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for any (default: 0)")
    serve.add_argument(
        "--epmd",
        choices=EPMD_MODES,
        default="embed",
        help="register with the machine's epmd, or with an embedded one if none answers (embed, the default);"
        " with the machine's only (host); not at all (none)",
    )
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        action="append",
        default=[],
        help="a Python file or module with a function register(server); repeat the option for several of them",
    )


def _serve(options: argparse.Namespace) -> int:
    server = BeamServer(options.node, options.cookie, options.host, options.port, epmd=options.epmd)
    try:
        load_handlers(options.handlers, server)
    except HandlersError as error:
        complain(str(error))
        return 2
    if not server.start():
        return 1
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return 0
