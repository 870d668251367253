"""Handlers, their options, and the registry that finds a handler by its name and module."""

import functools
import inspect
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from sys import getrecursionlimit, setrecursionlimit
from typing import Any, TypedDict, Unpack

from beam_bpy.calls.statistics import Tally
from beam_bpy.checks import check_binaries, check_callable, check_name, check_owner, check_timeout
from beam_bpy.logger import log
from beam_bpy.module_names import ELIXIR_PREFIX, full_module, plain_module
from beam_bpy.protocol.control import BinaryType

RECURSION_LIMIT = getrecursionlimit()
"""The recursion limit when the program started. A handler that has lowered it would let the network thread fail."""


class HandlerOptions(TypedDict, total=False):
    """The options of `BeamServer.register_handler` and `expose`.

    Attributes:
        inline: True runs the handler on the network thread, where the call arrives: for a function that is quick,
            thread-safe and does not use bpy. It passes queued calls, but nothing is read from a node that is over
            `Limits.max_in_flight`. Default False, through the dispatcher.
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
        latest: for casts of which only the newest value matters. It is the key of all casts, as a text, or a function
            that gets the arguments and returns the key of a cast, on the network thread. Among the casts of one node
            that wait, a newer one takes the place of one with an equal key. The older one never runs, and is counted.
            A call whose caller waits is never replaced. Default None, every cast runs.
        after_tick: a function without parameters, for work that all calls of a tick share, such as an update of
            Blender's dependency graph. It runs once after calls of this handler, on the same thread: at the end of
            the tick, and after 5 ms in a longer one. Their callers have their answers then. Several handlers can share
            the function. Default None.
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
    latest: str | Callable[..., Hashable] | None
    after_tick: Callable[[], object] | None
    permit: Callable[[str], bool] | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that the BEAM can call.

    Attributes:
        name: the name that callers use.
        function: the Python function.
        spread: True when each argument is a parameter, False when the list of arguments is the only parameter.
        inline, binaries, arrays, module, owner, undo, changes_scene, safe_during_jobs, max_wait, latest,
            after_tick, permit: see `HandlerOptions`.
        tally: counts its calls.
        asynchronous: True if the function is an `async def`, so that its calls are asyncio tasks.
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
    latest: str | Callable[..., Hashable] | None = None
    after_tick: Callable[[], object] | None = None
    permit: Callable[[str], bool] | None = None
    tally: Tally = field(default_factory=Tally, compare=False, repr=False)
    asynchronous: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asynchronous", is_coroutine_function(self.function))

    @property
    def calls(self) -> int:
        """The number of calls that it has answered, failed ones included."""
        return self.tally.calls

    @property
    def failures(self) -> int:
        """The number of its calls that failed."""
        return self.tally.failures

    @property
    def long(self) -> bool:
        """True if the function is a generator function, so that its calls are long calls."""
        return is_generator_function(self.function)

    def permits(self, node_name: str) -> bool:
        """True if a node may call it; a `permit` that raises an exception permits nothing."""
        if self.permit is None:
            return True
        try:
            return bool(self.permit(node_name))
        except BaseException:  # Not even SystemExit may end the network thread.
            log.exception("the permit of handler %s failed, so %s may not call it", self.name, node_name)
            return False

    def latest_key(self, args: list[Any]) -> Hashable:
        """The key of a cast with these arguments, if the handler has the option `latest`.

        Raises:
            ValueError: the function has no key for these arguments, or returns a key that cannot be hashed.
        """
        if not callable(self.latest):
            return self.latest
        try:
            key = self.latest(*args) if self.spread else self.latest(args)
            hash(key)
        except BaseException as error:  # Not even SystemExit may end the network thread.
            raise ValueError(f"the function for the option latest of handler {self.name} failed: {error!r}") from error
        # Handlers that use the same text share their keys. What a function returns belongs to its handler.
        return self.name, self.module, key

    def invoke(self, args: list[Any]) -> Any:
        """Call the function with a call's arguments."""
        try:
            return self.function(*args) if self.spread else self.function(args)
        finally:
            if getrecursionlimit() < RECURSION_LIMIT:
                setrecursionlimit(RECURSION_LIMIT)


def is_generator_function(function: Callable[..., Any]) -> bool:
    """Return True if a function contains `yield`; see `_innermost`. An async generator function is none."""
    return inspect.isgeneratorfunction(_innermost(function))


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Return True if a function is an `async def` without `yield`; see `_innermost`."""
    return inspect.iscoroutinefunction(_innermost(function))


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function itself that is behind any of these:

    - a bound method
    - `functools.partial`
    - a decorator that uses `functools.wraps`
    - an object whose class has it as `__call__`
    """
    seen: set[int] = set()
    inner: Any = function
    while id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif inspect.ismethod(inner):
            inner = inner.__func__
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif callable(inner) and not inspect.isroutine(inner):
            inner = type(inner).__call__
    innermost: Callable[..., Any] = inner
    return innermost


