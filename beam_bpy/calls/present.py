"""The call that runs now: for handlers, and for functions that a program runs while a handler runs.

The value belongs to the thread, and in an `async def` handler to its task.
"""

from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from beam_bpy.logger import log
from vendor_term_codec import Atom, Pid


class CurrentCall(NamedTuple):
    """The call that runs now.

    Attributes:
        node: the name of the node that made the call.
        pid: the process that made the call; None for a cast, which does not name it.
        token: the value that the caller gave with `call_with_token`; None without one.
    """

    node: Atom
    pid: Pid | None
    token: Any


class _Described(Protocol):
    def describe(self) -> CurrentCall:
        """Describe the call."""


PRESENT: ContextVar[_Described | None] = ContextVar("beam_bpy_present_call", default=None)
"""The call that runs now."""


def current_call() -> CurrentCall | None:
    """The call whose handler runs now, on this thread or in this asyncio task; None outside a handler.

    A function that Blender calls while a handler runs, such as one in `bpy.app.handlers`, gets the call of the handler.
    """
    present = PRESENT.get()
    return None if present is None else present.describe()


class Watcher(NamedTuple):
    """Functions that surround the calls of handlers that change the scene; see `BeamServer.watch_changes`."""

    before: Callable[[], object]
    after: Callable[[], object]


class Watchers:
    """The watchers of one server.

    Attributes:
        all: the watchers.
    """

    def __init__(self) -> None:
        self.all: tuple[Watcher, ...] = ()

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Add a watcher; returns the function that removes it."""
        self.all = (*self.all, watcher)
        return lambda: self._remove(watcher)

    def before(self) -> None:
        """A handler that changes the scene will run."""
        for watcher in self.all:
            _guarded(watcher.before)

    def after(self) -> None:
        """A handler that changes the scene has run."""
        for watcher in self.all:
            _guarded(watcher.after)

    def _remove(self, watcher: Watcher) -> None:
        self.all = tuple(other for other in self.all if other is not watcher)


class Watched:
    """A coroutine each of whose steps is surrounded by watchers.

    Args:
        coroutine: the coroutine of an `async def` handler.
        watchers: see `Watchers`.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], watchers: Watchers) -> None:
        self._coroutine = coroutine
        self._watchers = watchers

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run the coroutine, as `yield from` does."""
        error: BaseException | None = None
        while True:
            self._watchers.before()
            try:
                awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                self._watchers.after()
            error = None
            try:
                yield awaited
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - the coroutine gets it
                error = thrown


def _guarded(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:  # Not even SystemExit may end the thread or change the answer of the call.
        log.exception("a function of watch_changes failed: %r", function)
