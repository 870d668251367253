"""One TCP connection on a loop.

Bytes that arrive go to the stream's protocol on the network thread; `Stream.send` may be called from any thread. The
protocol's methods are those of asyncio's `BufferedProtocol`, and so are `pause_reading` and `resume_reading`.

On the network thread, bytes that are sent while one event is handled leave together, in one system call. On another
thread they go straight to the socket, without waking the network thread, unless earlier bytes wait for room.

A large message is sent in pieces, one whenever there is room and nothing small waits. The BEAM guarantees that signals
from one process to another arrive in the order in which they were sent. So everything that a process sends while a
large message of its own is being sent waits in the lane of that process.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from beam_bpy.logger import log
from beam_bpy.protocol import ProtocolError
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.sigpipe import MASKS_SIGPIPE, NO_SIGNAL, no_sigpipe

LARGE = 64 * 1024
"""Parts of at least this many bytes are sent as they are; smaller ones are joined first."""

_SHARE = 1024 * 1024
"""The bytes that one stream sends before the other streams are served, however fast its peer reads."""


class StreamProtocol(Protocol):
    """The receiver of a stream's bytes. Every method is called on the network thread."""

    def get_buffer(self) -> memoryview:
        """The memory to read into next; never empty."""

    def buffer_updated(self, count: int) -> None:
        """`count` bytes of the last buffer are filled. A ProtocolError closes the stream."""

    def connection_lost(self, reason: str) -> None:
        """The stream is closed; called once."""


