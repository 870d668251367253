"""Handlers for .blend files: open, save, append and link.

Scripts in a file that a handler opens never run, unless the caller allows it, and Python drivers in it stay off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ..support.arguments import Options, choice, flag, listed, options, scene, shown, text
from ..support.changes import changes
from ..support.files import absolute, written
from .blend_cleaning import mute_drivers, with_parts
from .blend_reader import read_blend
from .file_formats import content_of
from .limits import LIMITS, Limits, limits
from .opening import check_free, check_unsaved
from .transfer import added, read

_KINDS = {
    "objects": "objects",
    "collections": "collections",
    "materials": "materials",
    "meshes": "meshes",
    "node_groups": "node_groups",
    "actions": "actions",
    "worlds": "worlds",
    "images": "images",
}
"""The kinds of datablocks that can be appended and linked."""


def open_file(path: str, given: Options = None) -> str:
    """Open a .blend file in place of the current one. Return its absolute path.

    Args:
        path: the file; see `files.absolute`.
        given: the options
            use_scripts: True: run scripts in the file, and its drivers. Default False.
            external: True: also load the files to which the file refers: libraries, pictures, sounds, fonts, movies,
                volumes, caches. Default False: a file with such references is refused.
            discard: see `new_file`.
            max_bytes, max_unpacked: see `limits`.

    Raises:
        ValueError: the file is invalid, refers to other files, or breaks a limit; or the user has unsaved changes.
        OSError: the file cannot be read.
    """
    chosen = options(given, (*LIMITS, "use_scripts", "external", "discard"))
    limit = limits(chosen)
    use_scripts = flag(chosen.get("use_scripts", False), "use_scripts")
    external = flag(chosen.get("external", False), "external")
    discard = flag(chosen.get("discard", False), "discard")
    source = absolute(path, "the path")
    _check_blend(source, limit, external=external)
    check_free()
    check_unsaved(discard)
    try:
        bpy.ops.wm.open_mainfile(filepath=str(source), load_ui=False, use_scripts=use_scripts)
    except RuntimeError as error:
        raise ValueError(f"Blender could not open {source.name!r}: {_said(error)}") from error
    return str(source)


def save_file(path: str | None = None, given: Options = None) -> str:
    """Save the current file. Return its absolute path.

    The file appears complete or not at all, and is then the current one, as after *Save As* in Blender.

    Args:
        path: the file; see `files.absolute`. Default: the path of the current file.
        given: the options
            compress: True: compress the file. Default False.
            copy: True: the current file keeps its path. Default False.

    Raises:
        ValueError: the current file has no path, or the suffix is not .blend.
        OSError: the file cannot be written.
    """
    chosen = options(given, ("compress", "copy"))
    compress = flag(chosen.get("compress", False), "compress")
    copy = flag(chosen.get("copy", False), "copy")
    if path is None and not bpy.data.filepath:
        raise ValueError("the current file has never been saved: pass a path")
    target = Path(bpy.data.filepath) if path is None else absolute(path, "the path")
    if target.suffix.lower() != ".blend":
        raise ValueError(f"the name of the file has to end with .blend, but {target.name!r} does not")
    # Blender itself writes to a temporary file, and renames it at the end. `written` checks that it can be written.
    with written(target) as part:
        _save(part, compress=compress, copy=True)
    if not copy:
        with _no_older_versions():
            _save(target, compress=compress, copy=False)
    return str(target)


def append(path: str, kind: str, names: list[str], given: Options = None) -> list[str]:
    """Copy datablocks of another .blend file into the current one. Return their names.

    Objects and collections also become part of the current scene. What they need comes with them.

    Args:
        path: the other file; see `files.absolute`.
        kind: objects, collections, materials, meshes, node_groups, actions, worlds or images.
        names: the names of the datablocks.
        given: the options external, max_bytes and max_unpacked of `open_file`.

    Raises:
        ValueError: the file is invalid, refers to other files, or breaks a limit.
        LookupError: the file has no datablock with one of the names.
        OSError: the file cannot be read.
    """
    return _loaded(path, kind, names, given, link=False)


def link(path: str, kind: str, names: list[str], given: Options = None) -> list[str]:
    """Link datablocks of another .blend file. Return their names.

    The datablocks stay in the other file, and Blender reads them again when it opens the current one. The arguments and
    errors are those of `append`.
    """
    return _loaded(path, kind, names, given, link=True)


def _loaded(path: str, kind: Any, names: Any, given: Options, *, link: bool) -> list[str]:
    chosen = options(given, (*LIMITS, "external"))
    limit = limits(chosen)
    external = flag(chosen.get("external", False), "external")
    collection: str = choice(kind, _KINDS, "kind")
    wanted = _names(names)
    source = absolute(path, "the path")
    if bpy.data.filepath and source == Path(bpy.data.filepath):
        raise ValueError("the current file cannot be appended or linked to itself")
    found = _check_blend(source, limit, external=external).get(collection, [])
    for name in wanted:
        if name not in found:
            raise LookupError(f"{source.name!r} has no {collection} named {name!r}")
    libraries: Any = bpy.data.libraries
    with changes() as made, added(made) as new:
        try:
            with libraries.load(str(source), link=link) as (_source, target):
                setattr(target, collection, list(wanted))
        except OSError as error:
            raise ValueError(f"Blender could not read {source.name!r}: {_said(error)}") from error
        loaded = list(getattr(target, collection))
        if None in loaded:
            raise ValueError(f"Blender could not read all datablocks of {source.name!r}: the file is damaged")
        for owner in with_parts(new()):
            mute_drivers(owner)
        for block in loaded:
            _show(block)
        return [block.name for block in loaded]


def _names(names: Any) -> list[str]:
    if not isinstance(names, list | tuple) or not names or isinstance(names[0], int):
        raise ValueError(f"expected a list of names, not {shown(names)}")
    found = [text(name) for name in names]
    if len(set(found)) < len(found):
        raise ValueError("a name stands in the list twice")
    return found


def _show(block: Any) -> None:
    """Make a datablock part of the current scene, if it is of a kind that can be."""
    current: Any = scene().collection
    if isinstance(block, bpy.types.Object):
        current.objects.link(block)
    elif isinstance(block, bpy.types.Collection) and block.name not in current.children:
        current.children.link(block)


def _check_blend(source: Path, limit: Limits, *, external: bool) -> dict[str, list[str]]:
    """Check a .blend file before Blender reads it. Return the names of its datablocks.

    Raises:
        ValueError: it is not a .blend file, is damaged, breaks a limit, or loads other files and may not.
    """
    data = read(source, limit)
    if content_of(data) != "blend":
        raise ValueError(f"{source.name!r} is not a .blend file")
    found = read_blend(data, limit)
    others = sorted({each.path for each in found.references if not each.packed})
    if others and not external:
        raise ValueError(f"{source.name!r} loads other files: {listed(others)}; pass external: true if you trust them")
    return found.names


@contextmanager
def _no_older_versions() -> Iterator[None]:
    """Let Blender keep no older version of a file (.blend1), because it has the same content."""
    preferences: Any = bpy.context.preferences
    versions = preferences.filepaths.save_version
    preferences.filepaths.save_version = 0
    try:
        yield
    finally:
        preferences.filepaths.save_version = versions


def _save(path: Path, *, compress: bool, copy: bool) -> None:
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress, copy=copy, check_existing=False)
    except RuntimeError as error:
        raise OSError(f"Blender could not save the file: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error).removeprefix("Error: ").strip() or "it gave no reason"
