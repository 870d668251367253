"""Temporary folders of Blenders that have crashed are removed, and those of Blenders that run stay."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import addon
import bpy
import pytest

MARK = "scene_handlers.locked"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def add(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for file in files:
        (folder / file).touch()
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A process that runs holds the lock of its folder."""
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(lock)


@pytest.mark.parametrize("name", ["scene_handlers_a", "blender_a"])
def test_a_folder_stays_until_its_process_has_ended(here: Path, name: str) -> None:
    folder = add(here / name, MARK, "file.glb")

    with locked(folder):
        addon.scene_temporary_folders.remove_abandoned_folders()
        assert folder.exists()
    addon.scene_temporary_folders.remove_abandoned_folders()

    assert not folder.exists()


def test_the_folder_of_a_blender_without_these_handlers_stays(here: Path) -> None:
    folder = add(here / "blender_a", "file.blend")

    addon.scene_temporary_folders.remove_abandoned_folders()

    assert folder.exists()


def test_the_folders_of_this_blender_stay(here: Path) -> None:
    with addon.scene_temporary_folders.temporary_folder() as folder:
        addon.scene_temporary_folders.remove_abandoned_folders()

        assert folder.parent == here
        assert folder.exists()
        assert (Path(bpy.app.tempdir) / MARK).exists()
    assert not folder.exists()


def test_disabling_removes_the_mark() -> None:
    mark = Path(bpy.app.tempdir) / MARK

    addon.scene_temporary_folders.lock_folder_of_blender()
    assert mark.exists()
    addon.scene_temporary_folders.release_folder_of_blender()
    assert not mark.exists()

    addon.scene_temporary_folders.lock_folder_of_blender()