class Stream:
    """One TCP connection on a loop.

    Args:
        loop: its loop.
        sock: a connected socket, which the stream owns from now on.
        protocol: the receiver of its bytes.

    Attributes:
        unsent: bytes that wait for room; those of a large message as far as `send_in_pieces` was told.
        bytes_received: all bytes so far.
        bytes_sent: all bytes so far.
    """

    def __init__(self, loop: Loop, sock: socket.socket, protocol: StreamProtocol) -> None:
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._receive: Callable[[memoryview], int] = sock.recv_into
        self._lock = threading.Lock()
        self._parts: deque[bytes | memoryview] = deque()
        self._lanes: dict[bytes, deque[Iterator[bytes]]] = {}
        self._blocked = False
        self._closed = False
        self._paused = False
        self._close_when_sent: str | None = None
        self._promised = 0
        self.unsent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # Not a TCP socket, or closed already.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add(self)
        self._begin()

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._sock.fileno()

    def set_protocol(self, protocol: StreamProtocol) -> None:
        """Give the bytes to another receiver from now on; only on the network thread."""
        self._protocol = protocol

    def _begin(self) -> None:
        self._loop.set_events(self._sock, selectors.EVENT_READ, self._ready)

    # -- sending

    def send(self, data: bytes, sender: bytes = b"") -> None:
        """Send `data`, now or as soon as there is room; from any thread. On a closed stream nothing happens.

        Args:
            sender: the process that sends; the bytes leave after all that it has sent before.
        """
        with self._lock:
            if self._closed:
                return
            self.unsent += len(data)
            lane = self._lanes.get(sender) if self._lanes else None
            if lane is None:
                self._parts.append(data)
            else:
                lane.append(iter((data,)))
                self._promised += len(data)
            failed = self._send_or_wait()
        if failed is not None or self._blocked:
            self._handle_blocked(failed)

    def send_in_pieces(self, pieces: Iterator[bytes], sender: bytes, size: int = 0) -> None:
        """Send `pieces` one by one; the bytes of other senders may leave in between. From any thread.

        Args:
            sender: see `send`.
            size: the size of all pieces together, approximately, in bytes.
        """
        with self._lock:
            if self._closed:
                return
            self._lanes.setdefault(sender, deque()).append(pieces)
            self._promised += size
            self.unsent += size
            failed = self._send_or_wait()
        if failed is not None or self._blocked:
            self._handle_blocked(failed)

    def flush(self) -> None:
        """Send the bytes that wait; only on the network thread."""
        with self._lock:
            failed = None if self._closed or self._blocked else self._send_some()
        if failed is not None or self._blocked:
            self._handle_blocked(failed)

    def push(self) -> bool:
        """Send as much as there is room for; True when more waits. On the network thread, before it ends."""
        with self._lock:
            if self._closed:
                return False
            self._blocked = False
            failed = self._send_some()
        return failed is None and self.unsent > 0

    def _send_or_wait(self) -> str | None:
        if self._blocked:
            return None
        loop, thread = self._loop, threading.get_ident()
        if thread == loop.runner:
            loop.unsent[self] = None
            return None
        if thread == loop.corked_by:
            loop.corked[self] = None
            return None
        return self._send_some()

    def _send_some(self) -> str | None:
        """Send until nothing is left, or there is no room, or the other streams have to be served.

        Returns why the connection broke, else None.
        """
        end = self.bytes_sent + _SHARE
        data: bytes | memoryview | None = None
        try:
            while (self._parts or self._lanes) and (data := self._next_part()) is not None:
                if self.bytes_sent >= end:
                    # The selector reports at once that there is room, after the other streams.
                    self._parts.appendleft(data)
                    self._blocked = True
                    break
                sent = self._transmit(data)
                self.bytes_sent += sent
                self.unsent -= sent
                if sent < len(data):
                    self._parts.appendleft(memoryview(data)[sent:])
        except (BlockingIOError, InterruptedError):
            assert data is not None
            self._parts.appendleft(data)
            self._blocked = True
        except OSError as error:
            return error.strerror or "the connection broke"
        return None

    def _transmit(self, data: bytes | memoryview) -> int:
        if MASKS_SIGPIPE:
            with no_sigpipe():
                return self._sock.send(data)
        return self._sock.send(data, NO_SIGNAL)

    def _next_part(self) -> bytes | memoryview | None:
        if not self._parts:
            return self._next_piece()
        first = self._parts.popleft()
        if not self._parts or len(first) >= LARGE:
            return first
        parts, size = [first], len(first)
        while self._parts and size + len(self._parts[0]) < LARGE:
            part = self._parts.popleft()
            parts.append(part)
            size += len(part)
        return b"".join(parts) if len(parts) > 1 else first

    def _next_piece(self) -> bytes | None:
        """A piece of the first lane, which then goes behind the others."""
        while self._lanes:
            sender = next(iter(self._lanes))
            lane = self._lanes.pop(sender)
            piece = next(lane[0], None)
            if piece is None:
                lane.popleft()
            if lane:
                self._lanes[sender] = lane
            if piece is not None:
                self._promised -= len(piece)
                if self._promised < 0:  # The pieces are longer than announced.
                    self.unsent -= self._promised
                    self._promised = 0
                return piece
        # The pieces were shorter than announced.
        self.unsent -= self._promised
        self._promised = 0
        return None

    def _handle_blocked(self, failed: str | None) -> None:
        if failed is not None:
            self._on_loop(lambda: self.close(failed))
        else:
            self._on_loop(self._update_events)

    def _on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop.on_thread():
            callback()
        else:
            self._loop.call_soon(callback)

    # -- reading

    @property
    def is_reading(self) -> bool:
        """False between `pause_reading` and `resume_reading`."""
        return not self._paused

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`; only on the network thread. The end of the connection is not seen."""
        self._paused = True
        self._update_events()

    def resume_reading(self) -> None:
        """Read again; only on the network thread."""
        self._paused = False
        self._update_events()

    def _update_events(self) -> None:
        if not self._closed:
            events = (0 if self._paused else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._blocked else 0)
            self._loop.set_events(self._sock, events, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._writable()
            if events & selectors.EVENT_READ:
                self._readable()
        except Exception:
            log.exception("an error of this program's own closes a connection")
            self.close("an error of this program's own")

    def _writable(self) -> None:
        with self._lock:
            self._blocked = False
            failed = self._send_some()
        if failed is not None:
            self.close(failed)
            return
        self._update_events()
        self._close_if_sent()

    def _readable(self) -> None:
        if self._closed or self._paused:
            return
        protocol = self._protocol
        try:
            count = self._receive(protocol.get_buffer())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(error.strerror or "the connection broke")
            return
        if count == 0:
            self.close("the other side closed the connection")
            return
        self.bytes_received += count
        try:
            protocol.buffer_updated(count)
        except ProtocolError as error:
            self.close(str(error))

    # -- closing

    def close(self, reason: str) -> None:
        """Close at once; only on the network thread. The protocol is told `reason`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._forget_unsent()
        self._loop.set_events(self._sock, 0, self._ready)
        self._sock.close()
        self._protocol.connection_lost(reason)

    def close_when_sent(self, reason: str) -> None:
        """Close once all bytes have been handed to the kernel; only on the network thread."""
        self._close_when_sent = reason
        self.flush()
        self._close_if_sent()

    def abandon(self) -> None:
        """See `loop.Writer`."""
        self._lock = threading.Lock()  # A thread that the child does not have may have held the old one.
        self._closed = True
        self._forget_unsent()
        self._sock.close()

    def _close_if_sent(self) -> None:
        if self._close_when_sent is not None and not self._parts and not self._lanes:
            self.close(self._close_when_sent)

    def _forget_unsent(self) -> None:
        self._parts.clear()
        self._lanes.clear()
        self.unsent = self._promised = 0


def drain_streams(loop: Loop, seconds: float) -> None:
    """Wait up to `seconds` until the streams of a loop have sent their bytes; on the network thread, before it ends."""
    end = time.monotonic() + seconds
    loop.flush()
    try:
        selector = selectors.DefaultSelector()
    except OSError:  # The program has no file descriptor left.
        return
    with selector:
        for stream in loop.writers:
            if isinstance(stream, Stream) and stream.unsent:
                selector.register(stream, selectors.EVENT_WRITE)
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                stream = key.fileobj  # type: ignore[assignment]
                if isinstance(stream, Stream) and not stream.push():
                    selector.unregister(stream)
