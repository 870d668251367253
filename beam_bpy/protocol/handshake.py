"""The handshake, version 6, seen from either side.

Chapter "Distribution Handshake". Node A connects, node B accepts:

    A                                    B
    send_name  ------------------------>
               <------------------------  send_status
    (status 'alive': send_status ------>)
               <------------------------  send_challenge
    (old send_name: send_complement --->)
    send_challenge_reply -------------->
               <------------------------  send_challenge_ack

`Initiator` is A, `Acceptor` is B. Give them the bytes of the socket with `receive`, send the bytes that `take_output`
returns, and handle the event that `receive` returns: `PeerNamed` asks the acceptor's owner for a decision (`answer`,
`name_peer`), `Established` ends the handshake. `HandshakeError` is raised for everything that the protocol forbids.

The handshake proves that both sides know the cookie. It does not encrypt, and it does not protect what follows.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag, expand

MAX_MESSAGE = 4096
"""The longest handshake message accepted, in bytes. A node name has at most 255 characters, of at most 4 bytes each."""

_OLD_VERSION = 5

_MANDATORY = tuple(MANDATORY_BEFORE_25)
_KNOWN = (OURS | Flag.NAME_ME).value


class Status(StrEnum):
    """The answers to a node that connects (section "Handshake", message send_status)."""

    OK = "ok"
    OK_SIMULTANEOUS = "ok_simultaneous"
    NOK = "nok"
    NOT_ALLOWED = "not_allowed"
    ALIVE = "alive"
    NAMED = "named"


REFUSALS = frozenset((Status.NOK, Status.NOT_ALLOWED))
"""The statuses after which the connection is closed."""


class HandshakeError(ProtocolError):
    """The handshake cannot go on; the message says why and never holds the cookie or a digest."""


class HandshakeRefusedError(HandshakeError):
    """The accepting node does not want the connection.

    Attributes:
        status: `NOK` when the peer connects to us at the same time and its own connection goes on, else `NOT_ALLOWED`.
    """

    def __init__(self, status: Status, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class PeerNamed:
    """The peer has sent its name, and has not proved yet that it knows the cookie. Decide with `Acceptor.answer`.

    A peer with the flag NAME_ME has sent only its host, and requests a name: `Acceptor.name_peer`.
    """

    name: str
    flags: Flag


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides have proved that they know the cookie.

    Attributes:
        name: the peer's full node name.
        flags: the capabilities that both sides have.
        creation: the peer's incarnation, a 32-bit number.
        rest: bytes that followed the handshake; they belong to the framed protocol.
    """

    name: str
    flags: Flag
    creation: int
    rest: bytes


def digest(cookie: str, challenge: int) -> bytes:
    """The 16-byte answer to a challenge: MD5 over cookie and challenge, both as text (section "Definitions")."""
    # One byte for each character, as in the BEAM; settings take no cookie with a character beyond Latin-1.
    return hashlib.md5(cookie.encode("latin-1") + str(challenge).encode(), usedforsecurity=False).digest()


