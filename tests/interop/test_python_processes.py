"""Processes that live in Python, and monitors and links between them and the processes of real nodes."""

import queue
from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, eventually, nodes_of, unique

from beam_bpy import Atom, BeamServer, ErlangError, ErlangExit, Pid

SECONDS = 10.0


def a(name: str) -> Atom:
    return Atom(name)


class Mailbox:
    """A process whose messages a test takes one by one."""

    def __init__(self, server: BeamServer, *, trap_exit: bool = False) -> None:
        self.name = unique("mailbox")
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.process = server.register_process(self.name, self._take, trap_exit=trap_exit)
        self.to = (a(self.name), a(server.node_name))

    def _take(self, process: Any, message: Any) -> None:
        assert process is self.process
        self._messages.put(message)

    def next(self) -> Any:
        try:
            return self._messages.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError("no message has come") from None

    def empty(self) -> bool:
        return self._messages.empty()


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer]) -> BeamServer:
    server = start_server()
    assert server.start(), server.last_error
    return server


def spawned(erl: Erl, code: str = "receive {exit, Why} -> exit(Why) end") -> Pid:
    """A process over there, which ends as it is told by `{exit, Reason}`."""
    return erl.eval(f"spawn(fun() -> {code} end)")


class Calls:
    """A callback of a monitor: what it was called with."""

    def __init__(self) -> None:
        self._reasons: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, reason: Any) -> None:
        self._reasons.put(reason)

    def next(self) -> Any:
        return self._reasons.get(timeout=SECONDS)

    def none_after(self, server: BeamServer, erl: Erl) -> bool:
        """True when it was not called by the time that what was sent to us before is handled."""
        server.call(erl.node, "erlang", "node")
        erl.eval("erpc:call(Node, m, ping, [])", Node=a(server.node_name))
        return self._reasons.empty()


# Monitors that Python sets


@pytest.mark.parametrize(
    "reason", [a("normal"), a("shutdown"), (a("shutdown"), "x"), {"why": [1, 2.5]}, "text", None, list(range(1000))]
)
def test_a_monitor_tells_the_reason(server: BeamServer, erl: Erl, reason: Any) -> None:
    pid, calls = spawned(erl), Calls()
    server.monitor(pid, calls)
    server.send(pid, (a("exit"), reason))
    assert calls.next() == reason


def test_a_monitor_of_a_process_that_is_killed(server: BeamServer, erl: Erl) -> None:
    pid, calls = spawned(erl), Calls()
    server.monitor(pid, calls)
    erl.eval("exit(Pid, kill)", Pid=pid)
    assert calls.next() == "killed"


def test_a_monitor_of_what_does_not_exist(server: BeamServer, erl: Erl) -> None:
    named, dead = Calls(), Calls()
    server.monitor(("nobody_here", erl.node), named)
    assert named.next() == "noproc"
    server.monitor(erl.eval("{P, R} = spawn_monitor(fun() -> ok end), probe:down(R), P"), dead)
    assert dead.next() == "noproc"


def test_a_monitor_of_a_name(server: BeamServer, erl: Erl) -> None:
    name, calls = unique("watched"), Calls()
    pid = spawned(erl)
    erl.eval("register(Name, Pid)", Name=a(name), Pid=pid)
    server.monitor((name, erl.node), calls)
    server.send((name, erl.node), (a("exit"), a("over")))
    assert calls.next() == "over"


def test_monitors_of_an_unreachable_node_end_with_noconnection(server: BeamServer) -> None:
    for target in (("someone", "nobody_here@127.0.0.1"), "nobody_here@127.0.0.1"):
        calls = Calls()
        server.monitor(target, calls)
        assert calls.next() == "noconnection"


@pytest.mark.parametrize("end", ["stop", "halt", "disconnect"])
def test_monitors_of_a_node_and_all_in_it_end_with_it(
    fresh: BeamServer, start_erl: Callable[..., Erl], end: str
) -> None:
    erl = start_erl()
    node, pid, name = Calls(), Calls(), Calls()
    fresh.monitor(erl.node, node)
    fresh.monitor(spawned(erl), pid)
    fresh.monitor(("init", erl.node), name)
    fresh.call(erl.node, "erlang", "node")
    match end:
        case "stop":
            erl.stop()
        case "halt":
            fresh.cast(erl.node, "erlang", "halt", [0])
        case "disconnect":
            fresh.cast(erl.node, "erlang", "disconnect_node", [a(fresh.node_name)])
    reasons = [calls.next() for calls in (node, pid, name)]
    # The process that init runs ends with a reason of its own, when the node is still able to say so.
    assert reasons[0] == "noconnection"
    assert reasons[1:] == ["noconnection"] * 2 or end == "halt"


