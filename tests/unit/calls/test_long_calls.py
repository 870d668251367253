"""Handlers that are generators: their slices, their progress, and every way in which they end."""

import functools
import threading

import pytest
from calling import CRATES, MONITOR, UNUSED, A, LocalNode, ask_erpc, ask_gen, by_erpc, by_gen_server, erpc, spawn
from support import NAME, TIMEOUT, Caller, Client, end_of, eventually, in_thread, names_of_threads

from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import install_host_queue, remove_host_queue
from beam_bpy.errors import ErlangError, ErlangExit, ErlangThrow
from beam_bpy.protocol import control

NORMAL = A("normal")


class Long:
    """A handler that yields 1, 2, 3 ... and returns "done" after `last`, or never; it notes what happens to it."""

    def __init__(self, last=None):
        self.last = last
        self.yielded = 0
        self.closed = threading.Event()
        self.threads = set()

    def __call__(self, args):
        try:
            while self.last is None or self.yielded < self.last:
                self.threads.add(threading.current_thread().name)
                self.yielded += 1
                yield self.yielded
            return "done"
        finally:
            self.closed.set()


@pytest.fixture
def local():
    return LocalNode()


@pytest.fixture
def caller(local):
    return Caller(local.node)


def slices(local, count=1):
    """Run so many slices or calls."""
    for _ in range(count):
        assert local.queue.drain(0.0) == 1


def heard_in_parts(caller):
    """The progress that has come, and what else."""
    events = caller.heard()
    progress = [e for e in events if isinstance(e, control.Send) and e.payload[0] == A("progress")]
    return progress, [e for e in events if e not in progress]


def ask_progress(caller, to, name, args):
    return ask_erpc(caller, CRATES, A("call_with_progress"), [to, name, args])


class TestTheAnswer:
    @pytest.mark.parametrize("call", [by_erpc, by_gen_server])
    def test_is_what_the_generator_returns(self, local, caller, call):
        local.register("long", Long(3))

        assert call(local, caller, A("long"), []) == "done"

    def test_is_none_when_it_returns_nothing(self, local, caller):
        def count(args):
            yield 1

        local.register("count", count)

        assert by_erpc(local, caller, A("count"), []) is None

    def test_of_one_that_never_yields(self, local, caller):
        local.register("long", Long(0))

        assert by_erpc(local, caller, A("long"), []) == "done"

    def test_arguments_may_come_one_by_one(self, local, caller):
        def add(a, b):
            yield a
            return a + b

        local.register("add", add, spread=True)

        assert by_erpc(local, caller, A("add"), [40, 2]) == 42

    def test_nobody_hears_of_progress_who_has_not_asked(self, local, caller):
        local.register("long", Long(3))
        ask_erpc(caller, CRATES, A("long"), [])

        local.serve()

        assert [type(event) for event in caller.heard()] == [control.MonitorExit]

    def test_comes_after_just_so_many_slices(self, local, caller):
        local.register("long", Long(3))
        ask_erpc(caller, CRATES, A("long"), [])

        slices(local, 3)
        assert (caller.heard(), len(local.queue)) == ([], 1)
        slices(local)
        assert (len(caller.heard()), len(local.queue)) == (1, 0)

    @pytest.mark.parametrize("last", [0, 2])
    def test_comes_when_a_call_that_has_begun_ends(self, local, caller, last):
        begun = []

        def run(call):
            before = call.begun
            more = call.run()
            begun.append((before, call.begun))
            return more

        local.queue = CallQueue(run)
        local.register("long", Long(last))
        ask_erpc(caller, CRATES, A("long"), [])
        local.serve()

        assert begun == ([(False, False)] if last == 0 else [(False, True), (True, True), (True, False)])

    def test_a_call_that_is_closed_has_not_begun_any_more(self, local, caller):
        calls = []
        local.queue = CallQueue(lambda call: (calls.append(call), call.run())[1])
        local.register("long", Long())
        ask_erpc(caller, CRATES, A("long"), [])
        slices(local)
        assert calls[0].begun

        local.queue.close()

        assert not calls[0].begun


