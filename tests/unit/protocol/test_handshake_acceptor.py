"""The accepting side of the handshake, against an initiator written from the chapter "Distribution Handshake"."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import send_name

from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag
from beam_bpy.protocol.handshake import MAX_MESSAGE, Acceptor, Established, HandshakeError, PeerNamed, digest

US, PEER = "beam_bpy@127.0.0.1", "caller@127.0.0.1"
COOKIE = "a-secret-of-the-test"
OUR_CHALLENGE, PEER_CHALLENGE = 0xFEDCBA98, 0x01234567
OUR_CREATION, PEER_CREATION = 0x11223344, 0x55667788


def message(body):
    """One handshake message: two bytes of length, then the body."""
    return struct.pack(">H", len(body)) + body


def old_send_name(name=PEER, flags=int(OURS), version=5):
    return message(struct.pack(">cHI", b"n", version, flags & 0xFFFFFFFF) + name.encode())


def send_complement(flags=int(OURS), creation=PEER_CREATION):
    return message(struct.pack(">cII", b"c", flags >> 32, creation))


def md5(cookie, challenge):
    return hashlib.md5(cookie.encode() + str(challenge).encode()).digest()


def challenge_reply(cookie=COOKIE, challenge=OUR_CHALLENGE):
    return message(b"r" + struct.pack(">I", PEER_CHALLENGE) + md5(cookie, challenge))


def acceptor(cookie=COOKIE):
    return Acceptor(US, OUR_CREATION, OURS, cookie, OUR_CHALLENGE)


def accepted(status="ok", name=None):
    """An acceptor that has been told a name and has decided."""
    ours = acceptor()
    ours.receive(send_name() if name is None else name)
    ours.answer(status)
    return ours


OUR_CHALLENGE_MESSAGE = message(
    struct.pack(">cQIIH", b"N", OURS, OUR_CHALLENGE, OUR_CREATION, len(US)) + US.encode(),
)
OUR_ACK = message(b"a" + md5(COOKIE, PEER_CHALLENGE))
ESTABLISHED = Established(PEER, OURS, PEER_CREATION, b"")


def test_a_whole_exchange():
    ours = acceptor()

    assert ours.receive(send_name()) == PeerNamed(PEER, OURS)
    assert ours.take_output() == b""
    ours.answer("ok")
    assert ours.take_output() == message(b"sok") + OUR_CHALLENGE_MESSAGE
    assert ours.receive(challenge_reply()) == ESTABLISHED
    assert ours.take_output() == OUR_ACK
    assert ours.take_output() == b""


def test_an_old_name_message_is_completed_by_a_complement():
    ours = acceptor()

    named = ours.receive(old_send_name())
    ours.answer("ok")

    assert named == PeerNamed(PEER, Flag(OURS & 0xFFFFFFFF))
    assert ours.take_output() == message(b"sok") + OUR_CHALLENGE_MESSAGE
    assert ours.receive(send_complement()) is None
    assert ours.receive(challenge_reply()) == ESTABLISHED


def test_an_old_name_message_may_promise_the_rest_with_the_digest_in_its_complement():
    ours = accepted(name=old_send_name(flags=int(MANDATORY_BEFORE_25)))

    ours.receive(send_complement(flags=int(Flag.SPAWN | Flag.MANDATORY_25_DIGEST)))
    event = ours.receive(challenge_reply())

    assert event.flags == MANDATORY_BEFORE_25 | Flag.SPAWN | Flag.MANDATORY_25_DIGEST


def test_a_peer_that_is_connected_already_may_insist():
    ours = accepted("alive")

    assert ours.take_output() == message(b"salive")
    assert ours.receive(message(b"strue")) is None
    assert ours.take_output() == OUR_CHALLENGE_MESSAGE
    assert ours.receive(challenge_reply()) == ESTABLISHED


def test_a_peer_that_is_connected_already_may_give_way():
    ours = accepted("alive")

    with pytest.raises(HandshakeError, match=PEER):
        ours.receive(message(b"sfalse"))


@pytest.mark.parametrize("status", ["nok", "not_allowed"])
def test_a_refused_peer_gets_a_status_and_no_challenge(status):
    ours = accepted(status)

    assert ours.take_output() == message(b"s" + status.encode())
    assert ours.receive(challenge_reply()) is None
    assert ours.take_output() == b""


def test_of_two_calls_at_once_this_one_may_go_on():
    assert accepted("ok_simultaneous").take_output() == message(b"sok_simultaneous") + OUR_CHALLENGE_MESSAGE


def test_a_decision_can_be_made_once_only():
    with pytest.raises(RuntimeError):
        accepted().answer("ok")


def test_the_agreed_flags_are_those_of_both():
    ours = accepted(name=send_name(flags=int(MANDATORY_BEFORE_25 | Flag.PUBLISHED | Flag.SPAWN)))

    assert ours.receive(challenge_reply()).flags == MANDATORY_BEFORE_25 | Flag.SPAWN


def test_the_digest_flag_alone_is_enough():
    assert PeerNamed(PEER, MANDATORY_BEFORE_25 | Flag.MANDATORY_25_DIGEST) == acceptor().receive(
        send_name(flags=int(Flag.MANDATORY_25_DIGEST))
    )


@pytest.mark.parametrize("missing", list(MANDATORY_BEFORE_25), ids=lambda flag: flag.name)
def test_a_peer_without_a_mandatory_capability_is_told_which(missing):
    with pytest.raises(HandshakeError, match=missing.name):
        acceptor().receive(send_name(flags=int(MANDATORY_BEFORE_25 & ~missing)))


def test_what_follows_the_handshake_is_handed_over():
    ours = accepted()

    assert ours.receive(challenge_reply() + b"\0\0\0\0rest").rest == b"\0\0\0\0rest"


def test_what_a_later_release_adds_to_the_name_is_read_over():
    body = send_name()[2:] + b"more"

    assert acceptor().receive(message(body)) == PeerNamed(PEER, OURS)


@given(st.data())
@settings(max_examples=30)
def test_it_does_not_matter_where_the_bytes_are_cut(data):
    wire = send_name() + challenge_reply() + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    ours, events = acceptor(), []

    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        event = ours.receive(wire[start:end])
        if isinstance(event, PeerNamed):
            ours.answer("ok")
            event = ours.receive(b"")
        if isinstance(event, Established):
            events.append((event, end))

    assert len(events) == 1
    event, end = events[0]
    assert event == Established(PEER, OURS, PEER_CREATION, wire[len(wire) - 4 : end])
    assert ours.take_output() == message(b"sok") + OUR_CHALLENGE_MESSAGE + OUR_ACK


def test_byte_by_byte():
    ours = acceptor()

    named = [ours.receive(bytes((byte,))) for byte in send_name()]
    ours.answer("ok")
    established = [ours.receive(bytes((byte,))) for byte in challenge_reply()]

    assert named[-1] == PeerNamed(PEER, OURS)
    assert established[-1] == ESTABLISHED
    assert {*named[:-1], *established[:-1]} == {None}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(message(b""), id="empty"),
        pytest.param(message(b"N" + bytes(10)), id="short"),
        pytest.param(message(b"n\0"), id="short-old"),
        pytest.param(message(b"x" + bytes(30)), id="another-tag"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(message(struct.pack(">cQIH", b"N", OURS, 1, 99) + b"short@host"), id="name-cut-short"),
        pytest.param(send_name(b"\xff@host"), id="no-utf8"),
        pytest.param(old_send_name(version=6), id="old-name-new-version"),
        pytest.param(struct.pack(">H", MAX_MESSAGE + 1), id="too-long"),
        pytest.param(b"\xff\xff", id="as-long-as-can-be"),
    ],
)
def test_what_is_no_name_message_is_refused(name):
    with pytest.raises(HandshakeError):
        acceptor().receive(name)


@pytest.mark.parametrize("name", ["evil\nERROR all is well@host", "\x1b[2J@host"])
def test_a_name_that_would_write_its_own_lines_into_the_log_is_refused(name):
    with pytest.raises(HandshakeError) as caught:
        acceptor().receive(send_name(name))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(message(b"r" + bytes(4)), id="no-digest"),
        pytest.param(message(b"r" + bytes(21)), id="too-long"),
        pytest.param(message(b"x" + bytes(20)), id="another-tag"),
    ],
)
def test_what_is_no_challenge_reply_is_refused(reply):
    with pytest.raises(HandshakeError, match="challenge"):
        accepted().receive(reply)


def test_an_old_name_message_without_its_complement_is_refused():
    with pytest.raises(HandshakeError, match="complement"):
        accepted(name=old_send_name()).receive(challenge_reply())


@pytest.mark.parametrize(
    "reply", [challenge_reply(cookie="another"), challenge_reply(challenge=1), message(b"r" + bytes(20))]
)
def test_a_wrong_digest_is_refused_and_gets_no_ack(reply):
    ours = accepted()
    ours.take_output()

    with pytest.raises(HandshakeError, match=f"{PEER} was refused"):
        ours.receive(reply)

    assert ours.take_output() == b""


@given(st.binary(max_size=64))
@settings(max_examples=60)
def test_garbage_is_refused_or_waited_on_and_nothing_else(garbage):
    for ours in (acceptor(), accepted()):
        try:
            event = ours.receive(garbage)
        except HandshakeError:
            continue
        assert event is None


@given(
    cookie=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=20), garbage=st.binary()
)
@settings(max_examples=30)
def test_no_error_and_no_repr_shows_the_cookie_or_a_digest(cookie, garbage):
    ours = acceptor(cookie)
    ours.receive(send_name())
    ours.answer("ok")
    secrets = (cookie, md5(cookie, OUR_CHALLENGE).hex(), repr(md5(cookie, OUR_CHALLENGE)))
    said = repr(ours)

    try:
        ours.receive(message(b"r" + garbage[:20].ljust(20, b"\0")))
    except HandshakeError as error:
        said += repr(error) + str(error)

    assert PEER in said
    assert not any(secret in said for secret in secrets)


def test_the_digest_is_md5_over_cookie_and_decimal_challenge():
    assert digest("cookie", 4_000_000_000) == hashlib.md5(b"cookie4000000000").digest()


def test_a_cookie_beyond_ascii_is_digested_as_the_beam_does():
    # erlang:md5([atom_to_list(Cookie) | integer_to_list(Challenge)]): one byte for each character.
    assert digest("caf\u00e9", 1) == hashlib.md5(b"caf\xe91").digest()