def new_handler(name: str, function: Callable[..., Any], *, spread: bool, **options: Unpack[HandlerOptions]) -> Handler:
    """A handler, from what `BeamServer.register_handler` and `expose` are given.

    Raises:
        TypeError: there is no option of that name, or a value is of a wrong type.
        ValueError: the name, the module or the owner cannot be one, or `max_wait` is no time.
    """
    for option in options:
        if option not in HandlerOptions.__annotations__:
            known = ", ".join(HandlerOptions.__annotations__)
            raise TypeError(f"a handler has no option {option!r}; the options are {known}")
    check_callable(function, "a handler")
    if inspect.isasyncgenfunction(_innermost(function)):
        raise TypeError(
            f"the handler {name!r} is an async generator, which has no result: write a generator, or an async def "
            "without yield"
        )
    if options.get("inline", False) and is_coroutine_function(function):
        raise ValueError(f"the handler {name!r} is an async def, which cannot run on the network thread: remove inline")
    _check_options(options)
    return Handler(check_name(name, "the name of a handler"), function, spread, **options)


def _check_options(options: HandlerOptions) -> None:
    """Refuse values that a caller, the panel or the queue would stumble over later; the module gets its plain name."""
    for flag in _FLAGS:
        if not isinstance(options.get(flag, False), bool):
            raise TypeError(f"{flag} is True or False, not {options[flag]!r}")  # type: ignore[literal-required]
    check_binaries(options.get("binaries", str))
    module, owner, permit = options.get("module"), options.get("owner"), options.get("permit")
    if module is not None:
        check_name(full_module(check_name(module, "the module of a handler")), "the module of a handler")
        options["module"] = check_name(plain_module(module), "the module of a handler")
    if owner is not None:
        options["owner"] = check_owner(owner)
    if permit is not None:
        check_callable(permit, "permit")
    check_timeout(options.get("max_wait"), "max_wait")
    latest, after_tick = options.get("latest"), options.get("after_tick")
    if latest is not None and not (isinstance(latest, str) and latest):
        check_callable(latest, "latest")
    if after_tick is not None:
        check_callable(after_tick, "after_tick")
    for option, value in (("latest", latest), ("after_tick", after_tick)):
        if value is not None and options.get("inline", False):
            raise ValueError(
                f"an inline handler runs at once, so it cannot have the option {option}: remove one of them"
            )


_FLAGS = ("inline", "arrays", "undo", "changes_scene", "safe_during_jobs")


class Registry:
    """Handlers by name and module. Changes may come from any thread; looking up takes no lock.

    Several owners can register handlers of one name and module. The handler that was registered last answers. When its
    owner removes it, the one before answers again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[tuple[str, str | None], Handler] = {}
        # Handlers of other owners that do not answer now, the one that answers next at the end.
        self._covered: dict[tuple[str, str | None], list[Handler]] = {}

    def add(self, handler: Handler) -> None:
        """Register a handler; it replaces one of the same name, module and owner, and covers those of other owners."""
        key = handler.name, handler.module
        with self._lock:
            before = self._handlers.get(key)
            others = [other for other in self._stack(key) if other.owner != handler.owner]
            self._covered.pop(key, None)
            if others:
                self._covered[key] = others
            self._handlers[key] = handler
        if before is not None and before.owner != handler.owner:
            log.warning(
                "handler %s of %s takes the place of that of %s: calls reach it until %s unregisters it",
                handler.name if handler.module is None else f"{handler.module}.{handler.name}",
                _owner(handler),
                _owner(before),
                _owner(handler),
            )

    def remove(self, name: str, module: str | None = None) -> bool:
        """Remove the handler that answers; one that it covers answers again. False when there was none."""
        with self._lock:
            return self._remove((name, module))

    def remove_owner(self, owner: str) -> int:
        """Remove all handlers of `owner`; returns the number of those that answered."""
        with self._lock:
            for key in tuple(self._covered):
                self._covered[key] = [handler for handler in self._covered[key] if handler.owner != owner]
            return sum(self._remove(key) for key, handler in tuple(self._handlers.items()) if handler.owner == owner)

    def _remove(self, key: tuple[str, str | None]) -> bool:
        covered = self._covered.pop(key, [])
        if not covered:
            return self._handlers.pop(key, None) is not None
        self._handlers[key] = covered.pop()
        self._covered[key] = covered
        return True

    def _stack(self, key: tuple[str, str | None]) -> list[Handler]:
        """The handlers of one name and module; the last one answers."""
        handler = self._handlers.get(key)
        return [*self._covered.get(key, ()), *(() if handler is None else (handler,))]

    def find(self, name: str, module: str | None = None) -> Handler | None:
        """The handler for a call to `module`: the one bound to that module, else the one for any module."""
        if module is not None:
            handler = self._handlers.get((name, module.removeprefix(ELIXIR_PREFIX)))
            if handler is not None:
                return handler
        return self._handlers.get((name, None))

    def current(self, handler: Handler) -> Handler | None:
        """The handler that is registered now under the name and module of `handler`, or None."""
        return self._handlers.get((handler.name, handler.module))

    def all(self) -> tuple[Handler, ...]:
        """All handlers, in the order in which they were registered."""
        with self._lock:
            return tuple(self._handlers.values())


def _owner(handler: Handler) -> str:
    return "a program without an owner" if handler.owner is None else repr(handler.owner)
