"""The codec against a real `erl`, both ways; Erlang's =:= is the judge of what is the same term."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from beam import beam_program, seen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vendor_term_codec import (
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    Port,
    Reference,
    decode,
    encode,
    encode_term,
)

SOURCE = Path(__file__).with_name("erl_port.erl")
SEEDS_PER_CASE = 300


class Erlang:
    """One `erl` that answers requests; see erl_port.erl."""

    def __init__(self, folder):
        source = shutil.copy(SOURCE, folder)
        subprocess.run([*beam_program("erlc"), "-o", seen(folder), seen(Path(source))], check=True)
        command = [*beam_program("erl"), "-noshell", "-boot", "start_clean"]
        command += ["-pa", seen(folder), "-s", "erl_port", "main"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        self.process.stdin.write(struct.pack(">I", len(request)) + request)
        self.process.stdin.flush()
        (length,) = struct.unpack(">I", self.process.stdout.read(4))
        return self.process.stdout.read(length)

    def is_text(self, encoded, text):
        return self.ask(b"T" + struct.pack(">I", len(encoded)) + encoded + text.encode() + b".")

    def are_same(self, first, second):
        return self.ask(b"E" + struct.pack(">I", len(first)) + first + second)

    def random_term(self, seed, options):
        return self.ask(b"R" + struct.pack(">I", seed) + encode(options))

    def evaluate(self, text):
        return self.ask(b"S" + text.encode() + b".")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def erlang(beam_folder):
    folder = beam_folder / "codec"
    folder.mkdir()
    other_side = Erlang(folder)
    yield other_side
    other_side.close()


def quoted(name):
    return "'" + "".join(f"\\x{{{ord(character):x}}}" for character in name) + "'"


def binary(raw):
    return "<<" + ",".join(map(str, raw)) + ">>"


def erl_text(value):
    """The Erlang source of what `value` should become: the table in the docs, written a second time."""
    if value is None or value is True or value is False:
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, Atom):
        return quoted(value)
    if isinstance(value, str):
        return binary(value.encode())
    if isinstance(value, bytes):
        return binary(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"(fun() -> <<F/float>> = {binary(struct.pack('>d', value))}, F end)()"
    if isinstance(value, tuple):
        return "{" + ",".join(map(erl_text, value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(erl_text, value)) + "]"
    if isinstance(value, dict | PairsMap):
        return "#{" + ",".join(f"{erl_text(key)} => {erl_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, ImproperList):
        return "[" + ",".join(map(erl_text, value.elements)) + "|" + erl_text(value.tail) + "]"
    if isinstance(value, BitString):
        last = value.data[-1] >> (8 - value.bits)
        return "<<" + ",".join([*map(str, value.data[:-1]), f"{last}:{value.bits}"]) + ">>"
    assert isinstance(value, Export)
    return f"fun {quoted(value.module)}:{quoted(value.function)}/{value.arity}"


characters = st.characters(exclude_categories=["Cs"])
finite = st.floats(allow_nan=False, allow_infinity=False)
atoms = st.text(characters, max_size=12).map(Atom)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-300, 300),
    st.integers(-(2**70), 2**70),
    st.integers(-(2**2100), 2**2100),
    finite,
    st.text(characters, max_size=20),
    st.binary(max_size=20),
    atoms,
    st.builds(BitString, st.binary(min_size=1, max_size=5), st.integers(1, 7)),
    st.builds(Export, atoms, atoms, st.integers(0, 255)),
    st.lists(st.integers(0, 255), max_size=60),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=60),
    st.lists(finite, max_size=60),
)
keys = st.one_of(
    st.text(characters, max_size=6), atoms, st.integers(), st.lists(st.integers(0, 9), max_size=3).map(tuple)
)
terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(keys, inner, max_size=5),
        st.builds(ImproperList, st.lists(inner, min_size=1, max_size=3), st.one_of(atoms, st.integers())),
    ),
    max_leaves=12,
)


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(value=terms)
def test_what_python_encodes_is_the_intended_term(erlang, value):
    assert erlang.is_text(encode(value), erl_text(value)) == b"true"


OPTIONS = [
    [],
    [(Atom("minor_version"), 0)],
    [(Atom("minor_version"), 1)],
    [(Atom("minor_version"), 2)],
    [Atom("compressed")],
    [(Atom("compressed"), 9), (Atom("minor_version"), 1)],
    [Atom("deterministic")],
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_erlang_encodes_comes_back_the_same(erlang, options):
    first = OPTIONS.index(options) * SEEDS_PER_CASE
    for seed in range(first, first + SEEDS_PER_CASE):
        data = erlang.random_term(seed, options)
        assert data[0] == 131, data
        for arguments in ({}, {"binaries": memoryview, "arrays": True}):
            assert erlang.are_same(data, encode(decode(data, **arguments))) == b"true", seed


@pytest.mark.parametrize("seed", range(100))
def test_every_truncation_of_what_erlang_encodes_is_a_decode_error(erlang, seed):
    data = erlang.random_term(seed, [])
    step = max(1, len(data) // 100)
    for end in range(0, len(data), step):
        with pytest.raises(ValueError, match=r"\w+ \w+"):
            decode(data[:end])


INTEGERS = sorted(
    {
        sign * (2**power) + near
        for power in (0, 8, 16, 27, 28, 31, 32, 59, 60, 63, 64, 2039, 2040, 2048)
        for sign in (1, -1)
        for near in (-1, 0, 1)
    }
)


@pytest.mark.parametrize(
    "value",
    [
        *INTEGERS,
        [],
        (),
        {},
        "",
        0.0,
        5e-324,
        1.7976931348623157e308,
        Atom(""),
        Atom("x" * 255),
        Atom("é" * 127),
        Atom("é" * 128),
        Atom("日" * 255),
        ("j",) * 255,
        ("j",) * 256,
        [7] * 65535,
        [7] * 65536,
        [Atom("a")] * 65536,
        [0.5] * 5000,
        [2**31 - 1, -(2**31)] * 3000,
        "x" * 65536,
        {index: index for index in range(5000)},
        PairsMap([(1, 2), (1.0, 3), (True, 4), ([], 5), ({"a": []}, 6)]),
    ],
    ids=lambda value: (
        repr(value)[:20] if not isinstance(value, int) else f"int of {value.bit_length()} bits {value % 8}"
    ),
)
def test_the_corner_values_of_each_tag(erlang, value):
    encoded = encode(value)
    assert erlang.is_text(encoded, erl_text(value)) == b"true"
    from_erlang = erlang.evaluate(erl_text(value))
    decoded = decode(from_erlang)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.linspace(-5, 5, 24).reshape(2, 3, 4),
        np.arange(24, dtype=np.uint8).reshape(4, 6),
        np.arange(24).reshape(2, 3, 4) * 5000,
        np.arange(-12, 12) * 2**58,
        np.array([0, 2**63, 2**64 - 1], np.uint64),
        np.array([-(2**63), 2**63 - 1, 0, 1, -1]),
        np.array([[True, False]]),
        np.zeros((2, 0)),
        np.array([0.1], np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_are_the_lists_of_their_numbers(erlang, array):
    assert erlang.is_text(encode(array), erl_text(array.tolist())) == b"true"


def test_identifiers_made_in_python(erlang):
    node = "me@é"
    for value, text in [
        (Pid(node, 123, 4, 2**32 - 1), b"<"),
        (Port(node, 2**33, 77), b"#Port<"),
        (Reference(node, 77, [1, 2, 3]), b"#Ref<"),
    ]:
        printed = erlang.ask(b"T" + struct.pack(">I", len(encode(value))) + encode(value) + b"x.")
        assert printed.startswith(b"false: " + text), printed
        assert erlang.are_same(encode(value), encode(decode(encode(value)))) == b"true"


def test_a_fun_keeps_what_it_closed_over(erlang):
    data = erlang.evaluate("X = {a, [1.5]}, fun(Y) -> {X, Y} end")
    value = decode(data)
    assert isinstance(value, Fun)
    assert value.arity == 1
    assert isinstance(value.pid, Pid)
    assert erlang.are_same(data, encode(value)) == b"true"
    nested = encode([value, (encode_term(1), value)])
    assert decode(nested)[0] == value


def test_a_local_reference_is_the_same_after_a_round_trip(erlang):
    for text in ("self()", "hd(erlang:ports())", "fun erlang:self/0"):
        data = erlang.evaluate(text)
        assert erlang.is_text(encode(decode(data)), text) == b"true"
