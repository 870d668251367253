"""Handlers that import 3D files into the scene, and export objects of the scene to 3D files.

Files can come from strangers: see `limits` and `file_checks`. Blender reads a copy in a temporary folder that contains
nothing else, so that a file cannot load its neighbours.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..support.arguments import Options, flag, object_named, options, scene, shown
from ..support.changes import Changes, changes
from ..support.files import absolute, written
from ..support.temporary_folders import is_temporary, temporary_folder
from .cached_motion import bake_cached_motion
from .checks.file_checks import checked
from .file_formats import FORMATS, content_of, format_named
from .limits import LIMITS, Limits, limits
from .operators import run
from .usd_parents import join_parents

_IMPORT = (*LIMITS, "format")
_EXPORT = ("format", "objects", "animations")


def import_file(path: str, given: Options = None) -> list[str]:
    """Import a file into the scene. Return the names of the new objects.

    Args:
        path: the file; see `files.absolute`. Its suffix selects the format.
        given: the options
            format: glb, gltf, fbx, obj, usd, usda, usdc, usdz, stl, ply, abc, or vrm if its add-on is enabled; default
                that of the suffix.
            external: True: other files to which the file refers, such as textures, are loaded, too, and the file is
                not checked. Only for files that you trust. Default False.
            max_bytes, max_unpacked, max_pixels, max_seconds: see `limits`.

    Raises:
        ValueError: the file is invalid, has another format, contains no objects, breaks a limit, or needs other files.
        OSError: the file cannot be read.
    """
    chosen = options(given, (*_IMPORT, "external"))
    limit = limits(chosen)
    external = flag(chosen.get("external", False), "external")
    source = absolute(path, "the path")
    format_ = format_of(source, chosen.get("format"))
    data = read(source, limit)
    if external:
        with changes() as made:
            return imported(made, source, format_, limit)
    safe = checked(data, format_, limit)
    with private_file(safe, format_) as copy, changes() as made:
        names = imported(made, copy, format_, limit)
        # Blender reads animated meshes from the file in each frame.
        for cache in _caches_of(copy):
            made.set(cache, "filepath", str(source))
        return names


def import_bytes(data: bytes, given: Options = None) -> list[str]:
    """Import the content of a file into the scene. Return the names of the new objects.

    Args:
        data: the content of the file.
        given: the options
            format: as in `import_file`; default that of the content.
            max_bytes, max_unpacked, max_pixels, max_seconds: see `limits`.

    Raises:
        ValueError: as in `import_file`; or the file contains an animated mesh of USD or Alembic, which Blender can only
            read from a file that stays.
    """
    chosen = options(given, _IMPORT)
    limit = limits(chosen)
    content = as_bytes(data)
    format_ = format_of_bytes(content, chosen.get("format"), limit)
    safe = checked(content, format_, limit)
    with private_file(safe, format_) as copy, changes() as made:
        names = imported(made, copy, format_, limit)
        if _caches_of(copy):
            raise ValueError(
                "the file contains animated meshes, which Blender reads from the file in each frame: "
                "use import_file, or convert_bytes"
            )
        return names


def export_file(path: str, given: Options = None) -> str:
    """Export objects of the scene to a file. Return its absolute path.

    Args:
        path: the file; see `files.absolute`. Its suffix selects the format. It appears complete or not at all.
        given: the options
            format: as in `import_file`; default that of the suffix.
            objects: the names of the objects; default all objects of the scene.
            animations: False: without animations. Default True.

    Raises:
        ValueError: there is nothing to export, or Blender cannot write the format.
        OSError: the file cannot be written.
    """
    chosen = options(given, _EXPORT)
    target = absolute(path, "the path")
    format_ = format_of(target, chosen.get("format"))
    content = exported(chosen, format_)
    with written(target) as part:
        part.write_bytes(content)
    return str(target)


def export_bytes(format: str, given: Options = None) -> bytes:
    """Export objects of the scene. Return the content of the file.

    Args:
        format: as in `import_file`.
        given: the options `objects` and `animations` of `export_file`.

    Raises:
        ValueError: there is nothing to export, or Blender cannot write the format.
    """
    return exported(options(given, _EXPORT[1:]), format_named(format))


# Arguments


def as_bytes(data: Any) -> bytes:
    """Return the content of a file that a caller has passed.

    Raises:
        ValueError: it is not a binary.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(f"the content of a file has to be a binary, not {shown(data)}")
    return bytes(data)


