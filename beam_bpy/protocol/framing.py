"""The four-byte length before each message between connected nodes.

Chapter "Protocol between Connected Nodes". A message of length zero is a tick: it says that the sender is alive.

The reader provides the memory that the socket reads into. Small messages share one buffer and are copied out of it. A
message that does not fit gets memory of its own, so that a mesh of 100 MB is not copied on its way in.
"""

from beam_bpy.protocol import ProtocolError

TICK = b"\0\0\0\0"
"""What is sent when there is nothing else to send."""

PASS_THROUGH = b"p\x83"
"""The beginning of a message without distribution header: the byte 112, then the version byte of the control tuple."""

DIST_HEADER = b"\x83D\0"
"""The distribution header of a message without atom cache references, which this node neither sends nor accepts."""

VERSION_BYTE = b"\x83"
"""The byte before each term of a message that has no distribution header."""

DEFAULT_MAX_FRAME = 1 << 30
"""The longest message accepted, in bytes: 1 GiB."""

_CHUNK = 256 * 1024
"""The size of the buffer for small messages, in bytes, of a peer that sends much at a time."""

_FIRST_CHUNK = 8 * 1024
"""Its size at first, in bytes, because most peers never send more at a time."""

_FIRST = 16 * 1024 * 1024
"""The memory that a large message gets at first, in bytes, whatever length it announces."""

Frame = bytes | bytearray


class FrameReader:
    """Cuts what a peer sends into messages.

    Args:
        max_frame: the longest message accepted, in bytes.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._chunk = bytearray(_FIRST_CHUNK)
        self._filled = 0
        self._large: bytearray | None = None
        self._large_length = 0
        self._large_filled = 0

    def get_buffer(self) -> memoryview:
        """The memory to read into next; `buffer_updated` is told how many bytes of it were filled."""
        if self._large is not None:
            return memoryview(self._large)[self._large_filled :]
        return memoryview(self._chunk)[self._filled :]

    def buffer_updated(self, count: int) -> list[Frame]:
        """The messages that are complete now that `count` more bytes have arrived; a tick is an empty message.

        Raises:
            ProtocolError: a message is longer than `max_frame`.
        """
        if self._large is not None:
            return self._large_updated(self._large, count)
        frames: list[Frame] = []
        chunk, filled, start = self._chunk, self._filled + count, 0
        view = memoryview(chunk)
        while filled - start >= 4:
            length = int.from_bytes(chunk[start : start + 4])
            if length > self._max_frame:
                raise ProtocolError(f"a message of {length} bytes is longer than the limit of {self._max_frame}")
            end = start + 4 + length
            if end > filled:
                if length > _CHUNK - 4:
                    self._begin_large(view[start + 4 : filled], length)
                    return frames
                break
            frames.append(bytes(view[start + 4 : end]))
            start = end
        view[: filled - start] = view[start:filled]
        self._filled = filled - start
        if filled == len(chunk) < _CHUNK:
            self._chunk = chunk + bytes(_CHUNK - filled)
        return frames

    def feed(self, data: bytes) -> list[Frame]:
        """The messages in bytes that were read elsewhere, such as those behind the end of the handshake."""
        frames: list[Frame] = []
        view = memoryview(data)
        while view:
            space = self.get_buffer()
            count = min(len(space), len(view))
            space[:count] = view[:count]
            view = view[count:]
            frames += self.buffer_updated(count)
        return frames

    def _large_updated(self, large: bytearray, count: int) -> list[Frame]:
        self._large_filled += count
        if self._large_filled < len(large):
            return []
        if len(large) < self._large_length:
            # Memory grows with what has arrived, whatever length the message announced.
            self._large = bytearray(min(2 * len(large), self._large_length))
            self._large[: len(large)] = large
            return []
        self._large = None
        return [large]

    def _begin_large(self, begin: memoryview, length: int) -> None:
        self._large = bytearray(min(length, _FIRST))
        self._large_length = length
        self._large_filled = len(begin)
        self._large[: len(begin)] = begin
        self._filled = 0


def framed(*parts: bytes) -> bytes:
    """One message, made of `parts`, with its length before it."""
    message = b"".join(parts)
    return len(message).to_bytes(4) + message
