"""Opens files from strangers in a Blender that is empty before and after.

`opened` is the only way in which `conversion` and `processing` open the content of a file.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from ..support.arguments import flag, scene
from ..support.changes import changes
from .blend_content import append_all, checked_blend
from .checks.file_checks import checked
from .file_formats import FORMATS, content_of, format_named, operator
from .limits import LIMITS, Limits, limits
from .transfer import as_bytes, imported, private_file

OPENING = (*LIMITS, "format", "discard", "external")
"""The options of the handlers that open the content of a file."""

_BLEND = "blend"

_UNKNOWN = 0, 0
"""The first and the last frame of the scene before an import."""

_WORK = threading.Lock()
"""Held while the current file is that of a call. A second call would remove it."""


class Content(NamedTuple):
    """The content of a file, and how to open it.

    Attributes:
        data: the content.
        format: its format; also `blend`.
        limit: the limits of the call.
        discard: whether unsaved changes of the user may be lost.
        external: whether a .blend file may load other files.
    """

    data: bytes
    format: str
    limit: Limits
    discard: bool
    external: bool


def content(data: Any, chosen: dict[str, Any]) -> Content:
    """Return the content of a file with the options of the call, which starts now.

    Args:
        data: the content, as the caller passed it.
        chosen: the options `OPENING`.

    Raises:
        ValueError: the data is no binary, is empty or too large, or its format is not known; or an option is wrong; or
            `external` is set for another format than that of Blender.
    """
    limit = limits(chosen)
    discard = flag(chosen.get("discard", False), "discard")
    external = flag(chosen.get("external", False), "external")
    held = as_bytes(data)
    limit.check_size(len(held))
    format_ = _format(held, chosen.get("format"))
    if external and format_ != _BLEND:
        raise ValueError(f"the option external is for .blend files, and this is a {format_} file")
    return Content(held, format_, limit, discard, external)


def _format(data: bytes, named: Any) -> str:
    known = (*FORMATS, _BLEND)
    if named is not None:
        return format_named(named, known)
    found = content_of(data)
    if found not in known:
        raise ValueError(f"the content of the file is not that of any of the formats {', '.join(known)}")
    return found


@contextmanager
def opened(file: Content) -> Iterator[None]:
    """Open the content of a file in an empty Blender. When the `with` block ends, the file is empty again.

    Only a file that is refused before Blender reads it leaves the current file as it is.

    Raises:
        ValueError: the file is invalid, breaks a limit, or needs other files; or Blender cannot read its format; or the
            user has unsaved changes.
        RuntimeError: another call works with a file of its own.
    """
    check_free()
    safe, read = _prepared(file)
    check_unsaved(file.discard)
    with _WORK:
        empty()
        try:
            # Blender reads some motion from the file in each frame, so it stays as long as the block.
            with private_file(safe, file.format) as path:
                read(path)
                file.limit.check_time()
                yield
        finally:
            empty()


def _prepared(file: Content) -> tuple[bytes, Callable[[Path], None]]:
    """Check the content of a file. Return what Blender may read, and a function that lets Blender read its file."""
    if file.format == _BLEND:
        found = checked_blend(file.data, file.limit, external=file.external)
        return file.data, lambda path: append_all(path, found, file.limit, external=file.external)
    operator(FORMATS[file.format].importer, file.format)
    return checked(file.data, file.format, file.limit), lambda path: _import(path, file)


def _import(path: Path, file: Content) -> None:
    current = scene()
    default = current.frame_start, current.frame_end
    # Importers that know the frames of a file set them.
    current.frame_start, current.frame_end = _UNKNOWN
    with changes() as made:
        imported(made, path, file.format, file.limit)
    _show_all_frames(default)


def _show_all_frames(default: tuple[int, int]) -> None:
    """Let the range of the scene contain all keyframes, because exporters leave out what is outside."""
    current = scene()
    ranges: list[Any] = [action.frame_range for action in bpy.data.actions]
    if (current.frame_start, current.frame_end) != _UNKNOWN:
        ranges.append((current.frame_start, current.frame_end))
    first, last = default
    if ranges:
        first = max(0, math.floor(min(start for start, _end in ranges)))
        last = max(first, math.ceil(max(end for _start, end in ranges)))
    current.frame_start, current.frame_end = first, last


def check_free() -> None:
    """Check that no call works with a file of its own, which would be lost.

    Raises:
        RuntimeError: there is such a call.
    """
    if _WORK.locked():
        raise RuntimeError(
            "this Blender works with the file of another call of process_bytes: wait until it ends, or use another one"
        )


def empty() -> None:
    """Replace the current file by an empty one.

    `read_factory_settings` would disable the add-ons that are not Blender's own, such as this one.
    """
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True, load_ui=False)


def check_unsaved(discard: bool) -> None:
    """Check that no work of a user gets lost.

    Raises:
        ValueError: the user has unsaved changes, and `discard` is False.
    """
    if bpy.data.is_dirty and not discard and not bpy.app.background:
        raise ValueError(
            "the current file has unsaved changes: save it with save_file, or pass the option discard: true"
        )
