"""Hostile bytes and unsupported values raise exceptions with clear messages, never crash."""

import enum
import struct
import sys
import threading
import tracemalloc
import zlib
from collections import OrderedDict, defaultdict, namedtuple

import pytest

from vendor_term_codec import (
    Atom,
    DecodeError,
    EncodeError,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    decode,
    decode_term,
    encode,
    encode_term,
    list_header,
    tuple_header,
)
from vendor_term_codec.decoder import MAX_CACHED_ATOMS, MAX_DEPTH, MAX_INFLATED, MAX_KEY_DEPTH
from vendor_term_codec.decoder import _latin1_atoms as latin1_atoms
from vendor_term_codec.decoder import _utf8_atoms as utf8_atoms

LIST_OF_ONE = b"l\0\0\0\1"
TUPLE_OF_ONE = b"h\1"
MAP_OF_ONE = b"t\0\0\0\1a\1"

DECODE_ERRORS = [
    (b"", "no data"),
    (b"\x84", "begins with the byte 131, not with 132"),
    (b"\x83", "the data end at offset 1, where a term was expected"),
    (b"\x83\x01", "tag 1 at offset 1 is not supported"),
    (b"\x83h\x02a\x01R\x00", r"ATOM_CACHE_REF \(82\) at offset 5 is not supported"),
    (b"\x83y\0\0\0\0j", r"LOCAL_EXT \(121\) at offset 1: only the runtime system that encoded this term"),
    (b"\x83h\x02a\x01b\0\0", r"the data end inside INTEGER_EXT \(98\) at offset 5"),
    (b"\x83h\x02a\x01a", r"the data end inside SMALL_INTEGER_EXT \(97\) at offset 5"),
    (b"\x83m\0\0\0\x05abcd", r"the data end inside BINARY_EXT \(109\) at offset 1"),
    (b"\x83l\xff\xff\xff\xffaaaaaaaaaa", r"LIST_EXT \(108\) at offset 1 needs 4294967295 terms, but 10 bytes are left"),
    (b"\x83t\xff\xff\xff\xffaa", r"MAP_EXT \(116\) at offset 1 needs 8589934590 terms"),
    (b"\x83i\xff\xff\xff\xff", r"LARGE_TUPLE_EXT \(105\) at offset 1 needs 4294967295 terms, but 0 bytes are left"),
    (b"\x83l\0\0\0\x01jl\xff\xff\xff\xff", r"LIST_EXT \(108\) at offset 7 needs 4294967295 terms"),
    (b"\x83F\x7f\xf0" + bytes(6), "the float at offset 1 is nan or infinite"),
    (b"\x83F\xff\xf8" + bytes(6), "the float at offset 1 is nan or infinite"),
    (b"\x83l\0\0\0\2F" + bytes(8) + b"F\x7f\xf8" + bytes(6) + b"j", "the float at offset 15 is nan or infinite"),
    (b"\x83i\0\0\0\x20" + (b"F" + bytes(8)) * 31 + b"F\xff\xf0" + bytes(6), "the float at offset 285 is nan"),
    (b"\x83cinf" + bytes(28), "the float at offset 1 is nan or infinite"),
    (b"\x83c1.5x" + bytes(27), r"FLOAT_EXT \(99\) at offset 1 does not contain a number"),
    (b"\x83w\2\xc3\x28", "the atom at offset 1 is not valid UTF-8"),
    (b"\x83v\1\0" + b"x" * 256, "an atom has 256 characters"),
    (b"\x83Xa\1", "the name of a node was expected at offset 2, not SMALL_INTEGER_EXT"),
    (b"\x83Xv\1\0" + b"x" * 256 + bytes(12), "an atom has at most 255 characters"),
    (b"\x83Z\0\6w\1a" + bytes(28), "the reference at offset 1 has 6 words"),
    (b"\x83Z\0\0w\1a" + bytes(4), "the reference at offset 1 has 0 words"),
    (b"\x83M\0\0\0\1\x09a", r"BIT_BINARY_EXT \(77\) at offset 1 has 1 bytes and 9 bits"),
    (b"\x83M\0\0\0\0\x05", r"BIT_BINARY_EXT \(77\) at offset 1 has 0 bytes and 5 bits"),
    (b"\x83qa\1w\1fa\1", r"EXPORT_EXT \(113\) that ends at offset 9 is malformed"),
    (
        b"\x83p" + struct.pack(">IB16sII", 99, 0, bytes(16), 0, 0) + b"w\1ma\1a\1X\x77\1a" + bytes(12),
        "NEW_FUN_EXT .* malformed",
    ),
    (b"\x83t\0\0\0\2a\1jb\0\0\0\1j", "a map contains the same key twice"),
    (b"\x83P\0\0\0\1", "does not inflate"),
    (b"\x83P\0\0\0\1abcdefgh", "does not inflate: "),
    (b"\x83P\0\0", "the data end inside COMPRESSED"),
    (b"\x83P\0\0\0\3" + zlib.compress(b"a\1"), "does not inflate to the 3 bytes"),
    (b"\x83P\0\0\0\1" + zlib.compress(b"a\1"), "does not inflate to the 1 bytes"),
    (b"\x83P\0\0\0\2" + zlib.compress(b"a\1") + b"zz", "2 bytes follow the compressed term"),
    (b"\x83P\0\0\0\2" + zlib.compress(b"a\1")[:-1], "does not inflate to the 2 bytes"),
    (
        b"\x83P\xff\xff\xff\xff" + zlib.compress(b"a\1"),
        f"a compressed term has 4294967295 bytes; the limit is {MAX_INFLATED}",
    ),
    (b"\x83" + LIST_OF_ONE * (MAX_DEPTH + 1) + b"j" * (MAX_DEPTH + 2), "nested deeper than 10000 levels"),
    (b"\x83" + b"t\0\0\0\1" + TUPLE_OF_ONE * (MAX_KEY_DEPTH + 1) + b"jj", "nested deeper than .* key: 64"),
]


