"""`beam-bpy ping`, `call` and `nodes`: ask other nodes, and an epmd."""

import argparse
import contextlib
import json
import math
import os
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from beam_bpy.beam_server import BeamServer
from beam_bpy.cli.output import SUCCESS, USAGE, complain, say
from beam_bpy.cli.term_text import TermError, parse
from beam_bpy.cookies import cookie_in
from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.epmd.client import port as epmd_port
from beam_bpy.erlang_text import show
from beam_bpy.errors import NodeDownError
from beam_bpy.protocol import epmd as epmd_protocol
from beam_bpy.settings import LOOPBACK
from beam_bpy.transport.resolver import addresses_of
from vendor_term_codec import DecodeError, PairsMap

_CALL_HELP = """\
Call a function on a node, as erpc:call does, and print its value in Erlang syntax.

Arguments are terms, in the syntax of Erlang or of Elixir. The module decides what is different in the two languages:

                      Elixir module (Enum)     Erlang module (lists)
  "text"              a binary                 a list of characters
  'text'              a list of characters     an atom
"""

_CALL_EXAMPLES = """\
examples:
  beam-bpy call app@127.0.0.1 lists sum '[1, 2, 3]'
  beam-bpy call app@127.0.0.1 String upcase '"hello"'
  beam-bpy call app@127.0.0.1 string uppercase '<<"hello">>'
  beam-bpy call app@127.0.0.1 Keyword get '[size: 1_000]' :size
  beam-bpy call beam_bpy@127.0.0.1 Blender create_cube '"Crate"' '%{location: [1.0, 2.0, 3.0]}'
  beam-bpy call --json app@127.0.0.1 Enum sum '[1, 2, 3]'
"""

_PING_EXAMPLES = """\
examples:
  beam-bpy ping app@127.0.0.1
  beam-bpy ping app@10.0.0.5 --cookie-file ~/.erlang.cookie --timeout 1
"""

_NODES_EXAMPLES = """\
examples:
  beam-bpy nodes
  beam-bpy nodes --host 10.0.0.5
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
        description="Print pong, and exit with 0, when a node answers. Print pang, and exit with 1, when it does not;\n"
        "standard error says why.",
        epilog=f"{_PING_EXAMPLES}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ping.set_defaults(run=_ping)
    add_node_options(ping)


def _add_call(commands: Any, epilog: str) -> None:
    call = commands.add_parser(
        "call",
        help="call a function on a node",
        description=_CALL_HELP,
        epilog=f"{_CALL_EXAMPLES}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    call.set_defaults(run=_call)
    add_node_options(call)
    call.add_argument("module", metavar="MODULE", help="an Erlang module; with a capital letter, an Elixir module")
    call.add_argument("function", metavar="FUNCTION")
    call.add_argument("args", metavar="ARG", nargs="*", help="a term")
    call.add_argument("--json", action="store_true", help="the arguments and the value are JSON instead")


def _add_nodes(commands: Any) -> None:
    nodes = commands.add_parser(
        "nodes",
        help="list the nodes that epmd knows",
        description="List the nodes that the epmd of a host knows, each with its port.",
        epilog=_NODES_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    nodes.set_defaults(run=_nodes)
    nodes.add_argument("--host", default=LOOPBACK, help="the host of the epmd (default: this machine)")


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add the argument and the options of every command that asks one node."""
    parser.add_argument("node", metavar="NODE", help="name@host")
    cookie = parser.add_mutually_exclusive_group()
    cookie.add_argument("--cookie", help="the secret of the cluster; BPY_BEAM_COOKIE keeps it out of 'ps'")
    cookie.add_argument("--cookie-file", metavar="FILE", type=Path, help="a file with it, such as ~/.erlang.cookie")
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="SECONDS", help="how long to wait (default: 5); inf: no limit"
    )


