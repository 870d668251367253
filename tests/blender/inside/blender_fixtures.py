"""Installs all extensions once. Each test gets Beam-BPy enabled with default settings, in the default scene.

The functions import `beam_bpy` themselves, because it comes with the extension, after Python has read this file.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import bpy
import in_blender
import pytest
from left_behind import Traces, traces

EXTENSIONS = (in_blender.PYTHON_HANDLERS, in_blender.SCENE_HANDLERS, in_blender.EXTENSION)
"""All of them, in the order in which they are disabled."""

BEFORE_INSTALLATION = pytest.StashKey[Traces]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Install the zips before the tests are collected, so that tests can import `beam_bpy`."""
    session.config.stash[BEFORE_INSTALLATION] = traces()
    for variable, extension in (
        ("EXTENSION_ZIP", in_blender.EXTENSION),
        ("SCENE_HANDLERS_ZIP", in_blender.SCENE_HANDLERS),
        ("PYTHON_HANDLERS_ZIP", in_blender.PYTHON_HANDLERS),
    ):
        in_blender.install(variable)
        assert extension in bpy.context.preferences.addons, f"{extension} could not be enabled"


def pytest_collection_finish() -> None:
    """Each test enables what it needs. `beam_bpy` was imported while its extension was enabled."""
    for extension in EXTENSIONS:
        in_blender.disable(extension)


@pytest.fixture
def before_installation(pytestconfig: pytest.Config) -> Traces:
    """The state of Blender before an extension was installed."""
    return pytestconfig.stash[BEFORE_INSTALLATION]


@pytest.fixture
def environment() -> None:
    """Changes environment variables before the extension is enabled. A test file may define its own."""


@pytest.fixture(autouse=True)
def enabled(environment: None) -> Iterator[None]:
    """Beam-BPy as it is after Blender has started: enabled, not running, without handlers, in the default scene."""
    from beam_bpy import get_beam_server

    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert in_blender.enable(in_blender.EXTENSION)
    yield
    for extension in EXTENSIONS:
        in_blender.disable(extension)
    _make_as_new(get_beam_server())


def _make_as_new(server: Any) -> None:
    from beam_bpy.beam_server import GivenOptions

    for handler in server.handlers:
        server.unregister_handler(handler.name, module=handler.module)
    defaults = GivenOptions()
    server.configure(**{name: getattr(defaults, name) for name in GivenOptions.__dataclass_fields__})


@pytest.fixture
def scene_handlers() -> None:
    """Scene Handlers, enabled."""
    assert in_blender.enable(in_blender.SCENE_HANDLERS)


@pytest.fixture
def python_handlers() -> Any:
    """The preferences of Python Handlers, enabled."""
    assert in_blender.enable(in_blender.PYTHON_HANDLERS)
    return bpy.context.preferences.addons[in_blender.PYTHON_HANDLERS].preferences


@pytest.fixture
def server() -> Any:
    """The extension's server."""
    from beam_bpy import get_beam_server

    return get_beam_server()


@pytest.fixture
def preferences() -> Any:
    """The extension's preferences."""
    return bpy.context.preferences.addons[in_blender.EXTENSION].preferences


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The text that Blender has printed since the last call."""

    def read() -> str:
        ctypes.CDLL(None).fflush(None)
        return "".join(capfd.readouterr())

    return read
