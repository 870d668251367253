"""The output of the command line, also if nobody can read it: a closed pipe, a full disk, a closed stream."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes. 130 is what a shell reports for a program that Ctrl-C has ended."""


class OutputError(Exception):
    """Standard output cannot be written; the message is a sentence that says why."""


def say(text: str) -> None:
    """Print a line to standard output.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is None:
        raise OutputError("standard output cannot be written: it is closed")
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        _discard(sys.stdout)
        raise OutputError(f"standard output cannot be written: {_reason(error)}") from None


def complain(sentence: str, code: int = FAILURE) -> int:
    """Print a sentence on standard error, if it can be written; returns `code`."""
    if sys.stderr is not None:  # `print` would write to standard output instead.
        try:
            print(f"beam-bpy: {sentence}", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            _discard(sys.stderr)
    return code


def prepare_streams() -> None:
    """Let no character and no closed stream break the program.

    The number of a closed stream would be given to the next file or socket, and what a library prints would go there.
    """
    with contextlib.suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(opened)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write what is left. Python would print a traceback at its end, and exit with 120, where that is not possible."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                _discard(stream)


@contextlib.contextmanager
def unbreakable_output(warn: Callable[[str], None]) -> Iterator[None]:
    """In this block, standard output that cannot be written is discarded, so that a server goes on.

    Args:
        warn: gets one sentence, when that happens first.
    """
    before = sys.stdout, sys.stderr
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open
        warn("standard output is closed: what handlers print is discarded")
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout = _unbreakable(sys.stdout, warn)
    with contextlib.suppress(ValueError, AttributeError):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # Blender's Python leaves it at its default, which ends Blender.
    try:
        yield
    finally:
        flush_streams()
        sys.stdout, sys.stderr = before


def _unbreakable(stream: TextIO, warn: Callable[[str], None]) -> TextIO:
    stream.flush()
    raw = _UnbreakableFile(stream.fileno(), warn)
    line_buffering = getattr(stream, "line_buffering", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]
        stream.encoding,
        "backslashreplace",
        line_buffering=line_buffering,
    )


class _UnbreakableFile(io.RawIOBase):
    """A file descriptor; once it cannot be written, it discards everything."""

    def __init__(self, descriptor: int, warn: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._warn = warn

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | memoryview", /) -> int | None:  # type: ignore[override]
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return None
        except OSError as error:
            _point_to_nothing(self._descriptor)
            self._warn(f"standard output cannot be written ({_reason(error)}): what handlers print is discarded")
            return len(data)


def _discard(stream: TextIO) -> None:
    """Let everything that is written to a broken stream disappear, also what it still holds."""
    with contextlib.suppress(OSError, ValueError):
        _point_to_nothing(stream.fileno())
        stream.flush()


def _point_to_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