def test_a_demonitored_process_name_or_node_is_not_reported(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    name, pid = unique("watched"), spawned(erl)
    erl.eval("register(Name, Pid)", Name=a(name), Pid=pid)
    taken, kept = Calls(), Calls()
    refs = [fresh.monitor(target, taken) for target in (pid, (name, erl.node), erl.node)]
    fresh.monitor(pid, kept)
    fresh.call(erl.node, "erlang", "node")
    assert [fresh.demonitor(ref) for ref in refs] == [True] * 3
    assert [fresh.demonitor(ref) for ref in refs] == [False] * 3
    eventually(lambda: erl.eval("length(element(2, process_info(P, monitored_by)))", P=pid) == 1, "one monitor is left")
    fresh.send(pid, (a("exit"), a("over")))
    assert kept.next() == "over"
    assert taken.none_after(fresh, erl)


def test_a_monitor_that_has_fired_cannot_be_taken_back_and_leaves_nothing(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl()
    fresh.connect(erl.node)
    before = len(fresh._running.node._processes)
    pid, calls = spawned(erl), Calls()
    ref = fresh.monitor(pid, calls)
    fresh.send(pid, (a("exit"), 1))
    assert calls.next() == 1
    assert fresh.demonitor(ref) is False
    assert len(fresh._running.node._processes) == before


# Messages and calls to a process in Python


def test_messages_reach_a_process_by_name_and_by_pid_in_order(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server)
    erl.eval("[To ! {N, self()} || N <- lists:seq(1, 100)], ok", To=box.to)
    assert [box.next()[0] for _ in range(100)] == list(range(1, 101))
    erl.eval("To ! by_pid, ok", To=box.process.pid)
    assert box.next() == "by_pid"


def test_a_process_answers_whoever_wrote_to_it(server: BeamServer, erl: Erl) -> None:
    process = server.register_process(None, lambda process, message: process.send(message[0], (message[1] * 2, "ok")))
    assert erl.eval("P ! {self(), 21}, probe:message(42)", P=process.pid) == (42, "ok")


@pytest.mark.parametrize("call", ["gen_server:call", "gen_statem:call", "gen_server:call(%s, add, infinity)"])
def test_a_gen_call_is_replied_to(server: BeamServer, erl: Erl, call: str) -> None:
    name = unique("adder")

    def serve(process: Any, message: Any) -> None:
        tag, caller, request = message
        assert tag == "$gen_call"
        process.reply(caller, (a("done"), request))

    process = server.register_process(name, serve)
    code = f"[{call % 'To' if '%s' in call else call + '(To, add)'} || To <- [{{Name, N}}, Pid]]"
    assert erl.eval(code, Name=a(name), Pid=process.pid) == [(a("done"), a("add"))] * 2


def test_a_gen_request_is_replied_to(server: BeamServer, erl: Erl) -> None:
    process = server.register_process(None, lambda process, message: process.reply(message[1], message[2]))
    code = """
        {reply, Answer} = gen_server:receive_response(gen_server:send_request(P, hello), 5000),
        {Answer, probe:nothing()}
    """
    assert erl.eval(code, P=process.pid) == (a("hello"), True)


def test_a_reply_that_is_too_late_reaches_nobody(server: BeamServer, erl: Erl) -> None:
    """As from a gen_server of the BEAM: the caller has taken its alias back."""
    box = Mailbox(server)
    code = """
        {exit, {timeout, _}} = probe:attempt(fun() -> gen_server:call(To, hello, 50) end),
        register(Late, self()),
        go_on = probe:message(),
        probe:nothing()
    """
    late = unique("late")
    future = erl.later(code, To=box.to, Late=a(late))
    caller = box.next()[1]
    eventually(lambda: erl.eval("is_pid(whereis(Late))", Late=a(late)), "the caller has given up")
    box.process.reply(caller, "too late")
    box.process.send((late, erl.node), a("go_on"))
    assert future.result(SECONDS) is True


def test_a_call_of_a_process_that_ends_fails_with_its_reason(server: BeamServer, erl: Erl) -> None:
    process = server.register_process(None, lambda process, _message: process.exit((a("no"), "more")))
    kind, reason = erl.eval("probe:attempt(fun() -> gen_server:call(P, hello) end)", P=process.pid)
    assert (kind, reason[0]) == ("exit", (a("no"), "more"))
    kind, reason = erl.eval("probe:attempt(fun() -> gen_server:call(P, hello) end)", P=process.pid)
    assert (kind, reason[0]) == ("exit", "noproc")


def test_a_name_is_taken_once_and_free_again_after_the_end(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server)
    with pytest.raises(ValueError, match=box.name):
        server.register_process(box.name, lambda process, message: None)
    box.process.exit()
    again: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server.register_process(box.name, lambda process, message: again.put(message))
    erl.eval("To ! hello, ok", To=box.to)
    assert again.get(timeout=SECONDS) == "hello"
    assert box.empty()


def test_processes_of_one_server_write_to_each_other(server: BeamServer) -> None:
    """As on a BEAM node, the sender need not know where the receiver lives."""
    box = Mailbox(server)
    sender = server.register_process(None, lambda process, message: None)
    sender.send(box.process.pid, "by pid")
    assert box.next() == "by pid"
    server.send(box.to, "by name")
    assert box.next() == "by name"


def test_a_process_of_the_same_server_can_be_monitored(server: BeamServer) -> None:
    calls = Calls()
    process = server.register_process(None, lambda process, message: None)
    server.monitor(process.pid, calls)
    assert server.ping(server.node_name) is True
    process.exit(a("over"))
    assert calls.next() == "over"


def test_a_server_calls_itself_as_it_calls_any_node(server: BeamServer) -> None:
    assert server.ping(server.node_name) is True
    assert server.call(server.node_name, "any", "echo", [1, "two"]) == [1, "two"]
    assert server.node_name not in nodes_of(server)


# The end of a process in Python


@pytest.mark.parametrize("reason", [a("normal"), a("shutdown"), (a("why"), {"a": [1.5]}), None, "x" * 200_000])
def test_the_end_of_a_process_reaches_who_monitors_it_and_who_is_linked(
    server: BeamServer, erl: Erl, reason: Any
) -> None:
    box = Mailbox(server)
    code = """
        process_flag(trap_exit, true),
        ByPid = monitor(process, Pid), ByName = monitor(process, To), link(Pid),
        To ! ready,
        [probe:down(ByPid), probe:down(ByName), probe:exit_of(Pid), probe:nothing()]
    """
    future = erl.later(code, Pid=box.process.pid, To=box.to)
    assert box.next() == "ready"
    box.process.exit(reason)
    assert future.result(SECONDS) == [(box.process.pid, reason), (box.to, reason), reason, True]
    assert not box.process.alive


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ErlangExit(Atom("chosen")), Atom("chosen")),
        (ErlangError((Atom("bad"), 1)), (Atom("bad"), 1)),
        (ValueError("no such cube"), None),
    ],
)
def test_a_callback_that_raises_ends_its_process_with_that_reason(
    server: BeamServer, erl: Erl, error: Exception, reason: Any
) -> None:
    def fail(_process: Any, _message: Any) -> None:
        raise error

    process = server.register_process(None, fail)
    _pid, got = erl.eval("R = monitor(process, P), P ! now, probe:down(R)", P=process.pid)
    if isinstance(error, ErlangExit):
        assert got == reason
    elif isinstance(error, ErlangError):
        assert got[0] == reason
    else:
        assert got[0][0] == "python_error"
        assert got[0][1]["message"] == "no such cube"
    assert not process.alive


