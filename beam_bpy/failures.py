"""Failures of calls: how a Python exception appears on the BEAM."""

import traceback
from enum import Enum
from typing import Any, NamedTuple

from beam_bpy.erlang_text import show
from beam_bpy.erlang_variant import ErlangVariantEncoder
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from vendor_term_codec import Atom, decode_term

_MAX_TEXT = 16_000
"""The longest message and the longest traceback that are sent to a caller, in characters: the beginning of the message,
and the end of the traceback."""


_MAX_SHOWN = 500
"""The longest reason in a log message, in characters."""


class Kind(Enum):
    """The BEAM's three classes of exceptions."""

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
        """The value that `rpc:call` returns for it; a throw is returned as it is."""
        if self.kind is Kind.THROW:
            return self.reason
        return (Atom("badrpc"), (Atom("EXIT"), self.exit_reason))


class Mfa(NamedTuple):
    """The module, function and arity that a call names."""

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


def not_allowed(mfa: Mfa) -> Failure:
    """The handler does not permit calls of the caller's node."""
    return Failure(Kind.ERROR, Atom("not_allowed"), mfa.stack())


def overload(sentence: str, mfa: Mfa) -> Failure:
    """A limit of this node is exceeded: `{overload, <<"sentence">>}`."""
    return Failure(Kind.ERROR, (Atom("overload"), sentence), mfa.stack())


def busy(sentence: str, mfa: Mfa) -> Failure:
    """The host was busy for longer than the handler lets its calls wait: `{busy, <<"sentence">>}`."""
    return Failure(Kind.ERROR, (Atom("busy"), sentence), mfa.stack())


def cancelled(sentence: str, mfa: Mfa) -> Failure:
    """The user of the host has cancelled the call: `{cancelled, <<"sentence">>}`."""
    return Failure(Kind.ERROR, (Atom("cancelled"), sentence), mfa.stack())


def badarg(error: Exception, mfa: Mfa) -> Failure:
    """A request that cannot be read."""
    return Failure(Kind.ERROR, (Atom("badarg"), str(error)), mfa.stack())


def failure_of(error: BaseException, stack: list[Any], encoder: ErlangVariantEncoder) -> Failure:
    """The failure that an exception is on the BEAM."""
    for kind, type_ in _CHOSEN:
        if issubclass(type(error), type_):  # `isinstance` would also ask the exception for its `__class__`.
            try:
                # A reason may hold all types that a result may hold. Decoded again, it holds only the codec's types.
                reason = encoder.encode_term(error.term)  # type: ignore[attr-defined]
                return Failure(kind, decode_term(reason, binaries=bytes)[0], stack)
            except Exception as problem:  # noqa: BLE001 - a converter may raise anything
                return Failure(Kind.ERROR, python_error(problem), stack)
    return Failure(Kind.ERROR, python_error(error), stack)


_CHOSEN = ((Kind.ERROR, ErlangError), (Kind.EXIT, ErlangExit), (Kind.THROW, ErlangThrow))


def python_error(error: BaseException) -> tuple[Atom, dict[Atom, str]]:
    """Return the reason that an exception becomes: `{python_error, #{type => …, message => …, traceback => …}}`.

    A handler that raises `ErlangError` with this reason can add to it, or shorten the traceback of the exception first.
    """
    details = {"type": _type_name(type(error)), "message": _message(error), "traceback": traceback_of(error)}
    return Atom("python_error"), {Atom(key): valid_text(value) for key, value in details.items()}


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception as text, without the frames of this package before those of the handler."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("beam_bpy."):
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))[-_MAX_TEXT:]
    except BaseException:  # noqa: BLE001 - the attributes of an exception may raise anything
        return "its traceback cannot be formatted"


def _type_name(type_: type[BaseException]) -> str:
    # A metaclass may define a `__name__` that raises.
    name: str = _NAME_OF_TYPE(type_)
    return name


_NAME_OF_TYPE = type.__dict__["__name__"].__get__


def _message(error: BaseException) -> str:
    try:
        # A text, also if `__str__` returns an object of a subclass of str.
        return str.__getitem__(str(error), slice(_MAX_TEXT))
    except BaseException:  # noqa: BLE001 - __str__ may raise anything
        return "its __str__ raises an exception"


def valid_text(text: str) -> str:
    """A text with a question mark for each lone surrogate, which no binary can hold."""
    return text.encode(errors="replace").decode()


def shortened(reason: Any) -> str:
    """A reason as a log shows it: a Python exception by its type and message, any other reason in Erlang syntax."""
    match reason:
        case ("python_error", {"type": kind, "message": message}):
            return f"{kind}: {message}"[:_MAX_SHOWN]
    try:
        return show(reason)[:_MAX_SHOWN]
    except (ValueError, RecursionError):  # A list that is too deep.
        return f"a {type(reason).__name__} that is too long to be shown"


def reason_kind(reason: Any) -> str:
    """The common part of reasons of one kind: the type of the exception, or the atom at the beginning."""
    match reason:
        case ("python_error", {"type": kind}):
            return str(kind)
        case Atom() | (Atom(), *_):
            return str(reason if isinstance(reason, Atom) else reason[0])
    return type(reason).__name__
