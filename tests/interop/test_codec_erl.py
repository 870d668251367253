"""The codec against a real `erl`, both ways; Erlang's =:= is the judge of what is the same term."""

import random
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from beam import beam_program, seen

from beam_bpy.protocol import control, control_reader, control_writer
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.fragments import Reassembler, split
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
    encode_term,
)

SOURCE = Path(__file__).with_name("erl_port.erl")
BATCHES = range(60)
BATCH = 100


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

    def ask_all(self, requests):
        """The answers to many requests, which travel as one."""
        answers, found = self.ask(b"B" + b"".join(map(with_length, requests))), []
        while answers:
            (length,) = struct.unpack_from(">I", answers)
            found.append(answers[4 : 4 + length])
            answers = answers[4 + length :]
        assert len(found) == len(requests), found[:1]
        return found

    def is_text(self, encoded, text):
        return self.ask(asking_for_text(encoded, text))

    def are_same(self, first, second):
        return self.ask(asking_whether_same(first, second))

    def random_terms(self, seeds, options):
        """External terms that term_to_binary made with these options, one for each seed."""
        return self.ask_all([b"R" + struct.pack(">I", seed) + encode(options) for seed in seeds])

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


def with_length(raw):
    return struct.pack(">I", len(raw)) + raw


def asking_for_text(encoded, text):
    return b"T" + with_length(encoded) + text.encode() + b"."


def asking_whether_same(first, second):
    return b"E" + with_length(first) + second


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
    if isinstance(value, Export):
        return f"fun {quoted(value.module)}:{quoted(value.function)}/{value.arity}"
    return f"binary_to_term({binary(bytes((131,)) + identifier_bytes(value))})"


def identifier_bytes(value):
    """A pid, port, reference or fun field by field, for Erlang's source has no form of them."""
    if isinstance(value, Fun):
        head = struct.pack(">B16sII", value.arity, value.uniq, value.index, len(value.free))
        ints = [struct.pack(">Bi", 98, number) for number in (value.old_index, value.old_uniq)]
        rest = b"".join([long_atom(value.module), *ints, identifier_bytes(value.pid), *map(encode_term, value.free)])
        return struct.pack(">BI", 112, 4 + len(head) + len(rest)) + head + rest
    node = long_atom(value.node)
    if isinstance(value, Pid):
        return b"X" + node + struct.pack(">III", value.id, value.serial, value.creation)
    if isinstance(value, Port):
        return b"x" + node + struct.pack(">QI", value.id, value.creation)
    words = struct.pack(f">{len(value.ids)}I", *value.ids)
    return struct.pack(">BH", 90, len(value.ids)) + node + struct.pack(">I", value.creation) + words


def long_atom(name):
    raw = name.encode()
    return struct.pack(">BH", 118, len(raw)) + raw


