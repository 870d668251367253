"""The log of calls that fail: who has called what, and why it failed."""

import logging

import pytest
from calling import MONITOR, A, LocalNode, ask_erpc
from support import Caller

from beam_bpy import ErlangError, ErlangExit, ErlangThrow
from beam_bpy.calls.failure_log import log_failed_calls
from beam_bpy.logger import repeated
from vendor_term_codec import Atom

CALLER = "caller@127.0.0.1"


@pytest.fixture(autouse=True)
def _fresh_log(caplog):
    repeated.summarise()
    caplog.set_level("DEBUG", logger="beam_bpy")
    yield
    repeated.summarise()
    log_failed_calls(logging.DEBUG)


@pytest.fixture
def local():
    return LocalNode()


@pytest.fixture
def caller(local):
    return Caller(local.node)


def erpc_cast(caller, module, function, args):
    mfa = (A("erpc"), A("execute_cast"), 3)
    caller.tell(29, caller.ref(), caller.pid, caller.pid, mfa, [], payload=[module, function, args])


def spawn(caller, module, function, args):
    caller.tell(29, caller.ref(), caller.pid, caller.pid, (module, function, len(args)), [], payload=args)


def gen_cast(caller, module, function, args):
    caller.tell(6, caller.pid, A(""), A("beam_bpy"), payload=(A("$gen_cast"), (function, args)))


def call(caller, module, function, args):
    ask_erpc(caller, module, function, args, MONITOR)


def failures(caplog):
    return [record for record in caplog.records if " failed: " in record.getMessage()]


def raises(error):
    def fail(args):
        raise error

    return fail


@pytest.mark.parametrize(
    ("way", "level", "what"),
    [
        (erpc_cast, "WARNING", "a cast"),
        (spawn, "WARNING", "a spawned process"),
        (gen_cast, "WARNING", "a cast"),
        (call, "DEBUG", "a call"),
    ],
)
@pytest.mark.parametrize(
    ("function", "reason"),
    [("missing", "undef"), ("bad", "ValueError: no crate"), ("odd", "{no_crate,3}"), ("ends", "exit shutdown")],
)
def test_it_names_module_function_arity_and_node(local, caller, caplog, way, level, what, function, reason):
    local.register("bad", raises(ValueError("no crate")))
    local.register("odd", raises(ErlangError((Atom("no_crate"), 3))))
    local.register("ends", raises(ErlangExit(Atom("shutdown"))))

    way(caller, A("Elixir.B"), A(function), [1, 2])
    local.serve()

    (record,) = failures(caplog)
    module = "beam_bpy:" if way is gen_cast else "B."
    assert record.levelname == level
    assert record.getMessage() == f"{what} failed: {module}{function}/2, from {CALLER}: {reason}"
    assert record.fields["node"] == CALLER
    assert (record.fields["function"], record.fields["arity"]) == (function, 2)


def test_a_throw(local, caller, caplog):
    local.register("throws", raises(ErlangThrow(1)))

    erpc_cast(caller, A("lists"), A("throws"), [])
    local.serve()

    assert failures(caplog)[0].getMessage() == f"a cast failed: lists:throws/0, from {CALLER}: throw 1"


def test_calls_at_info_on_request(local, caller, caplog):
    log_failed_calls(logging.INFO)

    call(caller, A("m"), A("missing"), [])

    assert [record.levelname for record in failures(caplog)] == ["INFO"]


@pytest.mark.parametrize("way", [erpc_cast, spawn, gen_cast])
def test_three_thousand_are_two_lines(local, caller, caplog, way):
    for number in range(3_000):
        way(caller, A("m"), A("missing"), [number])
    repeated.summarise()

    first, summary = failures(caplog)
    assert summary.fields["repeated"] == 2_999
    assert first.getMessage() in summary.getMessage()


def test_another_reason_is_another_line(local, caller, caplog):
    errors = iter([ValueError("a"), KeyError("b"), ValueError("c")])
    local.register("fail", lambda args: raises(next(errors))(args))

    for _ in range(3):
        erpc_cast(caller, A("m"), A("fail"), [])
    local.serve()

    assert [record.fields["reason"] for record in failures(caplog)] == ["ValueError: a", "KeyError: 'b'"]


def test_names_from_the_peer_are_escaped(local, caller, caplog):
    erpc_cast(caller, A("m\nWARNING forged"), A("f\x1b[2J"), [])

    message = failures(caplog)[0].getMessage()
    assert message.isprintable()
    assert "m\\nWARNING forged:f\\x1b[2J/0" in message


def test_a_step_of_a_batch(local, caller, caplog):
    local.register("bad", raises(ValueError("no crate")))

    call(caller, A("Elixir.B"), A("call_batch"), [[("bad", [1]), ("missing", [])]])
    local.serve()

    assert [record.fields["function"] for record in failures(caplog)] == ["bad", "missing"]
