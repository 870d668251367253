"""A real Erlang node that evaluates an expression: used by the tests, and by the scripts inside Blender."""

import base64
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

COOKIE = "blender_tests_cookie"
TIMEOUT = 120

Reply = Any

_counter = itertools.count(1)

_EVALUATE = """
    Answer = try {{ok, begin {code} end}} catch Class:Reason:_ -> {{Class, Reason}} end,
    io:format("=> ~s~n", [base64:encode(term_to_binary(Answer))]),
    halt(0).
"""


class ErlError(Exception):
    """The expression raised; `kind` is error, exit or throw."""

    def __init__(self, kind: str, reason: Any) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


def program(name: str) -> str:
    """The path of a program of Erlang or Elixir."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: 'apt-get install erlang elixir' brings it"
    return found


def command(code: str, *flags: str) -> list[str]:
    """The command that evaluates an expression in a node of its own."""
    name = f"blender_erl_{os.getpid()}_{next(_counter)}@127.0.0.1"
    start = [program("erl"), "-noshell", "-start_epmd", "false", "-name", name, "-setcookie", COOKIE]
    listen = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
    return [*start, *listen, *flags, "-eval", _EVALUATE.format(code=code)]


def value(output: str) -> Reply:
    """The expression's value, from what the node printed."""
    # Inside Blender the codec comes with the extension, after this module was imported.
    from vendor_term_codec import decode

    line = next((line for line in output.splitlines() if line.startswith("=> ")), None)
    assert line is not None, output
    kind, result = decode(base64.b64decode(line.removeprefix("=> ")))
    if kind != "ok":
        raise ErlError(kind, result)
    return result


def erl(
    code: str,
    environment: dict[str, str] | None = None,
    *flags: str,
    meanwhile: Callable[["subprocess.Popen[str]"], None] = lambda process: None,
) -> Reply:
    """The value of an Erlang expression; `meanwhile` is what this thread does until the node has ended.

    Raises:
        ErlError: it raised.
    """
    process = subprocess.Popen(
        command(code, *flags),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        meanwhile(process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    output, _ = process.communicate(timeout=TIMEOUT)
    return value(output)
