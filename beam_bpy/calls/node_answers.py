"""Answers of a node about itself, on the network thread: its health, and the questions that tools of the BEAM ask.

    health                                        []: see `health`
    erlang:node/0, nodes/0, nodes/1, is_alive/0   as on the BEAM
    erlang:system_info/1                          otp_release, system_version and machine
    erlang:whereis/1, 'Elixir.Process':whereis/1  the pid of a registered name
    erlang:memory/0, memory/1                     the memory of the operating system's process, as `total`
    'Elixir.Node':self/0, list/0, list/1          as on the BEAM
    code:ensure_loaded/1, which/1, is_loaded/1    there is no module of the BEAM here
    shell:start, 'Elixir.IEx':start               there is no shell here: `refusal_of_shell`

Everything else that a tool asks is `undef`, as for every function that does not exist.
"""

import functools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from beam_bpy.calls.statistics import Statistics
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.distribution.node import Node
from beam_bpy.version import __version__
from vendor_term_codec import Atom, Pid

OTP_RELEASE = "25"
"""The answer to `erlang:system_info(otp_release)`: this node speaks the distribution protocol of that release."""

_SHELLS = ("shell", "Elixir.IEx")

_UNDEFINED = Atom("undefined")

_STATM = "/proc/self/statm"


class RunningHandler(NamedTuple):
    """The handler that runs.

    Attributes:
        handler: its name.
        node: the node that has called it; None if unknown.
        seconds: how long it has been running.
    """

    handler: str
    node: str | None
    seconds: float


class Health(NamedTuple):
    """The state of a node; see `BeamServer.health`.

    Attributes:
        ready: True while the node answers calls.
        uptime: seconds since the start of the node.
        running: the handler that runs on the thread for handlers, or None.
        queued: the number of calls that wait for that thread, or that it has not finished.
        waiting: the number of them that wait because the host is busy, such as Blender with a render.
        calls: the number of calls so far, failed ones included.
        failures: the number of calls that failed.
        replaced: the number of casts that a newer cast has replaced; see the handler option `latest`.
        peers: the number of connected nodes.
        memory: the memory of this process in bytes; None if the system does not tell.
        version: the version of this package.
    """

    ready: bool
    uptime: float
    running: RunningHandler | None
    queued: int
    waiting: int
    calls: int
    failures: int
    replaced: int
    peers: int
    memory: int | None
    version: str

    def term(self) -> dict[Atom, Any]:
        """The same as a map with atoms as keys."""
        running = _with_atoms(self.running) if self.running is not None else None
        return {**_with_atoms(self), Atom("running"): running}


def _with_atoms(fields: NamedTuple) -> dict[Atom, Any]:
    return {Atom(name): value for name, value in fields._asdict().items()}


def health(node: Node, queue: CallQueue, statistics: Statistics) -> Health:
    """The health of a node that runs; from any thread, also while a handler hangs."""
    return Health(
        ready=True,
        uptime=round(time.monotonic() - node.since, 3),
        running=_running(queue),
        queued=len(queue),
        waiting=len(queue.waiting),
        calls=statistics.inline.calls + statistics.queued.calls,
        failures=statistics.inline.failures + statistics.queued.failures,
        replaced=statistics.replaced,
        peers=len(node.peers),
        memory=resident_memory(),
        version=__version__,
    )


def _running(queue: CallQueue) -> RunningHandler | None:
    call, since = queue.running, queue.running_since
    if call is None:
        return None
    caller = call.caller
    return RunningHandler(
        call.name, caller.peer.name if caller is not None else None, round(time.monotonic() - since, 3)
    )


def resident_memory() -> int | None:
    """The memory of this process in bytes; where the system only knows the largest amount so far, that."""
    try:
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * _page_size()
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _page_size() -> int:
    import resource

    return resource.getpagesize()


# -- questions of tools


def answer(node: Node, module: str, function: str, arguments: list[Any]) -> Any:
    """The answer to a question of a tool.

    Raises:
        KeyError: this is no such question.
        ValueError: the question is known, but not its argument.
    """
    return _QUESTIONS[module, function, len(arguments)](node, *arguments)


def _nodes(node: Node, kinds: Any = Atom("connected")) -> list[Atom]:  # noqa: B008 - an Atom cannot be changed
    every = kinds if isinstance(kinds, list) else [kinds]
    if not set(map(str, every)) <= {"connected", "visible", "hidden", "this", "known"}:
        raise ValueError("nodes takes connected, visible, hidden, this, known or a list of them")
    itself = [Atom(node.name)] if {"this", "known"} & set(every) else []
    others = [Atom(peer.name) for peer in node.peers] if {"connected", "visible", "known"} & set(every) else []
    return [*itself, *others]


def _system_info(node: Node, item: Any) -> list[int]:
    texts = {
        "otp_release": OTP_RELEASE,
        "system_version": f"beam_bpy {__version__} [Python {sys.version.split()[0]}]\n",
        "machine": "PYTHON",
    }
    if item not in texts:
        raise ValueError(f"this node knows the items {', '.join(texts)} of system_info")
    return [*map(ord, texts[item])]


def _whereis(node: Node, name: Any, nobody: Atom | None = _UNDEFINED) -> Pid | Atom | None:
    if not isinstance(name, Atom):
        raise ValueError("a registered name is an atom")
    return node.whereis(name) or nobody


def _memory(_node: Node, kind: Any = None) -> Any:
    total = resident_memory() or 0
    if kind is None:
        return [(Atom("total"), total)]
    if kind != "total":
        raise ValueError("this node knows the total memory only")
    return total


_QUESTIONS: dict[tuple[str, str, int], Callable[..., Any]] = {
    ("erlang", "node", 0): lambda node: Atom(node.name),
    ("erlang", "is_alive", 0): lambda _node: True,
    ("erlang", "nodes", 0): _nodes,
    ("erlang", "nodes", 1): _nodes,
    ("erlang", "system_info", 1): _system_info,
    ("erlang", "whereis", 1): _whereis,
    ("erlang", "memory", 0): _memory,
    ("erlang", "memory", 1): _memory,
    ("Elixir.Node", "self", 0): lambda node: Atom(node.name),
    ("Elixir.Node", "list", 0): _nodes,
    ("Elixir.Node", "list", 1): _nodes,
    ("Elixir.Process", "whereis", 1): functools.partial(_whereis, nobody=None),
    ("code", "ensure_loaded", 1): lambda _node, _module: (Atom("error"), Atom("nofile")),
    ("code", "is_loaded", 1): lambda _node, _module: False,
    ("code", "which", 1): lambda _node, _module: Atom("non_existing"),
}

QUESTIONS = frozenset(function for _module, function, _arity in _QUESTIONS)
"""The names of the functions that `answer` may know."""


def refusal_of_shell(node: Node, process: Pid, module: str) -> Any:
    """For `erl -remsh` and `iex --remsh`: a message to `user`, which prints it on the terminal; None for other modules.

    The shell that the user has started ends without a reason that a person understands. Source: ERTS, "The Erlang I/O
    Protocol".
    """
    if module not in _SHELLS:
        return None
    text = (
        f"{node.name} is a node of Python (beam_bpy). It has no shell of Erlang or Elixir.\n"
        f"Call its handlers from a shell of your own: erpc:call('{node.name}', beam_bpy, describe_handlers, []).\n"
    )
    return (Atom("io_request"), process, Atom("beam_bpy"), (Atom("put_chars"), Atom("unicode"), text))
