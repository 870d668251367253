"""Subscribing and publishing, with a real `erl` on the other side."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from beam import TIMEOUT, Erl, eventually

from beam_bpy import Atom, BeamServer, EncodeError, Pid

A = Atom
OK = A("ok")


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic that only this test has."""
    return f"topic of {request.node.name}"


def holder(erl: Erl, topic: str, *more: str) -> Pid:
    """A process that has subscribed, and hands out its mailbox when it is sent `{mailbox, Pid}`."""
    code = """
        Parent = self(),
        Pid = spawn(fun() ->
            [ok = erpc:call(N, m, subscribe, [T]) || T <- Topics],
            Parent ! ready,
            receive
                {mailbox, Count, To} ->
                    Events = [probe:message(beam_bpy_event) || _ <- lists:seq(1, Count)],
                    To ! {mailbox, Events, process_info(self(), messages)}
            end
        end),
        receive ready -> Pid after 10000 -> exit(no_subscription) end
    """
    return erl.eval(code, Topics=[topic, *more])


def mailbox(erl: Erl, pid: Pid, count: int) -> list[Any]:
    """The events that the process has got, which are `count`; it ends then."""
    code = """
        erpc:call(N, m, ping, []),
        P ! {mailbox, Count, self()},
        {_, Events, {messages, []}} = probe:message(mailbox),
        Events
    """
    return erl.eval(code, P=pid, Count=count)


def message(server: BeamServer, topic: str, payload: Any) -> tuple[Any, ...]:
    return (A("beam_bpy_event"), A(server.node_name), topic, payload)


@pytest.mark.parametrize(
    "call",
    [
        "erpc:call(N, 'Elixir.Blender', subscribe, [T])",
        "erpc:call(N, m, subscribe, [T, self()])",
        "erpc:call(N, m, subscribe, [binary_to_atom(T)])",
        "erpc:call(N, m, subscribe, [binary_to_list(T)], 5000)",
        "rpc:call(N, m, subscribe, [T])",
        "gen_server:call(S, {subscribe, [T]})",
        "gen_server:call(S, {subscribe, [T, self()]})",
        "gen_server:call({rex, N}, {call, m, subscribe, [T], user})",
    ],
)
def test_each_kind_of_call_subscribes(server: BeamServer, erl: Erl, topic: str, call: str) -> None:
    code = (
        f"ok = {call}, 1 = erpc:call(N, m, publish_it, [T]), V = probe:message(beam_bpy_event), {{V, probe:nothing()}}"
    )
    server.register_handler("publish_it", lambda args: server.publish(args[0], {"n": [1, 2.5]}))
    try:
        assert erl.eval(code, T=topic) == (message(server, topic, {"n": [1, 2.5]}), True)
    finally:
        server.unregister_handler("publish_it")
    eventually(lambda: server.subscribers(topic) == 0, "the process that evaluated it has ended")


def test_what_is_published_arrives_once_and_in_order(server: BeamServer, erl: Erl, topic: str) -> None:
    pid = holder(erl, topic, topic, topic)
    assert server.subscribers(topic) == 1

    assert [server.publish(topic, number) for number in range(300)] == [1] * 300

    assert mailbox(erl, pid, 300) == [message(server, topic, number) for number in range(300)]


def test_several_topics(server: BeamServer, erl: Erl, topic: str) -> None:
    pid = holder(erl, topic, topic + "2")

    published = [server.publish(name, name) for name in (topic, topic + "2", topic + "3")]

    assert published == [1, 1, 0]
    assert [event[2] for event in mailbox(erl, pid, 2)] == [topic, topic + "2"]
    eventually(lambda: server.subscribers(topic) + server.subscribers(topic + "2") == 0, "it has ended")


def test_subscribing_for_another_process(server: BeamServer, erl: Erl, topic: str) -> None:
    code = """
        Self = self(),
        Other = spawn(fun() -> Self ! {got, probe:message()} end),
        [ok = erpc:call(N, m, subscribe, [T, P]) || P <- [Other, Other]],
        Other
    """
    later = erl.later(code + ", {_, V} = probe:message(got), V", T=topic)
    eventually(lambda: server.subscribers(topic) == 1, "it has subscribed")

    assert server.publish(topic, A("news")) == 1

    assert later.result(TIMEOUT) == message(server, topic, A("news"))
    eventually(lambda: server.subscribers(topic) == 0, "it has ended")


def test_unsubscribing(server: BeamServer, erl: Erl, topic: str) -> None:
    code = """
        Monitors = fun() ->
            {_, Pids} = process_info(self(), monitored_by),
            length([P || P <- Pids, node(P) =:= N])
        end,
        [ok = erpc:call(N, m, subscribe, [X]) || X <- [T, kept]],
        1 = Monitors(),
        ok = erpc:call(N, m, unsubscribe, [T]),
        1 = Monitors(),
        ok = gen_server:call(S, {unsubscribe, [kept, self()]}),
        0 = Monitors(),
        erpc:call(N, m, unsubscribe, [T])
    """

    assert erl.eval(code, T=topic) == OK
    assert (server.subscribers(topic), server.publish(topic, object())) == (0, 0)