class Terms:
    """Random values of all types that Python can encode, the same ones for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.leaves = [
            *(lambda: None, lambda: True, lambda: False),
            *(self.small, self.integer, self.floating, self.text, self.raw, self.atom),
            *(self.pid, self.port, self.reference, self.export, self.bits),
            *(self.run_of_bytes, self.run_of_integers, self.run_of_floats),
        ]
        self.containers = [self.list, self.tuple, self.dict, self.pairs, self.improper, self.fun]

    def term(self, depth=3):
        if depth and self.random.random() < 0.6:
            return self.random.choice(self.containers)(depth - 1)
        return self.random.choice(self.leaves)()

    def terms(self, depth, least=0):
        return [self.term(depth) for _ in range(self.random.randint(least, 5))]

    def small(self):
        return self.random.randint(-300, 300)

    def integer(self):
        power = 2 ** self.random.choice([8, 16, 27, 31, 32, 59, 63, 64, 200, 2040, 2048, self.random.randint(1, 2100)])
        return self.random.choice([1, -1]) * (power + self.random.choice([-1, 0, 1, -self.random.randint(0, power)]))

    def floating(self):
        number = struct.unpack(">d", self.random.randbytes(8))[0]
        return self.random.choice([0.0, 1.0, number if number - number == 0 else 0.5, self.random.uniform(-1, 1)])

    def text(self):
        sets = ["abc", "aé", "日本語", "\U0001f600x", '\0\n"\\~']
        return "".join(self.random.choices(self.random.choice(sets), k=self.random.choice([0, 1, 5, 70])))

    def raw(self):
        return self.random.randbytes(self.random.choice([0, 1, 20, 255, 256]))

    def atom(self):
        return Atom(self.text()) if self.random.random() < 0.8 else Atom(self.random.choice("xé日") * 255)

    def word(self):
        return self.random.choice([0, 1, 2**18, 2**28, 2**32 - 1])

    def pid(self):
        return Pid(self.random.choice(["a@b", "é@b"]), self.word(), self.word(), self.word())

    def port(self):
        return Port("a@b", self.random.choice([self.word(), 2**64 - 1]), self.word())

    def reference(self):
        return Reference("a@b", self.word(), [self.word() for _ in range(self.random.randint(1, 5))])

    def export(self):
        return Export(self.atom(), self.atom(), self.random.choice([0, 1, 255]))

    def bits(self):
        return BitString(self.random.randbytes(self.random.choice([1, 2, 255, 256])), self.random.randint(1, 7))

    def run_of_bytes(self):
        return list(self.random.randbytes(self.random.choice([1, 7, 8, 60])))

    def run_of_integers(self):
        return [self.random.choice([self.small(), self.random.randint(-(2**31), 2**31 - 1)]) for _ in range(40)]

    def run_of_floats(self):
        return [self.floating() for _ in range(self.random.choice([1, 7, 8, 16, 17, 60]))]

    def list(self, depth):
        return self.terms(depth)

    def tuple(self, depth):
        return tuple(self.terms(depth))

    def dict(self, depth):
        keys = [self.random.choice([self.text, self.atom, self.integer, self.pid])() for _ in range(5)]
        return {key: self.term(depth) for key in keys}

    def pairs(self, depth):
        colliding = [1, 1.0, True, [], {}, "1", Atom("1"), (1,), (1.0,), [1.0], {1: 2}, {1.0: 2}]
        return PairsMap([(key, self.term(depth)) for key in self.random.sample(colliding, self.random.randint(1, 8))])

    def improper(self, depth):
        return ImproperList(self.terms(depth, least=1), self.random.choice([self.atom, self.integer, self.raw])())

    def fun(self, depth):
        free = tuple(self.terms(depth))
        uniq = self.random.randbytes(16)
        return Fun(
            self.random.choice([0, 255]), uniq, self.random.choice([0, 2**31]), "m", 3, 2**27 - 1, self.pid(), free
        )


@pytest.mark.parametrize("batch", BATCHES)
def test_what_python_encodes_is_the_intended_term(erlang, batch):
    terms = Terms(batch)
    values = [terms.term() for _ in range(BATCH)]
    answers = erlang.ask_all([asking_for_text(encode(value), erl_text(value)) for value in values])
    assert [pair for pair in zip(values, answers, strict=True) if pair[1] != b"true"] == []


OPTIONS = [
    [],
    *([(Atom("minor_version"), version)] for version in (0, 1, 2)),
    [Atom("compressed")],
    *([(Atom("compressed"), level)] for level in range(10)),
    *([(Atom("compressed"), 9), (Atom("minor_version"), version)] for version in (0, 1, 2)),
    [Atom("deterministic")],
    [Atom("deterministic"), (Atom("compressed"), 6), (Atom("minor_version"), 2)],
]


@pytest.mark.parametrize("batch", BATCHES)
def test_what_erlang_encodes_comes_back_the_same(erlang, batch):
    options = OPTIONS[batch % len(OPTIONS)]
    terms = erlang.random_terms(range(batch * BATCH, batch * BATCH + BATCH), options)
    assert {data[0] for data in terms} == {131}, terms
    questions = [
        asking_whether_same(data, encode(decode(data, **arguments)))
        for data in terms
        for arguments in ({}, {"binaries": memoryview, "arrays": True})
    ]
    assert set(erlang.ask_all(questions)) == {b"true"}


@pytest.mark.parametrize("options", ["[local]", "[local, {minor_version, 2}]", "[local, {compressed, 9}]"])
def test_a_local_term_is_refused_by_the_name_of_its_tag(erlang, options):
    release = int(decode(erlang.evaluate("list_to_binary(erlang:system_info(otp_release))")))
    # No `fun lists:map/2`: OTP 27.3 overruns its own buffer there, and the whole node dies of it.
    for text in ("ok", "[1.5, <<1>>]", "{a, self()}", "make_ref()", "#{a => b}", "lists:seq(1, 300)"):
        answer = erlang.evaluate(f"catch term_to_binary({text}, {options})")
        if release < 26:
            assert decode(answer)[1][0] == "badarg"
        else:
            data = decode(answer, binaries=bytes)
            with pytest.raises(DecodeError, match=r"LOCAL_EXT \(121\)"):
                decode(data)


@pytest.mark.parametrize("seed", range(100))
def test_every_truncation_of_what_erlang_encodes_is_a_decode_error(erlang, seed):
    (data,) = erlang.random_terms([seed], [])
    step = max(1, len(data) // 100)
    for end in range(0, len(data), step):
        with pytest.raises(DecodeError):
            decode(data[:end])


def test_terms_of_erlang_as_they_stand_in_distribution_messages(erlang):
    head = erlang.evaluate("{22, self(), self()}")
    terms = erlang.random_terms(range(400), [])
    questions = []
    for data in terms:
        pieces = list(split(1, head[1:], data[1:], 64))
        reassembler = Reassembler()
        whole = [message for message in map(reassembler.add, pieces) if message is not None]
        for frame in (b"p" + head + data, b"\x83D\0" + head[1:] + data[1:], *whole):
            event = control_reader.parse(frame)
            assert type(event) is control.Send
            questions.append(asking_whether_same(data, encode(event.payload.decode())))
    assert len(questions) == 1200
    assert set(erlang.ask_all(questions)) == {b"true"}


def test_terms_of_python_as_they_stand_in_distribution_messages(erlang):
    terms = Terms("distribution")
    questions = []
    for number in range(400):
        value, sender, to = terms.term(), terms.pid(), terms.pid()
        message = control_writer.send(OURS, sender, to, encode_term(value))
        frame = message.frame(header=number % 2 == 0)[4:]
        text = "{" + erl_text((22, sender, to)) + "," + erl_text(value) + "}."
        questions.append(b"C" + with_length(frame) + text.encode())
    assert set(erlang.ask_all(questions)) == {b"true"}


def test_terms_one_behind_the_other(erlang):
    terms = erlang.random_terms(range(300), [])
    data, offset = b"".join(term[1:] for term in terms), 0
    for term in terms:
        value, end = decode_term(data, offset)
        assert end - offset == len(term) - 1
        assert decode(encode(value)) == decode(term)
        offset = end
    assert offset == len(data)


INTEGERS = sorted(
    {
        sign * (2**power) + near
        for power in (0, 8, 16, 27, 28, 31, 32, 59, 60, 63, 64, 2039, 2040, 2047, 2048)
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
        Atom("é" * 127 + "x"),
        Atom("é" * 128),
        Atom("日" * 255),
        Atom("\U0001f600" * 255),
        *(("x" * length) for length in (255, 256, 65535)),
        *(b"\xff" * length for length in (1, 255, 256, 65535, 65536)),
        *(BitString(b"\xff" * length, bits) for length in (1, 255, 256) for bits in range(1, 8)),
        *((None,) * length for length in (1, 65535, 65536)),
        *([255] * length for length in (1, 255, 256)),
        *([None] * length for length in (1, 255, 256, 65535)),
        *({number: [] for number in range(length)} for length in (1, 31, 32, 33, 255, 256)),
        *(Export(name, name, arity) for name in ("", "é" * 255) for arity in (0, 255)),
        *(ImproperList([Atom("a")] * length, tail) for length in (1, 256) for tail in (0, None, "x", (), {}, 2**70)),
        -0.0,
        2.2250738585072014e-308,
        -1.7976931348623157e308,
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


NODES = [
    b"d\0\3a@b",
    b"s\3a@b",
    b"w\3a@b",
    b"v\0\3a@b",
    b"d\0\3\xe9@b",
    b"s\3\xe9@b",
    "w\4é@b".encode(),
    b"v\1\0" + "é".encode() * 126 + b"@b" + b"xx",
]
BYTES = [0, 1, 2, 3]  # a creation of the old tags has two bits
WORDS = [0, 255, 256, 65535, 65536, 2**27, 2**31, 2**32 - 1]
REFERENCE_WORDS = [0, 255, 256, 65535, 65536, 2**18 - 1]  # the first word of an old reference has 18 bits


def word(number):
    return struct.pack(">I", number)


def identifiers(node):
    """Pids, ports and references in the tags of all releases, with the corner values of their fields."""
    for last in BYTES:
        yield from (b"g" + node + word(id) + word(serial) + bytes((last,)) for id in WORDS for serial in (0, 8191))
        yield from (b"f" + node + word(id) + bytes((last,)) for id in WORDS)
        yield from (b"e" + node + word(id) + bytes((last,)) for id in REFERENCE_WORDS)
        for count in range(1, 6):
            for id in REFERENCE_WORDS:
                more = word(2**32 - 1) * (count - 1)
                yield b"r" + struct.pack(">H", count) + node + bytes((last,)) + word(id) + more
    for creation in WORDS:
        yield from (b"X" + node + word(id) + word(2**32 - 1 - id) + word(creation) for id in WORDS)
        yield from (b"Y" + node + word(id) + word(creation) for id in WORDS)
        yield from (b"x" + node + struct.pack(">Q", id) + word(creation) for id in (*WORDS, 2**32, 2**63, 2**64 - 1))
        for count in range(1, 6):
            yield from (b"Z" + struct.pack(">H", count) + node + word(creation) + word(id) * count for id in WORDS)


@pytest.mark.parametrize("node", NODES, ids=lambda node: repr(node)[:20])
def test_pids_ports_and_references_in_the_tags_of_all_releases(erlang, node):
    terms = [b"\x83" + term for term in identifiers(node)]
    answers = erlang.ask_all([asking_whether_same(term, encode(decode(term))) for term in terms])
    assert [pair for pair in zip(terms, answers, strict=True) if pair[1] != b"true"] == []


OTHER_FORMS = [
    *(struct.pack(">31s", f"{number:.20e}".encode()).join([b"c", b""]) for number in (0.0, 1.5, -2.5e-300, 1e308)),
    *(b"b" + struct.pack(">i", number) for number in (0, 255, 256, 65535, 65536, 2**27, -(2**27), 2**31 - 1, -(2**31))),
    *(b"n" + bytes((length, sign)) + bytes([255] * length) for length in (1, 4, 8, 9, 255) for sign in (0, 1)),
    *(b"n" + bytes((length, 0)) + b"\7" + bytes(length - 1) for length in (1, 4, 8, 255)),
    *(
        b"o" + struct.pack(">IB", length, sign) + bytes([9] * length)
        for length in (1, 255, 256, 4000)
        for sign in (0, 1)
    ),
    *(b"d" + struct.pack(">H", length) + b"\xe9" * length for length in (0, 1, 127, 128, 255)),
    *(b"s" + struct.pack(">B", length) + b"\xe9" * length for length in (0, 1, 127, 128, 255)),
    *(b"v" + struct.pack(">H", length) + b"x" * length for length in (0, 1, 255)),
    *(b"k" + struct.pack(">H", length) + b"\xff" * length for length in (1, 255, 256, 65535)),
    b"M\0\0\0\1\x08\xff",
    b"i\0\0\0\1a\1",
    b"l\0\0\0\0i\0\0\0\0",
    b"l\0\0\0\1a\1k\0\2\1\2",
    b"l\0\0\0\1a\1l\0\0\0\1a\2j",
    b"l\0\0\0\1a\1l\0\0\0\1a\2w\1x",
    b"p"
    + struct.pack(">IB16sII", 60, 255, b"\xff" * 16, 2**32 - 1, 1)
    + b"d\0\1ma\xffb\7\xff\xff\xffg"
    + b"d\0\3a@b"
    + bytes(9)
    + b"k\0\1\1",
]


def test_forms_that_python_does_not_write_itself(erlang):
    terms = [b"\x83" + term for term in OTHER_FORMS]
    answers = erlang.ask_all([asking_whether_same(term, encode(decode(term))) for term in terms])
    assert [pair for pair in zip(terms, answers, strict=True) if pair[1] != b"true"] == []


def test_identifiers_made_in_python(erlang):
    node = "me@é"
    for value, text in [
        (Pid(node, 123, 4, 2**32 - 1), b"<"),
        (Port(node, 2**33, 77), b"#Port<"),
        (Reference(node, 77, [1, 2, 3]), b"#Ref<"),
    ]:
        printed = erlang.is_text(encode(value), "x")
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
