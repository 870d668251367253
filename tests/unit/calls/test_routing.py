"""Each calling convention of the BEAM, from the control message that a node sends to the one that it gets back."""

import numpy
import pytest
from calling import (
    CRATES,
    LINK,
    MONITOR,
    UNUSED,
    A,
    LocalNode,
    ask_erpc,
    ask_gen,
    by_erpc,
    by_gen_server,
    by_rex_call,
    by_rex_message,
    erpc,
    gen_call,
    rex_message,
    spawn,
)
from support import Caller

from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from beam_bpy.protocol import control
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS
from vendor_term_codec import Atom, Pid, Reference, encode, encode_term


@pytest.fixture
def local():
    local = LocalNode()
    local.register("echo", lambda args: args)
    return local


@pytest.fixture
def caller(local):
    return Caller(local.node)


def gen_exit(local, caller, name, request, **options):
    """The reason with which a `gen_server:call` exits."""
    ref, _tag = ask_gen(caller, name, request, **options)
    local.serve()
    [down] = caller.heard()
    assert (down.target, down.to, down.ref) == (name, caller.pid, ref)
    return down.reason


def by_old_gen_server(local, caller, function, args):
    return gen_call(local, caller, A("beam_bpy"), (function, args), alias=False)


def by_gen_server_without_monitor(local, caller, function, args):
    return gen_call(local, caller, A("beam_bpy"), (function, args), monitor=False)


def by_rex_block_call(local, caller, function, args):
    return gen_call(local, caller, A("rex"), (A("block_call"), CRATES, function, args, caller.pid), alias=False)


CALLS = [
    by_erpc,
    by_gen_server,
    by_old_gen_server,
    by_gen_server_without_monitor,
    by_rex_call,
    by_rex_block_call,
    by_rex_message,
]


@pytest.mark.parametrize("flags", [OURS, MANDATORY_BEFORE_25], ids=["all-flags", "mandatory-flags"])
@pytest.mark.parametrize("call", CALLS)
def test_each_way_to_call_gets_the_value(local, call, flags):
    caller = Caller(local.node, flags=flags)

    assert call(local, caller, A("echo"), [1, "two", {A("three"): 3.0}]) == [1, "two", {A("three"): 3.0}]


@pytest.mark.parametrize("call", CALLS)
def test_each_way_to_call_may_carry_no_arguments(local, caller, call):
    assert call(local, caller, A("echo"), []) == []


@pytest.mark.parametrize("call", CALLS)
def test_arguments_may_come_one_by_one(local, caller, call):
    local.register("add", lambda a, b: a + b, spread=True)

    assert call(local, caller, A("add"), [40, 2]) == 42


@pytest.mark.parametrize("call", CALLS)
def test_an_inline_handler_is_answered_at_once(local, caller, call, monkeypatch):
    local.register("now", lambda args: "now", inline=True)
    monkeypatch.setattr(local, "serve", lambda: None)

    assert call(local, caller, A("now"), []) == "now"
    assert len(local.queue) == 0


def stack(module, function, last):
    return [(module, function, last, [])]


class TestUndef:
    def test_by_erpc(self, local, caller):
        assert erpc(local, caller, CRATES, A("missing"), [1, "x"]) == (
            A("error"),
            A("undef"),
            stack(CRATES, A("missing"), [1, "x"]),
        )

    @pytest.mark.parametrize("call", [by_rex_call, by_rex_message])
    def test_by_rex(self, local, caller, call):
        assert call(local, caller, A("missing"), [1]) == (
            A("badrpc"),
            (A("EXIT"), (A("undef"), stack(CRATES, A("missing"), [1]))),
        )

    @pytest.mark.parametrize("alias", [True, False])
    def test_by_gen_server(self, local, caller, alias):
        reason = gen_exit(local, caller, A("beam_bpy"), ("missing", [1]), alias=alias)

        assert reason == (A("undef"), stack(A("beam_bpy"), A("missing"), [1]))

    def test_by_spawn_monitor(self, local, caller):
        ref, reply = spawn(caller, CRATES, A("missing"), [1], MONITOR)

        reason = (A("undef"), stack(CRATES, A("missing"), [1]))
        assert caller.heard() == [control.MonitorExit(reply.result, caller.pid, ref, reason)]

    def test_packed_arguments_are_shown(self, local, caller):
        monitor, call = caller.ref(), caller.ref()
        mfa = (A("erpc"), A("execute_call"), 4)
        term = (29, monitor, caller.pid, caller.pid, mfa, MONITOR)
        caller.tell_raw(b"p" + encode(term) + b"\x83" + packed_call(call, A("missing"), b"ab"))

        assert caller.heard()[1].reason == (call, A("error"), A("undef"), stack(CRATES, A("missing"), [97, 98]))


