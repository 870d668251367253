"""Many nodes in one process that call one server. `bench/calls_load.py` controls it. Each connection is a hidden node.

The program implements only the part of the protocol that it needs for calls. A BEAM node for each connection would use
more of this computer than the server that is measured.

    calls_connections.py NODE PORT

It prints "ready", then answers each line of standard input:

    connect COUNT             connect until there are COUNT connections  -> COUNT
    run CALLERS COUNT         make COUNT calls on each connection,       -> nanoseconds, answered calls, lost calls
                              CALLERS of them at the same time
    queue COUNT               make COUNT calls on all connections        -> COUNT
                              together, without waiting for replies
    collect                   wait for the replies to these calls        -> number of replies
"""

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import islice

from beam_bpy.protocol.flags import OURS, Flag
from beam_bpy.protocol.handshake import Initiator
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode

FLAGS = OURS & ~Flag.FRAGMENTS
TIMEOUT = 30.0
SPAWN_REQUEST, SPAWN_REPLY = 29, 31


class Connection:
    """A connection of one node with one process. The references of its calls contain ascending numbers."""

    def __init__(self, node: str, port: int, number: int, cookie: str) -> None:
        self.name = f"bench_{os.getpid()}_{number}@127.0.0.1"
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake = Initiator(self.name, 5, FLAGS, cookie, 4711, node)
        self._socket.sendall(handshake.take_output())
        while handshake.receive(data := self._socket.recv(4096)) is None:
            if not data:
                raise RuntimeError(f"{node} closed the connection")
            self._socket.sendall(handshake.take_output())
        self._buffer = bytearray()
        self._references = 0
        self._pid = Pid(self.name, 77, 0, 5)
        self.outstanding: set[int] = set()

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self._socket.fileno()

    def begin(self, count: int) -> None:
        """Send this many calls."""
        frames = []
        for _ in range(count):
            self._references += 1
            self.outstanding.add(self._references)
            frames.append(self._call(self._references))
        self._socket.sendall(b"".join(frames))

    def answers(self) -> int:
        """Read the replies that have arrived. Return their number."""
        data = self._socket.recv(262144)
        if not data:
            raise RuntimeError("the server has closed a connection")
        self._buffer += data
        before = len(self.outstanding)
        for frame in self._frames():
            self._answered(frame)
        return before - len(self.outstanding)

    def _call(self, number: int) -> bytes:
        ref = Reference(self.name, 5, (number, 2, 3))
        target = (Atom("erpc"), Atom("execute_call"), 4)
        control = encode((SPAWN_REQUEST, ref, self._pid, self._pid, target, [Atom("monitor")]))
        frame = b"p" + control + encode([ref, Atom("Elixir.Bench"), Atom("echo"), [number + 1000]])
        return len(frame).to_bytes(4) + frame

    def _frames(self) -> Iterator[bytes]:
        at = 0
        while len(self._buffer) >= at + 4:
            end = at + 4 + int.from_bytes(self._buffer[at : at + 4])
            if len(self._buffer) < end:
                break
            if end > at + 4:
                yield bytes(self._buffer[at + 4 : end])
            at = end
        del self._buffer[:at]

    def _answered(self, frame: bytes) -> None:
        control, at = decode_term(frame, 2)
        if control[0] == SPAWN_REPLY:
            return
        (ref, kind, value), _end = decode_term(frame, at + 1)
        if kind != "return" or value != ref.ids[0] + 1000:
            raise RuntimeError(f"a call was answered {kind} {value!r}")
        self.outstanding.remove(ref.ids[0])


class Connections:
    """All connections to the server."""

    def __init__(self, node: str, port: int) -> None:
        self._node, self._port = node, port
        self._cookie = os.environ["BPY_BEAM_COOKIE"]
        self._all: list[Connection] = []
        self._selector = selectors.DefaultSelector()

    def connect(self, count: int) -> int:
        """Connect until there are this many connections. Return their number."""
        while len(self._all) < count:
            made = Connection(self._node, self._port, len(self._all), self._cookie)
            self._selector.register(made, selectors.EVENT_READ)
            self._all.append(made)
        return len(self._all)

    def run(self, callers: int, count: int) -> tuple[int, int, int]:
        """Make `count` calls on each connection, `callers` of them at the same time.

        Return the time in nanoseconds, the number of replies, and the number of calls without a reply.
        """
        left = dict.fromkeys(self._all, count)
        start = time.perf_counter_ns()
        for each in self._all:
            self._begin(each, min(callers, count), left)
        answered = 0
        for each, got in self._wait():
            answered += got
            self._begin(each, min(got, left[each]), left)
        took = time.perf_counter_ns() - start
        return took, answered, count * len(self._all) - answered

    def queue(self, count: int) -> int:
        """Send this many calls on all connections together, without waiting for replies."""
        shares = [count // len(self._all)] * len(self._all)
        for index in islice(range(len(shares)), count % len(shares)):
            shares[index] += 1
        for each, share in zip(self._all, shares, strict=True):
            each.begin(share)
        return count

    def collect(self) -> int:
        """Wait for the replies to all calls. Return the number of replies."""
        return sum(got for _each, got in self._wait())

    def _begin(self, connection: Connection, count: int, left: dict[Connection, int]) -> None:
        if count:
            left[connection] -= count
            connection.begin(count)

    def _wait(self) -> Iterator[tuple[Connection, int]]:
        """Yield each connection that receives replies, with their number.

        Stop when there is no call without a reply, or when no reply arrives for `TIMEOUT` seconds.
        """
        while any(each.outstanding for each in self._all):
            ready = self._selector.select(TIMEOUT)
            if not ready:
                return
            for key, _events in ready:
                each: Connection = key.fileobj  # type: ignore[assignment]
                yield each, each.answers()


def main() -> int:
    """Execute the commands from standard input."""
    connections = Connections(sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["connect", count]:
                print(connections.connect(int(count)), flush=True)
            case ["run", callers, count]:
                print(*connections.run(int(callers), int(count)), flush=True)
            case ["queue", count]:
                print(connections.queue(int(count)), flush=True)
            case ["collect"]:
                print(connections.collect(), flush=True)
            case words:
                raise ValueError(f"nothing is known of {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
