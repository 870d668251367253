"""Sockets, the selector loop and the one network thread. Nothing else in the package does I/O.

`Loop` runs one thread that waits for sockets and timers. A `Stream` is one TCP connection on it: what is read goes to
its `Protocol` on the network thread; `Stream.send` may be called from any thread.

Sending is where the speed of a call is made. On the network thread what is sent while one read is handled goes out in
one system call. On any other thread it goes straight to the socket, without waking the network thread, unless bytes
that came earlier are still waiting for room.

A large message is sent in pieces, one each time that there is room and nothing small is waiting. The BEAM guarantees
that signals from one process to another arrive in the order in which they were sent; so whatever a process sends
while a large message of its own is on its way waits in that message's lane.
"""

import contextlib
import errno
import heapq
import ipaddress
import itertools
import os
import selectors
import signal
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol as Interface

from beam_bpy.logs import log
from beam_bpy.protocol import ProtocolError

LARGE = 64 * 1024
"""Parts of at least this many bytes are handed to the kernel as they are; smaller ones are joined first."""

_TURN = 1024 * 1024
"""Bytes that one stream sends before others have their turn, however fast the other side reads."""

_BACKLOG = 128

_ACCEPT_PAUSE = 1.0
"""Seconds after which it is tried again to accept a connection, when this program could not."""

_AWAY = 0.002
"""Seconds for which a thread that runs the loop may have something else to do before the loop's own takes it back."""

_PATIENCE = 0.001
"""Seconds that what is no hurry waits for the next event."""

_AWAKE = 0.00005
"""Seconds for which the loop stays awake after an event, looking for the next."""


_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""What is sent to a peer that has gone ends a program by SIGPIPE. Python ignores that; Blender's Python does not."""


@contextlib.contextmanager
def _no_sigpipe() -> Iterator[None]:
    """The same where `send` has no such flag: this thread takes back a SIGPIPE that it has caused."""
    if not hasattr(signal, "SIGPIPE"):
        yield
        return
    pipe = {signal.SIGPIPE}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, pipe)
    try:
        yield
    finally:
        if signal.SIGPIPE not in before:
            if signal.SIGPIPE in signal.sigpending():
                signal.sigwait(pipe)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Protocol(Interface):
    """What a stream talks to; every method is called on the network thread."""

    def buffer(self) -> memoryview:
        """The memory to read into next; never empty."""

    def received(self, count: int) -> None:
        """`count` bytes of the last `buffer` are filled. A ProtocolError closes the stream."""

    def closed(self, reason: str) -> None:
        """The stream is gone; called once."""


