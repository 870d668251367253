"""Handlers that render a still image, or the frames of an animation.

Format and colour depth of a picture depend only on the options of the call. The look of the picture (engine, samples,
film, colour management, compositor, sequencer, simplification) is that of the scene, except for the given options.
"""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import imbuf

from ..motion.animation import FRAMES, Progress, frames, shown
from ..support.arguments import Options, choice, flag, integer, listed, options, scene, scene_named, text
from ..support.changes import Changes, changes
from ..support.files import absolute, written
from ..support.temporary_folders import temporary_folder

ENGINES = {
    "cycles": "CYCLES",
    # Blender 4.2 to 4.5 use another name for EEVEE.
    "eevee": "BLENDER_EEVEE_NEXT" if bpy.app.version < (5, 0, 0) else "BLENDER_EEVEE",
    "workbench": "BLENDER_WORKBENCH",
}


class Format(NamedTuple):
    """A format of picture files.

    Attributes:
        identifier: Blender's name.
        color_mode: all channels that the format can store, by Blender's name.
        depths: the possible numbers of bits of one channel of one pixel; the first is the default.
        end: the last bytes of each complete file, if the format has such an end.
        exr_codec: the compression of an OpenEXR file, by Blender's name.
        media_type: the group of formats to which it belongs since Blender 5, by Blender's name.
    """

    identifier: str
    color_mode: str
    depths: tuple[int, ...]
    end: bytes = b""
    exr_codec: str = "ZIP"
    media_type: str = "IMAGE"


FORMATS = {
    "png": Format("PNG", "RGBA", (8, 16), b"IEND\xaeB`\x82"),
    "jpeg": Format("JPEG", "RGB", (8,), b"\xff\xd9"),
    "exr": Format("OPEN_EXR", "RGBA", (16, 32)),
    "tiff": Format("TIFF", "RGBA", (8, 16)),
    "webp": Format("WEBP", "RGBA", (8,)),
    "hdr": Format("HDR", "RGB", (32,)),
    "tga": Format("TARGA", "RGBA", (8,)),
    "bmp": Format("BMP", "RGB", (8,)),
    "jp2": Format("JPEG2000", "RGBA", (8, 12, 16)),
}
"""The formats by the names for the option `format`. Each name is also a suffix of file names."""

_SUFFIXES = {**{f".{name}": name for name in FORMATS}, ".jpg": "jpeg", ".tif": "tiff"}

# The settings of the formats, where the default of Blender is not the same in all versions.
_QUALITY = {"quality": 90, "compression": 15, "tiff_codec": "DEFLATE", "jpeg2k_codec": "JP2"}

_PICTURE = ("width", "height", "engine", "samples", "denoise", "depth", "view")

SMALLEST, LARGEST = 4, 65536
"""The limits of Blender for the width and the height of a picture, in pixels."""

MOST_SAMPLES = 2**24


class Picture(NamedTuple):
    """The checked options for one picture, or for the pictures of an animation; None: as in the scene."""

    format: Format
    depth: int
    width: int | None
    height: int | None
    engine: str | None
    samples: int | None
    denoise: bool | None
    view: str | None


def render_still(given: Options = None) -> bytes | str:
    """Render the current frame. Return the bytes of the picture, or its absolute path if the option `path` is set.

    Options that are not given keep the settings of the scene. After the call, the scene has its old settings again.

    Args:
        given: the options
            width, height: the size in pixels, 4 to 65536; default that of the scene, without its percentage. The
                render region is not used.
            engine: cycles, eevee (it needs a graphics card) or workbench (likewise).
            samples, denoise: for Cycles; a number, and True or False.
            path: the file to write, on the computer on which Blender runs; see `files.absolute`. Its suffix selects the
                format. The file appears complete or not at all; folders are created.
            format: png (default), jpeg, exr, tiff, webp, hdr, tga, bmp or jp2.
            depth: the bits of a channel: 8 or 16 for png and tiff; 16 or 32 for exr; 8, 12 or 16 for jp2. The default
                is the smallest number.
            view: the name of one view of a stereoscopic scene, such as left. Default: the picture of the camera
                itself, without stereoscopy.
    """
    chosen = options(given, (*_PICTURE, "path", "format"))
    path = chosen.pop("path", None)
    # Only the bytes of the default file are returned, so its folder is temporary.
    with temporary_folder() as folder:
        name = choice(chosen.get("format", "png"), {each: each for each in FORMATS}, "format")
        target = folder / f"still.{name}" if path is None else absolute(path, "the path")
        picture = _checked(chosen, _format_of(target, chosen.get("format")))
        write_picture(scene(), target, picture)
        return target.read_bytes() if path is None else str(target)


