"""Large messages in pieces, so that small ones need not wait behind them.

Chapter "External Term Format", section "Distribution Header for fragmented messages". The first fragment carries the
whole control message; its number is the count of fragments, and each one counts down to 1. Fragments of several
messages may be interleaved; a sequence id tells them apart.

Neither side sends atom cache references, because this node does not offer an atom cache.
"""

import struct
from collections.abc import Iterator

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.framing import DEFAULT_MAX_FRAME, Frame

SIZE = 64 * 1024
"""How many bytes of a payload travel in one fragment, the same as the BEAM's."""

DIST_HEADER = 68
FIRST = 69
NEXT = 70

_VERSION = 131
_HEAD = struct.Struct(">BBQQ")
_MAX_MESSAGES = 1024
_MAX_TOGETHER = 2
"""How many times `max_message` all messages that are not complete may hold together."""


class Reassembler:
    """Puts fragments together.

    Args:
        max_message: the longest message taken, in bytes. All that are not complete hold at most twice as much.
    """

    def __init__(self, max_message: int = DEFAULT_MAX_FRAME) -> None:
        self._max_message = max_message
        self._held = 0
        self._partial: dict[int, _Partial] = {}

    def add(self, frame: Frame) -> Frame | None:
        """A frame that is no fragment comes back as it is; a fragment gives the whole message when it is the last.

        A message that was put together still has the header of its first fragment.

        Raises:
            ProtocolError: a fragment is out of order, or the message would be longer than `max_message`.
        """
        if len(frame) < 2 or frame[0] != _VERSION or frame[1] not in (FIRST, NEXT):
            return frame
        if len(frame) < _HEAD.size:
            raise ProtocolError("a fragment that is cut short")
        _version, kind, sequence, number = _HEAD.unpack_from(frame)
        if kind == FIRST:
            return self._first(frame, sequence, number)
        return self._next(frame, sequence, number)

    def _first(self, frame: Frame, sequence: int, number: int) -> Frame | None:
        if number == 1:
            return frame
        if sequence in self._partial or len(self._partial) >= _MAX_MESSAGES:
            raise ProtocolError("a fragmented message begins before another one has ended")
        if number < 1 or (number - 1) * len(frame) > self._max_message:
            raise ProtocolError(f"a message of {number} fragments is longer than the limit of {self._max_message}")
        self._partial[sequence] = _Partial(frame, number)
        self._hold(len(frame))
        return None

    def _next(self, frame: Frame, sequence: int, number: int) -> Frame | None:
        partial = self._partial.get(sequence)
        if partial is None or number != partial.expected:
            raise ProtocolError("a fragment that does not follow the one before")
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
            raise ProtocolError(f"messages that are not complete hold more than {_MAX_TOGETHER * self._max_message}")


class _Partial:
    """A message of which fragments are missing. Its memory grows with what arrives, whatever the first one promised."""

    def __init__(self, first: Frame, number: int) -> None:
        self._data = bytearray(first)
        self.expected = number - 1

    def add(self, piece: memoryview, limit: int) -> None:
        if len(self._data) + len(piece) > limit:
            raise ProtocolError(f"a fragmented message is longer than the limit of {limit}")
        self._data += piece
        self.expected -= 1

    def whole(self) -> bytearray:
        return self._data


def split(sequence: int, control: bytes, payload: bytes, size: int = SIZE) -> Iterator[bytes]:
    """The messages, without their length, that carry `control` and `payload` in pieces.

    Args:
        sequence: what no other message that is being sent on this connection has.
        control: the encoded control tuple, without a version byte.
        payload: the encoded payload, without a version byte.
        size: bytes of payload in one fragment.
    """
    view = memoryview(payload)
    number = max(1, -(-len(view) // size))
    yield _HEAD.pack(_VERSION, FIRST, sequence, number) + b"\0" + control + view[:size]
    for start in range(size, len(view), size):
        number -= 1
        yield _HEAD.pack(_VERSION, NEXT, sequence, number) + view[start : start + size]
