"""Calls on their way through the queue: one of a handler, or a batch of them.

A handler that is a generator function makes a long call: each `run` is one slice of it, to its next `yield`. What it
yields is progress, what it returns is the answer. It is closed when nobody waits any more, when its node stops, and
when its handler is taken away.
"""

from collections.abc import Callable, Generator, Iterator
from types import GeneratorType
from typing import Any, NamedTuple

from beam_bpy.activity import Record
from beam_bpy.answers import Answer, Caller
from beam_bpy.dispatch import Runnable
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.failures import Failure, Kind, Target, busy, failure_of, not_allowed, python_error
from beam_bpy.handlers import Handler, Registry
from beam_bpy.logs import log
from vendor_term_codec import Atom, EncodeError, encode_term

Listener = Callable[[bytes], object]
"""Gets each value that a long call yields, encoded."""


class House:
    """What all calls of one server share.

    Args:
        registry: the handlers.
        encoder: turns what they return into terms.

    Attributes:
        record: what has been done so far.
    """

    def __init__(self, registry: Registry, encoder: ErlangVariantEncoder) -> None:
        self.registry = registry
        self.encoder = encoder
        self.record = Record()

    def returned(self, handler: Handler) -> None:
        """Count a call that has returned."""
        handler.tally.calls += 1
        (self.record.inline if handler.inline else self.record.queued).calls += 1

    def failed(self, handler: Handler, failure: Failure) -> None:
        """Count a call that has failed."""
        self.returned(handler)
        handler.tally.failures += 1
        (self.record.inline if handler.inline else self.record.queued).failures += 1
        self.record.note_failure(handler.name, failure)


