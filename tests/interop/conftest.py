"""The rig of the interop tests: an epmd of their own, one server in this process, and nodes of the real BEAM."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import COOKIE, REPOSITORY, Erl, Gate, eventually, free_port, program, register, unique

from beam_bpy import BeamServer

SOURCES = Path(__file__).parent / "erl"


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def epmd_port() -> Iterator[int]:
    """The port of a real epmd that only these tests use; every node that they start finds it in ERL_EPMD_PORT."""
    port = free_port()
    command = [program("epmd"), "-port", str(port), "-address", "127.0.0.1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERL_EPMD_PORT", str(port))
        for variable in ("BPY_BEAM_NODE", "BPY_BEAM_COOKIE", "BPY_BEAM_HOST", "BPY_BEAM_PORT"):
            patch.delenv(variable, raising=False)
        eventually(lambda: _answers(port), "epmd answers")
        yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def ebin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled modules of tests/interop/erl."""
    target = tmp_path_factory.mktemp("ebin")
    sources = sorted(str(source) for source in SOURCES.glob("*.erl"))
    subprocess.run([program("erlc"), "-Werror", "-o", str(target), *sources], check=True, timeout=60)
    return target


@pytest.fixture(scope="session")
def child_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Makes a child process's environment: this one, a home of its own for the cookie file, and what is given."""
    home = str(tmp_path_factory.mktemp("home"))

    def make(**more: str) -> dict[str, str]:
        return {**os.environ, "HOME": home, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(REPOSITORY), **more}

    return make


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
    """What the `note` handler was called with."""
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
