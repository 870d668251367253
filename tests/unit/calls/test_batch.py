"""`call_batch`: several calls, one after the other, for one answer."""

import numpy
import pytest
from calling import CRATES, A, LocalNode, ask_erpc, ask_gen, by_erpc, by_gen_server, by_rex_call, by_rex_message, erpc
from support import TIMEOUT, Caller, Client

from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from vendor_term_codec import ImproperList

BATCH = A("call_batch")
OK, ERROR, UNDEF, BADARG = map(A, ("ok", "error", "undef", "badarg"))


@pytest.fixture
def local():
    local = LocalNode()
    local.register("echo", lambda args: args)
    return local


@pytest.fixture
def caller(local):
    return Caller(local.node)


@pytest.fixture
def batch(local, caller):
    """The answer to a batch of these steps."""
    return lambda *steps: by_erpc(local, caller, BATCH, [list(steps)])


@pytest.mark.parametrize("call", [by_erpc, by_gen_server, by_rex_call, by_rex_message])
def test_each_way_to_call_gets_all_values_in_order(local, caller, call):
    steps = [("echo", [1.5]), (A("echo"), []), (list(b"echo"), [A("x"), "y"])]

    assert call(local, caller, BATCH, [steps]) == [(OK, [1.5]), (OK, []), (OK, [A("x"), "y"])]


@pytest.mark.parametrize("call", [by_erpc, by_gen_server])
def test_an_empty_batch_has_an_empty_answer(local, caller, call):
    assert call(local, caller, BATCH, [[]]) == []


def test_steps_run_in_order_in_one_run(local, caller):
    ran = []
    local.register("note", lambda args: ran.extend(args))
    ask_erpc(caller, CRATES, BATCH, [[("note", [A(name)]) for name in "abc"]])

    assert local.queue.drain(0.0) == 1
    assert ran == ["a", "b", "c"]
    assert len(caller.heard()) == 1


def test_a_long_batch_is_answered_whole(batch):
    count = 70_000

    assert batch(*[("echo", [number, A("x")]) for number in range(count)]) == [
        (OK, [number, A("x")]) for number in range(count)
    ]


def test_small_integers_come_as_a_string_of_bytes(batch):
    assert batch(("echo", [1, 2, 3])) == [(OK, [1, 2, 3])]


def test_what_is_no_list_is_an_only_argument(batch):
    assert batch(("echo", A("x")), ("echo", 5)) == [(OK, [A("x")]), (OK, [5])]