def count(args):
    """A generator function."""
    yield 1
    return "done"


def count_to(last, args):
    yield last
    return "done"


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def read_to_its_end(function):
    @functools.wraps(function)
    def wrapper(args):
        return list(function(args))

    return wrapper


class Counter:
    def count(self, args):
        yield 1
        return "done"

    @logged
    def logged_count(self, args):
        yield 1
        return "done"

    @classmethod
    def class_count(cls, args):
        yield 1
        return "done"

    @staticmethod
    def static_count(args):
        yield 1
        return "done"

    count_to_five = functools.partialmethod(count)

    def __call__(self, args):
        yield 1
        return "done"


class LoggedCounter:
    @logged
    def __call__(self, args):
        yield 1
        return "done"


async def many(args):
    yield 1


LONG = {
    "function": count,
    "lambda": lambda args: (yield from count(args)),
    "partial": functools.partial(count_to, 5),
    "partial of a partial": functools.partial(functools.partial(count_to), 5),
    "bound method": Counter().count,
    "class method": Counter.class_count,
    "static method": Counter.static_count,
    "static method itself": Counter.__dict__["static_count"],
    "partial method": Counter().count_to_five,
    "decorated": logged(count),
    "decorated twice": logged(logged(count)),
    "decorated partial": logged(functools.partial(count_to, 5)),
    "partial of decorated": functools.partial(logged(count_to), 5),
    "decorated method": Counter().logged_count,
    "object": Counter(),
    "partial of an object": functools.partial(Counter()),
    "object with a decorated call": LoggedCounter(),
    "bound call": Counter().__call__,
}

NOT_LONG = {
    "returns a generator": lambda args: count(args),
    "returns a generator expression": lambda args: (number for number in (1, 2)),
    "returns a generator in a list": lambda args: [count(args)],
    "returns an iterator": lambda args: map(str, args),
    "returns an iterator in a map": lambda args: {"a": iter(args)},
    "partial that returns a generator": functools.partial(lambda number, args: count(args), 5),
    "async generator function": many,
}


class TestWhatIsLong:
    @pytest.mark.parametrize("kind", LONG)
    def test_a_generator_function_however_it_is_wrapped(self, local, caller, kind):
        local.register("long", LONG[kind])
        ask_progress(caller, caller.pid, "long", [])

        local.serve()

        progress, [down] = heard_in_parts(caller)
        assert len(progress) == 1
        assert down.reason[1:] == (A("return"), "done")

    @pytest.mark.parametrize("kind", LONG)
    def test_in_a_batch_and_in_its_description(self, local, caller, kind):
        local.register("long", LONG[kind])

        assert by_erpc(local, caller, A("call_batch"), [[("long", [])]]) == [(A("ok"), "done")]
        assert by_erpc(local, caller, A("describe_handlers"), [])[0]["options"]["long"] is True

    @pytest.mark.parametrize("kind", NOT_LONG)
    def test_no_other_function(self, local, caller, kind):
        local.register("short", NOT_LONG[kind])

        for function, args in ((A("short"), [1]), (A("call_batch"), [[("short", [1])]])):
            kind, *result = erpc(local, caller, CRATES, function, args)
            reason = result[0] if kind == A("error") else result[0][0][1]
            assert (reason[0], reason[1]["type"]) == (A("python_error"), "EncodeError")
        assert by_erpc(local, caller, A("describe_handlers"), [])[0]["options"]["long"] is False

    def test_a_decorator_that_reads_the_generator_makes_a_plain_handler(self, local, caller):
        local.register("short", read_to_its_end(count))

        assert by_erpc(local, caller, A("short"), []) == [1]

    def test_a_generator_that_is_only_a_value_is_not_started(self, local, caller):
        started = []

        def generate():
            started.append(1)
            yield 1

        local.register("short", lambda args: generate())
        erpc(local, caller, CRATES, A("short"), [])

        assert not started