def render_animation(folder: str, given: Options = None) -> Progress:
    """Render frames to files. Return the absolute paths of the files.

    This is a long call. It yields (number of finished frames, number of all frames). If it ends early, the files of the
    finished frames remain.

    Args:
        folder: the folder for the files 0001.png and so on (-0001.png for negative frames), on the computer on which
            Blender runs. Blender creates it if it does not exist.
        given: the options `first`, `last` and `step`: the first and the last frame, and the distance between two
            frames; default those of the scene; and the options of `render_still` except `path`.
    """
    chosen = options(given, (*_PICTURE, *FRAMES, "format"))
    wanted = frames({name: chosen.pop(name) for name in FRAMES if name in chosen})
    name: str = choice(chosen.get("format", "png"), {each: each for each in FORMATS}, "format")
    picture = _checked(chosen, FORMATS[name])
    home = absolute(folder, "the folder")
    rendered = scene().name
    made: list[str] = []
    for frame in wanted:
        target = home / f"{'-' if frame < 0 else ''}{abs(frame):04}.{name}"
        # Look the scene up in each frame: another call may have deleted it, or the user may look at another scene.
        current = scene_named(rendered)
        # Restore the frame before each yield, because other calls run then.
        with shown(frame, current):
            write_picture(current, target, picture)
        made.append(str(target))
        yield len(made), len(wanted)
    return made


_target: Path | None = None


def output_path(of: bpy.types.Scene) -> str:
    """Return the path of the picture that is being rendered: that of the call, or the output path of the scene."""
    return bpy.path.abspath(of.render.filepath) if _target is None else str(_target)


# Check the options


def _format_of(target: Path, named: Any) -> Format:
    """Return the format that the suffix of a path selects.

    Raises:
        ValueError: there is no such format, or the option `format` names another one.
    """
    suffix = target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"the suffix of the path selects the format, but that of {target.name!r} is none of: {', '.join(_SUFFIXES)}"
        )
    if named is not None and text(named) != _SUFFIXES[suffix]:
        raise ValueError(f"the format {text(named)} does not fit the path {target.name!r}: omit the option format")
    return FORMATS[_SUFFIXES[suffix]]


def _checked(chosen: dict[str, Any], format_: Format) -> Picture:
    size = {side: integer(chosen[side], side, SMALLEST, LARGEST) for side in ("width", "height") if side in chosen}
    depth = integer(chosen.get("depth", format_.depths[0]), "depth")
    if depth not in format_.depths:
        possible = ", ".join(map(str, format_.depths))
        raise ValueError(f"the depth of {format_.identifier} cannot be {depth}; possible: {possible}")
    picture = Picture(
        format=format_,
        depth=depth,
        width=size.get("width"),
        height=size.get("height"),
        engine=choice(chosen["engine"], ENGINES, "engine") if "engine" in chosen else None,
        samples=integer(chosen["samples"], "samples", 1, MOST_SAMPLES) if "samples" in chosen else None,
        denoise=flag(chosen["denoise"], "denoise") if "denoise" in chosen else None,
        view=text(chosen["view"], "a view") if "view" in chosen else None,
    )
    check_scene(scene(), picture)
    return picture


def check_scene(rendered: bpy.types.Scene, picture: Picture) -> None:
    if rendered.camera is None and not _has_strips(rendered):
        raise ValueError("the scene has no camera: make one with create_camera")
    if picture.view is not None and picture.view not in _views(rendered):
        raise ValueError(f"no view {picture.view!r} to render; there are: {listed(_views(rendered))}")


def _has_strips(rendered: bpy.types.Scene) -> bool:
    """Return whether the picture comes from the video sequencer, which needs no camera."""
    editor: Any = rendered.sequence_editor
    if editor is None or not rendered.render.use_sequencer:
        return False
    # Blender 4.4 has renamed the strips.
    return len(editor.strips_all if bpy.app.version >= (4, 4, 0) else editor.sequences_all) > 0


def _views(rendered: bpy.types.Scene) -> list[str]:
    """Return the names of the views of a stereoscopic scene."""
    render = rendered.render
    if not render.use_multiview:
        return []
    views: Any = render.views if render.views_format == "MULTIVIEW" else render.stereo_views
    return [view.name for view in views]


# Render


def write_picture(rendered: bpy.types.Scene, target: Path, picture: Picture) -> None:
    """Render the current frame of a scene to a file. The file appears complete or not at all."""
    check_scene(rendered, picture)
    with written(target) as part, _announced(target), changes() as made, changes(temporary=True) as change:
        made.on_undo(remove_results, results())
        _set_size(change, rendered, picture)
        _set_engine(change, rendered, picture)
        _set_views(change, rendered, picture)
        _set_file(change, rendered, part, picture)
        try:
            _run(rendered)
        except RuntimeError as error:
            said = str(error).removeprefix("Error: ").strip().replace(str(part), str(target))
            raise RuntimeError(f"Blender could not render: {said}") from error
        _find_view(part)
        # Blender's Python cannot read files with several layers. The caller reads such a file, and finds its errors.
        if picture.format.media_type == "IMAGE":
            _check_picture(part, rendered, picture.format)


