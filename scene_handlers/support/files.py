"""Paths that callers name, and files that appear complete or not at all."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bpy

from .arguments import text

_RESERVED_CHARACTERS = set('<>:"|?*') | {chr(code) for code in range(32)}

_RESERVED_NAMES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{name}{number}" for name in ("COM", "LPT") for number in range(1, 10)
}
"""Names of devices in Windows, also with a suffix. https://learn.microsoft.com/windows/win32/fileio/naming-a-file"""


def absolute(given: Any, what: str = "a path") -> Path:
    """Return a path of a caller as an absolute path.

    As everywhere in Blender, `//` at its beginning is the folder of the blend file. `~` is the home folder of the user
    who runs Blender. Another relative path belongs to the folder in which Blender was started.

    Args:
        given: the path.
        what: the argument in the error message, with an article.

    Raises:
        ValueError: `given` is not a path, or it begins with `//` and the blend file has not been saved.
    """
    path = text(given, what)
    if not path:
        raise ValueError(f"{what} cannot be empty")
    if path.startswith("//"):
        if not bpy.data.filepath:
            raise ValueError(
                f"{path!r} is relative to the blend file, and this file has never been saved: "
                "save it first, or pass an absolute path"
            )
        path = bpy.path.abspath(path)
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder for {path!r}: pass an absolute path")
    found = Path(os.path.abspath(expanded))
    text(os.fsencode(found), f"{what} with the folder that it is relative to")
    if os.name == "nt":
        check_for_windows(found)
    return found


def check_for_windows(path: Path) -> None:
    """Check that Windows can store a file with this name.

    Raises:
        ValueError: it cannot, or it would write to a device.
    """
    for part in path.parts[1:] if path.anchor else path.parts:
        wrong = sorted(_RESERVED_CHARACTERS & set(part))
        if wrong:
            raise ValueError(f"a file name in Windows cannot contain {wrong[0]!r}, but {part!r} does")
        if part.split(".")[0].rstrip().upper() in _RESERVED_NAMES:
            raise ValueError(f"{part!r} is the name of a device in Windows: choose another name")
        if part[-1] in ". ":
            raise ValueError(f"a file name in Windows cannot end with a dot or a space, but {part!r} does")


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """Write a file so that it appears complete or not at all.

    Yields the path of a file in the same folder. The `with` block has to write and check that file. When the block ends
    normally, the file gets the name `target` in one step, and replaces an older file. When the block fails, nothing
    remains, not even a folder that this function has created.

    Args:
        target: an absolute path.

    Raises:
        OSError: the file cannot be written. This is known before the block begins.
    """
    # A link stays a link: the file that it leads to is replaced.
    final = Path(os.path.realpath(target))
    made = _make_folder(final.parent, target)
    part = final.with_name(f".{final.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        try:
            _check_writable(final, part)
        except OSError as error:
            raise _refusal(target, error) from error
        yield part
        try:
            if final.exists():
                shutil.copymode(final, part)
            part.replace(final)
        except OSError as error:
            raise _refusal(target, error) from error
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        _remove(made)
        raise


def _make_folder(folder: Path, target: Path) -> list[Path]:
    """Create a folder and its parents. Return those that did not exist, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(missing)
        raise _refusal(target, error) from error
    return missing


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        # Another program may have written to the folder.
        with suppress(OSError):
            folder.rmdir()


def _check_writable(final: Path, part: Path) -> None:
    if final.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    if final.exists():
        mode = final.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError(None, "it is not a regular file")
        # Renaming could replace a read-only file, against the intention of its owner.
        if not mode & stat.S_IWUSR or not os.access(final, os.W_OK):
            raise PermissionError(None, "the file is read-only")
    part.open("xb").close()
    part.unlink()


def _refusal(target: Path, error: OSError) -> OSError:
    return type(error)(f"cannot write {str(target)!r}: {error.strerror}")
