"""Control messages: each form of "Protocol between Connected Nodes" is parsed; what we write parses back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HEADER, decoded, headed, message

from beam_bpy.protocol import ProtocolError, control, control_reader, control_writer
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS, Flag
from beam_bpy.protocol.fragments import SIZE, Reassembler
from vendor_term_codec import Atom, DecodeError, PairsMap, Pid, Reference, encode, encode_term

THEIRS = Pid("caller@127.0.0.1", 77, 1, 5)
LEADER = Pid("caller@127.0.0.1", 66, 0, 5)
OURS_PID = Pid("beam_bpy@127.0.0.1", 4, 0, 9)
REF = Reference("caller@127.0.0.1", 5, (1, 2, 3))
NAME = Atom("net_kernel")
UNUSED = Atom("")
TOKEN = (1, 2, 3, THEIRS, 4)
MFA = (Atom("erpc"), Atom("execute_call"), 4)
OPTIONS = [Atom("monitor")]
REASON = (Atom("shutdown"), "why")
MESSAGE = {"any": ["term", 1]}
FIRST_FRAGMENT = b"\x83E" + bytes(7) + b"\7" + bytes(7) + b"\3" + b"\0"
"""As it is left once a fragmented message has been put together: sequence 7, three fragments, no atom cache."""

FORMS = {
    "LINK": ((1, THEIRS, OURS_PID), None, control.Link(THEIRS, OURS_PID)),
    "SEND": ((2, UNUSED, OURS_PID), MESSAGE, control.Send(None, OURS_PID, MESSAGE)),
    "EXIT": ((3, THEIRS, OURS_PID, REASON), None, control.LinkExit(THEIRS, OURS_PID, REASON)),
    "UNLINK": ((4, THEIRS, OURS_PID), None, control.Unlink(None, THEIRS, OURS_PID)),
    "NODE_LINK": ((5,), None, control.Unknown((5,))),
    "REG_SEND": ((6, THEIRS, UNUSED, NAME), MESSAGE, control.Send(THEIRS, NAME, MESSAGE)),
    "GROUP_LEADER": ((7, THEIRS, OURS_PID), None, control.GroupLeader(THEIRS, OURS_PID)),
    "EXIT2": ((8, THEIRS, OURS_PID, REASON), None, control.ExitSignal(THEIRS, OURS_PID, REASON)),
    "SEND_TT": ((12, UNUSED, OURS_PID, TOKEN), MESSAGE, control.Send(None, OURS_PID, MESSAGE)),
    "EXIT_TT": ((13, THEIRS, OURS_PID, TOKEN, REASON), None, control.LinkExit(THEIRS, OURS_PID, REASON)),
    "REG_SEND_TT": ((16, THEIRS, UNUSED, NAME, TOKEN), MESSAGE, control.Send(THEIRS, NAME, MESSAGE)),
    "EXIT2_TT": ((18, THEIRS, OURS_PID, TOKEN, REASON), None, control.ExitSignal(THEIRS, OURS_PID, REASON)),
    "MONITOR_P": ((19, THEIRS, OURS_PID, REF), None, control.Monitor(THEIRS, OURS_PID, REF)),
    "MONITOR_P name": ((19, THEIRS, NAME, REF), None, control.Monitor(THEIRS, NAME, REF)),
    "DEMONITOR_P": ((20, THEIRS, OURS_PID, REF), None, control.Demonitor(THEIRS, OURS_PID, REF)),
    "MONITOR_P_EXIT": ((21, OURS_PID, THEIRS, REF, REASON), None, control.MonitorExit(OURS_PID, THEIRS, REF, REASON)),
    "SEND_SENDER": ((22, THEIRS, OURS_PID), MESSAGE, control.Send(THEIRS, OURS_PID, MESSAGE)),
    "SEND_SENDER_TT": ((23, THEIRS, OURS_PID, TOKEN), MESSAGE, control.Send(THEIRS, OURS_PID, MESSAGE)),
    "PAYLOAD_EXIT": ((24, THEIRS, OURS_PID), REASON, control.LinkExit(THEIRS, OURS_PID, REASON)),
    "PAYLOAD_EXIT_TT": ((25, THEIRS, OURS_PID, TOKEN), REASON, control.LinkExit(THEIRS, OURS_PID, REASON)),
    "PAYLOAD_EXIT2": ((26, THEIRS, OURS_PID), REASON, control.ExitSignal(THEIRS, OURS_PID, REASON)),
    "PAYLOAD_EXIT2_TT": ((27, THEIRS, OURS_PID, TOKEN), REASON, control.ExitSignal(THEIRS, OURS_PID, REASON)),
    "PAYLOAD_MONITOR_P_EXIT": (
        (28, NAME, THEIRS, REF),
        REASON,
        control.MonitorExit(NAME, THEIRS, REF, REASON),
    ),
    "SPAWN_REQUEST": (
        (29, REF, THEIRS, LEADER, MFA, OPTIONS),
        [1.5],
        control.SpawnRequest(REF, THEIRS, LEADER, *MFA, OPTIONS, [1.5]),
    ),
    "SPAWN_REQUEST_TT": (
        (30, REF, THEIRS, LEADER, MFA, OPTIONS, TOKEN),
        [1.5],
        control.SpawnRequest(REF, THEIRS, LEADER, *MFA, OPTIONS, [1.5]),
    ),
    "SPAWN_REPLY": ((31, REF, THEIRS, 2, OURS_PID), None, control.SpawnReply(REF, THEIRS, 2, OURS_PID)),
    "SPAWN_REPLY error": (
        (31, REF, THEIRS, 0, Atom("notsup")),
        None,
        control.SpawnReply(REF, THEIRS, 0, Atom("notsup")),
    ),
    "SPAWN_REPLY_TT": ((32, REF, THEIRS, 1, OURS_PID, TOKEN), None, control.SpawnReply(REF, THEIRS, 1, OURS_PID)),
    "ALIAS_SEND": ((33, THEIRS, REF), MESSAGE, control.Send(THEIRS, REF, MESSAGE)),
    "ALIAS_SEND_TT": ((34, THEIRS, REF, TOKEN), MESSAGE, control.Send(THEIRS, REF, MESSAGE)),
    "UNLINK_ID": ((35, 1 << 60, THEIRS, OURS_PID), None, control.Unlink(1 << 60, THEIRS, OURS_PID)),
    "UNLINK_ID_ACK": ((36, 12, THEIRS, OURS_PID), None, control.UnlinkAck(12, THEIRS, OURS_PID)),
    "ALTACT_SIG_SEND": ((37, 1, THEIRS, OURS_PID), MESSAGE, control.Send(THEIRS, OURS_PID, MESSAGE)),
    "ALTACT_SIG_SEND token": ((37, 3, THEIRS, OURS_PID, TOKEN), MESSAGE, control.Send(THEIRS, OURS_PID, MESSAGE)),
    "ALTACT_SIG_SEND alias": ((37, 4, THEIRS, REF), MESSAGE, control.Send(THEIRS, REF, MESSAGE)),
    "ALTACT_SIG_SEND name": ((37, 8, THEIRS, NAME), MESSAGE, control.Send(THEIRS, NAME, MESSAGE)),
    "ALTACT_SIG_SEND exit": ((37, 17, THEIRS, OURS_PID), REASON, control.ExitSignal(THEIRS, OURS_PID, REASON)),
}


FRAMES = {
    "passed-through": message,
    "distribution-header": headed,
    "first-fragment": lambda term, payload: FIRST_FRAGMENT + headed(term, payload)[len(HEADER) :],
}


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize(("term", "payload", "event"), FORMS.values(), ids=FORMS)
def test_each_form_is_one_event(term, payload, event, frame, kind):
    assert decoded(control_reader.parse(kind(frame(term, payload)))) == event


def test_every_opcode_of_the_chapter_is_among_them():
    unused = {9, 10, 11, 14, 15, 17}

    assert {term[0] for term, _payload, _event in FORMS.values()} == set(range(1, 38)) - unused


@pytest.mark.parametrize("opcode", [9, 10, 11, 14, 15, 17, 38, 99, 255, 1000, -1])
def test_an_unknown_opcode_is_an_event_too(opcode):
    assert control_reader.parse(message((opcode, THEIRS, "x"))) == control.Unknown((opcode, THEIRS, "x"))


def test_the_payload_of_a_message_stays_encoded():
    frame = message((22, THEIRS, OURS_PID), MESSAGE)

    payload = control_reader.parse(frame).payload

    assert payload.data is frame
    assert frame[payload.offset :] == encode_term(MESSAGE)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"p", id="one-byte"),
        pytest.param(HEADER, id="nothing-behind-the-header"),
        pytest.param(b"\x83D", id="header-cut-short"),
        pytest.param(b"\x83D\1\x08\1a" + encode_term((1, THEIRS, OURS_PID)), id="atom-cache"),
        pytest.param(FIRST_FRAGMENT[:-1] + b"\1" + encode_term((1, THEIRS, OURS_PID)), id="atom-cache-in-fragments"),
        pytest.param(FIRST_FRAGMENT[:-1], id="fragment-cut-short"),
        pytest.param(HEADER + encode((1, THEIRS, OURS_PID)), id="version-byte-behind-the-header"),
        pytest.param(b"q" + encode((1, THEIRS, OURS_PID)), id="not-passed-through"),
        pytest.param(b"p\x84h\0", id="another-version"),
        pytest.param(message(()), id="empty-tuple"),
        pytest.param(message(1), id="integer"),
        pytest.param(message({}), id="empty-map"),
        pytest.param(message({"a": 1}), id="map"),
        pytest.param(message(PairsMap([(1, 2), (1.0, 3)])), id="map-with-keys-that-collide"),
        pytest.param(message([1, THEIRS, OURS_PID]), id="list"),
        pytest.param(message("text"), id="binary"),
        pytest.param(message(([],)), id="opcode-list"),
        pytest.param(message((1, THEIRS)), id="too-few-elements"),
        pytest.param(message((29, REF, THEIRS, LEADER, 1, [])), id="spawn-without-mfa"),
    ],
)
def test_what_is_no_control_message_is_a_protocol_error(frame):
    with pytest.raises(ProtocolError):
        control_reader.parse(frame)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(message((24, THEIRS, OURS_PID)), id="without-its-reason"),
        pytest.param(message((24, THEIRS, OURS_PID)) + b"\x83\xff", id="with-garbage"),
        pytest.param(headed((26, THEIRS, OURS_PID)), id="exit-2-without-its-reason"),
    ],
)
def test_a_reason_that_is_no_term_is_found_out_when_it_is_decoded(frame):
    # As with any payload: who does not want it, does not read it.
    with pytest.raises(DecodeError):
        control_reader.parse(frame).reason.decode()


TERMS = st.recursive(
    st.one_of(
        st.integers(-3, 40),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.text(max_size=5),
        st.sampled_from([THEIRS, OURS_PID, REF, NAME, UNUSED]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(st.integers(0, 3), inner, max_size=2),
    ),
    max_leaves=10,
)


def parses_or_is_refused(frame):
    try:
        event = control_reader.parse(frame)
    except ProtocolError:
        return True
    return isinstance(event, control_reader.Event)


@given(TERMS, st.none() | TERMS)
@settings(max_examples=150)
def test_any_term_parses_or_is_a_protocol_error(term, payload):
    assert parses_or_is_refused(message(term, payload))
    assert parses_or_is_refused(headed(term, payload))


@given(st.integers(1, 37), st.lists(TERMS, max_size=6), st.none() | TERMS)
@settings(max_examples=150)
def test_any_fields_behind_any_opcode_parse_or_are_a_protocol_error(opcode, fields, payload):
    assert parses_or_is_refused(message((opcode, *fields), payload))


@given(st.sampled_from(sorted(FORMS)), st.data())
@settings(max_examples=150)
def test_a_damaged_message_parses_or_is_a_protocol_error(name, data):
    term, payload, _event = FORMS[name]
    frame = bytearray(message(term, payload))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] = data.draw(st.integers(0, 255))

    assert parses_or_is_refused(frame)
    assert parses_or_is_refused(bytes(frame[:position]))


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_any_bytes_parse_or_are_a_protocol_error(data):
    assert parses_or_is_refused(b"p\x83" + data)
    assert parses_or_is_refused(HEADER + data)
    assert parses_or_is_refused(FIRST_FRAGMENT + data)
    assert parses_or_is_refused(data)


BOTH = pytest.mark.parametrize("flags", [OURS, MANDATORY_BEFORE_25], ids=["all-flags", "mandatory-flags"])


def reparsed(sent):
    """The event that a message stands for in each of its forms, its payload decoded."""
    frames = [sent.frame(header=header) for header in (False, True)]
    assert all(int.from_bytes(frame[:4]) == len(frame) - 4 for frame in frames)
    assert frames[0][4:6] == b"p\x83"
    assert frames[1][4:7] == HEADER
    events = [decoded(control_reader.parse(frame[4:])) for frame in frames]
    assert events[0] == events[1]
    return events[0]


@BOTH
@pytest.mark.parametrize("to", [NAME, REF], ids=["name", "alias"])
def test_a_message_to_a_name_or_an_alias_says_who_sends_it(flags, to):
    assert reparsed(control_writer.send(flags, OURS_PID, to, encode_term(MESSAGE))) == control.Send(
        OURS_PID, to, MESSAGE
    )


@pytest.mark.parametrize(("flags", "sender"), [(OURS, OURS_PID), (MANDATORY_BEFORE_25, None)])
def test_a_message_to_a_pid_says_who_sends_it_if_the_peer_understands_that(flags, sender):
    assert reparsed(control_writer.send(flags, OURS_PID, THEIRS, encode_term(MESSAGE))) == control.Send(
        sender, THEIRS, MESSAGE
    )


@BOTH
def test_the_end_of_a_linked_process(flags):
    frame = control_writer.link_exit(flags, OURS_PID, THEIRS, encode_term(REASON))

    assert reparsed(frame) == control.LinkExit(OURS_PID, THEIRS, REASON)


@BOTH
@pytest.mark.parametrize("target", [OURS_PID, NAME], ids=["pid", "name"])
def test_the_end_of_a_monitored_process(flags, target):
    frame = control_writer.monitor_exit(flags, target, THEIRS, REF, encode_term(REASON))

    assert reparsed(frame) == control.MonitorExit(target, THEIRS, REF, REASON)


@pytest.mark.parametrize(
    ("flags", "opcodes"), [(OURS, (24, 28, 26)), (MANDATORY_BEFORE_25 | Flag.SEND_SENDER, (3, 21, 8))]
)
def test_a_reason_is_a_payload_if_the_peer_understands_that(flags, opcodes):
    reason = encode_term(REASON)
    frames = (
        control_writer.link_exit(flags, OURS_PID, THEIRS, reason),
        control_writer.monitor_exit(flags, OURS_PID, THEIRS, REF, reason),
        control_writer.exit_signal(flags, OURS_PID, THEIRS, reason),
    )

    # length, 112, 131, SMALL_TUPLE_EXT, arity, SMALL_INTEGER_EXT, opcode
    assert tuple(frame.frame(header=False)[9] for frame in frames) == opcodes
    # length, 131, 68, 0, SMALL_TUPLE_EXT, arity, SMALL_INTEGER_EXT, opcode
    assert tuple(frame.frame(header=True)[10] for frame in frames) == opcodes


@pytest.mark.parametrize("result", [OURS_PID, Atom("badopt")])
def test_the_answer_to_a_spawn_request(result):
    assert reparsed(control_writer.spawn_reply(REF, THEIRS, 3, result)) == control.SpawnReply(REF, THEIRS, 3, result)


@pytest.mark.parametrize("id", [1, 1 << 31, (1 << 64) - 1])
def test_the_answer_to_an_unlink(id):
    assert reparsed(control_writer.unlink_ack(id, OURS_PID, THEIRS)) == control.UnlinkAck(id, OURS_PID, THEIRS)


@BOTH
def test_the_order_to_end(flags):
    sent = control_writer.exit_signal(flags, OURS_PID, THEIRS, encode_term(REASON))

    assert reparsed(sent) == control.ExitSignal(OURS_PID, THEIRS, REASON)


@pytest.mark.parametrize("id", [1, 1 << 31, (1 << 64) - 1])
def test_links(id):
    assert reparsed(control_writer.link(OURS_PID, THEIRS)) == control.Link(OURS_PID, THEIRS)
    assert reparsed(control_writer.unlink(id, OURS_PID, THEIRS)) == control.Unlink(id, OURS_PID, THEIRS)


@pytest.mark.parametrize("target", [THEIRS, NAME], ids=["pid", "name"])
def test_monitors(target):
    assert reparsed(control_writer.monitor(OURS_PID, target, REF)) == control.Monitor(OURS_PID, target, REF)
    assert reparsed(control_writer.demonitor(OURS_PID, target, REF)) == control.Demonitor(OURS_PID, target, REF)


def test_a_spawn_request():
    sent = control_writer.spawn_request(REF, OURS_PID, THEIRS, MFA, OPTIONS, encode_term([1.5]))

    assert reparsed(sent) == control.SpawnRequest(REF, OURS_PID, THEIRS, *MFA, OPTIONS, [1.5])


@pytest.mark.parametrize("size", [0, 1, SIZE, SIZE + 1, 3 * SIZE, 3 * SIZE + 1])
def test_a_large_message_travels_in_pieces_that_make_it_up_again(size):
    text = "x" * size
    sent = control_writer.send(OURS, OURS_PID, NAME, encode_term(text))
    assert sent.large is (len(sent.payload) > SIZE)

    reassembler, wholes = Reassembler(), []
    for frame in sent.fragments(7):
        assert int.from_bytes(frame[:4]) == len(frame) - 4 <= SIZE + 200
        wholes.append(reassembler.add(frame[4:]))

    assert [whole for whole in wholes[:-1] if whole is not None] == []
    assert decoded(control_reader.parse(wholes[-1])) == control.Send(OURS_PID, NAME, text)


def test_a_message_without_a_payload_is_never_large():
    assert control_writer.link(OURS_PID, THEIRS).large is False


def test_a_payload_is_decoded_where_it_begins():
    assert Payload(b"xx" + encode_term((1, "a")), 2).decode() == (1, "a")
