"""Calls as BEAM programmers write them: requests of gen_server's style, system messages, funs, registered names."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, ErlError, eventually

from beam_bpy import Atom, BeamServer

AT_ONCE = 20.0
"""Seconds within which something happens that otherwise waits for ever."""


@pytest.mark.parametrize("name", ["beam_bpy", None])
@pytest.mark.parametrize(
    ("request_", "args"),
    [
        ("echo", []),
        ('<<"echo">>', []),
        ("{echo}", []),
        ('{<<"echo">>, []}', []),
        ('{echo, <<"Cube">>}', ["Cube"]),
        ('{echo, <<"Cube">>, 1.0, 2.0, 3.0}', ["Cube", 1.0, 2.0, 3.0]),
        ("{echo, [1, 2]}", [1, 2]),
        ('{echo, [<<"a">>], [1]}', [["a"], [1]]),
        ("{inline_echo, #{a => 1}}", [{Atom("a"): 1}]),
    ],
)
def test_requests(erl: Erl, server: BeamServer, name: str | None, request_: str, args: list[Any]) -> None:
    to = f"{{{name}, N}}" if name else "S"
    assert erl.eval(f"gen_server:call({to}, {request_})") == args


def test_casts(erl: Erl, notes: list[Any]) -> None:
    erl.eval('gen_server:cast({beam_bpy, N}, {note, one}), gen_server:abcast([N], beam_bpy, {<<"note">>, [two]})')
    eventually(lambda: notes == ["one", "two"], "both casts run")


def test_a_message_that_names_a_handler_is_a_cast(erl: Erl, notes: list[Any]) -> None:
    erl.eval("{beam_bpy, N} ! {note, one}, {beam_bpy, N} ! {nodedown, a@b}, {beam_bpy, N} ! {note, [two]}")
    eventually(lambda: notes == ["one", "two"], "both messages run")


CASTS = {
    "gen_server": "gen_server:cast({beam_bpy, N}, {pose, I})",
    "message": "{beam_bpy, N} ! {pose, I}",
    "erpc": "erpc:cast(N, crates, pose, [I])",
    "rpc": "rpc:cast(N, crates, pose, [I])",
}


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS.keys())
def test_only_the_newest_of_many_casts_runs(erl: Erl, server: BeamServer, cast: str) -> None:
    """A handler that waits holds the queue, so that all casts of `pose` wait."""
    ran: list[int] = []
    before = server.activity.replaced
    go_on = threading.Event()
    server.register_handler("hold", lambda args: go_on.wait(AT_ONCE))
    server.register_handler("pose", lambda args: ran.append(args[0]), latest="pose")
    erl.eval(f"gen_server:cast(S, hold), [{cast} || I <- lists:seq(1, 100)]")
    eventually(lambda: server.activity.replaced == before + 99, "99 casts are replaced")
    go_on.set()
    eventually(lambda: ran == [100], "the newest cast runs")
    assert erl.eval("gen_server:call(S, {echo, 1})") == [1]
    assert ran == [100]


def test_many_nodes_are_called_by_one_name(
    erl: Erl, server: BeamServer, start_server: Callable[..., BeamServer]
) -> None:
    other = start_server()
    assert other.start(), other.last_error
    nodes = [Atom(server.node_name), Atom(other.node_name)]
    replies, failed = erl.eval("gen_server:multi_call(Nodes, beam_bpy, {echo, 1}, 20000)", Nodes=nodes)
    assert (sorted(replies), failed) == (sorted((node, [1]) for node in nodes), [])


@pytest.mark.parametrize("request_", ["5", "#{}", "{}", "{5, []}", "[]", "{[a], b}"])
def test_a_request_without_a_name_is_told_the_forms(erl: Erl, request_: str) -> None:
    with pytest.raises(ErlError) as caught:
        erl.eval(f"gen_server:call({{beam_bpy, N}}, {request_}, infinity)", timeout=AT_ONCE)
    ((kind, sentence), _stack), _call = caught.value.reason
    assert kind == "badarg"
    assert ":name" in sentence


@pytest.mark.parametrize(
    "code",
    [
        "sys:get_state(P, infinity)",
        "{error, _} = sys:get_status(P, infinity), error(refused)",
        "{error, _} = sys:suspend(P, infinity), error(refused)",
        "sys:replace_state(P, fun(S) -> S end, infinity)",
        "{error, _} = sys:terminate(P, normal, infinity), error(refused)",
        "gen_server:stop(P, normal, infinity)",
        "gen_statem:call(P, {nope, 1}, infinity)",
        "supervisor:which_children(P)",
        "gen_server:call(P, {get, fun(S) -> S end}, infinity)",
    ],
)
@pytest.mark.parametrize("to", ["{beam_bpy, N}", "{rex, N}", "{net_kernel, N}"])
def test_what_a_server_cannot_do_is_refused_at_once(erl: Erl, code: str, to: str) -> None:
    if "rex" in to and "sys" not in code:
        code = f"{{badrpc, _}} = {code}, error(refused)" if "stop" not in code else code
    with pytest.raises(ErlError):
        erl.eval(f"P = {to}, {code}", timeout=AT_ONCE)
    assert erl.eval("gen_server:call({beam_bpy, N}, ping)") == "pong"


# Registered names


def test_the_registered_process_is_monitored_and_linked(erl: Erl, start_server: Callable[..., BeamServer]) -> None:
    server = start_server()
    assert server.start(), server.last_error
    node = Atom(server.node_name)
    erl.eval(
        "register(watcher, spawn(fun() -> process_flag(trap_exit, true),"
        " R = monitor(process, {beam_bpy, M}), P = erpc:call(M, erlang, whereis, [beam_bpy]), true = link(P),"
        " receive {ask, A} -> A ! ready end,"
        " receive {'DOWN', R, process, {beam_bpy, M}, Why} -> receive {'EXIT', P, Why2} -> receive {ask, B} ->"
        " B ! {Why, Why2} end end end end)), watcher ! {ask, self()}, receive ready -> ok end",
        M=node,
    )
    server.stop()
    gone = erl.eval("watcher ! {ask, self()}, receive {A, B} -> [A, B] after 20000 -> timeout end")
    assert gone == [Atom("noconnection")] * 2


def test_the_pid_of_the_process_is_called_too(erl: Erl) -> None:
    assert erl.eval("gen_server:call(erpc:call(N, erlang, whereis, [beam_bpy]), {echo, 1})") == [1]
    assert erl.eval("rpc:call(N, erlang, whereis, [nobody])") == "undefined"


# Funs


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("erpc:call(N, fun m:ping/0)", "pong"),
        ("erpc:call(N, erlang, apply, [fun m:echo/2, [1, two]])", [1, Atom("two")]),
        ("erpc:call(N, erlang, apply, [m, echo, [1]])", [1]),
        ("rpc:call(N, erlang, apply, [fun m:echo/1, [1]])", [1]),
        ("rpc:call(N, erlang, apply, [m, inline_echo, [1]])", [1]),
        ("rpc:block_call(N, erlang, apply, [m, ping, []])", "pong"),
        ("rpc:yield(rpc:async_call(N, erlang, apply, [m, ping, []]))", "pong"),
        ("rpc:multicall([N], erlang, apply, [m, ping, []])", (["pong"], [])),
        ("erpc:multicall([N], fun m:ping/0)", [(Atom("ok"), "pong")]),
        ("erpc:receive_response(erpc:send_request(N, fun m:ping/0))", "pong"),
    ],
)
def test_a_fun_that_names_a_function_runs(erl: Erl, code: str, value: Any) -> None:
    assert erl.eval(code) == value


@pytest.mark.parametrize(
    "code",
    [
        "spawn(N, fun m:note_nothing/0)",
        "spawn_link(N, fun m:note_nothing/0)",
        "spawn_monitor(N, fun m:note_nothing/0)",
        "spawn_opt(N, fun m:note_nothing/0, [monitor])",
        "erpc:cast(N, fun m:note_nothing/0)",
        "erpc:multicast([N], fun m:note_nothing/0)",
        "rpc:cast(N, erlang, apply, [m, note_nothing, []])",
    ],
)
def test_a_fun_that_is_spawned_runs(erl: Erl, server: BeamServer, notes: list[Any], code: str) -> None:
    server.register_handler("note_nothing", lambda args: notes.append(args))
    erl.eval(code)
    eventually(lambda: notes == [[]], "it runs")
    server.unregister_handler("note_nothing")


@pytest.mark.parametrize("code", ["erpc:call(N, fun() -> 1 end)", "rpc:call(N, erlang, apply, [fun() -> 1 end, []])"])
def test_a_closure_is_refused_with_what_can_run(erl: Erl, code: str) -> None:
    text = erl.eval(f'unicode:characters_to_binary(io_lib:format("~tp", [catch {code}]))')
    assert "&Mod.fun/arity" in text


def test_a_closure_that_is_spawned_ends_with_the_reason(erl: Erl) -> None:
    reason = erl.eval("{_, R} = spawn_monitor(N, fun() -> 1 end), receive {'DOWN', R, _, _, Why} -> Why end")
    assert reason[0][0] == "badarg"
    assert "&Mod.fun/arity" in reason[0][1]
