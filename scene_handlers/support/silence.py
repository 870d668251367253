"""No events while a handler works in a scene of its own, or renders only to read numbers.

Subscribers would get names of datablocks that do not exist any more, and paths of temporary files.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


@contextmanager
def silent() -> Iterator[None]:
    """Publish no events in the `with` block."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def is_silent() -> bool:
    """Tell whether a `with` block of `silent` runs."""
    return _depth > 0