def packed_call(call, function, small_integers):
    """The arguments of erpc:execute_call/4 as Erlang packs them: a list of small integers is a STRING_EXT."""
    string = b"k" + len(small_integers).to_bytes(2) + small_integers
    return b"l\0\0\0\4" + b"".join(map(encode_term, (call, CRATES, function))) + string + b"j"


def raises(error):
    def handler(args):
        raise error

    return handler


def python_error(local, caller, function=None):
    """The details of the python_error that a call of `fail` ends with, which is what `erpc` raises."""
    if function is not None:
        local.register("fail", function)
    kind, (tag, details), trace = erpc(local, caller, CRATES, A("fail"), [1])
    assert (kind, tag, trace) == (A("error"), A("python_error"), stack(CRATES, A("fail"), 1))
    return details


class TestPythonError:
    def test_its_shape(self, local, caller):
        details = python_error(local, caller, raises(ValueError("no such crate: größe")))

        assert list(details) == ["type", "message", "traceback"]
        assert all(isinstance(key, Atom) and not isinstance(text, Atom) for key, text in details.items())
        assert details["type"] == "ValueError"
        assert details["message"] == "no such crate: größe"

    def test_its_traceback_begins_in_the_handler(self, local, caller):
        def inner(args):
            return args[99]

        lines = python_error(local, caller, lambda args: inner(args))["traceback"].splitlines()

        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1].endswith("in <lambda>")
        assert any(line.endswith("in inner") for line in lines)
        assert lines[-1] == "IndexError: list index out of range"
        assert not [line for line in lines if "beam_bpy/calls/" in line]

    def test_arguments_that_do_not_fit_are_a_type_error(self, local, caller):
        local.register("fail", lambda: None, spread=True)

        details = python_error(local, caller)

        assert details["type"] == "TypeError"
        assert "beam_bpy/" not in details["traceback"]

    def test_a_result_without_a_term_is_an_answer_with_the_way_to_it(self, local, caller):
        details = python_error(local, caller, lambda args: {"mesh": [1, object()]})

        assert details["type"] == "EncodeError"
        assert details["message"].startswith('result["mesh"][1]: cannot encode')

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    def test_not_even_an_exit_leaves_the_caller_waiting(self, local, caller, error):
        assert python_error(local, caller, raises(error))["type"] == type(error).__name__

    def test_text_that_is_no_unicode_arrives_all_the_same(self, local, caller):
        assert python_error(local, caller, raises(ValueError("\udcff")))["message"] == "?"

    def test_a_long_traceback_keeps_its_end(self, local, caller):
        details = python_error(local, caller, raises(ValueError("x" * 100_000 + "end")))

        assert len(details["traceback"]) <= 16_000
        assert details["traceback"].endswith("end\n")

    def test_an_exception_that_cannot_be_printed_is_an_answer(self, local, caller):
        class UnprintableError(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        assert python_error(local, caller, raises(UnprintableError()))["type"] == "UnprintableError"

    @pytest.mark.parametrize("call", [by_rex_call, by_rex_message])
    def test_by_rex_it_is_a_badrpc(self, local, caller, call):
        local.register("fail", raises(ValueError("x")))

        tag, (exit_, ((kind, details), trace)) = call(local, caller, A("fail"), [])

        assert (tag, exit_, kind) == (A("badrpc"), A("EXIT"), A("python_error"))
        assert details["message"] == "x"
        assert trace == stack(CRATES, A("fail"), 0)

    def test_by_gen_server_it_is_the_reason_of_the_exit(self, local, caller):
        local.register("fail", raises(ValueError("x")))

        (kind, details), trace = gen_exit(local, caller, A("beam_bpy"), ("fail", [1, 2]))

        assert (kind, details["type"]) == (A("python_error"), "ValueError")
        assert trace == stack(A("beam_bpy"), A("fail"), 2)

    def test_by_gen_server_without_a_monitor_it_is_a_reply(self, local, caller):
        local.register("fail", raises(ValueError("x")))

        tag, (_exit, ((kind, _details), _trace)) = by_gen_server_without_monitor(local, caller, "fail", [])

        assert (tag, kind) == (A("badrpc"), A("python_error"))

    def test_the_server_goes_on_after_a_failed_call(self, local, caller):
        local.register("fail", raises(ValueError("x")))
        gen_exit(local, caller, A("beam_bpy"), ("fail", []))

        assert by_gen_server(local, caller, "echo", [1]) == [1]


class CrateError(ErlangError):
    """A failure of an application's own."""


TRACE = stack(CRATES, A("fail"), 1)
CHOSEN = {
    "error": (ErlangError((A("no_crate"), "a")), (A("error"), (A("no_crate"), "a"), TRACE)),
    "subclass": (CrateError(A("no_crate")), (A("error"), A("no_crate"), TRACE)),
    "exit": (ErlangExit(A("shutdown")), (A("exit"), A("shutdown"))),
    "throw": (ErlangThrow([1]), (A("throw"), [1])),
}


@pytest.mark.parametrize(("error", "outcome"), CHOSEN.values(), ids=CHOSEN)
def test_a_handler_chooses_how_it_fails(local, caller, error, outcome):
    local.register("fail", raises(error))

    assert erpc(local, caller, CRATES, A("fail"), [1]) == outcome


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ErlangError(A("no_crate")), (A("no_crate"), TRACE)),
        (ErlangExit(A("shutdown")), A("shutdown")),
        (ErlangThrow(1), ((A("nocatch"), 1), TRACE)),
    ],
)
def test_a_process_ends_as_its_handler_chose(local, caller, error, reason):
    local.register("fail", raises(error))

    ref, reply = spawn(caller, CRATES, A("fail"), [1], MONITOR)
    local.serve()

    assert caller.heard() == [control.MonitorExit(reply.result, caller.pid, ref, reason)]


