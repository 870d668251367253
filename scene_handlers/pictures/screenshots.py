"""The handler that pictures a window of Blender."""

import struct
import zlib
from pathlib import Path
from typing import Any

import bpy
import gpu
import imbuf
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import Options, choice, integer, options
from ..support.files import absolute, written
from ..support.temporary_folders import temporary_folder
from .encoding import PNG_START, png

_LARGEST_SIDE = 65536

_FEWEST_ROWS = 4
"""A picture of a window has more different rows of pixels than a picture of one colour has in a PNG file."""


def screenshot(given: Options = None) -> bytes | str:
    """Return a picture of a window as the bytes of a PNG file, or its absolute path if the option `path` is set.

    Blender draws all of its windows before, so that the picture shows the present scene.

    Args:
        given: the options
            window: the number of the window; default 0, the first one.
            area: the type of one area of the window by Blender's name, such as VIEW_3D or NODE_EDITOR; of several areas
                of a type, the largest one. Default: the whole window.
            largest_side: the largest width and height in pixels; a larger picture becomes smaller, in its proportions.
                Default: the size of the window or the area.
            path: the file to write, on the computer on which Blender runs; see `files.absolute`. Its suffix is .png.

    Raises:
        ValueError: this Blender has no window, or the window has no area of this type.
        LookupError: there is no such window.
        RuntimeError: Blender could not read the picture.
        OSError: the file cannot be written.
    """
    chosen = options(given, ("window", "area", "largest_side", "path"))
    number = integer(chosen.get("window", 0), "window", 0)
    side = integer(chosen.get("largest_side", _LARGEST_SIDE), "largest_side", 1, _LARGEST_SIDE)
    types: Any = bpy.types.Area.bl_rna.properties["type"]
    names = {each.identifier: each.identifier for each in types.enum_items}
    type_ = choice(chosen["area"], names, "area") if "area" in chosen else None
    target = absolute(chosen["path"], "the path") if "path" in chosen else None
    if target is not None and target.suffix.lower() != ".png":
        raise ValueError(f"the picture is a PNG file: the name of its file has to end with .png, not {target.name!r}")
    window = numbered_window(number)
    area = None if type_ is None else largest_area(window, type_)
    with temporary_folder() as folder:
        picture = folder / "window.png"
        _draw(window, picture)
        _shrink(picture, area, side)
        data = picture.read_bytes()
    if target is None:
        return data
    with written(target) as part:
        part.write_bytes(data)
    return str(target)


def numbered_window(number: int) -> Any:
    """Return a window of Blender.

    Raises:
        ValueError: this Blender has no window.
        LookupError: it has fewer windows.
    """
    windows: Any = () if bpy.app.background else bpy.data.window_managers[0].windows
    if not windows:
        raise ValueError("this Blender has no window: render_still and thumbnail make pictures without one")
    if number >= len(windows):
        raise LookupError(f"no window {number}: this Blender has {len(windows)}, and the first one is 0")
    return windows[number]


def largest_area(window: Any, type_: str) -> Any:
    """Return the largest area of a type in a window.

    Raises:
        ValueError: the window has no area of this type.
    """
    areas = list(window.screen.areas)
    found = [each for each in areas if each.type == type_]
    if not found:
        present = ", ".join(sorted({each.type for each in areas}))
        raise ValueError(f"the window has no area {type_}; there are: {present}")
    return max(found, key=lambda each: each.width * each.height)


def _draw(window: Any, picture: Path) -> None:
    """Let Blender draw its windows, and write a picture of one of them."""
    with bpy.context.temp_override(window=window):
        try:
            bpy.ops.screen.screenshot(filepath=str(picture), check_existing=False)
        except RuntimeError as error:
            raise RuntimeError(f"Blender could not picture the window: {_said(error)}") from error
        if picture.is_file() and not _is_empty(picture.read_bytes()):
            return
        # Blender reads what the screen shows, and some drivers of graphics cards do not tell it. This operator selects
        # the window, whose pixels are still in the memory of the graphics card.
        bpy.ops.wm.redraw_timer(type="DRAW_WIN", iterations=1)
        try:
            picture.write_bytes(png(_pixels(window.width, window.height)))
        except ValueError as error:
            raise RuntimeError(f"Blender could not read the pixels of the window: {_said(error)}") from error
    if _is_empty(picture.read_bytes()):
        raise RuntimeError("Blender has drawn no content: does the system show the window?")


def _said(error: Exception) -> str:
    return str(error).removeprefix("Error: ").strip() or "it gave no reason"


def _pixels(width: int, height: int) -> NDArray[np.uint8]:
    """Return the pixels of the active window, row by row from top to bottom."""
    state: Any = gpu.state
    buffer = state.active_framebuffer_get().read_color(0, 0, width, height, 4, 0, "UBYTE")
    buffer.dimensions = width * height * 4
    pixels = np.array(buffer, np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(pixels[::-1, :, :3])


def _is_empty(data: bytes) -> bool:
    """Tell whether a PNG file shows a single colour."""
    pieces: list[bytes] = []
    at = len(PNG_START)
    (height,) = struct.unpack_from(">I", data, at + 12)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            pieces.append(data[at + 8 : at + 8 + length])
        at += length + 12
    unpacked = zlib.decompress(b"".join(pieces))
    size = len(unpacked) // height
    return len({unpacked[row * size : (row + 1) * size] for row in range(height)}) < _FEWEST_ROWS


def _shrink(picture: Path, area: Any, side: int) -> None:
    """Cut a picture of a window to an area, and reduce it, so that no side is longer than `side`."""
    image: Any = imbuf.load(str(picture))
    if area is not None:
        image.crop((area.x, area.y), (area.x + area.width - 1, area.y + area.height - 1))
    width, height = image.size
    longest = max(width, height)
    if longest > side:
        image.resize(tuple(max(1, round(each * side / longest)) for each in (width, height)), method="BILINEAR")
    imbuf.write(image, filepath=str(picture))
    image.free()
