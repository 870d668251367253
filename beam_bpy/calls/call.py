"""One call of one handler, from the queue to the reply.

A handler that is a generator function makes a long call: each `run` is one slice of it, up to its next `yield`. The
values that it yields are progress, the value that it returns is the answer. A generator that any other function returns
is a value without a term. The generator is closed when nobody waits any more,
when its node stops, and when its handler is unregistered.

The call of a handler that is an `async def` is a task (`dispatch.tasks`), which is cancelled in the same cases.
"""

from collections.abc import Callable, Coroutine, Generator
from sys import getrecursionlimit, setrecursionlimit
from types import CoroutineType, GeneratorType
from typing import Any

from beam_bpy.calls.handlers import RECURSION_LIMIT, Handler, Registry
from beam_bpy.calls.present import PRESENT, CurrentCall, Watched, Watchers
from beam_bpy.calls.replies import Caller, Reply
from beam_bpy.calls.statistics import Statistics
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.process import SpawnedProcess
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.failures import (
    Failure,
    Kind,
    Mfa,
    busy,
    cancelled,
    failure_of,
    not_allowed,
    python_error,
    traceback_of,
)
from beam_bpy.logger import log
from vendor_term_codec import Atom, EncodeError

OnProgress = Callable[[bytes], object]
"""Gets each value that a long call yields, encoded."""


class CallContext:
    """The objects that all calls of one server share.

    Args:
        registry: the handlers.
        encoder: turns their results into terms.

    Attributes:
        statistics: counts the calls.
        watchers: functions that surround calls that change the scene.
    """

    def __init__(self, registry: Registry, encoder: ErlangVariantEncoder) -> None:
        self.registry = registry
        self.encoder = encoder
        self.statistics = Statistics()
        self.watchers = Watchers()

    def count_returned(self, handler: Handler) -> None:
        """Count a call that has returned."""
        handler.tally.calls += 1
        (self.statistics.inline if handler.inline else self.statistics.queued).calls += 1

    def count_failed(self, handler: Handler, failure: Failure) -> None:
        """Count a call that has failed."""
        self.count_returned(handler)
        handler.tally.failures += 1
        (self.statistics.inline if handler.inline else self.statistics.queued).failures += 1
        self.statistics.note_failure(handler.name, failure)

    def count_refused(self, mfa: Mfa, failure: Failure) -> None:
        """Count a call that no handler has answered; on the network thread."""
        self.statistics.inline.calls += 1
        self.statistics.inline.failures += 1
        self.note_refused(mfa, failure)

    def note_refused(self, mfa: Mfa, failure: Failure) -> None:
        """Remember the failure of a call, or of a step of a batch, that no handler has answered."""
        self.statistics.note_failure(f"{mfa.module}.{mfa.function}/{mfa.arity}", failure)


