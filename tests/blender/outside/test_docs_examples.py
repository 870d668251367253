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
        assert len(shown) == 8
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
    server.expose(lambda frame: f"{frame:04}.png", name="render_frame")
    server.expose(os.getpid, name="pid")
    server.expose(lambda: os.kill(os.getpid(), 9), name="crash")
"""

# Every frame has been rendered. One that crashes is replaced under its own name. All end with the program.
AND_THEN = """
^files = Enum.map(1..80, &String.pad_leading("#{&1}.png", 8, "0"))

ready = fn ready, left ->
  workers = BeamBpy.Pool.info(Farm.Blender).workers

  if left > 0 and Enum.any?(workers, &(&1.state != :idle)) do
    Process.sleep(100)
    ready.(ready, left - 1)
  else
    Map.new(workers, &{&1.node, BeamBpy.call!(&1.node, :pid)})
  end
end

before = ready.(ready, 600)
{:error, %{kind: :crashed}} = BeamBpy.call(Farm.Blender, :crash)
later = ready.(ready, 600)
true = Map.keys(before) == Map.keys(later)
1 = Enum.count(before, fn {node, pid} -> later[node] != pid end)
IO.puts(later |> Map.values() |> Enum.join(" "))
"""


def test_many_blenders(
    folder: Path, environment: Environment, own_command: Callable[..., list[str]], epmd: None
) -> None:
    pool, use = elixir_blocks("operating.md")
    handlers = folder / "farm_handlers.py"
    handlers.write_text(HANDLERS)
    command = own_command("serve")
    if not PROGRAM:
        # The bpy module installs the extension each time: two that begin at once need settings of their own.
        apart = 'BLENDER_USER_RESOURCES="$BLENDER_USER_RESOURCES/$$" exec "$@"'
        command = ["sh", "-c", apart, "sh", *command]
    blender = ", ".join(f"~S({word})" for word in command)
    for shown, run in (
        (":blender,", f"[{blender}],"),
        ("farm_handlers.py", seen(handlers)),
        ("min: 4, max: 40", "min: 2, max: 2"),
    ):
        assert pool.count(shown) == 1
        pool = pool.replace(shown, run)
    library = f"Mix.install([{{:beam_bpy, path: ~S({REPOSITORY / 'elixir'})}}])"
    own = {name: value for name, value in environment.items() if name != "BPY_BEAM_NODE"}
    printed = elixir(f"{library}\n{pool}\n{use}\n{AND_THEN}", folder, own)
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
