"""A call that is read in one stride is the call that the long way reads."""

import pytest

from beam_bpy.protocol import control, control_reader, control_writer
from beam_bpy.protocol.erpc import ErpcReader, ErpcReply, returned
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term

NODE = "app.1+(x@127.0.0.1"
HEADER = bytes((131, 68, 0))
MONITOR = (Atom("monitor"),)
MFA = (Atom("erpc"), Atom("execute_call"), 4)
SENDER = Pid(NODE, 87, 1, 5)
REF = Reference(NODE, 5, [1, 2, 3])


def request(arguments, ref=REF, call_ref=REF, sender=SENDER, options=MONITOR, mfa=MFA, names=("m", "f")):
    head = encode_term((29, ref, sender, SENDER, mfa, list(options)))
    return HEADER + head + encode_term([call_ref, *map(Atom, names), arguments])


@pytest.mark.parametrize("arguments", [[], [1, 2], ["a", 1.5], [[]], [b"\x00" * 300], [Atom("wmw")], list(range(300))])
@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("names", [("m", "f"), ("Elixir.Blender", "call_handler"), ("", ""), ("é" * 100, "日")])
def test_it_reads_what_the_long_way_reads(arguments, words, names):
    ref, call_ref = Reference(NODE, 9, [7] * words), Reference(NODE, 5, [119] * words)
    frame = request(arguments, ref, call_ref, names=names)
    call, event = ErpcReader(NODE).read(frame), control_reader.parse(frame)

    assert (call.ref, call.sender) == (event.ref, event.sender) == (ref, SENDER)
    assert call.call_ref == encode_term(call_ref)
    assert (call.module, call.function, call.arity) == (*names, len(arguments))
    assert decode_term(frame, call.offset)[0] == decode_term(encode_term(arguments))[0]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        HEADER,
        request([1], ref=Reference("other@127.0.0.1", 5, [1, 2, 3])),
        request([1], sender=Pid("other@127.0.0.1", 1, 2, 3)),
        request([1], options=()),
        request([1], options=(Atom("monitor"), Atom("link"))),
        request([1], mfa=(Atom("erpc"), Atom("execute_cast"), 3)),
        request([1], names=("m", "日" * 200)),
        request(Atom("no_list")),
        request([1]).replace(HEADER, bytes((112, 131))),
        HEADER + encode_term((6, SENDER, Atom(""), Atom("rex"))),
    ],
    ids=range(11),
)
def test_what_is_written_in_another_way_is_left_to_the_long_one(frame):
    assert ErpcReader(NODE).read(frame) is None


def test_no_cut_and_no_changed_byte_raises_anything():
    reader, frame = ErpcReader(NODE), request(["text", 1.5])
    for end in range(len(frame)):
        reader.read(frame[:end])
    for at in range(len(frame)):
        for byte in (0, 97, 104, 106, 107, 108, 119, 255):
            reader.read(frame[:at] + bytes((byte,)) + frame[at + 1 :])


def test_the_reply_is_what_the_two_messages_would_be():
    call, pid = ErpcReader(NODE).read(request([1])), Pid("me@127.0.0.1", 1, 0, 9)
    reason = returned(call.call_ref, encode_term("value"))
    reply = control_writer.spawn_reply(call.ref, call.sender, control.SpawnFlag.MONITORED, pid).frame(header=True)
    flags = control.Flag.EXIT_PAYLOAD
    end = control_writer.monitor_exit(flags, pid, call.sender, call.ref, reason).frame(header=True)

    assert ErpcReply(call, pid, reason).frame(header=True) == reply + end
    assert decode_term(reason)[0] == (REF, Atom("return"), "value")