class TestFailures:
    def test_an_error_in_the_middle_keeps_nothing_from_running(self, local, batch):
        def fail(args):
            raise ValueError("no object named 'X'")

        local.register("fail", fail)

        first, (error, (python_error, details)), last = batch(("echo", []), ("fail", []), ("echo", [A("x")]))

        assert (first, error, python_error, last) == ((OK, []), ERROR, A("python_error"), (OK, [A("x")]))
        assert details[A("type")] == "ValueError"
        assert details[A("message")] == "no object named 'X'"
        assert details[A("traceback")].endswith("ValueError: no object named 'X'\n")
        assert "calls.py" not in details[A("traceback")]

    @pytest.mark.parametrize("type_", [ErlangError, ErlangExit, ErlangThrow])
    def test_a_reason_that_the_handler_chooses(self, local, batch, type_):
        def fail(args):
            raise type_((A("no"), "crate"))

        local.register("fail", fail)

        assert batch(("fail", []), ("echo", [])) == [(ERROR, (A("no"), "crate")), (OK, [])]

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration("x"), GeneratorExit()])
    def test_an_exception_that_would_leave_elsewhere(self, local, batch, error):
        def fail(args):
            raise error

        local.register("fail", fail)

        failed, done = batch(("fail", []), ("echo", []))

        assert (failed[0], failed[1][0], done) == (ERROR, A("python_error"), (OK, []))

    def test_a_value_without_a_term(self, local, batch):
        local.register("bad", lambda args: [object()])

        failed, done = batch(("bad", []), ("echo", []))

        assert (failed[0], failed[1][0], done) == (ERROR, A("python_error"), (OK, []))

    def test_a_name_that_is_missing(self, batch):
        assert batch(("missing", []), ("missing", [A("x"), 1]), ("echo", [])) == [(ERROR, UNDEF)] * 2 + [(OK, [])]

    @pytest.mark.parametrize("args", [A("x"), "text", 5, 1.5, {}, (1, 2)])
    def test_a_name_that_is_missing_with_arguments_that_are_no_list(self, batch, args):
        assert batch(("missing", args), ("echo", [])) == [(ERROR, UNDEF), (OK, [])]

    def test_a_batch_within_a_batch_is_no_handler(self, batch):
        assert batch((BATCH, [[("echo", [])]]), (A("subscribe"), ["topic"])) == [(ERROR, UNDEF)] * 2

    @pytest.mark.parametrize("gone", ["removed", "replaced"])
    def test_a_handler_that_changes_before_it_runs(self, local, caller, gone):
        ran = []
        local.register("name", ran.append)
        _process, _monitor, call = ask_erpc(caller, CRATES, BATCH, [[("name", []), ("echo", [])]])
        if gone == "removed":
            local.registry.remove("name")
        else:
            local.register("name", lambda args: "new")

        local.serve()

        expected = (ERROR, UNDEF) if gone == "removed" else (OK, "new")
        assert caller.heard()[0].reason == (call, A("return"), [expected, (OK, [])])
        assert ran == []

    def test_a_step_may_take_away_the_next_one_s_handler(self, local, batch):
        local.register("remove", lambda args: local.registry.remove("echo"))

        assert batch(("remove", []), ("echo", [])) == [(OK, True), (ERROR, UNDEF)]


class TestWrongShapes:
    @pytest.mark.parametrize(
        "steps",
        [
            A("echo"),
            "echo",
            5,
            {},
            ("echo", []),
            [A("echo")],
            [1, 2],
            [("echo",)],
            [("echo", [], [])],
            [("echo", []), A("echo")],
            [(5, [])],
            [(1.5, [])],
            [([], [])],
            [{}],
        ],
    )
    def test_are_a_badarg(self, local, caller, steps):
        kind, reason, _stack = erpc(local, caller, CRATES, BATCH, [steps])

        assert (kind, reason[0]) == (ERROR, BADARG)

    def test_so_is_an_improper_list(self, local, caller):
        kind, reason, _stack = erpc(local, caller, CRATES, BATCH, [ImproperList((("echo", []),), A("tail"))])

        assert (kind, reason[0]) == (ERROR, BADARG)

    def test_nothing_of_it_has_run(self, local, caller):
        ran = []
        local.register("note", ran.append)

        erpc(local, caller, CRATES, BATCH, [[("note", []), A("wrong")]])

        assert ran == []

    @pytest.mark.parametrize("args", [[], [1, 2], [[("echo", [])], 1.5]])
    def test_another_number_of_arguments_is_undef(self, local, caller, args):
        kind, reason, _stack = erpc(local, caller, CRATES, BATCH, args)

        assert kind == ERROR
        assert reason == UNDEF

    def test_a_handler_of_that_name_wins(self, local, caller):
        local.register("call_batch", lambda args: "mine")

        assert by_erpc(local, caller, BATCH, [[]]) == "mine"


