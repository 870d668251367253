"""Every way in which Erlang calls a node, from a real `erl`: erpc, rpc, gen_server, rex, and what they answer."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from beam import COOKIE, Erl, Gate, eventually, program

from beam_bpy import Atom, BeamServer
from beam_bpy.distribution.process import PermanentProcess
from beam_bpy.protocol import control, control_reader

PONG = "pong"


def test_the_calls_of_a_real_node_take_the_fast_path(erl: Erl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other releases may write them in another way; then they work, but slowly, and nothing else would say so."""
    slowly = []
    parse = control_reader.parse

    def noted(frame: bytes) -> control_reader.Event:
        slowly.append(event := parse(frame))
        return event

    assert erl.eval("net_adm:ping(N)") == Atom("pong")
    monkeypatch.setattr(control_reader, "parse", noted)
    code = "[[erpc:call(N, any, ping, []), gen_server:call(S, {ping, []})] || _ <- lists:seq(1, 3)]"
    assert erl.eval(code) == [[PONG, PONG]] * 3
    assert slowly == []
    assert erl.eval("{any, N} ! hello, rpc:call(N, any, ping, [])") == PONG
    assert [type(event) for event in slowly] == [control.Send]


def test_net_adm_ping(erl: Erl) -> None:
    assert erl.eval("net_adm:ping(N)") == Atom("pong")


@pytest.mark.parametrize(
    "call",
    [
        "rpc:call(N, anything, ping, [])",
        "rpc:call(N, anything, ping, [], 5000)",
        "rpc:call(N, anything, call_handler, [<<\"ping\">>, []])",
        "rpc:call(N, anything, call_handler, [ping, []])",
        "rpc:call(N, anything, call_handler, [\"ping\", []])",
        "rpc:call(N, 'Elixir.BeamServer', handle_rpc, [<<\"ping\">>, []])",
        "rpc:block_call(N, anything, ping, [])",
        "rpc:yield(rpc:async_call(N, anything, ping, []))",
        "{value, V} = rpc:nb_yield(rpc:async_call(N, anything, ping, []), 5000), V",
        "[V] = rpc:parallel_eval([{erpc, call, [N, anything, ping, []]}]), V",
        "erpc:call(N, anything, ping, [])",
        "erpc:call(N, anything, ping, [], 5000)",
        "erpc:call(N, nil, ping, [])",
        "erpc:receive_response(erpc:send_request(N, anything, ping, []))",
        "{response, V} = erpc:wait_response(erpc:send_request(N, anything, ping, []), 5000), V",
        """
        Requests = erpc:send_request(N, anything, ping, [], label, erpc:reqids_new()),
        {V, label, _} = erpc:receive_response(Requests, 5000, true),
        V
        """,
        "R = erpc:send_request(N, anything, ping, []), {response, V} = erpc:check_response(probe:message(), R), V",
        "gen_server:call(S, {ping, []})",
        "gen_server:call(S, {<<\"ping\">>, []}, 5000)",
        "gen_server:call(S, {\"ping\", []}, infinity)",
        "gen_server:call(S, ping)",
        "gen_server:call(S, <<\"ping\">>)",
        "{reply, V} = gen_server:wait_response(gen_server:send_request(S, {ping, []}), 5000), V",
        "{reply, V} = gen_server:receive_response(gen_server:send_request(S, {ping, []}), 5000), V",
        "R = gen_server:send_request(S, {ping, []}), {reply, V} = gen_server:check_response(probe:message(), R), V",
        "{[{_, V}], []} = gen_server:multi_call([N], element(1, S), {ping, []}), V",
        "{[{_, V}], []} = gen_server:multi_call([N], element(1, S), {ping, []}, 5000), V",
        "gen_server:call({rex, N}, {call, anything, ping, [], group_leader()})",
        "gen_server:call({rex, N}, {block_call, anything, ping, [], group_leader()})",
        "{rex, N} ! {self(), {call, anything, ping, [], user}}, {rex, V} = probe:message(), V",
    ],
)  # fmt: skip
def test_each_kind_of_call_reaches_the_handler(erl: Erl, call: str) -> None:
    assert erl.eval(f"V0 = begin {call} end, {{V0, probe:nothing()}}") == (PONG, True)


@pytest.mark.parametrize(
    "cast",
    [
        "erpc:cast(N, anything, note, [Mark])",
        "rpc:cast(N, anything, note, [Mark])",
        "rpc:cast(N, anything, call_handler, [<<\"note\">>, [Mark]])",
        "erpc:multicast([N], anything, note, [Mark])",
        "rpc:eval_everywhere([N], anything, note, [Mark])",
        "gen_server:cast(S, {note, [Mark]})",
        "gen_server:abcast([N], element(1, S), {note, [Mark]})",
        "rpc:abcast([N], element(1, S), {'$gen_cast', {note, [Mark]}})",
        "gen_server:cast({rex, N}, {cast, anything, note, [Mark], group_leader()})",
        "spawn(N, anything, note, [Mark])",
    ],
)  # fmt: skip
def test_each_kind_of_cast_reaches_the_handler(erl: Erl, notes: list[Any], cast: str) -> None:
    # The worker takes one call after the other: once a later call has been answered, the cast has been run.
    erl.eval(f"{cast}, erpc:call(N, anything, ping, [])", Mark=cast)
    assert notes == [cast]


