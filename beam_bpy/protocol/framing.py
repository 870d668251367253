"""Split the bytes from a connected node into messages. Each message has a length of four bytes before it.

Source: ERTS user's guide, chapter "Distribution Protocol", section "Protocol between Connected Nodes". A message of
length 0 is a tick: it shows that the sender is alive.

The socket reads into a buffer of the reader. Small messages share one buffer, and the reader copies them out of it. A
message that is longer than this buffer gets a buffer of its own, so the bytes of a large message, such as a mesh of
100 MB, need not be copied out.
"""

from beam_bpy.protocol import ProtocolError

TICK = b"\0\0\0\0"
"""The bytes of a tick. A node sends a tick if it has sent nothing else for a quarter of the tick time."""

PASS_THROUGH = b"p\x83"
"""The first bytes of a message without distribution header: the byte 112, and the version byte of the control tuple."""

DIST_HEADER = b"\x83D\0"
"""The distribution header of a message without atom cache references. This node does not use the atom cache."""

VERSION_BYTE = b"\x83"
"""The version byte. It precedes each term in a message without a distribution header."""

DEFAULT_MAX_FRAME = 1 << 30
"""The default for the longest message that is accepted, in bytes: 1 GiB."""

_CHUNK = 256 * 1024
"""The largest size of the buffer for small messages, in bytes. The buffer grows to this size when it was full once."""

_FIRST_CHUNK = 8 * 1024
"""The initial size of the buffer for small messages, in bytes. Most peers never fill it."""

_FIRST = 16 * 1024 * 1024
"""The largest initial size of the buffer for a large message, in bytes. It grows when this many bytes have arrived."""

Frame = bytes | bytearray


def too_long(message: str, limit: int) -> ProtocolError:
    """The error for a message that exceeds a limit; a program that made the call behind it gets this sentence."""
    return ProtocolError(f"{message} is longer than the limit of {limit} bytes: set a higher max_frame in Limits")


class FrameReader:
    """Splits the bytes from a peer into messages.

    Args:
        max_frame: the longest message that is accepted, in bytes; default 1 GiB.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._chunk = bytearray(_FIRST_CHUNK)
        self._filled = 0
        self._large: bytearray | None = None
        self._large_length = 0
        self._large_filled = 0

    def get_buffer(self) -> memoryview:
        """Return the free part of the buffer. Read into it, and pass the number of bytes to `buffer_updated`."""
        if self._large is not None:
            return memoryview(self._large)[self._large_filled :]
        return memoryview(self._chunk)[self._filled :]

    def buffer_updated(self, count: int) -> list[Frame]:
        """Return the messages that are complete after `count` more bytes have arrived. A tick is an empty message.

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
                raise too_long(f"a message of {length} bytes", self._max_frame)
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
        """Return the messages that `data` complete. Use this for bytes that were not read into `get_buffer()`.

        Example: the bytes that arrive together with the end of the handshake.

        Raises:
            ProtocolError: a message is longer than `max_frame`.
        """
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
            # Double the buffer. So its size depends on the bytes that arrived, not on the length that the peer states.
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
    """Return one message: its length in four bytes, then all `parts`."""
    message = b"".join(parts)
    return len(message).to_bytes(4) + message
