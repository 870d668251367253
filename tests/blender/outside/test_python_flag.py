"""`blender --command beam_bpy serve --allow-python`: without the option no caller can run Python."""

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blender_process import Environment
from erlang import COOKIE, erl

Command = Callable[..., list[str]]

TIMEOUT = 120


@contextlib.contextmanager
def served(command: list[str], environment: Environment, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A Blender that serves until the block ends: its node, and the lines that it has written until it was ready."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.endswith(" is ready\n"):
                break
        assert lines
        assert lines[-1].endswith(" is ready\n"), "".join(lines)
        yield lines[-1].partition(":")[0], lines[:-1]
        process.stdin.close()
        process.stdout.read()
        code = process.wait(60)
        watchdog.cancel()
    assert code == 0


def run(node: str, code: str, environment: Environment) -> Any:
    """The answer, or the reason of the failure."""
    call = f"erpc:call('{node}', 'Elixir.Blender', run_python, [<<\"{code}\">>], 60000)"
    return erl(f"try {call} catch error:{{exception, Why, _}} -> Why end", environment)


def warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if "Python is allowed" in line]


@pytest.mark.parametrize(
    ("options", "variable"),
    [(["--allow-python"], None), (["--allow-python=yes"], "no"), ([], "yes")],
    ids=["option", "the option has precedence", "variable"],
)
def test_it_is_allowed(
    options: list[str], variable: str | None, own_command: Command, environment: Environment, folder: Path
) -> None:
    own = {} if variable is None else {"BPY_BEAM_ALLOW_PYTHON": variable}
    command = own_command("serve", "--until-stdin-closes", *options)
    with served(command, {**environment, **own}, folder) as (node, lines):
        assert len(warnings(lines)) == 1, lines
        code = "print(len(bpy.data.objects)); bpy.context.scene.name"
        assert run(node, code, environment) == {"result": "Scene", "output": "3\n"}
        word, details = run(node, "raise SystemExit(5)", environment)
        assert (word, details["type"], details["message"]) == ("python_error", "SystemExit", "5")
        assert COOKIE not in repr(details)
        assert run(node, "1 + 1", environment)["result"] == 2


@pytest.mark.parametrize(
    ("options", "variable"),
    [([], None), (["--allow-python=no"], "yes"), ([], "no"), (["--allow", "*"], None)],
    ids=["nothing", "the option has precedence", "variable", "allowed nodes"],
)
def test_it_is_not_allowed(
    options: list[str], variable: str | None, own_command: Command, environment: Environment, folder: Path
) -> None:
    own = {} if variable is None else {"BPY_BEAM_ALLOW_PYTHON": variable}
    command = own_command("serve", "--until-stdin-closes", *options)
    with served(command, {**environment, **own}, folder) as (node, lines):
        assert warnings(lines) == []
        word, sentence = run(node, "bpy.context.scene.name", environment)
        assert word == "not_allowed"
        assert "--allow-python" in sentence


def test_the_help_names_the_consequences(own_command: Command, environment: Environment, folder: Path) -> None:
    result = subprocess.run(
        own_command("serve", "--help"), env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    text = " ".join(result.stdout.split())
    assert "--allow-python" in text
    for words in ("Every node that knows the cookie", "read and delete files", "start programs", "Use it only if"):
        assert words in text
