"""Calls, casts and messages from Python to real nodes, and each way in which they fail."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import COOKIE, Erl, eventually, nodes_of, unique

from beam_bpy import Atom, BeamServer, ErlangError, ErlangExit, ErlangThrow, Limits, NodeDownError, Reference

SECONDS = 20.0


def a(name: str) -> Atom:
    return Atom(name)


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer]) -> BeamServer:
    server = start_server()
    assert server.start(), server.last_error
    return server


@pytest.fixture(scope="module")
def elixir(
    epmd_port: int, ebin: Path, elixir_ebin: str, child_environment: Callable[..., dict[str, str]]
) -> Iterator[Erl]:
    node = Erl(ebin, child_environment(), "-pa", elixir_ebin)
    node.eval("{ok, _} = application:ensure_all_started(elixir)")
    yield node
    node.stop()


# Reaching a node


def test_connect_says_whether_a_node_can_be_reached(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    fresh.connect(erl.node)
    assert nodes_of(fresh) == (erl.node,)
    assert erl.eval("nodes(hidden) =:= [N]") is True
    fresh.connect(erl.node)
    assert nodes_of(fresh) == (erl.node,)


def test_disconnect_is_seen_on_both_sides_and_the_next_call_connects_again(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl().call(fresh)
    for _ in range(3):
        assert fresh.call(erl.node, "erlang", "node") == erl.node
        watching = erl.later("monitor_node(N, true), register(watcher, self()), probe:message(nodedown)")
        eventually(lambda: erl.eval("is_pid(whereis(watcher))"), "it watches")
        fresh.disconnect(erl.node)
        assert watching.result(SECONDS) == (a("nodedown"), a(fresh.node_name))
        eventually(lambda: nodes_of(fresh) == (), "we have noticed too")


def test_ping_is_true_for_a_node_and_false_for_none(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    assert fresh.ping(erl.node) is True
    assert fresh.ping("nobody_here@127.0.0.1") is False
    erl.stop()
    eventually(lambda: nodes_of(fresh) == (), "the node is gone")
    assert fresh.ping(erl.node) is False


def test_ping_between_two_servers(start_server: Callable[..., BeamServer]) -> None:
    one, two = start_server(), start_server()
    assert one.start(), one.last_error
    assert two.start(), two.last_error
    assert one.ping(two.node_name) is True
    assert two.call(one.node_name, "any", "echo", [1, "two"]) == [1, "two"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nobody_here@127.0.0.1", "knows no node 'nobody_here'"),
        ("no_host", "name@host"),
        ("someone@no-such-host.invalid", "not known"),
    ],
)
def test_a_node_that_is_not_there_is_a_clear_error(fresh: BeamServer, name: str, part: str) -> None:
    for attempt in (
        lambda: fresh.connect(name),
        lambda: fresh.call(name, "erlang", "node"),
        lambda: fresh.call_async(name, "erlang", "node").result(SECONDS),
    ):
        with pytest.raises(NodeDownError, match=part):
            attempt()


def test_a_cast_and_a_send_to_nobody_do_nothing(fresh: BeamServer) -> None:
    fresh.cast("nobody_here@127.0.0.1", "erlang", "node")
    fresh.send(("someone", "nobody_here@127.0.0.1"), "hello")
    assert fresh.ping("nobody_here@127.0.0.1") is False


def test_a_wrong_cookie_on_our_side_is_a_clear_error_that_does_not_hold_it(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "not_the_cookie_v3"
    server = start_server(cookie=wrong)
    assert server.start(), server.last_error
    erl = start_erl()
    with caplog.at_level("DEBUG"), pytest.raises(NodeDownError, match="cookie") as error:
        server.connect(erl.node)
    assert erl.node in str(error.value)
    assert wrong not in f"{error.value} {caplog.text}"
    assert COOKIE not in f"{error.value} {caplog.text}"


def test_a_node_that_does_not_allow_us_is_a_clear_error(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    erl.eval("ok = net_kernel:allow(['only_friend@127.0.0.1'])")
    for _ in range(2):
        with pytest.raises(NodeDownError, match="does not allow"):
            fresh.connect(erl.node)
    erl.eval("ok = net_kernel:allow([Node])", Node=a(fresh.node_name))
    fresh.connect(erl.node)


def test_a_server_that_does_not_run_says_so(start_server: Callable[..., BeamServer]) -> None:
    server = start_server()
    with pytest.raises(RuntimeError, match="start"):
        server.call("x@127.0.0.1", "erlang", "node")


# Values


@pytest.mark.parametrize(
    ("module", "function", "args", "value"),
    [
        ("erlang", "+", [2**80, 1], 2**80 + 1),
        ("erlang", "/", [1, 4], 0.25),
        ("erlang", "list_to_atom", [list(b"an atom")], Atom("an atom")),
        ("erlang", "is_atom", [Atom("x")], True),
        ("erlang", "is_binary", ["text"], True),
        ("erlang", "is_binary", [b"\xff"], True),
        ("erlang", "list_to_binary", [[255, 0]], b"\xff\x00"),
        ("unicode", "characters_to_binary", [[955, 20013]], "λ中"),
        ("lists", "seq", [1, 3], [1, 2, 3]),
        ("maps", "from_list", [[(Atom("a"), 1), ("b", [2.5])]], {Atom("a"): 1, "b": [2.5]}),
        ("erlang", "list_to_tuple", [[1, None, True]], (1, None, True)),
        ("lists", "map", [Atom("not a function"), []], ErlangError),
    ],
)
def test_the_value_of_a_call(server: BeamServer, erl: Erl, module: str, function: str, args: Any, value: Any) -> None:
    if value is ErlangError:
        with pytest.raises(ErlangError):
            server.call(erl.node, module, function, args)
    else:
        got = server.call(erl.node, module, function, args)
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize("seed", range(5))
def test_terms_of_every_kind_arrive_in_python_and_go_back_unchanged(server: BeamServer, erl: Erl, seed: int) -> None:
    terms = server.call(erl.node, "terms", "keep", [seed, 4], timeout=SECONDS)
    assert len(terms) > 100
    assert server.call(erl.node, "terms", "kept", [seed, terms], timeout=SECONDS) == []


def test_binaries_and_arrays_arrive_as_the_caller_wants_them(server: BeamServer, erl: Erl) -> None:
    args = [a("x"), "text"]
    assert server.call(erl.node, "proplists", "get_value", [*args[:1], [(a("x"), "text")]]) == "text"
    value = server.call(erl.node, "binary", "copy", ["ab", 2], binaries=bytes)
    assert (value, type(value)) == (b"abab", bytes)
    view = server.call(erl.node, "binary", "copy", ["ab", 1000], binaries=memoryview)
    assert isinstance(view, memoryview)
    assert view == b"ab" * 1000
    numbers = server.call(erl.node, "lists", "duplicate", [1000, 1.5], arrays=True)
    assert type(numbers).__name__ == "ndarray"
    assert numbers.tolist() == [1.5] * 1000


def test_what_cannot_be_encoded_is_the_callers_error(server: BeamServer, erl: Erl) -> None:
    with pytest.raises(ValueError, match="object"):
        server.call(erl.node, "erlang", "node", [object()])
    assert server.ping(erl.node) is True


def test_futures_of_many_calls_are_each_answered(server: BeamServer, erl: Erl) -> None:
    futures = [server.call_async(erl.node, "erlang", "+", [number, 1]) for number in range(500)]
    assert [future.result(SECONDS) for future in futures] == list(range(1, 501))


def test_calls_from_many_threads_are_each_answered(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    """None of them is connected before, so all wait for one connection."""
    erl = start_erl()
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def run(thread: int) -> None:
        each = [fresh.call(erl.node, "erlang", "+", [thread, number]) for number in range(50)]
        answers.put(each == [thread + number for number in range(50)])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert [answers.get(timeout=SECONDS) for _ in threads] == [True] * 8
    for thread in threads:
        thread.join()
    assert nodes_of(fresh) == (erl.node,)


def test_nothing_is_left_of_calls_that_are_over(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    fresh.call(erl.node, "erlang", "node")
    (peer,) = fresh._running.node.peers
    before = erl.eval("erlang:system_info(process_count)")
    for attempt in (
        lambda: fresh.call(erl.node, "erlang", "node"),
        lambda: fresh.call(erl.node, "erlang", "error", [a("x")]),
        lambda: fresh.call(erl.node, "timer", "sleep", [200], timeout=0.02),
        lambda: fresh.call_async(erl.node, "timer", "sleep", [200]).cancel(),
        lambda: fresh.ping(erl.node),
    ):
        for _ in range(5):
            with contextlib.suppress(ErlangError, TimeoutError):
                attempt()
    eventually(lambda: not peer.outgoing_monitors, "no monitor is left")
    assert not fresh._running.client._pending
    assert not fresh._running.client._pings
    eventually(lambda: erl.eval("erlang:system_info(process_count)") <= before, "no process is left over there")


# Failures


def test_a_raise_is_an_erlang_error_with_reason_and_stack(server: BeamServer, erl: Erl) -> None:
    with pytest.raises(ErlangError) as error:
        server.call(erl.node, "erlang", "error", [(a("bad"), ["thing", 1.5])])
    assert error.value.reason == (a("bad"), ["thing", 1.5])
    with pytest.raises(ErlangError) as error:
        server.call(erl.node, "lists", "nth", [5, [1]])
    assert error.value.reason == "function_clause"
    module, function, arguments, _location = error.value.stack[0]
    # The function behind it, since OTP 26.
    assert module == "lists"
    assert function in ("nth", "nth_1")
    assert arguments in (2, [4, []], [5, [1]])
    assert len(error.value.stack) >= 1


def test_undef_names_what_is_missing(server: BeamServer, erl: Erl) -> None:
    with pytest.raises(ErlangError) as error:
        server.call(erl.node, "no_module", "no_function", [1, "x"])
    assert error.value.reason == "undef"
    assert error.value.stack[0] == (a("no_module"), a("no_function"), [1, "x"], [])


def test_an_exit_is_an_erlang_exit_and_a_throw_an_erlang_throw(server: BeamServer, erl: Erl) -> None:
    for reason in (a("normal"), a("shutdown"), (a("why"), {"a": 1}), 7):
        with pytest.raises(ErlangExit) as left:
            server.call(erl.node, "erlang", "exit", [reason])
        assert left.value.reason == reason
        with pytest.raises(ErlangThrow) as thrown:
            server.call(erl.node, "erlang", "throw", [reason])
        assert thrown.value.value == reason


def test_a_call_whose_process_is_killed_is_an_erlang_exit(server: BeamServer, erl: Erl) -> None:
    kept: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server.register_handler("keep_pid", lambda args: kept.put(args[0]), inline=True)
    code = "fun(Node) -> erpc:call(Node, m, keep_pid, [self()]), receive never -> ok end end"
    function = erl.eval(code)
    future = server.call_async(erl.node, "erlang", "apply", [function, [a(server.node_name)]])
    server.call(erl.node, "erlang", "exit", [kept.get(timeout=SECONDS), a("kill")])
    with pytest.raises(ErlangExit) as error:
        future.result(SECONDS)
    assert error.value.reason == "killed"


def test_a_call_that_takes_too_long_is_a_timeout_and_its_answer_is_dropped(server: BeamServer, erl: Erl) -> None:
    name = unique("late")
    answers_when_told = erl.eval(f"fun() -> register({name}, self()), receive go -> late end end")
    with pytest.raises(TimeoutError, match=r"within 0\.05 seconds"):
        server.call(erl.node, "erlang", "apply", [answers_when_told, []], timeout=0.05)
    eventually(lambda: erl.eval(f"is_pid(whereis({name}))"), "the call has begun")
    erl.eval(f"Ref = monitor(process, {name}), {name} ! go, probe:down(Ref)")
    assert server.call(erl.node, "erlang", "node", timeout=None) == erl.node


def test_a_call_that_is_cancelled_is_given_up(server: BeamServer, erl: Erl) -> None:
    future = server.call_async(erl.node, "probe", "message")
    assert future.cancel()
    assert server.ping(erl.node) is True
    assert future.cancelled()


def test_a_node_that_dies_during_calls_fails_each_of_them(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    futures = [fresh.call_async(erl.node, "timer", "sleep", [60_000]) for _ in range(3)]
    fresh.call(erl.node, "erlang", "node")
    erl.stop()
    for future in futures:
        with pytest.raises(NodeDownError, match=f"{erl.node} broke"):
            future.result(SECONDS)


@pytest.mark.parametrize("size", [10_000, 200_000, 2_000_000])
def test_an_answer_that_is_too_long_says_which_limit(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], size: int
) -> None:
    server = start_server(limits=Limits(max_frame=5_000))
    assert server.start(), server.last_error
    erl = start_erl()
    with pytest.raises(NodeDownError, match=r"5000 bytes.*max_frame"):
        server.call(erl.node, "binary", "copy", ["x", size])
    assert server.call(erl.node, "binary", "copy", ["x", 100]) == "x" * 100


def test_a_server_that_stops_fails_its_calls(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    future = fresh.call_async(erl.node, "timer", "sleep", [60_000])
    fresh.call(erl.node, "erlang", "node")
    fresh.stop()
    with pytest.raises(NodeDownError):
        future.result(SECONDS)


def test_a_handler_may_call_the_node_that_calls_it(server: BeamServer, erl: Erl) -> None:
    server.register_handler("call_back", lambda args: server.call(str(args[0]), "erlang", "node"))
    assert erl.eval("erpc:call(N, m, call_back, [node()])") == erl.node


def test_an_inline_handler_that_waits_is_told_that_it_cannot(server: BeamServer, erl: Erl) -> None:
    server.register_handler("wait_inline", lambda args: server.call(str(args[0]), "erlang", "node"), inline=True)
    kind, reason = erl.eval("probe:attempt(fun() -> erpc:call(N, m, wait_inline, [node()]) end)")
    assert kind == "error"
    assert reason[1][1]["type"] == "RuntimeError"
    assert "call_async" in reason[1][1]["message"]


# Elixir


def test_an_elixir_function_is_called_by_the_name_of_its_module(server: BeamServer, elixir: Erl) -> None:
    assert server.call(elixir.node, "Elixir.Enum", "sum", [[1, 2, 3]]) == 6
    assert server.call(elixir.node, "Elixir.String", "upcase", ["grüß"]) == "GRÜSS"
    assert server.call(elixir.node, "Elixir.Code", "eval_string", ["{nil, :ok, %{a: 1..2}}"])[0][:2] == (None, "ok")


def test_an_elixir_exception_arrives_as_its_struct(server: BeamServer, elixir: Erl) -> None:
    with pytest.raises(ErlangError) as error:
        server.call(elixir.node, "Elixir.Code", "eval_string", ['raise ArgumentError, "no such cube"'])
    reason = error.value.reason
    assert reason["__struct__"] == "Elixir.ArgumentError"
    assert reason["__exception__"] is True
    assert reason["message"] == "no such cube"
    assert error.value.stack
    assert "no such cube" in str(error.value)


def test_an_elixir_exit_and_throw(server: BeamServer, elixir: Erl) -> None:
    with pytest.raises(ErlangExit) as left:
        server.call(elixir.node, "Elixir.Code", "eval_string", ["exit({:shutdown, :over})"])
    assert left.value.reason == (a("shutdown"), a("over"))
    with pytest.raises(ErlangThrow) as thrown:
        server.call(elixir.node, "Elixir.Code", "eval_string", ["throw(:ball)"])
    assert thrown.value.value == "ball"


def test_an_unknown_elixir_module_is_undef(server: BeamServer, elixir: Erl) -> None:
    with pytest.raises(ErlangError) as error:
        server.call(elixir.node, "Elixir.NoSuchModule", "f", [])
    assert error.value.reason == "undef"
    assert error.value.stack[0][:2] == ("Elixir.NoSuchModule", "f")


# Casts and messages


def inbox(erl: Erl, count: int, extra: str = "none") -> Any:
    """Has the node collect `count` messages; returns the process's name, pid, what `extra` is, and the future."""
    name = unique("inbox")
    code = f"""
        register(Name, self()),
        persistent_term:put(Name, {{self(), {extra}}}),
        [probe:message() || _ <- lists:seq(1, {count})]
    """
    future = erl.later(code, Name=a(name))
    pid, more = eventually(lambda: erl.eval("persistent_term:get(Name, false)", Name=a(name)), "the inbox is there")
    return name, pid, more, future