@pytest.mark.parametrize(("data", "message"), DECODE_ERRORS, ids=[message[:40] for _, message in DECODE_ERRORS])
def test_what_a_decode_error_says(data, message):
    with pytest.raises(DecodeError, match=message):
        decode(data)


@pytest.mark.parametrize("opening", [LIST_OF_ONE, TUPLE_OF_ONE, MAP_OF_ONE], ids=["list", "tuple", "map"])
def test_nesting_up_to_the_limit_whatever_the_depth_of_the_caller(opening):
    closing = b"j" if opening is LIST_OF_ONE else b""
    data = b"\x83" + opening * MAX_DEPTH + b"j" + closing * MAX_DEPTH

    def deeper(levels):
        if levels:
            return deeper(levels - 1)
        return encode(decode(data)) == data

    assert deeper(sys.getrecursionlimit() - 300)


def test_a_deep_key_of_a_map():
    data = (
        b"\x83t\0\0\0\2"
        + TUPLE_OF_ONE * MAX_KEY_DEPTH
        + b"a\1w\1x"
        + TUPLE_OF_ONE * MAX_KEY_DEPTH
        + b"F\x3f\xf0"
        + bytes(6)
        + b"w\1y"
    )
    value = decode(data)
    assert type(value) is PairsMap
    assert encode(value) == data


def test_a_tail_that_is_a_list_nests_nothing():
    data = b"\x83" + (LIST_OF_ONE + b"a\1") * 50_000 + b"j"
    assert decode(data) == [1] * 50_000


def test_a_bomb_does_not_inflate_beyond_its_stated_size():
    bomb = b"\x83P" + struct.pack(">I", 1000) + zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="does not inflate to the 1000 bytes"):
            decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_keys_made_to_collide_are_kept_without_hashing_them_into_one_bucket():
    keys = [(2**61 - 1) * factor for factor in range(1, 5001)]
    data = b"\x83t" + struct.pack(">I", len(keys)) + b"".join(encode_term(key) + b"j" for key in keys)
    value = decode(data)
    assert type(value) is PairsMap
    assert list(value) == keys