def receivers(caller):
    """A receiver of progress: the form of the request, the process or name that receives, and the tag."""
    alias = caller.ref()
    return [
        (caller.pid, caller.pid, "long"),
        ((caller.pid, A("tag")), caller.pid, A("tag")),
        ((caller.pid, {"any": ["term", 1]}), caller.pid, {"any": ["term", 1]}),
        (alias, alias, "long"),
        ((alias, 7), alias, 7),
    ]


class TestProgress:
    @pytest.mark.parametrize("number", range(5), ids=["pid", "pid-tag", "pid-term", "alias", "alias-tag"])
    @pytest.mark.parametrize("name", [A("long"), "long", list(b"long")], ids=["atom", "binary", "characters"])
    def test_arrives_in_order_before_the_answer(self, local, caller, number, name):
        to, receiver, tag = receivers(caller)[number]
        local.register("long", Long(3))
        ask_progress(caller, to, name, [])

        local.serve()

        assert len(set(caller.senders())) == 1  # Signals of one process arrive in their order.
        *progress, down = caller.heard()
        assert [(e.to, e.payload) for e in progress] == [(receiver, (A("progress"), tag, n)) for n in (1, 2, 3)]
        assert down.reason[1:] == (A("return"), "done")

    def test_by_gen_server(self, local, caller):
        local.register("long", Long(2))
        ref, tag = ask_gen(caller, A("beam_bpy"), (A("call_with_progress"), [caller.pid, "long", []]))

        local.serve()

        assert len(set(caller.senders())) == 1
        progress, [answer] = heard_in_parts(caller)
        assert [e.payload[2] for e in progress] == [1, 2]
        assert (answer.to, answer.payload) == (ref, (tag, "done"))

    def test_goes_to_another_node_that_is_connected(self, local, caller):
        other = Caller(local.node, "other@127.0.0.1")
        local.register("long", Long(2))
        ask_progress(caller, other.pid, "long", [])

        local.serve()

        assert [e.payload for e in other.heard()] == [(A("progress"), "long", 1), (A("progress"), "long", 2)]
        assert [type(event) for event in caller.heard()] == [control.MonitorExit]

    def test_for_a_node_that_is_not_connected_is_dropped(self, local, caller):
        other = Caller(local.node, "other@127.0.0.1")
        other.disconnect()
        local.register("long", Long(2))
        ask_progress(caller, other.pid, "long", [])

        local.serve()

        assert caller.heard()[0].reason[1:] == (A("return"), "done")

    def test_there_is_none_from_a_handler_that_only_returns(self, local, caller):
        local.register("echo", lambda args: args)
        ask_progress(caller, caller.pid, "echo", [1, 2])

        local.serve()

        [down] = caller.heard()
        assert down.reason[1:] == (A("return"), [1, 2])

    @pytest.mark.parametrize("to", [A("shell"), "pid", 5, (1, 2, 3), (A("name"), A("node@host")), [], {}])
    def test_a_receiver_that_is_none_is_a_badarg(self, local, caller, to):
        long = Long(1)
        local.register("long", long)

        kind, reason, _stack = erpc(local, caller, CRATES, A("call_with_progress"), [to, "long", []])

        assert (kind, reason[0]) == (A("error"), A("badarg"))
        assert "pid" in reason[1]
        assert long.yielded == 0

    def test_of_a_handler_that_is_missing_is_undef(self, local, caller):
        kind, reason, _stack = erpc(local, caller, CRATES, A("call_with_progress"), [caller.pid, "missing", []])

        assert (kind, reason) == (A("error"), A("undef"))

    def test_small_integers_come_as_a_string_of_bytes_and_are_a_badarg(self, local, caller):
        kind, reason, _stack = erpc(local, caller, CRATES, A("call_with_progress"), [1, 2, 3])

        assert (kind, reason[0]) == (A("error"), A("badarg"))

    @pytest.mark.parametrize("args", [[], [1], [1, 2], [1, 2, 3, 4]])
    def test_with_another_number_of_arguments_is_undef(self, local, caller, args):
        kind, reason, _stack = erpc(local, caller, CRATES, A("call_with_progress"), args)

        assert (kind, reason) == (A("error"), A("undef"))

    def test_a_handler_of_that_name_wins(self, local, caller):
        local.register("call_with_progress", lambda args: "mine")

        assert by_erpc(local, caller, A("call_with_progress"), [1, 2, 3]) == "mine"

    @pytest.mark.parametrize("asked", [True, False])
    def test_a_value_without_a_term_fails_the_call_and_closes_it(self, local, caller, asked):
        closed = []

        def bad(args):
            try:
                yield 1
                yield object()
                yield 3
            finally:
                closed.append(True)

        local.register("bad", bad)
        function, args = (A("call_with_progress"), [caller.pid, "bad", []]) if asked else (A("bad"), [])
        ask_erpc(caller, CRATES, function, args)

        local.serve()

        progress, [down] = heard_in_parts(caller)
        assert [e.payload[2] for e in progress] == [1] * asked
        assert down.reason[1] == A("error")
        assert down.reason[2][0] == A("python_error")
        assert (closed, len(local.queue)) == ([True], 0)


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "kind", "reason"),
        [
            (ErlangError(A("oops")), A("error"), A("oops")),
            (ErlangExit(A("oops")), A("exit"), A("oops")),
            (ErlangThrow(A("oops")), A("throw"), A("oops")),
        ],
    )
    def test_in_the_middle_are_the_answer(self, local, caller, error, kind, reason):
        def fail(args):
            yield 1
            raise error

        local.register("fail", fail)
        ask_progress(caller, caller.pid, "fail", [])

        local.serve()

        progress, [down] = heard_in_parts(caller)
        assert len(progress) == 1
        assert down.reason[1:3] == (kind, reason)

    @pytest.mark.parametrize(
        "error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration()]
    )
    def test_of_any_exception_answer_and_leave_the_queue_alive(self, local, caller, error):
        def fail(args):
            yield 1
            raise error

        local.register("fail", fail)
        local.register("echo", lambda args: args)

        kind, reason, _stack = erpc(local, caller, CRATES, A("fail"), [])

        assert (kind, reason[0]) == (A("error"), A("python_error"))
        assert by_erpc(local, caller, A("echo"), [1.5]) == [1.5]

    def test_a_return_value_without_a_term(self, local, caller):
        def bad(args):
            yield 1
            return object()

        local.register("bad", bad)

        kind, reason, _stack = erpc(local, caller, CRATES, A("bad"), [])

        assert (kind, reason[0]) == (A("error"), A("python_error"))


