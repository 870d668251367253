"""A script that `bench/calls_blender.py` runs in a Blender with a window. It registers handlers and measures ticks.

The environment variable BENCH_ORDER names a file with a command for this script. The command "start" starts the server
of the extension. So Blender can be measured first without the server.
"""

import json
import os
import queue
import socket
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import bpy

sys.path.append(str(Path(__file__).parent))

from calls_server import register

from beam_bpy import get_beam_server

ORDER = Path(os.environ["BENCH_ORDER"])
INTERVAL = 0.25

MODAL_INTERVAL = 0.01
"""Seconds between the timer events of the modal operator."""

_ticks: list[float] = []
_modal_events: list[float] = []
_frames: list[float] = []


def obey() -> float:
    """Execute the command in the file BENCH_ORDER, if the file exists. A timer calls this function."""
    if ORDER.exists() and ORDER.read_text() == "start":
        server = get_beam_server()
        server.start()
        ORDER.with_name("started").write_text(f"{server.node_name} {socket_addon()}")
        ORDER.unlink()
    return INTERVAL


def tick() -> float:
    """Record the time. A timer calls this function in each iteration of the main loop."""
    _ticks.append(time.perf_counter())
    return 0.0


def begin_ticks() -> int:
    """Start to record the times of the iterations of the main loop."""
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick)
    _ticks[:] = [time.perf_counter()]
    return 1


def end_ticks() -> str:
    """Return the p50 and p99 of the time between two iterations of the main loop, in milliseconds, as JSON."""
    _ticks.append(time.perf_counter())  # If the main loop has made no iteration, this makes one long gap.
    gaps = sorted(later - earlier for earlier, later in pairwise(_ticks))
    return json.dumps([1000 * gaps[len(gaps) // 2], 1000 * gaps[int(len(gaps) * 0.99)]])


class BENCH_OT_modal(bpy.types.Operator):  # noqa: N801 - Blender's convention
    """A modal operator with a timer event every 10 ms, like the tool of another add-on"""

    bl_idname = "bench.modal"
    bl_label = "Modal"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Any:
        """Start the timer and become modal."""
        manager: Any = context.window_manager
        self._timer = manager.event_timer_add(MODAL_INTERVAL, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Any:
        """Record the time of each timer event. End the operator after `end_modal`."""
        if _modal_events:
            if event.type == "TIMER":
                _modal_events.append(time.perf_counter())
            return {"PASS_THROUGH"}
        manager: Any = context.window_manager
        manager.event_timer_remove(self._timer)
        return {"FINISHED"}


def begin_modal() -> int:
    """Start the modal operator."""
    _modal_events[:] = [time.perf_counter()]
    bpy.ops.bench.modal("INVOKE_DEFAULT")  # type: ignore[attr-defined]
    return 1


def end_modal() -> str:
    """End the modal operator.

    Return its events per second, and the p99 of the time between two events, in milliseconds, as JSON.
    """
    gaps = sorted(later - earlier for earlier, later in pairwise(_modal_events))
    rate = len(gaps) / (_modal_events[-1] - _modal_events[0])
    _modal_events.clear()
    return json.dumps([rate, 1000 * gaps[int(len(gaps) * 0.99)]])


def note_frame(*_arguments: object) -> None:
    """Record the time of a frame. Blender calls this after each change of the frame."""
    _frames.append(time.perf_counter())


def begin_playback() -> int:
    """Animate the cube, and play the animation without dropping frames."""
    cube: Any = bpy.data.objects["Cube"]
    for frame in (1, 250):
        cube.location.y = frame / 250
        cube.keyframe_insert("location", frame=frame)
    bpy.context.scene.sync_mode = "NONE"  # type: ignore[union-attr]
    bpy.context.scene.render.fps = 60  # type: ignore[union-attr]
    bpy.app.handlers.frame_change_post.append(note_frame)
    _frames.clear()
    bpy.ops.screen.animation_play()
    return 1


def end_playback() -> str:
    """Stop the animation.

    Return the frames per second, and the p99 of the time between two frames, in milliseconds, as JSON.
    """
    bpy.ops.screen.animation_cancel(restore_frame=False)
    bpy.app.handlers.frame_change_post.remove(note_frame)
    gaps = sorted(later - earlier for earlier, later in pairwise(_frames))
    return json.dumps([len(gaps) / (_frames[-1] - _frames[0]), 1000 * gaps[int(len(gaps) * 0.99)]])


def move(x: float) -> float:
    """Move the cube, so that Blender redraws the window."""
    cube: Any = bpy.data.objects["Cube"]
    cube.location.x = x % 100 / 100
    return x


def socket_addon() -> int:
    """Start a server like that of an add-on with a plain socket. Return its port.

    A thread reads lines of JSON, and a timer answers one line in each tick. The timer has a long interval until a
    caller connects.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    requests: queue.SimpleQueue[tuple[socket.socket, bytes]] = queue.SimpleQueue()
    connected = threading.Event()

    def answer() -> float:
        try:
            connection, line = requests.get_nowait()
        except queue.Empty:
            return 0.0 if connected.is_set() else INTERVAL
        connection.sendall(json.dumps({"result": json.loads(line)["value"]}).encode() + b"\n")
        return 0.0

    def read() -> None:
        while True:
            connection, _address = listener.accept()
            connected.set()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    requests.put((connection, line))
            connected.clear()

    threading.Thread(target=read, daemon=True).start()
    bpy.app.timers.register(answer)
    port: int = listener.getsockname()[1]
    return port


def modal() -> str:
    """Return the names of the modal operators that run in the window, or "none".

    A modal operator changes the results, because calls then get less time of a tick. The extension's own operator for
    messages in the status bar does not count, because the extension does not treat it as a tool; see `busy`.
    """
    windows: Any = bpy.context.window_manager.windows  # type: ignore[union-attr]
    found = [operator.bl_idname for window in windows for operator in window.modal_operators]
    names = [name for name in found if name != "BEAM_BPY_OT_tell"]
    return " ".join(names) or "none"


_server = get_beam_server()
register(_server)
bpy.utils.register_class(BENCH_OT_modal)
for _handler in (move, begin_ticks, end_ticks, modal, begin_modal, end_modal, begin_playback, end_playback):
    _server.expose(_handler)
bpy.app.timers.register(obey)
