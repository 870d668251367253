"""Limits for files from strangers. A file that breaks one is refused before Blender reads it."""

import time
from typing import Any, NamedTuple

from ..support.arguments import integer, number

LIMITS: dict[str, int | float] = {
    "max_bytes": 256 * 1024 * 1024,
    "max_unpacked": 1024 * 1024 * 1024,
    "max_pixels": 64 * 1024 * 1024,
    "max_seconds": 120.0,
}
"""The options that are limits, and their defaults."""


class Limits(NamedTuple):
    """The limits of one call.

    Attributes:
        max_bytes: the size of the file.
        max_unpacked: the size of everything in the file that is compressed, after it is unpacked.
        max_pixels: the pixels of one picture in the file.
        max_seconds: the duration of the call.
        started: when the call has started, by `time.monotonic`.
    """

    max_bytes: int
    max_unpacked: int
    max_pixels: int
    max_seconds: float
    started: float

    def check_size(self, size: int) -> None:
        """Raise a ValueError if a file of this size is too large."""
        if size > self.max_bytes:
            raise ValueError(f"the file has {size} bytes, and max_bytes is {self.max_bytes}")
        if not size:
            raise ValueError("the file is empty")

    def check_unpacked(self, size: int) -> None:
        """Raise a ValueError if the unpacked content of a file is too large."""
        if size > self.max_unpacked:
            raise ValueError(f"the file would unpack to {size} bytes or more, and max_unpacked is {self.max_unpacked}")

    def check_time(self) -> None:
        """Raise a TimeoutError if the call takes too long.

        Blender cannot be interrupted while it reads or writes a file, so this is checked between two steps.
        """
        if time.monotonic() - self.started > self.max_seconds:
            raise TimeoutError(f"the call has taken more than {self.max_seconds} seconds (max_seconds)")


def limits(chosen: dict[str, Any]) -> Limits:
    """Return the limits of a call that starts now.

    Args:
        chosen: the options of the call. The limits are removed from them.

    Raises:
        ValueError: a limit is not a positive number.
    """
    given = {name: chosen.pop(name, default) for name, default in LIMITS.items()}
    return Limits(
        max_bytes=integer(given["max_bytes"], "max_bytes", 1, 2**53),
        max_unpacked=integer(given["max_unpacked"], "max_unpacked", 1, 2**53),
        max_pixels=integer(given["max_pixels"], "max_pixels", 1, 2**53),
        max_seconds=number(given["max_seconds"], "max_seconds", 0.0),
        started=time.monotonic(),
    )
