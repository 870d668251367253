"""The handshake, version 6, seen from either side.

Chapter "Distribution Handshake". Node A calls, node B is called:

    A                                    B
    send_name  ------------------------>
               <------------------------  send_status
    (status 'alive': send_status ------>)
               <------------------------  send_challenge
    (old send_name: send_complement --->)
    send_challenge_reply -------------->
               <------------------------  send_challenge_ack

`Acceptor` is B. Feed it what the socket gave with `receive`, send what `take_output` returns, and
look at what `receive` returned: `PeerNamed` asks for a decision (`answer`), `Established` ends the handshake.
Whatever the protocol forbids raises `HandshakeError`.

The handshake proves that both sides know the cookie. It does not encrypt, and it does not protect what follows.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import Enum, auto

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, Flag, expand

MAX_MESSAGE = 4096
"""The longest handshake message taken, in bytes. A node name has at most 255 characters, of at most 4 bytes each."""

_OLD_VERSION = 5


class HandshakeError(ProtocolError):
    """The handshake cannot go on; the message says why and never holds the cookie or a digest."""


@dataclass(frozen=True, slots=True)
class PeerNamed:
    """The peer said who it is, and has proved nothing yet. Decide with `Acceptor.answer`."""

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
    return hashlib.md5(cookie.encode() + str(challenge).encode(), usedforsecurity=False).digest()


class _Messages:
    """The two-byte length before each handshake message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        end = 2 + int.from_bytes(self._buffer[:2])
        if end > MAX_MESSAGE:
            raise HandshakeError(f"a handshake message of {end - 2} bytes is too long (this is no Erlang node?)")
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[2:end])
        del self._buffer[:end]
        return message

    def rest(self) -> bytes:
        return bytes(self._buffer)


def _framed(message: bytes) -> bytes:
    return struct.pack(">H", len(message)) + message


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise HandshakeError("a node name that is not UTF-8") from None


def _demand(flags: Flag, name: str) -> None:
    missing = MANDATORY_BEFORE_25 & ~flags
    if missing:
        names = ", ".join(flag.name or "?" for flag in missing)
        raise HandshakeError(f"{name} lacks capabilities that every node since OTP 25 has: {names}")


class _AcceptorState(Enum):
    NAME = auto()
    DECISION = auto()
    ALIVE = auto()
    COMPLEMENT = auto()
    REPLY = auto()
    DONE = auto()


class Acceptor:
    """Node B: the side that was called.

    Args:
        name: our full node name.
        creation: our incarnation, a 32-bit number.
        flags: what we offer.
        cookie: the shared secret.
        challenge: a fresh random 32-bit number for this connection alone.
    """

    def __init__(self, name: str, creation: int, flags: Flag, cookie: str, challenge: int) -> None:
        self._name = name
        self._creation = creation
        self._flags = flags
        self._cookie = cookie
        self._challenge = challenge
        self._messages = _Messages()
        self._output = bytearray()
        self._state = _AcceptorState.NAME
        self._peer_name = ""
        self._peer_flags = Flag(0)
        self._peer_creation = 0
        self._old_name = False

    def __repr__(self) -> str:
        return f"<Acceptor {self._state.name} peer={self._peer_name!r}>"

    def receive(self, data: bytes) -> PeerNamed | Established | None:
        """Take bytes from the peer; returns what there is to decide or to know, else None.

        Raises:
            HandshakeError: the bytes are no handshake, the peer lacks a mandatory capability, or its digest is wrong.
        """
        self._messages.feed(data)
        while self._state not in (_AcceptorState.DECISION, _AcceptorState.DONE):
            message = self._messages.next()
            if message is None:
                return None
            event = self._handle(message)
            if event is not None:
                return event
        return None

    def take_output(self) -> bytes:
        """The bytes to send now; each byte is returned once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def answer(self, status: str) -> None:
        """Decide about the peer that `PeerNamed` announced: `ok`, `ok_simultaneous`, `nok`, `not_allowed` or `alive`.

        After `nok` and `not_allowed` the connection is to be closed once the output is sent.
        """
        if self._state is not _AcceptorState.DECISION:
            raise RuntimeError("there is nothing to decide")
        self._output += _framed(b"s" + status.encode())
        match status:
            case "ok" | "ok_simultaneous":
                self._send_challenge()
            case "alive":
                self._state = _AcceptorState.ALIVE
            case _:
                self._state = _AcceptorState.DONE

    def _handle(self, message: bytes) -> PeerNamed | Established | None:
        match self._state:
            case _AcceptorState.NAME:
                return self._name_received(message)
            case _AcceptorState.ALIVE:
                self._alive_answered(message)
            case _AcceptorState.COMPLEMENT:
                self._complement_received(message)
            case _AcceptorState.REPLY:
                return self._reply_received(message)
        return None

    def _name_received(self, message: bytes) -> PeerNamed:
        tag = message[:1]
        if tag == b"N" and len(message) >= 15:
            flags, self._peer_creation, length = struct.unpack_from(">QIH", message, 1)
            raw = message[15 : 15 + length]
            if len(raw) != length:
                raise HandshakeError("a node name that is cut short")
        elif tag == b"n" and len(message) >= 7:
            version, flags = struct.unpack_from(">HI", message, 1)
            if version != _OLD_VERSION:
                raise HandshakeError(f"distribution version {version} in an old name message")
            raw = message[7:]
            self._old_name = True
        else:
            raise HandshakeError("it does not begin like an Erlang node's handshake")
        self._peer_name = _text(raw)
        self._peer_flags = expand(flags)
        _demand(self._peer_flags, self._peer_name)
        self._state = _AcceptorState.DECISION
        return PeerNamed(self._peer_name, self._peer_flags)

    def _alive_answered(self, message: bytes) -> None:
        if message != b"strue":
            raise HandshakeError(f"{self._peer_name} has a connection already and keeps it")
        self._send_challenge()

    def _send_challenge(self) -> None:
        name = self._name.encode()
        self._output += _framed(
            struct.pack(">cQIIH", b"N", self._flags, self._challenge, self._creation, len(name)) + name
        )
        self._state = _AcceptorState.COMPLEMENT if self._old_name else _AcceptorState.REPLY

    def _complement_received(self, message: bytes) -> None:
        if len(message) != 9 or message[:1] != b"c":
            raise HandshakeError(f"{self._peer_name} sent no complement after its old name message")
        high, self._peer_creation = struct.unpack_from(">II", message, 1)
        self._peer_flags = expand(int(self._peer_flags) | high << 32)
        self._state = _AcceptorState.REPLY

    def _reply_received(self, message: bytes) -> Established:
        if len(message) != 21 or message[:1] != b"r":
            raise HandshakeError(f"{self._peer_name} sent no answer to the challenge")
        (peer_challenge,) = struct.unpack_from(">I", message, 1)
        if not hmac.compare_digest(message[5:], digest(self._cookie, self._challenge)):
            raise HandshakeError(f"{self._peer_name} was refused: its cookie is not this node's cookie")
        self._output += _framed(b"a" + digest(self._cookie, peer_challenge))
        self._state = _AcceptorState.DONE
        return Established(self._peer_name, self._flags & self._peer_flags, self._peer_creation, self._messages.rest())