def killed(local, caller, process, monitor):
    """The caller is killed: its node says that its monitor is gone."""
    caller.tell(20, caller.pid, process, monitor)


def disconnected(local, caller, process, monitor):
    caller.disconnect()


def process_killed(local, caller, process, monitor):
    """Somebody kills the process that runs the call."""
    caller.tell(8, caller.pid, process, A("kill"))


def node_closed(local, caller, process, monitor):
    local.node.close()


def handler_gone(local, caller, process, monitor):
    assert local.registry.remove("long")


def handler_replaced(local, caller, process, monitor):
    local.register("long", lambda args: "another")


class TestClosing:
    @pytest.mark.parametrize("end", [killed, disconnected, process_killed, node_closed, handler_gone, handler_replaced])
    def test_at_the_next_slice(self, local, caller, end):
        long = Long()
        local.register("long", long)
        process, monitor, _call = ask_progress(caller, caller.pid, "long", [])
        slices(local, 2)

        end(local, caller, process, monitor)

        assert not long.closed.is_set()
        slices(local)
        assert (long.closed.is_set(), long.yielded, len(local.queue)) == (True, 2, 0)
        assert process.ext not in local.node._processes

    @pytest.mark.parametrize("end", [handler_gone, handler_replaced])
    def test_without_a_handler_the_call_is_undef(self, local, caller, end):
        local.register("long", Long())
        process, monitor, call = ask_erpc(caller, CRATES, A("long"), [1])
        slices(local, 2)

        end(local, caller, process, monitor)
        slices(local)

        [down] = caller.heard()
        assert down.reason == (call, A("error"), A("undef"), [(CRATES, A("long"), [1], [])])

    def test_before_its_first_slice_it_never_begins(self, local, caller):
        long = Long()
        local.register("long", long)
        process, monitor, _call = ask_erpc(caller, CRATES, A("long"), [])

        killed(local, caller, process, monitor)
        slices(local)

        assert (long.yielded, caller.heard()) == (0, [])

    @pytest.mark.parametrize("name", ["long", "echo"])
    def test_a_queued_call_whose_handler_is_gone_is_undef(self, local, caller, name):
        ran = []
        local.register("echo", ran.append)
        local.register("long", Long())
        _process, _monitor, call = ask_erpc(caller, CRATES, A(name), [1])
        local.registry.remove(name)

        slices(local)

        [down] = caller.heard()
        assert down.reason == (call, A("error"), A("undef"), [(CRATES, A(name), [1], [])])
        assert ran == []

    def test_a_queued_call_whose_handler_is_replaced_runs_the_new_one(self, local, caller):
        local.register("name", lambda args: "old")
        _process, _monitor, call = ask_erpc(caller, CRATES, A("name"), [])
        local.register("name", lambda args: "new")

        slices(local)

        assert caller.heard()[0].reason == (call, A("return"), "new")

    def test_a_gen_server_caller_that_demonitors(self, local, caller):
        long = Long()
        local.register("long", long)
        ref, _tag = ask_gen(caller, A("beam_bpy"), (A("long"), []))
        slices(local, 2)

        caller.tell(20, caller.pid, A("beam_bpy"), ref)
        slices(local)

        assert (long.closed.is_set(), caller.heard(), len(local.queue)) == (True, [], 0)

    # Python complains about a generator that yields once more when it is thrown away.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("way_out", ["ignores", "raises", "exits"])
    def test_one_that_resists_is_let_go(self, local, caller, caplog, way_out):
        def stubborn(args):
            try:
                yield 1
                yield 2
            finally:
                if way_out == "raises":
                    raise ValueError("no clean end")
                if way_out == "exits":
                    raise SystemExit(1)
                yield "I stay"

        local.register("stubborn", stubborn)
        local.register("echo", lambda args: args)
        process, monitor, _call = ask_erpc(caller, CRATES, A("stubborn"), [])
        slices(local)

        killed(local, caller, process, monitor)
        slices(local)

        assert len(local.queue) == 0
        assert "handler stubborn failed while it was closed" in caplog.text
        assert by_erpc(local, caller, A("echo"), [1.5]) == [1.5]

    def test_a_generator_that_resists_is_undef_all_the_same(self, local, caller):
        def stubborn(args):
            try:
                yield 1
            finally:
                raise ValueError("no clean end")

        local.register("stubborn", stubborn)
        _process, _monitor, call = ask_erpc(caller, CRATES, A("stubborn"), [])
        slices(local)
        local.registry.remove("stubborn")

        slices(local)

        [down] = caller.heard()
        assert down.reason[:3] == (call, A("error"), A("undef"))

    def test_with_its_queue_tells_who_waits(self, local, caller):
        long = Long()
        local.register("long", long)
        _process, _monitor, call = ask_erpc(caller, CRATES, A("long"), [])
        slices(local)

        local.queue.close()

        assert long.closed.is_set()
        assert caller.heard()[0].reason == (call, A("exit"), A("shutdown"))

    def test_with_its_queue_leaves_no_process_when_nobody_waits(self, local, caller):
        long = Long()
        local.register("long", long)
        process, monitor, _call = ask_erpc(caller, CRATES, A("long"), [])
        slices(local)
        killed(local, caller, process, monitor)

        local.queue.close()

        assert long.closed.is_set()
        assert process.ext not in local.node._processes