class Timer:
    """Something to do later; `cancel` before then and it is not done."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        # It stays in the heap until its time has come; what it would have done need not.
        self.callback = _nothing


def _nothing() -> None:
    pass


class Loop:
    """One selector, and one thread that runs it.

    Waking another thread takes longer than a call does. So a thread that waits for calls, and runs them, may run the
    loop meanwhile in place of its thread (`run_here`); then a call needs no other thread. Whoever runs the loop is the
    network thread for that time. When the guest has had something else to do for some time, the loop's own thread takes
    it back: no handler, however slow, keeps ticks from being sent.

    Args:
        name: the thread's name.
        daemon: True lets the interpreter end while the loop runs: for a host that has a life of its own, like Blender.
    """

    def __init__(self, name: str, *, daemon: bool) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        with contextlib.suppress(OSError):
            # On Windows this is a TCP connection. Without the option, a byte waits until the last one is acknowledged.
            self._wake_sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._woken)
        self._soon: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_numbers = itertools.count()
        self._unsent: dict[Stream, None] = {}
        self._patient: dict[Callable[[], object], None] = {}
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._stopping = False
        self._turn = threading.Lock()
        self._runner: int | None = None
        self._lending = threading.Lock()
        self._lent = False
        self._guest_is_here = False
        self._visits = 0
        self._asleep = False
        self._guest_away = threading.Event()
        self._called_back = threading.Event()
        self._busy = False
        self._holder: int | None = None
        self._held: dict[Stream, None] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        _loops.add(self)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: this system has no thread left; the loop is of no use any more.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._finish()
            raise

    def stop(self) -> None:
        """End the thread and wait for it; from the network thread itself it ends as soon as the caller returns."""
        self.call_soon(self._stop)
        if not self.on_thread() and self._thread.ident is not None:
            self._thread.join()

    def on_thread(self) -> bool:
        """True on the thread that runs the loop now."""
        return threading.get_ident() == self._runner

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` on the network thread; may be called from any thread."""
        self._soon.append(callback)
        self.wake()

    def wake(self) -> None:
        """Make the loop look around, if it is waiting; from any thread."""
        if self.on_thread():
            return
        with contextlib.suppress(BlockingIOError, OSError):  # A full pipe wakes it as well.
            self._wake_sender.send(b"\0", _NO_SIGNAL)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` after `delay` seconds; only on the network thread."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._timer_numbers), timer))
        return timer

    def watch(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` whenever `sock` is ready; 0 ends it. Only on the network thread."""
        if sock not in self._selector.get_map():
            if events:
                self._selector.register(sock, events, callback)
        elif events:
            self._selector.modify(sock, events, callback)
        else:
            self._selector.unregister(sock)

    def add(self, stream: "Stream") -> None:
        """Close `stream` when the loop ends, unless it is closed by then."""
        self._streams.add(stream)

    def last_chance(self, seconds: float) -> None:
        """Wait up to `seconds` for what streams have to send to leave; on the network thread, which is about to end."""
        end = time.monotonic() + seconds
        self._flush()
        try:
            selector = selectors.DefaultSelector()
        except OSError:  # This program has no file descriptor left.
            return
        with selector:
            for stream in tuple(self._streams):
                if stream.unsent:
                    selector.register(stream, selectors.EVENT_WRITE)
            while selector.get_map() and (left := end - time.monotonic()) > 0:
                for key, _events in selector.select(left):
                    stream = key.fileobj  # type: ignore[assignment]
                    if not stream.push():
                        selector.unregister(stream)

    def abandon(self) -> None:
        """After a fork, in the child: let go of what belongs to the parent, and send nothing on it."""
        for stream in tuple(self._streams):
            stream.abandon()
        self._soon.clear()
        self._finish()

    def flush_later(self, stream: "Stream") -> None:
        """Send what `stream` holds once the present read has been handled; only on the network thread."""
        self._unsent[stream] = None

    def call_patiently(self, callback: Callable[[], object]) -> None:
        """Run `callback` when the next event has come, within a millisecond; only on the network thread.

        However often it is asked for until then, it runs once.
        """
        self._patient[callback] = None

    @property
    def lent(self) -> bool:
        """True while another thread runs the loop, or does so on and off."""
        return self._lent

    def run_here(self, timeout: float | None, until: Callable[[], bool]) -> bool:
        """Run the loop on this thread until `until()`, or for `timeout` seconds, None for ever.

        Returns:
            False if the loop has stopped.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lending:
            self._lent = self._guest_is_here = True
            self._visits += 1
        if not self._turn.acquire(blocking=False):
            self.wake()
            self._turn.acquire()
        try:
            while not self._stopping and not until():
                self._iterate(None if deadline is None else max(0.0, deadline - time.monotonic()))
                if deadline is not None and time.monotonic() >= deadline:
                    break
        finally:
            self._turn.release()
            self._guest_is_here = False
            if self._asleep:
                self._guest_away.set()
        return not self._stopping

    def hold(self) -> None:
        """Let what this thread sends from now on wait for `release` or `run_here`, or a moment if both take long."""
        self._holder = threading.get_ident()

    def release(self) -> None:
        """End `hold`, and send what has waited."""
        self._holder = None
        if self._held:
            self._flush_held()

    def holds_back(self, stream: "Stream") -> bool:
        """Whether what this thread sends now has to wait."""
        if threading.get_ident() != self._holder:
            return False
        self._held[stream] = None
        return True

    def _flush_held(self) -> None:
        while self._held:
            # Another thread may have been faster.
            with contextlib.suppress(KeyError):
                self._guarded(self._held.popitem()[0].flush)

    def call_back(self) -> None:
        """End a loan at once: the guest is about to wait for something that the network has to bring."""
        self._called_back.set()

    def _run(self) -> None:
        while not self._stopping:
            if self._lent:
                self._stand_by()
            else:
                with self._turn:
                    if not self._lent:
                        self._iterate(None)
        with self._turn:
            self._runner = threading.get_ident()
            for stream in tuple(self._streams):
                self._guarded(lambda stream=stream: stream.close("this node stops"))
            self._finish()
            # The system may give the number of this thread to another one.
            self._runner = None

    def _stand_by(self) -> None:
        """Another thread runs the loop; take it back when that has been away for too long.

        A guest comes and goes with every call, which must cost it nothing: so this thread looks now and then whether
        it has been here, and only sleeps until it leaves when it stays.
        """
        visits = self._visits
        called_back = self._called_back.wait(_AWAY)
        with self._lending:
            stays = self._guest_is_here
            if not stays and (called_back or visits == self._visits):
                self._lent = False
        if called_back:
            self._called_back.clear()
        if stays and visits == self._visits:
            self._sleep_until_it_leaves()

    def _sleep_until_it_leaves(self) -> None:
        self._guest_away.clear()
        self._asleep = True
        if self._guest_is_here:
            self._guest_away.wait()
        self._asleep = False

    def _iterate(self, longest: float | None) -> None:
        """Wait for events and timers, at most `longest` seconds, and see to them; whoever calls holds the turn."""
        self._runner = threading.get_ident()
        if self._held:
            self._flush_held()
        patient, self._patient = self._patient, {}
        if patient:
            longest = _PATIENCE if longest is None else min(longest, _PATIENCE)
        ready = self._events(self._timeout(longest))
        for callback in patient:
            self._guarded(callback)
        for key, events in ready:
            self._guarded(key.data, events)
            if self._unsent:
                self._flush()
        self._run_due()
        if self._unsent:
            self._flush()
        self._runner = None

    def _events(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What has happened, waiting for it up to `timeout` seconds.

        A processor that sleeps takes longer to wake than a call to be answered, and a caller's next call comes soon
        after the last; the schedulers of the BEAM stay awake for the same reason (`+sbwt`).
        """
        if self._busy and timeout != 0.0:
            end = time.monotonic() + (_AWAKE if timeout is None else min(timeout, _AWAKE))
            while time.monotonic() < end:
                if ready := self._selector.select(0.0):
                    return ready
        ready = self._selector.select(timeout)
        self._busy = bool(ready)
        return ready

    def _finish(self) -> None:
        """Close what is left: connections that were being made, and the selector's own."""
        _loops.discard(self)
        for key in tuple((self._selector.get_map() or {}).values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _stop(self) -> None:
        self._stopping = True
        self._called_back.set()

    def _woken(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(4096)

    def _timeout(self, longest: float | None) -> float | None:
        if self._soon:
            return 0.0
        if not self._timers:
            return longest
        left = max(0.0, self._timers[0][0] - time.monotonic())
        return left if longest is None else min(left, longest)

    def _run_due(self) -> None:
        for _ in range(len(self._soon)):
            self._guarded(self._soon.popleft())
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                self._guarded(timer.callback)

    def _flush(self) -> None:
        while self._unsent:
            streams, self._unsent = self._unsent, {}
            for stream in streams:
                self._guarded(stream.flush)

    def _guarded(self, callback: Callable[..., object], *args: int) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("the network thread met an error of its own and goes on")


_loops: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def _abandon_all() -> None:
    for loop in tuple(_loops):
        loop.abandon()


# A child that was forked has our sockets but not our thread: what it sent would land in the parent's conversations,
# and the other side would see no end of them before both have ended.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


class Stream:
    """One TCP connection on a loop.

    Args:
        loop: whose thread reads it.
        sock: a connected socket; the stream owns it from now on.
        protocol: what is told of bytes and of the end.
    """

    def __init__(self, loop: Loop, sock: socket.socket, protocol: Protocol) -> None:
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._lock = threading.Lock()
        self._unsent: deque[bytes | memoryview] = deque()
        self._lanes: dict[bytes, deque[Iterator[bytes]]] = {}
        self._blocked = False
        self._closed = False
        self._paused = False
        self._close_when_sent: str | None = None
        self._queued = 0
        self._promised = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # A socket that is no TCP socket, or is gone already.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add(self)
        self._begin()

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._sock.fileno()

    @property
    def unsent(self) -> int:
        """Bytes that wait for room; those of a large message as far as `send_in_pieces` was told."""
        return self._queued + max(0, self._promised)

    def _begin(self) -> None:
        self._loop.watch(self._sock, selectors.EVENT_READ, self._ready)

    def send(self, data: bytes, sender: bytes = b"") -> None:
        """Send `data`, now or as soon as there is room; from any thread. On a closed stream nothing happens.

        Args:
            sender: what sends it; it goes out after everything that this sender has sent before.
        """
        with self._lock:
            if self._closed:
                return
            lane = self._lanes.get(sender)
            if lane is None:
                self._unsent.append(data)
                self._queued += len(data)
            else:
                lane.append(iter((data,)))
                self._promised += len(data)
            failed = self._send_or_wait()
        self._handle_failure(failed)

    def send_in_pieces(self, pieces: Iterator[bytes], sender: bytes, size: int = 0) -> None:
        """Send `pieces` one by one, letting what other senders send pass in between; from any thread.

        Args:
            size: how many bytes they are together, about.
        """
        with self._lock:
            if self._closed:
                return
            self._lanes.setdefault(sender, deque()).append(pieces)
            self._promised += size
            failed = self._send_or_wait()
        self._handle_failure(failed)

    def flush(self) -> None:
        """Send what is waiting; only on the network thread."""
        with self._lock:
            failed = None if self._closed or self._blocked else self._send_some()
        self._handle_failure(failed)

    def close(self, reason: str) -> None:
        """Close at once; only on the network thread. The protocol is told `reason`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._forget()
        self._loop.watch(self._sock, 0, self._ready)
        self._sock.close()
        self._protocol.closed(reason)

    @property
    def reading(self) -> bool:
        """False between `pause` and `resume`."""
        return not self._paused

    def pause(self) -> None:
        """Read nothing until `resume`; only on the network thread. An end of the connection is not seen either."""
        self._paused = True
        self._watch()

    def resume(self) -> None:
        """Read again; only on the network thread."""
        self._paused = False
        self._watch()

    def push(self) -> bool:
        """Send what there is room for; True when more waits. On the network thread, for its end."""
        with self._lock:
            if self._closed:
                return False
            self._blocked = False
            failed = self._send_some()
        return failed is None and self.unsent > 0

    def abandon(self) -> None:
        """See `Loop.abandon`: the socket is the parent's; this process has a copy of it, and closes that."""
        self._lock = threading.Lock()  # Another thread, which the child does not have, may have held the old one.
        self._closed = True
        self._forget()
        self._sock.close()

    def _forget(self) -> None:
        self._unsent.clear()
        self._lanes.clear()
        self._queued = self._promised = 0

    def close_when_sent(self, reason: str) -> None:
        """Close once everything has been handed to the kernel; only on the network thread."""
        self._close_when_sent = reason
        self.flush()
        self._close_if_done()

    def _handle_failure(self, failed: str | None) -> None:
        if failed is not None:
            self._on_loop(lambda: self.close(failed))
        elif self._blocked:
            self._on_loop(self._watch)

    def _on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop.on_thread():
            callback()
        else:
            self._loop.call_soon(callback)

    def _watch(self) -> None:
        if not self._closed:
            events = (0 if self._paused else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._blocked else 0)
            self._loop.watch(self._sock, events, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._writable()
            if events & selectors.EVENT_READ:
                self._readable()
        except Exception:  # noqa: BLE001 - logged there
            self._broken()

    def _writable(self) -> None:
        with self._lock:
            self._blocked = False
            failed = self._send_some()
        if failed is not None:
            self.close(failed)
            return
        self._watch()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._close_when_sent is not None and not self._unsent and not self._lanes:
            self.close(self._close_when_sent)

    def _readable(self) -> None:
        if self._closed or self._paused:
            return
        try:
            count = self._receive(self._protocol.buffer())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(error.strerror or "the connection broke")
            return
        if count == 0:
            self.close("the other side closed the connection")
        else:
            self._received(count)

    def _receive(self, buffer: memoryview) -> int:
        return self._sock.recv_into(buffer)

    def _transmit(self, data: bytes | memoryview) -> int:
        if _NO_SIGNAL:
            return self._sock.send(data, _NO_SIGNAL)
        with _no_sigpipe():
            return self._sock.send(data)

    def _received(self, count: int) -> None:
        self.bytes_received += count
        try:
            self._protocol.received(count)
        except ProtocolError as error:
            self.close(str(error))
        except Exception:  # noqa: BLE001 - logged there
            self._broken()

    def _broken(self) -> None:
        """An error that should not be, inside an `except`: it costs this connection and no other."""
        log.exception("an error of this program's own closes a connection")
        self.close("an error of this program's own")

    def _send_or_wait(self) -> str | None:
        if self._blocked:
            return None
        if self._loop.on_thread():
            self._loop.flush_later(self)
            return None
        if self._loop.holds_back(self):
            return None
        return self._send_some()

    def _send_some(self) -> str | None:
        """Send until nothing is left, or there is no room, or others have to have a turn.

        Returns why the connection broke, else None.
        """
        end = self.bytes_sent + _TURN
        try:
            while (self._unsent or self._lanes) and (data := self._next_part()) is not None:
                if self.bytes_sent >= end:
                    # The selector says at once that there is room, after it has looked at the others.
                    self._unsent.appendleft(data)
                    self._blocked = True
                    break
                sent = self._transmit(data)
                self.bytes_sent += sent
                self._queued -= sent
                if sent < len(data):
                    self._unsent.appendleft(memoryview(data)[sent:])
        except (BlockingIOError, InterruptedError):
            assert data is not None
            self._unsent.appendleft(data)
            self._blocked = True
        except OSError as error:
            return error.strerror or "the connection broke"
        return None

    def _next_part(self) -> bytes | memoryview | None:
        if not self._unsent:
            return self._next_piece()
        first = self._unsent.popleft()
        if not self._unsent or len(first) >= LARGE:
            return first
        parts, size = [first], len(first)
        while self._unsent and size + len(self._unsent[0]) < LARGE:
            part = self._unsent.popleft()
            parts.append(part)
            size += len(part)
        return b"".join(parts) if len(parts) > 1 else first

    def _next_piece(self) -> bytes | None:
        """A piece of the lane whose turn it is; the lanes take turns."""
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
                self._queued += len(piece)
                return piece
        self._promised = 0
        return None


class TlsStream(Stream):
    """A TCP connection that is encrypted by TLS.

    What is sent before the TLS handshake is done waits for it. OpenSSL does not allow one thread to read while another
    one writes; so both happen under the stream's lock.

    Args:
        wrap: makes the TLS socket of one side, without shaking hands.
    """

    def __init__(
        self, loop: Loop, sock: socket.socket, protocol: Protocol, wrap: Callable[[socket.socket], ssl.SSLSocket]
    ) -> None:
        sock.setblocking(False)
        self._tls = wrap(sock)
        self._shaken = False
        super().__init__(loop, self._tls, protocol)

    def _begin(self) -> None:
        self._blocked = True
        self._loop.watch(self._sock, selectors.EVENT_READ, self._ready)
        # The side that calls speaks first.
        self._loop.call_soon(self._shake_hands)

    def _ready(self, events: int) -> None:
        if self._shaken:
            super()._ready(events)
        else:
            self._shake_hands()

    def _shake_hands(self) -> None:
        if self._closed or self._shaken:
            return
        try:
            with _no_sigpipe():
                self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(self._sock, selectors.EVENT_READ, self._ready)
        except ssl.SSLWantWriteError:
            self._loop.watch(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self._ready)
        except (OSError, ValueError) as error:
            why = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            self.close(f"no TLS connection: {why}")
        else:
            self._shaken = True
            self._writable()
            self._read_rest()

    def _receive(self, buffer: memoryview) -> int:
        try:
            with self._lock, _no_sigpipe():
                return self._tls.recv_into(buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _transmit(self, data: bytes | memoryview) -> int:
        try:
            with _no_sigpipe():
                return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _received(self, count: int) -> None:
        super()._received(count)
        self._read_rest()

    def resume(self) -> None:
        """See `Stream.resume`."""
        super().resume()
        self._read_rest()

    def _read_rest(self) -> None:
        # What OpenSSL has decrypted already does not make the socket readable again.
        if not (self._closed or self._paused) and self._tls.pending():
            self._loop.call_soon(lambda: self._ready(selectors.EVENT_READ))


class Listener:
    """A listening socket on a loop; each connection is handed to `accepted` on the network thread."""

    def __init__(
        self, loop: Loop, sock: socket.socket, accepted: Callable[[socket.socket, tuple[str, int]], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        self._waiting = False
        loop.watch(sock, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Stop listening; only on the network thread."""
        self._loop.watch(self._sock, 0, self._ready)
        self._sock.close()

    def _ready(self, _events: int) -> None:
        try:
            sock, address = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # It has gone already.
            return
        except OSError as error:
            self._pause(error)
            return
        self._waiting = False
        try:
            self._accepted(sock, address[:2])
        except Exception:
            sock.close()
            raise

    def _pause(self, error: OSError) -> None:
        # The connection stays in the kernel's queue; without a pause the loop would spin on it.
        self._loop.watch(self._sock, 0, self._ready)
        self._loop.call_later(_ACCEPT_PAUSE, self._resume)
        if not self._waiting:
            self._waiting = True
            why = "no file descriptor left" if error.errno in (errno.EMFILE, errno.ENFILE) else error.strerror
            log.error("connections have to wait until this program can take them: %s", why)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.watch(self._sock, selectors.EVENT_READ, self._ready)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`, a name or an IPv4 or IPv6 address; port 0 takes any free port.

    Raises:
        OSError: the port is taken, or the host is not an address of this machine.
    """
    family, _type, _protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not on Windows, where it would let two programs share the port.
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class _Connecting:
    """A connection that is being made; `done` gets the socket, or the sentence that says why there is none."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        address: tuple[str, int],
        timeout: float,
        done: Callable[[socket.socket | str], None],
    ) -> None:
        self._loop = loop
        self._done = done
        self._sock = sock
        self._sock.setblocking(False)
        self._timer = loop.call_later(timeout, lambda: self._fail("no answer in time"))
        try:
            code = self._sock.connect_ex(address)
        except OSError as error:  # The address is none.
            self._fail(error.strerror or "it is no address")
            return
        if code in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            loop.watch(self._sock, selectors.EVENT_WRITE, self._ready)
        else:
            self._fail(os.strerror(code))

    def _ready(self, _events: int) -> None:
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(os.strerror(code))
            return
        self._timer.cancel()
        self._loop.watch(self._sock, 0, self._ready)
        self._done(self._sock)

    def _fail(self, reason: str) -> None:
        self._timer.cancel()
        self._loop.watch(self._sock, 0, self._ready)
        self._sock.close()
        self._done(reason)


def connect(
    loop: Loop, address: tuple[str, int], done: Callable[[socket.socket | str], None], *, timeout: float = 5.0
) -> None:
    """Connect to a numeric address without blocking; only on the network thread.

    Args:
        done: gets the connected socket, or a sentence that says why there is none.
        timeout: seconds.
    """
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:  # This program has no file descriptor left.
        done(error.strerror or "there is no socket for it")
    else:
        _Connecting(loop, sock, address, timeout, done)


def resolve(loop: Loop, host: str, done: Callable[[list[str]], None]) -> None:
    """Find the numeric addresses of a host, IPv4 first; `done` is called on the network thread, with [] when unknown.

    Asking a name server blocks, so a name is looked up on a thread of its own.
    """
    try:
        numeric = str(ipaddress.ip_address(host))
    except ValueError:
        numeric = None
    if numeric is not None:
        done([numeric])
        return

    def look_up() -> None:
        addresses = addresses_of(host)
        loop.call_soon(lambda: done(addresses))

    try:
        threading.Thread(target=look_up, name="beam_bpy resolver", daemon=True).start()
    except RuntimeError:
        log.error("the host %s cannot be looked up: this system has no thread left", host)
        loop.call_soon(lambda: done([]))


def addresses_of(host: str) -> list[str]:
    """The numeric addresses of a host, IPv4 first, [] when it is not known; blocks."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    ordered = sorted(found, key=lambda info: info[0] != socket.AF_INET)
    return list(dict.fromkeys(str(info[4][0]) for info in ordered))


def exchange(address: tuple[str, int], request: bytes, timeout: float = 5.0) -> bytes:
    """Send `request` and return all that comes until the other side hangs up; blocks, for the command line.

    Raises:
        OSError: nobody listens there, or the answer does not come in time.
    """
    with socket.create_connection(address, timeout) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(4096), b""))
