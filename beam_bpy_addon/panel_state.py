"""What the panels show. It is looked at between two draws: a panel only draws, and only when something has changed."""

import time
from collections import deque
from typing import NamedTuple

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty

from beam_bpy import get_beam_server
from beam_bpy.calls.handlers import Handler
from beam_bpy.dispatch.host_queue import host_queue

from . import lifecycle, preferences

INTERVAL = 0.25
"""Seconds between two looks."""

_RATE_LOOKS = 8
"""How many looks the calls per second are the mean of."""


class NodeRow(NamedTuple):
    """A connected node."""

    name: str
    uptime: str
    calls: int


class HandlerRow(NamedTuple):
    """A registered handler."""

    name: str
    module: str
    owner: str
    inline: bool
    calls: int
    failures: int

    def matches(self, words: str) -> bool:
        """Whether `words` is part of its name, module or owner."""
        return words.casefold() in f"{self.module}.{self.name}\n{self.owner}".casefold()


class WaitingRow(NamedTuple):
    """A call that waits for a tool or a job to end."""

    handler: str
    reason: str


class Failed(NamedTuple):
    """The last call that failed."""

    handler: str
    message: str
    has_traceback: bool


class Shown(NamedTuple):
    """All that the panels show. They are drawn anew when this differs from what was drawn last."""

    state: str = "stopped"
    address: str = ""
    error: str | None = None
    outdated: bool = False
    nodes: tuple[NodeRow, ...] = ()
    handlers: dict[str, HandlerRow] = {}
    rate: int = 0
    calls: int = 0
    failures: int = 0
    queued: int = 0
    waiting: tuple[WaitingRow, ...] = ()
    failed: Failed | None = None


shown = Shown()
"""What was seen at the last look."""

_next_look = 0.0
_calls: deque[tuple[float, int]] = deque(maxlen=_RATE_LOOKS)


class BEAMBPY_PG_handler(bpy.types.PropertyGroup):  # noqa: N801 - Blender's convention
    """A line of the list of handlers. Its name is the key in `Shown.handlers`, where all else is found."""


class BEAMBPY_PG_state(bpy.types.PropertyGroup):  # noqa: N801
    """What a list needs properties for, `WindowManager.beam_bpy`; files do not hold it."""

    handlers: CollectionProperty(type=BEAMBPY_PG_handler)  # type: ignore[valid-type]
    active: IntProperty(options={"HIDDEN"})  # type: ignore[valid-type]


def due() -> bool:
    """Whether it is time for a look. This is what a tick costs most of the time."""
    return time.monotonic() >= _next_look


def look() -> bool:
    """Look at the server; returns whether `shown` has changed."""
    global shown, _next_look
    now = time.monotonic()
    _next_look = now + INTERVAL
    before, shown = shown, _seen(now)
    # Each time, not only after a change: a file that is loaded brings a window manager with an empty list.
    _list(shown.handlers)
    return shown != before


def came_and_went(before: tuple[NodeRow, ...]) -> list[str]:
    """Sentences about the nodes that have connected or left since the list `before`; none when the server stopped."""
    if shown.state != "running":
        return []
    old, new = ({node.name: None for node in nodes} for nodes in (before, shown.nodes))
    return [f"{name} has connected" for name in new if name not in old] + [
        f"{name} has left" for name in old if name not in new
    ]


def uptime(seconds: float) -> str:
    """A time in words; to the minute, so that the panel is not drawn every second for its sake."""
    minutes = int(seconds) // 60
    if minutes < 1:
        return "under 1 min"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _seen(now: float) -> Shown:
    server = get_beam_server()
    activity = server.activity
    _calls.append((now, activity.calls))
    error = lifecycle.problem() or server.last_error
    return Shown(
        state="failed" if error and not server.running else server.state,
        # While it doesn't run, an address would be a promise, and for some hosts a slow question to a name server.
        address=server.get_address() if server.running else "",
        error=error,
        outdated=preferences.outdated(),
        nodes=tuple(NodeRow(peer.name, uptime(time.time() - peer.since), peer.calls) for peer in server.peers),
        handlers={_key(handler): _row(handler) for handler in server.handlers},
        rate=_rate(),
        calls=activity.calls,
        failures=activity.failures,
        queued=activity.queued,
        waiting=_waiting(),
        failed=_failed(),
    )


def _waiting() -> tuple[WaitingRow, ...]:
    calls = host_queue()
    return tuple(WaitingRow(entry.call.name, entry.reason) for entry in calls.waiting) if calls is not None else ()


def _failed() -> Failed | None:
    last = get_beam_server().activity.last_failure
    if last is None:
        return None
    return Failed(last.handler, preferences.without_cookie(last.message), bool(last.traceback))


def _rate() -> int:
    (first, calls_first), (last, calls_last) = _calls[0], _calls[-1]
    return round((calls_last - calls_first) / (last - first)) if last > first else 0


def _key(handler: Handler) -> str:
    return f"{handler.module}.{handler.name}" if handler.module else handler.name


def _row(handler: Handler) -> HandlerRow:
    return HandlerRow(
        handler.name, handler.module or "", handler.owner or "", handler.inline, handler.calls, handler.failures
    )


def _list(handlers: dict[str, HandlerRow]) -> None:
    manager = bpy.context.window_manager
    assert manager is not None
    lines = manager.beam_bpy.handlers  # type: ignore[attr-defined]
    if [line.name for line in lines] == list(handlers):
        return
    lines.clear()
    for key in handlers:
        lines.add().name = key


_CLASSES: tuple[type[bpy.types.PropertyGroup], ...] = (BEAMBPY_PG_handler, BEAMBPY_PG_state)


def register() -> None:
    """Register the list's properties with Blender."""
    for group in _CLASSES:
        bpy.utils.register_class(group)
    bpy.types.WindowManager.beam_bpy = PointerProperty(type=BEAMBPY_PG_state)  # type: ignore[attr-defined,func-returns-value]


def unregister() -> None:
    """Undo `register`."""
    global shown, _next_look
    del bpy.types.WindowManager.beam_bpy  # type: ignore[attr-defined]
    for group in reversed(_CLASSES):
        bpy.utils.unregister_class(group)
    shown, _next_look = Shown(), 0.0
    _calls.clear()
