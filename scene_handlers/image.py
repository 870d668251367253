"""Handlers for images. They take and return pixels as binaries.

The rows are in order from the bottom to the top, and the pixels of a row from left to right, as in Blender. A number is
a float32 in a linear colour space, which may be greater than 1.0, or a uint8 as in a PNG file.
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
    """Create an image, or replace the image with this name for all its users. Return its name.

    Args:
        name: the image.
        width, height: the size, in pixels.
        channels: 1 for grey; 3 for red, green and blue; 4 for red, green, blue and alpha.
        pixels: a binary of uint8 or little-endian float32, height * width * channels of them. The size of the binary
            decides the type. A list of numbers is taken as float32.
        given: the option `pack`: True: store a compressed copy in the blend file, which takes longer than the rest of
            the call. Default False: Blender does not save the pixels with the file.
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
    """Return an image as a map: width, height, channels, and pixels in the form for `upload_image`.

    Args:
        name: the image.
        given: the option `type`: `uint8` or `float32`; default the type of the image.
    """
    chosen = options(given, ("type",))
    found = bpy.data.images.get(name)
    if found is None:
        raise LookupError(f"no image named {str(name)!r}; there are: {', '.join(bpy.data.images.keys()) or 'none'}")
    wanted = str(chosen.get("type", "float32" if found.is_float else "uint8"))
    if wanted not in ("uint8", "float32"):
        raise ValueError(f"the type of pixels must be uint8 or float32, not {wanted!r}")
    # Blender loads an image from its file when the pixels are read. Before that, its size may be unknown.
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
    """Return the pixels as an array. The size of the binary decides the type: uint8 or float32."""
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise ValueError(f"width and height must be integers of at least 1, not {width!r} and {height!r}")
    if channels not in _CHANNELS:
        raise ValueError(f"an image has 1, 3 or 4 channels, not {channels!r}")
    count = width * height * channels
    is_bytes = isinstance(pixels, bytes | memoryview) and len(pixels) == count
    values = numbers(pixels, "|u1" if is_bytes else "<f4", "pixels")
    if len(values) != count:
        raise ValueError(
            f"pixels has {len(values)} float32 numbers, but {width}x{height} pixels of {channels} channels need {count}"
        )
    return values


def _image(name: str, width: int, height: int, *, float_buffer: bool) -> bpy.types.Image:
    """Return the image to write to: the image with this name if its size and type fit, otherwise a new image.

    The new image replaces the old one for all its users.
    """
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
    """Convert the pixels to Blender's format: four channels of float32."""
    scaled = values if values.dtype == np.float32 else values.astype(np.float32) / np.float32(255)
    if channels == 4:
        return scaled
    pixels = np.ones((len(scaled) // channels, 4), np.float32)
    pixels[:, :3] = scaled.reshape(-1, channels)
    return pixels.reshape(-1)


def _bytes(values: Array) -> Array:
    scaled: Array = np.rint(np.clip(values, 0.0, 1.0) * 255)
    return scaled.astype(np.uint8)
