"""The rig of the tests in real Blender: each runs scripts of inside/ in a fresh process, with settings of its own."""

import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from erlang import COOKIE, Reply, erl

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PATIENCE = 180
"""Seconds after which a script is ended."""

Environment = dict[str, str]


def _zip_of(manifest: Path) -> Path:
    fields = tomllib.loads(manifest.read_text(encoding="utf-8"))
    path = REPOSITORY / "dist" / f"{fields['id']}-{fields['version']}.zip"
    assert path.exists(), f"{path} is missing: run 'make zip' before these tests"
    return path


@pytest.fixture(scope="session")
def extension() -> Path:
    """The zip of Beam-BPy."""
    return _zip_of(REPOSITORY / "blender_manifest.toml")


@pytest.fixture(scope="session")
def scene_handlers() -> Path:
    """The zip of the example extension."""
    return _zip_of(REPOSITORY / "examples" / "scene_handlers" / "blender_manifest.toml")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _environment(home: Path, extension: Path, scene_handlers: Path) -> Environment:
    """A child's environment: settings in `home`, a node name and an epmd that nobody else uses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BPY_BEAM_", "BLENDER_"))}
    return {
        **kept,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(HERE),
        "BLENDER_USER_RESOURCES": str(home / "blender"),
        "EXTENSION_ZIP": str(extension),
        "SCENE_HANDLERS_ZIP": str(scene_handlers),
        "ERL_EPMD_PORT": str(_free_port()),
        "BPY_BEAM_NODE": f"blender_test_{os.getpid()}",
        "BPY_BEAM_COOKIE": COOKIE,
    }


@pytest.fixture
def environment(tmp_path: Path, extension: Path, scene_handlers: Path) -> Environment:
    """What the children of one test see."""
    return _environment(tmp_path, extension, scene_handlers)


@pytest.fixture
def blender(tmp_path: Path, environment: Environment) -> Callable[..., str]:
    """Runs a script of inside/ in a fresh Blender; it has to end with 0. Returns what it printed."""

    def run(script: str, *arguments: str, **more: str) -> str:
        command = [sys.executable, str(HERE / "inside" / script), *arguments]
        result = subprocess.run(
            command,
            env={**environment, **more},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout

    return run


@pytest.fixture(scope="module")
def scene_node(
    tmp_path_factory: pytest.TempPathFactory, extension: Path, scene_handlers: Path
) -> Iterator[tuple[str, Environment]]:
    """A Blender with both extensions that serves: its node's name, and the environment for nodes that call it."""
    home = tmp_path_factory.mktemp("scene")
    environment = _environment(home, extension, scene_handlers)
    command = [sys.executable, "-u", str(HERE / "inside" / "serve_scene.py")]
    process = subprocess.Popen(
        command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    node = next((line.split()[1] for line in process.stdout if line.startswith("ready ")), None)
    assert node is not None, "Blender did not start"
    # Blender prints while it renders: it must not wait for a full pipe.
    drained = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    yield node, environment
    process.terminate()
    assert process.wait(30) == 0
    drained.wait(10)


@pytest.fixture
def scene(scene_node: tuple[str, Environment]) -> Callable[[str, str], Reply]:
    """Calls a handler of that Blender from a real erl: `scene("list_objects", "[]")`."""
    node, environment = scene_node
    return lambda function, arguments: erl(
        f"erpc:call('{node}', 'Elixir.Scene', {function}, {arguments}, 60000)", environment
    )