def test_a_demonitored_process_says_nothing(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server)
    code = """
        Taken = monitor(process, Pid), Kept = monitor(process, Pid),
        true = demonitor(Taken),
        To ! ready,
        {probe:down(Kept), erpc:call(N, m, ping, []), probe:nothing()}
    """
    future = erl.later(code, Pid=box.process.pid, To=box.to)
    assert box.next() == "ready"
    box.process.exit(a("over"))
    assert future.result(SECONDS) == ((box.process.pid, a("over")), "pong", True)


@pytest.mark.parametrize(("signal", "ends_with"), [("kill", "killed"), ("shutdown", "shutdown"), ("over", "over")])
def test_an_exit_signal_ends_a_process(server: BeamServer, erl: Erl, signal: str, ends_with: str) -> None:
    box = Mailbox(server)
    code = "R = monitor(process, P), exit(P, normal), exit(P, Signal), element(2, probe:down(R))"
    assert erl.eval(code, P=box.process.pid, Signal=a(signal)) == ends_with
    assert not box.process.alive
    assert box.empty()


def test_a_process_that_traps_exits_gets_them_as_messages_but_for_kill(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server, trap_exit=True)
    sender = erl.eval("exit(P, {why, 1}), exit(P, normal), self()", P=box.process.pid)
    assert box.next() == (a("EXIT"), sender, (a("why"), 1))
    assert box.next() == (a("EXIT"), sender, a("normal"))
    assert erl.eval("R = monitor(process, P), exit(P, kill), element(2, probe:down(R))", P=box.process.pid) == "killed"


# Links


