"""Pictures of a 3D view for subscribers, drawn off screen.

A timer draws at most one picture each time, and none without subscribers. It runs only while there are topics.

Blender calls a draw handler when it has drawn a 3D view. A picture is drawn only after that, because otherwise it would
be the same as the last one. A view that does not change is drawn again after `REDRAW_TIME` seconds: for a subscriber
that has missed the last picture, and for a window that the system does not show.

After a picture, the timer leaves Blender as much time as the picture has taken, and several times as much while the
user works with a tool or an animation plays. So a slow computer gets fewer pictures, and its window remains usable.
"""

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
import gpu
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..support.arguments import Options, choice, integer, number, object_named, options
from .encoding import jpeg, png
from .screenshots import largest_area, numbered_window
from .streams import Stream, Streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from beam_bpy import BeamServer

log = logging.getLogger("beam_bpy.scene_handlers")

SMALLEST, LARGEST = 4, 4096
"""The limits of the width and the height of a picture, in pixels."""

SLOWEST, FASTEST = 0.1, 60.0
"""The limits of the rate, in pictures per second."""

REDRAW_TIME = 5.0
"""A view that does not change is drawn again after this time, in seconds."""

PAUSE, PAUSE_AT_WORK = 1.0, 4.0
"""Blender's own time after a picture, in multiples of the time for the picture."""

CHECK_TIME = 0.1
"""The longest time between two checks for new subscribers, in seconds."""

_FORMATS = ("jpeg", "png", "raw")

_JOBS = ("RENDER", "OBJECT_BAKE", "COMPOSITE")
"""The jobs of `bpy.app.is_job_running` that read the scene on another thread."""

_PNG_LEVEL = 1


class _View(NamedTuple):
    """The checked options of a stream."""

    width: int
    height: int
    rate: float
    format: str
    quality: int
    window: int
    camera: str | None


class _State:
    """The data of the timer.

    Attributes:
        server: publishes.
        streams: the topics.
        draw_handler: None while the timer does not run.
        drawing: True while a picture is drawn.
        next_time: when the next picture may be drawn.
        failed: the topics whose last picture failed.
    """

    def __init__(self, server: "BeamServer") -> None:
        self.server = server
        self.streams: Streams[_View] = Streams(server, "viewport")
        self.draw_handler: Any = None
        self.drawing = False
        self.next_time = 0.0
        self.failed: set[str] = set()


_state: _State | None = None


def watch_viewport(given: Options = None) -> str:
    """Return the topic of pictures of a 3D view. Subscribe to it within a minute.

    Each event is a map: format, width, height, frame, and data, the bytes of the file. If the format is raw, data has
    the pixels in the form for `upload_image`, with four channels of uint8. The first picture comes at once, and the
    next ones when the view has changed. A topic that has had no subscribers for a minute is forgotten.

    Args:
        given: the options
            width, height: the size in pixels, 4 to 4096; default 480 and 270.
            rate: the largest number of pictures per second, 0.1 to 60; default 10.
            format: jpeg (default), png or raw.
            quality: that of the format jpeg, 1 to 100; default 80.
            window: the number of the window, whose largest 3D view is pictured; default 0, the first one.
            camera: the name of a camera, for a picture of what it sees. Default: the view as the user sees it.

    Raises:
        ValueError: this Blender has no window, or the window has no 3D view; or the object is no camera.
        LookupError: there is no such window, or no such object.
    """
    chosen = options(given, _View._fields)
    view = _View(
        width=integer(chosen.get("width", 480), "width", SMALLEST, LARGEST),
        height=integer(chosen.get("height", 270), "height", SMALLEST, LARGEST),
        rate=number(chosen.get("rate", 10), "rate", SLOWEST, FASTEST),
        format=choice(chosen.get("format", "jpeg"), {each: each for each in _FORMATS}, "format"),
        quality=integer(chosen.get("quality", 80), "quality", 1, 100),
        window=integer(chosen.get("window", 0), "window", 0),
        camera=None if chosen.get("camera") is None else _camera(chosen["camera"]).name,
    )
    largest_area(numbered_window(view.window), "VIEW_3D")
    assert _state is not None
    topic = _state.streams.add(view)
    _start_timer(_state)
    return topic


def register(server: "BeamServer") -> None:
    """Publish pictures with this server, and no longer with another one."""
    global _state
    unregister()
    _state = _State(server)


def unregister() -> None:
    """Undo `register`."""
    global _state
    if _state is not None:
        _stop_timer(_state)
        if bpy.app.timers.is_registered(_tick):
            bpy.app.timers.unregister(_tick)
    _state = None


# The timer


def _start_timer(state: _State) -> None:
    if state.draw_handler is None:
        state.draw_handler = bpy.types.SpaceView3D.draw_handler_add(_drawn, (), "WINDOW", "POST_PIXEL")
        bpy.app.timers.register(_tick, persistent=True)


def _stop_timer(state: _State) -> None:
    if state.draw_handler is not None:
        bpy.types.SpaceView3D.draw_handler_remove(state.draw_handler, "WINDOW")
        state.draw_handler = None


