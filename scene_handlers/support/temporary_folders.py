"""Temporary folders. Those of a Blender that crashed are removed when the next one starts.

A process holds a lock of each of its folders, and of the folder in which Blender itself has temporary files. The system
releases a lock when the process ends, in whatever way. The number of the process would not do: another process can get
it, and containers that share the folder have the same numbers.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bpy

_PREFIX = "scene_handlers_"

_MARK = "scene_handlers.locked"
"""The name of an empty file in Blender's own folder. It says that the Blender of this folder holds a lock of it."""

_locks_of_blender: dict[Path, int] = {}
"""The locks of Blender's own folders. Blender creates another one when its preferences change."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder that contains nothing else, and remove it when the `with` block ends."""
    folder, lock = _created()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _release(lock)


def is_temporary(folder: Path) -> bool:
    """Return whether a folder is one of `temporary_folder`."""
    return folder.name.startswith(_PREFIX)


def remove_abandoned_folders() -> None:
    """Remove the temporary folders of this user whose processes have ended."""
    places = {Path(tempfile.gettempdir()), Path(bpy.app.tempdir).parent}
    for place in places:
        for folder in (*place.glob(f"{_PREFIX}*"), *(mark.parent for mark in place.glob(f"blender_*/{_MARK}"))):
            with suppress(OSError):
                _remove_if_abandoned(folder)


def lock_folder_of_blender() -> None:
    """Lock the folder of Blender's own temporary files, so that the next Blender removes it if this one crashes."""
    folder = Path(bpy.app.tempdir)
    if folder.name.startswith("blender_") and folder not in _locks_of_blender:
        with suppress(OSError):  # Someone has removed the folder.
            _locks_of_blender[folder] = _lock(folder)
            (folder / _MARK).touch()


def release_folder_of_blender() -> None:
    """Undo `lock_folder_of_blender`."""
    for folder, lock in _locks_of_blender.items():
        (folder / _MARK).unlink(missing_ok=True)
        _release(lock)
    _locks_of_blender.clear()


def _created() -> tuple[Path, int]:
    """Create a folder. Return it with its lock."""
    lock_folder_of_blender()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # A Blender that starts can find the folder before it is locked, and remove it.
        with suppress(FileNotFoundError):
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            _release(lock)


if sys.platform == "win32":
    # Windows has no locks of folders.
    def _lock(folder: Path) -> int:
        return -1

    def _release(lock: int) -> None:
        pass

    def _remove_if_abandoned(folder: Path) -> None:
        pass

else:
    import fcntl

    def _lock(folder: Path) -> int:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    def _release(lock: int) -> None:
        os.close(lock)

    def _remove_if_abandoned(folder: Path) -> None:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        finally:
            os.close(lock)
