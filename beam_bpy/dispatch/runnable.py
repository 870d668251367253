"""The base class of the objects that a queue of calls holds."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from beam_bpy.distribution.load import Load
from beam_bpy.distribution.process import SpawnedProcess


class Runnable:
    """An object that a queue holds: a call, a batch of calls, or a message to a Python process.

    Attributes:
        progress: the last progress of a long call.
        load: the load in which it counts while it waits or runs; None for none.
        process: the process that ends with its answer; None if there is none.
    """

    __slots__ = ()

    progress: Any = None
    load: Load | None = None
    process: SpawnedProcess | None = None

    @property
    def name(self) -> str:
        """The name that a user sees: that of a handler."""
        return ""

    @property
    def wanted(self) -> bool:
        """False once nobody waits for the answer any more."""
        return True

    @property
    def begun(self) -> bool:
        """True if it has been run and will be run again, unless it is closed."""
        return False

    @property
    def changes_scene(self) -> bool:
        """True if a host with a window lets it wait while the user works with a tool."""
        return False

    @property
    def safe_during_jobs(self) -> bool:
        """True if a host runs it while the host renders or bakes in the background."""
        return True

    @property
    def max_wait(self) -> float | None:
        """The longest time that a host may let it wait for a tool or a job, in seconds; None for no limit."""
        return None

    @property
    def caller(self) -> Any:
        """An object that is equal for calls of the same process; None if unknown."""
        return None

    @property
    def undo(self) -> str | None:
        """The name of the undo step that it makes; None for none."""
        return None

    @property
    def after_tick(self) -> Iterable[Callable[[], object]]:
        """Functions that run once for all calls of a tick; see `CallQueue`."""
        return ()

    @property
    def continues(self) -> bool:
        """False if its task has to be cancelled, because nobody waits any more or its handler is gone."""
        return self.wanted

    def run(self) -> "bool | Coroutine[Any, Any, None]":
        """Run it, or a slice of it. Never raises.

        Returns:
            True when it has to be run again. A coroutine that is the rest of it, and that never raises.
        """
        raise NotImplementedError

    def close(self) -> None:
        """It has begun, and will not be run again."""

    def refuse(self, sentence: str) -> None:
        """It will not be run, because the host is busy; `sentence` says with what."""
        self.close()

    def cancel(self, sentence: str) -> None:
        """It has begun, and the user of the host has cancelled it; `sentence` says so."""
        self.close()
