"""The optimisations of `beam_bpy`, and how to switch each one off in this process.

`bench/calls_server.py --without NAME` switches one off before it makes its server, and `bench/without.py` measures what
that costs. A switch replaces a class or a method; `beam_bpy` itself has no switches.
"""

from collections.abc import Callable
from typing import NamedTuple

from beam_bpy.calls.replies import ErpcProcess
from beam_bpy.dispatch.call_queue import CallQueue, Source
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.protocol.erpc import ErpcCall
from beam_bpy.protocol.fast_path import FastReader
from beam_bpy.protocol.framing import Frame


class Optimisation(NamedTuple):
    """One optimisation.

    Attributes:
        label: its name and its module, for a table.
        switch_off: switches it off; only before a server is made.
    """

    label: str
    switch_off: Callable[[], None]


def without_fast_path() -> None:
    """Let `control_reader.parse` read every message."""

    def read_nothing(self: FastReader, frame: Frame) -> None:
        return None

    FastReader.read = read_nothing  # type: ignore[method-assign]


def without_late_introduction() -> None:
    """Send the SPAWN_REPLY of an erpc call when the call arrives, and not together with its answer."""
    make = ErpcProcess.__init__

    def make_and_introduce(self: ErpcProcess, node: Node, peer: Peer, call: ErpcCall) -> None:
        make(self, node, peer, call)
        self.introduce()

    def already_introduced(self: ErpcProcess) -> None:
        pass

    ErpcProcess.__init__ = make_and_introduce  # type: ignore[method-assign]
    ErpcProcess.queued = already_introduced  # type: ignore[method-assign]


def without_lending() -> None:
    """Let the draining thread wait on its queue, and the network thread do all I/O.

    This switches off `cork`, too: a queue corks only a loop that its thread borrows.
    """

    def attach_nothing(self: CallQueue, source: Source) -> None:
        pass

    CallQueue.attach = attach_nothing  # type: ignore[method-assign]


def without_cork() -> None:
    """Send each answer at once, although the next call is queued already."""

    def do_not_cork(self: CallQueue, *, more: bool) -> None:
        pass

    CallQueue._cork = do_not_cork  # type: ignore[method-assign]


OPTIMISATIONS = {
    "fast_path": Optimisation("fast path reader, `protocol/fast_path.py`", without_fast_path),
    "late_introduction": Optimisation(
        "late introduction of a call's process, `distribution/process.py`", without_late_introduction
    ),
    "lending": Optimisation("lending, and with it cork, `transport/lending.py`", without_lending),
    "cork": Optimisation("cork, `transport/loop.py`", without_cork),
}
