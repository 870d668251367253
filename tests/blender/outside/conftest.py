"""Starts a fresh Blender for each test, with settings of its own."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from blender_process import (
    EXTENSION_MANIFEST,
    PROGRAM,
    PYTHON_HANDLERS_MANIFEST,
    REPOSITORY,
    SCENE_HANDLERS_MANIFEST,
    Environment,
    blender_command,
    blender_environment,
    script_command,
    temporary_folder,
    tests_below,
    zip_of,
)
from erlang import Reply, erl

TIMEOUT = 180
"""Seconds after which a script is ended."""

EXTENSION_COMMAND = ["--command", "extension", "install-file", "--repo", "user_default", "--enable"]


@pytest.fixture(scope="session", autouse=True)
def _packages() -> None:
    """Build the zips from the present sources."""
    subprocess.run([sys.executable, REPOSITORY / "tools" / "build_zip.py"], check=True, timeout=TIMEOUT)


@pytest.fixture(scope="session")
def extension() -> Path:
    """The zip of Beam-BPy."""
    return zip_of(EXTENSION_MANIFEST)


@pytest.fixture(scope="session")
def scene_handlers() -> Path:
    """The zip of Scene Handlers."""
    return zip_of(SCENE_HANDLERS_MANIFEST)


@pytest.fixture(scope="session")
def python_handlers() -> Path:
    """The zip of Python Handlers."""
    return zip_of(PYTHON_HANDLERS_MANIFEST)


@pytest.fixture(scope="session")
def build_zip() -> ModuleType:
    """The program that builds the zips."""
    spec = importlib.util.spec_from_file_location("build_zip", REPOSITORY / "tools" / "build_zip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that both this program and Blender see; `seen` says what Blender calls it."""
    with temporary_folder() as made:
        yield made


@pytest.fixture
def environment(folder: Path) -> Environment:
    """The environment of the Blenders of one test."""
    return blender_environment(folder)


@pytest.fixture
def script(folder: Path, environment: Environment) -> Callable[..., list[str]]:
    """The command that runs a file of scripts/ in Blender: `script("load_order.py", "load")`."""
    return lambda name, *arguments: script_command(_script(folder, name), *arguments)


def _script(home: Path, name: str) -> Path:
    return tests_below(home) / "outside" / "scripts" / name


@pytest.fixture
def own_command(environment: Environment, script: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """The command line of the extension, with it and Python Handlers installed: `own_command("serve", "--help")`."""
    if not PROGRAM:
        return lambda *arguments: script("run_command.py", *arguments)
    for package in ("EXTENSION_ZIP", "PYTHON_HANDLERS_ZIP"):
        install = blender_command(*EXTENSION_COMMAND, environment[package])
        subprocess.run(install, env=environment, check=True, capture_output=True, timeout=TIMEOUT)
    # Blender's Python sees a folder of handlers only if it is told to look at the environment.
    options = ["--background", "--python-use-system-env", "--command", "beam_bpy"]
    return lambda *arguments: blender_command(*options, *arguments)


@pytest.fixture
def run_script(folder: Path, environment: Environment, script: Callable[..., list[str]]) -> Callable[..., None]:
    """Runs a file of scripts/ in a fresh Blender. It has to come to its last line, which prints "done"."""

    def run(name: str, *arguments: str) -> None:
        result = subprocess.run(
            script(name, *arguments),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert result.returncode == 0, result.stdout
        assert "done" in result.stdout.splitlines(), result.stdout

    return run


@pytest.fixture(scope="module")
def scene_node() -> Iterator[tuple[str, Environment]]:
    """A Blender with both extensions that serves: its node's name, and the environment for nodes that call it."""
    with temporary_folder() as home:
        environment = blender_environment(home)
        command = script_command(_script(home, "serve_scene.py"))
        process = subprocess.Popen(
            command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        node = next((line.split()[1] for line in process.stdout if line.startswith("ready ")), None)
        assert node is not None, "Blender did not start"
        # Blender prints while it renders: it must not wait for a full pipe.
        drained = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        # The nodes that call it see this system's files.
        yield node, {**environment, "HOME": str(home)}
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
