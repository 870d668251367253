"""Pending connections: from the lookup of a node, or from an accepted socket, to the end of the handshake.

Chapter "Distribution Handshake". `PendingConnection` runs the handshake on one socket. `Setup` is the pending
connection with one node: this node connects to it (find the host, ask the epmd there for the port, connect, shake
hands), or the node connects to us and this node waits for the end of that handshake.
"""

import socket
from collections.abc import Callable
from typing import Protocol

from beam_bpy.distribution.peer import Peer
from beam_bpy.epmd import client as epmd
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.handshake import (
    REFUSALS,
    Acceptor,
    Established,
    HandshakeRefusedError,
    Initiator,
    PeerNamed,
    Status,
)
from beam_bpy.transport.connector import connect
from beam_bpy.transport.loop import Loop, Timer
from beam_bpy.transport.resolver import resolve
from beam_bpy.transport.stream import Stream

SETUP_TIME = 7.0
"""Seconds that a handshake may take: the BEAM's `net_setuptime`."""

_MAX_READ = 512


class PendingOwner(Protocol):
    """The object that holds pending connections, as they see it."""

    def status(self, pending: "PendingConnection", name: str) -> Status:
        """The answer to a node of that name that connects to us."""

    def allows(self, name: str) -> bool:
        """True if a node of that name may connect."""

    def new_name(self, host: str) -> tuple[str, int]:
        """A full name and a creation for a node on `host` that requests a name."""

    def established(self, pending: "PendingConnection", stream: Stream, event: Established) -> None:
        """The handshake is done: the owner makes a connection of it."""

    def failed(self, pending: "PendingConnection", reason: str, *, yielded: bool) -> None:
        """The handshake has failed; `yielded` if the peer's own connection to us continues instead."""


class PendingConnection:
    """The handshake on one socket.

    Args:
        loop: the loop of its stream.
        handshake: our side of the handshake.
        owner: the object that holds it.
    """

    def __init__(self, loop: Loop, handshake: Acceptor | Initiator, owner: PendingOwner) -> None:
        self._handshake = handshake
        self._owner = owner
        self._stream: Stream | None = None
        self._buffer = bytearray(_MAX_READ)
        self._done = False
        self._yielded = False
        self._timer = loop.call_later(SETUP_TIME, self._time_out)

    def open(self, stream: Stream) -> None:
        """Begin; `stream` belongs to this object from now on."""
        self._stream = stream
        stream.send(self._handshake.take_output())

    def close(self, reason: str) -> None:
        """Close the connection; bytes that there is room for are sent before."""
        if self._stream is not None:
            self._stream.flush()
            self._stream.close(reason)

    def get_buffer(self) -> memoryview:
        """See `StreamProtocol`."""
        return memoryview(self._buffer)

    def buffer_updated(self, count: int) -> None:
        """See `StreamProtocol`."""
        assert self._stream is not None
        try:
            event = self._handshake.receive(bytes(self._buffer[:count]))
        except HandshakeRefusedError as refusal:
            self._yielded = refusal.status is Status.NOK
            raise
        refused = self._decide(event) if isinstance(event, PeerNamed) else None
        self._stream.send(self._handshake.take_output())
        if isinstance(event, Established):
            self._done = True
            self._timer.cancel()
            self._owner.established(self, self._stream, event)
        elif refused is not None:
            self._stream.close_when_sent(refused)

    def connection_lost(self, reason: str) -> None:
        """See `StreamProtocol`."""
        self._timer.cancel()
        if self._done:
            return
        if isinstance(self._handshake, Initiator):
            reason = self._handshake.explain(reason)
        self._owner.failed(self, reason, yielded=self._yielded)

    def _decide(self, event: PeerNamed) -> str | None:
        """Answer a node that has sent its name; returns why it was refused, else None."""
        assert isinstance(self._handshake, Acceptor)
        if Flag.NAME_ME in event.flags:
            name, creation = self._owner.new_name(event.name)
            if self._owner.allows(name):
                self._handshake.name_peer(name, creation)
                return None
            status = Status.NOT_ALLOWED
        else:
            status = self._owner.status(self, event.name)
        self._handshake.answer(status)
        return f"the answer to {event.name} was '{status}'" if status in REFUSALS else None

    def _time_out(self) -> None:
        self.close(f"the handshake was not done within {SETUP_TIME:g} seconds")