@pytest.mark.parametrize(
    ("error", "value"),
    [
        (ErlangError(A("no_crate")), (A("badrpc"), (A("EXIT"), (A("no_crate"), stack(CRATES, A("fail"), 0))))),
        (ErlangExit(A("shutdown")), (A("badrpc"), (A("EXIT"), A("shutdown")))),
        (ErlangThrow("caught"), "caught"),
    ],
)
@pytest.mark.parametrize("call", [by_rex_call, by_rex_message])
def test_by_rex_a_throw_is_a_value_and_the_others_a_badrpc(local, caller, call, error, value):
    local.register("fail", raises(error))

    assert call(local, caller, A("fail"), []) == value


@pytest.mark.parametrize("error", [ErlangError, ErlangExit, ErlangThrow])
def test_a_chosen_reason_without_a_term_is_a_python_error(local, caller, error):
    details = python_error(local, caller, raises(error({"why": object()})))

    assert details["type"] == "EncodeError"
    assert "cannot encode" in details["message"]


def test_a_chosen_reason_may_hold_what_a_result_may_hold(local, caller):
    class Crate:
        pass

    local.encoder.register(Crate, lambda _crate: "a crate")
    local.register("fail", raises(ErlangError(Crate())))

    assert erpc(local, caller, CRATES, A("fail"), [1]) == (A("error"), "a crate", TRACE)