class TestCancel:
    def test_the_caller_is_told_and_the_generator_is_closed(self, local, caller):
        long = Long()
        local.register("long", long)
        ask_erpc(caller, CRATES, A("long"), [])
        slices(local, 2)
        (call,) = local.queue.long_calls
        assert (call.name, call.progress) == ("long", 2)

        assert local.queue.cancel(call, "the artist has cancelled it")

        (event,) = caller.heard()
        assert isinstance(event, control.MonitorExit)
        _ref, kind, reason, _stack = event.reason
        assert (kind, reason) == (A("error"), (A("cancelled"), "the artist has cancelled it"))
        assert long.closed.is_set()
        assert (len(local.queue), local.queue.long_calls) == (0, ())

    def test_of_a_call_that_has_ended_does_nothing(self, local, caller):
        local.register("long", Long(1))
        ask_erpc(caller, CRATES, A("long"), [])
        slices(local)
        (call,) = local.queue.long_calls
        slices(local)
        caller.heard()

        assert not local.queue.cancel(call, "too late")
        assert caller.heard() == []

    def test_a_queued_call_has_not_begun(self, local, caller):
        local.register("long", Long(1))
        ask_erpc(caller, CRATES, A("long"), [])

        assert local.queue.long_calls == ()


class TestCastsAndSpawns:
    def test_a_cast_runs_to_its_end(self, local, caller):
        long = Long(3)
        local.register("long", long)
        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (A("long"), [])))

        local.serve()

        assert (long.yielded, long.closed.is_set(), caller.heard()) == (3, True, [])

    def test_a_cast_may_ask_for_progress(self, local, caller):
        local.register("long", Long(2))
        request = (A("call_with_progress"), [caller.pid, "long", []])
        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), request))

        local.serve()

        assert [e.payload[2] for e in caller.heard()] == [1, 2]

    def test_a_cast_outlives_its_caller(self, local, caller):
        long = Long(3)
        local.register("long", long)
        caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (A("long"), [])))
        slices(local)
        caller.disconnect()

        local.serve()

        assert long.yielded == 3

    def test_a_spawned_process_ends_when_its_generator_does(self, local, caller):
        local.register("long", Long(3))
        ref, reply = spawn(caller, CRATES, A("long"), [], MONITOR)

        local.serve()

        [down] = caller.heard()
        assert (down.ref, down.target, down.reason) == (ref, reply.result, NORMAL)

    def test_a_spawned_generator_is_closed_when_its_process_is_killed(self, local, caller):
        long = Long()
        local.register("long", long)
        _ref, reply = spawn(caller, CRATES, A("long"), [], [])
        slices(local, 2)

        caller.tell(8, caller.pid, reply.result, A("kill"))
        slices(local)

        assert (long.closed.is_set(), len(local.queue)) == (True, 0)

    def test_a_linked_generator_is_closed_when_its_caller_dies(self, local, caller):
        long = Long()
        local.register("long", long)
        _ref, reply = spawn(caller, CRATES, A("long"), [], [A("link")])
        slices(local, 2)

        caller.tell(3, caller.pid, reply.result, A("killed"))
        slices(local)

        assert long.closed.is_set()


