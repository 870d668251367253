"""Both readers return the same event for the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HEADER, headed, message

from beam_bpy.protocol import control_reader
from beam_bpy.protocol.control import Send
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
MONITORED = (Atom("monitor"),)
NAMES = [("m", "f"), ("Elixir.Blender", "call_handler"), ("", ""), ("é" * 100, "日"), ("true", "nil")]


def tag_of(ref):
    return ImproperList([Atom("alias")], ref)


def gen_call(request="request", ref=REF, caller=PID, to="server", kind="$gen_call", sender=PID):
    return headed((6, sender, UNUSED, Atom(to)), (Atom(kind), (caller, tag_of(ref)), request))


def erpc_call(arguments, ref=REF, call_ref=REF, sender=PID, options=MONITORED, mfa=MFA, names=("m", "f")):
    head = encode_term((29, ref, sender, PID, mfa, list(options)))
    return HEADER + head + encode_term([call_ref, *map(Atom, names), arguments])


MONITOR, DEMONITOR = (headed((opcode, PID, Atom("server"), REF)) for opcode in (19, 20))


TRUE_MONITOR = headed((19, PID, Atom("true"), REF))


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
    assert call == control_reader.parse(frame)
    assert call.message == Send(PID, Atom(to), call.message.payload)
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


def same(frame):
    """Both readers return the same event, unless the fast path leaves the message to the other one."""
    event = read(frame)
    if event is None:
        return True
    slow = control_reader.parse(frame)
    return (type(event), event) == (type(slow), slow)


FRAMES = [
    *(gen_call(), gen_call(to="true"), gen_call(to="nil"), MONITOR, DEMONITOR, TRUE_MONITOR),
    *(erpc_call([1, "text"]), erpc_call([]), erpc_call([1, 2]), erpc_call(["x"] * 300)),
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_a_truncated_message_is_read_in_the_same_way(frame):
    for end in range(len(frame)):
        assert same(frame[:end])


@given(st.sampled_from(FRAMES), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_changed_message_is_read_in_the_same_way(frame, changes):
    changed = bytearray(frame)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    assert same(bytes(changed))


ERPC_ARGUMENTS = [[], [1, 2], ["a", 1.5], [[]], [b"\x00" * 300], [Atom("wmw")], list(range(300))]


@pytest.mark.parametrize("arguments", ERPC_ARGUMENTS, ids=range(len(ERPC_ARGUMENTS)))
@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("names", NAMES)
def test_an_erpc_call(arguments, words, names):
    ref, call_ref = Reference(NODE, 9, [7] * words), Reference(NODE, 5, [119] * words)
    frame = erpc_call(arguments, ref, call_ref, names=names)
    call = read(frame)

    assert isinstance(call, ErpcCall)
    assert call == control_reader.parse(frame)
    assert (call.ref, call.sender, call.call_ref) == (ref, PID, encode_term(call_ref))
    assert (call.module, call.function, call.arity) == (*names, len(arguments))
    assert call.arguments.decode() == decode_term(encode_term(arguments))[0]


@pytest.mark.parametrize(
    "frame",
    [
        erpc_call([1], ref=Reference("other@127.0.0.1", 5, [1, 2, 3])),
        erpc_call([1], sender=OTHER),
        erpc_call([1], options=()),
        erpc_call([1], options=(Atom("monitor"), Atom("link"))),
        erpc_call([1], mfa=(Atom("erpc"), Atom("execute_cast"), 3)),
        erpc_call([1], names=("m", "日" * 200)),
        erpc_call(Atom("no_list")),
        erpc_call([1]).replace(HEADER, bytes((112, 131))),
        HEADER + encode_term((6, PID, Atom(""), Atom("rex"))),
    ],
    ids=range(9),
)
def test_a_spawn_request_of_another_form_is_left_to_the_other_reader(frame):
    assert read(frame) is None