class TestHandlers:
    def test_get_their_arguments_as_they_want_them(self, local, batch):
        for kind in (str, bytes, memoryview):
            local.register(kind.__name__, lambda args: [type(arg).__name__ for arg in args], binaries=kind)
        local.register("arrays", lambda args: [type(arg) is numpy.ndarray for arg in args], arrays=True)

        assert batch(*[(name, ["text"]) for name in ("str", "bytes", "memoryview")]) == [
            (OK, [name]) for name in ("str", "bytes", "memoryview")
        ]
        assert batch(("arrays", [[1.5] * 100]), ("arrays", [[1] * 100])) == [(OK, [True])] * 2

    def test_may_take_their_arguments_one_by_one(self, local, batch):
        local.register("add", lambda a, b: a + b, spread=True)

        done, failed = batch(("add", [40, 2]), ("add", [1]))

        assert done == (OK, 42)
        assert failed[1][1][A("type")] == "TypeError"

    def test_may_belong_to_a_module(self, local, caller):
        local.register("whose", lambda args: "crates", module="Crates")

        assert by_erpc(local, caller, BATCH, [[("whose", [])]]) == [(OK, "crates")]
        kind, value = erpc(local, caller, A("other"), BATCH, [[("whose", [])]])
        assert (kind, value) == (A("return"), [(ERROR, UNDEF)])

    def test_may_be_inline_and_run_where_the_others_do(self, local, caller):
        ran = []
        local.register("inline", lambda args: ran.append("inline"), inline=True)
        local.register("queued", lambda args: ran.append("queued"))
        ask_erpc(caller, CRATES, BATCH, [[("queued", []), ("inline", [])]])

        assert ran == []
        local.serve()
        assert ran == ["queued", "inline"]

    def test_may_be_generators_which_run_to_their_end(self, local, batch):
        ran = []

        def long(args):
            ran.append("begun")
            yield object()
            yield 2
            ran.append("done")
            return "value"

        def nothing(args):
            return
            yield

        def fail(args):
            try:
                yield 1
                raise ErlangError(A("oops"))
            finally:
                ran.append("closed")

        for function in (long, nothing, fail):
            local.register(function.__name__, function)

        assert batch(("long", []), ("nothing", []), ("fail", []), ("echo", [])) == [
            (OK, "value"),
            (OK, None),
            (ERROR, A("oops")),
            (OK, []),
        ]
        assert ran == ["begun", "done", "closed"]


class TestCallers:
    def test_one_that_is_killed_before_it_runs(self, local, caller):
        ran = []
        local.register("note", ran.append)
        process, monitor, _call = ask_erpc(caller, CRATES, BATCH, [[("note", [])]])

        caller.tell(20, caller.pid, process, monitor)
        local.serve()

        assert (ran, caller.heard()) == ([], [])
        assert process.ext not in local.node._processes

    def test_one_that_disconnects_before_it_runs(self, local, caller):
        ran = []
        local.register("note", ran.append)
        ask_gen(caller, A("beam_bpy"), (BATCH, [[("note", [])]]))

        caller.disconnect()
        local.serve()

        assert ran == []

    def test_a_node_that_stops_runs_none(self, local, caller):
        ran = []
        local.register("note", ran.append)
        ask_erpc(caller, CRATES, BATCH, [[("note", [])]])

        local.node.close()
        local.serve()

        assert ran == []

    def test_a_cast_is_run_and_answered_to_nobody(self, local, caller):
        ran = []
        local.register("note", ran.append)
        request = (A("$gen_cast"), (BATCH, [[("note", [A("x")])]]))
        caller.tell(6, caller.pid, A(""), A("beam_bpy"), payload=request)

        local.serve()

        assert (ran, caller.heard()) == ([[A("x")]], [])


class TestUndo:
    @pytest.mark.parametrize(
        ("names", "undo"),
        [
            ([], None),
            (["plain"], None),
            (["add"], "add"),
            (["add", "add", "plain"], "add"),
            (["add", "move"], "2 BEAM calls"),
        ],
    )
    def test_a_batch_is_one_step(self, local, caller, names, undo):
        seen = []
        local.queue._run = lambda call: (seen.append(call.undo), call.run())[1]
        local.register("plain", lambda args: None)
        local.register("add", lambda args: None, undo=True)
        local.register("move", lambda args: None, undo=True)

        by_erpc(local, caller, BATCH, [[(name, []) for name in names]])

        assert seen == [undo]


def test_over_a_socket(server):
    with Client(server) as client:
        client.socket.settimeout(TIMEOUT)
        assert client.call("call_batch", [("echo", [1.5]), ("missing", [])]) == [(OK, [1.5]), (ERROR, UNDEF)]