def test_the_atom_cache_is_bounded():
    for number in range(2 * MAX_CACHED_ATOMS + 10):
        name = f"cached_{number}"
        assert decode(b"\x83w" + bytes([len(name)]) + name.encode()) == Atom(name)
        assert decode(b"\x83s" + bytes([len(name)]) + name.encode()) == Atom(name)
    assert len(utf8_atoms) <= MAX_CACHED_ATOMS
    assert len(latin1_atoms) <= MAX_CACHED_ATOMS


def test_a_cached_atom_is_not_cut_short():
    assert decode(b"\x83w\3abc") == Atom("abc")
    with pytest.raises(DecodeError):
        decode(b"\x83w\4abc")


def test_threads_share_the_caches():
    results = []

    def work():
        for number in range(500):
            value = [Atom(f"shared_{number}"), {"key": number}]
            results.append(decode(encode(value)) == value)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 2000


class Widget:
    pass


Point = namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 3


class Shape(enum.StrEnum):
    CUBE = "cube"


class Loud(Atom):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, Point(2.0, "a")), (1, (2.0, "a"))),
        (Colour.RED, 3),
        ([Colour.RED, 4], [3, 4]),
        (Shape.CUBE, "cube"),
        (Loud("x"), Atom("x")),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        ([True, 1, 2], [True, 1, 2]),
        ([1, True], [1, True]),
        ([1.0] * 10 + [1], [1.0] * 10 + [1]),
        ([1] * 10 + [1.0], [1] * 10 + [1.0]),
        (bytearray(b"\xff"), b"\xff"),
        (memoryview(b"\xffab")[::2], b"\xffb"),
        ([300, 2**40] * 10, [300, 2**40] * 10),
        ([200] * 65535, [200] * 65535),
        ([200] * 65536, [200] * 65536),
        ([-1] + [200] * 20, [-1] + [200] * 20),
    ],
    ids=str,
)
def test_a_subclass_counts_as_its_base_and_numbers_keep_their_types(value, plain):
    decoded = decode(encode(value))
    assert decoded == plain
    assert type(decoded) is type(plain)
    if type(plain) is list:
        assert [type(item) for item in decoded] == [type(item) for item in plain]


def cycle():
    value = [1, "two"]
    value.append({"again": value})
    return value


def wide_cycle():
    value = ["x"] * 10_000
    value.append(value)
    return value


def too_deep():
    value = "x"
    for _ in range(10_001):
        value = (value,)
    return value


