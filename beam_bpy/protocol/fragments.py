"""Split large messages into fragments, and reassemble them. Small messages can be sent between two fragments.

Source: ERTS user's guide, chapter "External Term Format", section "Distribution Header for fragmented messages". The
first fragment contains the whole control message and the number of fragments. Each further fragment has a fragment id
that is lower by one; the last one has id 1. Fragments of several messages may be interleaved. All fragments of one
message have the same sequence id.

No fragment contains atom cache references, because this node does not offer an atom cache.
"""

import struct
from collections.abc import Iterator

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.framing import DEFAULT_MAX_FRAME, Frame, too_long

SIZE = 64 * 1024
"""The payload of one fragment, in bytes; the BEAM uses the same size."""

FRAGMENT_HEADER = b"\x83E"
"""The first two bytes of the first fragment of a message."""

_VERSION = FRAGMENT_HEADER[0]
_FIRST = FRAGMENT_HEADER[1]
_NEXT = 70
_HEAD = struct.Struct(">BBQQ")
_MAX_MESSAGES = 1024
_MAX_TOGETHER = 2
"""The limit for all incomplete messages together, as a multiple of `max_message`."""


class Reassembler:
    """Reassembles fragmented messages.

    Args:
        max_message: the longest message that is accepted, in bytes; default 1 GiB. The limit for all incomplete
            messages together is twice this size.
    """

    def __init__(self, max_message: int = DEFAULT_MAX_FRAME) -> None:
        self._max_message = max_message
        self._held = 0
        self._partial: dict[int, _Partial] = {}

    def add(self, frame: Frame) -> Frame | None:
        """Add a frame. Return a complete message, or None if fragments are missing.

        A frame that is not a fragment is returned unchanged. A reassembled message starts with the header of its first
        fragment.

        Raises:
            ProtocolError: a fragment is truncated or out of order, there are too many incomplete messages, or they are
                longer than the limit.
        """
        if len(frame) < 2 or frame[0] != _VERSION or frame[1] not in (_FIRST, _NEXT):
            return frame
        if len(frame) < _HEAD.size:
            raise ProtocolError("a fragment is truncated")
        _version, kind, sequence, number = _HEAD.unpack_from(frame)
        if kind == _FIRST:
            return self._first(frame, sequence, number)
        return self._next(frame, sequence, number)

    def _first(self, frame: Frame, sequence: int, number: int) -> Frame | None:
        if number == 1:
            return frame
        if sequence in self._partial or len(self._partial) >= _MAX_MESSAGES:
            raise ProtocolError("a fragmented message has a used sequence id, or too many messages are incomplete")
        if number < 1 or (number - 1) * len(frame) > self._max_message:
            raise too_long(f"a message of {number} fragments", self._max_message)
        self._partial[sequence] = _Partial(frame, number)
        self._hold(len(frame))
        return None

    def _next(self, frame: Frame, sequence: int, number: int) -> Frame | None:
        partial = self._partial.get(sequence)
        if partial is None or number != partial.expected:
            raise ProtocolError("a fragment is out of order")
        partial.add(memoryview(frame)[_HEAD.size :], self._max_message)
        self._hold(len(frame) - _HEAD.size)
        if number > 1:
            return None
        del self._partial[sequence]
        whole = partial.whole()
        self._held -= len(whole)
        return whole

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > _MAX_TOGETHER * self._max_message:
            raise too_long("the sum of all incomplete messages", _MAX_TOGETHER * self._max_message)


class _Partial:
    """An incomplete message. Its buffer grows with the fragments that arrive, not with their stated number."""

    def __init__(self, first: Frame, number: int) -> None:
        self._data = bytearray(first)
        self.expected = number - 1

    def add(self, piece: memoryview, limit: int) -> None:
        if len(self._data) + len(piece) > limit:
            raise too_long("a fragmented message", limit)
        self._data += piece
        self.expected -= 1

    def whole(self) -> bytearray:
        return self._data


def split(sequence: int, control: bytes, payload: bytes, size: int = SIZE) -> Iterator[bytes]:
    """Return the fragments of a message, each without the length of four bytes before it.

    Args:
        sequence: the sequence id. It must differ from those of other incomplete messages on this connection.
        control: the encoded control tuple, without a version byte.
        payload: the encoded payload, without a version byte.
        size: the payload of one fragment, in bytes; default 64 KiB.
    """
    view = memoryview(payload)
    number = max(1, -(-len(view) // size))
    yield _HEAD.pack(_VERSION, _FIRST, sequence, number) + b"\0" + control + view[:size]
    for start in range(size, len(view), size):
        number -= 1
        yield _HEAD.pack(_VERSION, _NEXT, sequence, number) + view[start : start + size]
