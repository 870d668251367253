"""Every tag, both ways: the bytes that a release writes, the value they mean, the bytes that go back."""

import struct
import zlib

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
    Pid,
    Port,
    Reference,
    decode,
    decode_term,
    encode,
    encode_term,
    list_header,
    tuple_header,
)

NODE = b"w\x03a@b"
OLD_NODE = b"d\x00\x03a@b"
PID = Pid("a@b", 5, 6, 3)


def b(*parts):
    return b"\x83" + b"".join(part if isinstance(part, bytes) else bytes([part]) for part in parts)


# (bytes, value, whether the value encodes to the very same bytes)
TERMS = [
    (b(97, 0), 0, True),
    (b(97, 255), 255, True),
    (b(98, b"\0\0\1\0"), 256, True),
    (b(98, b"\xff\xff\xff\xff"), -1, True),
    (b(98, b"\0\0\0\5"), 5, False),
    (b(98, b"\x7f\xff\xff\xff"), 2**31 - 1, True),
    (b(98, b"\x80\0\0\0"), -(2**31), True),
    (b(110, 4, 0, b"\0\0\0\x80"), 2**31, True),
    (b(110, 4, 1, b"\1\0\0\x80"), -(2**31) - 1, True),
    (b(110, 8, 0, b"\xff" * 8), 2**64 - 1, True),
    (b(110, 0, 0), 0, False),
    (b(110, 2, 0, b"\5\0"), 5, False),
    (b(110, 255, 0, b"\xff" * 255), 2**2040 - 1, True),
    (b(111, b"\0\0\1\0", 1, bytes(255), b"\1"), -(2**2040), True),
    (b(70, b"\x3f\xf8", bytes(6)), 1.5, True),
    (b(99, b"1.50000000000000000000e+00", bytes(5)), 1.5, False),
    (b(99, b"-2.22507385850720138309e-308", bytes(3)), -2.2250738585072014e-308, False),
    (b(119, 2, b"ok"), Atom("ok"), True),
    (b(119, 0), Atom(""), True),
    (b(119, 255, b"x" * 255), Atom("x" * 255), True),
    (b(118, b"\1\xfe", "é".encode() * 255), Atom("é" * 255), True),
    (b(118, b"\0\2ok"), Atom("ok"), False),
    (b(100, b"\0\2ok"), Atom("ok"), False),
    (b(100, b"\0\1\xe9"), Atom("é"), False),
    (b(115, 1, b"\xe9"), Atom("é"), False),
    (b(119, 3, b"nil"), None, True),
    (b(119, 4, b"true"), True, True),
    (b(119, 5, b"false"), False, True),
    (b(100, b"\0\4true"), True, False),
    (b(106), [], True),
    (b(107, b"\0\3abc"), [97, 98, 99], True),
    (b(107, b"\0\0"), [], False),
    (b(108, b"\0\0\0\1", b"w\1a", 106), [Atom("a")], True),
    (b(108, b"\0\0\0\1", b"a\1", 106), [1], False),
    (b(108, b"\0\0\0\1", b"w\1a", b"a\1"), ImproperList([Atom("a")], 1), True),
    (b(108, b"\0\0\0\1", b"w\1a", b"h\1a\1"), ImproperList([Atom("a")], (1,)), True),
    (b(108, b"\0\0\0\1", b"w\1a", b"l\0\0\0\1w\1bj"), [Atom("a"), Atom("b")], False),
    (b(108, b"\0\0\0\1", b"w\1a", b"l\0\0\0\1w\1ba\7"), ImproperList([Atom("a"), Atom("b")], 7), False),
    (b(108, b"\0\0\0\1", b"w\1a", b"k\0\2\1\2"), [Atom("a"), 1, 2], False),
    (b(108, b"\0\0\0\0", b"a\7"), 7, False),
    (b(108, b"\0\0\0\0", 106), [], False),
    (b(104, 0), (), True),
    (b(104, 2, b"a\1", b"a\2"), (1, 2), True),
    (b(105, b"\0\0\0\2", b"a\1", b"a\2"), (1, 2), False),
    (b(105, b"\0\0\1\0", b"j" * 256), ([],) * 256, True),
    (b(116, b"\0\0\0\0"), {}, True),
    (b(116, b"\0\0\0\1", b"a\1", b"j"), {1: []}, True),
    (b(109, b"\0\0\0\0"), "", True),
    (b(109, b"\0\0\0\2", "é".encode()), "é", True),
    (b(109, b"\0\0\0\1", b"\xff"), b"\xff", True),
    (b(77, b"\0\0\0\2", 3, b"\1\xe0"), BitString(b"\1\xe0", 3), True),
    (b(77, b"\0\0\0\2", 3, b"\1\xff"), BitString(b"\1\xe0", 3), False),
    (b(77, b"\0\0\0\2", 8, b"ab"), "ab", False),
    (b(77, b"\0\0\0\0", 0), "", False),
    (b(88, NODE, b"\0\0\0\5\0\0\0\6\0\0\0\3"), PID, True),
    (b(88, OLD_NODE, b"\0\0\0\5\0\0\0\6\0\0\0\3"), PID, False),
    (b(103, OLD_NODE, b"\0\0\0\5\0\0\0\6\3"), PID, False),
    (b(120, NODE, b"\0\0\0\1\0\0\0\5\0\0\0\3"), Port("a@b", 2**32 + 5, 3), True),
    (b(89, OLD_NODE, b"\0\0\0\5\0\0\0\3"), Port("a@b", 5, 3), False),
    (b(102, OLD_NODE, b"\0\0\0\5\3"), Port("a@b", 5, 3), False),
    (b(90, b"\0\3", NODE, b"\0\0\0\3\0\0\0\5\0\0\0\6\0\0\0\7"), Reference("a@b", 3, [5, 6, 7]), True),
    (b(90, b"\0\5", NODE, b"\0\0\0\3", b"\0\0\0\5" * 5), Reference("a@b", 3, [5] * 5), True),
    (b(114, b"\0\2", OLD_NODE, b"\3\0\0\0\5\0\0\0\6"), Reference("a@b", 3, [5, 6]), False),
    (b(101, OLD_NODE, b"\0\0\0\5\3"), Reference("a@b", 3, [5]), False),
    (b(113, b"w\1m", b"w\1f", b"a\2"), Export("m", "f", 2), True),
    (b(113, b"w\3nil", b"w\4true", b"a\2"), Export("nil", "true", 2), True),
    (
        b(112, struct.pack(">IB16sII", 56, 1, bytes(range(16)), 7, 1), b"w\1m", b"a\1", b"a\2", PID.ext, b"a\x09"),
        Fun(1, bytes(range(16)), 7, "m", 1, 2, PID, (9,)),
        True,
    ),
    (b(80, b"\0\0\0\x67", zlib.compress(b"k\0\x64" + b"\1" * 100)), [1] * 100, False),
]