ENCODE_ERRORS = [
    ({"mesh": [1, 2, 3, Widget()]}, rf'^result\["mesh"\]\[3\]: cannot encode {__name__}.Widget$'),
    (Widget(), r"^result: cannot encode .*Widget$"),
    ({3: (Widget(),)}, r"^result\[3\]\[0\]: cannot encode"),
    ({Atom("k"): 1j}, r"^result\[Atom\('k'\)\]: cannot encode complex$"),
    ({'a"b': 1j}, r'^result\["a\\"b"\]: cannot encode complex$'),
    ({"x" * 500: 1j}, r'^result\["x{59}…\]: cannot encode complex$'),
    ({(1, Widget): 2}, r"^result \(a key\)\[1\]: cannot encode type$"),
    ({10**6000: 1j}, r"^result\[…\]: cannot encode complex$"),
    (ImproperList([1, 2j], 3), r"^result\.elements\[1\]: cannot encode complex$"),
    (ImproperList([1], 2j), r"^result\.tail: cannot encode complex$"),
    (PairsMap([(1, 2), (1.0, 2j)]), r"^result\[1\.0\]: cannot encode complex$"),
    (Fun(0, bytes(16), 0, "m", 0, 0, Pid("a", 1, 2, 3), (1, 2j)), r"^result\.free\[1\]: cannot encode complex$"),
    ({"a": 1, b"a": 2}, "^result: cannot encode a dict in which two keys are the same term"),
    ([{None: 1, Atom("nil"): 2}], r"^result\[0\]: cannot encode a dict in which two keys are the same term"),
    ({("a", 1): 1, (b"a", 1): 2}, "^result: cannot encode a dict in which two keys are the same term"),
    ({True: 1, Atom("true"): 2}, "^result: cannot encode a dict in which two keys are the same term"),
    ([1 << 8 * 524_280], r"^result\[0\]: cannot encode an integer of 524281 bytes; Erlang's limit is 524280$"),
    ((None,) * 2**24, r"^result: cannot encode a tuple of 16777216 elements; Erlang's limit is 16777215$"),
    (float("nan"), r"^result: nan has no Erlang term$"),
    ([1.0] * 20 + [float("-inf")], r"^result\[20\]: -inf has no Erlang term$"),
    (["ok", "\ud800"], r"^result\[1\]: cannot encode a str with a lone surrogate \('\\ud800'\)$"),
    (Atom("\ud800"), r"^result: cannot encode a str with a lone surrogate"),
    ([Atom("x" * 256)], r"^result\[0\]: cannot encode an Atom: an atom has at most 255 characters, this one has 256$"),
    (cycle(), r"a container that contains itself has no Erlang term$"),
    (wide_cycle(), r"a container that contains itself has no Erlang term$"),
    (too_deep(), r"^result(\[0\]){20}\[…\]: nested deeper than 10000 levels$"),
]


@pytest.mark.parametrize(("value", "message"), ENCODE_ERRORS, ids=[message[:40] for _, message in ENCODE_ERRORS])
def test_what_an_encode_error_says(value, message):
    for function in (encode, encode_term):
        with pytest.raises(EncodeError, match=message):
            function(value)


def test_default_is_asked_for_unknown_types_only():
    def default(value):
        if isinstance(value, Widget):
            return {"kind": "widget", "more": [2j]}
        if isinstance(value, complex) and value.real == 0:
            return [value.imag]
        raise TypeError(f"unknown: {value!r}")

    assert decode(encode([Widget(), 1], default=default)) == [{"kind": "widget", "more": [[2.0]]}, 1]
    with pytest.raises(EncodeError, match=r'^result\["a"\]: cannot encode complex$') as caught:
        encode({"a": 1 + 1j}, default=default)
    assert isinstance(caught.value.__cause__, TypeError)


def test_the_way_goes_on_inside_what_default_gave():
    with pytest.raises(EncodeError, match=r'^result\[1\]\["kind"\]\[0\]: cannot encode complex$'):
        encode([0, Widget()], default=lambda value: {"kind": [1j]} if isinstance(value, Widget) else value)


def test_a_default_that_never_ends_is_an_encode_error():
    with pytest.raises(EncodeError, match="nested deeper"):
        encode(Widget(), default=lambda value: Widget())


def test_other_exceptions_of_default_come_through():
    with pytest.raises(ZeroDivisionError):
        encode(Widget(), default=lambda value: 1 / 0)


def test_keys_that_only_look_alike_are_no_error():
    for value in ({"a": 1, b"b": 2}, {1: 1, "1": 2, None: 3, Atom("n"): 4}, {("a",): 1, ("b",): 2}, {True: 1, 2: 2}):
        assert decode(encode(value)) == decode(encode(PairsMap(value.items())))


def test_an_offset_is_not_negative():
    for function in (tuple_header, list_header, decode_term):
        with pytest.raises(ValueError, match="negative"):
            function(b"h\1j", -3)


def test_binaries_is_one_of_three():
    with pytest.raises(ValueError, match="binaries must be str, bytes or memoryview"):
        decode(b"\x83j", binaries=bytearray)