class TestTurns:
    def test_other_calls_are_served_between_slices(self, local, caller):
        long = Long()
        local.register("long", long)
        local.register("seen", lambda args: long.yielded)
        ask_erpc(caller, CRATES, A("long"), [])
        slices(local)
        ask_erpc(caller, CRATES, A("seen"), [])

        slices(local, 2)

        [down] = caller.heard()
        assert down.reason[1] == A("return")
        assert not long.closed.is_set()

    def test_slices_go_on_though_calls_keep_coming(self, local, caller):
        local.register("long", Long(3))
        local.register("echo", lambda args: args)
        _process, monitor, _call = ask_erpc(caller, CRATES, A("long"), [])

        heard = []
        for _ in range(20):
            ask_erpc(caller, CRATES, A("echo"), [])
            slices(local)
            heard += caller.heard()

        assert monitor in [event.ref for event in heard]

    def test_slices_go_on_though_long_calls_keep_coming(self, local, caller):
        first = Long()
        local.register("first", first)
        local.register("other", lambda args: (yield from Long()(args)))
        ask_erpc(caller, CRATES, A("first"), [])

        for _ in range(20):
            ask_erpc(caller, CRATES, A("other"), [])
            slices(local, 2)

        assert first.yielded > 1

    def test_two_long_calls_take_turns(self, local, caller):
        order = []

        def long(args):
            for _ in range(3):
                order.append(args[0])
                yield

        local.register("long", long)
        ask_erpc(caller, CRATES, A("long"), [A("a")])
        ask_erpc(caller, CRATES, A("long"), [A("b")])

        local.serve()

        assert order.count(A("a")) == order.count(A("b")) == 3
        assert order[:2] == [A("a"), A("b")]
        assert all({*order[at : at + 3]} == {A("a"), A("b")} for at in range(4))


