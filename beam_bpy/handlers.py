"""The registry: which Python function answers to which name, who owns it, and how it wants to be called."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from beam_bpy.activity import Tally
from beam_bpy.logs import log
from beam_bpy.protocol.control import BinaryType

ELIXIR_PREFIX = "Elixir."
"""What Elixir puts before the name of each of its modules: `Blender` is the atom 'Elixir.Blender'."""


class HandlerOptions(TypedDict, total=False):
    """The options of `BeamServer.register_handler` and `expose`.

    Attributes:
        inline: True runs the handler on the network thread, where the call arrives: for a function that is quick,
            thread-safe and does not use bpy. Default False, through the dispatcher.
        binaries: how binaries arrive: `str` (default), valid UTF-8 as str and any other as bytes; `bytes`; or
            `memoryview`, which copies nothing.
        arrays: True decodes lists of numbers to numpy arrays. Default False.
        module: the handler answers only calls to this module, `Blender` in Elixir or 'Blender' in Erlang. Default
            None, calls to any module.
        owner: who registers it, by convention `__package__`, for `unregister_owner`. Default None.
        undo: True makes what the handler does one step that the user can undo, named after the handler. Calls of one
            caller between two looks of Blender at the window share a step. It implies `changes_scene`. Default False.
        changes_scene: True lets calls wait while the user works with a tool (a stroke, a drag, a box selection),
            because a tool keeps pointers to what it works on. Declare it for each handler that adds, removes or
            changes something and does not have `undo`. Default False.
        safe_during_jobs: True runs calls while Blender renders or bakes in the background. Only for handlers that
            read nothing and change nothing that a render uses. Default False: calls wait for the end of the job.
        max_wait: the longest time that a call waits for a tool or a job, in seconds. After that it fails with the
            reason `{busy, <<"sentence">>}`. Default None, no limit.
        permit: a function that gets the full name of the caller's node, on the network thread, and says whether it may
            call this handler; other calls fail with the reason `not_allowed`. Default None, every connected node.

    Without a window `undo`, `changes_scene`, `safe_during_jobs` and `max_wait` mean nothing.
    """

    inline: bool
    binaries: BinaryType
    arrays: bool
    module: str | None
    owner: str | None
    undo: bool
    changes_scene: bool
    safe_during_jobs: bool
    max_wait: float | None
    permit: Callable[[str], bool] | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that the BEAM can call.

    Attributes:
        name: what it is called by.
        function: the Python function.
        spread: True when the arguments are passed one by one, False when they are passed as one list.
        inline: True runs it on the network thread, False through the server's dispatcher.
        binaries: str (valid UTF-8 as str, else bytes), bytes or memoryview.
        arrays: number runs arrive as numpy arrays.
        module: the only module that calls may name, None for any.
        owner: who registered it, so that all of an owner's handlers can be removed at once.
        undo: what it does is a step that the user can undo.
        changes_scene: it changes the scene, so its calls wait while the user works with a tool; `undo` implies it.
        safe_during_jobs: its calls run while Blender renders or bakes in the background.
        max_wait: the longest time that a call of it waits for a tool or a job, in seconds; None for no limit.
        permit: says of the name of a caller's node whether it may call this; None lets every connected node.
        tally: counts its calls.
    """

    name: str
    function: Callable[..., Any]
    spread: bool
    inline: bool = False
    binaries: BinaryType = str
    arrays: bool = False
    module: str | None = None
    owner: str | None = None
    undo: bool = False
    changes_scene: bool = False
    safe_during_jobs: bool = False
    max_wait: float | None = None
    permit: Callable[[str], bool] | None = None
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)

    @property
    def calls(self) -> int:
        """How many calls it has answered; those that failed too."""
        return self.tally.calls

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return self.tally.failures

    def permits(self, node_name: str) -> bool:
        """Whether a node may call it; a `permit` that fails permits nothing."""
        if self.permit is None:
            return True
        try:
            return bool(self.permit(node_name))
        except BaseException:  # not even SystemExit may end the network thread
            log.exception("the permit of handler %s failed, so %s may not call it", self.name, node_name)
            return False

    def invoke(self, args: list[Any]) -> Any:
        """Call the function with a call's arguments."""
        return self.function(*args) if self.spread else self.function(args)


def new_handler(name: str, function: Callable[..., Any], *, spread: bool, **options: Unpack[HandlerOptions]) -> Handler:
    """A handler, from what `BeamServer.register_handler` and `expose` are given.

    Raises:
        TypeError: there is no option of that name.
        ValueError: the name is empty.
    """
    for option in options:
        if option not in HandlerOptions.__annotations__:
            known = ", ".join(HandlerOptions.__annotations__)
            raise TypeError(f"a handler has no option {option!r}; the options are {known}")
    if not name:
        raise ValueError("a handler needs a name")
    if module := options.get("module"):
        options["module"] = plain_module(module)
    return Handler(name, function, spread, **options)


def plain_module(module: str) -> str:
    """`module` as an Elixir or Erlang programmer writes it: without Elixir's prefix."""
    return module.removeprefix(ELIXIR_PREFIX)


class Registry:
    """Handlers by name and module. Changes may come from any thread; looking up takes no lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[tuple[str, str | None], Handler] = {}

    def add(self, handler: Handler) -> None:
        """Register a handler; one of the same name and module is replaced."""
        with self._lock:
            self._handlers[handler.name, handler.module] = handler

    def remove(self, name: str, module: str | None = None) -> bool:
        """Remove a handler; False when there was none."""
        with self._lock:
            return self._handlers.pop((name, module), None) is not None

    def remove_owner(self, owner: str) -> int:
        """Remove all handlers of `owner`; returns how many there were."""
        with self._lock:
            gone = [key for key, handler in self._handlers.items() if handler.owner == owner]
            for key in gone:
                del self._handlers[key]
        return len(gone)

    def find(self, name: str, module: str | None = None) -> Handler | None:
        """The handler for a call to `module`: the one bound to that module, else the one for any module."""
        if module is not None:
            handler = self._handlers.get((name, plain_module(module)))
            if handler is not None:
                return handler
        return self._handlers.get((name, None))

    def current(self, handler: Handler) -> Handler | None:
        """The handler that stands in the place of `handler` now: itself, one that has replaced it, or None."""
        return self._handlers.get((handler.name, handler.module))

    def all(self) -> tuple[Handler, ...]:
        """All handlers, in the order in which they were registered."""
        with self._lock:
            return tuple(self._handlers.values())
