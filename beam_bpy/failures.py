"""How a call fails: what a Python exception is on the BEAM."""

import traceback
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple

from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from vendor_term_codec import Atom, decode_term

_MAX_TRACEBACK = 16_000
"""The most characters of a traceback that travel to a caller; its end says the most."""


class Kind(Enum):
    """How a call fails, in the BEAM's three classes of exceptions."""

    ERROR = Atom("error")
    EXIT = Atom("exit")
    THROW = Atom("throw")


class Failure(NamedTuple):
    """Why a call has no value.

    Attributes:
        kind: the class of the exception.
        reason: the term.
        stack: the BEAM's stack trace, `[{Module, Function, ArityOrArguments, []}]`.
    """

    kind: Kind
    reason: Any
    stack: list[Any]

    @property
    def exit_reason(self) -> Any:
        """The reason with which a process ends that does not catch it (reference manual, "Exit Reasons")."""
        match self.kind:
            case Kind.EXIT:
                return self.reason
            case Kind.THROW:
                return ((Atom("nocatch"), self.reason), self.stack)
            case Kind.ERROR:
                return (self.reason, self.stack)

    @property
    def badrpc(self) -> Any:
        """What `rpc:call` returns for it: a throw is a value there."""
        if self.kind is Kind.THROW:
            return self.reason
        return (Atom("badrpc"), (Atom("EXIT"), self.exit_reason))


class Target(NamedTuple):
    """What a call names."""

    module: str
    function: str
    arity: int

    def stack(self, arguments: Any = None) -> list[Any]:
        """A stack trace with this as its only entry."""
        last = self.arity if arguments is None else arguments
        return [(Atom(self.module), Atom(self.function), last, [])]

    def undefined(self, arguments: Any) -> Failure:
        """There is no such function."""
        return Failure(Kind.ERROR, Atom("undef"), self.stack(arguments))


def not_allowed(target: Target) -> Failure:
    """The handler is not for the caller's node."""
    return Failure(Kind.ERROR, Atom("not_allowed"), target.stack())


def overload(sentence: str, target: Target) -> Failure:
    """There is too much to do: `{overload, <<"sentence">>}`."""
    return Failure(Kind.ERROR, (Atom("overload"), sentence), target.stack())


def busy(sentence: str, target: Target) -> Failure:
    """The host was busy for longer than the handler lets its calls wait: `{busy, <<"sentence">>}`."""
    return Failure(Kind.ERROR, (Atom("busy"), sentence), target.stack())


def badarg(error: Exception, target: Target) -> Failure:
    """A request that makes no sense."""
    return Failure(Kind.ERROR, (Atom("badarg"), str(error)), target.stack())


def failure_of(error: BaseException, stack: list[Any], encoder: ErlangVariantEncoder) -> Failure:
    """What an exception is on the BEAM."""
    for kind, type_ in _CHOSEN:
        if isinstance(error, type_):
            try:
                # What a result may hold, a reason may hold; from here on it is a term that any encoder writes.
                return Failure(kind, decode_term(encoder.encode_term(error.term), binaries=bytes)[0], stack)
            except Exception as problem:  # noqa: BLE001 - a converter's error is an answer too
                return Failure(Kind.ERROR, python_error(problem), stack)
    return Failure(Kind.ERROR, python_error(error), stack)


_CHOSEN = ((Kind.ERROR, ErlangError), (Kind.EXIT, ErlangExit), (Kind.THROW, ErlangThrow))


def python_error(error: BaseException) -> tuple[Atom, dict[Atom, str]]:
    """What an exception is on the BEAM: `{python_error, #{type => …, message => …, traceback => …}}`, binaries all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("beam_bpy."):
        trace = trace.tb_next
    details = {"type": type(error).__name__, "message": _message(error), "traceback": _traceback(error, trace)}
    return Atom("python_error"), {Atom(key): _utf8(value) for key, value in details.items()}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - its __str__ is a program's own, and the caller waits
        return "its text cannot be had"


def _traceback(error: BaseException, trace: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, trace))[-_MAX_TRACEBACK:]
    except BaseException:  # noqa: BLE001 - it looks at attributes, which are a program's own, too
        return "its traceback cannot be had"


def _utf8(text: str) -> str:
    return text.encode(errors="replace").decode()


def shortened(reason: Any) -> str:
    """A reason as a log shows it."""
    match reason:
        case ("python_error", {"type": kind, "message": message}):
            return f"{kind}: {message}"
    try:
        return repr(reason)[:500]
    except (ValueError, RecursionError):  # An integer of more digits, or a list deeper, than Python writes.
        return f"a {type(reason).__name__} that is too long to be shown"
