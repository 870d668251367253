"""`beam-bpy`: serve handlers, and call nodes of the BEAM, from the command line.

Exit codes: 0 success; 1 the node cannot be reached, the call failed or the server cannot start; 2 the command line is
wrong.
"""

import argparse
import logging
from collections.abc import Sequence

from beam_bpy.cli import call, serve
from beam_bpy.cli.output import complain
from beam_bpy.cli.term_text import TermError, show
from beam_bpy.cookies import generate_cookie
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow

_ENVIRONMENT = "environment: an option that is not given has the value of its variable, such as BPY_BEAM_COOKIE."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if options.verbose else options.log_level
    logging.basicConfig(level=level, format="beam-bpy: %(message)s")
    try:
        return int(options.run(options))
    except (ErlangError, ErlangExit, ErlangThrow) as failure:
        kind = type(failure).__name__.removeprefix("Erlang").lower()
        return complain(f"{kind}: {show(failure.term)}")
    except (OSError, TermError) as error:  # NodeDownError and TimeoutError are OSErrors.
        return complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beam-bpy",
        description="Make a Python program a node of the BEAM, and call other nodes.",
        epilog=_ENVIRONMENT,
    )
    parser.set_defaults(log_level=logging.ERROR)
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve.add_command(commands, _ENVIRONMENT)
    call.add_commands(commands, _ENVIRONMENT)
    cookie = commands.add_parser("cookie", help="print a cookie that nobody can guess")
    cookie.set_defaults(run=_print_cookie)
    return parser


def _print_cookie(_options: argparse.Namespace) -> int:
    print(generate_cookie())
    return 0
