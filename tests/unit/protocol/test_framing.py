"""The four-byte length before each message, read through `feed` and through `buffer`/`received`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.framing import TICK, FrameReader, framed

CHUNK = 256 * 1024

FRAMES = st.lists(st.one_of(st.just(b""), st.binary(max_size=40), st.binary(max_size=3000)), max_size=12)


def through_buffer(reader, data, most=1 << 30):
    """Read `data` as a socket would be read: at most `most` bytes at a time, and no more than there is room for."""
    frames = []
    while data:
        space = reader.get_buffer()
        count = min(len(space), len(data), most)
        space[:count] = data[:count]
        data = data[count:]
        frames += reader.buffer_updated(count)
    return frames


def through_feed(reader, data, most=1 << 30):
    return [frame for start in range(0, len(data), most) for frame in reader.feed(data[start : start + most])]


def pieces(data, cuts):
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("read", [through_feed, through_buffer])
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 20_000), max_size=10))
@settings(max_examples=60)
def test_frames_come_out_as_they_went_in_wherever_they_are_cut(read, frames, cuts):
    wire = b"".join(map(framed, frames))
    reader = FrameReader()

    assert [frame for piece in pieces(wire, cuts) for frame in read(reader, piece)] == frames


@pytest.mark.parametrize("read", [through_feed, through_buffer])
@pytest.mark.parametrize("most", [1, 3, 4, 5])
def test_a_few_bytes_at_a_time(read, most):
    frames = [b"one", b"", b"three", b"", b""]

    assert read(FrameReader(), b"".join(map(framed, frames)), most) == frames


@pytest.mark.parametrize("read", [through_feed, through_buffer])
@pytest.mark.parametrize("most", [65_537, CHUNK, 1 << 30])
@pytest.mark.parametrize("size", [CHUNK - 5, CHUNK - 4, CHUNK - 3, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_messages_around_and_beyond_the_size_of_the_shared_buffer(read, size, most):
    frames = [b"before", bytes(range(256)) * (size // 256) + b"x" * (size % 256), b"", b"after"]

    assert read(FrameReader(), b"".join(map(framed, frames)), most) == frames


def test_a_message_stays_as_it_is_when_later_ones_arrive():
    reader = FrameReader()

    [first] = reader.feed(framed(b"first"))
    [large] = reader.feed(framed(b"L" * CHUNK))
    reader.feed(framed(b"other") + framed(b"M" * CHUNK))

    assert first == b"first"
    assert large == b"L" * CHUNK


@given(frames=FRAMES, cut=st.integers(0, 20_000))
@settings(max_examples=30)
def test_there_is_always_room_to_read_into(frames, cut):
    reader = FrameReader()

    reader.feed(b"".join(map(framed, frames))[:cut])

    assert len(reader.get_buffer()) > 0


def test_a_tick_is_an_empty_message():
    assert framed() == TICK
    assert FrameReader().feed(TICK + framed(b"x") + TICK) == [b"", b"x", b""]


def test_parts_make_one_message():
    assert framed(b"ab", b"", b"c") == b"\0\0\0\3abc"


@pytest.mark.parametrize("limit", [100, CHUNK + 100])
def test_a_message_beyond_the_limit_is_refused_before_it_is_read(limit):
    with pytest.raises(ProtocolError, match=str(limit)):
        FrameReader(max_frame=limit).feed((limit + 1).to_bytes(4) + b"x")


@pytest.mark.parametrize("limit", [100, CHUNK + 100])
def test_a_message_of_just_the_limit_is_taken(limit):
    assert FrameReader(max_frame=limit).feed(framed(b"x" * limit)) == [b"x" * limit]


def test_the_limit_of_1_gib_holds_by_default():
    with pytest.raises(ProtocolError):
        FrameReader().feed(b"\xff\xff\xff\xff")
