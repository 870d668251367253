"""A call that nobody waits for any more is dropped before it runs; a cast never is.

In each test the worker is held while the call is queued and its caller goes away, until the server knows that.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beam import Erl, Gate, eventually, nodes_of

from beam_bpy import BeamServer

QUEUE = {
    "erpc": "erpc:send_request(N, m, note, [Mark])",
    "gen_server": "gen_server:send_request(S, {note, [Mark]})",
    "rex": "gen_server:send_request({rex, N}, {call, m, note, [Mark], group_leader()})",
}
CASTS = {
    "erpc": "erpc:cast(N, m, note, [Mark])",
    "gen_server": "gen_server:cast(S, {note, [Mark]})",
    "rex": "gen_server:cast({rex, N}, {cast, m, note, [Mark], group_leader()})",
    "spawn": "spawn(N, m, note, [Mark])",
}


@pytest.fixture
def held(erl: Erl, gate: Gate) -> Iterator[Gate]:
    future = erl.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    yield gate
    gate.opened.set()
    assert future.result(10) == "through"


@pytest.fixture
def queued(server: BeamServer, held: Gate, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that are queued while the worker is held."""
    calls: list[Any] = []
    queue = type(server._queue)
    put = queue.put
    monkeypatch.setattr(queue, "put", lambda self, call: (calls.append(call), put(self, call)))
    return calls


def run_the_queue(erl: Erl, held: Gate) -> None:
    held.opened.set()
    erl.eval("erpc:call(N, m, ping, [])")


def run_what_nobody_waits_for(erl: Erl, held: Gate, queued: list[Any]) -> None:
    """A node may learn only now of the process that its dead caller had asked for, and take the monitor back then."""
    eventually(lambda: queued and not any(call.wanted for call in queued), "the server knows that nobody waits")
    run_the_queue(erl, held)


@pytest.mark.parametrize("kind", QUEUE)
def test_the_call_of_a_caller_that_died_is_dropped(
    erl: Erl, held: Gate, queued: list[Any], notes: list[Any], kind: str
) -> None:
    code = f"""
        Pid = probe:waiting(fun() -> {QUEUE[kind]} end),
        Ref = monitor(process, Pid),
        exit(Pid, kill),
        probe:down(Ref)
    """
    erl.eval(code, Mark=kind)
    run_what_nobody_waits_for(erl, held, queued)
    assert notes == []


@pytest.mark.parametrize(
    "call",
    [
        "{error, {erpc, timeout}} = probe:attempt(fun() -> erpc:call(N, m, note, [Mark], 20) end)",
        "{badrpc, timeout} = rpc:call(N, m, note, [Mark], 20)",
        "{exit, {timeout, _}} = probe:attempt(fun() -> gen_server:call(S, {note, [Mark]}, 20) end)",
        "{error, {erpc, timeout}} = probe:attempt(fun() ->"
        " erpc:receive_response(erpc:send_request(N, m, note, [Mark]), 20) end)",
        "timeout = gen_server:receive_response(gen_server:send_request(S, {note, [Mark]}), 20)",
        "{exit, {timeout, _}} = probe:attempt(fun() ->"
        " gen_server:call({rex, N}, {call, m, note, [Mark], group_leader()}, 20) end)",
    ],
)
def test_the_call_of_a_caller_that_gave_up_is_dropped(
    erl: Erl, held: Gate, queued: list[Any], notes: list[Any], call: str
) -> None:
    erl.eval(call, Mark=call)
    run_what_nobody_waits_for(erl, held, queued)
    assert notes == []


@pytest.mark.parametrize("kind", [*QUEUE, "bare"])
def test_the_call_of_a_node_that_disconnected_is_dropped(
    server: BeamServer,
    erl: Erl,
    start_erl: Callable[..., Erl],
    held: Gate,
    queued: list[Any],
    notes: list[Any],
    kind: str,
) -> None:
    other = start_erl().call(server)
    bare = "{rex, N} ! {self(), {call, m, note, [Mark], user}}"
    other.eval(f"probe:waiting(fun() -> {QUEUE.get(kind, bare)} end), erpc:call(N, m, inline_ping, [])", Mark=kind)
    other.stop()
    eventually(lambda: other.node not in nodes_of(server), "the node is gone")
    run_what_nobody_waits_for(erl, held, queued)
    assert notes == []


@pytest.mark.parametrize("kind", [*QUEUE, "bare"])
def test_the_call_of_a_node_that_came_back_is_dropped_too(
    server: BeamServer,
    erl: Erl,
    start_erl: Callable[..., Erl],
    held: Gate,
    queued: list[Any],
    notes: list[Any],
    kind: str,
) -> None:
    other = start_erl().call(server)
    bare = "{rex, N} ! {self(), {call, m, note, [Mark], user}}"
    code = f"""
        probe:waiting(fun() -> {QUEUE.get(kind, bare)} end),
        erpc:call(N, m, inline_ping, []),
        erlang:monitor_node(N, true),
        erlang:disconnect_node(N),
        probe:message(nodedown),
        net_adm:ping(N)
    """
    assert other.eval(code, Mark=kind) == "pong"
    run_what_nobody_waits_for(erl, held, queued)
    assert notes == []


@pytest.mark.parametrize("kind", CASTS)
def test_the_cast_of_a_caller_that_died_runs(erl: Erl, held: Gate, notes: list[Any], kind: str) -> None:
    code = f"{{_, Ref}} = spawn_monitor(fun() -> {CASTS[kind]} end), probe:down(Ref)"
    erl.eval(code, Mark=kind)
    run_the_queue(erl, held)
    assert notes == [kind]


@pytest.mark.parametrize("kind", CASTS)
def test_the_cast_of_a_node_that_disconnected_runs(
    server: BeamServer, erl: Erl, start_erl: Callable[..., Erl], held: Gate, notes: list[Any], kind: str
) -> None:
    other = start_erl().call(server)
    other.eval(f"{CASTS[kind]}, erpc:call(N, m, inline_ping, [])", Mark=kind)
    other.stop()
    eventually(lambda: other.node not in nodes_of(server), "the node is gone")
    run_the_queue(erl, held)
    assert notes == [kind]


def test_a_late_answer_reaches_nobody(erl: Erl, gate: Gate) -> None:
    code = """
        {error, {erpc, timeout}} = probe:attempt(fun() -> erpc:call(N, m, gate, [], 100) end),
        {exit, {timeout, _}} = probe:attempt(fun() -> gen_server:call(S, {gate, []}, 100) end),
        register(late, self()),
        go_on = probe:message(),
        erpc:call(N, m, ping, []),
        probe:nothing()
    """
    future = erl.later(code)
    eventually(lambda: erl.eval("is_pid(whereis(late))"), "both callers have given up")
    gate.opened.set()
    erl.eval("late ! go_on")
    assert future.result(20) is True
