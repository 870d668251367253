"""`beam-bpy health`: the state of a node, for a person, a program and a supervisor."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from beam_bpy.cli.call import Caller, add_node_options, connect, seconds
from beam_bpy.cli.output import SUCCESS, complain, say
from beam_bpy.errors import ErlangError
from vendor_term_codec import Atom

STUCK = 3
"""The exit code for a node that answers, but whose handlers do not come to an end."""

_STUCK_TIME = 60.0

_DESCRIPTION = f"""\
Ask a node of beam-bpy how it is. It answers also while a handler hangs.

Exit codes: 0 the node is ready; 1 it cannot be reached, or is no node of beam-bpy; 2 wrong arguments;
{STUCK} a handler has been running for longer than --stuck-after, so that other calls wait."""

_EXAMPLES = """\
examples:
  beam-bpy health render1@127.0.0.1
  beam-bpy health render1@127.0.0.1 --json --timeout 1
  beam-bpy health render1@127.0.0.1 --stuck-after 3600     (a node whose renders take up to an hour)
"""


def add_command(commands: Any, epilog: str) -> None:
    """Add the command to the parser of `main`."""
    health = commands.add_parser(
        "health",
        help="show the state of a node",
        description=_DESCRIPTION,
        epilog=f"{_EXAMPLES}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    health.set_defaults(run=_health)
    add_node_options(health)
    health.add_argument("--json", action="store_true", help="print a JSON object")
    health.add_argument(
        "--stuck-after",
        type=seconds,
        default=_STUCK_TIME,
        metavar="SECONDS",
        help=f"how long a handler may run (default: {_STUCK_TIME:g})",
    )


def _health(options: argparse.Namespace) -> int:
    with Caller(options) as server:
        connect(server, options)
        try:
            answer = server.call(options.node, Atom("beam_bpy"), "health", [], options.timeout)
        except ErlangError:
            answer = None
    if not isinstance(answer, dict) or "ready" not in answer:
        return complain(f"{options.node} is no node of beam-bpy, or an older one: it does not know its health")
    answer = _with_text_keys(answer)
    say(json.dumps(answer) if options.json else "\n".join(_lines(answer)))
    running = answer["running"]
    if running is None or running["seconds"] <= options.stuck_after:
        return SUCCESS
    return complain(f"{options.node} is stuck: {_running(running)}", STUCK)


def _with_text_keys(answer: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): _with_text_keys(value) if isinstance(value, dict) else value for key, value in answer.items()}


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    running, memory = answer["running"], answer["memory"]
    shown = {
        **answer,
        "ready": "yes" if answer["ready"] else "no",
        "uptime": f"{answer['uptime']:.0f} seconds",
        "running": "nothing" if running is None else _running(running),
        "memory": "unknown" if memory is None else f"{memory / 1e6:.0f} MB",
        "version": answer["version"] or "unknown",
    }
    for name, value in shown.items():
        yield f"{name:<9} {value}"


def _running(running: dict[str, Any]) -> str:
    caller = running["node"] or "an unknown node"
    return f"the handler {running['handler']} has been running for {running['seconds']:.1f} seconds, called by {caller}"