def begin(client, *call):
    """Begin a call; the answer is read later."""
    client.ask(*call)
    return client


@pytest.fixture
def client(server):
    with Client(server) as client:
        client.socket.settimeout(TIMEOUT)
        yield client


class TestServer:
    def test_a_long_call_and_its_progress_over_a_socket(self, server, client):
        server.register_handler("long", Long(3))

        client.ask("call_with_progress", [client.pid, "long", []])

        assert [client.event().payload for _ in range(3)] == [(A("progress"), "long", n) for n in (1, 2, 3)]
        assert client.answer() == "done"

    @pytest.mark.parametrize("inline", [False, True])
    def test_others_are_served_while_it_runs(self, server, client, inline):
        long = Long()
        server.register_handler("long", long, inline=inline)
        begin(client, "long", [])
        with Client(server, "other@127.0.0.1") as other:
            other.socket.settimeout(TIMEOUT)
            assert [other.call("echo", number) for number in range(5)] == [[number] for number in range(5)]

        seen = long.yielded
        eventually(lambda: long.yielded > seen)
        assert not long.closed.is_set()

    def test_an_inline_one_leaves_the_network_thread_after_its_first_slice(self, server, client):
        long = Long(50)
        server.register_handler("long", long, inline=True)

        assert client.call("long") == "done"
        # Its first slice may run on the worker, too, if that runs the network while it waits.
        assert long.threads - {"beam_bpy network"} == {"beam_bpy worker"}

    def test_it_is_closed_when_its_caller_disconnects(self, server):
        long = Long()
        server.register_handler("long", long)
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            begin(client, "long", [])
            eventually(lambda: long.yielded > 2)

        assert long.closed.wait(TIMEOUT)

    def test_stop_closes_it(self, server, client):
        long = Long()
        server.register_handler("long", long)
        begin(client, "long", [])
        eventually(lambda: long.yielded > 2)

        server.stop()

        assert long.closed.is_set()
        assert client.closed()

    def test_stop_closes_all_of_them(self, server, client):
        longs = [Long(), Long(), Long()]
        for number, long in enumerate(longs):
            server.register_handler(f"long{number}", long)
            begin(client, f"long{number}", [])
        eventually(lambda: all(long.yielded > 2 for long in longs))

        server.stop()

        assert all(long.closed.is_set() for long in longs)

    def test_it_may_stop_its_own_server(self, server, client):
        closed = threading.Event()

        def last(args):
            try:
                yield 1
                server.stop()
                yield 2
            finally:
                closed.set()

        long = Long()
        server.register_handler("last", last)
        server.register_handler("long", long)
        begin(client, "long", [])
        begin(client, "last", [])

        assert closed.wait(TIMEOUT)
        assert long.closed.wait(TIMEOUT)
        assert server.state == "stopped"

    def test_its_way_out_may_stop_the_server(self, server):
        begun, stopped = threading.Event(), threading.Event()

        def last(args):
            try:
                while True:
                    begun.set()
                    yield
            finally:
                server.stop()
                stopped.set()

        server.register_handler("last", last)
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            begin(client, "last", [])
            assert begun.wait(TIMEOUT)

        assert stopped.wait(TIMEOUT)
        assert server.state == "stopped"

    def test_a_server_that_starts_again_begins_afresh(self, server, client):
        long = Long()
        server.register_handler("long", long)
        begin(client, "long", [])
        eventually(lambda: long.yielded > 2)
        server.stop()

        assert server.start(), server.last_error

        seen = long.yielded
        with Client(server, "other@127.0.0.1") as other:
            other.socket.settimeout(TIMEOUT)
            assert other.call("echo", 1.5) == [1.5]
        assert (long.yielded, long.closed.is_set()) == (seen, True)

    def test_serve_forever_closes_it_when_it_ends(self, make):
        server, long = make(), Long()
        server.register_handler("long", long)
        thread = in_thread(server.serve_forever)
        eventually(lambda: server.running)
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            begin(client, "long", [])
            eventually(lambda: long.yielded > 2)

            server.stop()
            thread.join(TIMEOUT)

        assert (thread.is_alive(), long.closed.is_set()) == (False, True)

    def test_serve_forever_goes_on_with_what_the_worker_has_begun(self, server, client):
        let_go = threading.Event()

        def long(args):
            while not let_go.is_set():
                yield
            return threading.current_thread().name

        server.register_handler("long", long)
        begin(client, "long", [])
        eventually(lambda: server.activity.queued == 1)
        thread = threading.Thread(target=server.serve_forever, name="main of a program")
        thread.start()
        try:
            eventually(lambda: "beam_bpy worker" not in names_of_threads())
            let_go.set()

            assert client.answer() == thread.name
        finally:
            server.stop()
            thread.join(TIMEOUT)


