"""The handler that renders a pass: for each pixel not a colour but a depth, a normal, the index of an object …"""

from typing import Any, NamedTuple

import bpy
import numpy as np

from ..support.arguments import Options, choice, integer, listed, options, scene, text
from ..support.changes import Changes, changes
from ..support.silence import silent
from ..support.temporary_folders import temporary_folder
from .openexr import read_channels
from .render import ENGINES, LARGEST, MOST_SAMPLES, SMALLEST, Format, Picture, check_scene, write_picture


class _Pass(NamedTuple):
    """A pass.

    Attributes:
        property: the property of a view layer that switches it on; empty: it is always on.
        name: the name of the pass in files.
        channels: the letters of its channels in files, in the order of the result.
        former: the name before Blender 5, if it was another one.
        owner: the struct of the view layer with the property; empty: the view layer itself.
        is_data: True: the values are no colours, so that a mean of several samples makes no sense.
    """

    property: str
    name: str
    channels: str
    former: str = ""
    owner: str = ""
    is_data: bool = False


PASSES = {
    "combined": _Pass("", "Combined", "RGBA"),
    "depth": _Pass("use_pass_z", "Depth", "Z", is_data=True),
    "mist": _Pass("use_pass_mist", "Mist", "Z"),
    "position": _Pass("use_pass_position", "Position", "XYZ", is_data=True),
    "normal": _Pass("use_pass_normal", "Normal", "XYZ", is_data=True),
    "vector": _Pass("use_pass_vector", "Vector", "XYZW", is_data=True),
    "uv": _Pass("use_pass_uv", "UV", "UVA", is_data=True),
    "object_index": _Pass("use_pass_object_index", "Object Index", "X", former="IndexOB", is_data=True),
    "material_index": _Pass("use_pass_material_index", "Material Index", "X", former="IndexMA", is_data=True),
    "diffuse_color": _Pass("use_pass_diffuse_color", "Diffuse Color", "RGB", former="DiffCol"),
    "diffuse_direct": _Pass("use_pass_diffuse_direct", "Diffuse Direct", "RGB", former="DiffDir"),
    "diffuse_indirect": _Pass("use_pass_diffuse_indirect", "Diffuse Indirect", "RGB", former="DiffInd"),
    "glossy_color": _Pass("use_pass_glossy_color", "Glossy Color", "RGB", former="GlossCol"),
    "glossy_direct": _Pass("use_pass_glossy_direct", "Glossy Direct", "RGB", former="GlossDir"),
    "glossy_indirect": _Pass("use_pass_glossy_indirect", "Glossy Indirect", "RGB", former="GlossInd"),
    "transmission_color": _Pass("use_pass_transmission_color", "Transmission Color", "RGB", former="TransCol"),
    "emission": _Pass("use_pass_emit", "Emission", "RGB", former="Emit"),
    "environment": _Pass("use_pass_environment", "Environment", "RGB", former="Env"),
    "ambient_occlusion": _Pass("use_pass_ambient_occlusion", "Ambient Occlusion", "RGB", former="AO"),
    "shadow_catcher": _Pass("use_pass_shadow_catcher", "Shadow Catcher", "RGB", owner="cycles"),
}
"""The passes, by the names for callers."""

_MULTI_LAYER = Format("OPEN_EXR_MULTILAYER", "RGBA", (32,), exr_codec="NONE", media_type="MULTI_LAYER_IMAGE")