class TestSpawn:
    """`Node.spawn` and the like: nobody gets the value."""

    def test_without_options_nobody_is_told_of_the_end(self, local, caller):
        _ref, reply = spawn(caller, CRATES, A("echo"), [1], [])

        assert local.serve() == 1
        assert reply.flags == 0
        assert caller.heard() == []

    def test_a_monitor_is_told(self, local, caller):
        ref, reply = spawn(caller, CRATES, A("echo"), [1], MONITOR)
        local.serve()

        assert reply.flags == control.SpawnFlag.MONITORED
        assert caller.heard() == [control.MonitorExit(reply.result, caller.pid, ref, A("normal"))]

    def test_a_link_is_told(self, local, caller):
        _ref, reply = spawn(caller, CRATES, A("echo"), [1], LINK)
        local.serve()

        assert reply.flags == control.SpawnFlag.LINKED
        assert caller.heard() == [control.LinkExit(reply.result, caller.pid, A("normal"))]

    def test_both_are_told(self, local, caller):
        _ref, reply = spawn(caller, CRATES, A("echo"), [1], LINK + MONITOR)
        local.serve()

        assert reply.flags == control.SpawnFlag.LINKED | control.SpawnFlag.MONITORED
        assert {type(event) for event in caller.heard()} == {control.LinkExit, control.MonitorExit}

    def test_the_pid_is_of_this_node_and_new(self, local, caller):
        pids = [spawn(caller, CRATES, A("echo"), [], [])[1].result for _ in range(3)]

        assert {pid.node for pid in pids} == {"beam_bpy@127.0.0.1"}
        assert len(set(pids)) == 3


class TestCasts:
    """A call for which nobody waits runs and gets no answer."""

    @pytest.fixture
    def ran(self, local):
        ran = []
        local.register("note", ran.append)
        return ran

    def test_gen_server_cast(self, local, caller, ran):
        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), ("note", [1])))
        local.serve()

        assert ran == [[1]]
        assert caller.heard() == []

    def test_rex_cast(self, local, caller, ran):
        request = (A("cast"), CRATES, A("note"), [1], caller.pid)
        caller.tell(6, caller.pid, UNUSED, A("rex"), payload=(A("$gen_cast"), request))
        local.serve()

        assert ran == [[1]]
        assert caller.heard() == []

    def test_erpc_cast(self, local, caller, ran):
        _ref, reply = spawn(caller, A("erpc"), A("execute_cast"), [CRATES, A("note"), [1]], [])
        local.serve()

        assert ran == [[1]]
        assert isinstance(reply.result, Pid)
        assert caller.heard() == []

    @pytest.mark.parametrize("name", ["fail", "missing"])
    def test_one_that_fails_is_logged(self, local, caller, caplog, name):
        local.register("fail", raises(ValueError("no such crate")))

        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (name, [1])))
        local.serve()

        assert caller.heard() == []
        assert "a cast failed" in caplog.text


class TestAbandonedCalls:
    """A call that nobody waits for any more does not run; a cast always does."""

    @pytest.fixture
    def ran(self, local):
        ran = []
        local.register("note", ran.append)
        return ran

    def test_an_erpc_call_whose_caller_has_given_up(self, local, caller, ran):
        process, monitor, _call = ask_erpc(caller, CRATES, A("note"), [])
        caller.tell(20, caller.pid, process, monitor)

        local.serve()

        assert ran == []
        assert caller.heard() == []

    def test_its_process_is_gone(self, local, caller, ran):
        process, monitor, _call = ask_erpc(caller, CRATES, A("note"), [])
        caller.tell(20, caller.pid, process, monitor)
        local.serve()

        caller.monitor(process)

        assert [event.reason for event in caller.heard()] == [A("noproc")]

    def test_an_erpc_call_whose_node_has_gone(self, local, caller, ran):
        ask_erpc(caller, CRATES, A("note"), [])
        caller.disconnect()

        local.serve()

        assert ran == []

    def test_a_spawned_process_that_was_told_to_end(self, local, caller, ran):
        ref, reply = spawn(caller, CRATES, A("note"), [], MONITOR)
        caller.tell(8, caller.pid, reply.result, A("kill"))

        local.serve()

        assert ran == []
        assert caller.heard() == [control.MonitorExit(reply.result, caller.pid, ref, A("killed"))]

    def test_a_spawned_process_whose_linked_caller_has_gone(self, local, caller, ran):
        spawn(caller, CRATES, A("note"), [], LINK)
        caller.disconnect()

        local.serve()

        assert ran == []

    def test_a_gen_call_whose_caller_has_given_up(self, local, caller, ran):
        ref, _tag = ask_gen(caller, A("beam_bpy"), ("note", []))
        caller.tell(20, caller.pid, A("beam_bpy"), ref)

        local.serve()

        assert ran == []
        assert caller.heard() == []

    @pytest.mark.parametrize("monitor", [True, False])
    def test_a_gen_call_whose_node_has_gone(self, local, caller, ran, monitor):
        ask_gen(caller, A("beam_bpy"), ("note", []), monitor=monitor)
        caller.disconnect()

        local.serve()

        assert ran == []

    def test_a_message_to_rex_whose_node_has_gone(self, local, caller, ran):
        request = (A("call"), CRATES, A("note"), [], A("user"))
        caller.tell(6, caller.pid, UNUSED, A("rex"), payload=(caller.pid, request))
        caller.disconnect()

        local.serve()

        assert ran == []

    def test_other_calls_of_the_same_caller_run(self, local, caller, ran):
        process, monitor, _call = ask_erpc(caller, CRATES, A("note"), ["first"])
        caller.tell(20, caller.pid, process, monitor)
        ask_erpc(caller, CRATES, A("note"), ["second"])

        local.serve()

        assert ran == [["second"]]

    def test_a_cast_and_a_spawn_run_though_their_node_has_gone(self, local, caller, ran):
        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), ("note", ["cast"])))
        spawn(caller, CRATES, A("note"), ["spawned"], [])
        caller.disconnect()

        local.serve()

        assert ran == [["cast"], ["spawned"]]


