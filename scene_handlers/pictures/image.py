"""Handlers for images. They take and return pixels as binaries.

The rows are in order from the bottom to the top, and the pixels of a row from left to right, as in Blender. A number is
a float32 in a linear colour space, which may be greater than 1.0, or a uint8 as in a PNG file.
"""

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..support.arguments import (
    Options,
    choice,
    editable,
    find,
    flag,
    integer,
    listed,
    numbers,
    options,
    stored_name,
    text,
)
from ..support.changes import Changes, changes

Array = NDArray[Any]

_CHANNELS = (1, 3, 4)

_ALPHA_MODES: Any = bpy.types.Image.bl_rna.properties["alpha_mode"]


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
        given: the options
            pack: True: store a compressed copy in the blend file, which takes longer than the rest of the call.
                Default False: Blender does not save the pixels with the file.
            color_space: the name of a colour space of Blender, such as "Non-Color".
            alpha_mode: straight, premul, channel_packed or none.
                The default of both is that of the replaced image, or Blender's for new images.
    """
    chosen = options(given, ("pack", "color_space", "alpha_mode"))
    pack = flag(chosen.get("pack", False), "pack")
    settings = _checked_settings(chosen)
    values = _checked(width, height, channels, pixels)
    old = find(bpy.data.images, name)
    if old is not None:
        check_that_it_can_be_replaced(old)
    with changes() as change:
        if old is not None and _suits(old, int(width), int(height), float_buffer=values.dtype == np.float32):
            made = old
        else:
            made = _new(change, stored_name(name), int(width), int(height), float_buffer=values.dtype == np.float32)
            settings = _settings_of(old, made) | settings
        _fill(made, settings, _rgba(values, int(channels)))
        if pack:
            made.pack()
        if old is not None and made is not old:
            _replace(old, made)
    return str(made.name)


def download_image(name: str, given: Options = None) -> dict[str, Any]:
    """Return an image as a map: width, height, channels, and pixels in the form for `upload_image`.

    The map also contains color_space and alpha_mode, two options of `upload_image`.

    Args:
        name: the image.
        given: the option `type`: `uint8` or `float32`; default the type of the image.
    """
    chosen = options(given, ("type",))
    found = find(bpy.data.images, name)
    if found is None:
        raise LookupError(f"no image named {text(name)!r}; there are: {listed(bpy.data.images.keys())}")
    wanted = text(chosen.get("type", "float32" if found.is_float else "uint8"))
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
        "color_space": found.colorspace_settings.name,
        "alpha_mode": found.alpha_mode.lower(),
    }


def _checked(width: Any, height: Any, channels: Any, pixels: Any) -> Array:
    """Return the pixels as an array. The size of the binary decides the type: uint8 or float32."""
    columns, lines = integer(width, "width", least=1), integer(height, "height", least=1)
    if integer(channels, "channels") not in _CHANNELS:
        raise ValueError(f"an image has 1, 3 or 4 channels, not {channels!r}")
    count = columns * lines * int(channels)
    is_bytes = isinstance(pixels, bytes | memoryview) and len(pixels) == count
    values = numbers(pixels, "|u1" if is_bytes else "<f4", "pixels")
    if len(values) != count:
        raise ValueError(
            f"pixels has {len(values)} float32 numbers, but {columns}x{lines} pixels of {int(channels)} channels "
            f"need {count}"
        )
    return values


def _checked_settings(chosen: dict[str, Any]) -> dict[str, str]:
    settings: dict[str, str] = {}
    if "color_space" in chosen:
        settings["color_space"] = text(chosen["color_space"], "color_space")
    if "alpha_mode" in chosen:
        modes = {mode.identifier.lower(): mode.identifier for mode in _ALPHA_MODES.enum_items}
        settings["alpha_mode"] = choice(chosen["alpha_mode"], modes, "alpha_mode")
    return settings


def check_that_it_can_be_replaced(old: bpy.types.Image) -> None:
    """Check that `upload_image` can replace an image.

    Raises:
        ValueError: it is linked from another file, or Blender renders it.
    """
    editable(old)
    if old.type in ("RENDER_RESULT", "COMPOSITING"):
        raise ValueError(f"Blender renders the image {old.name!r} itself: upload the pixels under another name")


def _new(change: Changes, name: str, width: int, height: int, *, float_buffer: bool) -> bpy.types.Image:
    made: bpy.types.Image = change.new(bpy.data.images, name, width, height, alpha=True, float_buffer=float_buffer)
    return made


def _suits(old: bpy.types.Image, width: int, height: int, *, float_buffer: bool) -> bool:
    """Tell whether the pixels of an image can be set, so that no other image has to replace it."""
    same = tuple(old.size) == (width, height) and old.is_float == float_buffer and old.channels == 4
    return same and old.source == "GENERATED"


def _settings_of(old: Any, made: bpy.types.Image) -> dict[str, str]:
    """Return the settings that a new image takes over from the image that it replaces."""
    if old is None:
        return {}
    settings = {"alpha_mode": old.alpha_mode}
    # Blender's default depends on the type of the pixels; only data, such as normals, is never converted.
    if old.is_float == made.is_float or old.colorspace_settings.is_data:
        settings["color_space"] = old.colorspace_settings.name
    return settings


def _fill(made: Any, settings: dict[str, str], pixels: Array) -> None:
    # Blender forgets the pixels of a generated image if its colour space changes, so they come last.
    if settings.get("color_space", made.colorspace_settings.name) != made.colorspace_settings.name:
        try:
            made.colorspace_settings.name = settings["color_space"]
        except TypeError:
            raise ValueError(f"Blender has no color_space {settings['color_space']!r}") from None
    if settings.get("alpha_mode", made.alpha_mode) != made.alpha_mode:
        made.alpha_mode = settings["alpha_mode"]
    made.pixels.foreach_set(pixels)
    made.update()


def _replace(old: bpy.types.Image, made: bpy.types.Image) -> None:
    """Put a new image in the place of the old one, with its name and for all its users."""
    name = old.name
    made.use_fake_user = old.use_fake_user
    old.user_remap(made)
    bpy.data.images.remove(old)
    made.name = name


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