class Call(Runnable):
    """One call of one handler; it is answered, whatever happens.

    Args:
        house: what it shares with other calls.
        handler: what to run.
        args: its arguments, decoded.
        target: what the caller named, for stack traces.
        answer: who waits.
        listener: gets what a long call yields; None when nobody has asked for it.

    Attributes:
        answer: who waits.
        load: where it counts.
        progress: what a long call has yielded last; None before that, and for any other call.
    """

    __slots__ = ("_args", "_house", "_listener", "_slices", "_target", "answer", "handler", "load", "progress")

    def __init__(
        self,
        house: House,
        handler: Handler,
        args: list[Any],
        target: Target,
        answer: Answer,
        listener: Listener | None = None,
    ) -> None:
        self._house = house
        self._args = args
        self._target = target
        self.answer = answer
        self.load = answer.caller.peer.load
        self._listener = listener
        self._slices: Generator[Any, None, Any] | None = None
        self.handler = handler
        self.progress: Any = None

    @property
    def name(self) -> str:
        """See `Runnable.name`."""
        return self.handler.name

    @property
    def wanted(self) -> bool:
        """See `Runnable.wanted`."""
        return self.answer.wanted()

    @property
    def begun(self) -> bool:
        """See `Runnable.begun`."""
        return self._slices is not None

    @property
    def changes_scene(self) -> bool:
        """See `Runnable.changes_scene`."""
        return self.handler.changes_scene or self.handler.undo

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable.safe_during_jobs`."""
        return self.handler.safe_during_jobs

    @property
    def max_wait(self) -> float | None:
        """See `Runnable.max_wait`."""
        return self.handler.max_wait

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return self.answer.caller

    @property
    def undo(self) -> str | None:
        """The name of the undo step that it makes; None for none."""
        return self.handler.name if self.handler.undo else None

    def run(self) -> bool:
        """Run the handler on this thread, or a slice of it; True when there is more to run. Never raises."""
        if not self.answer.wanted():
            self._end()
            self.answer.abandoned()
            return False
        handler = self._house.registry.current(self.handler)
        if handler is None or (self._slices is not None and handler is not self.handler):
            self._end()
            self._fail(self._target.undefined(self._args))
            return False
        # One that has taken the place of another while the call was queued has a say of its own.
        if handler is not self.handler and not handler.permits(self.caller.peer.name):
            self._fail(not_allowed(self._target))
            return False
        self.handler = handler
        try:
            done, value = self._go_on()
            encoded = self._house.encoder.encode_term(value)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may leave a caller waiting
            self._end()
            self._fail(failure_of(error, self._target.stack(), self._house.encoder))
            return False
        if not done:
            self.progress = value
            if self._listener is not None:
                self._listener(encoded)
            return True
        self._house.returned(handler)
        self.answer.returned(encoded)
        return False

    def close(self) -> None:
        """It will not be run again, though it has begun."""
        self._end()
        if self.answer.wanted():
            self._fail(Failure(Kind.EXIT, Atom("shutdown"), self._target.stack()))
        else:
            self.answer.abandoned()

    def refuse(self, sentence: str) -> None:
        """See `Runnable.refuse`: its caller gets the reason `{busy, <<"sentence">>}`."""
        self._end()
        self._fail(busy(sentence, self._target))

    def _go_on(self) -> tuple[bool, Any]:
        """Whether it is done, and what it has returned or else yielded."""
        if self._slices is None:
            value = self.handler.invoke(self._args)
            if type(value) is not GeneratorType:
                return True, value
            self._slices = value
        try:
            return False, next(self._slices)
        except StopIteration as end:
            self._slices = None
            return True, end.value

    def _end(self) -> None:
        """Let a generator clean up."""
        slices, self._slices = self._slices, None
        if slices is None:
            return
        try:
            slices.close()
        except BaseException:  # what a handler does on its way out ends here
            log.exception("handler %s failed while it was closed", self.handler.name)

    def _fail(self, failure: Failure) -> None:
        self._house.failed(self.handler, failure)
        try:
            self.answer.failed(failure)
        except EncodeError as error:  # What stands around it makes it deeper than a term may be.
            self.answer.failed(Failure(Kind.ERROR, python_error(error), self._target.stack()))


class Step(NamedTuple):
    """One call of a batch; no handler when there is none of that name."""

    handler: Handler | None
    args: list[Any]
    target: Target


class Batch(Runnable):
    """Calls that run one after the other without a pause, for one answer: `[{ok, Value} | {error, Reason}]`.

    A step that fails does not keep the next ones from running. A long handler runs to its end within its step.

    Args:
        house: what it shares with other calls.
        steps: what to run.
        answer: who waits.

    Attributes:
        load: where it counts.
    """

    __slots__ = ("_answer", "_house", "_steps", "load")

    def __init__(self, house: House, steps: list[Step], answer: Answer) -> None:
        self._house = house
        self._steps = steps
        self._answer = answer
        self.load = answer.caller.peer.load

    @property
    def name(self) -> str:
        """See `Runnable.name`."""
        return "call_batch"

    @property
    def wanted(self) -> bool:
        """See `Runnable.wanted`."""
        return self._answer.wanted()

    @property
    def changes_scene(self) -> bool:
        """See `Runnable.changes_scene`."""
        return any(handler.changes_scene or handler.undo for handler in self._handlers())

    @property
    def safe_during_jobs(self) -> bool:
        """See `Runnable.safe_during_jobs`."""
        return all(handler.safe_during_jobs for handler in self._handlers())

    @property
    def max_wait(self) -> float | None:
        """See `Runnable.max_wait`: the shortest of its handlers'."""
        return min((handler.max_wait for handler in self._handlers() if handler.max_wait is not None), default=None)

    def _handlers(self) -> Iterator[Handler]:
        return (step.handler for step in self._steps if step.handler is not None)

    def refuse(self, sentence: str) -> None:
        """See `Runnable.refuse`."""
        self._answer.failed(busy(sentence, Target("", "call_batch", 1)))

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return self._answer.caller

    @property
    def undo(self) -> str | None:
        """The name of the one undo step for all of it; None when no handler asks for one."""
        names = {handler.name for handler in self._handlers() if handler.undo}
        if not names:
            return None
        return names.pop() if len(names) == 1 else f"{len(self._steps)} BEAM calls"

    def run(self) -> bool:
        """Run all steps on this thread. Never raises."""
        if not self._answer.wanted():
            self._answer.abandoned()
            return False
        outcomes = b"".join(map(self._run_step, self._steps))
        header = bytes((108,)) + len(self._steps).to_bytes(4) if self._steps else b""
        self._answer.returned(header + outcomes + bytes((106,)))
        return False

    def _run_step(self, step: Step) -> bytes:
        handler = self._house.registry.current(step.handler) if step.handler is not None else None
        if handler is None:
            return _ERROR + encode_term(step.target.undefined(step.args).reason)
        if not handler.permits(self.caller.peer.name):
            return _ERROR + encode_term(not_allowed(step.target).reason)
        try:
            value = _OK + self._house.encoder.encode_term(_to_its_end(handler.invoke(step.args)))
        except BaseException as error:  # noqa: BLE001 - the next step has its turn
            failure = failure_of(error, step.target.stack(), self._house.encoder)
            self._house.failed(handler, failure)
            return _ERROR + encode_term(failure.reason)
        self._house.returned(handler)
        return value


def _to_its_end(value: Any) -> Any:
    """What a generator returns; any other value itself."""
    if type(value) is not GeneratorType:
        return value
    try:
        while True:
            next(value)
    except StopIteration as end:
        return end.value


_OK = bytes((104, 2)) + encode_term(Atom("ok"))
_ERROR = bytes((104, 2)) + encode_term(Atom("error"))
