"""The connections of a node: nodes that have called it, nodes that it is calling, nodes that are connected.

Chapter "Distribution Handshake". There is at most one connection between two nodes. When both call at the same time,
the call of the node whose name is greater goes on, and the other's takes its outcome (statuses `nok` and
`ok_simultaneous`). For that a call counts from the moment when it is wanted, and a node whose call was answered `ok`
is not called until that has come to nothing: both sides have to see the same calls.

All of it happens on the network thread, but for `connect` and `send`.
"""

import concurrent.futures
import secrets
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from beam_bpy import epmd
from beam_bpy.connection import SETUP_TIME, Connection
from beam_bpy.errors import NodeDownError
from beam_bpy.futures import set_error, set_result
from beam_bpy.limits import Complaints, Limits, Load, network_of
from beam_bpy.logs import log
from beam_bpy.node import Node, Peer
from beam_bpy.protocol import control
from beam_bpy.protocol.erpc import ErpcReply
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.handshake import Acceptor, Initiator
from beam_bpy.tls import Tls, Wrap
from beam_bpy.transport import Loop, Stream, Timer, TlsStream, connect, resolve
from vendor_term_codec import Pid, Reference

_LAST_CHANCE = 0.5

_NAME_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Cluster:
    """All connections of one node.

    Args:
        loop: where it lives.
        node: our node.
        cookie: the shared secret.
        tick_time: seconds of silence after which a peer counts as gone.
        tls: encrypts every connection; None for plain TCP.
        limits: what others may take.
        allow: patterns of the names of nodes that may connect, as `fnmatch` has them; None for any.
    """

    def __init__(
        self,
        loop: Loop,
        node: Node,
        cookie: str,
        tick_time: float,
        tls: Tls | None,
        limits: Limits,
        allow: tuple[str, ...] | None,
    ) -> None:
        self._loop = loop
        self._node = node
        self._cookie = cookie
        self._tick_time = tick_time
        self._tls = tls
        self._limits = limits
        self._allow = allow
        # Ssl application, inet_tls_dist.erl: {packet, 4} from the first message on.
        self._length_size = 2 if tls is None else 4
        self._connections: set[Connection] = set()
        # Those that have come in and have proved nothing yet, oldest first; of each its address and whose that is.
        self._half_open: dict[Connection, tuple[str, str]] = {}
        # Of nodes that are gone, too, as long as something of theirs is queued.
        self._loads: weakref.WeakSet[Load] = weakref.WeakSet()
        self._awaited: Counter[str] = Counter()
        self._complaints = Complaints(loop, "connection")
        self._calls: dict[str, _Setup] = {}
        self._lock = threading.RLock()
        self._closing = False
        node.itself = Peer(node.name, OURS, node.creation, self._to_ourselves)

    def accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """A connection has come in."""
        if self._established() >= self._limits.max_connections:
            sock.close()
            self._complaints.say(address[0], f"there are {self._limits.max_connections} already, which is the limit")
            return
        handshake = Acceptor(
            self._node.name, self._node.creation, OURS, self._cookie, _challenge(), length_size=self._length_size
        )
        wrap = self._tls.server_side() if self._tls is not None else None
        network = network_of(address[0])
        self._make_room(network)
        connection = Connection(self._loop, self._node, handshake, self._tick_time, self._limits, self)
        self._half_open[connection] = address[0], network
        self._open(sock, connection, wrap)

    def _make_room(self, network: str) -> None:
        """Who has not finished the handshake goes when others want to begin: an honest node takes milliseconds."""
        limits = self._limits
        near = [other for other, (_address, others) in self._half_open.items() if others == network]
        if len(near) >= limits.max_half_open_per_address:
            near[0].close("it has not finished its handshake, and others want to begin theirs")
        elif len(self._half_open) >= min(limits.max_half_open, limits.max_connections - self._established()):
            next(iter(self._half_open)).close("it has not finished its handshake, and others want to begin theirs")

    def _established(self) -> int:
        return len(self._connections) - len(self._half_open)

    def connect(self, name: str) -> "concurrent.futures.Future[Peer]":
        """The peer of that name, which is called unless it is connected; from any thread.

        The future fails with `NodeDownError` when the node cannot be reached.
        """
        future: concurrent.futures.Future[Peer] = concurrent.futures.Future()
        self.with_peer(
            name,
            lambda peer: set_result(future, peer),
            lambda sentence: set_error(future, NodeDownError(sentence)),
        )
        return future

    def with_peer(self, name: str, ready: Callable[[Peer], None], failed: Callable[[str], None]) -> None:
        """Call `ready(peer)` when the node is connected, at once if it is, else `failed(sentence)`; from any thread.

        For one node, what was asked for first is called first.
        """
        with self._lock:
            peer = self._node.peer(name)
            call = self._calls.get(name)
            if call is not None:
                call.waiting.append((ready, failed))
                return
            if peer is None:
                call = self._calls[name] = _Setup(self, name, calling=True)
                call.waiting.append((ready, failed))
        if call is None and peer is not None:
            ready(peer)
        elif call is not None:
            self._loop.call_soon(call.start)

    def disconnect(self, name: str, reason: str) -> bool:
        """Close the connection to a node; False when there is none."""
        for connection in tuple(self._connections):
            if connection.peer is not None and connection.peer.name == name:
                connection.close(reason)
                return True
        return False

    def expect(self, name: str, answer: "concurrent.futures.Future[Any]") -> None:
        """Until `answer` has come, read what the node of that name sends, however much that is; from any thread."""
        with self._lock:
            self._awaited[name] += 1
        answer.add_done_callback(lambda _answer: self._expected(name))

    def _expected(self, name: str) -> None:
        with self._lock:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]

    def close(self) -> None:
        """Close every connection; what has been sent has half a second to leave."""
        self._closing = True
        unfinished = sum(load.in_flight for load in self._loads)
        if unfinished:
            log.warning("this node stops: %d calls and casts that have not run to their end are dropped", unfinished)
        self._loop.last_chance(_LAST_CHANCE)
        for call in tuple(self._calls.values()):
            call.fail("this node stops")
        for connection in tuple(self._connections):
            connection.close("this node stops")

    # -- what connections ask and tell

    def status(self, connection: Connection, name: str) -> str:
        """See `connection.Owner`."""
        if name == self._node.name or self._closing or not self.allows(name):
            return "not_allowed"
        with self._lock:
            if self._node.peer(name) is not None:
                return "alive"
            call = self._calls.setdefault(name, _Setup(self, name, calling=False))
        if not call.calling:
            call.wait_for(connection)
            return "ok"
        if name < self._node.name:
            return "nok"
        call.wait_for(connection)
        return "ok_simultaneous"

    def allows(self, name: str) -> bool:
        """See `connection.Owner`."""
        return self._allow is None or any(fnmatchcase(name, pattern) for pattern in self._allow)

    def awaits(self, name: str) -> bool:
        """See `connection.Owner`."""
        return name in self._awaited

    def new_name(self, host: str) -> tuple[str, int]:
        """See `connection.Owner`."""
        name = "".join(secrets.choice(_NAME_CHARACTERS) for _ in range(13))
        return f"{name}@{host}", epmd.new_creation()

    def up(self, connection: Connection, peer: Peer) -> None:
        """See `connection.Owner`."""
        self._half_open.pop(connection, None)
        self._loads.add(peer.load)
        for other in tuple(self._connections):
            if other is not connection and other.peer is not None and other.peer.name == peer.name:
                other.close("the node has connected anew")
        # Under the lock: nothing that is sent from now on may pass what has been waiting.
        with self._lock:
            call = self._calls.pop(peer.name, None)
            self._node.peer_up(peer)
            for ready, _failed in call.waiting if call is not None else ():
                ready(peer)
        if call is not None:
            call.end(connection)

    def gone(self, connection: Connection, reason: str, *, yielded: bool) -> None:
        """See `connection.Owner`."""
        self._connections.discard(connection)
        address, _network = self._half_open.pop(connection, (None, None))
        if address is not None and not self._closing:
            self._complaints.say(address, reason)
        for call in tuple(self._calls.values()):
            call.lost(connection, reason, yielded=yielded)

    # -- what a setup needs

    def open_outgoing(self, sock: socket.socket, name: str) -> Connection:
        """Begin the handshake with a node that we call."""
        handshake = Initiator(
            self._node.name, self._node.creation, OURS, self._cookie, _challenge(), name, length_size=self._length_size
        )
        wrap = self._tls.client_side(name.partition("@")[2]) if self._tls is not None else None
        connection = Connection(self._loop, self._node, handshake, self._tick_time, self._limits, self)
        self._open(sock, connection, wrap)
        return connection

    def give_up(self, name: str, sentence: str) -> None:
        """A call has come to nothing."""
        with self._lock:
            call = self._calls.pop(name, None)
        for _ready, failed in call.waiting if call is not None else ():
            failed(sentence)

    def call_instead(self, name: str) -> None:
        """The peer's own call has come to nothing: who has waited for it wants us to call."""
        with self._lock:
            waiting = self._calls.pop(name).waiting
            if not waiting:
                return
            call = self._calls[name] = _Setup(self, name, calling=True)
            call.waiting = waiting
        call.start()

    def _to_ourselves(self, message: control.Message | ErpcReply, _sender: Pid | Reference) -> None:
        """What a process here sends to another one here takes the way of every message."""
        itself = self._node.itself
        if itself is not None:
            event = control.parse(message.frame(header=True)[4:])
            self._loop.call_soon(lambda: self._node.handle(itself, event))

    @property
    def loop(self) -> Loop:
        """Where all of it happens."""
        return self._loop

    def _open(self, sock: socket.socket, connection: Connection, wrap: Wrap | None) -> None:
        self._connections.add(connection)
        try:
            stream = (
                Stream(self._loop, sock, connection) if wrap is None else TlsStream(self._loop, sock, connection, wrap)
            )
        except OSError as error:  # The other side has gone before it could be wrapped.
            sock.close()
            connection.closed(f"it was gone at once: {error.strerror or error}")
        else:
            connection.open(stream)