class TestHostQueue:
    @pytest.fixture
    def queue(self):
        queue = CallQueue()
        install_host_queue(queue)
        yield queue
        remove_host_queue(queue)

    def test_a_stopped_server_s_call_is_closed_at_the_next_slice(self, queue, make):
        server, long = make(), Long()
        server.register_handler("long", long)
        assert server.start(), server.last_error
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            begin(client, "long", [])
            assert queue.wait(TIMEOUT)
            assert queue.drain(0.0) == 1

            server.stop()

        assert not long.closed.is_set()  # Only the host's own thread may touch it.
        assert queue.drain(0.0) == 1
        assert (long.closed.is_set(), len(queue)) == (True, 0)

    def test_every_call_of_a_host_gets_there_slice_by_slice(self, make):
        ran = []

        def run(call):
            again = call.run()
            ran.append((call.handler.name, call.progress, call.caller.pid))
            return again

        queue = CallQueue(run)
        install_host_queue(queue)
        try:
            server = make()
            server.register_handler("long", Long(2))
            assert server.start(), server.last_error
            with Client(server) as client:
                client.socket.settimeout(TIMEOUT)
                begin(client, "long", [])
                assert queue.wait(TIMEOUT)
                assert queue.drain(TIMEOUT) == 3
                assert client.answer() == "done"
                pid = client.pid
        finally:
            remove_host_queue(queue)

        assert ran == [("long", 1, pid), ("long", 2, pid), ("long", 2, pid)]


class TestFromPython:
    """The other side is this package too."""

    @pytest.fixture
    def other(self, make):
        other = make(f"{NAME}other")
        assert other.start(), other.last_error
        return other

    def test_cancelling_a_call_closes_it(self, server, other):
        long = Long()
        server.register_handler("long", long)
        future = other.call_async(server.node_name, "m", "long")
        eventually(lambda: long.yielded > 2)

        assert future.cancel()

        assert long.closed.wait(TIMEOUT)

    def test_a_call_that_is_cut_off_fails(self, server, other):
        long = Long()
        server.register_handler("long", long)
        future = other.call_async(server.node_name, "m", "long")
        eventually(lambda: long.yielded > 2)

        server.stop()

        assert long.closed.is_set()
        assert end_of(future) is not None
