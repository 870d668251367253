"""Temporary folders. Those of a Blender that crashed are removed when the next one starts.

A process holds a lock of each of its folders. The system releases it when the process ends, in whatever way. The number
of the process would not do: another process can get it, and containers that share the folder have the same numbers.
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
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*_*"):
        with suppress(OSError):
            _remove_if_abandoned(folder)


def _created() -> tuple[Path, int]:
    """Create a folder. Return it with its lock."""
    # Blender has a folder of its own, which also remains if it crashes. So the name contains the name of that one.
    blender = Path(bpy.app.tempdir).name
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{blender}_"))
        # A Blender that starts can find the folder before it is locked, and remove it.
        with suppress(FileNotFoundError):
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            _release(lock)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    blender = folder.name.removeprefix(_PREFIX).rpartition("_")[0]
    if blender.startswith("blender_"):
        shutil.rmtree(folder.with_name(blender))


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
                _remove(folder)
        finally:
            os.close(lock)
