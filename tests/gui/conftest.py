"""The fixtures of the tests in a window: Blenders with settings of their own, one for each test or each class."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from ports import free_port
from user import User
from window import REPOSITORY, System, Window, eventually

from tests.blender.erlang import COOKIE

FAILED = pytest.StashKey[bool]()

MANIFESTS = tuple(REPOSITORY / folder / "blender_manifest.toml" for folder in ("", "scene_handlers", "python_handlers"))


@pytest.fixture(scope="session")
def system() -> System:
    """Where Blender is."""
    return System.from_environment()


@contextlib.contextmanager
def new_folder(system: System) -> Iterator[Path]:
    """A folder that this program and Blender see: the home of Blender's user, with the zips in it."""
    made = Path(tempfile.mkdtemp(prefix="beam-bpy-gui-", dir=system.root / "tmp"))
    for manifest in MANIFESTS:
        fields = tomllib.loads(manifest.read_text(encoding="utf-8"))
        shutil.copy(REPOSITORY / "dist" / f"{fields['id']}-{fields['version']}.zip", made)
    yield made
    shutil.rmtree(made)


def new_environment(system: System, folder: Path) -> dict[str, str]:
    """The environment of Blender and of its callers: own settings, an own node name and an own epmd."""
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": system.seen(folder),
        "BLENDER_USER_RESOURCES": system.seen(folder / "blender"),
        "ERL_EPMD_PORT": str(free_port()),
        "BPY_BEAM_COOKIE": COOKIE,
    }


@pytest.fixture
def folder(system: System) -> Iterator[Path]:
    """See `new_folder`."""
    with new_folder(system) as made:
        yield made


@pytest.fixture
def environment(system: System, folder: Path) -> dict[str, str]:
    """See `new_environment`."""
    return new_environment(system, folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the fixtures of the test and of its class know whether it has failed."""
    report = yield
    for node in item.listchain():
        node.stash[FAILED] = node.stash.get(FAILED, False) or report.failed
    return report


@contextlib.contextmanager
def started(window: Window, item: pytest.Item | pytest.Collector) -> Iterator[Window]:
    """Wait for the first frame; in the end close the window, and if the test failed keep what it showed and printed."""
    try:
        window.wait(lambda report: report["frames"] > 0, "the first frame")
        yield window
    except BaseException:
        item.stash[FAILED] = True
        raise
    finally:
        if item.stash.get(FAILED, False):
            window.picture(f"failed_{item.name}")
            print(window.printed())
        window.stop()


@pytest.fixture
def fresh(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender that was never started before."""
    with started(Window(system, folder, environment), request.node) as window:
        yield window


def install(system: System, folder: Path, environment: dict[str, str], name: str = "beam_bpy") -> None:
    """Install an extension, and choose a name for the node."""
    (package,) = folder.glob(f"{name}-*.zip")
    command = system.command(
        system.blender, "--command", "extension", "install-file", "-r", "user_default", "-e", system.seen(package)
    )
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    environment["BPY_BEAM_NODE"] = f"gui_{os.getpid()}"


@pytest.fixture
def installed(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Window]:
    """A Blender with the extension, the tests' handlers, and no splash screen."""
    install(system, folder, environment)
    with started(Window(system, folder, environment, "handlers.py"), request.node) as window:
        yield window


@pytest.fixture(scope="class")
def blender(system: System, request: pytest.FixtureRequest) -> Iterator[User]:
    """One Blender for all tests of a class: it is a node, and its sidebar shows that."""
    with new_folder(system) as folder:
        environment = new_environment(system, folder)
        install(system, folder, environment)
        with started(Window(system, folder, environment, "at_work.py"), request.node) as window:
            eventually((folder / "start.blend").exists, "the node runs and the sidebar shows it")
            yield User(window, environment)


@pytest.fixture
def user(blender: User, request: pytest.FixtureRequest) -> Iterator[User]:
    """A user of the class's Blender, with the default scene and an undo history without steps."""
    blender.begin_anew()
    yield blender
    if request.node.stash.get(FAILED, False):
        blender.window.picture(f"failed_{request.node.name}")
    else:
        blender.ends_well()