@pytest.mark.parametrize("linked_by", ["python", "erlang"])
def test_a_link_takes_python_along(server: BeamServer, erl: Erl, linked_by: str) -> None:
    box = Mailbox(server)
    pid = spawned(erl, "receive {link, To} -> link(To), To ! linked end, receive {exit, Why} -> exit(Why) end")
    if linked_by == "python":
        box.process.link(pid)
        box.process.send(pid, (a("link"), box.process.pid))
    else:
        server.send(pid, (a("link"), box.process.pid))
    assert box.next() == "linked"
    watch = erl.later("R = monitor(process, P), element(2, probe:down(R))", P=box.process.pid)
    server.send(pid, (a("exit"), (a("together"), 1)))
    assert watch.result(SECONDS) in [(a("together"), 1), a("noproc")]
    eventually(lambda: not box.process.alive, "the process has ended too")


def test_a_link_gives_the_end_to_who_traps_exits(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server, trap_exit=True)
    for reason in (a("normal"), (a("why"), "x")):
        pid = spawned(erl)
        box.process.link(pid)
        box.process.send(pid, (a("exit"), reason))
        assert box.next() == (a("EXIT"), pid, reason)
    assert box.process.alive


def test_a_normal_end_of_a_linked_process_is_ignored(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server)
    pid, calls = spawned(erl), Calls()
    box.process.link(pid)
    server.monitor(pid, calls)
    box.process.send(pid, (a("exit"), a("normal")))
    assert calls.next() == "normal"
    assert calls.none_after(server, erl)
    assert box.process.alive
    assert box.empty()


def test_a_link_to_what_is_not_there_ends_with_noproc(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server, trap_exit=True)
    dead = erl.eval("{P, R} = spawn_monitor(fun() -> ok end), probe:down(R), P")
    box.process.link(dead)
    assert box.next() == (a("EXIT"), dead, a("noproc"))


def test_the_end_of_python_takes_a_linked_process_along(server: BeamServer, erl: Erl) -> None:
    box, calls = Mailbox(server), Calls()
    pid = spawned(erl)
    box.process.link(pid)
    server.monitor(pid, calls)
    box.process.exit((a("together"), 2))
    assert calls.next() == (a("together"), 2)


@pytest.mark.parametrize("by", ["python", "erlang"])
def test_an_unlinked_process_is_not_taken_along_either_way(server: BeamServer, erl: Erl, by: str) -> None:
    box = Mailbox(server)
    code = """
        process_flag(trap_exit, true),
        link(P),
        By =:= erlang andalso unlink(P),
        To ! linked,
        go_on = probe:message(),
        {is_process_alive(self()), probe:nothing()}
    """
    future = erl.later(f"To ! {{self(), here}}, {code}", P=box.process.pid, To=box.to, By=a(by))
    pid = box.next()[0]
    assert box.next() == "linked"
    if by == "python":
        box.process.unlink(pid)
    box.process.send(pid, a("go_on"))
    box.process.exit(a("over"))
    assert future.result(SECONDS) == (True, True)


def test_a_process_that_is_linked_again_after_an_unlink_is_linked(server: BeamServer, erl: Erl) -> None:
    """The unlink's answer may come after the second link: chapter "Link Protocol"."""
    box = Mailbox(server, trap_exit=True)
    pid = spawned(erl)
    for _ in range(20):
        box.process.link(pid)
        box.process.unlink(pid)
    box.process.link(pid)
    box.process.send(pid, (a("exit"), a("over")))
    assert box.next() == (a("EXIT"), pid, a("over"))
    server.call(erl.node, "erlang", "node")
    assert box.empty()
    eventually(lambda: not box.process.unlinking, "every unlink was answered")


def test_a_link_ends_with_noconnection_when_the_node_is_killed(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl()
    trapping, plain = Mailbox(fresh, trap_exit=True), Mailbox(fresh)
    pid = spawned(erl)
    trapping.process.link(pid)
    plain.process.link(pid)
    fresh.call(erl.node, "erlang", "node")
    erl.stop()
    assert trapping.next() == (a("EXIT"), pid, a("noconnection"))
    eventually(lambda: not plain.process.alive, "the other has ended")


def test_a_monitor_of_a_process_arrives_as_a_message(server: BeamServer, erl: Erl) -> None:
    box = Mailbox(server)
    name, pid = unique("watched"), spawned(erl)
    erl.eval("register(Name, Pid)", Name=a(name), Pid=pid)
    taken = box.process.monitor(pid)
    by_pid, by_name = box.process.monitor(pid), box.process.monitor((name, erl.node))
    assert box.process.demonitor(taken) is True
    box.process.send(pid, (a("exit"), a("over")))
    expected = {
        (a("DOWN"), by_pid, a("process"), pid, a("over")),
        (a("DOWN"), by_name, a("process"), (a(name), a(erl.node)), a("over")),
    }
    assert {box.next(), box.next()} == expected
    assert box.process.demonitor(by_pid) is False
    assert box.empty()
