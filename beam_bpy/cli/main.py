"""`beam-bpy`: serve handlers, and call nodes of the BEAM, from the command line.

Exit codes: 0 success; 1 the node cannot be reached, the call failed or the server cannot start; 2 the command line is
wrong; 130 Ctrl-C. `health` has one of its own, 3.
"""

import argparse
from collections.abc import Sequence

from beam_bpy.cli import call, health, serve
from beam_bpy.cli.log_output import configure_log
from beam_bpy.cli.output import (
    INTERRUPTED,
    SUCCESS,
    USAGE,
    OutputError,
    complain,
    flush_streams,
    prepare_streams,
    say,
)
from beam_bpy.cli.term_text import TermError
from beam_bpy.cookies import generate_cookie
from beam_bpy.epmd.client import check_environment
from beam_bpy.erlang_text import show
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow, SettingsError
from beam_bpy.version import __version__

_ENVIRONMENT = "environment: an option that is not given has the value of its variable, such as BPY_BEAM_COOKIE."

_EXAMPLES = """\
examples:
  beam-bpy serve --node worker --handlers handlers.py
  beam-bpy ping worker@127.0.0.1
  beam-bpy call worker@127.0.0.1 Blender move '"Cube"' 1.0 2.0 3.0
  beam-bpy health worker@127.0.0.1
  beam-bpy nodes

'beam-bpy COMMAND --help' explains a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    prepare_streams()
    try:
        options = _parser().parse_args(arguments)
        return _run(options)
    finally:
        flush_streams()


def _run(options: argparse.Namespace) -> int:
    if options.run is not serve.run:
        configure_log(options, "error")
    try:
        check_environment()
        return int(options.run(options))
    except (ErlangError, ErlangExit, ErlangThrow) as failure:
        return complain(_explained(failure))
    except SettingsError as error:
        return complain(str(error), USAGE)
    except (OSError, TermError, OutputError) as error:  # NodeDownError and TimeoutError are OSErrors.
        return complain(str(error))
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)


def _explained(failure: ErlangError | ErlangExit | ErlangThrow) -> str:
    """The class and the reason of a failure in Erlang syntax; an exception of Python as Python shows it."""
    kind = type(failure).__name__.removeprefix("Erlang").lower()
    match failure.term:
        case ("python_error", {"type": str() as type_, "message": str() as message, "traceback": str() as trace}):
            return f"{kind}: {type_}: {message}\n{trace.rstrip()}"
    return f"{kind}: {show(failure.term)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beam-bpy",
        description="Make a Python program a node of the BEAM, and call other nodes.",
        epilog=f"{_EXAMPLES}\n\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(log_level=None, log_format="text", log_failed_calls=False)
    parser.add_argument("--version", action="version", version=f"beam-bpy {__version__}")
    _add_verbose(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve.add_command(commands, _ENVIRONMENT)
    call.add_commands(commands, _ENVIRONMENT)
    health.add_command(commands, _ENVIRONMENT)
    cookie = commands.add_parser(
        "cookie",
        help="print a cookie that nobody can guess",
        description="Print a random cookie. All nodes of a cluster need the same one.",
        epilog="example:\n  export BPY_BEAM_COOKIE=$(beam-bpy cookie)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cookie.set_defaults(run=_print_cookie)
    for command in commands.choices.values():
        _add_verbose(command)
    return parser


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    # Without a default here: that of a command would replace a -v before the command.
    parser.add_argument(
        "-v",
        "--verbose",
        dest="log_level",
        action="store_const",
        const="debug",
        default=argparse.SUPPRESS,
        help="log every detail to standard error",
    )


def _print_cookie(_options: argparse.Namespace) -> int:
    say(generate_cookie())
    return SUCCESS