def seconds(text: str) -> float:
    """The type of an option: a number of seconds above 0, also `inf`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write a number of seconds above 0")
    return min(value, threading.TIMEOUT_MAX)


def _ping(options: argparse.Namespace) -> int:
    reason = _why_unreachable(options)
    say("pong" if reason is None else "pang")
    return SUCCESS if reason is None else complain(reason)


def _why_unreachable(options: argparse.Namespace) -> str | None:
    """Why a node does not answer, as a sentence; None if it does."""
    with Caller(options) as server:
        try:
            connect(server, options)
            answers = server.ping(options.node, options.timeout)
        except OSError as error:  # NodeDownError and TimeoutError are OSErrors.
            return str(error)
    return None if answers else f"{options.node} is connected, but does not answer"


def connect(server: BeamServer, options: argparse.Namespace) -> None:
    """Connect to the node of the command line.

    Raises:
        NodeDownError: the node cannot be reached; the message says why.
        TimeoutError: nothing answers in time.
    """
    try:
        server.connect(options.node, options.timeout)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {options.node} did not finish the handshake of a node. {_NO_HANDSHAKE}") from None


_NO_HANDSHAKE = (
    "A firewall may drop the connection; the port may belong to another program, or to a node with TLS; or the node "
    "may hang"
)


def _call(options: argparse.Namespace) -> int:
    is_elixir = options.module[:1].isupper()
    read, write = (json.loads, _json) if options.json else (partial(parse, elixir=is_elixir), show)
    with _integers_of_any_length():
        try:
            arguments = [read(text) for text in options.args]
        except (TermError, ValueError, RecursionError) as error:
            return complain(str(error), USAGE)
        with Caller(options) as server:
            try:
                value = server.call(options.node, options.module, options.function, arguments, options.timeout)
            except NodeDownError:
                raise
            except DecodeError as error:
                return complain(f"the value cannot be read: {error}")
            except (TypeError, ValueError) as error:  # An argument or a name that cannot be sent.
                return complain(str(error), USAGE)
        say(write(value))
    return SUCCESS


@contextlib.contextmanager
def _integers_of_any_length() -> Iterator[None]:
    """Python limits the decimal digits of an integer to 4300, which protects servers. Terms have no such limit."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


def _nodes(options: argparse.Namespace) -> int:
    try:
        answer = ask_and_wait(options.host, epmd_protocol.list_names())
    except (OSError, UnicodeError) as error:
        return complain(f"no epmd answers at {options.host}, port {epmd_port()}: {error}")
    names = epmd_protocol.take_names(answer)
    if not epmd_protocol.is_list_of_names(answer):
        return complain(
            f"the program at {options.host}, port {epmd_port()}, is not an epmd: it does not answer like one"
        )
    if names:
        say("\n".join(f"{name}\t{port}" for name, port in names))
    return SUCCESS


class Caller:
    """A node that exists for one command."""

    def __init__(self, options: argparse.Namespace) -> None:
        host = options.node.partition("@")[2]
        cookie = cookie_in(options.cookie_file.expanduser()) if options.cookie_file is not None else options.cookie
        self._server = BeamServer(
            f"beam_bpy_cli_{os.getpid()}@{_own_host(host)}", cookie, host="localhost", port=0, epmd="none"
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
    return json.dumps(_for_json(value), ensure_ascii=False, default=show)


def _for_json(value: Any) -> Any:
    """The same value with text keys, because JSON has no other keys. What JSON has no type for is left to `show`."""
    match value:
        case dict() | PairsMap():
            return dict(zip(_text_keys(list(value.keys())), map(_for_json, value.values()), strict=True))
        case list() | tuple():
            return [_for_json(item) for item in value]
    return value


def _text_keys(keys: list[Any]) -> list[str]:
    """Texts and atoms as they are, other terms in Erlang syntax; all in Erlang syntax if two would be the same."""
    texts = [str(key) if isinstance(key, str) else show(key) for key in keys]
    return texts if len(set(texts)) == len(texts) else [show(key) for key in keys]