class SetupOwner(Protocol):
    """The object that holds the setups, as they see it."""

    def open_outgoing(self, sock: socket.socket, name: str) -> PendingConnection:
        """Begin the handshake with a node to which we have connected."""

    def setup_failed(self, name: str, sentence: str) -> None:
        """The attempt to connect to a node has failed."""

    def accept_failed(self, name: str) -> None:
        """The node's own connection to us has failed, so this node has to connect if somebody waits."""


class Setup:
    """The pending connection with one node, and the callbacks that wait for it.

    Args:
        loop: the network thread.
        owner: the object that holds it.
        name: the node's full name.
        connecting: True if this node connects, False if it waits for the node's own connection.

    Attributes:
        connecting: see above; False once it is over.
        waiting: pairs of callbacks: one gets the peer, the other a sentence that says why there is none.
    """

    def __init__(self, loop: Loop, owner: SetupOwner, name: str, *, connecting: bool) -> None:
        self._loop = loop
        self._owner = owner
        self._name = name
        self._short, _at, self._host = name.partition("@")
        self._over = False
        self._timer: Timer | None = None
        self._outgoing: PendingConnection | None = None
        self._incoming: set[PendingConnection] = set()
        self.connecting = connecting
        self.waiting: list[tuple[Callable[[Peer], None], Callable[[str], None]]] = []

    def start(self) -> None:
        """Connect, unless the node has connected to us in the meantime."""
        if not self.connecting:
            return
        if not (self._short and self._host):
            self.fail(f"{self._name!r} is not a node name: it has to be name@host")
            return
        self._timer = self._loop.call_later(SETUP_TIME, lambda: self.fail(f"{self._name} did not answer in time"))
        resolve(self._loop, self._host, self._resolved)

    def fail(self, sentence: str) -> None:
        """The setup has failed."""
        if not self._over:
            self.end(None)
            self._owner.setup_failed(self._name, sentence)

    def end(self, winner: PendingConnection | None) -> None:
        """The setup is over; `winner` is the pending connection that was established."""
        self._over = True
        self._stop_connecting(winner)

    def accept(self, pending: PendingConnection) -> None:
        """The node's own connection continues in place of ours; the callbacks wait for its result."""
        self._incoming.add(pending)
        self._stop_connecting(None)

    def handshake_failed(self, pending: PendingConnection, reason: str, *, yielded: bool) -> None:
        """A handshake has failed; `yielded` if the node's own connection is on its way."""
        if pending is self._outgoing:
            self._outgoing = None
            if not yielded:
                # The sentences of the handshake name the node; those of the stream do not.
                self.fail(reason if self._name in reason else f"{self._name} broke off the handshake: {reason}")
        elif pending in self._incoming:
            self._incoming.remove(pending)
            if not self._over and not self._incoming:
                self._over = True
                self._owner.accept_failed(self._name)

    def _stop_connecting(self, winner: PendingConnection | None) -> None:
        self.connecting = False
        if self._timer is not None:
            self._timer.cancel()
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None and outgoing is not winner:
            outgoing.close("the connection of the other side continues")

    def _resolved(self, addresses: list[str]) -> None:
        if not addresses:
            self.fail(f"the host of {self._name} is not known")
        else:
            self._try(addresses, f"{self._name} cannot be reached")

    def _try(self, addresses: list[str], why_not: str) -> None:
        """Try the addresses one after the other; `why_not` is the sentence if none is left."""
        if not self.connecting:
            return
        if not addresses:
            self.fail(why_not)
            return
        address, *others = addresses

        def located(port: int | str) -> None:
            if isinstance(port, str):
                self._try(others, f"{self._name} cannot be reached: {port}")
            else:
                connect(self._loop, (address, port), connected)

        def connected(result: socket.socket | str) -> None:
            if isinstance(result, str):
                self._try(others, f"{self._name} cannot be reached: {result}")
            elif not self.connecting:
                result.close()
            else:
                self._outgoing = self._owner.open_outgoing(result, self._name)

        epmd.locate(self._loop, address, self._short, located)
