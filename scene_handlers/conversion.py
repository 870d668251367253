"""The handlers that begin and end with an empty file: `new_file`, and conversions of files from strangers."""

import math
from typing import Any

import bpy

from .arguments import Options, flag, options, scene
from .changes import changes
from .file_checks import checked
from .file_formats import FORMATS, format_named, operator
from .limits import LIMITS, limits
from .transfer import _exported, _imported, as_bytes, format_of_bytes, private_file


def new_file(given: Options = None) -> bool:
    """Replace the current file by an empty one: one scene without objects, and Blender's own settings. Return true.

    Add-ons, preferences and handlers stay as they are.

    Args:
        given: the option discard: True: unsaved changes of the user are lost. Default False. Without a window there is
            no user, so it has no effect.

    Raises:
        ValueError: the user has unsaved changes.
    """
    chosen = options(given, ("discard",))
    check_unsaved(flag(chosen.get("discard", False), "discard"))
    empty()
    return True


def convert_bytes(data: bytes, to: str, given: Options = None) -> bytes:
    """Convert the content of a file to another format. Return the content of the new file.

    The current file is replaced by an empty one, before and after the conversion, also if it fails. Only a file that is
    refused before Blender reads it leaves the current one as it is. Nothing of a file reaches the next one. Scripts in
    files never run, and no other file is read.

    Args:
        data: the content of the file.
        to: the new format; see `import_file`.
        given: the options
            format: the format of the file; default that of its content.
            animations: False: without animations. Default True.
            discard: see `new_file`.
            max_bytes, max_unpacked, max_pixels, max_seconds: see `limits`.

    Raises:
        ValueError: the file is invalid, has another format, contains no objects, breaks a limit, or needs other files;
            or Blender cannot read or write the format; or the user has unsaved changes.
        TimeoutError: a step has ended after the time limit.
    """
    chosen = options(given, (*LIMITS, "format", "animations", "discard"))
    limit = limits(chosen)
    target = format_named(to)
    animations = flag(chosen.get("animations", True), "animations")
    discard = flag(chosen.get("discard", False), "discard")
    content = as_bytes(data)
    source = format_of_bytes(content, chosen.get("format"), limit)
    operator(FORMATS[source].importer, source)
    operator(FORMATS[target].exporter, target)
    safe = checked(content, source, limit)
    check_unsaved(discard)
    empty()
    try:
        with private_file(safe, source) as path, changes() as made:
            _imported(made, path, source, limit)
            _show_all_frames()
            converted = _exported({"animations": animations}, target)
            limit.check_time()
            return converted
    finally:
        empty()


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


def _show_all_frames() -> None:
    """Let the range of the scene contain all keyframes, because exporters leave out what is outside."""
    ranges: list[Any] = [action.frame_range for action in bpy.data.actions]
    if ranges:
        current = scene()
        current.frame_start = max(0, math.floor(min(first for first, _last in ranges)))
        current.frame_end = max(current.frame_start, math.ceil(max(last for _first, last in ranges)))
