"""The peer that a node is to its own processes: their messages take the way of every message, without a socket."""

from collections.abc import Callable
from functools import partial

from beam_bpy.distribution.node import Node
from beam_bpy.protocol import control_reader
from beam_bpy.protocol.control_writer import Message
from beam_bpy.protocol.framing import FrameReader
from beam_bpy.transport.loop import Loop
from vendor_term_codec import Pid, Reference


class OwnTransport:
    """See `PeerTransport`.

    Args:
        loop: the network thread, on which the messages are handled.
        node: the node.
    """

    def __init__(self, loop: Loop, node: Node) -> None:
        self._node = node
        self._loop = loop

    def send(self, message: Message, _sender: Pid | Reference) -> None:
        """See `PeerTransport`."""
        self._deliver(message.frame(header=True))

    def send_framed(self, data: bytes, _sender: Pid) -> None:
        """See `PeerTransport`."""
        self._deliver(data)

    def call_deferred(self, callback: Callable[[], object]) -> None:
        """See `PeerTransport`."""
        self._loop.call_deferred(callback)

    def _deliver(self, data: bytes) -> None:
        itself = self._node.itself
        if itself is None:
            return
        for frame in FrameReader().feed(data):
            event = control_reader.parse(frame)
            self._loop.call_soon(partial(self._node.handle, itself, event))