def test_multicalls_ask_several_nodes(erl: Erl, reference: Erl) -> None:
    answers, bad = erl.eval("rpc:multicall([N, R], erlang, node, [])", R=Atom(reference.node))
    assert bad == []
    assert answers[1] == Atom(reference.node)
    assert erl.eval("rpc:multicall([N, N], anything, ping, [])") == ([PONG, PONG], [])
    assert erl.eval("rpc:multicall([N], anything, ping, [], 5000)") == ([PONG], [])
    assert erl.eval("erpc:multicall([N, N], anything, ping, [])") == [(Atom("ok"), PONG)] * 2
    assert erl.eval("rpc:multicall([N, 'nobody@127.0.0.1'], anything, ping, [])") == ([PONG], ["nobody@127.0.0.1"])


def test_a_gen_server_multi_call_leaves_out_who_does_not_answer(erl: Erl) -> None:
    code = "gen_server:multi_call([N, 'nobody@127.0.0.1'], element(1, S), {ping, []})"
    assert erl.eval(code) == ([(erl.bindings["N"], PONG)], ["nobody@127.0.0.1"])


def test_arguments_arrive_one_by_one_and_as_a_list(erl: Erl) -> None:
    assert erl.eval('erpc:call(N, m, echo, [1, two, <<"three">>])') == [1, Atom("two"), "three"]
    assert erl.eval('erpc:call(N, m, count, "hello")') == 5
    assert erl.eval('rpc:call(N, m, call_handler, [<<"echo">>, [a, b]])') == [Atom("a"), Atom("b")]
    assert erl.eval('gen_server:call(S, {echo, "hi"})') == list(b"hi")


def test_a_handler_bound_to_a_module_answers_that_module_only(server: BeamServer, erl: Erl) -> None:
    server.register_handler("whose", lambda args: "mine", module="MyAddon")
    try:
        elixir = erl.eval("erpc:call(N, 'Elixir.MyAddon', whose, [])")
        erlang = erl.eval("erpc:call(N, 'MyAddon', whose, [])")
        other = erl.eval("probe:attempt(fun() -> erpc:call(N, other, whose, []) end)")
    finally:
        server.unregister_handler("whose", module="MyAddon")
    assert (elixir, erlang) == ("mine", "mine")
    assert other[1][1] == Atom("undef")


def test_a_handler_may_be_called_like_a_wrapper(server: BeamServer, erl: Erl) -> None:
    server.register_handler("call_handler", lambda args: ["own", args])
    try:
        assert erl.eval('erpc:call(N, m, call_handler, [<<"ping">>, []])') == ["own", ["ping", []]]
    finally:
        server.unregister_handler("call_handler")


def test_an_exposed_function_takes_positional_arguments(server: BeamServer, erl: Erl) -> None:
    @server.expose
    def move(name: str, x: float, y: float = 0.0) -> list[Any]:
        return [name, x, y]

    try:
        assert erl.eval("erpc:call(N, 'Elixir.Blender', move, [<<\"Cube\">>, 1.5])") == ["Cube", 1.5, 0.0]
    finally:
        server.unregister_handler("move")


def test_binaries_arrive_as_the_handler_wants_them(server: BeamServer, erl: Erl) -> None:
    for kind in (str, bytes, memoryview):
        server.register_handler(f"kind_{kind.__name__}", lambda args: [type(a).__name__ for a in args], binaries=kind)
    kinds = erl.eval('[erpc:call(N, m, F, [<<"text">>, <<255>>]) || F <- [kind_str, kind_bytes, kind_memoryview]]')
    server_handlers = [h.name for h in server.handlers if h.name.startswith("kind_")]
    for name in server_handlers:
        server.unregister_handler(name)
    assert kinds == [["str", "bytes"], ["bytes", "bytes"], ["memoryview", "memoryview"]]


def test_the_features_request_is_answered_as_a_beam_node_answers_it(erl: Erl, reference: Erl) -> None:
    code = """
        {rex, Node} ! {self(), features_request},
        {features_reply, Node, Features} = probe:message(),
        Features
    """
    ours = erl.eval(code, Node=erl.bindings["N"])
    assert ours == erl.eval(code, Node=Atom(reference.node)) == [Atom("erpc")]


def test_an_alias_takes_one_answer_and_none_once_it_is_gone(erl: Erl) -> None:
    code = """
        Call = fun(Alias) -> S ! {'$gen_call', {self(), [alias | Alias]}, {ping, []}} end,
        One = alias([reply]),
        Call(One),
        First = probe:message(),
        Gone = alias(),
        unalias(Gone),
        Call(Gone),
        erpc:call(N, m, ping, []),
        {First =:= {[alias | One], <<"pong">>}, probe:nothing()}
    """
    assert erl.eval(code) == (True, True)