class _Setup:
    """A connection to one node that does not stand yet, and those who wait for it.

    Either we call it: find its host, ask the epmd there for its port, connect, shake hands. Or it calls us, and we
    wait for the end of its handshake.
    """

    def __init__(self, cluster: Cluster, name: str, *, calling: bool) -> None:
        self._cluster = cluster
        self._name = name
        self._short, _at, self._host = name.partition("@")
        self._over = False
        self._timer: Timer | None = None
        self._connection: Connection | None = None
        self._theirs: set[Connection] = set()
        self.calling = calling
        self.waiting: list[tuple[Callable[[Peer], None], Callable[[str], None]]] = []

    def start(self) -> None:
        """Call, unless the peer's own call has come first."""
        if not self.calling:
            return
        if not (self._short and self._host):
            self.fail(f"{self._name!r} is no node name: it has to be name@host")
            return
        loop = self._cluster.loop
        self._timer = loop.call_later(SETUP_TIME, lambda: self.fail(f"{self._name} did not answer in time"))
        resolve(loop, self._host, self._resolved)

    def fail(self, sentence: str) -> None:
        """It has come to nothing."""
        if not self._over:
            self.end(None)
            self._cluster.give_up(self._name, sentence)

    def end(self, winner: Connection | None) -> None:
        """It is over: `winner` is the connection that came of it, or the peer's own call."""
        self._over = True
        self._stop_calling(winner)

    def wait_for(self, connection: Connection) -> None:
        """The peer's own call goes on in place of ours; whoever waits gets its outcome."""
        self._theirs.add(connection)
        self._stop_calling(None)

    def lost(self, connection: Connection, reason: str, *, yielded: bool) -> None:
        """A handshake has failed; when it `yielded`, the peer's own call is on its way."""
        if connection is self._connection:
            self._connection = None
            if not yielded:
                # The handshake's own sentences name the peer; the stream's do not.
                self.fail(reason if self._name in reason else f"{self._name} broke off the handshake: {reason}")
        elif connection in self._theirs:
            self._theirs.remove(connection)
            if not self._over and not self._theirs:
                self._over = True
                self._cluster.call_instead(self._name)

    def _stop_calling(self, winner: Connection | None) -> None:
        self.calling = False
        if self._timer is not None:
            self._timer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None and connection is not winner:
            connection.close("the other side's call goes on")

    def _resolved(self, addresses: list[str]) -> None:
        if not addresses:
            self.fail(f"the host of {self._name} is not known")
        else:
            self._try(addresses, f"{self._name} cannot be reached")

    def _try(self, addresses: list[str], why_not: str) -> None:
        if not self.calling:
            return
        if not addresses:
            self.fail(why_not)
            return
        address, *others = addresses

        def located(port: int | str) -> None:
            if isinstance(port, str):
                self._try(others, f"{self._name} cannot be reached: {port}")
            else:
                connect(self._cluster.loop, (address, port), connected)

        def connected(result: socket.socket | str) -> None:
            if isinstance(result, str):
                self._try(others, f"{self._name} cannot be reached: {result}")
            elif not self.calling:
                result.close()
            else:
                self._connection = self._cluster.open_outgoing(result, self._name)

        epmd.locate(self._cluster.loop, address, self._short, located)


def _challenge() -> int:
    return secrets.randbits(32)
