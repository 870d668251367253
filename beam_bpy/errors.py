"""The exceptions of calls in both directions, of settings, and of a server that cannot start.

A handler raises `ErlangError`, `ErlangExit` or `ErlangThrow` to choose how its call fails on the BEAM; any other
exception reaches the caller as the error `{:python_error, %{type: …, message: …, traceback: …}}`. A call from Python
raises the same three for what happened on the other side.
"""

from typing import Any


class ErlangFailure(Exception):  # noqa: N818 - only its subclasses are raised
    """The base of the BEAM's three classes of exceptions.

    Args:
        term: the reason, or the value that is thrown.
        stack: for a call from Python, the stack trace that came with it: `[(module, function, arity, location)]`.
    """

    def __init__(self, term: Any, stack: list[Any] | None = None) -> None:
        super().__init__(term)
        self.term = term
        self.stack = stack or []


class ErlangError(ErlangFailure):
    """`raise ErlangError(reason)` is `erlang:error(reason)` on the BEAM, or Elixir's `raise`."""

    @property
    def reason(self) -> Any:
        """The term that the caller sees."""
        return self.term


class ErlangExit(ErlangFailure):
    """`raise ErlangExit(reason)` is `exit(reason)` on the BEAM."""

    @property
    def reason(self) -> Any:
        """The term that the caller sees."""
        return self.term


class ErlangThrow(ErlangFailure):
    """`raise ErlangThrow(value)` is `throw(value)` on the BEAM."""

    @property
    def value(self) -> Any:
        """The term that the caller catches."""
        return self.term


class NodeDownError(ConnectionError):
    """A node cannot be reached, or its connection has broken; the message says which and why."""


class NodeNameError(NodeDownError, ValueError):
    """A value is not a node name, so there is no such node; the message is a sentence."""


class SettingsError(ValueError):
    """A setting cannot be used; the message is a sentence that says what to do about it."""


class TlsError(SettingsError, OSError):
    """A certificate or a key cannot be used; the message is a sentence."""


class ServerError(RuntimeError):
    """A server cannot start; the message is the sentence of `BeamServer.last_error`."""
