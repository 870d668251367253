"""The examples of docs/handlers.md and operating.md, which need Blenders of their own; a real Elixir calls these."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blender_process import PROGRAM, REPOSITORY, Environment, seen
from code_blocks import code_blocks
from erlang import COOKIE, program

DOCS = REPOSITORY / "docs"
TIMEOUT = 180
"""Seconds after which a program is ended."""

FINISHED = "the script came to its end"


def elixir_blocks(page: str) -> list[str]:
    """The Elixir examples of a page."""
    return code_blocks((DOCS / page).read_text(encoding="utf-8"), "elixir")


def elixir(script: str, folder: Path, environment: Environment) -> str:
    """Run an Elixir script on its own node. It must end with 0. Return its output."""
    path = folder / "example.exs"
    path.write_text(f'{script}\nIO.puts("{FINISHED}")\n', encoding="utf-8")
    name = f"docs_{os.getpid()}@127.0.0.1"
    command = [program("elixir"), "--erl", "-start_epmd false", "--name", name, "--cookie", COOKIE, str(path)]
    # Those who call Blender see this system's files.
    own = {**environment, "HOME": str(folder)}
    done = subprocess.run(
        command, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{FINISHED}\n"), done.stdout
    return done.stdout.removesuffix(f"{FINISHED}\n")


def test_the_page_about_handlers(script: Callable[..., list[str]], folder: Path, environment: Environment) -> None:
    copied = Path(shutil.copy(DOCS / "handlers.md", folder))
    command = script("docs_handlers.py", seen(copied))
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
        deadline = time.monotonic() + TIMEOUT
        while "ready\n" not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "ready\n" in log.read_text(), log.read_text()
        shown = elixir_blocks("handlers.md")
        assert len(shown) == 6
        elixir("\n".join(shown), folder, environment)
        # It ends `serve_forever`; then the script goes on.
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT)
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == 0, log.read_text()
    assert "done\n" in log.read_text()


@pytest.fixture
def epmd(environment: Environment) -> Iterator[None]:
    """A real epmd, as an operator's machine has one."""
    port = environment["ERL_EPMD_PORT"]
    process = subprocess.Popen([program("epmd"), "-port", port, "-address", "127.0.0.1"], stderr=subprocess.DEVNULL)
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
again = fn again, left ->
  try do
    ^nodes = Farm.nodes()
    true = pid.(first) != hd(pids)
  catch
    _, _ when left > 0 ->
      Process.sleep(100)
      again.(again, left - 1)
  end
end
again.(again, 100)
true = Enum.map(others, pid) == tl(pids)
IO.puts(Enum.join([pid.(first) | tl(pids)], " "))
"""


def test_the_farm(folder: Path, environment: Environment, own_command: Callable[..., list[str]], epmd: None) -> None:
    farm, use = elixir_blocks("operating.md")
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