@pytest.mark.parametrize(("data", "value", "same"), TERMS, ids=lambda x: x[:12].hex() if type(x) is bytes else "")
def test_each_tag_means_its_value_and_the_value_goes_back(data, value, same):
    decoded = decode(data)
    assert decoded == value
    assert type(decoded) is type(value)
    assert decode(encode(value)) == value
    assert (encode(value) == data) is same


@pytest.mark.parametrize(("data", "value", "same"), TERMS, ids=lambda x: x[:12].hex() if type(x) is bytes else "")
@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_each_kind_of_buffer_is_read_alike(data, value, same, container):
    assert decode(container(data)) == value


@pytest.mark.parametrize(("data", "value", "same"), TERMS, ids=lambda x: x[:12].hex() if type(x) is bytes else "")
def test_every_truncation_is_a_decode_error(data, value, same):
    for end in range(len(data)):
        for options in ({}, {"binaries": memoryview, "arrays": True}):
            with pytest.raises(DecodeError):
                decode(data[:end], **options)


@pytest.mark.parametrize(("data", "value", "same"), TERMS, ids=lambda x: x[:12].hex() if type(x) is bytes else "")
def test_a_byte_too_many_is_a_decode_error(data, value, same):
    with pytest.raises(DecodeError, match="1 bytes follow"):
        decode(data + b"\0")


