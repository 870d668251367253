"""Handlers that render a still image, or the frames of an animation."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from .animation import Progress, frames, shown
from .arguments import Options, choice, options, scene

_ENGINES = {
    "cycles": "CYCLES",
    # Blender 4.2 to 4.5 use another name for EEVEE.
    "eevee": "BLENDER_EEVEE_NEXT" if bpy.app.version < (5, 0, 0) else "BLENDER_EEVEE",
    "workbench": "BLENDER_WORKBENCH",
}


def render_still(given: Options = None) -> bytes | str:
    """Render the current frame. Return the bytes of the PNG file, or its path if the option `path` is set.

    Options that are not given keep the settings of the scene. After the call, the scene has its old settings again.

    Args:
        given: the options
            width, height: the size in pixels.
            engine: cycles, eevee (it needs a graphics card) or workbench.
            samples, denoise: for Cycles; a number, and True or False.
            path: the file to write, on the computer on which Blender runs.
    """
    chosen = options(given, (*_PICTURE, "path"))
    settings = _settings(chosen)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(chosen.get("path") or Path(folder, "still.png"))
        _render(target, settings)
        return str(target) if chosen.get("path") else target.read_bytes()


def render_animation(folder: str, given: Options = None) -> Progress:
    """Render frames to PNG files. Return the paths of the files.

    This is a long call. It yields (number of finished frames, number of all frames).

    Args:
        folder: the folder for the files 0001.png and so on, on the computer on which Blender runs. Blender creates it
            if it does not exist.
        given: the options `first` and `last`, the first and the last frame, default those of the scene; and the options
            of `render_still` except `path`.
    """
    chosen = options(given, (*_PICTURE, "first", "last"))
    wanted = frames({name: chosen.pop(name) for name in ("first", "last") if name in chosen})
    settings = _settings(chosen)
    made: list[str] = []
    for frame in wanted:
        target = Path(folder, f"{frame:04}.png")
        # Restore the frame before each yield, because other calls run then.
        with shown(frame):
            _render(target, settings)
        made.append(str(target))
        yield len(made), len(wanted)
    return made


def _render(target: Path, settings: list[tuple[Any, str, Any]]) -> None:
    if scene().camera is None:
        raise ValueError("the scene has no camera: make one with create_camera")
    with _for_now(settings):
        scene().render.filepath = str(target.absolute())
        bpy.ops.render.render(write_still=True)


def _settings(chosen: dict[str, Any]) -> list[tuple[Any, str, Any]]:
    """Return the settings for this picture: owner, name and value of each property."""
    render: Any = scene().render
    # Cycles is an add-on. The scene has this property only if Cycles is enabled.
    cycles: Any = getattr(scene(), "cycles", None)
    settings = [
        (render, "filepath", ""),
        (render, "use_file_extension", False),
        (render, "resolution_percentage", 100),
        (render.image_settings, "file_format", "PNG"),
    ]
    if "engine" in chosen:
        settings.append((render, "engine", choice(chosen["engine"], _ENGINES, "engine")))
    settings += [(render, f"resolution_{axis}", int(chosen[side])) for side, axis in _SIDES if side in chosen]
    if cycles is not None:
        settings += [(cycles, name, chosen[option]) for option, name in _CYCLES if option in chosen]
    return settings


_PICTURE = ("width", "height", "engine", "samples", "denoise")
_SIDES = (("width", "x"), ("height", "y"))
_CYCLES = (("samples", "samples"), ("denoise", "use_denoising"))


@contextmanager
def _for_now(settings: list[tuple[Any, str, Any]]) -> Iterator[None]:
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in settings]
    try:
        for owner, name, value in settings:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