class Call(Runnable):
    """One call of one handler. Its caller gets an answer, whatever happens.

    Args:
        context: see `CallContext`.
        handler: the handler that was found when the call arrived.
        args: its arguments, decoded.
        mfa: the module, function and arity that the caller named, for stack traces.
        reply: how the caller gets the answer.
        on_progress: gets the values that a long call yields; None when the caller has not asked for them.
        token: a value of the caller's own, see `CurrentCall`.

    Attributes:
        handler: the handler that ran last.
        load: the load in which the call counts.
        progress: the value that a long call has yielded last; None before that, and for any other call.
    """

    __slots__ = (
        "_args",
        "_context",
        "_coroutine",
        "_end_reason",
        "_generator",
        "_in_task",
        "_mfa",
        "_on_progress",
        "_reply",
        "_token",
        "handler",
        "load",
        "progress",
    )

    def __init__(
        self,
        context: CallContext,
        handler: Handler,
        args: list[Any],
        mfa: Mfa,
        reply: Reply,
        on_progress: OnProgress | None = None,
        token: Any = None,
    ) -> None:
        self._context = context
        self._args = args
        self._mfa = mfa
        self._reply = reply
        self._on_progress = on_progress
        self._token = token
        self._generator: Generator[Any, None, Any] | None = None
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._in_task = False
        self._end_reason: Failure | None = None
        self.handler = handler
        self.load = reply.peer.load
        self.progress: Any = None

    # -- see `Runnable`

    @property
    def name(self) -> str:
        """See `Runnable`."""
        return self.handler.name

    @property
    def wanted(self) -> bool:
        """See `Runnable`."""
        return self._reply.is_wanted()

    @property
    def begun(self) -> bool:
        """See `Runnable`."""
        return self._generator is not None or self._coroutine is not None

    @property
    def changes_scene(self) -> bool:
        """See `Runnable`."""
        return self.handler.changes_scene or self.handler.undo

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable`."""
        return self.handler.safe_during_jobs

    @property
    def max_wait(self) -> float | None:
        """See `Runnable`."""
        return self.handler.max_wait

    @property
    def caller(self) -> Caller:
        """See `Runnable`."""
        return self._reply.caller

    @property
    def process(self) -> SpawnedProcess | None:  # type: ignore[override]
        """See `Runnable`."""
        return self._reply.spawned

    @property
    def undo(self) -> str | None:
        """See `Runnable`."""
        return self.handler.name if self.handler.undo else None

    @property
    def after_tick(self) -> tuple[Callable[[], object], ...]:
        """See `Runnable`."""
        function = self.handler.after_tick
        return () if function is None else (function,)

    @property
    def continues(self) -> bool:
        """See `Runnable`."""
        if self._context.registry.current(self.handler) is not self.handler:
            self._end_reason = self._mfa.undefined(self._args)
            return False
        return self._reply.is_wanted()

    def run(self) -> bool | Coroutine[Any, Any, None]:
        """See `Runnable`: run the handler on this thread, or a slice of it."""
        if not self._reply.is_wanted():
            self._close_begun()
            self._reply.dropped()
            return False
        handler = self._context.registry.current(self.handler)
        if handler is not self.handler:
            failure = self._replaced(handler)
            if handler is None or failure is not None:
                self._close_begun()
                self._fail(failure or self._mfa.undefined(self._args))
                return False
            self.handler = handler
        failure = None
        # The steps of an `async def` are surrounded in `_rest`.
        watched = self._is_watched(handler) and not handler.asynchronous if self._context.watchers.all else False
        if watched:
            self._context.watchers.before()
        present = PRESENT.set(self)
        try:
            done, value = self._next_value(handler)
            if type(value) is CoroutineType and handler.asynchronous:
                self._coroutine = value
                return self._rest(handler, value)
            encoded = self._context.encoder.encode_term(value)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may leave a caller waiting
            failure = failure_of(error, self._mfa.stack(), self._context.encoder)
        finally:
            if watched:
                self._context.watchers.after()
            PRESENT.reset(present)
        if failure is not None:
            self._close_begun()
            self._fail(failure)
            return False
        if not done:
            self.progress = value
            if self._on_progress is not None:
                self._on_progress(encoded)
            return True
        self._context.count_returned(handler)
        self._reply.returned(encoded)
        return False

    def drop(self) -> None:
        """The call will not run, because a newer one has taken its place in the queue."""
        self._reply.dropped()

    async def _rest(self, handler: Handler, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Wait for the result of an `async def`, and answer the call."""
        self._in_task = True
        failure, encoded = None, b""
        PRESENT.set(self)  # For this task, which has a context of its own.
        try:
            rest = Watched(coroutine, self._context.watchers) if self._is_watched(handler) else coroutine
            encoded = self._context.encoder.encode_term(await rest)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may leave a caller waiting
            failure = self._end_reason or failure_of(error, self._mfa.stack(), self._context.encoder)
        self._coroutine, self._in_task = None, False
        if not self._reply.is_wanted():
            self._reply.dropped()
        elif failure is not None:
            self._fail(failure)
        else:
            self._context.count_returned(handler)
            self._reply.returned(encoded)

    def close(self) -> None:
        """See `Runnable`."""
        if self._in_task:
            self._end_reason = Failure(Kind.EXIT, Atom("shutdown"), self._mfa.stack())
            return
        self._close_begun()
        if self._reply.is_wanted():
            self._fail(Failure(Kind.EXIT, Atom("shutdown"), self._mfa.stack()))
        else:
            self._reply.dropped()

    def refuse(self, sentence: str) -> None:
        """See `Runnable`: the caller gets the reason `{busy, <<"sentence">>}`."""
        self._close_begun()
        self._fail(busy(sentence, self._mfa))

    def cancel(self, sentence: str) -> None:
        """See `Runnable`: the caller gets the reason `{cancelled, <<"sentence">>}`."""
        if self._in_task:
            self._end_reason = cancelled(sentence, self._mfa)
            return
        self._close_begun()
        self._fail(cancelled(sentence, self._mfa))

    def describe(self) -> CurrentCall:
        """See `current_call`."""
        return CurrentCall(Atom(self._reply.peer.name), self._reply.caller_pid, self._token)

    # -- the parts of `run`

    def _is_watched(self, handler: Handler) -> bool:
        return handler.undo or handler.changes_scene

    def _replaced(self, handler: Handler | None) -> Failure | None:
        """Why the call fails if `handler` has taken the place of its own while it was queued; None if it runs."""
        if handler is None or self._generator is not None:
            return self._mfa.undefined(self._args)
        return None if handler.permits(self._reply.peer.name) else not_allowed(self._mfa)

    def _next_value(self, handler: Handler) -> tuple[bool, Any]:
        """True and the result of the handler, or False and the value that it has yielded."""
        if self._generator is None:
            value = handler.invoke(self._args)
            if type(value) is not GeneratorType or not handler.long:
                return True, value
            self._generator = value
        try:
            return False, next(self._generator)
        except StopIteration as end:
            self._generator = None
            return True, end.value
        finally:
            if getrecursionlimit() < RECURSION_LIMIT:
                setrecursionlimit(RECURSION_LIMIT)

    def _close_begun(self) -> None:
        begun = self._generator or self._coroutine
        self._generator = self._coroutine = None
        if begun is None:
            return
        try:
            begun.close()
        except BaseException as error:  # noqa: BLE001 - an exception in its `finally` ends here
            log.error("handler %s failed while it was closed:\n%s", self.handler.name, traceback_of(error))

    def _fail(self, failure: Failure) -> None:
        self._context.count_failed(self.handler, failure)
        try:
            self._reply.failed(failure)
        except EncodeError as error:  # The tuple around the reason makes it deeper than a term may be.
            self._reply.failed(Failure(Kind.ERROR, python_error(error), self._mfa.stack()))
