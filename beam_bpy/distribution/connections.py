"""All connections of a node: established ones and pending ones.

Chapter "Distribution Handshake". There is at most one connection between two nodes. When both connect at the same
time, the connection of the node with the greater name continues, and the other node waits for it (statuses `nok` and
`ok_simultaneous`). For that both sides have to agree which connections are pending: an outgoing connection counts as
pending as soon as it is requested, and while an accepted handshake with a node is in progress, we do not connect to it.

Everything happens on the network thread, except `connect`, `with_peer` and `expect_answer`.
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

from beam_bpy.distribution.connection import Connection
from beam_bpy.distribution.connection_setup import PendingConnection, Setup
from beam_bpy.distribution.load import Load
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.own_peer import OwnTransport
from beam_bpy.distribution.peer import Peer
from beam_bpy.epmd.creation import new_creation
from beam_bpy.errors import NodeDownError
from beam_bpy.futures import set_error, set_result
from beam_bpy.limits import Limits
from beam_bpy.logger import log
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.handshake import Acceptor, Established, Initiator, Status
from beam_bpy.transport.addresses import network_of
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.refusal_log import Refusal, RefusalLog
from beam_bpy.transport.stream import Stream, drain_streams
from beam_bpy.transport.tls import Tls, TlsStream, Wrap

_CLOSE_TIME = 0.5
"""Seconds that messages have to leave when the node stops."""

_EVICTED = "it has not finished its handshake, and there are too many other pending connections"

_NAME_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Connections:
    """All connections of one node.

    Args:
        loop: the network thread.
        node: our node.
        cookie: the shared secret.
        tick_time: seconds of silence after which a peer counts as gone.
        tls: encrypts every connection; None for plain TCP.
        limits: see `Limits`.
        allow: patterns of the names of nodes that may connect, as in `fnmatch`; None for all.
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
        self._established: dict[str, Connection] = {}
        self._outgoing: set[PendingConnection] = set()
        # Accepted pending connections, oldest first, each with its address and the network of that address.
        self._half_open: dict[PendingConnection, tuple[str, str]] = {}
        # Loads of peers that are gone stay here as long as a call of theirs is queued.
        self._loads: weakref.WeakSet[Load] = weakref.WeakSet()
        self._awaited: Counter[str] = Counter()
        self._refusals = RefusalLog(loop, "connection")
        self._setups: dict[str, Setup] = {}
        self._lock = threading.RLock()
        self._closing = False
        node.itself = Peer(node.name, OURS, node.creation, OwnTransport(loop, node))

    @property
    def last_refusal(self) -> Refusal | None:
        """The last connection that was refused."""
        return self._refusals.last

    # -- accepting

    def accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """A connection has arrived."""
        if len(self._established) + len(self._outgoing) >= self._limits.max_connections:
            sock.close()
            self._refusals.refused(address[0], f"there are {self._limits.max_connections} connections, the limit")
            return
        network = network_of(address[0])
        self._evict(network)
        handshake = Acceptor(
            self._node.name, self._node.creation, OURS, self._cookie, _challenge(), length_size=self._length_size
        )
        pending = PendingConnection(self._loop, handshake, self)
        self._half_open[pending] = address[0], network
        self._open(sock, pending, self._tls.server_side() if self._tls is not None else None)

    def _evict(self, network: str) -> None:
        """Close the oldest unauthenticated connection if a limit is reached. An honest node needs milliseconds."""
        limits = self._limits
        near = [pending for pending, (_address, other) in self._half_open.items() if other == network]
        room = limits.max_connections - len(self._established) - len(self._outgoing)
        if len(near) >= limits.max_half_open_per_address:
            near[0].close(_EVICTED)
        elif len(self._half_open) >= min(limits.max_half_open, room):
            next(iter(self._half_open)).close(_EVICTED)

    # -- connecting

    def connect(self, name: str) -> "concurrent.futures.Future[Peer]":
        """The peer of that name; this node connects to it if necessary. From any thread.

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

        The callbacks for one node are called in the order of the requests.
        """
        with self._lock:
            peer = self._node.peer(name)
            setup = self._setups.get(name)
            if setup is not None:
                setup.waiting.append((ready, failed))
                return
            if peer is None:
                setup = self._setups[name] = Setup(self._loop, self, name, connecting=True)
                setup.waiting.append((ready, failed))
        if setup is None and peer is not None:
            ready(peer)
        elif setup is not None:
            self._loop.call_soon(setup.start)

    def disconnect(self, name: str, reason: str) -> bool:
        """Close the connection to a node; False when there is none."""
        connection = self._established.get(name)
        if connection is not None:
            connection.close(reason)
        return connection is not None

    def expect_answer(self, name: str, answer: "concurrent.futures.Future[Any]") -> None:
        """Read from the node of that name, in spite of its back-pressure, until `answer` is done; from any thread."""
        with self._lock:
            self._awaited[name] += 1
        answer.add_done_callback(lambda _answer: self._answered(name))

    def _answered(self, name: str) -> None:
        with self._lock:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]

    def close(self, spared: Load | None = None) -> bool:
        """Close every connection; messages that have been sent have half a second to leave.

        Args:
            spared: the load of a peer whose connection stays open until `close` is called again.

        Returns:
            True if a connection stays open.
        """
        kept = [connection for connection in self._established.values() if connection.peer.load is spared]
        unfinished = sum(load.in_flight for load in self._loads) - len(kept)
        if unfinished and not self._closing:
            log.warning("this node stops: %d calls and casts that have not run to their end are dropped", unfinished)
        self._closing = True
        drain_streams(self._loop, _CLOSE_TIME)
        for setup in tuple(self._setups.values()):
            setup.fail("this node stops")
        for pending in (*self._half_open, *self._outgoing):
            pending.close("this node stops")
        for connection in tuple(self._established.values()):
            if connection not in kept:
                connection.close("this node stops")
        return bool(kept)

    # -- see `PendingOwner`

    def status(self, pending: PendingConnection, name: str) -> Status:
        """See `PendingOwner`."""
        if name == self._node.name or self._closing or not self.allows(name):
            return Status.NOT_ALLOWED
        with self._lock:
            if self._node.peer(name) is not None:
                return Status.ALIVE
            setup = self._setups.setdefault(name, Setup(self._loop, self, name, connecting=False))
        if not setup.connecting:
            setup.accept(pending)
            return Status.OK
        if name < self._node.name:
            return Status.NOK
        setup.accept(pending)
        return Status.OK_SIMULTANEOUS

    def allows(self, name: str) -> bool:
        """See `PendingOwner`."""
        return self._allow is None or any(fnmatchcase(name, pattern) for pattern in self._allow)

    def new_name(self, host: str) -> tuple[str, int]:
        """See `PendingOwner`."""
        name = "".join(secrets.choice(_NAME_CHARACTERS) for _ in range(13))
        return f"{name}@{host}", new_creation()

    def established(self, pending: PendingConnection, stream: Stream, event: Established) -> None:
        """See `PendingOwner`."""
        self._forget(pending)
        connection = Connection(self._loop, stream, self._node, event, self._tick_time, self._limits, self)
        stream.set_protocol(connection)
        before = self._established.get(event.name)
        if before is not None:
            before.close("the node has connected again")
        self._established[event.name] = connection
        self._loads.add(connection.peer.load)
        # Under the lock: messages that are sent from now on must not pass those that have been waiting.
        with self._lock:
            setup = self._setups.pop(event.name, None)
            self._node.peer_up(connection.peer)
            for ready, _failed in setup.waiting if setup is not None else ():
                ready(connection.peer)
        if setup is not None:
            setup.end(pending)
        connection.open(event.rest)

    def failed(self, pending: PendingConnection, reason: str, *, yielded: bool) -> None:
        """See `PendingOwner`."""
        address = self._forget(pending)
        if address is not None and not self._closing:
            self._refusals.refused(address, reason)
        for setup in tuple(self._setups.values()):
            setup.handshake_failed(pending, reason, yielded=yielded)

    def _forget(self, pending: PendingConnection) -> str | None:
        """The connection is no longer pending; returns the address that it came from, None for an outgoing one."""
        self._outgoing.discard(pending)
        address, _network = self._half_open.pop(pending, (None, None))
        return address

    # -- see `ConnectionOwner`

    def awaits_answer(self, name: str) -> bool:
        """See `ConnectionOwner`."""
        return name in self._awaited

    def lost(self, connection: Connection, _reason: str) -> None:
        """See `ConnectionOwner`."""
        if self._established.get(connection.peer.name) is connection:
            del self._established[connection.peer.name]

    # -- see `SetupOwner`

    def open_outgoing(self, sock: socket.socket, name: str) -> PendingConnection:
        """See `SetupOwner`."""
        handshake = Initiator(
            self._node.name, self._node.creation, OURS, self._cookie, _challenge(), name, length_size=self._length_size
        )
        pending = PendingConnection(self._loop, handshake, self)
        self._outgoing.add(pending)
        self._open(sock, pending, self._tls.client_side(name.partition("@")[2]) if self._tls is not None else None)
        return pending

    def setup_failed(self, name: str, sentence: str) -> None:
        """See `SetupOwner`."""
        with self._lock:
            setup = self._setups.pop(name, None)
        for _ready, failed in setup.waiting if setup is not None else ():
            failed(sentence)

    def accept_failed(self, name: str) -> None:
        """See `SetupOwner`."""
        with self._lock:
            waiting = self._setups.pop(name).waiting
            if not waiting:
                return
            setup = self._setups[name] = Setup(self._loop, self, name, connecting=True)
            setup.waiting = waiting
        setup.start()

    def _open(self, sock: socket.socket, pending: PendingConnection, wrap: Wrap | None) -> None:
        try:
            stream = Stream(self._loop, sock, pending) if wrap is None else TlsStream(self._loop, sock, pending, wrap)
        except OSError as error:  # The other side has closed it before it could be wrapped.
            sock.close()
            pending.connection_lost(f"it was closed at once: {error.strerror or error}")
        else:
            pending.open(stream)


def _challenge() -> int:
    return secrets.randbits(32)
