"""The exceptions with which a handler chooses how its call fails on the BEAM.

Any other exception reaches the caller as the error `{:python_error, %{type: …, message: …, traceback: …}}`.
"""

from typing import Any


class ErlangFailure(Exception):  # noqa: N818 - never raised itself
    """What the three ways to fail have in common: a term. Raise one of the subclasses."""

    def __init__(self, term: Any) -> None:
        super().__init__(term)
        self.term = term


class ErlangError(ErlangFailure):
    """`raise ErlangError(reason)` is `erlang:error(reason)` on the BEAM."""

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