def _drawn() -> None:
    """Blender has drawn a 3D view: something in it has changed."""
    if _state is not None and not _state.drawing:
        for stream in _state.streams.wanted():
            stream.changed = True


def _tick() -> float | None:
    """Draw the picture that has waited longest; returns the seconds until the next check."""
    state = _state
    if state is None:
        return None
    wanted = state.streams.wanted()
    if not len(state.streams):
        _stop_timer(state)
        return None
    now = time.monotonic()
    if now >= state.next_time and not _job_runs():
        due = [stream for stream in wanted if now >= stream.due + (0.0 if stream.changed else REDRAW_TIME)]
        if due:
            _make(state, min(due, key=lambda stream: stream.due))
    return _pause(state, wanted)


def _pause(state: _State, wanted: list[Stream[_View]]) -> float:
    """Return the seconds until the next check: when a picture may be made, or at the rate of a view without changes."""
    now = time.monotonic()
    pauses = [max(stream.due - now, 0.0 if stream.changed else 1 / stream.options.rate) for stream in wanted]
    return min(CHECK_TIME, max(state.next_time - now, min(pauses, default=CHECK_TIME)))


def _make(state: _State, stream: Stream[_View]) -> None:
    """Draw and publish a picture."""
    begin = time.monotonic()
    stream.changed = False
    stream.due = begin + 1 / stream.options.rate
    state.drawing = True
    try:
        reached = state.server.publish(stream.topic, _picture(stream.options), newest=True)
        # A subscriber that has missed the picture needs another one.
        stream.changed = reached < stream.subscribers
        state.failed.discard(stream.topic)
    except Exception as error:  # noqa: BLE001 - Blender would remove the timer.
        # For example, the window has no 3D view now, or the camera is gone.
        if stream.topic not in state.failed:
            log.warning("no pictures for %r: %s", stream.topic, error)
        state.failed.add(stream.topic)
    finally:
        state.drawing = False
    end = time.monotonic()
    state.next_time = end + (end - begin) * (PAUSE_AT_WORK if _user_works() else PAUSE)


def _job_runs() -> bool:
    is_running: Callable[[str], bool] = bpy.app.is_job_running  # type: ignore[assignment]
    return any(map(is_running, _JOBS))


def _user_works() -> bool:
    """Tell whether the user works with a tool, or an animation plays."""
    windows: Any = bpy.data.window_managers[0].windows
    return any(window.modal_operators or window.screen.is_animation_playing for window in windows)


# A picture


def _camera(name: Any) -> bpy.types.Object:
    found = object_named(name)
    if found.type != "CAMERA":
        raise ValueError(f"the object {found.name!r} is no camera")
    return found


def _picture(view: _View) -> dict[str, Any]:
    window = numbered_window(view.window)
    area = largest_area(window, "VIEW_3D")
    pixels = _pixels(view, window, area)
    return {
        "format": view.format,
        "width": view.width,
        "height": view.height,
        "frame": window.scene.frame_current,
        "data": _encoded(pixels, view),
    }


def _encoded(pixels: NDArray[np.uint8], view: _View) -> bytes:
    """Return pixels as the bytes of a file.

    Args:
        pixels: an array of shape (height, width, 4), row by row from bottom to top.
        view: the options.
    """
    if view.format == "raw":
        # The view is opaque. Blender stores other values where it draws over the background.
        pixels[..., 3] = 255
        return pixels.tobytes()
    colors = np.ascontiguousarray(pixels[::-1, :, :3])
    return png(colors, _PNG_LEVEL) if view.format == "png" else jpeg(colors, view.quality)


def _pixels(view: _View, window: Any, area: Any) -> NDArray[np.uint8]:
    """Draw the view off screen."""
    space = area.spaces.active
    # Of four views, the last one has the data of the space.
    region = [each for each in area.regions if each.type == "WINDOW"][-1]
    view_matrix, projection = _matrices(view, window, space, region)
    make: Any = gpu.types.GPUOffScreen
    buffer = make(view.width, view.height)
    try:
        buffer.draw_view3d(
            window.scene, window.view_layer, space, region, view_matrix, projection, do_color_management=True
        )
        data = buffer.texture_color.read()
    finally:
        buffer.free()
    data.dimensions = view.width * view.height * 4
    return np.array(data, np.uint8).reshape(view.height, view.width, 4)


def _matrices(view: _View, window: Any, space: Any, region: Any) -> tuple[Matrix, Matrix]:
    """Return the matrices from the world to the view, and from the view to the picture."""
    if view.camera is not None:
        camera: Any = _camera(view.camera)
        depsgraph = window.view_layer.depsgraph
        matrix: Any = camera.evaluated_get(depsgraph).matrix_world
        return matrix.normalized().inverted(), camera.calc_matrix_camera(depsgraph, x=view.width, y=view.height)
    found = space.region_3d
    projection: Any = found.window_matrix.copy()
    # A picture with other proportions shows all of the view, and more at two of its sides.
    proportion = (view.width / view.height) / (region.width / region.height)
    if proportion > 1:
        projection[0] = projection[0] / proportion
    else:
        projection[1] = projection[1] * proportion
    return found.view_matrix.copy(), projection
