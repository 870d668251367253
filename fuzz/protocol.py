"""Fuzz the modules of the distribution protocol. For any bytes, they must return events or raise ProtocolError.

The first byte of an input selects the module. The second byte plus one is the number of bytes that arrive at once. The
rest is the data from the peer. If a module reads a stream, its result must not depend on how the stream is split.

Run it with `make fuzz`, or for one input: fuzz/protocol.py FILE
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["beam_bpy.protocol", "vendor_term_codec"]):
    from beam_bpy.protocol import ProtocolError, control, control_reader, epmd, fragments, framing
    from beam_bpy.protocol.fast_path import FastReader
    from beam_bpy.protocol.flags import OURS, Flag
    from beam_bpy.protocol.handshake import Acceptor, Established, HandshakeError, Initiator, PeerNamed, Status
    from vendor_term_codec import DecodeError

import seeds

LIMIT = 4096
"""The longest message that is accepted, in bytes."""

STATUSES = tuple(status for status in Status if status is not Status.NAMED)

# With a small shared buffer, short inputs also use the code for large messages.
framing._CHUNK = 64


def test(data: bytes) -> None:
    """Pass the data to the module that the first byte selects."""
    if len(data) >= 2:
        TARGETS[data[0] % len(TARGETS)](data[2:], data[1])


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    step = size + 1
    return (data[start : start + step] for start in range(0, len(data), step))


def _framing(data: bytes, size: int) -> None:
    whole, error = _frames([data])
    cut, cut_error = _frames(list(_pieces(data, size)))
    assert error == cut_error, "the error depends on how the stream is split"
    if error is None:
        assert whole == cut, "the messages depend on how the stream is split"
        assert data.startswith(framing.framed(*[framing.framed(bytes(frame)) for frame in whole])[4:])


def _frames(pieces: list[bytes]) -> tuple[list[framing.Frame], str | None]:
    reader = framing.FrameReader(LIMIT)
    frames: list[framing.Frame] = []
    try:
        for piece in pieces:
            frames += reader.feed(piece)
            assert len(reader.get_buffer()) > 0, "the buffer has no free bytes"
    except ProtocolError as error:
        return frames, str(error)
    assert all(len(frame) <= LIMIT for frame in frames)
    return frames, None


def _fragments(data: bytes, _size: int) -> None:
    reassembler = fragments.Reassembler(LIMIT)
    at = 0
    try:
        while at < len(data):
            frame = data[at + 1 : at + 1 + data[at]]
            at += 1 + len(frame)
            whole = reassembler.add(frame)
            assert whole is None or len(whole) <= max(LIMIT, len(frame))
    except ProtocolError:
        pass


def _acceptor(data: bytes, size: int) -> None:
    width = 4 if size & 1 else 2
    outcomes = []
    for pieces in ([data], list(_pieces(data, size))):
        side = Acceptor(seeds.OUR_NAME, 1, OURS, seeds.COOKIE, seeds.OUR_CHALLENGE, length_size=width)
        outcomes.append(_shaken(side, pieces, STATUSES[size % len(STATUSES)]))
    assert outcomes[0] == outcomes[1], "the handshake depends on where the bytes are cut"


def _initiator(data: bytes, size: int) -> None:
    width = 4 if size & 1 else 2
    outcomes = []
    for pieces in ([data], list(_pieces(data, size))):
        side = Initiator(
            seeds.PEER_NAME, 2, OURS, seeds.COOKIE, seeds.PEER_CHALLENGE, seeds.OUR_NAME, length_size=width
        )
        outcomes.append(_shaken(side, pieces, Status.OK))
    assert outcomes[0] == outcomes[1], "the handshake depends on where the bytes are cut"


def _shaken(side: Acceptor | Initiator, pieces: list[bytes], status: Status) -> tuple[list[str], bytes]:
    """Run a handshake with the data in these pieces. Return its events as text, and the bytes to send."""
    events: list[str] = []
    rest = b""
    try:
        for piece in pieces:
            rest = _event(side, piece, status, events, rest)
    except HandshakeError as error:
        events.append(str(error))
    assert seeds.COOKIE not in f"{events} {side!r}", "an event or a repr contains the cookie"
    return [*events, rest.hex()], side.take_output()


def _event(side: Acceptor | Initiator, piece: bytes, status: Status, events: list[str], rest: bytes) -> bytes:
    if rest or (events and events[-1] == "done"):
        return rest + piece
    event = side.receive(piece)
    while isinstance(event, PeerNamed):
        assert isinstance(side, Acceptor)
        events.append(f"{event.name} {int(event.flags)}")
        if Flag.NAME_ME in event.flags:
            side.name_peer(seeds.PEER_NAME, 9)
        else:
            side.answer(status)
        event = side.receive(b"")
    if isinstance(event, Established):
        events += [f"{event.name} {int(event.flags)} {event.creation}", "done"]
        return event.rest
    return rest


def _control(data: bytes, _size: int) -> None:
    try:
        event = control_reader.parse(data)
    except ProtocolError:
        return
    for field in event:
        if isinstance(field, control.Payload):
            with suppress(DecodeError):
                field.decode()


def _fast_path(data: bytes, _size: int) -> None:
    """Check that both readers return the same event, unless the fast path returns None."""
    event = FAST_PATH.read(data)
    if event is not None:
        slow = control_reader.parse(data)
        assert (type(event), event) == (type(slow), slow)


def _epmd(data: bytes, _size: int) -> None:
    for answer in (epmd.take_creation, epmd.take_port):
        with suppress(ProtocolError):
            answer(data)
    epmd.take_names(data)
    try:
        request = epmd.parse_request(data)
    except ProtocolError:
        return
    if isinstance(request, epmd.Register):
        assert epmd.parse_request(epmd.register(request.registration)) == request
    elif isinstance(request, epmd.LookUp):
        assert epmd.parse_request(epmd.look_up(request.name)) == request


FAST_PATH = FastReader(seeds.PEER_NAME)
TARGETS: tuple[Callable[[bytes, int], None], ...] = (
    *(_framing, _fragments, _acceptor, _initiator, _control, _epmd),
    _fast_path,
)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test)
    atheris.Fuzz()
