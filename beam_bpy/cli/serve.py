"""`beam-bpy serve`: answer calls from Erlang and Elixir until Ctrl-C."""

import argparse
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli import serving
from beam_bpy.cli.serving import EXIT_CODES, add_serving_options
from beam_bpy.epmd.registration import EPMD_MODES

_EXAMPLES = """\
examples:
  beam-bpy serve --node worker --handlers handlers.py
  BPY_BEAM_COOKIE=secret beam-bpy serve --node worker@10.0.0.5 --handlers a.py --handlers my_package.handlers
  beam-bpy serve --handlers handlers.py --log-level debug --log-format json
"""


def add_command(commands: Any, epilog: str) -> None:
    """Add the command to the parser of `main`."""
    serve = commands.add_parser(
        "serve",
        help="answer calls until Ctrl-C",
        description="Answer calls from Erlang and Elixir until Ctrl-C.",
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}\n\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.set_defaults(run=run)
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
    add_serving_options(serve)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    server = BeamServer(options.node, options.cookie, options.host, options.port, epmd=options.epmd)
    return serving.serve(server, options, lambda: None if server.start() else server.last_error)
