"""The examples of docs/embedding.md run as they stand there, with the real uvicorn, gunicorn and pytest."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import COOKIE, REPOSITORY, Erl, eventually, nodes_of
from ports import free_port

from beam_bpy import BeamServer
from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.protocol import epmd

SECONDS = 30.0
EXAMPLES = dict(
    re.findall(
        r"^```python\n# (.*?)\n(.*?)^```$",
        (REPOSITORY / "docs" / "embedding.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)


Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def web_servers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with uvicorn and gunicorn."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    packages = ["gunicorn>=23", "starlette>=0.40", "uvicorn>=0.30"]
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True, timeout=600)
    return folder / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all examples."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def caller(start_server: Callable[..., BeamServer]) -> BeamServer:
    """The node that calls the examples."""
    server = start_server()
    assert server.start(), server.last_error
    return server


@pytest.fixture
def run(folder: Path, epmd_port: int, child_environment: Callable[..., dict[str, str]]) -> Iterator[Run]:
    """Run a program in the folder of the examples; it is killed when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def run(*command: object) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=child_environment(BPY_BEAM_COOKIE=COOKIE),
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def names() -> set[str]:
    """The names that epmd knows."""
    return {name for name, _port in epmd.take_names(ask_and_wait("127.0.0.1", epmd.list_names()))}


def answers(caller: BeamServer, node: str, function: str, args: list[Any]) -> Any:
    """The answer of a node that is about to start."""
    eventually(lambda: node in names(), f"{node} is registered", SECONDS)
    return caller.call(f"{node}@127.0.0.1", "m", function, args, timeout=SECONDS)


def test_each_section_has_its_example() -> None:
    assert list(EXAMPLES) == ["watch.py", "web.py", "gunicorn.conf.py", "test_with_node.py", "a cell", "pool.py"]


def test_an_async_program(run: Run, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    program = run(sys.executable, "watch.py", erl.node)

    output, _errors = program.communicate(timeout=SECONDS)
    assert program.returncode == 0, output
    assert output == f"reached {erl.node}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uvicorn(run: Run, web_servers: Path, caller: BeamServer, number: signal.Signals) -> None:
    port = free_port()
    program = run(web_servers / "python", "-m", "uvicorn", "web:app", "--port", port)
    assert answers(caller, "web", "greet", ["you"]) == "Hello you"
    address = f"http://127.0.0.1:{port}/nodes"
    assert json.loads(urllib.request.urlopen(address, timeout=SECONDS).read()) == [caller.node_name]
    gone: list[Any] = []
    caller.monitor("web@127.0.0.1", gone.append)
    program.send_signal(number)

    program.communicate(timeout=SECONDS)
    eventually(lambda: gone, "the caller is told")
    assert "web" not in names()


@pytest.mark.parametrize("killed", [False, True])
def test_gunicorn(run: Run, web_servers: Path, caller: BeamServer, killed: bool) -> None:
    command = [web_servers / "python", "-m", "gunicorn", "-w", 2, "--timeout", 2, "-b", f"127.0.0.1:{free_port()}"]
    program = run(*command, "web:app")
    workers = eventually(lambda: two_of("web_", names()), "both workers are registered", SECONDS)
    assert {caller.call(f"{name}@127.0.0.1", "m", "pid", []) for name in workers} == {
        int(name.removeprefix("web_")) for name in workers
    }
    program.send_signal(signal.SIGKILL if killed else signal.SIGTERM)

    eventually(lambda: nodes_of(caller) == (), "the caller is told", SECONDS)
    assert not workers & names()
    eventually(lambda: not any(map(exists, workers)), "the workers have ended", SECONDS)


def test_pytest(run: Run, folder: Path) -> None:
    program = run(sys.executable, "-m", "pytest", "-q", "-p", "no:pytest-blender", "test_with_node.py")

    output, _errors = program.communicate(timeout=SECONDS)
    assert program.returncode == 0, output
    assert "tests" not in names()


def test_a_notebook(run: Run, folder: Path, caller: BeamServer) -> None:
    """As cells of a session: the same cell twice, and the end of the session."""
    program = run(sys.executable, "-i", "-q", "a cell")
    assert answers(caller, "notebook", "len", [[1, 2, 3]]) == 3
    twice = (folder / "a cell").read_text() + "assert 'runs in this program' in server.last_error, server.last_error\n"
    program.stdin.write(f"exec({twice!r})\nprint('twice', server.running)\n")

    output, _errors = program.communicate(timeout=SECONDS)
    assert program.returncode == 0, output
    assert "twice False" in output
    assert "notebook" not in names()


def test_multiprocessing(run: Run, caller: BeamServer) -> None:
    program = run(sys.executable, "pool.py")
    pids = [answers(caller, name, "pid", []) for name in ("worker1", "worker2")]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)

    output, _errors = program.communicate(timeout=SECONDS)
    assert program.returncode == 0, output
    assert "Traceback" not in output
    assert not {"worker1", "worker2"} & names()


def two_of(prefix: str, names: set[str]) -> set[str] | None:
    """The names with a prefix, if there are two."""
    found = {name for name in names if name.startswith(prefix)}
    return found if len(found) == 2 else None


def exists(name: str) -> bool:
    """True if the process in the name of a worker exists."""
    try:
        os.kill(int(name.removeprefix("web_")), 0)
    except ProcessLookupError:
        return False
    return True
