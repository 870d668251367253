"""The code that both `serve` commands share: `beam-bpy serve`, and that of Blender."""

import argparse
from collections.abc import Callable

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.load_handlers import HandlersError, load_handlers
from beam_bpy.cli.log_output import add_log_options, configure_log
from beam_bpy.cli.metrics import metrics_server
from beam_bpy.cli.output import (
    FAILURE,
    INTERRUPTED,
    SUCCESS,
    USAGE,
    OutputError,
    complain,
    prepare_streams,
    say,
    unbreakable_output,
)
from beam_bpy.cli.service_manager import notify
from beam_bpy.errors import SettingsError
from beam_bpy.logger import log

EXIT_CODES = """\
When the node is ready, it prints one line to standard output. If that cannot be written, the node serves all the same.
SIGTERM or SIGINT (Ctrl-C) stops the node. Exit codes: 0 a signal or a handler stopped the node, 1 it cannot start,
2 wrong arguments or the handlers cannot be loaded, 130 Ctrl-C before the node was ready."""


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are no settings of a node."""
    parser.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        action="append",
        default=[],
        help="a Python file or module with a function register(server); repeat the option for several of them",
    )
    add_log_options(parser)
    parser.add_argument(
        "--metrics",
        type=int,
        metavar="PORT",
        help="answer http://127.0.0.1:PORT/metrics in the text format of Prometheus",
    )


def serve(server: BeamServer, options: argparse.Namespace, start: Callable[[], str | None]) -> int:
    """Load the handlers, start the server and serve until a signal; returns the exit code.

    Args:
        server: the server.
        options: the options of `add_serving_options`.
        start: starts the server, and returns None or a sentence that says why it cannot.
    """
    prepare_streams()
    configure_log(options)
    try:
        with unbreakable_output(lambda sentence: log.warning("%s", sentence)):
            return _serve(server, options, start)
    except HandlersError as error:
        return complain(str(error), USAGE)
    except KeyboardInterrupt:
        return complain("stopped before the node was ready", INTERRUPTED)


def _serve(server: BeamServer, options: argparse.Namespace, start: Callable[[], str | None]) -> int:
    load_handlers(options.handlers, server)
    try:
        with metrics_server(server, options.metrics):
            problem = start()
            if problem is not None:
                # A server logs why it cannot start. Other reasons, such as those of Blender, are said here.
                return FAILURE if problem == server.last_error else complain(problem)
            server.serve_forever(lambda: _announce(server))
            notify("STOPPING=1")
            return SUCCESS
    except SettingsError as error:
        return complain(str(error))


def _announce(server: BeamServer) -> None:
    notify(f"READY=1\nSTATUS={server.get_address()}")
    try:
        say(f"{server.get_address()} is ready")
    except OutputError as error:
        log.warning("%s; the node serves all the same", error)
