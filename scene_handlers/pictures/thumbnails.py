"""Handlers that picture a scene, an object, a collection or a material, lit and framed."""

import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..motion.animation import Progress
from ..support.arguments import Options, choice, flag, floats, integer, options, shown
from ..support.files import absolute, written
from ..support.temporary_folders import temporary_folder
from .framing import View, axes_towards, fitted, half_sides, orbit
from .render import ENGINES, FORMATS, MOST_SAMPLES, Picture, write_picture
from .studio import SLOPE, Studio, studio, subject

_DIRECTIONS = {
    "front": (0.0, -1.0, 0.0),
    "back": (0.0, 1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
}
"""From the subject to the camera."""

_DIRECTION = (0.5, -1.0, 0.45)

_LOOK = ("width", "height", "engine", "samples", "denoise")

_SIZE = 256

_SAMPLES = 16

_SMALLEST, _LARGEST = 4, 8192
"""The limits of the size of a picture, in pixels. The picture is built in memory."""

_MOST_PICTURES = 1000


class _Look(NamedTuple):
    """The checked options for pictures."""

    picture: Picture
    sides: tuple[float, float]


def thumbnail(kind: str = "scene", name: str | None = None, given: Options = None) -> bytes:
    """Return a picture of a datablock as the bytes of a PNG file.

    All of the datablock is in the picture and fills it. It is lit by lights of this handler; other lights have no
    effect. The background is transparent. The result depends on the datablock, the current frame and the options only.

    An object is pictured with all its children, and a material on a ball. The datablock itself can be hidden. Of all
    other objects, those are pictured that a render would show.

    Args:
        kind: scene, object, collection or material; default scene.
        name: the name; default nil, which means the current scene.
        given: the options
            width, height: the size in pixels, 4 to 8192, default 256.
            from: the direction from the datablock to the camera: front, back, left, right, top, bottom, or a vector;
                default [0.5, -1, 0.45], which is half from the right and from above.
            engine: cycles (default), or eevee or workbench, which need a graphics card.
            samples: the number of samples of Cycles, default 16.
            denoise: True: remove the noise of Cycles, which takes longer than many samples; default False.

    Raises:
        ValueError: the datablock has nothing that a render would show; or a mesh has coordinates that are not finite.
    """
    chosen = options(given, (*_LOOK, "from"))
    look = _checked(chosen)
    axes = axes_towards(_direction(chosen.get("from", _DIRECTION)))
    with studio(subject(kind, name)) as made:
        picture: bytes = _pictured(made, fitted(made.shapes(), axes, look.sides), look.picture)
    return picture


def turntable(kind: str = "scene", name: str | None = None, given: Options = None) -> Progress:
    """Return pictures of a datablock from all sides: the camera goes around it, counterclockwise as seen from above.

    This is a long call. It yields (number of finished pictures, number of all pictures). The camera is always at the
    same distance from the centre, so that all pictures have the same scale.

    Args:
        kind, name: as for `thumbnail`.
        given: the options of `thumbnail`, whose option `from` is the first direction, and
            count: the number of pictures, 1 to 1000, default 12.
            folder: a folder for the files 0001.png and so on, on the computer on which Blender runs. Blender creates
                it if it does not exist. If the call ends early, the finished files remain.

    Returns:
        A list of the bytes of PNG files; or of the absolute paths, if the option `folder` is set.
    """
    chosen = options(given, (*_LOOK, "from", "count", "folder"))
    look = _checked(chosen)
    count = integer(chosen.get("count", 12), "count", 1, _MOST_PICTURES)
    first = _direction(chosen.get("from", _DIRECTION))
    home = absolute(chosen["folder"], "the folder") if "folder" in chosen else None
    wanted = subject(kind, name)
    views: list[View] = []
    made: list[Any] = []
    for index in range(count):
        # The temporary scene does not exist between the pictures, because other calls run then.
        with studio(wanted) as place:
            if not views:
                views = orbit(place.shapes(), [_turned(first, step / count) for step in range(count)], look.sides)
            target = None if home is None else home / f"{index + 1:04}.png"
            made.append(_pictured(place, views[index], look.picture, target))
        yield len(made), count
    return made


def _checked(chosen: dict[str, Any]) -> _Look:
    width, height = (integer(chosen.get(side, _SIZE), side, _SMALLEST, _LARGEST) for side in ("width", "height"))
    picture = Picture(
        format=FORMATS["png"],
        depth=8,
        width=width,
        height=height,
        engine=choice(chosen.get("engine", "cycles"), ENGINES, "engine"),
        samples=integer(chosen.get("samples", _SAMPLES), "samples", 1, MOST_SAMPLES),
        denoise=flag(chosen.get("denoise", False), "denoise"),
        view=None,
    )
    return _Look(picture, half_sides(width, height, SLOPE))


def _direction(given: Any) -> Any:
    if isinstance(given, str | bytes | memoryview):
        return np.array(choice(given, _DIRECTIONS, "direction"))
    found = floats(given)
    if len(found) != 3 or not any(found):
        raise ValueError(
            f"from has to be a list of three numbers that are not all 0, or one of {', '.join(_DIRECTIONS)}, "
            f"not {shown(given)}"
        )
    # The longest number becomes 1, because the square of a very large or small number is no float.
    return np.array(found) / max(map(abs, found))


def _turned(direction: Any, turns: float) -> Any:
    """Return a direction after a rotation around Z."""
    x, y, z = direction
    cosine, sine = math.cos(math.tau * turns), math.sin(math.tau * turns)
    return np.array((x * cosine - y * sine, x * sine + y * cosine, z))


def _pictured(made: Studio, view: View, picture: Picture, target: Path | None = None) -> Any:
    """Render the temporary scene. Return the bytes of the picture, or the path of its file if there is a target."""
    made.place(view)
    with temporary_folder() as folder:
        path = folder / "thumbnail.png"
        write_picture(made.scene, path, picture)
        data = _without_texts(path.read_bytes())
    if target is None:
        return data
    with written(target) as part:
        part.write_bytes(data)
    return str(target)


def _without_texts(data: bytes) -> bytes:
    """Return a PNG file without the texts that Blender writes: the date, a path, how long the render took.

    https://www.w3.org/TR/png-3/#5Chunk-layout
    """
    kept = [data[:8]]
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
