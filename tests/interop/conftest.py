"""The rig of the interop tests: an epmd of their own, one server in this process, and nodes of the real BEAM."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import (
    BEAM_ROOT,
    COOKIE,
    REPOSITORY,
    Epmd,
    Erl,
    Gate,
    beam_program,
    register,
    seen,
    unique,
)
from ports import free_port

from beam_bpy import BeamServer

SOURCES = Path(__file__).parent / "erl"


@pytest.fixture(scope="session")
def beam_folder() -> Iterator[Path]:
    """A folder that both this program and the BEAM's programs see; `seen` says what it is called there."""
    folder = Path(tempfile.mkdtemp(prefix="beam-bpy-interop-", dir=BEAM_ROOT / "tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def epmd_port() -> Iterator[int]:
    """The port of a real epmd that only these tests use; every node that they start finds it in ERL_EPMD_PORT."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERL_EPMD_PORT", str(port))
        for variable in ("BPY_BEAM_NODE", "BPY_BEAM_COOKIE", "BPY_BEAM_HOST", "BPY_BEAM_PORT"):
            patch.delenv(variable, raising=False)
        epmd = Epmd(port)
        yield port
        epmd.stop()


@pytest.fixture(scope="session")
def ebin(beam_folder: Path) -> Path:
    """The compiled modules of tests/interop/erl."""
    target = shutil.copytree(SOURCES, beam_folder / "ebin")
    sources = [seen(source) for source in sorted(target.glob("*.erl"))]
    subprocess.run([*beam_program("erlc"), "-Werror", "-o", seen(target), *sources], check=True, timeout=60)
    return target


@pytest.fixture(scope="session")
def scripts(beam_folder: Path) -> str:
    """The folder with the project's ExUnit scripts, where the BEAM sees it."""
    folder = beam_folder / "elixir"
    shutil.copytree(REPOSITORY / "tests" / "elixir", folder / "tests" / "elixir")
    for script in REPOSITORY.glob("test_*.exs"):
        shutil.copy(script, folder)
    return seen(folder)


@pytest.fixture(scope="session")
def elixir_ebin() -> str:
    """Where the modules of Elixir are, for an `erl` that is to have them."""
    command = [*beam_program("elixir"), "-e", "IO.write(:code.lib_dir(:elixir))"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout + "/ebin"


@pytest.fixture(scope="session")
def child_environment(beam_folder: Path) -> Callable[..., dict[str, str]]:
    """Makes a child process's environment: this one, a home of its own for the cookie file, and what is given."""
    home = beam_folder / "home"
    home.mkdir()
    own = {
        "HOME": seen(home),
        "ERL_CRASH_DUMP": seen(home / "erl_crash.dump"),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
    }

    def make(**more: str) -> dict[str, str]:
        return {**os.environ, **own, **more}

    return make


@pytest.fixture
def no_epmd(epmd_port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of epmd on which none answers, for everything that this test starts."""
    port = free_port()
    monkeypatch.setenv("ERL_EPMD_PORT", str(port))
    return port


@pytest.fixture
def start_erl(
    epmd_port: int, ebin: Path, child_environment: Callable[..., dict[str, str]]
) -> Iterator[Callable[..., Erl]]:
    """Starts nodes that end with the test."""
    started: list[Erl] = []

    def start(*flags: str, **options: Any) -> Erl:
        started.append(Erl(ebin, child_environment(), *flags, **options))
        return started[-1]

    yield start
    for erl in started:
        erl.stop()


@pytest.fixture
def start_server(epmd_port: int) -> Iterator[Callable[..., BeamServer]]:
    """Makes servers, with the tests' handlers, that stop with the test; the test starts them."""
    made: list[BeamServer] = []

    def make(**options: Any) -> BeamServer:
        server = BeamServer(**{"node_name": unique("interop"), "cookie": COOKIE, **options})
        register(server)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def _shared_server(epmd_port: int) -> Iterator[tuple[BeamServer, list[Any]]]:
    server = BeamServer(node_name=unique("interop"), cookie=COOKIE)
    notes = register(server)
    assert server.start(), server.last_error
    yield server, notes
    server.stop()


@pytest.fixture
def server(_shared_server: tuple[BeamServer, list[Any]]) -> BeamServer:
    """The running server that most tests call."""
    return _shared_server[0]


@pytest.fixture
def notes(_shared_server: tuple[BeamServer, list[Any]]) -> list[Any]:
    """The arguments of each call of the `note` handler."""
    _shared_server[1].clear()
    return _shared_server[1]


@pytest.fixture(scope="session")
def _shared_erl(
    _shared_server: tuple[BeamServer, list[Any]], ebin: Path, child_environment: Callable[..., dict[str, str]]
) -> Iterator[Erl]:
    erl = Erl(ebin, child_environment()).call(_shared_server[0])
    yield erl
    erl.stop()


@pytest.fixture
def erl(_shared_erl: Erl) -> Erl:
    """A node of the BEAM; N is the server's node and S is {Name, N}."""
    return _shared_erl


@pytest.fixture(scope="session")
def reference(epmd_port: int, ebin: Path, child_environment: Callable[..., dict[str, str]]) -> Iterator[Erl]:
    """Another node of the BEAM, for what it answers where the server is to answer exactly as one."""
    erl = Erl(ebin, child_environment())
    yield erl
    erl.stop()


@pytest.fixture
def gate(server: BeamServer) -> Iterator[Gate]:
    """A handler `gate` that holds the server's worker thread."""
    gate = Gate()
    server.register_handler("gate", gate)
    yield gate
    gate.opened.set()
    server.unregister_handler("gate")
