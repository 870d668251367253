"""Paths that callers name, and files that appear complete or not at all."""

import os
import stat
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest

pytestmark = pytest.mark.usefixtures("scene_handlers")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that relative paths belong to, and the home folder in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_absolute_paths(here: Path) -> None:
    for given, found in (
        ("x.png", here / "x.png"),
        ("a/../x.png", here / "x.png"),
        ("./~/x.png", here / "~" / "x.png"),
        ("~/x.png", here / "home" / "x.png"),
        ("~", here / "home"),
        (f"{here}/./x.png", here / "x.png"),
        (b"x.png", here / "x.png"),
        ("größe {x} ##.png", here / "größe {x} ##.png"),
    ):
        assert addon.scene_files.absolute(given) == found


def test_a_path_next_to_the_blend_file(here: Path) -> None:
    (here / "saved").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "saved" / "file.blend"))
    assert addon.scene_files.absolute("//x.png") == here / "saved" / "x.png"
    assert addon.scene_files.absolute("//../x.png") == here / "x.png"


def test_a_path_next_to_a_file_that_was_never_saved() -> None:
    with pytest.raises(ValueError, match=r"^'//x.png' is relative to the blend file, .* save it first"):
        addon.scene_files.absolute("//x.png")


@pytest.mark.parametrize("given", ["", list(b"x.png"), b"\xff.png", "x\0.png", None, 5, "~nobody-has-this-name/x.png"])
def test_what_is_not_a_path(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^(a path|there is no home folder) "):
        addon.scene_files.absolute(given)


def test_a_folder_whose_name_is_not_utf8(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.fsencode(here) + b"/\xff"
    os.mkdir(folder)
    monkeypatch.chdir(os.fsdecode(folder))
    with pytest.raises(ValueError, match="has to be UTF-8"):
        addon.scene_files.absolute("x.png")


@pytest.mark.parametrize("name", ["a?.png", "a:b.png", "a\tb", "CON", "nul.png", "Com1.tar.gz", "lpt9", "x.", "x "])
def test_names_that_windows_cannot_store(name: str) -> None:
    for path in (Path(name), Path("folder", name), Path(name, "x.png")):
        with pytest.raises(ValueError, match="Windows"):
            addon.scene_files.check_for_windows(path)


@pytest.mark.parametrize("name", ["a.png", "con1.png", "größe.png", "a b", ".hidden", "communication.png"])
def test_names_that_windows_can_store(name: str) -> None:
    addon.scene_files.check_for_windows(Path("/folder", name))


def content(folder: Path) -> dict[str, str]:
    """The files below a folder, and their text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_appears_when_it_is_complete(here: Path) -> None:
    target = here / "new" / "folder" / "x.png"
    with addon.scene_files.written(target) as part:
        assert part.parent == target.parent
        part.write_text("half")
        assert not target.exists()
        part.write_text("whole")
    assert content(here) == {"new/folder/x.png": "whole"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_older_file_is_replaced_and_keeps_its_mode(here: Path) -> None:
    target = here / "x.png"
    target.write_text("old")
    target.chmod(0o640)
    with addon.scene_files.written(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert content(here) == {"x.png": "new"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link(here: Path) -> None:
    (here / "real").mkdir()
    target = here / "x.png"
    target.symlink_to(here / "real" / "y.png")
    with addon.scene_files.written(target) as part:
        part.write_text("new")
    assert target.is_symlink()
    assert (here / "real" / "y.png").read_text() == "new"


def _fail_to_write(target: Path) -> None:
    with addon.scene_files.written(target) as part:
        part.write_text("half")
        raise RuntimeError("no render")


def test_what_fails_leaves_nothing(here: Path) -> None:
    (here / "x.png").write_text("old")
    before = sorted(here.rglob("*"))
    for target in (here / "x.png", here / "new" / "folder" / "x.png"):
        with pytest.raises(RuntimeError, match="no render"):
            _fail_to_write(target)
        assert sorted(here.rglob("*")) == before
    assert content(here) == {"x.png": "old"}


def _folder(here: Path) -> Path:
    (here / "x.png").mkdir()
    return here / "x.png"


def _read_only(here: Path) -> Path:
    (here / "x.png").write_text("old")
    (here / "x.png").chmod(0o444)
    return here / "x.png"


def _below_a_file(here: Path) -> Path:
    (here / "file").write_text("old")
    return here / "file" / "folder" / "x.png"


UNWRITABLE = {
    "folder": _folder,
    "read-only": _read_only,
    "below a file": _below_a_file,
    "device": lambda _here: Path("/dev/null"),
    "not a place for files": lambda _here: Path("/proc/nowhere/x.png"),
    "long name": lambda here: here / ("x" * 300 + ".png"),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_cannot_be_written_is_refused_at_once(here: Path, name: str) -> None:
    target = UNWRITABLE[name](here)
    before = content(here)
    with pytest.raises(OSError, match=r"^cannot write '/"), addon.scene_files.written(target):
        pytest.fail("the block must not begin")
    assert content(here) == before
