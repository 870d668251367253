"""Images by the megabyte: pixels as binaries, row by row from the bottom up, each row from left to right.

That is the order in which Blender keeps them. A float32 pixel is linear and may be brighter than 1.0; a uint8 pixel is
what a PNG file holds.
"""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .arguments import Options, numbers, options, text

Array = NDArray[Any]

_CHANNELS = (1, 3, 4)


def upload_image(
    name: str | memoryview, width: int, height: int, channels: int, pixels: Any, given: Options = None
) -> str:
    """Make an image of that name, or replace the one that there is wherever it is used; returns its name.

    Args:
        name: the image.
        width: in pixels.
        height: in pixels.
        channels: 1, grey; 3, red, green and blue; or 4, with alpha.
        pixels: the binary. Its size says what it holds: one byte for each channel of each pixel, uint8, or four,
            float32. A list of numbers stands for float32.
        given: pack, default False: keep a compressed copy inside the blend file, which takes longer than all the rest;
            without it, the pixels are gone when the file is closed.
    """
    pack = bool(options(given, ("pack",)).get("pack", False))
    values = _checked(width, height, channels, pixels)
    made = _image(text(name), width, height, float_buffer=values.dtype == np.float32)
    stored: Any = made.pixels
    stored.foreach_set(_rgba(values, channels))
    made.update()
    if pack:
        made.pack()
    return made.name


def download_image(name: str, given: Options = None) -> dict[str, Any]:
    """An image: width, height, channels, and pixels as `upload_image` takes them.

    Args:
        name: the image.
        given: type, `uint8` or `float32`, default what the image itself holds.
    """
    chosen = options(given, ("type",))
    found = bpy.data.images.get(name)
    if found is None:
        raise LookupError(f"no image named {str(name)!r}; there are: {', '.join(bpy.data.images.keys()) or 'none'}")
    wanted = str(chosen.get("type", "float32" if found.is_float else "uint8"))
    if wanted not in ("uint8", "float32"):
        raise ValueError(f"pixels are uint8 or float32, not {wanted!r}")
    # Reading them is what loads an image from its file; before that it may not know its size.
    stored: Any = found.pixels
    values = np.empty(len(stored), np.float32)
    if not len(values):
        raise ValueError(f"the image {found.name!r} has no pixels that can be read")
    stored.foreach_get(values)
    width, height = found.size
    return {
        "width": width,
        "height": height,
        "channels": found.channels,
        "pixels": (values if wanted == "float32" else _bytes(values)).tobytes(),
    }


def _checked(width: int, height: int, channels: int, pixels: Any) -> Array:
    """The pixels, as the type that their size says."""
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise ValueError(f"width and height are whole numbers from 1 on, not {width!r} and {height!r}")
    if channels not in _CHANNELS:
        raise ValueError(f"an image has 1, 3 or 4 channels, not {channels!r}")
    count = width * height * channels
    is_bytes = isinstance(pixels, bytes | memoryview) and len(pixels) == count
    values = numbers(pixels, "|u1" if is_bytes else "<f4", "pixels")
    if len(values) != count:
        raise ValueError(
            f"pixels has {len(values)} float32 numbers, and {width}x{height} pixels of {channels} channels need {count}"
        )
    return values


def _image(name: str, width: int, height: int, *, float_buffer: bool) -> bpy.types.Image:
    """An image to write to: the one of that name, if it is of that size and kind, or else one in its place."""
    old = bpy.data.images.get(name)
    if old is not None and _suits(old, width, height, float_buffer=float_buffer):
        return old
    made = bpy.data.images.new(name, width, height, alpha=True, float_buffer=float_buffer)
    if old is not None:
        old.user_remap(made)
        bpy.data.images.remove(old)
        made.name = name
    return made


def _suits(old: bpy.types.Image, width: int, height: int, *, float_buffer: bool) -> bool:
    same = tuple(old.size) == (width, height) and old.is_float == float_buffer and old.channels == 4
    return same and old.source == "GENERATED"


def _rgba(values: Array, channels: int) -> Array:
    """What Blender keeps: four channels of float32 each."""
    scaled = values if values.dtype == np.float32 else values.astype(np.float32) / np.float32(255)
    if channels == 4:
        return scaled
    pixels = np.ones((len(scaled) // channels, 4), np.float32)
    pixels[:, :3] = scaled.reshape(-1, channels)
    return pixels.reshape(-1)


def _bytes(values: Array) -> Array:
    scaled: Array = np.rint(np.clip(values, 0.0, 1.0) * 255)
    return scaled.astype(np.uint8)
