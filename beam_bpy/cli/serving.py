"""The code that both `serve` commands share: `beam-bpy serve`, and that of Blender."""

import argparse
from collections.abc import Callable

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.load_handlers import HandlersError, load_handlers
from beam_bpy.cli.log_output import add_log_options, configure_log
from beam_bpy.cli.metrics import metrics_server
from beam_bpy.cli.output import (
    INTERRUPTED,
    SUCCESS,
    USAGE,
    OutputError,
    complain,
    prepare_streams,
    say,
    unbreakable_output,
)
from beam_bpy.cli.owner import Owner, OwnerError, add_owner_options
from beam_bpy.cli.service_manager import notify
from beam_bpy.errors import ServerError, SettingsError
from beam_bpy.logger import log

EXIT_CODES = """\
When the node is ready, it prints one line to standard output. If that cannot be written, the node serves all the same.
SIGTERM or SIGINT (Ctrl-C) stops the node, and with --until-stdin-closes the end of standard input does. Exit codes:
0 the node was stopped on request, 1 it cannot start, 2 wrong arguments or the handlers cannot be loaded, 130 Ctrl-C
before the node was ready. After 1 and 2, the last line on standard error says why."""


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
    add_owner_options(parser)


def serve(server: BeamServer, options: argparse.Namespace, prepare: Callable[[], str | None]) -> int:
    """Load the handlers, start the server and serve until a signal; returns the exit code.

    Args:
        server: the server.
        options: the options of `add_serving_options`.
        prepare: configures the server, and may start it. Returns None, or a sentence that says why it cannot start.
    """
    prepare_streams()
    configure_log(options)
    owner = Owner(options.kill_after)
    try:
        if options.until_stdin_closes:
            owner.watch()
        with unbreakable_output(lambda sentence: log.warning("%s", sentence)):
            return _serve(server, owner, options, prepare)
    except OwnerError as error:
        return complain(str(error))
    except HandlersError as error:
        return complain(str(error), USAGE)
    except KeyboardInterrupt:
        return complain("stopped before the node was ready", INTERRUPTED)


def _serve(server: BeamServer, owner: Owner, options: argparse.Namespace, prepare: Callable[[], str | None]) -> int:
    load_handlers(options.handlers, server)
    try:
        with metrics_server(server, options.metrics):
            problem = prepare()
            if problem is not None:
                # A server has logged it. But a supervisor reads the last line, which has the same form for all reasons.
                return complain(problem)
            # It starts the server if `prepare` has not: then no thread but this one ever runs a queued handler.
            server.serve_forever(lambda: _announce(server, owner))
            notify("STOPPING=1")
            return SUCCESS
    except (SettingsError, ServerError) as error:
        return complain(str(error))


def _announce(server: BeamServer, owner: Owner) -> None:
    if owner.gone:  # The server did not run yet when it was asked to stop.
        server.stop()
    if not server.running:  # An inline handler can stop it, too.
        return
    notify(f"READY=1\nSTATUS={server.get_address()}")
    try:
        say(f"{server.get_address()} is ready")
    except OutputError as error:
        log.warning("%s; the node serves all the same", error)