_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""How an alert and a handshake of TLS begin (RFC 8446, section 5.1); no message here is as long as that."""


class _Messages:
    """The length before each handshake message; `is_silent` until the peer has sent something."""

    def __init__(self, length_size: int) -> None:
        self._size = length_size
        self._buffer = bytearray()
        self.is_silent = True

    def feed(self, data: bytes) -> None:
        self.is_silent = False
        self._buffer += data

    def next(self) -> bytes | None:
        if len(self._buffer) < self._size:
            return None
        end = self._size + int.from_bytes(self._buffer[: self._size])
        if self._buffer[:2] in _TLS_RECORDS:
            raise HandshakeError("the other side uses TLS, and this node does not: give certificates to both, or none")
        if end > MAX_MESSAGE:
            raise HandshakeError(f"a handshake message of {end - self._size} bytes is too long (no Erlang node?)")
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[self._size : end])
        del self._buffer[:end]
        return message

    def rest(self) -> bytes:
        return bytes(self._buffer)

    def framed(self, message: bytes) -> bytes:
        return len(message).to_bytes(self._size) + message


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise HandshakeError("a node name that is not UTF-8") from None


def _name(raw: bytes) -> str:
    name = _text(raw)
    if not name.isprintable():
        raise HandshakeError(f"a node name that cannot be printed: {name!r}")
    return name


def _offered(flags: int, name: str) -> Flag:
    """The flags among those that `name` offers which this node knows.

    Python keeps each combination of a `Flag` in memory for ever. So the bits that a peer chooses are masked first.

    Raises:
        HandshakeError: a mandatory flag is missing.
    """
    missing = [flag.name or "?" for flag in _MANDATORY if not flags & flag.value]
    if missing and not flags & Flag.MANDATORY_25_DIGEST.value:
        raise HandshakeError(f"{name} lacks capabilities that every node since OTP 25 has: {', '.join(missing)}")
    return expand(flags & _KNOWN)


class _State(Enum):
    NAME = auto()
    DECISION = auto()
    STATUS = auto()
    ALIVE = auto()
    CHALLENGE = auto()
    COMPLEMENT = auto()
    REPLY = auto()
    ACK = auto()
    DONE = auto()


class _Side:
    """The state that both sides of a handshake share."""

    def __init__(
        self, name: str, creation: int, flags: Flag, cookie: str, challenge: int, length_size: int, state: _State
    ) -> None:
        self._name = name
        self._creation = creation
        self._flags = flags
        self._cookie = cookie
        self._challenge = challenge
        self._state = state
        self._messages = _Messages(length_size)
        self._output = bytearray()
        self._peer_name = ""
        self._peer_flags = Flag(0)
        self._peer_creation = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.name} peer={self._peer_name!r}>"

    def receive(self, data: bytes) -> PeerNamed | Established | None:
        """Process bytes from the peer; returns the event that they lead to, else None.

        Raises:
            HandshakeError: the bytes are no handshake, the peer lacks a mandatory capability, or its digest is wrong.
        """
        if self._state is not _State.DONE:  # A refused peer may go on sending; its bytes are dropped.
            self._messages.feed(data)
        try:
            return self._take()
        except HandshakeError:
            # The handshake is over: a peer has one attempt for its digest.
            self._state = _State.DONE
            self._output.clear()
            raise

    def take_output(self) -> bytes:
        """The bytes to send now; each byte is returned once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def _take(self) -> PeerNamed | Established | None:
        while self._state not in (_State.DECISION, _State.DONE):
            message = self._messages.next()
            if message is None:
                return None
            event = self._handle(message)
            if event is not None:
                return event
        return None

    def _handle(self, message: bytes) -> PeerNamed | Established | None:
        raise NotImplementedError

    def _send(self, message: bytes) -> None:
        self._output += self._messages.framed(message)

    def _check_digest(self, received: bytes) -> None:
        if not hmac.compare_digest(received, digest(self._cookie, self._challenge)):
            raise HandshakeError(f"{self._peer_name} was refused: its cookie is not this node's cookie")

    def _established(self) -> Established:
        self._state = _State.DONE
        return Established(self._peer_name, self._flags & self._peer_flags, self._peer_creation, self._messages.rest())


class Acceptor(_Side):
    """Node B: the accepting side.

    Args:
        name: our full node name.
        creation: our incarnation, a 32-bit number.
        flags: what we offer.
        cookie: the shared secret.
        challenge: a fresh random 32-bit number for this connection alone.
        length_size: how many bytes the length before each message has: 2, but 4 over TLS.
    """

    def __init__(
        self, name: str, creation: int, flags: Flag, cookie: str, challenge: int, *, length_size: int = 2
    ) -> None:
        super().__init__(name, creation, flags, cookie, challenge, length_size, _State.NAME)
        self._old_name = False

    def answer(self, status: Status) -> None:
        """Decide about the peer that `PeerNamed` announced, with any status but `NAMED`.

        After one of `REFUSALS` the connection is to be closed once the output is sent.
        """
        if self._state is not _State.DECISION:
            raise RuntimeError("there is nothing to decide")
        self._send(b"s" + status.encode())
        match status:
            case Status.OK | Status.OK_SIMULTANEOUS:
                self._send_challenge()
            case Status.ALIVE:
                self._state = _State.ALIVE
            case _:
                self._state = _State.DONE

    def name_peer(self, name: str, creation: int) -> None:
        """Give a peer that requested a name (NAME_ME) its full name and its creation, and continue."""
        if self._state is not _State.DECISION:
            raise RuntimeError("there is nothing to decide")
        self._peer_name, self._peer_creation = name, creation
        # A node accepts a name only from a node that sets the flag too.
        self._flags |= Flag.NAME_ME
        raw = name.encode()
        self._send(
            b"s" + Status.NAMED.encode() + b":" + struct.pack(">H", len(raw)) + raw + struct.pack(">I", creation)
        )
        self._send_challenge()

    def _handle(self, message: bytes) -> PeerNamed | Established | None:
        match self._state:
            case _State.NAME:
                return self._name_received(message)
            case _State.ALIVE:
                self._alive_answered(message)
            case _State.COMPLEMENT:
                self._complement_received(message)
            case _State.REPLY:
                return self._reply_received(message)
        return None

    def _name_received(self, message: bytes) -> PeerNamed:
        tag = message[:1]
        if tag == b"N" and len(message) >= 15:
            flags, self._peer_creation, length = struct.unpack_from(">QIH", message, 1)
            raw = message[15 : 15 + length]
            if len(raw) != length:
                raise HandshakeError("a truncated node name")
        elif tag == b"n" and len(message) >= 7:
            version, flags = struct.unpack_from(">HI", message, 1)
            if version != _OLD_VERSION:
                raise HandshakeError(f"distribution version {version} in an old name message")
            raw = message[7:]
            self._old_name = True
        else:
            raise HandshakeError("it does not begin like an Erlang node's handshake")
        self._peer_name = _name(raw)
        self._peer_flags = _offered(flags, self._peer_name)
        self._state = _State.DECISION
        return PeerNamed(self._peer_name, self._peer_flags)

    def _alive_answered(self, message: bytes) -> None:
        if message != b"strue":
            raise HandshakeError(f"{self._peer_name} has a connection already and keeps it")
        self._send_challenge()

    def _send_challenge(self) -> None:
        name = self._name.encode()
        head = struct.pack(">cQIIH", b"N", self._flags, self._challenge, self._creation, len(name))
        self._send(head + name)
        self._state = _State.COMPLEMENT if self._old_name else _State.REPLY

    def _complement_received(self, message: bytes) -> None:
        if len(message) != 9 or message[:1] != b"c":
            raise HandshakeError(f"{self._peer_name} sent no complement after its old name message")
        high, self._peer_creation = struct.unpack_from(">II", message, 1)
        self._peer_flags = _offered(self._peer_flags.value | high << 32, self._peer_name)
        self._state = _State.REPLY

    def _reply_received(self, message: bytes) -> Established:
        if len(message) != 21 or message[:1] != b"r":
            raise HandshakeError(f"{self._peer_name} sent no answer to the challenge")
        (peer_challenge,) = struct.unpack_from(">I", message, 1)
        self._check_digest(message[5:])
        self._send(b"a" + digest(self._cookie, peer_challenge))
        return self._established()