@contextmanager
def _announced(target: Path) -> Iterator[None]:
    """Let the events about this picture name its path, and not that of the unfinished file."""
    global _target
    _target = target
    try:
        yield
    finally:
        _target = None


def results() -> list[bpy.types.Image]:
    """Return the image that Blender creates for the first render. It remains for the next ones."""
    return [image for image in bpy.data.images if image.type == "RENDER_RESULT"]


def remove_results(former: list[bpy.types.Image]) -> None:
    """Remove the image that a render has created, if there was none before."""
    if not former:
        bpy.data.batch_remove(results())


def _set_size(change: Changes, rendered: bpy.types.Scene, picture: Picture) -> None:
    render = rendered.render
    change.set(render, "resolution_percentage", 100)
    change.set(render, "use_border", False)
    if picture.width is not None:
        change.set(render, "resolution_x", picture.width)
    if picture.height is not None:
        change.set(render, "resolution_y", picture.height)


def _set_engine(change: Changes, rendered: bpy.types.Scene, picture: Picture) -> None:
    if picture.engine is not None:
        try:
            change.set(rendered.render, "engine", picture.engine)
        except TypeError:
            raise ValueError(f"this Blender has no engine {picture.engine}: enable its add-on") from None
    # Cycles is an add-on. The scene has this property only if Cycles is enabled.
    cycles: Any = getattr(rendered, "cycles", None)
    if cycles is not None and picture.samples is not None:
        change.set(cycles, "samples", picture.samples)
    if cycles is not None and picture.denoise is not None:
        change.set(cycles, "use_denoising", picture.denoise)


def _set_views(change: Changes, rendered: bpy.types.Scene, picture: Picture) -> None:
    render = rendered.render
    if picture.view is None:
        change.set(render, "use_multiview", False)
        return
    views: Any = render.views
    for view in views:
        change.set(view, "use", view.name == picture.view)


def _set_file(change: Changes, rendered: bpy.types.Scene, part: Path, picture: Picture) -> None:
    set_format(change, rendered, picture.format, picture.depth)
    change.set(rendered.render, "use_file_extension", False)
    change.set(rendered.render, "filepath", _escaped(str(part)))


def set_format(change: Changes, rendered: bpy.types.Scene, format_: Format, depth: int) -> None:
    """Set the format in which Blender writes the pictures of a scene."""
    render = rendered.render
    settings: Any = render.image_settings
    # Blender changes other settings with the format, such as the depth, and the codec of videos.
    change.keep(render.ffmpeg, settings)
    if bpy.app.version >= (5, 0, 0):
        settings.media_type = format_.media_type
    try:
        settings.file_format = format_.identifier
    except TypeError:
        raise ValueError(f"this Blender cannot write the format {format_.identifier}") from None
    settings.color_mode = format_.color_mode
    settings.color_depth = str(depth)
    settings.color_management = "FOLLOW_SCENE"
    settings.views_format = "INDIVIDUAL"
    settings.exr_codec = format_.exr_codec
    for name, value in _QUALITY.items():
        setattr(settings, name, value)


def _escaped(path: str) -> str:
    """Return a path in which Blender finds no template expressions. It has them since version 4.5."""
    return path.replace("{", "{{").replace("}", "}}") if bpy.app.version >= (4, 5, 0) else path


def _run(rendered: bpy.types.Scene) -> None:
    with bpy.context.temp_override(scene=rendered):
        result: Any = bpy.ops.render.render(write_still=True)
    if "FINISHED" not in result:
        raise RuntimeError("the render was cancelled")


def _find_view(part: Path) -> None:
    """Give the file of a single view its name: before the last suffix, Blender has added the suffix of the view."""
    for named in part.parent.glob(f"{glob.escape(part.stem)}?*{part.suffix}"):
        named.replace(part)


def _check_picture(part: Path, rendered: bpy.types.Scene, format_: Format) -> None:
    """Check that Blender has written a whole picture. It does not report all errors, such as a full disk."""
    wanted = rendered.render.resolution_x, rendered.render.resolution_y
    try:
        size = tuple(imbuf.load(str(part)).size)
        # Blender can read the pixels of some files that are cut.
        whole = part.read_bytes().endswith(format_.end)
    except (OSError, ValueError):
        size, whole = wanted, False
    if not whole:
        raise OSError("Blender could not write the whole picture: is the disk full?")
    if size != wanted:
        raise OSError(f"Blender has written a picture of {size[0]}x{size[1]} instead of {wanted[0]}x{wanted[1]} pixels")
