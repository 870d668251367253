"""Elixir code that calls this node. The panel's button copies it to the clipboard."""

import inspect
import re
from collections.abc import Iterable

from beam_bpy.calls.handlers import Handler

_PLAIN_ATOM = re.compile(r"[a-z_][A-Za-z0-9_]*[?!]?\Z")
_PLAIN_ALIAS = re.compile(r"[A-Z][A-Za-z0-9_]*(\.[A-Z][A-Za-z0-9_]*)*\Z")

_REGISTER_ONE = """\
# No handler is registered yet. In Blender's Python console:
#   from beam_bpy import get_beam_server; get_beam_server().expose(lambda: "pong", name="ping")
"""


def elixir(node_name: str, handlers: Iterable[Handler]) -> str:
    """Return Elixir code that calls one of the handlers. It does not contain the cookie.

    Args:
        node_name: the name of this node, `name@host`.
        handlers: the registered handlers. The code calls the one with the fewest parameters.
    """
    ordered = sorted(handlers, key=lambda handler: len(_parameters(handler)))
    handler = ordered[0] if ordered else None
    host = node_name.partition("@")[2]
    # A host without a dot means a short name. Nodes with long names cannot connect to nodes with short names.
    start = f"iex --name me@{host}" if "." in host or ":" in host else f"iex --sname me@{host}"
    return (
        f"# {start}\n"
        f'Node.set_cookie({_quoted(node_name)}, :"<your cookie>")\n'
        f"{_call(node_name, handler) if handler else _REGISTER_ONE + _erpc(node_name, 'Blender', ':ping', '')}\n"
    )


def _call(node_name: str, handler: Handler) -> str:
    parameters = ", ".join(_parameters(handler))
    hint = f"# Put values for {parameters}.\n" if parameters else ""
    return hint + _erpc(node_name, _module(handler.module or "Blender"), _atom(handler.name), parameters)


def _erpc(node_name: str, module: str, function: str, arguments: str) -> str:
    return f":erpc.call({_quoted(node_name)}, {module}, {function}, [{arguments}])"


def _parameters(handler: Handler) -> list[str]:
    """The names of the parameters without a default value."""
    if not handler.spread:
        return []
    try:
        parameters = inspect.signature(handler.function).parameters.values()
    except (TypeError, ValueError):  # Some functions written in C have no signature.
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in positional and one.default is inspect.Parameter.empty]


def _module(name: str) -> str:
    return name if _PLAIN_ALIAS.match(name) else _atom(name)


def _atom(name: str) -> str:
    return f":{name}" if _PLAIN_ATOM.match(name) else _quoted(name)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{")
    return f':"{escaped}"'