def render_pass(name: str, given: Options = None) -> dict[str, Any]:
    """Render a pass of the current frame from the scene's camera. Return its numbers.

    The scene is rendered as in `render_still`, but without compositor, sequencer and colour management. The settings of
    the scene are the former ones afterwards.

    Args:
        name: the pass
            combined: the picture, linear: red, green, blue, alpha.
            depth: the distance from the plane of the camera in metres; 1e10 where there is nothing.
            position, normal: a point in metres and a unit vector, both in world space; 0 where there is nothing.
            object_index, material_index: the property `pass_index` of the object or the material.
            mist: from 0 (near) to 1 (far), by the mist settings of the world.
            uv: U, V, and 1 where there is a surface.
            vector: the motion in pixels, to the previous frame (X, Y) and to the next one (Z, W).
            diffuse_color, diffuse_direct, diffuse_indirect, glossy_color, glossy_direct, glossy_indirect,
                transmission_color, emission, environment, ambient_occlusion, shadow_catcher: linear colours.
        given: the options
            width, height, engine: as for `render_still`.
            samples: for Cycles; default that of the scene, and 1 for passes that are no colours: Cycles would return
                the mean of different surfaces in a pixel.
            view_layer: the name of a view layer; default that of the user, or the first of the scene.

    Returns:
        A map of width, height, channels, and `pixels`: a binary of little-endian float32 of shape (height, width,
        channels), row by row from bottom to top, as for `upload_image`.

    Raises:
        ValueError: the engine does not have this pass.
        LookupError: there is no such view layer.
    """
    wanted: _Pass = choice(name, PASSES, "pass")
    chosen = options(given, ("width", "height", "engine", "samples", "view_layer"))
    picture = _checked(chosen, wanted)
    rendered = scene()
    layer = _layer(rendered, chosen)
    check_scene(rendered, picture)
    with silent(), temporary_folder() as folder, changes(temporary=True) as change:
        change.set(rendered.render, "use_compositing", False)
        change.set(rendered.render, "use_sequencer", False)
        for each in rendered.view_layers:
            change.set(each, "use", each == layer)
        _switch_on(change, layer, wanted)
        file = folder / "pass.exr"
        write_picture(rendered, file, picture)
        pixels = _pixels(file.read_bytes(), layer.name, wanted, text(name))
    height, width, channels = pixels.shape
    return {"width": width, "height": height, "channels": channels, "pixels": pixels.astype("<f4").tobytes()}


def _checked(chosen: dict[str, Any], wanted: _Pass) -> Picture:
    size = {side: integer(chosen[side], side, SMALLEST, LARGEST) for side in ("width", "height") if side in chosen}
    samples = chosen.get("samples", 1 if wanted.is_data else None)
    return Picture(
        format=_MULTI_LAYER,
        depth=32,
        width=size.get("width"),
        height=size.get("height"),
        engine=choice(chosen["engine"], ENGINES, "engine") if "engine" in chosen else None,
        samples=integer(samples, "samples", 1, MOST_SAMPLES) if "samples" in chosen or wanted.is_data else None,
        denoise=False if wanted.is_data else None,
        view=None,
    )


def _layer(rendered: bpy.types.Scene, chosen: dict[str, Any]) -> Any:
    if "view_layer" not in chosen:
        return bpy.context.view_layer or rendered.view_layers[0]
    name = text(chosen["view_layer"], "a view layer")
    found = rendered.view_layers.get(name)
    if found is None:
        raise LookupError(f"no view layer named {name!r}; there are: {listed(rendered.view_layers.keys())}")
    return found


def _switch_on(change: Changes, layer: Any, wanted: _Pass) -> None:
    owner = getattr(layer, wanted.owner, None) if wanted.owner else layer
    if wanted.property and owner is not None:
        change.set(owner, wanted.property, True)


def _pixels(data: bytes, layer: str, wanted: _Pass, name: str) -> Any:
    """Return the pass as an array of shape (height, width, channels)."""
    try:
        found = read_channels(data)
    except ValueError as error:
        raise OSError("Blender could not write the whole pass: is the disk full?") from error
    in_files = wanted.former if wanted.former and bpy.app.version < (5, 0, 0) else wanted.name
    names = [f"{layer}.{in_files}.{channel}" for channel in wanted.channels]
    if not all(each in found for each in names):
        raise ValueError(f"the render engine of the scene does not have the pass {name!r}: pass the option engine")
    return np.stack([found[each] for each in names], axis=2)
