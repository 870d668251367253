"""The queue of a host: a program with a main thread of its own, such as Blender.

A host installs its queue for the whole process. From then on the handlers of every server in the process go there, also
those of a server that a script has made. This package need not know Blender for that.
"""

import sys
import weakref
from typing import Protocol

from beam_bpy.dispatch.call_queue import CallQueue


class HostQueueObserver(Protocol):
    """An object that is told about the host's queue: a server."""

    def host_queue_changed(self) -> None:
        """A host has installed or removed its queue."""


_host_queue: CallQueue | None = None
_observers: "weakref.WeakSet[HostQueueObserver]" = weakref.WeakSet()


def install_host_queue(calls: CallQueue) -> None:
    """Send the handlers of every server in this process to `calls`, which the host drains on its main thread.

    Raises:
        RuntimeError: another queue is installed.
    """
    global _host_queue
    if _host_queue is not None:
        raise RuntimeError("this process has a host queue already: remove it first")
    _host_queue = calls
    _tell()


def remove_host_queue(calls: CallQueue) -> None:
    """Undo `install_host_queue`; nothing happens when `calls` is not the installed queue."""
    global _host_queue
    if _host_queue is calls:
        _host_queue = None
        _tell()


def host_queue() -> CallQueue | None:
    """The queue that the host has installed, if any. It is falsy while it is empty: compare it with None."""
    return _host_queue


def lacks_host_queue() -> bool:
    """True in a Blender with a window in which the extension Beam-BPy is not enabled.

    Code that uses bpy must run on the main thread there, and only the extension runs handlers on it. Without a window,
    `BeamServer.serve_forever` does. A program that uses bpy has imported it, so it is not imported here.
    """
    app = getattr(sys.modules.get("bpy"), "app", None)
    return _host_queue is None and getattr(app, "background", True) is False


def observe_host_queue(observer: HostQueueObserver) -> None:
    """Tell `observer` about each change, for as long as it exists."""
    _observers.add(observer)


def _tell() -> None:
    for observer in tuple(_observers):
        observer.host_queue_changed()
