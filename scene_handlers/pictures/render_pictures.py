"""Pictures of the finished frames of a render, for subscribers.

Blender's Python can read the result of a render when a frame is complete. While a frame renders, it cannot.
"""

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
import imbuf
from bpy.app.handlers import persistent

from ..support.arguments import Options, choice, integer, options
from ..support.changes import changes
from ..support.silence import is_silent
from ..support.temporary_folders import temporary_folder
from .render import FORMATS, LARGEST, results, set_format
from .streams import Streams

if TYPE_CHECKING:
    from beam_bpy import BeamServer

log = logging.getLogger("beam_bpy.scene_handlers")


class _Frame(NamedTuple):
    """The checked options of a stream."""

    largest_side: int
    format: str


class _State:
    """The server and the topics."""

    def __init__(self, server: "BeamServer") -> None:
        self.server = server
        self.streams: Streams[_Frame] = Streams(server, "render")


_state: _State | None = None


def watch_render(given: Options = None) -> str:
    """Return the topic of pictures of rendered frames. Subscribe to it within a minute.

    An event comes after each frame, whoever renders: a map of format, width, height, scene, frame, and data, the bytes
    of the file. The picture has the colours that a PNG file of the scene would have. `thumbnail`, `turntable` and
    `render_pass` publish nothing. A topic that has had no subscribers for a minute is forgotten.

    Args:
        given: the options
            largest_side: the largest width and height in pixels, default 512: a larger picture becomes smaller.
            format: jpeg (default) or png.
    """
    chosen = options(given, _Frame._fields)
    frame = _Frame(
        largest_side=integer(chosen.get("largest_side", 512), "largest_side", 1, LARGEST),
        format=choice(chosen.get("format", "jpeg"), {each: each for each in ("jpeg", "png")}, "format"),
    )
    assert _state is not None
    return _state.streams.add(frame)


def register(server: "BeamServer") -> None:
    """Publish pictures with this server, and no longer with another one."""
    global _state
    unregister()
    _state = _State(server)
    bpy.app.handlers.render_post.append(_rendered)


def unregister() -> None:
    """Undo `register`."""
    global _state
    if _state is not None:
        bpy.app.handlers.render_post.remove(_rendered)
    _state = None


@persistent  # type: ignore[untyped-decorator]
def _rendered(scene: bpy.types.Scene, *_more: object) -> None:
    """A frame is complete. Blender calls this on the thread that renders."""
    state = _state
    if state is None or is_silent():
        return
    for stream in state.streams.wanted():
        try:
            payload = _picture(scene, stream.options)
        except (OSError, RuntimeError, ValueError) as error:
            log.warning("no picture of the rendered frame: %s", error)
        else:
            state.server.publish(stream.topic, payload)


def _picture(scene: bpy.types.Scene, frame: _Frame) -> dict[str, Any]:
    format_ = FORMATS[frame.format]._replace(color_mode="RGB")
    with temporary_folder() as folder, changes(temporary=True) as change:
        path = str(folder / f"frame.{frame.format}")
        set_format(change, scene, format_, 8)
        results()[0].save_render(path, scene=scene)
        image: Any = imbuf.load(path)
        width, height = image.size
        if max(width, height) > frame.largest_side:
            width, height = (max(1, round(side * frame.largest_side / max(image.size))) for side in image.size)
            image.resize((width, height), method="BILINEAR")
            imbuf.write(image, filepath=path)
        image.free()
        data = (folder / f"frame.{frame.format}").read_bytes()
    return {
        "format": frame.format,
        "width": width,
        "height": height,
        "scene": scene.name,
        "frame": scene.frame_current,
        "data": data,
    }