class TestArguments:
    """The arguments that a handler gets."""

    def received(self, local, caller, args, **options):
        got = []
        local.register("take", got.append, **options)
        by_erpc(local, caller, A("take"), args)
        return got[0]

    @pytest.mark.parametrize("arrays", [False, True])
    def test_packed_small_integers_are_a_list(self, local, caller, arrays):
        got = []
        local.register("take", got.append, arrays=arrays)
        monitor, call = caller.ref(), caller.ref()
        term = (29, monitor, caller.pid, caller.pid, (A("erpc"), A("execute_call"), 4), MONITOR)

        caller.tell_raw(b"p" + encode(term) + b"\x83" + packed_call(call, A("take"), b"\1\2\377"))
        local.serve()

        assert got == [[1, 2, 255]]
        assert type(got[0]) is list

    def test_packed_small_integers_in_a_spawn_request(self, local, caller):
        got = []
        local.register("take", got.append)
        term = (29, caller.ref(), caller.pid, caller.pid, (CRATES, A("take"), 2), [])

        caller.tell_raw(b"p" + encode(term) + b"\x83k\0\2\7\x08")
        local.serve()

        assert got == [[7, 8]]

    @pytest.mark.parametrize(("binaries", "expected"), [(str, "text"), (bytes, b"text"), (memoryview, b"text")])
    def test_binaries_are_of_the_type_that_was_asked_for(self, local, caller, binaries, expected):
        [got] = self.received(local, caller, ["text"], binaries=binaries)

        assert type(got) is binaries
        assert got == expected

    def test_a_memoryview_keeps_its_bytes_when_later_calls_arrive(self, local, caller):
        [first] = self.received(local, caller, [b"\0\1\2" * 100], binaries=memoryview)
        self.received(local, caller, [b"\3\4\5" * 100], binaries=memoryview)

        assert first == b"\0\1\2" * 100

    @pytest.mark.parametrize("type_", [int, float])
    def test_number_runs_are_arrays_if_asked_for(self, local, caller, type_):
        numbers = [type_(number * 1000) for number in range(200)]

        got = self.received(local, caller, ["mesh", numbers], arrays=True)

        assert got[0] == "mesh"
        assert isinstance(got[1], numpy.ndarray)
        assert got[1].tolist() == numbers

    def test_the_list_of_arguments_itself_is_never_an_array(self, local, caller):
        numbers = [float(number) for number in range(200)]

        got = self.received(local, caller, numbers, arrays=True)

        assert type(got) is list
        assert got == numbers

    def test_arrays_may_be_returned(self, local, caller):
        local.register("numbers", lambda args: {"at": numpy.arange(3.0)})

        assert by_erpc(local, caller, A("numbers"), []) == {"at": [0.0, 1.0, 2.0]}

    def test_registered_types_may_be_returned(self, local, caller):
        class Crate:
            pass

        local.encoder.register(Crate, lambda crate: A("crate"))
        local.register("make", lambda args: [Crate()])

        assert by_erpc(local, caller, A("make"), []) == [A("crate")]


