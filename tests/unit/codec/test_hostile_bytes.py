"""Valid encodings with something wrong in them: what comes out is a value or a DecodeError, the same in every mode."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vendor_term_codec import (
    Atom,
    BitString,
    DecodeError,
    Export,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    Port,
    Reference,
    decode,
    decode_term,
    encode,
)
from vendor_term_codec.types import exact

PID = Pid("a@b", 1, 2, 3)
SEEDS = [
    encode(value)
    for value in (
        [None, True, Atom("é" * 200), "text", b"\xff"],
        [0, 256, -1, 2**70, -(2**63), 2**2048],
        ([1.5] * 20, [70_000] * 20, [200] * 20, [0.5, 1.5]),
        {"a": {Atom("b"): [1, {}]}, (1, "k"): 2.5},
        PairsMap([(1, "int"), (1.0, "float"), ([], {"a": []}), ({"k": 1}, 2)]),
        ImproperList([1, [2]], Atom("tail")),
        [PID, Port("a@b", 2**33, 7), Reference("a@b", 1, [2, 3, 4])],
        (BitString(b"ab", 3), Export("lists", "map", 2), Fun(1, bytes(16), 2, "m", 3, 4, PID, (1, ["a"]))),
    )
]
MODES = [(binaries, arrays) for binaries in (str, bytes, memoryview) for arrays in (False, True)]

places = st.integers(0, 10_000)
flips = st.tuples(st.just("flip"), places, st.integers(1, 255))
cuts = st.tuples(st.just("cut"), places, st.integers(1, 20))
inserts = st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=8))
splices = st.tuples(st.just("splice"), places, st.sampled_from(SEEDS), places)


def changed(data, change):
    """`data` with one change behind the version byte."""
    kind, place, *how = change
    at = 1 + place % max(1, len(data) - 1)
    if kind == "flip":
        return data[:at] + bytes(byte ^ how[0] for byte in data[at : at + 1]) + data[at + 1 :]
    if kind == "cut":
        return data[:at] + data[at + how[0] :]
    if kind == "insert":
        return data[:at] + how[0] + data[at:]
    other, begin = how
    return data[:at] + other[1 + begin % len(other) :]


def outcome(data, binaries, arrays):
    try:
        value, end = decode_term(data, 1, binaries=binaries, arrays=arrays)
    except DecodeError:
        return None
    encoded = encode(value)
    assert exact(decode(encoded, binaries=binaries, arrays=arrays)) == exact(value)
    return end, exact(value)


@settings(max_examples=1000)
@given(data=st.sampled_from(SEEDS), changes=st.lists(st.one_of(flips, cuts, inserts, splices), min_size=1, max_size=4))
def test_a_changed_encoding_is_a_value_or_a_decode_error_in_every_mode(data, changes):
    for change in changes:
        data = changed(data, change)
    outcomes = [outcome(buffer, *mode) for mode in MODES for buffer in (data, bytearray(data))]
    assert len(set(outcomes)) == 1


@pytest.mark.parametrize("data", SEEDS, ids=range(len(SEEDS)))
def test_every_flip_of_one_byte_is_a_value_or_a_decode_error(data):
    read = refused = 0
    for at in range(1, len(data)):
        for mask in (1, 0x80, 0xFF):
            if outcome(changed(data, ("flip", at - 1, mask)), str, False) is None:
                refused += 1
            else:
                read += 1
    assert read > 0
    assert refused > 0