class Initiator(_Side):
    """Node A: the connecting side.

    Args:
        name: our full node name.
        creation: our incarnation, a 32-bit number.
        flags: what we offer.
        cookie: the shared secret.
        challenge: a fresh random 32-bit number for this connection alone.
        peer: the full name of the node to connect to; another node at that address is an error.
        length_size: how many bytes the length before each message has: 2, but 4 over TLS.
    """

    def __init__(
        self, name: str, creation: int, flags: Flag, cookie: str, challenge: int, peer: str, *, length_size: int = 2
    ) -> None:
        super().__init__(name, creation, flags, cookie, challenge, length_size, _State.STATUS)
        self._peer_name = peer
        raw = name.encode()
        self._send(struct.pack(">cQIH", b"N", flags, creation, len(raw)) + raw)

    def explain(self, reason: str) -> str:
        """Why the connection has ended: `reason`, or a better sentence if the handshake knows one."""
        if self._state is _State.ACK and self._peer_name not in reason:
            # A node with another cookie closes the connection without an answer.
            return f"{self._peer_name} broke off the handshake: {reason}; is its cookie the same?"
        if self._state is _State.STATUS and self._messages.is_silent:
            return (
                f"{self._peer_name} broke off the handshake: {reason}; does one of the two nodes use TLS, and the other"
                " not?"
            )
        return reason

    def _handle(self, message: bytes) -> PeerNamed | Established | None:
        match self._state:
            case _State.STATUS:
                self._status_received(message)
            case _State.CHALLENGE:
                self._challenge_received(message)
            case _State.ACK:
                return self._ack_received(message)
        return None

    def _status_received(self, message: bytes) -> None:
        if message[:1] != b"s":
            raise HandshakeError(f"{self._peer_name} did not answer like an Erlang node")
        match message[1:].decode("latin-1"):
            case Status.OK | Status.OK_SIMULTANEOUS:
                self._state = _State.CHALLENGE
            case Status.ALIVE:
                # We connect because we have no connection: the one that the peer still has is broken.
                self._send(b"strue")
                self._state = _State.CHALLENGE
            case Status.NOK:
                sentence = f"{self._peer_name} is connecting to this node at the same time"
                raise HandshakeRefusedError(Status.NOK, sentence)
            case _:
                sentence = f"{self._peer_name} does not allow this node to connect"
                raise HandshakeRefusedError(Status.NOT_ALLOWED, sentence)

    def _challenge_received(self, message: bytes) -> None:
        if message[:1] != b"N" or len(message) < 19:
            raise HandshakeError(f"{self._peer_name} sent no challenge")
        flags, peer_challenge, self._peer_creation, length = struct.unpack_from(">QIIH", message, 1)
        name = _name(message[19 : 19 + length])
        if name != self._peer_name:
            raise HandshakeError(f"the node at that address is {name}, not {self._peer_name}")
        self._peer_flags = _offered(flags, name)
        self._send(struct.pack(">cI", b"r", self._challenge) + digest(self._cookie, peer_challenge))
        self._state = _State.ACK

    def _ack_received(self, message: bytes) -> Established:
        if len(message) != 17 or message[:1] != b"a":
            raise HandshakeError(f"{self._peer_name} did not finish the handshake")
        self._check_digest(message[1:])
        return self._established()