class TestNamedHandlers:
    """`call_handler` and `handle_rpc` name the handler in their first argument."""

    @pytest.mark.parametrize("function", ["call_handler", "handle_rpc"])
    @pytest.mark.parametrize("name", ["take", A("take"), [*b"take"]], ids=["binary", "atom", "charlist"])
    def test_by_any_kind_of_name(self, local, caller, function, name):
        local.register("take", lambda args: ("took", args))

        assert by_erpc(local, caller, A(function), [name, ["a", 1]]) == ("took", ["a", 1])

    @pytest.mark.parametrize("arrays", [False, True])
    def test_the_arguments_may_be_packed_small_integers(self, local, caller, arrays):
        local.register("take", lambda args: ("took", args), arrays=arrays)

        assert by_erpc(local, caller, A("call_handler"), ["take", [1, 2]]) == ("took", [1, 2])

    @pytest.mark.parametrize("arrays", [False, True])
    def test_what_is_no_list_is_the_only_argument(self, local, caller, arrays):
        local.register("take", lambda args: ("took", args), arrays=arrays)

        assert by_erpc(local, caller, A("call_handler"), ["take", {"a": 1}]) == ("took", [{"a": 1}])

    def test_an_unknown_name_is_undef(self, local, caller):
        kind, reason, _trace = erpc(local, caller, CRATES, A("call_handler"), ["missing", [1]])

        assert (kind, reason) == (A("error"), A("undef"))

    @pytest.mark.parametrize("args", [["echo"], ["echo", [], 1], []])
    def test_another_number_of_arguments_is_undef(self, local, caller, args):
        kind, reason, _trace = erpc(local, caller, CRATES, A("call_handler"), args)

        assert (kind, reason) == (A("error"), A("undef"))

    def test_a_handler_of_that_very_name_is_preferred(self, local, caller):
        local.register("call_handler", lambda args: "mine")

        assert by_erpc(local, caller, A("call_handler"), ["echo", []]) == "mine"

    @pytest.mark.parametrize("name", [1.5, (), b"\xff", [-1], [1 << 70]], ids=repr)
    def test_what_is_no_name_is_an_error(self, local, caller, name):
        kind, _reason, _trace = erpc(local, caller, CRATES, A("call_handler"), [name, []])

        assert kind == A("error")

    @pytest.mark.parametrize("request_", ["echo", A("echo"), ("echo", []), (A("echo"), []), ([*b"echo"], [])], ids=repr)
    def test_a_gen_server_request_names_it_alone_or_with_arguments(self, local, caller, request_):
        assert gen_call(local, caller, A("beam_bpy"), request_) == []


class TestModules:
    def test_a_bound_handler_answers_to_its_module_alone(self, local, caller):
        local.register("count", lambda args: 3, module="Crates")

        assert by_erpc(local, caller, A("count"), []) == 3
        assert erpc(local, caller, A("Elixir.Lamps"), A("count"), [])[1] == A("undef")
        assert erpc(local, caller, A("Crates"), A("count"), []) == (A("return"), 3)

    def test_it_is_found_by_name_too(self, local, caller):
        local.register("count", lambda args: 3, module="Crates")

        assert by_erpc(local, caller, A("call_handler"), ["count", []]) == 3

    @pytest.mark.parametrize("module", [None, True, A("erlang")])
    def test_any_atom_is_a_module(self, local, caller, module):
        assert erpc(local, caller, module, A("echo"), [1]) == (A("return"), [1])


