"""Scene Handlers in a plain Python program with bpy: the packages of PyPI, and `serve --handlers scene_handlers`."""

import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blender_process import REPOSITORY, Environment
from erlang import erl

TIMEOUT = 120


def build(project: Path, target: str, folder: Path) -> Path:
    """Build a project for PyPI; returns the file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=TIMEOUT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder as pip fills it: with the contents of both wheels."""
    folder = tmp_path / "packages"
    for name, project in (("core", REPOSITORY), ("handlers", REPOSITORY / "scene_handlers")):
        with zipfile.ZipFile(build(project, "wheel", tmp_path / name)) as wheel:
            wheel.extractall(folder)
    return folder


@pytest.fixture
def evaluate(packages: Path, tmp_path: Path, environment: Environment) -> Iterator[Callable[[str], Any]]:
    """Evaluates Erlang in a real erl, in which `Call` calls a handler of the program. The program has to end with 0."""
    command = [sys.executable, "-m", "beam_bpy.cli", "serve", "--handlers", "scene_handlers", "--until-stdin-closes"]
    own = {"PYTHONPATH": str(packages), "HOME": str(tmp_path), "BLENDER_USER_RESOURCES": str(tmp_path / "blender")}
    process = subprocess.Popen(
        command,
        env={**environment, **own},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = next((line for line in process.stdout if line.endswith(" is ready\n")), None)
        assert ready is not None, "it was never ready"
        node = ready.partition(":")[0]
        # Blender prints while it renders: it must not wait for a full pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        function = f"Call = fun(F, A) -> erpc:call('{node}', 'Elixir.Scene', F, A, 60000) end, "
        yield lambda code: erl(function + code, environment)
        process.stdin.close()
        code = process.wait(60)
        watchdog.cancel()
    assert code == 0


def test_a_scene_is_built_and_rendered(evaluate: Callable[[str], Any]) -> None:
    assert evaluate('Call(create_cube, [<<"Crate">>, #{size => 2}])') == "Crate"
    assert {"Camera", "Crate", "Light"} <= set(evaluate("Call(list_objects, [])"))
    options = "#{engine => cycles, samples => 1, denoise => false, width => 64, height => 64}"
    picture = evaluate(f"Call(render_still, [{options}])")
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert [int.from_bytes(picture[at : at + 4]) for at in (16, 20)] == [64, 64]


def test_events_are_published_once(evaluate: Callable[[str], Any]) -> None:
    events = evaluate(
        """[Call(subscribe, [Topic]) || Topic <- [<<"frame_change">>, <<"depsgraph_update">>]],
        Call(set_frame, [7]),
        Call(set_transform, [<<"Cube">>, #{location => [1, 2, 3]}]),
        Next = fun Next() -> receive {beam_bpy_event, _, T, P} -> [{T, P} | Next()] after 0 -> [] end end,
        Next()"""
    )
    assert [payload["frame"] for topic, payload in events if topic == "frame_change"] == [7]
    assert any("Cube" in payload.get("object", []) for topic, payload in events if topic == "depsgraph_update")


@pytest.mark.parametrize("name", ["scene_handlers", "python_handlers"])
def test_the_source_distribution_makes_the_same_wheel(tmp_path: Path, name: str) -> None:
    project = REPOSITORY / name
    wheel = build(project, "wheel", tmp_path / "wheel")
    with tarfile.open(build(project, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()

    again = build(unpacked, "wheel", tmp_path / "again")

    assert again.read_bytes() == wheel.read_bytes()
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {path for path in names if ".dist-info/" not in path} == {
        f"{name}/{path.relative_to(project)}" for path in project.rglob("*.py")
    }
    assert any(path.endswith("/licenses/LICENSE") for path in names)


@pytest.mark.parametrize("name", ["scene_handlers", "python_handlers"])
def test_the_licence_is_that_of_the_project(name: str) -> None:
    assert (REPOSITORY / name / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
