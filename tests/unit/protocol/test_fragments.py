"""Messages in pieces: whatever is split comes together again, in any interleaving; what cannot be is refused."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.fragments import Reassembler, split

FIRST, NEXT = 69, 70


def head(kind, sequence, number):
    """The head of a fragment, as the chapter "External Term Format" has it."""
    return struct.pack(">BBQQ", 131, kind, sequence, number)


def first(sequence, number, data=b"first"):
    return head(FIRST, sequence, number) + b"\0" + data


def following(sequence, number, data=b"next"):
    return head(NEXT, sequence, number) + data


MESSAGES = st.lists(
    st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=60), st.integers(1, 20)), min_size=1, max_size=5
)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@given(messages=MESSAGES, data=st.data())
@settings(max_examples=80)
def test_interleaved_messages_come_together_again(kind, messages, data):
    sequences = data.draw(
        st.lists(st.integers(0, 2**64 - 1), min_size=len(messages), max_size=len(messages), unique=True)
    )
    on_their_way = {
        sequence: list(split(sequence, control, payload, size))
        for sequence, (control, payload, size) in zip(sequences, messages, strict=True)
    }
    whole = {
        sequence: fragments[0][:18] + b"\0" + control + payload
        for (sequence, fragments), (control, payload, _size) in zip(on_their_way.items(), messages, strict=True)
    }
    reassembler, got = Reassembler(), {}

    while on_their_way:
        sequence = data.draw(st.sampled_from(sorted(on_their_way)))
        result = reassembler.add(kind(on_their_way[sequence].pop(0)))
        if not on_their_way[sequence]:
            del on_their_way[sequence]
            got[sequence] = result
        else:
            assert result is None

    assert got == whole


@pytest.mark.parametrize(("length", "pieces"), [(0, [0]), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])])
def test_a_message_is_split_as_the_chapter_has_it(length, pieces):
    fragments = list(split(7, b"control", b"x" * length, 4))

    count = len(pieces)
    assert fragments[0] == first(7, count, b"control" + b"x" * pieces[0])
    assert fragments[1:] == [
        following(7, count - place, b"x" * piece) for place, piece in enumerate(pieces[1:], start=1)
    ]


@pytest.mark.parametrize("frame", [b"", b"p", b"\x83", b"p\x83h\1", b"\x83D\0h\1", b"qE" + bytes(30)])
def test_what_is_no_fragment_comes_back_as_it_is(frame):
    assert Reassembler().add(frame) is frame


def test_a_message_of_one_fragment_is_whole():
    assert Reassembler().add(first(1, 1)) == first(1, 1)


def test_messages_that_are_no_fragments_pass_between():
    reassembler = Reassembler()

    assert reassembler.add(first(1, 2)) is None
    assert reassembler.add(b"p\x83h\0") == b"p\x83h\0"
    assert reassembler.add(following(1, 1)) == first(1, 2) + b"next"


def test_a_sequence_may_be_used_again_once_its_message_is_whole():
    reassembler = Reassembler()

    for _ in range(3):
        assert reassembler.add(first(1, 2)) is None
        assert reassembler.add(following(1, 1, b"end")) == first(1, 2) + b"end"


def test_later_fragments_may_be_longer_than_the_first():
    reassembler = Reassembler()
    reassembler.add(first(1, 3, b""))

    assert reassembler.add(following(1, 2, b"x" * 1000)) is None
    assert reassembler.add(following(1, 1, b"y" * 1000)) == first(1, 3, b"") + b"x" * 1000 + b"y" * 1000


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([following(1, 1)], id="without-a-first"),
        pytest.param([first(1, 3), following(1, 1)], id="one-left-out"),
        pytest.param([first(1, 3), following(1, 3)], id="the-first-number-again"),
        pytest.param([first(1, 3), following(1, 2), following(1, 2)], id="one-twice"),
        pytest.param([first(1, 3), following(2, 2)], id="of-another-message"),
        pytest.param([first(1, 2), following(1, 1), following(1, 0)], id="one-too-many"),
        pytest.param([first(1, 2), first(1, 2)], id="begun-twice"),
        pytest.param([first(1, 0)], id="no-fragments-at-all"),
        pytest.param([first(1, 2**64 - 1)], id="more-than-there-is-memory"),
        pytest.param([first(1, 2)[:17]], id="first-cut-short"),
        pytest.param([first(1, 2), following(1, 1)[:17]], id="next-cut-short"),
    ],
)
def test_fragments_out_of_order_are_a_protocol_error(frames):
    reassembler = Reassembler()

    *before, last = frames
    for frame in before:
        reassembler.add(frame)
    with pytest.raises(ProtocolError):
        reassembler.add(last)


def test_a_message_beyond_the_limit_is_refused_by_its_first_fragment():
    with pytest.raises(ProtocolError, match="limit of 100"):
        Reassembler(max_message=100).add(first(1, 10, b"x" * 10))


def test_a_message_that_grows_beyond_the_limit_is_refused():
    reassembler = Reassembler(max_message=100)
    reassembler.add(first(1, 3, b""))
    reassembler.add(following(1, 2, b"x" * 50))

    with pytest.raises(ProtocolError, match="limit of 100"):
        reassembler.add(following(1, 1, b"x" * 50))


def test_a_message_of_just_the_limit_is_taken():
    reassembler = Reassembler(max_message=100)
    reassembler.add(first(1, 2, b""))

    assert len(reassembler.add(following(1, 1, b"x" * 81))) == 100


def test_messages_that_never_end_are_not_kept_without_end():
    reassembler = Reassembler()

    def begin_many():
        for sequence in range(10_000):
            reassembler.add(first(sequence, 2))

    with pytest.raises(ProtocolError):
        begin_many()


@given(st.lists(st.binary(max_size=40).map(lambda data: b"\x83" + data), max_size=8))
@settings(max_examples=80)
def test_garbage_is_refused_or_taken_and_nothing_else(frames):
    reassembler = Reassembler()
    for frame in frames:
        try:
            result = reassembler.add(frame)
        except ProtocolError:
            continue
        assert result is None or bytes(result[:1]) == b"\x83"
