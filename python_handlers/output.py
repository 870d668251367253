"""Captures the text that code writes to standard output and standard error while it runs.

Only what Python writes: Blender's own messages and other programs write to the terminal.
"""

import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO


class Output(io.TextIOBase):
    """A stream that keeps the beginning of what is written, and counts the rest.

    Text of a thread that ran before the call began goes to the former stream, and so does text that is written after
    the call.

    Args:
        limit: the largest number of characters to keep.
        former: the stream that this one replaces; None if there is none.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, limit: int, former: TextIO | None) -> None:
        self._limit = limit
        self._former = former
        self._parts: list[str] = []
        self._kept = 0
        self._cut = 0
        self._open = True
        self._lock = threading.Lock()
        self._others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def write(self, text: str, /) -> int:
        """See `io.TextIOBase`."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not self._open or threading.get_ident() in self._others:
            return 0 if self._former is None else self._former.write(text)
        with self._lock:  # Several threads of the code may write at once.
            kept = text[: self._limit - self._kept]
            if kept:
                self._parts.append(kept)
            self._kept += len(kept)
            self._cut += len(text) - len(kept)
        return len(text)

    def end(self) -> None:
        """Keep nothing from now on."""
        self._open = False

    def text(self) -> str:
        """Return what was written, with a note if the end is missing."""
        text = "".join(self._parts).encode(errors="replace").decode()  # No binary can hold a lone surrogate.
        if not self._cut:
            return text
        return f"{text}\n[{self._cut} more characters are missing: the limit is max_output, {self._limit}]\n"


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer` of an `Output`."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def write(self, data: Any, /) -> int:
        """See `io.RawIOBase`."""
        self._output.write(bytes(data).decode(errors="replace"))
        return len(data)


@contextlib.contextmanager
def captured(limit: int) -> Iterator[Output]:
    """Put an `Output` in place of both standard streams. Standard input is empty, so that no code waits for a user."""
    former = sys.stdin, sys.stdout, sys.stderr
    output = Output(limit, sys.stdout)
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), output, output
    try:
        yield output
    finally:
        sys.stdin, sys.stdout, sys.stderr = former
        output.end()
