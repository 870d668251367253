"""`beam-bpy serve`: answer calls from Erlang and Elixir until Ctrl-C."""

import argparse
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli import serving
from beam_bpy.cli.serving import EXIT_CODES, add_serving_options
from beam_bpy.cli.setting_options import add_setting_options, given_settings
from beam_bpy.settings import arguments, from_environment, merged

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
    add_setting_options(serve)
    add_serving_options(serve)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    server = BeamServer()

    def configure() -> None:
        server.configure(**arguments(merged(from_environment(), given_settings(options))))

    return serving.serve(server, options, configure)
