"""Several calls in one message: `call_batch`."""

from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, NamedTuple

from beam_bpy.calls.call import CallContext
from beam_bpy.calls.failure_log import log_failure
from beam_bpy.calls.handlers import Handler
from beam_bpy.calls.present import PRESENT, CurrentCall
from beam_bpy.calls.replies import Caller, Reply
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.distribution.process import SpawnedProcess
from beam_bpy.failures import Failure, Mfa, busy, failure_of, not_allowed
from vendor_term_codec import Atom, encode_term, list_of, tuple_of

_OK = encode_term(Atom("ok"))
_ERROR = encode_term(Atom("error"))


class Step(NamedTuple):
    """One call of a batch; its handler is None when there is none of that name."""

    handler: Handler | None
    args: list[Any]
    mfa: Mfa


class Batch(Runnable):
    """Calls that run one after the other without a pause, for one answer: `[{ok, Value} | {error, Reason}]`.

    After a failed step the next ones run. A long handler runs to its end within its step.

    Args:
        context: see `CallContext`.
        steps: the calls.
        reply: how the caller gets the answer.

    Attributes:
        load: the load in which the batch counts.
    """

    __slots__ = ("_context", "_reply", "_steps", "load")

    def __init__(self, context: CallContext, steps: list[Step], reply: Reply) -> None:
        self._context = context
        self._steps = steps
        self._reply = reply
        self.load = reply.peer.load

    @property
    def name(self) -> str:
        """See `Runnable`."""
        return "call_batch"

    @property
    def wanted(self) -> bool:
        """See `Runnable`."""
        return self._reply.is_wanted()

    @property
    def changes_scene(self) -> bool:
        """See `Runnable`."""
        return any(handler.changes_scene or handler.undo for handler in self._handlers())

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable`."""
        return all(handler.safe_during_jobs for handler in self._handlers())

    @property
    def max_wait(self) -> float | None:
        """See `Runnable`: the shortest of its handlers'."""
        return min((handler.max_wait for handler in self._handlers() if handler.max_wait is not None), default=None)

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
        """See `Runnable`: one step for all handlers that make one."""
        names = {handler.name for handler in self._handlers() if handler.undo}
        if not names:
            return None
        return names.pop() if len(names) == 1 else f"{len(self._steps)} BEAM calls"

    @property
    def after_tick(self) -> Iterator[Callable[[], object]]:
        """See `Runnable`."""
        return (handler.after_tick for handler in self._handlers() if handler.after_tick is not None)

    def run(self) -> bool:
        """Run all steps on this thread. Never raises."""
        if not self._reply.is_wanted():
            self._reply.dropped()
            return False
        watched = self.changes_scene if self._context.watchers.all else False
        if watched:
            self._context.watchers.before()
        present = PRESENT.set(self)
        try:
            answers = list_of(*map(self._run_step, self._steps))
        finally:
            if watched:
                self._context.watchers.after()
            PRESENT.reset(present)
        self._reply.returned(answers)
        return False

    def describe(self) -> CurrentCall:
        """See `current_call`."""
        return CurrentCall(Atom(self._reply.peer.name), self._reply.caller_pid, None)

    def refuse(self, sentence: str) -> None:
        """See `Runnable`: the caller gets the reason `{busy, <<"sentence">>}`."""
        self._reply.failed(busy(sentence, Mfa("beam_bpy", "call_batch", 1)))

    def _handlers(self) -> Iterator[Handler]:
        return (step.handler for step in self._steps if step.handler is not None)

    def _run_step(self, step: Step) -> bytes:
        handler = self._context.registry.current(step.handler) if step.handler is not None else None
        if handler is None:
            return self._refused(step, step.mfa.undefined(step.args))
        if not handler.permits(self._reply.peer.name):
            return self._refused(step, not_allowed(step.mfa))
        try:
            encoded = self._context.encoder.encode_term(_result_of(handler, step.args))
        except BaseException as error:  # noqa: BLE001 - the next step runs, whatever this one raises
            failure = failure_of(error, step.mfa.stack(), self._context.encoder)
            self._context.count_failed(handler, failure)
            return self._failed(failure)
        self._context.count_returned(handler)
        return tuple_of(_OK, encoded)

    def _failed(self, failure: Failure) -> bytes:
        log_failure(self._reply.waiting, self._reply.peer.name, failure)
        return tuple_of(_ERROR, encode_term(failure.reason))

    def _refused(self, step: Step, failure: Failure) -> bytes:
        self._context.note_refused(step.mfa, failure)
        return self._failed(failure)


def _result_of(handler: Handler, args: list[Any]) -> Any:
    """The result of a handler; of a long one the value that it returns in the end."""
    if handler.asynchronous:
        raise TypeError(f"the handler {handler.name} is an async def, and a batch does not wait: call it by itself")
    value = handler.invoke(args)
    if type(value) is not GeneratorType or not handler.long:
        return value
    try:
        while True:
            next(value)
    except StopIteration as end:
        return end.value
