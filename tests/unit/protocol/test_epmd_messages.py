"""epmd's requests and answers, against section "EPMD Protocol" of the ERTS user's guide."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_bpy.protocol import ProtocolError, epmd
from beam_bpy.protocol.epmd import Registration

NODE = Registration("crate", 45123)
VISIBLE = Registration("größe", 1, epmd.NODE_NORMAL, 0, 6, 5, b"extra")

REQUESTS = {
    "register": (epmd.register(NODE), epmd.Register(NODE)),
    "register with everything": (epmd.register(VISIBLE), epmd.Register(VISIBLE)),
    "look up": (epmd.look_up("crate"), epmd.LookUp("crate")),
    "look up, unicode": (epmd.look_up("größe"), epmd.LookUp("größe")),
    "names": (epmd.list_names(), epmd.ListNames(dump=False)),
    "dump": (b"\0\1d", epmd.ListNames(dump=True)),
    "kill": (b"\0\1k", epmd.Refused("kill")),
    "stop": (b"\0\6scrate", epmd.Refused("stop")),
}


@pytest.mark.parametrize(("wire", "request_"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_read_as_it_was_written(wire, request_):
    assert epmd.parse_request(wire) == request_


@pytest.mark.parametrize(("wire", "request_"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_waited_for_until_its_last_byte(wire, request_):
    assert [epmd.parse_request(wire[:size]) for size in range(len(wire))] == [None] * len(wire)


def test_a_registration_is_written_as_the_chapter_has_it():
    assert epmd.register(NODE) == b"\0\x12" + struct.pack(">BHBBHHH5sH", 120, 45123, 72, 0, 6, 6, 5, b"crate", 0)


def test_requests_that_nodes_send_are_written_as_the_chapter_has_them():
    assert epmd.look_up("crate") == b"\0\6zcrate"
    assert epmd.list_names() == b"\0\1n"


def with_length(body):
    return struct.pack(">H", len(body)) + body


@pytest.mark.parametrize("wire", [epmd.register(NODE), epmd.register(VISIBLE)], ids=["plain", "extra"])
def test_a_registration_that_ends_too_early_is_refused(wire):
    for size in range(1, len(wire) - 2):
        with pytest.raises(ProtocolError):
            epmd.parse_request(with_length(wire[2 : 2 + size]))


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\0\0", id="empty"),
        pytest.param(struct.pack(">H", epmd.MAX_REQUEST + 1), id="too-long"),
        pytest.param(b"\0\1x", id="registration-of-nothing"),
        pytest.param(b"\0\1z", id="no-name"),
        pytest.param(b"\0\2z\xff", id="no-utf8"),
        pytest.param(with_length(b"z" + b"n" * 256), id="long-name"),
        pytest.param(b"\0\1\xf0", id="unknown-tag"),
        pytest.param(b"GET / HTTP/1.1", id="http"),
    ],
)
def test_what_is_no_request_is_refused(wire):
    with pytest.raises(ProtocolError):
        epmd.parse_request(wire)


@given(st.binary(max_size=80))
@settings(max_examples=150)
def test_garbage_is_refused_waited_on_or_a_request(garbage):
    for wire in (garbage, with_length(garbage), with_length(b"x" + garbage)):
        try:
            request = epmd.parse_request(wire)
        except ProtocolError:
            continue
        assert request is None or isinstance(request, epmd.Request)


@pytest.mark.parametrize(
    ("version", "creation", "read", "tag"),
    [(6, 0xFEDCBA98, 0xFEDCBA98, 118), (7, 4, 4, 118), (5, 0xFEDCBA99, 1, 121), (5, 3, 3, 121)],
)
@pytest.mark.parametrize("result", [0, 1])
def test_the_answer_to_a_registration(version, creation, read, tag, result):
    answer = epmd.creation_answer(result, creation, highest_version=version)

    assert answer[0] == tag
    assert epmd.take_creation(answer) == (result, read)
    assert [epmd.take_creation(answer[:size]) for size in range(len(answer))] == [None] * len(answer)


@pytest.mark.parametrize("answer", [b"\0", b"HTTP/1.1 400 Bad Request", b"w\0\0"])
def test_what_is_no_answer_to_a_registration_is_refused(answer):
    with pytest.raises(ProtocolError):
        epmd.take_creation(answer)


@pytest.mark.parametrize("registration", [NODE, VISIBLE])
def test_the_answer_to_the_question_for_a_port(registration):
    assert epmd.take_port(epmd.port_answer(registration)) == registration.port


def test_the_answer_with_a_port_is_as_the_chapter_has_it():
    assert epmd.port_answer(NODE) == struct.pack(">BBHBBHHH5sH", 119, 0, 45123, 72, 0, 6, 6, 5, b"crate", 0)


def test_an_unknown_name_has_no_port():
    assert epmd.port_answer(None) == b"w\1"
    assert epmd.take_port(b"w\1") is None


@pytest.mark.parametrize("answer", [b"", b"w", b"w\0", b"w\0\1", b"v\0\0\0", b"HTTP/1.1"])
def test_what_is_no_answer_with_a_port_is_refused(answer):
    with pytest.raises(ProtocolError):
        epmd.take_port(answer)


def test_the_list_of_names():
    answer = epmd.names_answer(4369, [NODE, VISIBLE], dump=False)

    assert answer[:4] == struct.pack(">I", 4369)
    assert answer[4:].decode() == "name crate at port 45123\nname größe at port 1\n"
    assert epmd.take_names(answer) == [("crate", 45123), ("größe", 1)]


def test_the_dump_of_names_says_nothing_of_descriptors():
    answer = epmd.names_answer(4369, [NODE], dump=True)

    assert answer[4:].decode() == "active name     <crate> at port 45123, fd = 0\n"


def test_nobody_is_registered():
    assert epmd.take_names(epmd.names_answer(4369, [], dump=False)) == []


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0", b"\0\0\x11\x11", b"\0\0\x11\x11name x at port y\n", b"\0\0\x11\x11\xff\xfe\n", b"HTTP/1.1"]
)
def test_garbage_holds_no_names(answer):
    assert epmd.take_names(answer) == []
