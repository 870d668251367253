"""`beam-bpy`: a node from the command line.

Exit codes: 0 success, 1 the server could not start, 2 the command line is wrong.
"""

import argparse
import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from beam_bpy.beam_server import BeamServer
from beam_bpy.settings import ENVIRONMENT

_EPILOG = "environment: " + ", ".join(ENVIRONMENT.values()) + " set what the options leave out."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="beam-bpy: %(message)s")
    return _serve(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beam-bpy", description="Make this program a node of the BEAM.", epilog=_EPILOG
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="answer calls until Ctrl-C",
        description="Answer calls from Erlang and Elixir until Ctrl-C.",
        epilog=_EPILOG,
    )
    serve.add_argument("--node", metavar="NAME", help="node name, or name@host (default: beam_bpy)")
    serve.add_argument("--cookie", help="the cluster's secret; better set as BPY_BEAM_COOKIE, which 'ps' does not show")
    serve.add_argument("--host", help="address to listen on (default: localhost)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for any (default: 0)")
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        help="a Python file, or a module by its name, with a function register(server)",
    )
    return parser


def _serve(options: argparse.Namespace) -> int:
    server = BeamServer(options.node, options.cookie, options.host, options.port)
    if options.handlers is not None:
        try:
            _load(options.handlers).register(server)
        except (ImportError, OSError, AttributeError) as error:
            print(f"beam-bpy: no handlers from {options.handlers}: {error}", file=sys.stderr)
            return 2
    if not server.start():
        return 1
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return 0


def _load(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
