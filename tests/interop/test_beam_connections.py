"""Connections: accepted and refused connections, ticks, silence, several nodes, and coming back."""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from beam import COOKIE, Erl, Gate, eventually, nodes_of
from ports import free_port

from beam_bpy import Atom, BeamServer, Limits

PONG, PANG = Atom("pong"), Atom("pang")


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer]) -> BeamServer:
    server = start_server()
    assert server.start(), server.last_error
    return server


def test_a_wrong_cookie_is_refused_with_one_line_that_does_not_hold_the_cookie(
    fresh: BeamServer, start_erl: Callable[..., Erl], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "a_wrong_cookie_q8"
    stranger = start_erl(cookie=wrong).call(fresh)
    with caplog.at_level(logging.DEBUG):
        assert stranger.eval("net_adm:ping(N)") == PANG
        eventually(lambda: caplog.messages, "the refusal is logged")
    assert stranger.eval("rpc:call('x@127.0.0.1', m, f, [])") == (Atom("badrpc"), Atom("nodedown"))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert stranger.node in line
    assert "cookie" in line
    assert COOKIE not in caplog.text
    assert wrong not in caplog.text
    assert nodes_of(fresh) == ()


def test_a_refused_stranger_does_not_disturb_the_others(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    friend = start_erl().call(fresh)
    friend.eval("net_adm:ping(N)")
    stranger = start_erl(cookie="another_cookie").call(fresh)
    assert [stranger.eval("net_adm:ping(N)") for _ in range(3)] == [PANG] * 3
    assert friend.eval("erpc:call(N, m, ping, [])") == "pong"
    assert nodes_of(fresh) == (friend.node,)


def test_a_node_with_a_cookie_for_this_node_alone_is_let_in(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl(cookie="its_own_cookie").call(fresh)
    assert erl.eval("erlang:set_cookie(N, Cookie), net_adm:ping(N)", Cookie=Atom(COOKIE)) == PONG


def test_what_is_no_erlang_node_is_closed(fresh: BeamServer, erl: Erl) -> None:
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x05hello", b"\xff" * 64, b"\x00\x00"):
        with socket.create_connection(("127.0.0.1", fresh.port), timeout=20) as sock:
            sock.sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100) == b""
    assert erl.eval("net_adm:ping(Node)", Node=Atom(fresh.node_name)) == PONG


def test_a_hidden_node_calls_and_sees_the_server_among_its_hidden_nodes(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    hidden = start_erl("-hidden").call(fresh)
    code = "[net_adm:ping(N), erpc:call(N, m, ping, []), lists:member(N, nodes(hidden)), lists:member(N, nodes())]"
    assert hidden.eval(code) == [PONG, "pong", True, False]
    assert nodes_of(fresh) == (hidden.node,)


def test_the_server_is_a_hidden_node_to_a_visible_one(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    assert erl.eval("[net_kernel:connect_node(N), nodes(hidden) =:= [N], nodes() =:= []]") == [True, True, True]


def test_two_nodes_are_connected_at_once(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    one, two = start_erl().call(fresh), start_erl().call(fresh)
    futures = [erl.later("probe:callers(N, echo, 8, 20)") for erl in (one, two)]
    assert [future.result(20) for future in futures] == [True, True]
    assert sorted(nodes_of(fresh)) == sorted([one.node, two.node])
    one.stop()
    eventually(lambda: nodes_of(fresh) == (two.node,), "one of them is gone")
    assert two.eval("erpc:call(N, m, ping, [])") == "pong"


def test_a_pid_of_one_node_can_be_handed_to_another_through_the_server(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    kept: list[Any] = []
    fresh.register_handler("keep", lambda args: kept.extend(args))
    fresh.register_handler("kept", lambda args: kept[0])
    one, two = start_erl().call(fresh), start_erl().call(fresh)
    waiting = one.later("erpc:call(N, m, keep, [self()]), register(waiter, self()), probe:message(hello)")
    eventually(lambda: kept, "the pid has arrived")
    two.eval("erpc:call(N, m, kept, []) ! {hello, from_two}")
    assert waiting.result(20) == (Atom("hello"), Atom("from_two"))


def test_a_node_that_disconnects_comes_back_with_its_next_call(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl().call(fresh)
    code = """
        pong = net_adm:ping(N),
        erlang:monitor_node(N, true),
        true = erlang:disconnect_node(N),
        {nodedown, N} = probe:message(nodedown),
        erpc:call(N, m, ping, [])
    """
    assert [erl.eval(code) for _ in range(5)] == ["pong"] * 5
    assert nodes_of(fresh) == (erl.node,)


def test_a_node_that_was_killed_comes_back_under_its_name(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    erl.eval("net_adm:ping(N)")
    erl.stop()
    again = start_erl(name=erl.node.partition("@")[0]).call(fresh)
    assert again.node == erl.node
    assert again.eval("erpc:call(N, m, ping, [])") == "pong"


def test_a_server_that_starts_again_is_found_again(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    before = erl.eval("spawn(N, m, ping, [])")
    for _ in range(3):
        fresh.stop()
        assert not fresh.running
        eventually(lambda: erl.eval("nodes(hidden)") == [], "the node has noticed")
        assert fresh.start(), fresh.last_error
        assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    after = erl.eval("spawn(N, m, ping, [])")
    assert before.creation != after.creation


def test_a_pid_of_an_earlier_life_is_dead(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    old = erl.eval("spawn(N, m, ping, [])")
    fresh.stop()
    assert fresh.start(), fresh.last_error
    code = "Ref = monitor(process, Old), {_, Reason} = probe:down(Ref), Old ! hello, exit(Old, kill), Reason"
    eventually(lambda: erl.eval("net_adm:ping(N)") == PONG, "the server is found again")
    assert erl.eval(code, Old=old) in (Atom("noproc"), Atom("noconnection"))


def test_a_server_on_a_fixed_port_starts_again_at_once(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server(port=free_port())
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    assert erl.eval("net_adm:ping(N)") == PONG
    server.stop()
    assert server.start(), server.last_error
    assert re.fullmatch(rf"{re.escape(server.node_name)}:\d+", server.get_address())
    eventually(lambda: erl.eval("net_adm:ping(N)") == PONG, "the server is found again")


def test_ticks_keep_a_connection_through_a_handler_that_takes_longer(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    tick_time = 1.0
    server = start_server(tick_time=tick_time)
    server.register_handler("slow", lambda args: time.sleep(3.5 * tick_time))
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "1").call(server)
    code = """
        ok = net_kernel:monitor_nodes(true, #{node_type => all}),
        pong = net_adm:ping(N),
        {nodeup, N, _} = probe:message(nodeup),
        Answer = erpc:call(N, m, slow, []),
        {Answer, probe:nothing()}
    """
    assert erl.eval(code) == (None, True)


def test_an_idle_connection_is_kept(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> None:
    server = start_server(tick_time=1.0)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "1").call(server)
    code = "erlang:monitor_node(N, true), pong = net_adm:ping(N), receive Message -> Message after 3000 -> still_up end"
    assert erl.eval(code) == Atom("still_up")


def test_a_peer_that_is_silent_is_dropped(
    start_server: Callable[..., BeamServer],
    start_erl: Callable[..., Erl],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_server(tick_time=1.0)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "1").call(server)
    assert erl.eval("net_adm:ping(N)") == PONG
    with caplog.at_level(logging.INFO, "beam_bpy"):
        erl.pause()
        eventually(lambda: nodes_of(server) == (), "the silent node is dropped")
    assert any(erl.node in line and "nothing was heard" in line for line in caplog.messages)
    erl.resume()
    eventually(lambda: erl.eval("net_adm:ping(N)") == PONG, "it connects again")
    assert nodes_of(server) == (erl.node,)


def test_a_server_that_is_silent_is_dropped_by_the_beam_and_its_answer_is_lost_without_harm(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    """An inline handler that blocks the network thread: nothing is sent, and the BEAM lets go."""
    server = start_server()
    released = threading.Event()
    server.register_handler("block", lambda args: released.wait(30), inline=True)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "1").call(server)
    code = "erlang:monitor_node(N, true), pong = net_adm:ping(N), erpc:cast(N, m, block, []), probe:message(nodedown)"
    assert erl.eval(code) == (Atom("nodedown"), Atom(server.node_name))
    released.set()
    eventually(lambda: erl.eval("net_adm:ping(N)") == PONG, "the server is found again")
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


@pytest.mark.parametrize(
    "traffic",
    [
        "ok",
        "[begin erpc:cast(N, m, note, [1]), timer:sleep(300) end || _ <- lists:seq(1, 20)]",
        "[spawn(fun() -> catch erpc:call(N, m, gate, []) end) || _ <- lists:seq(1, 30)], timer:sleep(300)",
    ],
    ids=["idle", "casts only", "not read from"],
)
@pytest.mark.parametrize("ticktime", [1, 2])
def test_a_beam_node_with_a_shorter_ticktime_stays_connected(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], traffic: str, ticktime: int
) -> None:
    server = start_server(tick_time=600.0, limits=Limits(max_in_flight=10))
    gate = Gate()
    server.register_handler("gate", gate)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", str(ticktime)).call(server)
    code = f"""
        erlang:monitor_node(N, true), pong = net_adm:ping(N), {traffic},
        receive {{nodedown, _}} = Message -> Message after {4000 * ticktime} -> still_up end
    """
    assert erl.eval(code) == Atom("still_up")
    gate.opened.set()


def test_a_beam_node_with_a_longer_ticktime_stays_connected(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server(tick_time=1.0)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "600").call(server)
    code = "erlang:monitor_node(N, true), pong = net_adm:ping(N), receive Message -> Message after 5000 -> still_up end"
    assert erl.eval(code) == Atom("still_up")


def test_a_peer_that_does_not_read_holds_up_nobody(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    sleeper, other = start_erl().call(fresh), start_erl().call(fresh)
    size = 32 * 1024 * 1024
    gate = Gate()
    fresh.register_handler("gate", gate)
    holding = other.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    big = sleeper.later("byte_size(erpc:call(N, m, zeros, [Size], 60000))", Size=size)
    eventually(lambda: len(fresh._queue) == 1, "the call is queued")
    sleeper.pause()
    gate.opened.set()
    assert holding.result(20) == "through"
    assert other.eval("probe:callers(N, echo, 4, 10)") is True
    assert not big.done()
    sleeper.resume()
    assert big.result(30) == size
