"""The logger of this package. It suppresses exceptions of the program's logging handlers.

Otherwise a logging handler that raises an exception would close connections, lose replies and end threads.
"""

import contextlib
import logging
from typing import Any


class _Log(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log a message. If a logging handler raises an exception, the exception is suppressed."""
        with contextlib.suppress(Exception):
            # With stacklevel 2, the log record names the caller of this method, and not this method.
            super().log(level, msg, *args, stacklevel=2, **options)


log = _Log(logging.getLogger("beam_bpy"))
