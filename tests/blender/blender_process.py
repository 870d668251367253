"""How the tests start a Blender of their own: its command line, its environment and its folder.

Blender is the bpy module of this Python; or, when BLENDER is set, that program; or, when BLENDER_ROOT is set, the
Blender of another system, which lives in that folder and is run by chroot.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from erlang import COOKIE
from ports import free_port

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXTENSION_MANIFEST = REPOSITORY / "blender_manifest.toml"
SCENE_HANDLERS_MANIFEST = REPOSITORY / "scene_handlers" / "blender_manifest.toml"
PYTHON_HANDLERS_MANIFEST = REPOSITORY / "python_handlers" / "blender_manifest.toml"

ROOT = Path(os.environ.get("BLENDER_ROOT", "/"))
"""The system that Blender runs in."""

Environment = dict[str, str]


def _program() -> str:
    if "BLENDER" not in os.environ:
        return "" if str(ROOT) == "/" else "blender"
    found = shutil.which(os.environ["BLENDER"])
    assert found, f"BLENDER is {os.environ['BLENDER']!r}, and there is no such program"
    # A relative path would be wrong in the folders that Blender is started in.
    return str(Path(found).absolute())


PROGRAM = _program()
"""The Blender program; empty for the bpy module of this Python."""


def seen(path: Path) -> str:
    """A path below ROOT as Blender sees it."""
    return "/" + str(path.relative_to(ROOT))


def blender_command(*arguments: str) -> list[str]:
    """The command that runs the Blender program."""
    return [*([] if str(ROOT) == "/" else ["chroot", str(ROOT)]), PROGRAM, *arguments]


SCRIPT_OPTIONS = ["--python-use-system-env", "--python-exit-code", "1"]
"""Options of Blender for scripts: Python reads PYTHONPATH, and an exception ends Blender with exit code 1."""


def script_command(script: Path, *arguments: str) -> list[str]:
    """The command that runs a script in Blender; the script finds the arguments after "--"."""
    if not PROGRAM:
        return [sys.executable, str(script), "--", *arguments]
    return blender_command("--background", *SCRIPT_OPTIONS, "--python", seen(script), "--", *arguments)


def zip_of(manifest: Path) -> Path:
    """The zip that `make zip` has built for a manifest."""
    fields = tomllib.loads(manifest.read_text(encoding="utf-8"))
    path = REPOSITORY / "dist" / f"{fields['id']}-{fields['version']}.zip"
    assert path.exists(), f"{path} is missing: run 'make zip' before these tests"
    return path


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that both this program and Blender see; `seen` says what Blender calls it."""
    made = Path(tempfile.mkdtemp(prefix="beam-bpy-blender-", dir=ROOT / "tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def tests_below(home: Path) -> Path:
    """Where `blender_environment` copies this folder to."""
    return home / "tests"


def blender_environment(home: Path) -> Environment:
    """Blender's environment: its settings are in `home`, and no other program uses its node name and its epmd.

    This folder and the zips are copied to `home`, because Blender may not see the repository.
    """
    tests = shutil.copytree(HERE, tests_below(home), ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BPY_BEAM_", "BLENDER_"))}
    return {
        **kept,
        "HOME": seen(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": f"{seen(tests)}:{seen(tests / 'outside' / 'scripts')}",
        "PYTHONUNBUFFERED": "1",
        "BLENDER_USER_RESOURCES": seen(home / "blender"),
        "EXTENSION_ZIP": seen(Path(shutil.copy(zip_of(EXTENSION_MANIFEST), home))),
        "SCENE_HANDLERS_ZIP": seen(Path(shutil.copy(zip_of(SCENE_HANDLERS_MANIFEST), home))),
        "PYTHON_HANDLERS_ZIP": seen(Path(shutil.copy(zip_of(PYTHON_HANDLERS_MANIFEST), home))),
        "ERL_EPMD_PORT": str(free_port()),
        "BPY_BEAM_NODE": f"blender_test_{os.getpid()}",
        "BPY_BEAM_COOKIE": COOKIE,
    }
