"""Spawning on the server, and its links, monitors and exit signals, held against what a BEAM node does."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beam import Erl, Gate, eventually, nodes_of

from beam_bpy import Atom, BeamServer, Pid
from beam_bpy.protocol.control import UnlinkAck
from beam_bpy.protocol.control_reader import parse
from beam_bpy.protocol.control_writer import Message

NORMAL = Atom("normal")


@pytest.fixture
def held(server: BeamServer, erl: Erl, gate: Gate) -> Iterator[Gate]:
    """The worker is held: what is spawned now waits for its turn, as a process that lives."""
    future = erl.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    yield gate
    gate.opened.set()
    assert future.result(10) == "through"


def test_spawn_gives_a_pid_of_the_server(erl: Erl) -> None:
    code = "Pid = spawn(N, m, ping, []), {node(Pid) =:= N, is_pid(Pid), Pid =/= spawn(N, m, ping, [])}"
    assert erl.eval(code) == (True, True, True)


@pytest.mark.parametrize(
    "spawn",
    [
        "spawn_monitor(N, m, note, [Mark])",
        "spawn_opt(N, m, note, [Mark], [monitor])",
        "P = spawn(N, m, note, [Mark]), {P, monitor(process, P)}",
        "R = spawn_request(N, m, note, [Mark], [monitor]), {_, R, ok, P} = probe:message(spawn_reply), {P, R}",
    ],
)
def test_a_monitored_spawn_runs_the_handler_and_ends_normally(erl: Erl, notes: list[Any], spawn: str) -> None:
    code = f"""
        {{Pid, Ref}} = begin {spawn} end,
        {{Pid, Reason}} = probe:down(Ref),
        {{lists:member(Reason, [normal, noproc]), probe:nothing()}}
    """
    assert erl.eval(code, Mark=spawn) == (True, True)
    assert notes == [spawn]


def test_spawn_link_gives_the_end_to_who_traps_exits(erl: Erl) -> None:
    code = """
        process_flag(trap_exit, true),
        Normal = probe:exit_of(spawn_link(N, m, ping, [])),
        {{python_error, #{type := Type}}, _} = probe:exit_of(spawn_link(N, m, crash, [<<"x">>])),
        {Normal, Type}
    """
    assert erl.eval(code) == (NORMAL, "ValueError")


def test_a_linked_process_that_fails_takes_its_linked_caller_along(erl: Erl) -> None:
    code = """
        {_, Ref} = spawn_monitor(fun() -> spawn_link(N, m, fail, [<<"exit">>, together]), probe:message() end),
        {_, Reason} = probe:down(Ref),
        Reason
    """
    assert erl.eval(code) == Atom("together")


def test_spawn_request_replies_as_it_is_told(erl: Erl, reference: Erl) -> None:
    code = """
        Ask = fun(Options) ->
            Ref = spawn_request(Node, lists, ping, [], Options),
            catch erpc:call(Node, lists, ping, []),
            case probe:nothing() of
                true -> no_message;
                {Tag, Ref, ok, Pid} when node(Pid) =:= Node -> {Tag, ok};
                Other -> Other
            end
        end,
        [Ask([]), Ask([{reply, yes}]), Ask([{reply, no}]), Ask([{reply, success_only}]), Ask([{reply, error_only}]),
         Ask([{reply_tag, my_tag}]), Ask([{reply_tag, {my, tag}}, {reply, yes}])]
    """
    ours = erl.eval(code, Node=erl.bindings["N"])
    beams = erl.eval("logger:set_primary_config(level, none)," + code, Node=Atom(reference.node))
    reply = (Atom("spawn_reply"), Atom("ok"))
    nothing = Atom("no_message")
    assert ours == [
        reply,
        reply,
        nothing,
        reply,
        nothing,
        (Atom("my_tag"), Atom("ok")),
        ((Atom("my"), Atom("tag")), Atom("ok")),
    ]
    assert ours == beams


@pytest.mark.parametrize(
    "options", ["[nonsense]", "[{nonsense, 1}]", "[{priority, high}, {min_heap_size, 500}]", "[{fullsweep_after, 0}]"]
)
def test_options_of_a_spawn_request_are_judged_as_on_a_beam_node(erl: Erl, reference: Erl, options: str) -> None:
    code = f"""
        Ref = spawn_request(Node, lists, ping, [], {options}),
        case probe:message(spawn_reply) of
            {{spawn_reply, Ref, ok, Pid}} when node(Pid) =:= Node -> ok;
            {{spawn_reply, Ref, error, Reason}} -> Reason
        end
    """
    ours = erl.eval(code, Node=erl.bindings["N"])
    beams = erl.eval(code, Node=Atom(reference.node))
    assert ours == beams


def test_spawn_request_monitors_with_a_tag_and_links(erl: Erl) -> None:
    code = """
        process_flag(trap_exit, true),
        Ref = spawn_request(N, m, ping, [], [{monitor, [{tag, gone}]}, link]),
        {spawn_reply, Ref, ok, Pid} = probe:message(spawn_reply),
        {gone, Ref, process, Pid, Down} = probe:message(gone),
        {Down, probe:exit_of(Pid), probe:nothing()}
    """
    assert erl.eval(code) == (NORMAL, NORMAL, True)


def test_an_abandoned_spawn_request_leaves_no_message(erl: Erl, held: Gate) -> None:
    code = """
        Ref = spawn_request(N, m, ping, [], [monitor]),
        Abandoned = spawn_request_abandon(Ref),
        erpc:call(N, m, inline_ping, []),
        {Abandoned, probe:nothing()}
    """
    assert erl.eval(code) == (True, True)


def test_a_spawned_process_that_exits_on_purpose_has_that_reason(erl: Erl) -> None:
    code = """
        [begin {_, Ref} = spawn_monitor(N, m, fail, [exit, Reason]), element(2, probe:down(Ref)) end
            || Reason <- [normal, shutdown, {shutdown, x}, 7]]
    """
    expected = [NORMAL, Atom("shutdown"), (Atom("shutdown"), Atom("x")), 7]
    assert erl.eval(code) == expected


# Monitors of processes and names that do not exist answer as on a BEAM node.


DEAD = "{Dead, Gone} = spawn_monitor(Node, m, f, []), {Dead, {undef, _}} = probe:down(Gone),"


@pytest.mark.parametrize(
    "code",
    [
        "Ref = monitor(process, {nobody_here, Node}), {{Name, Node}, Reason} = probe:down(Ref), {Name, Reason}",
        DEAD + "Ref = monitor(process, Dead), {Dead, Reason} = probe:down(Ref), Reason",
        DEAD + "process_flag(trap_exit, true), link(Dead), probe:exit_of(Dead)",
        DEAD + "exit(Dead, kill), unlink(Dead), demonitor(Gone), pong = net_adm:ping(Node), probe:nothing()",
    ],
)
def test_what_does_not_exist_is_as_on_a_beam_node(erl: Erl, reference: Erl, code: str) -> None:
    reference.eval("logger:set_primary_config(level, none)")
    ours = erl.eval(code, Node=erl.bindings["N"])
    assert ours == erl.eval(code, Node=Atom(reference.node))


def test_a_demonitored_process_is_not_reported(erl: Erl, held: Gate) -> None:
    code = """
        Pid = spawn(N, m, ping, []),
        Kept = monitor(process, Pid),
        Taken = monitor(process, Pid),
        true = demonitor(Taken),
        exit(Pid, kill),
        {probe:down(Kept) =:= {Pid, killed}, erpc:call(N, m, inline_ping, []), probe:nothing()}
    """
    assert erl.eval(code) == (True, "pong", True)


def test_the_registered_process_can_be_monitored_and_let_go(erl: Erl) -> None:
    code = """
        Ref = monitor(process, S),
        <<"pong">> = gen_server:call(S, {ping, []}),
        catch gen_server:call(S, {crash, [<<"x">>]}),
        {demonitor(Ref, [flush, info]), probe:nothing()}
    """
    assert erl.eval(code) == (True, True)


@pytest.mark.parametrize(
    ("signal", "reason"), [("kill", "killed"), ("shutdown", "shutdown"), ("some_reason", "some_reason")]
)
def test_an_exit_signal_ends_a_process(erl: Erl, held: Gate, signal: str, reason: str) -> None:
    code = "{Pid, Ref} = spawn_monitor(N, m, ping, []), exit(Pid, Signal), {Pid, Reason} = probe:down(Ref), Reason"
    assert erl.eval(code, Signal=Atom(signal)) == Atom(reason)


def test_an_exit_signal_with_a_big_reason_comes_back_whole(erl: Erl, held: Gate) -> None:
    code = """
        Reason = {why, [lists:seq(1, 1000), #{a => <<"b">>}, make_ref(), self()]},
        {Pid, Ref} = spawn_monitor(N, m, ping, []),
        exit(Pid, Reason),
        probe:down(Ref) =:= {Pid, Reason}
    """
    assert erl.eval(code) is True


def test_a_normal_exit_signal_is_ignored(erl: Erl, gate: Gate) -> None:
    future = erl.later("{P, M} = spawn_monitor(N, m, gate, []), exit(P, normal), element(2, probe:down(M))")
    assert gate.entered.wait(10)
    erl.eval("erpc:call(N, m, inline_ping, [])")
    assert not future.done()
    gate.opened.set()
    assert future.result(10) == NORMAL


def test_a_process_that_is_killed_before_its_turn_does_not_run(erl: Erl, held: Gate, notes: list[Any]) -> None:
    erl.eval("Pid = spawn(N, m, note, [killed]), exit(Pid, kill), erpc:call(N, m, inline_ping, [])")
    held.opened.set()
    erl.eval("erpc:call(N, m, ping, [])")
    assert notes == []


def test_an_unlinked_process_sends_no_exit_signal(erl: Erl, held: Gate) -> None:
    code = """
        process_flag(trap_exit, true),
        {Pid, Ref} = spawn_monitor(N, m, ping, []),
        link(Pid), unlink(Pid),
        exit(Pid, kill),
        {probe:down(Ref) =:= {Pid, killed}, probe:nothing()}
    """
    assert erl.eval(code) == (True, True)


def test_a_process_that_is_linked_again_sends_one_exit_signal(erl: Erl, held: Gate) -> None:
    code = """
        process_flag(trap_exit, true),
        Pid = spawn_link(N, m, ping, []),
        [begin unlink(Pid), link(Pid) end || _ <- lists:seq(1, 5)],
        exit(Pid, over),
        {probe:exit_of(Pid), erpc:call(N, m, inline_ping, []), probe:nothing()}
    """
    assert erl.eval(code) == (Atom("over"), "pong", True)


def test_each_unlink_is_acknowledged(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    erl.eval("net_adm:ping(N)")
    (peer,) = server._running.node.peers
    sent: list[Any] = []
    send = peer.send

    def spy(message: Message, sender: Pid) -> None:
        sent.append(parse(message.frame(header=False)[4:]))
        send(message, sender)

    peer.send = spy
    erl.eval("P = spawn(N, m, ping, []), [begin link(P), unlink(P) end || _ <- [1, 2, 3]], erpc:call(N, m, ping, [])")
    acks = [event for event in sent if isinstance(event, UnlinkAck)]
    assert len(acks) == 3
    assert len({ack.id for ack in acks}) == 3


def test_a_caller_that_fails_takes_the_process_that_it_is_linked_to_along(
    erl: Erl, held: Gate, notes: list[Any]
) -> None:
    code = """
        Parent = self(),
        {_, Ref} = spawn_monitor(fun() ->
            Parent ! {spawned, spawn_link(N, m, note, [orphan])},
            exit(done_with_it)
        end),
        {spawned, Pid} = probe:message(spawned),
        probe:down(Ref),
        Gone = monitor(process, Pid),
        {Pid, Reason} = probe:down(Gone),
        lists:member(Reason, [noproc, done_with_it])
    """
    assert erl.eval(code) is True
    held.opened.set()
    erl.eval("erpc:call(N, m, ping, [])")
    assert notes == []


def test_a_server_that_stops_is_seen_by_all_who_watch_it(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    gate = Gate()
    server.register_handler("gate", gate)
    assert server.start(), server.last_error
    erl, other = start_erl().call(server), start_erl().call(server)
    # The caller of the handler that runs stays connected until it has its answer.
    answer = other.later("erpc:call(N, m, gate, [])")
    assert gate.entered.wait(10)
    code = """
        process_flag(trap_exit, true),
        ok = net_kernel:monitor_nodes(true, #{node_type => all}),
        pong = net_adm:ping(N),
        {nodeup, N, _} = probe:message(nodeup),
        Named = monitor(process, S),
        erlang:monitor_node(N, true),
        Pid = spawn_link(N, m, gate, []),
        Ref = monitor(process, Pid),
        Call = spawn_monitor(fun() -> exit(probe:attempt(fun() -> erpc:call(N, m, ping, []) end)) end),
        Attempt = fun() -> probe:attempt(fun() -> gen_server:call(S, {ping, []}, infinity) end) end,
        GenCall = spawn_monitor(fun() -> exit(Attempt()) end),
        [probe:down(Named) =:= {S, noconnection}, probe:down(Ref) =:= {Pid, noconnection},
         probe:exit_of(Pid) =:= noconnection, element(2, probe:message(nodedown)) =:= N,
         element(2, probe:message(nodedown)) =:= N,
         element(2, probe:down(element(2, Call))) =:= {error, {erpc, noconnection}},
         element(1, element(2, element(2, probe:down(element(2, GenCall))))) =:= {nodedown, N}]
    """
    future = erl.later(code)
    eventually(lambda: len(server._queue) == 3, "all three calls are queued")
    # `stop` closes the connections first, and then waits for the worker, which is in the gate.
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert future.result(20) == [True] * 7
    gate.opened.set()
    assert answer.result(20) == "through"
    stopping.join(20)
    assert not stopping.is_alive()
    assert nodes_of(server) == ()
