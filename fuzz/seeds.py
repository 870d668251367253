"""The initial inputs of the fuzzers: a small set of mostly valid inputs from this project's encoder."""

import zlib

from beam_bpy.protocol import control_writer, epmd
from beam_bpy.protocol.flags import OURS, Flag
from beam_bpy.protocol.fragments import split
from beam_bpy.protocol.framing import TICK, framed
from beam_bpy.protocol.handshake import Acceptor, Initiator, Status
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
    encode_term,
)

COOKIE = "fuzz_cookie"
OUR_NAME, PEER_NAME = "fuzz@127.0.0.1", "peer@127.0.0.1"
OUR_CHALLENGE, PEER_CHALLENGE = 1, 2

PID = Pid(PEER_NAME, 1, 2, 3)
REFERENCE = Reference(PEER_NAME, 1, [2, 3, 4])

_VALUES = [
    None,
    [True, False, Atom("ok"), Atom(""), Atom("é" * 200)],
    [0, 255, 256, -1, 2**31, -(2**63), 2**64],
    2**2048,
    (1.5, -0.0, 5e-324),
    ("text", b"\xff\xfe", ""),
    [1.0] * 20,
    [70_000] * 20,
    [200] * 20,
    [1, 70_000] * 50,
    [[0.5, 1.5, 2.5]] * 3,
    tuple(range(256)),
    {"name": "Cube", Atom("size"): [1.0, 2.0], (1, "k"): {}},
    PairsMap([(1, "int"), (1.0, "float"), ([], {"a": []}), ({"k": 1}, 2)]),
    ImproperList([1, [2]], Atom("tail")),
    BitString(b"ab", 3),
    Export("lists", "map", 2),
    Fun(1, bytes(16), 2, "m", 3, 4, PID, (1, ["a"])),
    [PID, Port(PEER_NAME, 2**33, 7), REFERENCE],
]

_NODE = b"w\3a@b"
_OLD_TERMS = [
    b"c1.50000000000000000000e+00" + bytes(5),
    b"d\0\2ok",
    b"s\2\xe9t",
    b"v\0\2ok",
    b"g" + _NODE + bytes(9),
    b"f" + _NODE + bytes(5),
    b"Y" + _NODE + bytes(8),
    b"e" + _NODE + bytes(5),
    b"r\0\2" + _NODE + bytes(9),
    b"l\0\0\0\1a\1l\0\0\0\1a\2k\0\2ab",
    b"M\0\0\0\1\x08a",
    b"l\0\0\0\1" * 200 + b"j" * 201,
    b"y\0\0\0\0j",
]


def codec() -> list[bytes]:
    """Return terms without the version byte. One of them is compressed."""
    terms = [encode_term(value) for value in _VALUES]
    plain = terms[12]
    return [*terms, *_OLD_TERMS, b"P" + len(plain).to_bytes(4) + zlib.compress(plain, 0)]


def framing() -> list[bytes]:
    """Return streams of messages: short messages, a tick, and a message that is too long for the shared buffer."""
    return [framed(b"abc") + TICK + framed(b"d" * 300) + framed(b"e"), b"\xff\xff\xff\xff"]


def fragments() -> list[bytes]:
    """Return frames, each with its length in one byte before it."""
    one = list(split(1, b"h\1a\1", b"0123456789" * 3, 10))
    other = list(split(2, b"h\1a\2", b"abcdefghij" * 2, 10))
    orders = [[*one, *other], [one[0], other[0], b"p\x83", *one[1:], *other[1:]], [one[1]]]
    return [b"".join(bytes((len(frame),)) + frame for frame in frames) for frames in orders]


def _handshake() -> tuple[bytes, bytes]:
    """Return all bytes that the connecting side sends in a handshake, and all bytes that the accepting side sends."""
    acceptor = Acceptor(OUR_NAME, 1, OURS, COOKIE, OUR_CHALLENGE)
    initiator = Initiator(PEER_NAME, 2, OURS, COOKIE, PEER_CHALLENGE, OUR_NAME)
    asked, answered = initiator.take_output(), b""
    acceptor.receive(asked)
    acceptor.answer(Status.OK)
    for _ in range(2):
        answer = acceptor.take_output()
        initiator.receive(answer)
        question = initiator.take_output()
        acceptor.receive(question)
        asked, answered = asked + question, answered + answer
    return asked, answered


