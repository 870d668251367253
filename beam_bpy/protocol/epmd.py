"""The port mapper's requests and answers.

Chapter "Distribution Protocol", section "EPMD Protocol". A request has its length in two bytes before it; an answer
has none and ends, but for the one to ALIVE2_REQ, with the connection.
"""

import struct
from dataclasses import dataclass

from beam_bpy.protocol import ProtocolError

DEFAULT_PORT = 4369
"""Where epmd listens unless ERL_EPMD_PORT says otherwise."""

MAX_REQUEST = 1024
"""The longest request taken, in bytes; a name has at most 255 characters."""

NODE_NORMAL = 77
NODE_HIDDEN = 72

_PORT_DIGITS = 5
_VERSION = 6
_ALIVE2_REQ = 120
_PORT_PLEASE2_REQ = 122
_NAMES_REQ = 110
_DUMP_REQ = 100
_KILL_REQ = 107
_STOP_REQ = 115
_ALIVE2_RESP = 121
_ALIVE2_X_RESP = 118
_PORT2_RESP = 119


@dataclass(frozen=True, slots=True)
class Registration:
    """A node as epmd knows it: the name before the @, the port that it listens on, and what it said of itself."""

    name: str
    port: int
    node_type: int = NODE_HIDDEN
    protocol: int = 0
    highest_version: int = _VERSION
    lowest_version: int = _VERSION
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Register:
    """ALIVE2_REQ: the node stays registered for as long as its connection stays open."""

    registration: Registration


@dataclass(frozen=True, slots=True)
class LookUp:
    """PORT_PLEASE2_REQ: where does the node of this name listen?"""

    name: str


@dataclass(frozen=True, slots=True)
class ListNames:
    """NAMES_REQ, and DUMP_REQ, which shows file descriptors besides."""

    dump: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """KILL_REQ and STOP_REQ: an epmd that lives in another program refuses them."""

    what: str


Request = Register | LookUp | ListNames | Refused


def register(registration: Registration) -> bytes:
    """ALIVE2_REQ."""
    return _request(struct.pack(">BHBBHH", _ALIVE2_REQ, *_numbers(registration)) + _names(registration))


def look_up(name: str) -> bytes:
    """PORT_PLEASE2_REQ for the name before the @."""
    return _request(bytes((_PORT_PLEASE2_REQ,)) + name.encode())


def list_names() -> bytes:
    """NAMES_REQ."""
    return _request(bytes((_NAMES_REQ,)))


def take_creation(answer: bytes) -> tuple[int, int] | None:
    """The (result, creation) of an answer to ALIVE2_REQ; None while it is incomplete. Result 0 is success.

    Raises:
        ProtocolError: this is no such answer.
    """
    if not answer:
        return None
    if answer[0] == _ALIVE2_X_RESP:
        return _unpacked(">BI", answer)
    if answer[0] == _ALIVE2_RESP:
        return _unpacked(">BH", answer)
    raise ProtocolError(f"epmd answered a registration with tag {answer[0]}")


def take_port(answer: bytes) -> int | None:
    """The port in a whole answer to PORT_PLEASE2_REQ; None when epmd does not know the name.

    Raises:
        ProtocolError: this is no such answer.
    """
    if len(answer) < 2 or answer[0] != _PORT2_RESP:
        raise ProtocolError("epmd gave no answer to the question for a node's port")
    if answer[1] != 0:
        return None
    if len(answer) < 4:
        raise ProtocolError("epmd's answer with a node's port is cut short")
    return int.from_bytes(answer[2:4])


def take_names(answer: bytes) -> list[tuple[str, int]]:
    """The (name, port) pairs in a whole answer to NAMES_REQ."""
    found = []
    for line in answer[4:].decode(errors="replace").splitlines():
        match line.split():
            case ["name", name, "at", "port", port] if port.isdecimal() and len(port) <= _PORT_DIGITS:
                found.append((name, int(port)))
    return found


def parse_request(data: bytes) -> Request | None:
    """The request at the start of `data`; None while it is incomplete.

    Raises:
        ProtocolError: it is no request that epmd knows.
    """
    if len(data) < 2:
        return None
    length = int.from_bytes(data[:2])
    if not 0 < length <= MAX_REQUEST:
        raise ProtocolError(f"an epmd request of {length} bytes")
    if len(data) < 2 + length:
        return None
    return _parsed(data[2 : 2 + length])


def creation_answer(result: int, creation: int, *, highest_version: int) -> bytes:
    """ALIVE2_X_RESP, or ALIVE2_RESP for a node that does not know version 6."""
    if highest_version >= _VERSION:
        return struct.pack(">BBI", _ALIVE2_X_RESP, result, creation)
    return struct.pack(">BBH", _ALIVE2_RESP, result, creation & 3)


def port_answer(registration: Registration | None) -> bytes:
    """PORT2_RESP; None says that there is no such node."""
    if registration is None:
        return bytes((_PORT2_RESP, 1))
    head = struct.pack(">BBHBBHH", _PORT2_RESP, 0, *_numbers(registration))
    return head + _names(registration)


def names_answer(epmd_port: int, registrations: list[Registration], *, dump: bool) -> bytes:
    """NAMES_RESP or DUMP_RESP. Descriptors are not shown: they would say something about this program."""
    line = "active name     <{}> at port {}, fd = 0\n" if dump else "name {} at port {}\n"
    return struct.pack(">I", epmd_port) + "".join(line.format(r.name, r.port) for r in registrations).encode()


def _parsed(request: bytes) -> Request:
    tag, body = request[0], request[1:]
    match tag:
        case 120:
            return Register(_registration(body))
        case 122:
            return LookUp(_decoded(body))
        case 110 | 100:
            return ListNames(dump=tag == _DUMP_REQ)
        case 107 | 115:
            return Refused("kill" if tag == _KILL_REQ else "stop")
    raise ProtocolError(f"an epmd request with tag {tag}")


def _registration(body: bytes) -> Registration:
    try:
        port, node_type, protocol, highest, lowest, length = struct.unpack_from(">HBBHHH", body)
        name = body[10 : 10 + length]
        (extra_length,) = struct.unpack_from(">H", body, 10 + length)
    except struct.error:
        raise ProtocolError("an epmd registration that is cut short") from None
    extra = body[12 + length : 12 + length + extra_length]
    if len(extra) < extra_length:
        raise ProtocolError("an epmd registration that is cut short")
    return Registration(_decoded(name), port, node_type, protocol, highest, lowest, extra)


def _decoded(name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a node name that is not UTF-8") from None
    if not 0 < len(text) <= 255:
        raise ProtocolError(f"a node name of {len(text)} characters")
    return text


def _numbers(registration: Registration) -> tuple[int, int, int, int, int]:
    r = registration
    return r.port, r.node_type, r.protocol, r.highest_version, r.lowest_version


def _names(registration: Registration) -> bytes:
    name = registration.name.encode()
    return struct.pack(">H", len(name)) + name + struct.pack(">H", len(registration.extra)) + registration.extra


def _request(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


def _unpacked(layout: str, answer: bytes) -> tuple[int, int] | None:
    if len(answer) < 1 + struct.calcsize(layout):
        return None
    result, creation = struct.unpack_from(layout, answer, 1)
    return result, creation