atoms = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    .filter(lambda name: name not in ("nil", "true", "false"))
    .map(Atom)
)
nodes = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
words = st.integers(0, 2**32 - 1)
signed = st.integers(-(2**31), 2**31 - 1)
pids = st.builds(Pid, nodes, words, words, words)
# bytes that are valid UTF-8 would come back as str
not_text = st.binary(max_size=20).map(lambda raw: b"\xff" + raw)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-300, 300),
    st.integers(),
    st.integers(-(2**600), 2**600),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    not_text,
    atoms,
    pids,
    st.builds(Port, nodes, st.integers(0, 2**64 - 1), words),
    st.builds(Reference, nodes, words, st.lists(words, min_size=1, max_size=5)),
    st.builds(BitString, st.binary(min_size=1, max_size=5), st.integers(1, 7)),
    st.builds(Export, atoms, atoms, st.integers(0, 255)),
    st.lists(st.integers(0, 255), max_size=400),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=400),
    st.lists(st.integers(-(2**65), 2**65), max_size=40),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=600),
)


def containers(inner):
    return st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(
            st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), atoms, st.integers()),
            inner,
            max_size=6,
        ),
        st.builds(ImproperList, st.lists(inner, min_size=1, max_size=4), st.one_of(atoms, st.integers(), pids)),
        st.builds(
            Fun,
            st.integers(0, 255),
            st.binary(min_size=16, max_size=16),
            words,
            atoms,
            signed,
            signed,
            pids,
            st.lists(inner, max_size=3).map(tuple),
        ),
    )


terms = st.recursive(leaves, containers, max_leaves=25)


@settings(max_examples=400)
@given(terms)
def test_any_value_comes_back_equal(value):
    data = encode(value)
    assert decode(data) == value
    assert encode(decode(data)) == data
    assert data == b"\x83" + encode_term(value)


@settings(max_examples=200)
@given(terms, st.data())
def test_no_prefix_and_no_changed_byte_raises_anything_but_decode_error(value, data):
    raw = bytearray(encode(value))
    end = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(DecodeError):
        decode(bytes(raw[:end]))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for options in ({}, {"binaries": bytes}, {"binaries": memoryview, "arrays": True}):
        try:
            decoded = decode(raw, **options)
        except DecodeError:
            continue
        assert decode(encode(decoded), **options) is not NotImplemented


TAGS = [70, 77, 80, 82, *range(88, 91), *range(97, 117), *range(118, 122)]


@settings(max_examples=1000)
@given(
    st.lists(st.one_of(st.sampled_from([bytes([tag]) for tag in TAGS]), st.binary(max_size=5), st.just(b"\0\0\0\2")))
)
def test_random_bytes_raise_nothing_but_decode_error(parts):
    data = b"\x83" + b"".join(parts)
    for options in ({}, {"binaries": bytes}, {"binaries": memoryview, "arrays": True}):
        try:
            decoded = decode(data, **options)
        except DecodeError:
            continue
        assert encode(decoded)[0] == 131


@settings(max_examples=200)
@given(terms, terms)
def test_terms_are_read_one_after_the_other(first, second):
    data = b"xx" + encode_term(first) + encode_term(second)
    value, offset = decode_term(data, 2)
    assert value == first
    assert decode_term(memoryview(data), offset) == (second, len(data))


def test_the_headers_of_tuples_and_lists():
    assert tuple_header(b"zh\2", 1) == (2, 3)
    assert tuple_header(memoryview(b"i\0\1\0\0"), 0) == (65536, 5)
    assert list_header(b"zj", 1) == (0, 2)
    assert list_header(b"l\0\0\0\3", 0) == (3, 5)


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (tuple_header, b"j", r"a tuple was expected at offset 0, not NIL_EXT \(106\)"),
        (tuple_header, b"h", "the data end at offset 1, where a tuple was expected"),
        (tuple_header, b"i\0\0", "the data end at offset 3, where a tuple was expected"),
        (list_header, b"k\0\0", r"a list was expected at offset 0, not STRING_EXT \(107\)"),
        (list_header, b"\1", "a list was expected at offset 0, not tag 1"),
        (list_header, b"", "the data end at offset 0, where a list was expected"),
    ],
)
def test_the_headers_say_what_else_stands_there(read, data, message):
    with pytest.raises(DecodeError, match=message):
        read(data, 0)
