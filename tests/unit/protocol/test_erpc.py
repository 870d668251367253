"""The convention of erpc: what a call, its answer and a cast look like."""

import pytest

from beam_bpy.protocol import control_reader, control_writer, erpc
from beam_bpy.protocol.control import SpawnFlag
from beam_bpy.protocol.flags import Flag
from beam_bpy.protocol.framing import FrameReader
from vendor_term_codec import Atom, Pid, Reference, decode_term, encode_term

NODE = "app@127.0.0.1"
CALLER = Pid(NODE, 87, 1, 5)
REF, CALL_REF = Reference(NODE, 5, [1, 2, 3]), Reference(NODE, 5, [4, 5, 6])
STACK = [(Atom("m"), Atom("f"), 0, [])]
PROCESS = Pid("me@127.0.0.1", 1, 0, 9)


def request(target, options, arguments):
    frame = control_writer.spawn_request(REF, CALLER, CALLER, target, options, arguments).frame(header=True)
    return control_reader.parse(frame[4:])


def test_a_call_that_is_written_is_read():
    arguments = erpc.call_arguments(CALL_REF, Atom("lists"), "sum", encode_term([[1, 2]]))
    call = request(erpc.EXECUTE_CALL, erpc.MONITORED, arguments)

    assert (call.ref, call.sender, call.call_ref) == (REF, CALLER, CALL_REF.ext)
    assert (call.module, call.function, call.arity, call.arguments.decode()) == ("lists", "sum", 1, [[1, 2]])


def test_a_cast_that_is_written_is_read():
    arguments = erpc.cast_arguments(Atom("m"), "f", encode_term([1, "x"]))
    called = erpc.cast_of(request(erpc.EXECUTE_CAST, [], arguments))

    assert (called.module, called.function, called.arguments.decode()) == ("m", "f", [1, "x"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [CALL_REF, Atom("m"), Atom("f")],
        [CALL_REF, Atom("m"), Atom("f"), Atom("no_list")],
        [CALL_REF, "m", Atom("f"), []],
        [CALL_REF, Atom("m"), 5, []],
        [Atom("no_reference"), Atom("m"), Atom("f"), []],
        [CALL_REF, Atom("m"), Atom("f"), [], []],
    ],
    ids=range(7),
)
def test_arguments_of_another_shape_are_no_call(arguments):
    spawn = request(erpc.EXECUTE_CALL, erpc.MONITORED, encode_term(arguments))

    assert (spawn.module, spawn.function, spawn.payload.decode()) == ("erpc", "execute_call", arguments)


def test_the_reply_is_what_the_two_messages_would_be():
    reason = erpc.returned(CALL_REF.ext, encode_term("value"))
    spawned = control_writer.spawn_reply(REF, CALLER, SpawnFlag.MONITORED, PROCESS).frame(header=True)
    end = control_writer.monitor_exit(Flag.EXIT_PAYLOAD, PROCESS, CALLER, REF, reason).frame(header=True)

    reply = erpc.reply(REF, CALLER, PROCESS, reason)

    assert reply == spawned + end
    assert len(FrameReader().feed(reply)) == 2


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (erpc.returned(CALL_REF.ext, encode_term(5)), ("return", 5, None)),
        (erpc.failed(CALL_REF.ext, Atom("throw"), 5, []), ("throw", 5, None)),
        (erpc.failed(CALL_REF.ext, Atom("exit"), 5, []), ("exit", 5, None)),
        (erpc.failed(CALL_REF.ext, Atom("error"), 5, STACK), ("error", 5, STACK)),
        (encode_term((CALL_REF, Atom("error"), 5)), ("error", 5, None)),
    ],
    ids=["return", "throw", "exit", "error", "error of an old release"],
)
def test_each_answer_is_read(reason, outcome):
    assert erpc.outcome_in(decode_term(reason)[0], CALL_REF) == outcome


@pytest.mark.parametrize("reason", [Atom("noconnection"), (REF, Atom("return"), 5), (CALL_REF, Atom("other"), 5), 5])
def test_any_other_reason_is_no_answer(reason):
    assert erpc.outcome_in(reason, CALL_REF) is None
