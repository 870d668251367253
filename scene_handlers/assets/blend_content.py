"""Opens the content of a .blend file from a stranger in the current, empty file.

The content is appended and not opened. When Blender opens a file, it evaluates the scene at once: it calculates drivers
and modifiers, and reads caches from paths in the file. What is appended is evaluated only when it becomes the current
scene, and `blend_cleaning` has removed all of this before. Appending also runs no scripts and no functions in
`bpy.app.handlers`, keeps Blender's windows as they are, and leaves the current file without a path, so that a path that
is relative to it leads nowhere.
"""

from pathlib import Path
from typing import Any

import bpy

from ..support.arguments import find, scene
from .blend_cleaning import check_pictures, clean, remove_files
from .blend_reader import BlendFile, read_blend
from .file_formats import content_of
from .limits import Limits
from .transfer import all_blocks, check_coordinates

_LEFT_OUT = {"workspaces", "screens", "window_managers", "texts", "libraries", "brushes", "palettes", "paint_curves"}
"""Datablocks for the user interface, and scripts."""

_EMPTY_SCENE = "beam_bpy empty"


def checked_blend(data: bytes, limits: Limits, *, external: bool) -> BlendFile:
    """Check a .blend file before Blender reads it. Return what it contains.

    Raises:
        ValueError: the file is invalid, breaks a limit, or has libraries and may not.
    """
    if content_of(data) != "blend":
        raise ValueError("the file is not a .blend file")
    found = read_blend(data, limits)
    libraries = sorted(each.path for each in found.references if each.kind == "libraries" and not each.packed)
    if libraries and not external:
        raise ValueError(
            f"the .blend file links datablocks of other files: {', '.join(libraries)}; make them local in Blender "
            "(Object, Relations, Make Local, All), and save the file again"
        )
    return found


def append_all(path: Path, file: BlendFile, limits: Limits, *, external: bool) -> None:
    """Append all of a .blend file to the current file, which is empty. Its scene becomes the current one.

    Raises:
        ValueError: the file is damaged, breaks a limit, or needs other files.
    """
    empty = scene()
    empty.name = _EMPTY_SCENE
    libraries: Any = bpy.data.libraries
    try:
        with libraries.load(str(path), link=False) as (source, target):
            kinds = [kind for kind in dir(source) if kind not in _LEFT_OUT and isinstance(getattr(source, kind), list)]
            for kind in kinds:
                setattr(target, kind, getattr(source, kind))
    except OSError as error:
        raise ValueError(f"Blender could not read the .blend file: {_said(error, path, file.version)}") from error
    if any(None in getattr(target, kind) for kind in kinds):
        raise ValueError("Blender could not read all datablocks of the .blend file: it is damaged")
    if not external:
        bpy.data.batch_remove(list(libraries))
    clean()
    if not external:
        remove_files(path)
    check_pictures(limits)
    check_coordinates(all_blocks().values())
    _show(empty, list(target.scenes), file)


def _show(empty: bpy.types.Scene, scenes: list[bpy.types.Scene], file: BlendFile) -> None:
    """Make the scene of the file the current one. If it has none, show all its objects in the empty scene."""
    if not scenes:
        empty.name = "Scene"
        for each in bpy.data.objects:
            empty.collection.objects.link(each)
        return
    named = None if file.scene is None else find(bpy.data.scenes, file.scene)
    manager: Any = bpy.context.window_manager
    for window in manager.windows:
        window.scene = named or scenes[0]
    bpy.data.scenes.remove(empty)


def _said(error: OSError, path: Path, version: str) -> str:
    own = ".".join(map(str, bpy.app.version[:2]))
    if _numbers(version) > _numbers(own):
        return f"it was saved by Blender {version}, and this is Blender {own}"
    return str(error).replace(str(path), "it").removeprefix("Error: ").strip() or "it gave no reason"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
