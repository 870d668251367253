"""What docs/handlers.md, megabytes.md and operating.md show: run in real Blenders, which a real Elixir calls."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE, PROGRAM, Environment, script_command, seen
from erlang import COOKIE

DOCS = Path(__file__).resolve().parents[2] / "docs"
FINISHED = "the script came to its end"


def blocks(page: str, language: str) -> list[str]:
    """The examples of a page in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def elixir(script: str, folder: Path, environment: Environment) -> str:
    """What an Elixir script prints, on a node of its own; it has to come to its end."""
    found = shutil.which("elixir")
    assert found, "elixir is not installed: 'apt-get install elixir' brings it"
    path = folder / "example.exs"
    path.write_text(f'{script}\nIO.puts("{FINISHED}")\n', encoding="utf-8")
    name = f"docs_{os.getpid()}@127.0.0.1"
    command = [found, "--erl", "-start_epmd false", "--name", name, "--cookie", COOKIE, str(path)]
    # Those who call Blender see this system's files.
    own = {**environment, "HOME": str(folder)}
    done = subprocess.run(
        command, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{FINISHED}\n"), done.stdout
    return done.stdout.removesuffix(f"{FINISHED}\n")


@pytest.mark.parametrize(
    ("page", "script", "examples"), [("handlers.md", "docs_handlers.py", 5), ("megabytes.md", "docs_megabytes.py", 6)]
)
def test_the_pages_about_handlers(
    page: str, script: str, examples: int, folder: Path, environment: Environment
) -> None:
    copied = Path(shutil.copy(DOCS / page, folder))
    command = script_command(folder / "tests" / "inside" / script, seen(copied))
    log = folder / "blender.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={**environment, "BPY_BEAM_NODE": "beam_bpy"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while "ready\n" not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "ready\n" in log.read_text(), log.read_text()
        shown = blocks(page, "elixir")
        assert len(shown) == examples
        elixir("\n".join(shown), folder, environment)
        # It ends `serve_forever`; then the script goes on.
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == 0, log.read_text()
    assert "done\n" in log.read_text()


@pytest.fixture
def epmd(environment: Environment) -> Iterator[None]:
    """A real epmd, as an operator's machine has one."""
    port = environment["ERL_EPMD_PORT"]
    found = shutil.which("epmd")
    assert found, "epmd is not installed: 'apt-get install erlang' brings it"
    process = subprocess.Popen([found, "-port", port, "-address", "127.0.0.1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.05)
    yield
    process.terminate()
    process.wait(10)


HANDLERS = """
import os


def register(server):
    server.expose(os.getpid, name="pid")
    server.expose(lambda: os.kill(os.getpid(), 9), name="crash")
    server.expose(lambda: __import__("bpy").app.background, name="without_window")
"""

# One that ends by itself is replaced under its own name; all of them end with the supervisor.
AND_THEN = """
pid = fn node -> :erpc.call(node, Farm, :pid, []) end
pids = Enum.map(nodes, pid)
[first | others] = nodes
{:erpc, :noconnection} = try do :erpc.call(first, Farm, :crash, []) rescue error in ErlangError -> error.original end
Process.sleep(100)
^nodes = Farm.nodes()
true = pid.(first) != hd(pids)
true = Enum.map(others, pid) == tl(pids)
IO.puts(Enum.join([pid.(first) | tl(pids)], " "))
"""


def test_the_farm(folder: Path, environment: Environment, own_command: Callable[..., list[str]], epmd: None) -> None:
    farm, use = blocks("operating.md", "elixir")
    handlers = folder / "farm_handlers.py"
    handlers.write_text(HANDLERS)
    command = own_command("serve", "--handlers", seen(handlers))
    if not PROGRAM:
        # The bpy module installs the extension each time: two that begin at once need settings of their own.
        apart = 'BLENDER_USER_RESOURCES="$BLENDER_USER_RESOURCES/$$" exec "$@"'
        command = ["sh", "-c", apart, "sh", *command]
    blender = ", ".join(f"~S({word})" for word in command)
    for shown, run in (
        ('"blender", "--background", "--command", "beam_bpy", "serve", "--handlers", "farm_handlers.py"', blender),
        ("1..40", "1..2"),
    ):
        assert use.count(shown) == 1
        use = use.replace(shown, run)
    own = {name: value for name, value in environment.items() if name != "BPY_BEAM_NODE"}
    printed = elixir(f"{farm}\n{use}\n{AND_THEN}", folder, own)
    pids = [int(word) for word in printed.splitlines()[-1].split()]
    assert len(pids) == 2
    # The Elixir program has ended, and with it, without a word from it, its Blenders.
    deadline = time.monotonic() + 60
    while any(map(_lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_lives, pids))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