class TestOtherServers:
    def test_net_kernel_answers_a_ping(self, local, caller):
        assert gen_call(local, caller, A("net_kernel"), (A("is_auth"), A(caller.name))) == A("yes")

    def test_net_kernel_knows_nothing_else(self, local, caller):
        reason, _trace = gen_exit(local, caller, A("net_kernel"), A("shutdown"))

        assert reason == A("function_clause")

    def test_rex_says_that_it_has_erpc(self, local, caller):
        caller.tell(6, caller.pid, UNUSED, A("rex"), payload=(caller.pid, A("features_request")))

        [answer] = caller.heard()
        assert answer.payload == (A("features_reply"), A("beam_bpy@127.0.0.1"), [A("erpc")])

    @pytest.mark.parametrize("name", ["net_kernel", "rex", "beam_bpy"])
    def test_they_can_be_monitored_and_survive_an_exit_signal(self, local, caller, name):
        caller.monitor(A(name))
        caller.tell(8, caller.pid, A(name), A("shutdown"))

        assert caller.heard() == []

    @pytest.mark.parametrize("name", ["net_kernel", "rex", "beam_bpy"])
    @pytest.mark.parametrize("payload", ["text", 1, (), (1,), (1, 2), (A("EXIT"), 1, 2), (A("$gen_call"), 1, 2), [1]])
    def test_a_message_that_makes_no_sense_is_dropped(self, local, caller, name, payload):
        caller.tell(6, caller.pid, UNUSED, A(name), payload=payload)

        assert caller.heard() == []
        assert by_gen_server(local, caller, "echo", [1]) == [1]


class TestBadRequests:
    """A caller whose request is not supported gets an error. It does not wait forever."""

    REX = [A("stop"), (), (1,), (A("call"), CRATES, A("echo"), "no list", A("user")), (A("call"), 1, 2, [], A("user"))]
    HANDLERS = [123, 1.5, (), ("echo",), ("echo", [], 1), (1.5, []), [], {}, ("echo", "no list")]

    @pytest.mark.parametrize("request_", HANDLERS, ids=repr)
    def test_by_gen_server(self, local, caller, request_):
        ask_gen(caller, A("beam_bpy"), request_)
        local.serve()

        assert len(caller.heard()) == 1

    @pytest.mark.parametrize("request_", REX, ids=repr)
    def test_by_a_call_of_rex(self, local, caller, request_):
        assert gen_call(local, caller, A("rex"), request_)[0] == A("badrpc")

    @pytest.mark.parametrize("request_", REX, ids=repr)
    def test_by_a_message_to_rex(self, local, caller, request_):
        if request_ == A("stop"):
            request_ = (A("stop"),)

        assert rex_message(local, caller, request_)[0] == A("badrpc")

    @pytest.mark.parametrize("args", [[], [1], [1, 2, 3], ["no ref", CRATES, A("echo"), "no list"]], ids=repr)
    def test_by_erpc(self, local, caller, args):
        mfa = (A("erpc"), A("execute_call"), len(args))

        caller.tell(29, caller.ref(), caller.pid, caller.pid, mfa, MONITOR, payload=args)
        local.serve()

        assert [type(event) for event in caller.heard()] == [control.SpawnReply, control.MonitorExit]

    @pytest.mark.parametrize("payload", [b"", b"\xff", b"h\2", b"l\0\0\0\4", b"h\2m\0\0\0\4echol\0\0\0\1"])
    def test_a_payload_that_is_cut_short_is_no_error_of_this_program(self, local, caller, payload):
        ref = Reference(caller.name, 5, (1,))
        call = b"h\3" + encode_term(A("$gen_call")) + encode_term((caller.pid, ref)) + payload
        for control_term, raw in [
            ((6, caller.pid, UNUSED, A("beam_bpy")), call),
            ((6, caller.pid, UNUSED, A("rex")), call),
            ((6, caller.pid, UNUSED, A("rex")), b"h\2" + encode_term(caller.pid) + payload),
            ((29, ref, caller.pid, caller.pid, (A("erpc"), A("execute_call"), 4), MONITOR), payload),
            ((29, ref, caller.pid, caller.pid, (CRATES, A("echo"), 1), MONITOR), payload),
        ]:
            caller.tell_raw(b"p" + encode(control_term) + b"\x83" + raw)
        local.serve()

        assert by_gen_server(local, Caller(local.node, "other@127.0.0.1"), "echo", [1]) == [1]