@pytest.mark.parametrize("end", ["kill", "normal", "bad"])
def test_a_subscriber_that_ends_is_forgotten(server: BeamServer, erl: Erl, topic: str, end: str) -> None:
    code = """
        Parent = self(),
        P = spawn(fun() -> ok = erpc:call(N, m, subscribe, [T]), Parent ! ready, receive stop -> exit(Reason) end end),
        receive ready -> P after 10000 -> exit(no_subscription) end
    """
    pid = erl.eval(code, T=topic, Reason=A(end))
    watching = next(peer.outgoing_monitors for peer in server._running.node.peers if peer.name == erl.node)
    before = len(watching)
    assert server.subscribers(topic) == 1

    erl.eval("exit(P, kill)" if end == "kill" else "P ! stop", P=pid)

    eventually(lambda: server.subscribers(topic) == 0, "the dead subscriber is forgotten")
    assert server.publish(topic, object()) == 0
    assert len(watching) == before - 1


def test_a_subscriber_that_is_dead_already(server: BeamServer, erl: Erl, topic: str) -> None:
    code = "{P, Ref} = spawn_monitor(fun() -> ok end), probe:down(Ref), erpc:call(N, m, subscribe, [T, P])"

    assert erl.eval(code, T=topic) == OK
    eventually(lambda: server.subscribers(topic) == 0, "the dead subscriber is forgotten")


@pytest.mark.parametrize("way", ["disconnects", "is killed"])
def test_a_node_that_goes_is_forgotten(
    server: BeamServer, erl: Erl, start_erl: Callable[..., Erl], topic: str, way: str
) -> None:
    other = start_erl().call(server)
    stays, _goes = holder(erl, topic), holder(other, topic)
    assert server.subscribers(topic) == 2

    if way == "disconnects":
        other.eval("erlang:disconnect_node(N)")
    else:
        other.stop()

    eventually(lambda: server.subscribers(topic) == 1, "the node's subscriber is forgotten")
    assert server.publish(topic, 1) == 1
    assert mailbox(erl, stays, 1) == [message(server, topic, 1)]


def test_nobody_can_end_the_process_that_events_come_from(server: BeamServer, erl: Erl, topic: str) -> None:
    pid = holder(erl, topic)
    code = """
        {_, Pids} = process_info(P, monitored_by),
        [Events] = [Pid || Pid <- Pids, node(Pid) =:= N],
        exit(Events, kill),
        erpc:call(N, m, ping, []),
        exit(P, kill),
        erpc:call(N, m, ping, [])
    """

    assert server.subscribers(topic) == 1
    assert erl.eval(code, P=pid) == "pong"

    eventually(lambda: server.subscribers(topic) == 0, "the dead subscriber is forgotten", timeout=5)


def test_several_threads_publish(server: BeamServer, erl: Erl, topic: str) -> None:
    pid = holder(erl, topic)

    def publish(thread: int) -> None:
        for number in range(100):
            server.publish(topic, [A("event"), thread, number])

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)

    got = [payload for *_head, payload in mailbox(erl, pid, 400)]
    for number in range(4):
        assert [n for _event, thread, n in got if thread == number] == list(range(100))


def test_payloads(server: BeamServer, erl: Erl, topic: str) -> None:
    payloads = [None, True, -(2**70), 1.5, "größe", b"\xff\0", A("atom"), (1, "two"), [], [1, 2], {"a": {A("b"): []}}]
    pid = holder(erl, topic)

    for payload in [*payloads, "x" * 200_000]:
        server.publish(topic, payload)
    with pytest.raises(EncodeError):
        server.publish(topic, object())

    assert [payload for *_head, payload in mailbox(erl, pid, 12)] == [*payloads, "x" * 200_000]


@pytest.mark.parametrize("args", ["[5]", "[T, shell]", "[T, <<>>]", "[{T}]", "[1, 2]"])
@pytest.mark.parametrize("function", ["subscribe", "unsubscribe"])
def test_what_makes_no_sense_is_a_badarg(erl: Erl, topic: str, function: str, args: str) -> None:
    kind, reason = erl.eval(f"probe:attempt(fun() -> erpc:call(N, m, {function}, {args}) end)", T=topic)

    assert (kind, reason[1][0]) == (A("error"), A("badarg"))


def test_a_handler_called_subscribe_wins(server: BeamServer, erl: Erl, topic: str) -> None:
    server.register_handler("subscribe", lambda args: ["mine", args])
    try:
        assert erl.eval("erpc:call(N, m, subscribe, [T])", T=topic) == ["mine", [topic]]
    finally:
        server.unregister_handler("subscribe")
    assert server.subscribers(topic) == 0