def test_a_plain_tag_is_answered_to_the_pid(erl: Erl) -> None:
    code = """
        Tag = make_ref(),
        S ! {'$gen_call', {self(), Tag}, {ping, []}},
        S ! {'$gen_call', {self(), any_term}, {ping, []}},
        {probe:message() =:= {Tag, <<"pong">>}, probe:message()}
    """
    assert erl.eval(code) == (True, (Atom("any_term"), PONG))


def test_messages_that_are_no_calls_do_no_harm(erl: Erl) -> None:
    code = """
        Junk = [hello, {}, {a}, [], "text", 1 bsl 70, #{}, {'$gen_call', x, y}, {'$gen_call'}, {'$gen_cast', {}},
                {'$gen_cast', {1, 2, 3}}, {'$gen_call', {self(), x}, {1.5, []}}, {self(), {call}}, {self(), nonsense},
                {call, m, f, [], user}, {system, {self(), make_ref()}, get_state}],
        [{Name, N} ! Term || Name <- [element(1, S), rex, net_kernel, nobody], Term <- Junk],
        net_adm:ping(N)
    """
    assert erl.eval(code) == Atom("pong")
    assert erl.eval("gen_server:call(S, {ping, []})") == PONG
    assert erl.eval("gen_server:call({rex, N}, {call, m, ping, [], group_leader()})") == PONG


def test_calls_of_one_process_are_run_in_order(erl: Erl, notes: list[Any]) -> None:
    erl.eval("[erpc:cast(N, m, note, [I]) || I <- lists:seq(1, 200)], erpc:call(N, m, ping, [])")
    assert notes == list(range(1, 201))


def test_an_inline_handler_answers_while_another_holds_the_worker(erl: Erl, gate: Gate) -> None:
    slow = erl.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    assert erl.eval("erpc:call(N, m, inline_ping, [])") == PONG
    assert not slow.done()
    gate.opened.set()
    assert slow.result(10) == "through"


def check_nothing_is_left(server: BeamServer) -> None:
    node = server._running.node

    def only_permanent() -> bool:
        return all(isinstance(process, PermanentProcess) for process in tuple(node._processes.values()))

    eventually(only_permanent, "only the node's own processes are left", timeout=5)
    assert not any(len(process.monitored_by) + len(process.links) for process in node._processes.values())
    assert [len(peer.incoming_monitors) + len(peer.links) for peer in node.peers] == [0] * len(node.peers)


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer]) -> BeamServer:
    """A server that nobody has called yet."""
    server = start_server()
    assert server.start(), server.last_error
    return server


@pytest.fixture
def caller(fresh: BeamServer, start_erl: Callable[..., Erl]) -> Erl:
    """A node that calls it."""
    return start_erl().call(fresh)


@pytest.mark.parametrize(
    "call",
    [
        "erpc:call(N, m, ping, [])",
        'erpc:call(N, m, crash, [<<"x">>])',
        "erpc:call(N, m, nothing, [])",
        "gen_server:call(S, {ping, []})",
        'gen_server:call(S, {crash, [<<"x">>]})',
        'gen_server:call({rex, N}, {call, m, crash, [<<"x">>], group_leader()})',
        "spawn(N, m, ping, [])",
        "spawn_link(N, m, ping, [])",
        'spawn_monitor(N, m, crash, [<<"x">>])',
        "erpc:cast(N, m, ping, [])",
    ],
)
def test_nothing_is_left_of_a_call_that_is_over(fresh: BeamServer, caller: Erl, call: str) -> None:
    caller.eval(f"[catch {call} || _ <- lists:seq(1, 20)], erpc:call(N, m, ping, [])")
    check_nothing_is_left(fresh)


@pytest.mark.parametrize(
    "call", ["erpc:call(N, m, ping, [], 20)", "gen_server:call(S, {ping, []}, 20)", "rpc:call(N, m, ping, [], 20)"]
)
def test_nothing_is_left_of_a_call_that_was_dropped(fresh: BeamServer, caller: Erl, call: str) -> None:
    gate = Gate()
    fresh.register_handler("gate", gate)
    future = caller.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    caller.eval(f"[catch {call} || _ <- lists:seq(1, 5)], erpc:call(N, m, inline_ping, [])")
    gate.opened.set()
    assert future.result(10) == "through"
    caller.eval("erpc:call(N, m, ping, [])")
    check_nothing_is_left(fresh)


def test_erl_call_calls_a_handler(server: BeamServer, child_environment: Callable[..., dict[str, str]]) -> None:
    def erl_call(apply: str) -> "subprocess.CompletedProcess[str]":
        command = [program("erl_call"), "-name", server.node_name, "-c", COOKIE, "-a", apply]
        return subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=20)

    done = erl_call("any echo [1,two,[3.5]]")
    assert (done.returncode, done.stdout) == (0, "[1, two, [3.500000]]"), done.stderr
    assert erl_call("any crash [oops]").stdout.startswith("{badrpc, {'EXIT', {{python_error, ")
    assert erl_call("any nothing [a]").stdout == "{badrpc, {'EXIT', {undef, [{any, nothing, [a], []}]}}}"
