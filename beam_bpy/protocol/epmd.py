"""The requests and responses of epmd, the Erlang Port Mapper Daemon.

Source: ERTS user's guide, chapter "Distribution Protocol", section "EPMD Protocol". Each request has a length of two
bytes before it. A response has no length: it ends when epmd closes the connection. Exception: after the response to
ALIVE2_REQ the connection stays open.
"""

import struct
from dataclasses import dataclass

from beam_bpy.protocol import ProtocolError

DEFAULT_PORT = 4369
"""The TCP port of epmd, if the environment variable ERL_EPMD_PORT is not set."""

MAX_REQUEST = 1024
"""The longest request that is accepted, in bytes. A node name has at most 255 characters, so this is enough."""

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
    """A node that is registered with epmd.

    Attributes:
        name: the part of the node name before the @.
        port: the TCP port on which the node accepts connections.
        node_type: `NODE_NORMAL` or `NODE_HIDDEN` (default).
        protocol: the transport; 0 (default) is TCP over IPv4.
        highest_version, lowest_version: the versions of the distribution protocol that the node supports; 6.
        extra: data of any meaning; empty.
    """

    name: str
    port: int
    node_type: int = NODE_HIDDEN
    protocol: int = 0
    highest_version: int = _VERSION
    lowest_version: int = _VERSION
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Register:
    """ALIVE2_REQ: register a node. It stays registered until its connection to epmd is closed."""

    registration: Registration


@dataclass(frozen=True, slots=True)
class LookUp:
    """PORT_PLEASE2_REQ: get the port of the node with this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ListNames:
    """NAMES_REQ, or DUMP_REQ if `dump` is True: get all registered nodes. DUMP_REQ also asks for file descriptors."""

    dump: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """KILL_REQ or STOP_REQ: stop epmd, or unregister a node. An epmd that runs inside this program refuses both."""

    what: str


Request = Register | LookUp | ListNames | Refused


def register(registration: Registration) -> bytes:
    """Return the bytes of an ALIVE2_REQ."""
    return _request(struct.pack(">BHBBHH", _ALIVE2_REQ, *_numbers(registration)) + _names(registration))


def look_up(name: str) -> bytes:
    """Return the bytes of a PORT_PLEASE2_REQ for the part of the node name before the @."""
    return _request(bytes((_PORT_PLEASE2_REQ,)) + name.encode())


def list_names() -> bytes:
    """Return the bytes of a NAMES_REQ."""
    return _request(bytes((_NAMES_REQ,)))


def take_creation(answer: bytes) -> tuple[int, int] | None:
    """Return (result, creation) of a response to ALIVE2_REQ, or None if it is incomplete. Result 0 means success.

    Raises:
        ProtocolError: the bytes are not a response to ALIVE2_REQ.
    """
    if not answer:
        return None
    if answer[0] == _ALIVE2_X_RESP:
        return _unpacked(">BI", answer)
    if answer[0] == _ALIVE2_RESP:
        return _unpacked(">BH", answer)
    raise ProtocolError(f"epmd answered a registration with tag {answer[0]}")


def take_port(answer: bytes) -> int | None:
    """Return the port in a complete response to PORT_PLEASE2_REQ, or None if no node with this name is registered.

    Raises:
        ProtocolError: the bytes are not a complete response to PORT_PLEASE2_REQ.
    """
    if len(answer) < 2 or answer[0] != _PORT2_RESP:
        raise ProtocolError("epmd sent no valid response to the request for a node's port")
    if answer[1] != 0:
        return None
    if len(answer) < 4:
        raise ProtocolError("epmd's response with a node's port is truncated")
    return int.from_bytes(answer[2:4])


def take_names(answer: bytes) -> list[tuple[str, int]]:
    """Return the (name, port) pairs in a complete response to NAMES_REQ. Lines that cannot be read are ignored."""
    found = []
    for line in answer[4:].decode(errors="replace").splitlines():
        match line.split():
            case ["name", name, "at", "port", port] if port.isdecimal() and len(port) <= _PORT_DIGITS:
                found.append((name, int(port)))
    return found


def is_list_of_names(answer: bytes) -> bool:
    """True for a complete response to NAMES_REQ: the port of epmd in four bytes, and a line for each node."""
    lines = answer[4:].decode(errors="replace").splitlines()
    return len(answer) >= 4 and int.from_bytes(answer[:4]) < 65536 and len(take_names(answer)) == len(lines)


def parse_request(data: bytes) -> Request | None:
    """Return the request at the start of `data`, or None if it is incomplete.

    Raises:
        ProtocolError: the request is malformed, too long or unknown.
    """
    if len(data) < 2:
        return None
    length = int.from_bytes(data[:2])
    if not 0 < length <= MAX_REQUEST:
        raise ProtocolError(f"an epmd request has {length} bytes; it must have 1 to {MAX_REQUEST}")
    if len(data) < 2 + length:
        return None
    return _parsed(data[2 : 2 + length])


def creation_answer(result: int, creation: int, *, highest_version: int) -> bytes:
    """Return the bytes of an ALIVE2_X_RESP, or of an ALIVE2_RESP for a node that does not support version 6.

    Args:
        result: 0 for success, 1 for failure.
        creation: the creation of the node, an unsigned 32-bit integer. ALIVE2_RESP contains only its lowest two bits.
        highest_version: the highest version of the distribution protocol that the node supports.
    """
    if highest_version >= _VERSION:
        return struct.pack(">BBI", _ALIVE2_X_RESP, result, creation)
    return struct.pack(">BBH", _ALIVE2_RESP, result, creation & 3)


def port_answer(registration: Registration | None) -> bytes:
    """Return the bytes of a PORT2_RESP. None means that no node with the requested name is registered."""
    if registration is None:
        return bytes((_PORT2_RESP, 1))
    head = struct.pack(">BBHBBHH", _PORT2_RESP, 0, *_numbers(registration))
    return head + _names(registration)


def names_answer(epmd_port: int, registrations: list[Registration], *, dump: bool) -> bytes:
    """Return the bytes of a NAMES_RESP or DUMP_RESP.

    All file descriptors are shown as 0, because the real numbers would disclose information about this program.
    """
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
    raise ProtocolError(f"an epmd request has the unknown tag {tag}")


def _registration(body: bytes) -> Registration:
    try:
        port, node_type, protocol, highest, lowest, length = struct.unpack_from(">HBBHHH", body)
        name = body[10 : 10 + length]
        (extra_length,) = struct.unpack_from(">H", body, 10 + length)
    except struct.error:
        raise ProtocolError("an epmd registration is truncated") from None
    extra = body[12 + length : 12 + length + extra_length]
    if len(extra) < extra_length:
        raise ProtocolError("an epmd registration is truncated")
    return Registration(_decoded(name), port, node_type, protocol, highest, lowest, extra)


def _decoded(name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a node name is not valid UTF-8") from None
    if not 0 < len(text) <= 255:
        raise ProtocolError(f"a node name has {len(text)} characters; it must have 1 to 255")
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