def test_a_message_goes_to_a_pid_a_name_and_an_alias_in_order(server: BeamServer, erl: Erl) -> None:
    name, pid, alias, future = inbox(erl, 4, "erlang:alias()")
    assert isinstance(alias, Reference)
    server.send(pid, "to the pid")
    server.send((name, erl.node), [1, {"to": a("the name")}])
    server.send(alias, b"\xffto the alias")
    server.send(pid, None)
    assert future.result(SECONDS) == ["to the pid", [1, {"to": a("the name")}], b"\xffto the alias", None]


def test_a_message_to_an_alias_that_is_gone_is_dropped(server: BeamServer, erl: Erl) -> None:
    code = "begin Gone = erlang:alias(), true = erlang:unalias(Gone), Gone end"
    _name, pid, alias, future = inbox(erl, 1, code)
    server.send(alias, "to nobody")
    server.send(pid, "to the pid")
    assert future.result(SECONDS) == ["to the pid"]


def test_a_reply_alias_takes_one_message(server: BeamServer, erl: Erl) -> None:
    _name, pid, alias, future = inbox(erl, 2, "erlang:alias([reply])")
    for text in ("first", "second"):
        server.send(alias, text)
    server.send(pid, "last")
    assert future.result(SECONDS) == ["first", "last"]


