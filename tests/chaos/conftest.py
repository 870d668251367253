"""The rig of the chaos tests: a server in a process of its own, an honest caller, and peers that come to grief.

What starts nodes of the BEAM is that of the interop tests.
"""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

_HERE = Path(__file__).parent
_INTEROP = _HERE.parent / "interop"
sys.path.insert(0, str(_INTEROP))

from beam import Epmd, beam_program, seen  # noqa: E402 - where it is has just been said
from rig import Rig  # noqa: E402
from wire import Cable  # noqa: E402

_spec = importlib.util.spec_from_file_location("interop_rig", _INTEROP / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_interop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_interop)

beam_folder = _interop.beam_folder
epmd_port = _interop.epmd_port
child_environment = _interop.child_environment


@pytest.fixture(scope="session")
def ebin(beam_folder: Path) -> Path:
    """The compiled modules of tests/interop/erl and tests/chaos/erl."""
    target = beam_folder / "ebin"
    target.mkdir()
    sources = [shutil.copy(source, target) for folder in (_INTEROP, _HERE) for source in folder.glob("erl/*.erl")]
    command = [*beam_program("erlc"), "-Werror", "-o", seen(target), *[seen(Path(source)) for source in sources]]
    subprocess.run(command, check=True, timeout=60)
    return target


@pytest.fixture(scope="session")
def wire_epmd(epmd_port: int) -> Iterator[int]:
    """The port of an epmd that knows servers at the other end of a wire."""
    port = free_port()
    epmd = Epmd(port)
    yield port
    epmd.stop()


@pytest.fixture
def start_rig(
    epmd_port: int, ebin: Path, child_environment: Callable[..., dict[str, str]]
) -> Iterator[Callable[..., Rig]]:
    """Starts rigs that end with the test."""
    with contextlib.ExitStack() as started:

        def start(**options: Any) -> Rig:
            rig = Rig(ebin, child_environment, **options)
            started.callback(rig.close)
            return rig

        yield start


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A cable that can be pulled out."""
    cable = Cable()
    yield cable
    cable.close()
