"""The messages that nearly all traffic is made of, read in one stride instead of term by term.

Which of the readers has to look at a message, its opcode says.
"""

from collections.abc import Callable

from beam_bpy.protocol.control import Demonitor, Monitor
from beam_bpy.protocol.erpc import ErpcCall, ErpcReader
from beam_bpy.protocol.framing import Frame
from beam_bpy.protocol.gen import GenCall, GenReader

QuickEvent = ErpcCall | GenCall | Monitor | Demonitor

_OPCODE_AT = 6
_REG_SEND, _MONITOR_P, _DEMONITOR_P, _SPAWN_REQUEST = 6, 19, 20, 29


class QuickReader:
    """Reads the calls of one node.

    Args:
        node_name: the node that they come from.
    """

    def __init__(self, node_name: str) -> None:
        gen = GenReader(node_name)
        self._readers: dict[int, Callable[[Frame], QuickEvent | None]] = {
            _REG_SEND: gen.read_call,
            _MONITOR_P: gen.read_monitor,
            _DEMONITOR_P: gen.read_monitor,
            _SPAWN_REQUEST: ErpcReader(node_name).read,
        }

    def read(self, frame: Frame) -> QuickEvent | None:
        """What a message is; None for one that `control.parse` has to read."""
        if len(frame) <= _OPCODE_AT:
            return None
        reader = self._readers.get(frame[_OPCODE_AT])
        return reader(frame) if reader is not None else None
