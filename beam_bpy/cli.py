"""`beam-bpy`: serve handlers, and call any node of the BEAM, from the command line.

Exit codes: 0 success; 1 the node cannot be reached, the call failed or the server could not start; 2 the command line
is wrong.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from beam_bpy import epmd
from beam_bpy.beam_server import BeamServer
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from beam_bpy.handlers import ELIXIR_PREFIX, plain_module
from beam_bpy.loading import HandlersError, load_handlers
from beam_bpy.protocol import epmd as epmd_protocol
from beam_bpy.settings import ENVIRONMENT, LOOPBACK, generate_cookie
from beam_bpy.terms import TermError, parse, show
from beam_bpy.transport import addresses_of, exchange
from vendor_term_codec import EncodeError, PairsMap

_ENVIRONMENT = f"environment: {', '.join(ENVIRONMENT.values())} set what the options leave out."
_CALL_HELP = """\
Call a function on a node, as erpc:call does, and print its value.

  beam-bpy call app@127.0.0.1 lists sum '[1, 2, 3]'
  beam-bpy call app@127.0.0.1 String upcase '<<"hello">>'
  beam-bpy call --json app@127.0.0.1 Enum sum '[1, 2, 3]'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if options.verbose else logging.INFO if options.run is _serve else logging.ERROR
    logging.basicConfig(level=level, format="beam-bpy: %(message)s")
    try:
        return int(options.run(options))
    except (ErlangError, ErlangExit, ErlangThrow) as failure:
        kind = type(failure).__name__.removeprefix("Erlang").lower()
        return _complain(f"{kind}: {show(failure.term)}")
    except (OSError, TermError) as error:  # NodeDownError and TimeoutError are OSErrors.
        return _complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beam-bpy",
        description="Make a Python program a node of the BEAM, and call other nodes.",
        epilog=_ENVIRONMENT,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_ping(commands)
    _add_call(commands)
    _add_nodes(commands)
    cookie = commands.add_parser("cookie", help="print a cookie that nobody guesses")
    cookie.set_defaults(run=_print_cookie)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="answer calls until Ctrl-C",
        description="Answer calls from Erlang and Elixir until Ctrl-C.",
        epilog=_ENVIRONMENT,
    )
    serve.set_defaults(run=_serve)
    serve.add_argument("--node", metavar="NAME", help="node name, or name@host (default: beam_bpy)")
    _add_cookie(serve)
    serve.add_argument("--host", help="address to listen on (default: localhost)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for any (default: 0)")
    serve.add_argument(
        "--epmd",
        choices=epmd.MODES,
        default="embed",
        help="register with the machine's epmd, or with an embedded one when there is none (embed, the default);"
        " with the machine's only (host); not at all (none)",
    )
    serve.add_argument(
        "--handlers",
        metavar="FILE_OR_MODULE",
        help="a Python file, or a module by its name, with a function register(server)",
    )


def _add_ping(commands: Any) -> None:
    ping = commands.add_parser(
        "ping",
        help="see whether a node answers",
        description="Print pong, and exit with 0, when a node answers; print pang, and exit with 1, when it does not.",
        epilog=_ENVIRONMENT,
    )
    ping.set_defaults(run=_ping)
    ping.add_argument("node", metavar="NODE", help="name@host")
    _add_cookie(ping)
    _add_timeout(ping)


def _add_call(commands: Any) -> None:
    call = commands.add_parser(
        "call",
        help="call a function on a node",
        description=_CALL_HELP,
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    call.set_defaults(run=_call)
    call.add_argument("node", metavar="NODE", help="name@host")
    call.add_argument("module", metavar="MODULE", help="an Erlang module; with a capital letter, an Elixir module")
    call.add_argument("function", metavar="FUNCTION")
    call.add_argument("args", metavar="ARG", nargs="*", help="an Erlang term each")
    call.add_argument("--json", action="store_true", help="arguments and value are JSON instead")
    _add_cookie(call)
    _add_timeout(call)


def _add_nodes(commands: Any) -> None:
    nodes = commands.add_parser(
        "nodes",
        help="list the nodes that epmd knows",
        description="List the nodes that the epmd of a host knows, each with its port.",
    )
    nodes.set_defaults(run=_nodes)
    nodes.add_argument("--host", default=LOOPBACK, help="whose epmd to ask (default: this machine's)")


def _add_cookie(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cookie", help="the cluster's secret; BPY_BEAM_COOKIE keeps it out of 'ps'")


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="how long to wait (default: 5)")


def _serve(options: argparse.Namespace) -> int:
    server = BeamServer(options.node, options.cookie, options.host, options.port, epmd=options.epmd)
    if options.handlers is not None:
        try:
            load_handlers(options.handlers, server)
        except HandlersError as error:
            _complain(str(error))
            return 2
    if not server.start():
        return 1
    print(f"{server.get_address()} is ready", flush=True)
    server.serve_forever()
    return 0


def _ping(options: argparse.Namespace) -> int:
    with _Caller(options) as server:
        answers = server.ping(options.node, options.timeout)
    print("pong" if answers else "pang")
    return 0 if answers else 1


def _call(options: argparse.Namespace) -> int:
    read, write = (json.loads, _json) if options.json else (parse, show)
    try:
        arguments = [read(text) for text in options.args]
    except (TermError, json.JSONDecodeError) as error:
        _complain(str(error))
        return 2
    module = f"{ELIXIR_PREFIX}{plain_module(options.module)}" if options.module[:1].isupper() else options.module
    with _Caller(options) as server:
        try:
            value = server.call(options.node, module, options.function, arguments, options.timeout)
        except EncodeError as error:
            _complain(str(error))
            return 2
        print(write(value))
    return 0


def _nodes(options: argparse.Namespace) -> int:
    try:
        answer = exchange((options.host, epmd.port()), epmd_protocol.list_names())
    except OSError as error:
        return _complain(f"no epmd answers at {options.host}, port {epmd.port()}: {error}")
    for name, port in epmd_protocol.take_names(answer):
        print(f"{name}\t{port}")
    return 0


def _print_cookie(_options: argparse.Namespace) -> int:
    print(generate_cookie())
    return 0


class _Caller:
    """A node of its own for the time of one command."""

    def __init__(self, options: argparse.Namespace) -> None:
        host = options.node.partition("@")[2]
        self._server = BeamServer(
            f"beam_bpy_cli_{os.getpid()}@{_own_host(host)}", options.cookie, host="localhost", port=0, epmd="none"
        )

    def __enter__(self) -> BeamServer:
        if not self._server.start():
            raise OSError(self._server.last_error)
        return self._server

    def __exit__(self, *_exception: object) -> None:
        self._server.stop()


def _own_host(host: str) -> str:
    """Our host as the node on `host` expects it: short names talk to short names, long ones to long ones."""
    own = set(addresses_of(socket.gethostname())) | {LOOPBACK, "::1"}
    if own & set(addresses_of(host)):
        return host
    return socket.getfqdn() if "." in host else socket.gethostname()


def _json(value: Any) -> str:
    return json.dumps(_with_text_keys(value), ensure_ascii=False, default=show)


def _with_text_keys(value: Any) -> Any:
    """JSON's objects have no keys but strings."""
    match value:
        case dict() | PairsMap():
            items = value.items()
            return {str(key) if isinstance(key, str) else show(key): _with_text_keys(item) for key, item in items}
        case list() | tuple():
            return [_with_text_keys(item) for item in value]
    return value


def _complain(sentence: str) -> int:
    print(f"beam-bpy: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
