"""The calling side of the handshake, against this package's own other side and against answers written by hand."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import send_name

from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag
from beam_bpy.protocol.handshake import (
    MAX_MESSAGE,
    Acceptor,
    Established,
    HandshakeError,
    HandshakeRefusedError,
    Initiator,
    PeerNamed,
    digest,
)

US, PEER = "caller@127.0.0.1", "called@127.0.0.1"
COOKIE = "a-secret-of-the-test"
OUR_CHALLENGE, PEER_CHALLENGE = 0xFEDCBA98, 0x01234567
OUR_CREATION, PEER_CREATION = 0x11223344, 0x55667788


def initiator(cookie=COOKIE, peer=PEER):
    return Initiator(US, OUR_CREATION, OURS, cookie, OUR_CHALLENGE, peer)


def acceptor(cookie=COOKIE, name=PEER):
    return Acceptor(name, PEER_CREATION, OURS, cookie, PEER_CHALLENGE)


def message(body):
    return struct.pack(">H", len(body)) + body


def challenge(name=PEER, flags=int(OURS)):
    raw = name if isinstance(name, bytes) else name.encode()
    return message(struct.pack(">cQIIH", b"N", flags, PEER_CHALLENGE, PEER_CREATION, len(raw)) + raw)


ACK = message(b"a" + digest(COOKIE, OUR_CHALLENGE))


def asked(status=b"ok"):
    """An initiator that has said its name and got a status."""
    ours = initiator()
    ours.take_output()
    ours.receive(message(b"s" + status))
    return ours


def challenged():
    """An initiator that has answered the challenge."""
    ours = asked()
    ours.receive(challenge())
    ours.take_output()
    return ours


class Cable:
    """Brings what one side says to the other, cut anywhere; collects the events of both."""

    def __init__(self, a, b, status, cut=len):
        self.a, self.b, self.status, self.cut = a, b, status, cut
        self.events = {a: [], b: []}

    def run(self):
        while (from_a := self.a.take_output()) or (from_b := self.b.take_output()):
            for data, side in [(from_a, self.b)] if from_a else [(from_b, self.a)]:
                self._bring(data, side)

    def _bring(self, data, side):
        while data:
            count = self.cut(data)
            event = side.receive(data[:count])
            data = data[count:]
            if isinstance(event, PeerNamed):
                side.answer(self.status)
            if event is not None:
                self.events[side].append(event)


CONNECTED = (Established(PEER, OURS, PEER_CREATION, b""), Established(US, OURS, OUR_CREATION, b""))


@pytest.mark.parametrize("status", ["ok", "ok_simultaneous", "alive"])
@given(data=st.data())
@settings(max_examples=40)
def test_both_sides_are_established_wherever_the_bytes_are_cut(status, data):
    a, b = initiator(), acceptor()
    cable = Cable(a, b, status, lambda rest: data.draw(st.integers(1, len(rest))))

    cable.run()

    assert cable.events[a] == [CONNECTED[0]]
    assert cable.events[b] == [PeerNamed(US, OURS), CONNECTED[1]]


@pytest.mark.parametrize("status", ["nok", "not_allowed"])
def test_a_refusal_is_an_error_that_says_which_and_by_whom(status):
    a, b = initiator(), acceptor()

    with pytest.raises(HandshakeRefusedError, match=PEER) as caught:
        Cable(a, b, status).run()

    assert caught.value.status == status
    assert a.take_output() == b.take_output() == b""


def test_the_name_message_is_as_the_chapter_has_it():
    assert initiator().take_output() == send_name(US, creation=OUR_CREATION)


def test_nothing_is_said_before_the_status():
    ours = initiator()
    ours.take_output()

    assert ours.receive(b"") is None
    assert ours.take_output() == b""


def test_a_node_that_takes_us_for_connected_is_told_to_go_on():
    ours = asked(b"alive")

    assert ours.take_output() == message(b"strue")
    assert ours.receive(challenge()) is None
    assert ours.take_output() == message(
        b"r" + struct.pack(">I", OUR_CHALLENGE) + digest(COOKIE, PEER_CHALLENGE),
    )
    assert ours.receive(ACK + b"\0\0\0\0rest") == Established(PEER, OURS, PEER_CREATION, b"\0\0\0\0rest")


def test_the_agreed_flags_are_those_of_both():
    ours = asked()
    ours.receive(challenge(flags=int(MANDATORY_BEFORE_25 | Flag.PUBLISHED | Flag.SPAWN)))

    assert ours.receive(ACK).flags == MANDATORY_BEFORE_25 | Flag.SPAWN


@pytest.mark.parametrize("missing", list(MANDATORY_BEFORE_25), ids=lambda flag: flag.name)
def test_a_node_without_a_mandatory_capability_is_told_by_which(missing):
    with pytest.raises(HandshakeError, match=missing.name):
        asked().receive(challenge(flags=int(MANDATORY_BEFORE_25 & ~missing)))


def test_another_node_at_that_address_is_an_error_that_names_both():
    ours = asked()
    ours.take_output()

    with pytest.raises(HandshakeError, match=f"is impostor@127.0.0.1, not {PEER}"):
        ours.receive(challenge("impostor@127.0.0.1"))

    assert ours.take_output() == b""


@pytest.mark.parametrize("name", ["evil\nERROR all is well@host", "\x1b[2J@host"])
def test_a_name_that_would_write_its_own_lines_into_the_log_is_not_shown_as_it_is(name):
    with pytest.raises(HandshakeError) as caught:
        asked().receive(challenge(name))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(message(b""), id="empty"),
        pytest.param(message(b"ok"), id="without-its-tag"),
        pytest.param(message(b"sno"), id="unknown"),
        pytest.param(message(b"snamed:\0\1a\0\0\0\1"), id="named-although-we-have-a-name"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
        pytest.param(struct.pack(">H", MAX_MESSAGE + 1), id="too-long"),
    ],
)
def test_what_is_no_status_is_refused(status):
    with pytest.raises(HandshakeError):
        initiator().receive(status)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(message(b"x" + challenge()[3:]), id="another-tag"),
        pytest.param(message(b"N" + bytes(17)), id="short"),
        pytest.param(challenge(PEER[:-1]), id="another-name"),
        pytest.param(message(challenge()[2:-1]), id="name-cut-short"),
        pytest.param(challenge(b"\xff@host"), id="no-utf8"),
    ],
)
def test_what_is_no_challenge_is_refused_and_not_answered(reply):
    ours = asked()
    ours.take_output()

    with pytest.raises(HandshakeError):
        ours.receive(reply)

    assert ours.take_output() == b""


@pytest.mark.parametrize(
    "ack",
    [
        pytest.param(message(b"a" + digest("another", OUR_CHALLENGE)), id="another-cookie"),
        pytest.param(message(b"a" + digest(COOKIE, PEER_CHALLENGE)), id="our-own-digest-sent-back"),
        pytest.param(message(b"a" + bytes(15)), id="short"),
        pytest.param(message(b"x" + bytes(16)), id="another-tag"),
    ],
)
def test_a_node_that_does_not_prove_the_cookie_is_refused(ack):
    with pytest.raises(HandshakeError, match=PEER):
        challenged().receive(ack)


def test_a_node_with_another_cookie_refuses_us_and_we_it():
    a, b = initiator("another"), acceptor()

    with pytest.raises(HandshakeError, match=f"{US} was refused"):
        Cable(a, b, "ok").run()

    assert b.take_output() == b""


@given(
    cookie=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=20), garbage=st.binary()
)
@settings(max_examples=30)
def test_no_error_and_no_repr_shows_the_cookie_or_a_digest(cookie, garbage):
    ours = initiator(cookie)
    ours.receive(message(b"sok") + challenge())
    mine = digest(cookie, OUR_CHALLENGE)
    said = repr(ours)

    try:
        ours.receive(message(b"a" + garbage[:16].ljust(16, b"\0")))
    except HandshakeError as error:
        said += repr(error) + str(error)

    assert PEER in said
    assert not any(secret in said for secret in (cookie, mine.hex(), repr(mine)))


@given(st.binary(max_size=64))
@settings(max_examples=60)
def test_garbage_is_refused_or_waited_on_and_nothing_else(garbage):
    for ours in (initiator(), asked(), challenged()):
        try:
            event = ours.receive(garbage)
        except HandshakeError:
            continue
        assert event is None


class TestNodesThatAskToBeNamed:
    """NAME_ME: the peer gives its host, and is told its name and creation."""

    def ask(self):
        ours = acceptor()
        event = ours.receive(send_name("127.0.0.1", flags=int(OURS | Flag.NAME_ME), creation=0))
        assert event == PeerNamed("127.0.0.1", OURS | Flag.NAME_ME)
        return ours

    def test_it_gets_both_and_the_handshake_goes_on(self):
        ours = self.ask()

        ours.name_peer("X1@127.0.0.1", 0xCAFE)

        named = message(b"snamed:\0\x0cX1@127.0.0.1\0\0\xca\xfe")
        # It takes its name only from a node that sets the flag too.
        assert ours.take_output() == named + challenge(flags=int(OURS | Flag.NAME_ME))
        reply = message(b"r" + struct.pack(">I", OUR_CHALLENGE) + digest(COOKIE, PEER_CHALLENGE))
        assert ours.receive(reply) == Established("X1@127.0.0.1", OURS | Flag.NAME_ME, 0xCAFE, b"")
        assert ours.take_output() == ACK

    def test_its_cookie_is_checked_too(self):
        ours = self.ask()
        ours.name_peer("X1@127.0.0.1", 0xCAFE)

        with pytest.raises(HandshakeError, match=r"X1@127\.0\.0\.1 was refused"):
            ours.receive(message(b"r" + bytes(20)))

    def test_it_is_named_once(self):
        ours = self.ask()
        ours.name_peer("X1@127.0.0.1", 0xCAFE)

        with pytest.raises(RuntimeError):
            ours.name_peer("X2@127.0.0.1", 0xCAFE)
