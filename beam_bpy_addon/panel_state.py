"""The data that the panels show. A tick reads the data from the server, and the panels are redrawn if it has changed.

The panels only draw this data. They do not read the server.
"""

import itertools
import time
from collections import deque
from typing import Any, NamedTuple

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty, StringProperty

from beam_bpy import get_beam_server
from beam_bpy.calls.handlers import Handler
from beam_bpy.dispatch.host_queue import host_queue
from beam_bpy.dispatch.runnable import Runnable

from . import handler_context, lifecycle, preferences
from .classes import unregister_classes
from .lines import capitalised

INTERVAL = 0.25
"""The time between two updates of the data, in seconds."""

_NO_HANDLER = "No handler has this name. Its add-on is probably not enabled"

_RATE_UPDATES = 8
"""The number of updates over which the calls per second are averaged."""


class NodeRow(NamedTuple):
    """A connected node: its name, the time since it connected, and the number of its calls."""

    name: str
    uptime: str
    calls: int


class HandlerRow(NamedTuple):
    """A registered handler, with the numbers of its calls and of its failed calls."""

    name: str
    module: str
    owner: str
    inline: bool
    calls: int
    failures: int

    def matches(self, words: str) -> bool:
        """Return True if the name, module or owner contains `words`. Upper and lower case are equal."""
        return words.casefold() in f"{self.module}.{self.name}\n{self.owner}".casefold()


class WaitingRow(NamedTuple):
    """A call that waits until a tool or a job ends: the name of its handler, and what it waits for."""

    handler: str
    reason: str


class LongCallRow(NamedTuple):
    """A long call that has begun: a number for `long_call`, its handler, and its progress from 0 to 1, if known."""

    number: int
    handler: str
    share: float | None


class RefusedRow(NamedTuple):
    """The last refused connection: its address, the reason as a sentence, and the number of refused connections."""

    address: str
    reason: str
    number: int


class Failed(NamedTuple):
    """The last call that failed."""

    handler: str
    message: str
    has_traceback: bool


class Shown(NamedTuple):
    """All data that the panels show. When it changes, the panels are redrawn."""

    state: str = "stopped"
    address: str = ""
    error: str | None = None
    outdated: bool = False
    nodes: tuple[NodeRow, ...] = ()
    handlers: dict[str, HandlerRow] = {}
    rate: int = 0
    calls: int = 0
    failures: int = 0
    replaced: int = 0
    queued: int = 0
    waiting: tuple[WaitingRow, ...] = ()
    long_calls: tuple[LongCallRow, ...] = ()
    failed: Failed | None = None
    refused: RefusedRow | None = None
    scene: str = ""
    """The scene in which handlers work, if the windows show several scenes."""


shown = Shown()
"""The data of the last update."""

_next_update = 0.0
_numbers = itertools.count(1)
_long_calls: dict[int, Runnable] = {}
_calls: deque[tuple[float, int]] = deque(maxlen=_RATE_UPDATES)


class BEAMBPY_PG_handler(bpy.types.PropertyGroup):  # noqa: N801 - Blender's convention
    """A row in the list of handlers. Its name is a key of `Shown.handlers`, which contains the data of the row."""

    tooltip: StringProperty()  # type: ignore[valid-type]


class BEAMBPY_PG_state(bpy.types.PropertyGroup):  # noqa: N801
    """The properties of the list of handlers, in `WindowManager.beam_bpy`. Blend files do not contain them."""

    handlers: CollectionProperty(type=BEAMBPY_PG_handler)  # type: ignore[valid-type]
    active: IntProperty(options={"HIDDEN"})  # type: ignore[valid-type]


def is_due() -> bool:
    """Return True if the data must be updated. Most ticks only call this function, so it must be fast."""
    return time.monotonic() >= _next_update


def update() -> bool:
    """Update `shown` from the server. Return True if it has changed."""
    global shown, _next_update
    now = time.monotonic()
    _next_update = now + INTERVAL
    before, shown = shown, _seen(now)
    # Always fill the list, even if nothing has changed: after a file is loaded, the list is empty.
    _list(shown.handlers)
    return shown != before


def long_call(number: int) -> Runnable | None:
    """Return the long call with this number in `Shown.long_calls`; None if it has ended."""
    return _long_calls.get(number)