def acceptor() -> list[bytes]:
    """Return the bytes of connecting nodes: handshakes in the new and the old form, and one that asks for a name."""
    asked = _handshake()[0]
    flags = int(OURS | Flag.NAME_ME)
    nameless = b"N" + flags.to_bytes(8) + bytes(4) + b"\0\4host"
    old = b"n\0\5" + (int(OURS) & 0xFFFFFFFF).to_bytes(4) + PEER_NAME.encode()
    complement = b"c" + (int(OURS) >> 32).to_bytes(4) + bytes(4)
    reply = asked[-23:]
    return [
        asked + TICK,
        _with_length(nameless) + reply,
        _with_length(old) + _with_length(complement) + reply,
        asked[:-23] + _with_length(b"strue") + reply,
    ]


def initiator() -> list[bytes]:
    """Return the bytes of accepting nodes, with several statuses."""
    answered = _handshake()[1]
    rest = answered[len(_with_length(b"sok")) :]
    return [answered + TICK, _with_length(b"salive") + rest, _with_length(b"snok"), _with_length(b"snot_allowed")]


def _with_length(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def control_messages() -> list[bytes]:
    """Return all control messages that this node sends, with and without a distribution header, and some others."""
    text, term = Atom("name"), encode_term({"key": [1.5]})
    messages = [message for flags in (Flag(0), OURS) for message in _messages(flags, text, term)]
    frames = [message.frame(header=header)[4:] for message in messages for header in (False, True)]
    frames += [bytes(frame) for frame in split(7, b"h\3a\6" + PID.ext + encode_term(text), term)]
    # The opcode can be any term, and a term can be nested too deeply for Python's comparison.
    frames.append(b"p\x83h\1" + b"l\0\0\0\1" * 1200 + b"j" * 1200 + b"a\1")
    tokens: list[tuple[object, ...]] = [
        (12, Atom(""), PID, []),
        (13, PID, PID, [], Atom("why")),
        (16, PID, Atom(""), text, []),
        (25, PID, PID, []),
        (29, REFERENCE, PID, PID, (Atom("m"), Atom("f"), 1), [Atom("link")]),
        (30, REFERENCE, PID, PID, (Atom("m"), Atom("f"), 1), [], []),
        (37, 16, PID, PID),
    ]
    return [*frames, *(b"p\x83" + encode_term(token) + b"\x83" + term for token in tokens)]


def _messages(flags: Flag, text: Atom, term: bytes) -> list[control_writer.Message]:
    return [
        control_writer.send(flags, PID, PID, term),
        control_writer.send(flags, PID, text, term),
        control_writer.send(flags, PID, REFERENCE, term),
        control_writer.link(PID, PID),
        control_writer.unlink(1, PID, PID),
        control_writer.unlink_ack(1, PID, PID),
        control_writer.link_exit(flags, PID, PID, term),
        control_writer.exit_signal(flags, PID, PID, term),
        control_writer.monitor(PID, text, REFERENCE),
        control_writer.demonitor(PID, PID, REFERENCE),
        control_writer.monitor_exit(flags, PID, PID, REFERENCE, term),
        control_writer.spawn_reply(REFERENCE, PID, 1, PID),
    ]


def calls() -> list[bytes]:
    """Return the messages of calls in the form that a BEAM node sends."""
    name, alias = Atom("name"), ImproperList([Atom("alias")], REFERENCE)
    erpc = (29, REFERENCE, PID, PID, (Atom("erpc"), Atom("execute_call"), 4), [Atom("monitor")])
    terms: list[tuple[object, ...]] = [
        (erpc, [REFERENCE, Atom("m"), Atom("f"), [1, "text"]]),
        ((6, PID, Atom(""), name), (Atom("$gen_call"), (PID, alias), (name, [1]))),
        ((19, PID, name, REFERENCE),),
        ((20, PID, name, REFERENCE),),
    ]
    return [b"\x83D\0" + b"".join(map(encode_term, message)) for message in terms]


def epmd_messages() -> list[bytes]:
    """Return requests to epmd, and its responses."""
    node = epmd.Registration("fuzz", 4000, extra=b"extra")
    requests = [epmd.register(node), epmd.look_up("fuzz"), epmd.list_names(), b"\0\1k", b"\0\1d"]
    answers = [
        *(epmd.creation_answer(0, 7, highest_version=version) for version in (5, 6)),
        epmd.port_answer(node),
        epmd.port_answer(None),
        epmd.names_answer(4369, [node, node], dump=False),
        b"\0\0\x11\x11name fuzz at port " + b"1" * 4400 + b"\n",
    ]
    return [*requests, *answers]