def test_a_cast_runs_there_and_is_not_answered(server: BeamServer, erl: Erl) -> None:
    _name, pid, _more, future = inbox(erl, 2)
    server.cast(erl.node, "erlang", "error", [a("nobody_sees_this")])
    server.cast(erl.node, "erlang", "send", [pid, "from a cast"])
    server.cast(erl.node, "erlang", "send", [pid, "from a cast"])
    assert future.result(SECONDS) == ["from a cast"] * 2


def test_what_was_sent_before_the_connection_stood_arrives_in_order(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl()
    name, _pid, _more, future = inbox(erl, 200)
    for number in range(200):
        server.send((name, erl.node), number)
    assert future.result(SECONDS) == list(range(200))


# Handlers that wait


def test_an_async_handler_calls_back_the_process_that_has_called_it(server: BeamServer, erl: Erl) -> None:
    """The process answers the handler's call before it gets the answer to its own."""

    async def ask(args: list[Any]) -> Any:
        return await server.call_async(erl.node, "gen_server", "call", [args[0], Atom("question")])

    server.register_handler("ask", ask)
    answer = erl.eval(
        "Request = erpc:send_request(N, m, ask, [self()]),"
        "receive {'$gen_call', From, question} -> gen_server:reply(From, answer) end,"
        "erpc:receive_response(Request, 20000)"
    )
    assert answer == "answer"


def test_calls_are_answered_while_two_thousand_async_handlers_of_one_node_wait(server: BeamServer, erl: Erl) -> None:
    gate = asyncio.Event()

    async def wait(args: list[int]) -> int:
        await gate.wait()
        return args[0]

    async def open_gate(args: list[Any]) -> None:
        gate.set()

    server.register_handler("wait", wait)
    server.register_handler("open_gate", open_gate)
    total = erl.eval(
        "Requests = [erpc:send_request(N, m, wait, [I]) || I <- lists:seq(1, 2000)],"
        "[[1] = erpc:call(N, m, echo, [1]) || _ <- lists:seq(1, 100)],"
        "erpc:call(N, m, open_gate, []),"
        "lists:sum([erpc:receive_response(Request, 20000) || Request <- Requests])",
        timeout=60.0,
    )
    assert total == sum(range(2001))


def test_an_async_handler_is_cancelled_when_its_caller_dies_or_gives_up(server: BeamServer, erl: Erl) -> None:
    ended: list[str] = []

    async def wait(args: list[Any]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(args[0])

    server.register_handler("wait", wait)
    erl.eval("P = spawn(fun() -> erpc:call(N, m, wait, [died]) end), timer:sleep(100), exit(P, kill)")
    eventually(lambda: ended == ["died"], "the caller's death cancels it")
    erl.eval("try erpc:call(N, m, wait, [timeout], 100) catch error:{erpc, timeout} -> ok end")
    eventually(lambda: ended == ["died", "timeout"], "the timeout cancels it")


def test_async_handlers_of_two_nodes_call_each_other(
    server: BeamServer, start_server: Callable[..., BeamServer]
) -> None:
    """Each waits for the other: with plain handlers, neither thread would be free to answer."""
    other = start_server()
    assert other.start(), other.last_error

    def countdown(here: BeamServer, there: BeamServer) -> Callable[[int], Any]:
        async def count(number: int) -> int:
            if number == 0:
                return 0
            return 1 + await here.call_async(there.node_name, "m", "count", [number - 1])

        return count

    for here, there in ((server, other), (other, server)):
        here.expose(name="count")(countdown(here, there))
    assert server.call(other.node_name, "m", "count", [20], timeout=SECONDS) == 20
