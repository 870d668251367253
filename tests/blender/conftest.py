"""The rig of the tests in real Blender: each runs scripts of inside/ in a fresh process, with settings of its own.

Blender is the bpy module of this Python; or, when BLENDER is set, that program; or, when BLENDER_ROOT is set, the
Blender of another system, which lives in that folder and is run by chroot.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from erlang import COOKIE, Reply, erl

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PATIENCE = 180
"""Seconds after which a script is ended."""

ROOT = Path(os.environ.get("BLENDER_ROOT", "/"))
"""The system that Blender runs in."""


def _program() -> str:
    if "BLENDER" not in os.environ:
        return "" if str(ROOT) == "/" else "blender"
    found = shutil.which(os.environ["BLENDER"])
    assert found, f"BLENDER is {os.environ['BLENDER']!r}, and there is no such program"
    # Not as it was called: the children run in other folders.
    return str(Path(found).absolute())


PROGRAM = _program()
"""The Blender, empty for the bpy module of this Python."""

EXTENSION_COMMAND = ["--command", "extension", "install-file", "--repo", "user_default", "--enable"]

Environment = dict[str, str]


def seen(path: Path) -> str:
    """A path below ROOT as Blender sees it."""
    return "/" + str(path.relative_to(ROOT))


def blender_command(*arguments: str) -> list[str]:
    """The command that runs the Blender program."""
    return [*([] if str(ROOT) == "/" else ["chroot", str(ROOT)]), PROGRAM, *arguments]


def script_command(script: Path, *arguments: str) -> list[str]:
    """The command that runs a script in Blender; it finds the arguments after "--"."""
    if not PROGRAM:
        return [sys.executable, str(script), "--", *arguments]
    options = ["--background", "--python-use-system-env", "--python-exit-code", "1", "--python", seen(script)]
    return blender_command(*options, "--", *arguments)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with the zips of these sources, and what else `make zip` builds."""
    subprocess.run([sys.executable, REPOSITORY / "tools" / "build_zip.py"], check=True, timeout=PATIENCE)
    return REPOSITORY / "dist"


def _zip_of(manifest: Path, packages: Path) -> Path:
    fields = tomllib.loads(manifest.read_text(encoding="utf-8"))
    return packages / f"{fields['id']}-{fields['version']}.zip"


@pytest.fixture(scope="session")
def extension(packages: Path) -> Path:
    """The zip of Beam-BPy."""
    return _zip_of(REPOSITORY / "blender_manifest.toml", packages)


@pytest.fixture(scope="session")
def scene_handlers(packages: Path) -> Path:
    """The zip of the example extension."""
    return _zip_of(REPOSITORY / "examples" / "scene_handlers" / "blender_manifest.toml", packages)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _environment(home: Path, extension: Path, scene_handlers: Path) -> Environment:
    """A child's environment: settings in `home`, a node name and an epmd that nobody else uses."""
    # What the child needs goes where it can see it.
    scripts = shutil.copytree(HERE, home / "tests")
    extension, scene_handlers = (Path(shutil.copy(package, home)) for package in (extension, scene_handlers))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BPY_BEAM_", "BLENDER_"))}
    return {
        **kept,
        "HOME": seen(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": f"{seen(scripts)}:{seen(scripts / 'inside')}",
        "PYTHONUNBUFFERED": "1",
        "BLENDER_USER_RESOURCES": seen(home / "blender"),
        "EXTENSION_ZIP": seen(extension),
        "SCENE_HANDLERS_ZIP": seen(scene_handlers),
        "ERL_EPMD_PORT": str(_free_port()),
        "BPY_BEAM_NODE": f"blender_test_{os.getpid()}",
        "BPY_BEAM_COOKIE": COOKIE,
    }


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that both this program and Blender see; `seen` says what it is called there."""
    made = Path(tempfile.mkdtemp(prefix="beam-bpy-blender-", dir=ROOT / "tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def environment(folder: Path, extension: Path, scene_handlers: Path) -> Environment:
    """What the children of one test see."""
    return _environment(folder, extension, scene_handlers)


@pytest.fixture
def own_command(folder: Path, environment: Environment) -> Callable[..., list[str]]:
    """The command line of the extension, with it installed: `own_command("serve", "--help")`."""
    if not PROGRAM:
        return lambda *arguments: script_command(folder / "tests" / "inside" / "command.py", *arguments)
    install = blender_command(*EXTENSION_COMMAND, environment["EXTENSION_ZIP"])
    subprocess.run(install, env=environment, check=True, capture_output=True, timeout=PATIENCE)
    # Blender's Python sees a folder of handlers only if it is told to look at the environment.
    options = ["--background", "--python-use-system-env", "--command", "beam_bpy"]
    return lambda *arguments: blender_command(*options, *arguments)


@pytest.fixture
def blender(folder: Path, environment: Environment) -> Callable[..., str]:
    """Runs a script of inside/ in a fresh Blender; it has to end with 0. Returns what it printed."""

    def run(script: str, *arguments: str, **more: str) -> str:
        result = subprocess.run(
            script_command(folder / "tests" / "inside" / script, *arguments),
            env={**environment, **more},
            cwd=folder,
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
def scene_node(extension: Path, scene_handlers: Path) -> Iterator[tuple[str, Environment]]:
    """A Blender with both extensions that serves: its node's name, and the environment for nodes that call it."""
    home = Path(tempfile.mkdtemp(prefix="beam-bpy-blender-", dir=ROOT / "tmp"))
    environment = _environment(home, extension, scene_handlers)
    command = script_command(home / "tests" / "inside" / "serve_scene.py")
    process = subprocess.Popen(
        command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    node = next((line.split()[1] for line in process.stdout if line.startswith("ready ")), None)
    assert node is not None, "Blender did not start"
    # Blender prints while it renders: it must not wait for a full pipe.
    drained = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    # Those who call it see this system's files.
    yield node, {**environment, "HOME": str(home)}
    process.terminate()
    assert process.wait(30) == 0
    drained.wait(10)
    shutil.rmtree(home)


@pytest.fixture
def scene(scene_node: tuple[str, Environment]) -> Callable[[str, str], Reply]:
    """Calls a handler of that Blender from a real erl: `scene("list_objects", "[]")`."""
    node, environment = scene_node
    return lambda function, arguments: erl(
        f"erpc:call('{node}', 'Elixir.Scene', {function}, {arguments}, 60000)", environment
    )
