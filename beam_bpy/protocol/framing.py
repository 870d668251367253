"""The four-byte length before each message between connected nodes.

Chapter "Protocol between Connected Nodes". A message of length zero is a tick: it says that the sender is alive.

The reader hands out the memory that the socket is to read into. Small messages share one buffer and are copied out
of it; a message that does not fit gets memory of its own, so that a mesh of 100 MB is never copied on its way in.
"""

from beam_bpy.protocol import ProtocolError

TICK = b"\0\0\0\0"
"""What is sent when there is nothing else to send."""

DEFAULT_MAX_FRAME = 1 << 30
"""The longest message taken, in bytes: 1 GiB."""

_CHUNK = 256 * 1024
_FIRST_CHUNK = 8 * 1024
"""Most peers never send more at a time; the chunk of one that does grows."""

_FIRST = 16 * 1024 * 1024
"""The most bytes of memory that a message gets before any of it has come."""

Frame = bytes | bytearray


class FrameReader:
    """Cuts what a peer sends into messages.

    Args:
        max_frame: the longest message taken, in bytes.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._chunk = bytearray(_FIRST_CHUNK)
        self._filled = 0
        self._large: bytearray | None = None
        self._large_length = 0
        self._large_filled = 0

    def buffer(self) -> memoryview:
        """The memory to read into next; tell `received` how much of it was filled."""
        if self._large is not None:
            return memoryview(self._large)[self._large_filled :]
        return memoryview(self._chunk)[self._filled :]

    def received(self, count: int) -> list[Frame]:
        """The messages that are complete now that `count` more bytes have come; a tick is an empty message.

        Raises:
            ProtocolError: a message is longer than `max_frame`.
        """
        if self._large is not None:
            return self._large_received(self._large, count)
        self._filled += count
        return self._cut()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes that were read elsewhere, such as those that came with the end of the handshake."""
        frames: list[Frame] = []
        view = memoryview(data)
        while view:
            space = self.buffer()
            count = min(len(space), len(view))
            space[:count] = view[:count]
            view = view[count:]
            frames += self.received(count)
        return frames

    def _large_received(self, large: bytearray, count: int) -> list[Frame]:
        self._large_filled += count
        if self._large_filled < len(large):
            return []
        if len(large) < self._large_length:
            # Memory follows what has come, whatever the length promised.
            self._large = bytearray(min(2 * len(large), self._large_length))
            self._large[: len(large)] = large
            return []
        self._large = None
        return [large]

    def _cut(self) -> list[Frame]:
        frames: list[Frame] = []
        chunk, filled, start = self._chunk, self._filled, 0
        view = memoryview(chunk)
        while filled - start >= 4:
            length = int.from_bytes(chunk[start : start + 4])
            if length > self._max_frame:
                raise ProtocolError(f"a message of {length} bytes is longer than the limit of {self._max_frame}")
            end = start + 4 + length
            if end > filled:
                if length > _CHUNK - 4:
                    self._begin_large(start + 4, length)
                    return frames
                break
            frames.append(bytes(view[start + 4 : end]))
            start = end
        view[: filled - start] = view[start:filled]
        self._filled = filled - start
        if filled == len(chunk) < _CHUNK:
            self._chunk = chunk + bytes(_CHUNK - filled)
        return frames

    def _begin_large(self, start: int, length: int) -> None:
        self._large = bytearray(min(length, _FIRST))
        self._large_length = length
        self._large_filled = self._filled - start
        self._large[: self._large_filled] = self._chunk[start : self._filled]
        self._filled = 0


def framed(*parts: bytes) -> bytes:
    """One message, made of `parts`, with its length before it."""
    message = b"".join(parts)
    return len(message).to_bytes(4) + message
