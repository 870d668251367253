"""`make repo`: a folder that any web server can serve as an extension repository, and Blender updates from it."""

import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import newer_version
import pytest
from blender_process import Environment

NAMES = ("beam_bpy", "scene_handlers", "python_handlers")

VERSIONS = ("0.1.0", newer_version.VERSION)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and prints nothing."""

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder, and the address at which a web server serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/index.json"
        server.shutdown()
        thread.join()


def build(folder: Path, version: str, output: Path) -> None:
    additions = newer_version.NEW_CORE if version == newer_version.VERSION else {}
    newer_version.build(folder, additions, version, "--repository", "--output", str(output))


def listed(folder: Path) -> dict[str, str]:
    """The version of each extension in the index."""
    entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))["data"]
    assert len({entry["id"] for entry in entries}) == len(entries)
    return {entry["id"]: entry["version"] for entry in entries}


def test_the_index_lists_only_the_present_version(tmp_path: Path) -> None:
    output = tmp_path / "output"
    (output / "other").mkdir(parents=True)
    (output / "other.txt").touch()
    for version in VERSIONS:
        build(tmp_path / version, version, output)
        assert listed(output) == dict.fromkeys(NAMES, version)
    assert (output / "index.html").exists()
    assert (output / "other.txt").exists()
    assert {path.name for path in output.glob("*.zip")} == {f"{name}-{VERSIONS[-1]}.zip" for name in NAMES}


def test_blender_installs_from_it_and_updates_while_the_node_runs(
    served: tuple[Path, str],
    tmp_path: Path,
    folder: Path,
    environment: Environment,
    script: Callable[..., list[str]],
) -> None:
    repository, url = served
    build(tmp_path / "first", VERSIONS[0], repository)
    process = subprocess.Popen(
        script("repository.py", url),
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line == "installed\n":
                break
        assert "installed\n" in printed, "".join(printed)
        build(tmp_path / "second", VERSIONS[1], repository)
        output, _ = process.communicate("the repository has changed\n", timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, "".join(printed) + output
    assert "done" in output.splitlines()
