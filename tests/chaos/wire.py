"""A TCP proxy between a caller and the server that can delay bytes, reset a connection or stop forwarding.

`Wire` is a proxy, which works everywhere. `Cable` lies between two network namespaces, where the system lets a user
have some: pulled out, not even the kernel of the other side answers.
"""

import contextlib
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from beam import TIMEOUT, eventually

from beam_bpy.protocol import epmd

_CHUNK = 64 * 1024
_SMALL = 2048
_RETRANSMISSION = 0.2
"""Seconds after which a system sends a lost packet again, at first."""


@dataclass(frozen=True)
class Weather:
    """The way in which the proxy forwards the bytes of a new connection.

    Attributes:
        delay: seconds that a chunk of bytes is late, at most.
        loss: how many of a thousand chunks are late as after the loss of a packet.
        split: whether a chunk arrives in pieces: a small one byte by byte, any other one in pieces of random sizes.
        most_up: bytes to the server after which the connection dies; None for no end.
        most_down: the same of bytes from the server.
        reset: whether it dies by a reset, and not by an end.
    """

    delay: float = 0.0
    loss: int = 0
    split: bool = False
    most_up: int | None = None
    most_down: int | None = None
    reset: bool = False


class Wire:
    """A proxy in front of a server, under the server's name in an epmd that does not know the server itself.

    Args:
        name: the server's node name before the @.
        port: where the server listens.
        epmd_port: the epmd that the callers ask.

    Attributes:
        weather: what happens to the connections that begin from now on.
        passed_up: bytes that have gone to the server, on all connections.
        passed_down: bytes that have come from it.
    """

    def __init__(self, name: str, port: int, epmd_port: int) -> None:
        self.weather = Weather()
        self.passed_up = self.passed_down = 0
        self.flowing = threading.Event()
        self.flowing.set()
        self._port = port
        self._lines: set[_Line] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._registered = socket.create_connection(("127.0.0.1", epmd_port), TIMEOUT)
        self._registered.sendall(epmd.register(epmd.Registration(name, self._listener.getsockname()[1])))
        assert self._registered.recv(2)[1] == 0, "another wire has the name"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def pull(self) -> None:
        """From now on nothing gets through, and neither side is told."""
        self.flowing.clear()

    def plug(self) -> None:
        """Forward the bytes that have waited since `pull`."""
        self.flowing.set()

    def close(self) -> None:
        """End it, and all connections through it."""
        # It wakes the thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._listener.close()
        self._registered.close()
        for line in tuple(self._lines):
            line.die()
        self.flowing.set()
        eventually(lambda: not self._lines, "no connection is left on the wire")

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
            line = _Line(self, near, far)
            self._lines.add(line)
            line.start(self._lines.discard)


class _Line:
    """One connection through a wire."""

    def __init__(self, wire: Wire, near: socket.socket, far: socket.socket) -> None:
        self._wire = wire
        self._weather = wire.weather
        self._near, self._far = near, far
        self._rng = random.Random(wire.passed_up)
        for sock in (near, far):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self, over: Callable[["_Line"], None]) -> None:
        """Carry bytes until either side ends; `over` is called then."""

        def carry() -> None:
            down = threading.Thread(target=self._carry, args=(self._far, self._near, self._weather.most_down))
            down.start()
            self._carry(self._near, self._far, self._weather.most_up)
            down.join()
            self._near.close()
            self._far.close()
            over(self)

        threading.Thread(target=carry).start()

    def die(self) -> None:
        """End it on both sides."""
        for sock in (self._near, self._far):
            with contextlib.suppress(OSError):
                if self._weather.reset:
                    # To linger for no time makes the end a reset, unless a shutdown has said that it is an end.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RD if self._weather.reset else socket.SHUT_RDWR)

    def _carry(self, source: socket.socket, target: socket.socket, most: int | None) -> None:
        left = most
        with contextlib.suppress(OSError):
            while left != 0 and (data := source.recv(_CHUNK if left is None else min(left, _CHUNK))):
                self._wire.flowing.wait()
                for piece in self._pieces(data):
                    target.sendall(piece)
                if target is self._far:
                    self._wire.passed_up += len(data)
                else:
                    self._wire.passed_down += len(data)
                left = None if left is None else left - len(data)
            # An end is news, too, which a wire that is pulled out keeps.
            self._wire.flowing.wait()
        self.die()

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        weather = self._weather
        time.sleep(self._rng.uniform(0.0, weather.delay))
        if self._rng.randrange(1000) < weather.loss:
            time.sleep(_RETRANSMISSION)
        place = 0
        while place < len(data):
            size = len(data) if not weather.split else 1 if len(data) < _SMALL else self._rng.randint(1, _SMALL)
            yield data[place : place + size]
            place += size


class Cable:
    """Two network namespaces and a cable between them; the far end can be pulled out.

    Attributes:
        near: the command that runs another one in the near namespace, where the address is `ADDRESS`.
        far: the same for the far one.
    """

    ADDRESS = "10.77.0.1"

    def __init__(self) -> None:
        self._holders = [self._hold("unshare", "--user", "--map-root-user", "--net")]
        self.near = self._enter(self._holders[0])
        self._holders.append(self._hold(*self.near, "unshare", "--net"))
        self.far = self._enter(self._holders[1])
        far = str(self._holders[1].pid)
        self._ip(self.near, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
        for side, name, address in ((self.near, "near", self.ADDRESS), (self.far, "far", "10.77.0.2")):
            self._ip(side, "address", "add", f"{address}/24", "dev", name)
            self._ip(side, "link", "set", "lo", "up")
            self._ip(side, "link", "set", name, "up")

    def pull(self) -> None:
        """See `Wire.pull`."""
        self._ip(self.far, "link", "set", "far", "down")

    def plug(self) -> None:
        """See `Wire.plug`: what has waited is sent again."""
        self._ip(self.far, "link", "set", "far", "up")

    def close(self) -> None:
        """End it; the namespaces go with the last process in them."""
        for holder in self._holders:
            holder.communicate(timeout=TIMEOUT)

    @staticmethod
    def _hold(*command: str) -> "subprocess.Popen[str]":
        """A process that keeps a namespace until its standard input ends."""
        holder = subprocess.Popen(
            [*command, "sh", "-c", "echo ready; exec cat"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        return holder

    @staticmethod
    def _enter(holder: "subprocess.Popen[str]") -> list[str]:
        return ["nsenter", "--target", str(holder.pid), "--user", "--net", "--preserve-credentials"]

    @staticmethod
    def _ip(side: list[str], *arguments: str) -> None:
        subprocess.run([*side, "ip", *arguments], check=True, timeout=TIMEOUT)


def has_namespaces() -> bool:
    """Whether this system lets this user have namespaces with a cable between them."""
    try:
        command = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", "type", "veth"]
        return subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False).returncode == 0
    except OSError:
        return False