def read(path: Path, limit: Limits) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is too large or empty.
    """
    try:
        # Another program can make the file longer after its size is known. A pipe would never end.
        if path.exists() and not path.is_file():
            raise OSError(None, "it is not a regular file")
        with path.open("rb") as file:
            data = file.read(limit.max_bytes + 1)
    except OSError as error:
        raise type(error)(f"cannot read {str(path)!r}: {error.strerror}") from error
    limit.check_size(len(data))
    return data


def format_of(path: Path, named: Any) -> str:
    """Return the format that the option names, or that the suffix of the path selects.

    Raises:
        ValueError: there is no such format.
    """
    if named is not None:
        return format_named(named)
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(
            f"the suffix of {path.name!r} is not that of a format; pass the option format, or use one of: "
            f"{', '.join(FORMATS)}"
        )
    return suffix


def format_of_bytes(data: bytes, named: Any, limit: Limits) -> str:
    """Return the format that the option names, or that the content has.

    Raises:
        ValueError: there is no such format, or the content is not known.
    """
    limit.check_size(len(data))
    if named is not None:
        return format_named(named)
    found = content_of(data)
    if found not in FORMATS:
        raise ValueError(f"the content of the file is not that of any of the formats {', '.join(FORMATS)}")
    return found


@contextmanager
def private_file(data: bytes, format_: str) -> Iterator[Path]:
    """Write a file to a temporary folder that contains nothing else. Yield its path.

    Blender's importers select the form by the suffix.
    """
    with temporary_folder() as folder:
        path = folder / f"file.{format_}"
        path.write_bytes(data)
        yield path


# Import


def imported(made: Changes, path: Path, format_: str, limit: Limits) -> list[str]:
    """Import a file. Return the names of the new objects."""
    current = scene()
    frames = current.frame_start, current.frame_end
    _keep_settings(made)
    with added(made) as new:
        run(
            FORMATS[format_].importer,
            format_,
            f"import this {format_} file",
            filepath=str(path),
            **FORMATS[format_].import_options,
        )
        limit.check_time()
        _remove_extras(path, new())
        check_coordinates(new())
        _remove_invalid_faces(new())
        objects = [block for block in new() if isinstance(block, bpy.types.Object)]
        if not objects:
            raise ValueError(f"the {format_} file contains no objects that Blender can import")
        if format_.startswith("usd"):
            join_parents(objects)
        moves = bake_cached_motion(objects, limit)
        bpy.data.batch_remove([block for block in new() if isinstance(block, bpy.types.CacheFile) and not block.users])
        if not (moves or _caches_of(path) or any(isinstance(block, bpy.types.Action) for block in new())):
            # A file without motion has no frames.
            current.frame_start, current.frame_end = frames
        return [each.name for each in objects]


def all_blocks() -> dict[int, bpy.types.ID]:
    """Return all datablocks of the file, by their identifiers in this session."""
    return {block.session_uid: block for block in bpy.data.user_map()}


@contextmanager
def added(made: Changes) -> Iterator[Any]:
    """Remember the datablocks of the file. Yield a function that returns those that have been added since.

    If the changes are taken back, the new datablocks are removed.
    """
    before = set(all_blocks())

    def new() -> list[bpy.types.ID]:
        return [block for uid, block in all_blocks().items() if uid not in before]

    made.on_undo(lambda: bpy.data.batch_remove(new()))
    yield new


def _keep_settings(made: Changes) -> None:
    """If the changes are taken back, restore the settings of the scene that importers change, and the selection."""
    current = scene()
    made.on_undo(current.frame_set, current.frame_current)
    for owner, name in (
        (current, "frame_start"),
        (current, "frame_end"),
        (current.render, "fps"),
        (current.render, "fps_base"),
    ):
        made.on_undo(setattr, owner, name, getattr(owner, name))
    layer: Any = bpy.context.view_layer
    made.on_undo(_select, layer, _selected(layer), layer.objects.active)


def _selected(layer: Any) -> list[str]:
    return [each.name for each in layer.objects if each is not None and each.select_get()]


def _select(layer: Any, names: list[str], active: Any) -> None:
    # Blender lists removed objects as None until it updates the view layer.
    layer.update()
    for each in layer.objects:
        if each is not None:
            each.select_set(each.name in names)
    layer.objects.active = active


def _remove_extras(path: Path, new: list[bpy.types.ID]) -> None:
    """Remove pictures that are not in the file itself, and empties that USD has for its materials."""
    extras: list[bpy.types.ID] = []
    private = is_temporary(path.parent)
    for block in new:
        if isinstance(block, bpy.types.Object):
            if block.type == "EMPTY" and block.name.startswith("_materials") and not block.children:
                extras.append(block)
        elif isinstance(block, bpy.types.Image) and private and block.source != "GENERATED" and not block.packed_files:
            # Blender would read the picture later, from wherever it is.
            extras.append(block)
    bpy.data.batch_remove(extras)


def _caches_of(path: Path) -> list[Any]:
    return [cache for cache in bpy.data.cache_files if Path(bpy.path.abspath(cache.filepath)) == path]


def check_coordinates(blocks: Iterable[bpy.types.ID]) -> None:
    """Check that new meshes and objects have finite coordinates: most of Blender's tools fail with others.

    Raises:
        ValueError: one of them is infinite or not a number.
    """
    for block in blocks:
        numbers: Any = ()
        if isinstance(block, bpy.types.Mesh):
            numbers = np.empty(len(block.vertices) * 3, np.float32)
            block.vertices.foreach_get("co", numbers)
        elif isinstance(block, bpy.types.Object):
            matrix: Any = block.matrix_basis
            numbers = [number for row in matrix for number in row]
        if not np.isfinite(numbers).all():
            raise ValueError(f"{block.name!r} in the file has a coordinate that is not a finite number")


def _remove_invalid_faces(blocks: list[bpy.types.ID]) -> None:
    """Remove faces whose vertices do not exist. The importers of USD and Alembic keep them, and Blender would crash.

    Their own option for this replaces coordinates that are not numbers by zeros, so that nobody could see them.
    """
    for block in blocks:
        if isinstance(block, bpy.types.Mesh):
            block.validate()


# Export


def exported(chosen: dict[str, Any], format_: str) -> bytes:
    """Export objects of the scene. Return the content of the file."""
    animations = flag(chosen.get("animations", True), "animations")
    objects = _chosen_objects(chosen.get("objects"))
    with temporary_folder() as folder, changes(temporary=True) as change:
        target = folder / f"file.{format_}"
        arguments = {"filepath": str(target), "check_existing": False, **FORMATS[format_].export_options}
        if FORMATS[format_].animation:
            arguments[FORMATS[format_].animation] = animations
        if objects is not None:
            _select_only(change, objects)
            arguments[FORMATS[format_].selection] = True
        if format_ == "abc":
            frames = (scene().frame_start, scene().frame_end) if animations else (scene().frame_current,) * 2
            arguments |= {"start": frames[0], "end": frames[1], "init_scene_frame_range": False}
        change.on_undo(scene().frame_set, scene().frame_current)
        run(FORMATS[format_].exporter, format_, f"export to {format_}", **arguments)
        return _content(target, format_)


def _chosen_objects(names: Any) -> list[bpy.types.Object] | None:
    """Return the objects to export, or None for all objects of the scene.

    Raises:
        ValueError: there are no objects to export, or one of them is not in the view layer.
        LookupError: there is no object with one of the names.
    """
    visible: Any = bpy.context.view_layer
    visible.update()  # Blender adds new objects to the list of a view layer only now.
    if names is None:
        if not len(visible.objects):
            raise ValueError("the scene has no objects to export")
        return None
    if not isinstance(names, list | tuple) or not names or all(isinstance(name, int) for name in names):
        raise ValueError(f"objects has to be a list of names of objects, not {shown(names)}")
    found = [object_named(name) for name in names]
    for each in found:
        if visible.objects.get(each.name) != each:
            raise ValueError(f"the object {each.name!r} is not in the current view layer")
    return found


def _select_only(change: Changes, objects: list[bpy.types.Object]) -> None:
    layer: Any = bpy.context.view_layer
    change.on_undo(_select, layer, _selected(layer), layer.objects.active)
    for each in objects:
        if each.hide_get() or each.hide_viewport:
            raise ValueError(
                f"the object {each.name!r} is hidden, and Blender exports only visible objects: show it first"
            )
    _select(layer, [each.name for each in objects], layer.objects.active)


def _content(target: Path, format_: str) -> bytes:
    """Return the content of the exported file, which refers to no other file."""
    if not target.is_file() or not target.stat().st_size:
        raise ValueError(f"Blender has written no {format_} file: is there anything to export, and is the disk full?")
    data = target.read_bytes()
    if format_ == "gltf":
        return _with_its_files(data, target.parent)
    if format_ == "obj":
        # The materials would be in another file. Their names remain.
        return b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"mtllib"))
    return data


def _with_its_files(data: bytes, folder: Path) -> bytes:
    """Return a glTF file with its buffers and pictures in it, as data URIs."""
    document = json.loads(data)
    for each in (*document.get("buffers", []), *document.get("images", [])):
        uri = each.get("uri")
        if uri and not uri.startswith("data:"):
            kind = each.get("mimeType", "application/octet-stream")
            each["uri"] = f"data:{kind};base64,{base64.b64encode((folder / uri).read_bytes()).decode()}"
    return json.dumps(document).encode()