def uptime(seconds: float) -> str:
    """Return a duration as text, without seconds. With seconds, the panel would be redrawn every second.

    Args:
        seconds: the duration, in seconds.
    """
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
        # A stopped server has no address. Its future address could need a slow query to a name server.
        address=server.get_address() if server.running else "",
        error=None if error is None else capitalised(error),
        outdated=preferences.outdated(),
        nodes=tuple(NodeRow(peer.name, uptime(time.time() - peer.since), peer.calls) for peer in server.peers),
        handlers={_key(handler): _row(handler) for handler in server.handlers},
        rate=_rate(),
        calls=activity.calls,
        failures=activity.failures,
        replaced=activity.replaced,
        queued=activity.queued,
        waiting=_waiting(),
        long_calls=_long_call_rows(),
        failed=_failed(),
        refused=_refused(),
        scene=_scene(),
    )


def _waiting() -> tuple[WaitingRow, ...]:
    calls = host_queue()
    return tuple(WaitingRow(entry.call.name, entry.reason) for entry in calls.waiting) if calls is not None else ()


def _long_call_rows() -> tuple[LongCallRow, ...]:
    global _long_calls
    queued = host_queue()
    begun = () if queued is None else queued.long_calls
    before = {call: number for number, call in _long_calls.items()}
    _long_calls = {before.get(call) or next(_numbers): call for call in begun}
    return tuple(LongCallRow(number, call.name, _share(call)) for number, call in _long_calls.items())


def _share(call: Runnable) -> float | None:
    """The progress in hundredths. With more digits, the panel would be redrawn at each update."""
    share = handler_context.share_of(call.progress)
    return None if share is None else round(share, 2)


def _failed() -> Failed | None:
    last = get_beam_server().activity.last_failure
    if last is None:
        return None
    message = _NO_HANDLER if last.message == "undef" else last.message
    return Failed(last.handler, preferences.without_cookie(message), bool(last.traceback))


def _refused() -> RefusedRow | None:
    last = get_beam_server().last_refusal
    return None if last is None else RefusedRow(last.address, last.reason, last.number)


def _scene() -> str:
    manager, window = bpy.context.window_manager, handler_context.window()
    if manager is None or window is None:
        return ""
    several = len({other.scene.name for other in manager.windows}) > 1
    return window.scene.name if several else ""


def _rate() -> int:
    (first, calls_first), (last, calls_last) = _calls[0], _calls[-1]
    return round((calls_last - calls_first) / (last - first)) if last > first else 0


def _key(handler: Handler) -> str:
    return f"{handler.module}.{handler.name}" if handler.module else handler.name


def _row(handler: Handler) -> HandlerRow:
    return HandlerRow(
        handler.name, handler.module or "", handler.owner or "", handler.inline, handler.calls, handler.failures
    )


def list_state() -> Any:
    """The `BEAMBPY_PG_state` of this Blender; None if a script has removed it."""
    return getattr(bpy.context.window_manager, "beam_bpy", None)


def _list(handlers: dict[str, HandlerRow]) -> None:
    state = list_state()
    if state is None:
        return
    lines = state.handlers
    if [line.name for line in lines] == list(handlers):
        return
    lines.clear()
    for key, row in handlers.items():
        line = lines.add()
        line.name = key
        line.tooltip = f"{key}\nOwner: {row.owner or 'not set'}"


_CLASSES: tuple[type[bpy.types.PropertyGroup], ...] = (BEAMBPY_PG_handler, BEAMBPY_PG_state)


def register() -> None:
    """Register the properties of the list with Blender."""
    for group in _CLASSES:
        bpy.utils.register_class(group)
    bpy.types.WindowManager.beam_bpy = PointerProperty(type=BEAMBPY_PG_state)  # type: ignore[attr-defined,func-returns-value]


def unregister() -> None:
    """Undo `register`."""
    global shown, _next_update
    if hasattr(bpy.types.WindowManager, "beam_bpy"):  # A script may have removed it.
        del bpy.types.WindowManager.beam_bpy
    unregister_classes(_CLASSES)
    shown, _next_update = Shown(), 0.0
    _long_calls.clear()
    _calls.clear()
