"""`beam-bpy ping`, `call` and `nodes`: ask other nodes, and an epmd."""

import argparse
import json
import os
import socket
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.output import complain
from beam_bpy.cli.term_text import TermError, parse, show
from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.epmd.client import port as epmd_port
from beam_bpy.protocol import epmd as epmd_protocol
from beam_bpy.settings import LOOPBACK
from beam_bpy.transport.resolver import addresses_of
from vendor_term_codec import EncodeError, PairsMap

_CALL_HELP = """\
Call a function on a node, as erpc:call does, and print its value.

  beam-bpy call app@127.0.0.1 lists sum '[1, 2, 3]'
  beam-bpy call app@127.0.0.1 String upcase '<<"hello">>'
  beam-bpy call --json app@127.0.0.1 Enum sum '[1, 2, 3]'
"""


def add_commands(commands: Any, epilog: str) -> None:
    """Add the commands to the parser of `main`."""
    _add_ping(commands, epilog)
    _add_call(commands, epilog)
    _add_nodes(commands)


def _add_ping(commands: Any, epilog: str) -> None:
    ping = commands.add_parser(
        "ping",
        help="check if a node answers",
        description="Print pong, and exit with 0, when a node answers; print pang, and exit with 1, when it does not.",
        epilog=epilog,
    )
    ping.set_defaults(run=_ping)
    ping.add_argument("node", metavar="NODE", help="name@host")
    _add_cookie(ping)
    _add_timeout(ping)


def _add_call(commands: Any, epilog: str) -> None:
    call = commands.add_parser(
        "call",
        help="call a function on a node",
        description=_CALL_HELP,
        epilog=epilog,
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
    nodes.add_argument("--host", default=LOOPBACK, help="the host of the epmd (default: this machine)")


def _add_cookie(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cookie", help="the cluster's secret; BPY_BEAM_COOKIE keeps it out of 'ps'")


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="how long to wait (default: 5)")


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
        complain(str(error))
        return 2
    with _Caller(options) as server:
        try:
            value = server.call(options.node, options.module, options.function, arguments, options.timeout)
        except EncodeError as error:
            complain(str(error))
            return 2
        print(write(value))
    return 0


def _nodes(options: argparse.Namespace) -> int:
    try:
        answer = ask_and_wait(options.host, epmd_protocol.list_names())
    except OSError as error:
        return complain(f"no epmd answers at {options.host}, port {epmd_port()}: {error}")
    for name, port in epmd_protocol.take_names(answer):
        print(f"{name}\t{port}")
    return 0


class _Caller:
    """A node that exists for one command."""

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
    """The host for our name: nodes with short names connect only to short names, those with long names to long ones."""
    own = set(addresses_of(socket.gethostname())) | {LOOPBACK, "::1"}
    if own & set(addresses_of(host)):
        return host
    return socket.getfqdn() if "." in host else socket.gethostname()


def _json(value: Any) -> str:
    return json.dumps(_with_text_keys(value), ensure_ascii=False, default=show)


def _with_text_keys(value: Any) -> Any:
    """The same value with text keys, because JSON has no other keys."""
    match value:
        case dict() | PairsMap():
            items = value.items()
            return {str(key) if isinstance(key, str) else show(key): _with_text_keys(item) for key, item in items}
        case list() | tuple():
            return [_with_text_keys(item) for item in value]
    return value
