"""A message that is read in one stride is what the long way reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HEADER, headed, message

from beam_bpy.protocol import control_reader
from beam_bpy.protocol.erpc import ErpcCall
from beam_bpy.protocol.fast_path import FastReader
from beam_bpy.protocol.gen_server import GenCall
from vendor_term_codec import Atom, ImproperList, Pid, Reference, decode_term, encode_term

NODE = "app.1+(x@127.0.0.1"
PID = Pid(NODE, 87, 1, 5)
OTHER = Pid("other@127.0.0.1", 87, 1, 5)
REF = Reference(NODE, 5, [1, 2, 3])
MFA = (Atom("erpc"), Atom("execute_call"), 4)
UNUSED = Atom("")


def tag_of(ref):
    return ImproperList([Atom("alias")], ref)


def gen_call(request="request", ref=REF, caller=PID, to="server", kind="$gen_call", sender=PID):
    return headed((6, sender, UNUSED, Atom(to)), (Atom(kind), (caller, tag_of(ref)), request))


def erpc_call(arguments):
    term = (29, REF, PID, PID, MFA, [Atom("monitor")])
    return HEADER + encode_term(term) + encode_term([REF, Atom("m"), Atom("f"), arguments])


MONITOR, DEMONITOR = (headed((opcode, PID, Atom("server"), REF)) for opcode in (19, 20))


def read(frame):
    return FastReader(NODE).read(frame)


@pytest.mark.parametrize("request_", ["ping", ("name", [1, 2.5]), [[]], b"\xff" * 300, Atom("wmw")])
@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("to", ["server", "", "é" * 100, "h\2X"])
def test_a_gen_server_call(request_, words, to):
    ref = Reference(NODE, 9, [104] * words)
    frame = gen_call(request_, ref, to=to)
    call = read(frame)

    assert isinstance(call, GenCall)
    assert call.message == control_reader.parse(frame)
    assert (call.caller.pid, call.caller.ref, call.caller.is_alias) == (PID, ref, True)
    assert call.caller.tag == encode_term(tag_of(ref))
    assert call.request.decode() == decode_term(encode_term(request_))[0]


@pytest.mark.parametrize("frame", [MONITOR, DEMONITOR], ids=["monitor", "demonitor"])
def test_a_monitor_of_a_name_and_its_end(frame):
    assert read(frame) == control_reader.parse(frame)
    assert type(read(frame)) is type(control_reader.parse(frame))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        HEADER,
        HEADER + b"h\2a\6",
        gen_call(sender=OTHER),
        gen_call(caller=OTHER),
        gen_call(ref=Reference("other@127.0.0.1", 5, [1, 2, 3])),
        gen_call(kind="$gen_cast"),
        headed((6, PID, UNUSED, Atom("server")), (Atom("$gen_call"), (PID, REF), "of a release before 24")),
        headed((6, PID, UNUSED, Atom("server")), "no call"),
        headed((6, PID, UNUSED, Atom("日" * 200)), (Atom("$gen_call"), (PID, tag_of(REF)), "request")),
        message((6, PID, UNUSED, Atom("server")), (Atom("$gen_call"), (PID, tag_of(REF)), "without a header")),
        headed((22, PID, PID), (Atom("$gen_call"), (PID, tag_of(REF)), "to a pid")),
        headed((19, OTHER, Atom("server"), REF)),
        headed((19, PID, PID, REF)),
        MONITOR + b"j",
    ],
    ids=range(15),
)
def test_what_is_written_in_another_way_is_left_to_the_long_one(frame):
    assert read(frame) is None


def same(quick, slow):
    """Whether both ways have read the same; the long one reads the atoms true, false and nil as Python's own."""
    if isinstance(quick, ErpcCall):
        return (quick.ref, quick.sender) == (slow.ref, slow.sender)
    if isinstance(quick, GenCall):
        return same(quick.message, slow)
    return type(quick) is type(slow) and all(
        mine == other or encode_term(mine) == encode_term(other) for mine, other in zip(quick, slow, strict=True)
    )


FRAMES = [gen_call(), gen_call(to="true"), MONITOR, DEMONITOR, erpc_call([1, "text"])]


def test_no_cut_raises_anything_or_is_read_otherwise():
    for frame in FRAMES:
        for end in range(len(frame)):
            event = read(frame[:end])
            assert event is None or same(event, control_reader.parse(frame[:end]))


@given(st.sampled_from(FRAMES), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=3))
def test_no_changed_byte_raises_anything_or_is_read_otherwise(frame, changes):
    changed = bytearray(frame)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    event = read(bytes(changed))
    assert event is None or same(event, control_reader.parse(bytes(changed)))
