"""The logger of this package: what the program does with a message is no reason for anything here to end.

A handler of `logging` that raises would else close connections, lose answers and end threads.
"""

import contextlib
import logging
from typing import Any


class _Log(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Log; whatever the program's handlers raise is dropped with the message."""
        with contextlib.suppress(Exception):
            # The message comes from whoever has called this method.
            super().log(level, msg, *args, stacklevel=2, **options)


log = _Log(logging.getLogger("beam_bpy"))
