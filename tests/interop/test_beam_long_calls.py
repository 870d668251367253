"""Long calls, their progress, and batches, from a real `erl`."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beam import TIMEOUT, Erl, eventually

from beam_bpy import Atom, BeamServer, ErlangError

A = Atom


class Long:
    """A handler that yields numbers and returns "done" after `count`, or never; it notes its end."""

    def __init__(self, count: int | None) -> None:
        self.count = count
        self.yielded = 0
        self.closed = threading.Event()

    def __call__(self, args: list[Any]) -> Iterator[Any]:
        try:
            while self.count is None or self.yielded < self.count:
                self.yielded += 1
                yield self.yielded
            return "done"
        finally:
            self.closed.set()


@pytest.fixture
def long(server: BeamServer) -> Iterator[Callable[..., Long]]:
    """Registers a long handler `long` for the test."""

    def register(count: int | None = None, **options: Any) -> Long:
        handler = Long(count)
        server.register_handler("long", handler, **options)
        return handler

    yield register
    server.unregister_handler("long")


class TestAnswers:
    @pytest.mark.parametrize(
        "call",
        [
            "erpc:call(N, m, long, [])",
            "rpc:call(N, m, long, [])",
            "gen_server:call(S, long)",
            "erpc:receive_response(erpc:send_request(N, m, long, []))",
            "gen_server:call({rex, N}, {call, m, long, [], group_leader()})",
            "erpc:call(N, m, call_handler, [long, []])",
        ],
    )
    def test_every_kind_of_call_gets_what_it_returns(self, erl: Erl, long: Callable[..., Long], call: str) -> None:
        long(3)

        assert erl.eval(f"V = {call}, {{V, probe:nothing()}}") == ("done", True)

    @pytest.mark.parametrize("end", ["normal", "error"])
    def test_a_spawned_one_ends_as_it_does(self, server: BeamServer, erl: Erl, long: Any, end: str) -> None:
        def handler(args: list[Any]) -> Iterator[Any]:
            yield 1
            if end == "error":
                raise ErlangError(A("oops"))

        long()
        server.register_handler("long", handler)

        reason = erl.eval("{_, Ref} = spawn_monitor(N, m, long, []), {_, Reason} = probe:down(Ref), Reason")

        assert reason == A("normal") if end == "normal" else reason[0] == A("oops")

    def test_a_cast_runs_to_its_end(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long(5)
        erl.eval("erpc:cast(N, m, long, [])")

        assert handler.closed.wait(TIMEOUT)
        assert handler.yielded == 5


class TestProgress:
    @pytest.mark.parametrize(
        ("to", "tag"),
        [
            ("self()", "long"),
            ("{self(), render}", A("render")),
            ("alias()", "long"),
            ("{alias(), [1, a]}", [1, A("a")]),
        ],
    )
    @pytest.mark.parametrize(
        "call",
        [
            "erpc:call(N, m, call_with_progress, [To, long, []])",
            'rpc:call(N, m, call_with_progress, [To, <<"long">>, []])',
            "gen_server:call(S, {call_with_progress, [To, long, []]})",
        ],
    )
    def test_is_in_the_mailbox_before_the_answer(
        self, erl: Erl, long: Callable[..., Long], call: str, to: str, tag: Any
    ) -> None:
        long(3)
        code = f"To = {to}, V = {call}, {{V, [receive M -> M after 0 -> none end || _ <- [1, 2, 3, 4]]}}"

        progress = [(A("progress"), tag, number) for number in (1, 2, 3)]
        assert erl.eval(code) == ("done", [*progress, A("none")])

    def test_goes_to_another_process(self, erl: Erl, long: Callable[..., Long]) -> None:
        long(2)
        code = """
            Self = self(),
            Other = spawn(fun() -> Self ! {got, probe:message(), probe:message()} end),
            V = erpc:call(N, m, call_with_progress, [{Other, x}, long, []]),
            {V, probe:message(got)}
        """

        progress = [(A("progress"), A("x"), number) for number in (1, 2)]
        assert erl.eval(code) == ("done", (A("got"), *progress))

    def test_for_an_alias_that_is_gone_is_dropped(self, erl: Erl, long: Callable[..., Long]) -> None:
        long(2)
        code = """
            To = alias(), unalias(To),
            V = erpc:call(N, m, call_with_progress, [To, long, []]),
            {V, probe:nothing()}
        """

        assert erl.eval(code) == ("done", True)

    @pytest.mark.parametrize("to", ["shell", "{shell, node()}", "<<>>", "5", "{self(), a, b}"])
    def test_to_nobody_is_a_badarg(self, erl: Erl, long: Callable[..., Long], to: str) -> None:
        handler = long(2)

        kind, reason = erl.eval(f"probe:attempt(fun() -> erpc:call(N, m, call_with_progress, [{to}, long, []]) end)")

        assert (kind, reason[1][0], handler.yielded) == (A("error"), A("badarg"), 0)


class TestEnds:
    def begun(self, erl: Erl, handler: Long, code: str) -> Any:
        value = erl.eval(code)
        eventually(lambda: handler.yielded > 2, "the long call goes on")
        return value

    def test_a_caller_that_is_killed_closes_it(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long()
        pid = self.begun(erl, handler, "spawn(fun() -> erpc:call(N, m, long, []) end)")

        erl.eval("exit(P, kill)", P=pid)

        assert handler.closed.wait(TIMEOUT)

    @pytest.mark.parametrize(
        "call",
        ["erpc:call(N, m, long, [], 200)", "gen_server:call(S, long, 200)", "rpc:call(N, m, long, [], 200)"],
    )
    def test_a_call_that_times_out_closes_it(self, erl: Erl, long: Callable[..., Long], call: str) -> None:
        handler = long()

        erl.eval(f"catch {call}")

        assert handler.closed.wait(TIMEOUT)

    def test_a_caller_that_ends_without_its_answer_closes_it(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long()
        pid = self.begun(erl, handler, "spawn(fun() -> erpc:send_request(N, m, long, []), receive stop -> ok end end)")

        erl.eval("P ! stop", P=pid)

        assert handler.closed.wait(TIMEOUT)

    def test_a_node_that_disconnects_closes_it(
        self, server: BeamServer, start_erl: Callable[..., Erl], long: Callable[..., Long]
    ) -> None:
        handler, other = long(), start_erl().call(server)
        other.later("erpc:call(N, m, long, [])").add_done_callback(lambda future: future.exception())
        eventually(lambda: handler.yielded > 2, "the long call goes on")

        other.eval("erlang:disconnect_node(N)")

        assert handler.closed.wait(TIMEOUT)

    def test_a_spawned_one_is_closed_when_it_is_killed(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long()
        code = "{P, Ref} = spawn_monitor(N, m, long, []), erpc:call(N, m, ping, []), exit(P, kill), probe:down(Ref)"

        _pid, reason = erl.eval(code)

        assert reason == A("killed")
        assert handler.closed.wait(TIMEOUT)

    def test_a_linked_one_is_closed_when_its_caller_dies(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long()
        pid = self.begun(erl, handler, "spawn(fun() -> spawn_link(N, m, long, []), receive stop -> exit(bad) end end)")

        erl.eval("P ! stop", P=pid)

        assert handler.closed.wait(TIMEOUT)

    @pytest.mark.parametrize("replaced", [False, True])
    def test_a_handler_that_is_taken_away_is_undef(
        self, server: BeamServer, erl: Erl, long: Callable[..., Long], replaced: bool
    ) -> None:
        handler = long()
        later = erl.later("probe:attempt(fun() -> erpc:call(N, m, long, []) end)")
        eventually(lambda: handler.yielded > 2, "the long call goes on")

        if replaced:
            server.register_handler("long", lambda args: "another")
        else:
            server.unregister_handler("long")

        kind, reason = later.result(TIMEOUT)
        assert (kind, reason[1]) == (A("error"), A("undef"))
        assert handler.closed.is_set()

    def test_a_server_that_stops_closes_it(
        self, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
    ) -> None:
        server, handler = start_server(), Long(None)
        server.register_handler("long", handler)
        assert server.start(), server.last_error
        later = start_erl().call(server).later("probe:attempt(fun() -> erpc:call(N, m, long, []) end)")
        eventually(lambda: handler.yielded > 2, "the long call goes on")

        server.stop()

        assert handler.closed.is_set()
        assert later.result(TIMEOUT) == (A("error"), (A("erpc"), A("noconnection")))


class TestOthers:
    @pytest.mark.parametrize("inline", [False, True])
    def test_are_served_while_it_runs(self, erl: Erl, long: Callable[..., Long], inline: bool) -> None:
        handler = long(inline=inline)
        pid = erl.eval("spawn(fun() -> erpc:call(N, m, long, []) end)")
        eventually(lambda: handler.yielded > 2, "the long call goes on")

        for call in ("erpc:call(N, m, ping, [], 10000)", "gen_server:call(S, ping, 10000)", "net_adm:ping(N)"):
            assert erl.eval(call) == "pong"

        seen = handler.yielded
        eventually(lambda: handler.yielded > seen, "the long call still goes on")
        erl.eval("exit(P, kill)", P=pid)
        assert handler.closed.wait(TIMEOUT)

    def test_do_not_keep_it_from_going_on(self, erl: Erl, long: Callable[..., Long]) -> None:
        handler = long(200)
        code = """
            Callers = [spawn(fun F() -> erpc:call(N, m, ping, []), F() end) || _ <- [1, 2]],
            V = erpc:call(N, m, long, [], 20000),
            [exit(P, kill) || P <- Callers],
            V
        """

        assert erl.eval(code) == "done"
        assert handler.yielded == 200

    def test_two_long_calls_go_on_together(self, erl: Erl, server: BeamServer, long: Callable[..., Long]) -> None:
        first, second = long(), Long(None)
        server.register_handler("second", second)
        try:
            pids = erl.eval("[spawn(fun() -> erpc:call(N, m, F, []) end) || F <- [long, second]]")
            eventually(lambda: min(first.yielded, second.yielded) > 2, "both go on")
            erl.eval("[exit(P, kill) || P <- Ps]", Ps=pids)
            assert first.closed.wait(TIMEOUT)
            assert second.closed.wait(TIMEOUT)
        finally:
            server.unregister_handler("second")


class TestBatches:
    @pytest.mark.parametrize(
        "call",
        [
            "erpc:call(N, m, call_batch, [Steps])",
            "rpc:call(N, m, call_batch, [Steps])",
            "gen_server:call(S, {call_batch, [Steps]})",
            "gen_server:call({rex, N}, {call, m, call_batch, [Steps], group_leader()})",
        ],
    )
    def test_every_kind_of_call_gets_all_answers_in_order(self, erl: Erl, long: Any, call: str) -> None:
        long(3)
        code = f"""
            Steps = [{{echo, [a, 1.5]}}, {{<<"ping">>, []}}, {{"nothing", []}}, {{fail, [<<"throw">>, {{why, 1}}]}},
                     {{long, []}}, {{echo, "text"}}, {{inline_ping, []}}],
            {call}
        """

        assert erl.eval(code) == [
            (A("ok"), [A("a"), 1.5]),
            (A("ok"), "pong"),
            (A("error"), A("undef")),
            (A("error"), (A("why"), 1)),
            (A("ok"), "done"),
            (A("ok"), list(b"text")),
            (A("ok"), "pong"),
        ]

    def test_a_python_error_is_a_map(self, erl: Erl) -> None:
        [(error, (kind, details)), pong] = erl.eval(
            "erpc:call(N, m, call_batch, [[{crash, [<<\"no object named 'X'\">>]}, {ping, []}]])"
        )

        assert (error, kind, pong) == (A("error"), A("python_error"), (A("ok"), "pong"))
        assert details[A("type")] == "ValueError"
        assert details[A("message")] == "no object named 'X'"

    def test_an_empty_one(self, erl: Erl) -> None:
        assert erl.eval("erpc:call(N, m, call_batch, [[]])") == []

    @pytest.mark.parametrize(
        "steps", ["ping", "[ping]", "[{ping}]", "[{ping, [], []}]", "[{ping, []} | ping]", "{ping, []}", "[1]", '"abc"']
    )
    def test_of_the_wrong_shape_is_a_badarg(self, erl: Erl, steps: str) -> None:
        kind, reason = erl.eval(f"probe:attempt(fun() -> erpc:call(N, m, call_batch, [{steps}]) end)")

        assert (kind, reason[1][0]) == (A("error"), A("badarg"))

    def test_large_ones(self, erl: Erl) -> None:
        code = """
            Steps = [{echo, [I, binary:copy(<<"x">>, 100)]} || I <- lists:seq(1, 5000)],
            [{ok, Args} || {echo, Args} <- Steps] =:= erpc:call(N, m, call_batch, [Steps])
        """

        assert erl.eval(code) is True
