"""Every control message that a real node can be made to send arrives and does what it has to, with a trace token too.

What a node sends while its connection is being made has the forms that every release understands, because it does not
know yet what we do: so each of these tests runs over a connection that stands, and over one that does not.
"""

import queue
from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, eventually, nodes_of, unique

from beam_bpy import Atom, BeamServer
from beam_bpy.protocol import control_reader
from beam_bpy.protocol.fast_path import FastEvent, FastReader
from vendor_term_codec import decode_term

SECONDS = 20.0


def a(name: str) -> Atom:
    return Atom(name)


class Line:
    """A server and a node, and the opcodes of what the node has sent."""

    def __init__(self, server: BeamServer, erl: Erl) -> None:
        self.server = server
        self.erl = erl
        self.opcodes: set[int] = set()
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.name = unique("listener")
        self.listener = server.register_process(
            self.name, lambda _process, message: self.received.put(message), trap_exit=True
        )
        erl.bindings = {**erl.bindings, "P": self.listener.pid, "L": (a(self.name), a(server.node_name))}

    def next(self) -> Any:
        return self.received.get(timeout=SECONDS)


@pytest.fixture
def line(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], monkeypatch: pytest.MonkeyPatch
) -> Line:
    server = start_server()
    assert server.start(), server.last_error
    line = Line(server, start_erl().call(server))
    parse, read = control_reader.parse, FastReader.read

    def note(frame: Any) -> None:
        line.opcodes.add(decode_term(frame, control_reader._start(frame)[0])[0][0])

    def noted_read(reader: FastReader, frame: Any) -> FastEvent | None:
        note(frame)
        return read(reader, frame)

    def noted_parse(frame: Any) -> Any:
        note(frame)
        return parse(frame)

    # A peer that has all capabilities is read by a FastReader first, what that does not know and any other by `parse`.
    monkeypatch.setattr(FastReader, "read", noted_read)
    monkeypatch.setattr(control_reader, "parse", noted_parse)
    return line


SMALL = "seq_trace:set_token(label, 17), "
BIG = 'seq_trace:set_token(label, {my, <<"label">>, 1 bsl 70}), '
TOKENS = {"no token": "", "a small label": SMALL, "a big label": BIG}
traced = pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())


@pytest.fixture(params=["connected", "connecting"])
def connected(request: pytest.FixtureRequest, line: Line) -> bool:
    """Whether the connection stands when the test begins."""
    if request.param == "connected":
        line.server.connect(line.erl.node)
        line.opcodes.clear()
    return request.param == "connected"


def opcode(plain: int, with_token: int, token: str, connected: bool) -> int:
    """The one that is expected; a label that is no small integer has no form that every release understands."""
    return with_token if token == SMALL or (token and connected) else plain


@traced
@pytest.mark.parametrize(
    "call",
    [
        "erpc:call(N, m, echo, [A])",
        "rpc:call(N, m, echo, [A])",
        "gen_server:call(S, {echo, [A]})",
        "gen_server:call({rex, N}, {call, m, echo, [A], group_leader()})",
        "erpc:receive_response(erpc:send_request(N, m, echo, [A]))",
    ],
)
def test_each_kind_of_call_is_answered(line: Line, connected: bool, token: str, call: str) -> None:
    assert line.erl.eval(f"{token}{call}", A=["text", 1]) == [["text", 1]]
    if call.startswith("gen_server"):
        assert opcode(6, 16, token, connected) in line.opcodes
    else:
        # A spawn request waits until the connection stands.
        assert opcode(29, 30, token, True) in line.opcodes


@traced
def test_messages_to_a_pid_and_to_a_name(line: Line, connected: bool, token: str) -> None:
    line.erl.eval(f"{token}P ! {{to_pid, self()}}, L ! {{to_name, self()}}, ok")
    assert [line.next()[0], line.next()[0]] == ["to_pid", "to_name"]
    to_pid = opcode(22, 23, token, True) if connected else opcode(2, 12, token, False)
    assert to_pid in line.opcodes
    assert line.opcodes & {6, 16}


@traced
def test_a_message_to_an_alias(line: Line, connected: bool, token: str) -> None:
    """No process here makes one; it has to be dropped, and what follows it handled."""
    alias = line.server._running.node.new_ref()
    line.erl.eval(f"{token}Alias ! dropped, P ! kept, ok", Alias=alias)
    assert line.next() == "kept"
    assert opcode(33, 34, token, connected) in line.opcodes


@traced
def test_spawn_with_link_and_monitor(line: Line, connected: bool, token: str) -> None:
    code = f"""
        process_flag(trap_exit, true),
        {token}
        {{Pid, Ref}} = spawn_opt(N, m, fail, [exit, over], [link, monitor]),
        {{probe:down(Ref) =:= {{Pid, over}}, probe:exit_of(Pid)}}
    """
    assert line.erl.eval(code) == (True, a("over"))
    assert opcode(29, 30, token, True) in line.opcodes


@traced
def test_spawn_of_a_fun(line: Line, connected: bool, token: str) -> None:
    """The node has no code of the BEAM to run, and says what it can run."""
    code = f"""
        logger:set_primary_config(level, none),
        {token}
        {{Pid, Ref}} = spawn_monitor(N, fun() -> ok end),
        {{Pid, {{Reason, _}}}} = probe:down(Ref),
        Reason
    """
    reason, sentence = line.erl.eval(code)
    assert reason == "badarg"
    assert "&Mod.fun/arity" in sentence


@traced
def test_an_exit_signal(line: Line, connected: bool, token: str) -> None:
    sender = line.erl.eval(f"{token}exit(P, {{why, [1]}}), self()")
    assert line.next() == (a("EXIT"), sender, (a("why"), [1]))
    # `exit/2` takes no token along in any release.
    assert line.opcodes == ({26} if connected else {8})


@traced
def test_the_end_of_a_linked_process(line: Line, connected: bool, token: str) -> None:
    pid = line.erl.eval(f"spawn(fun() -> {token}link(P), exit({{why, #{{a => 1.5}}}}) end)")
    assert line.next() == (a("EXIT"), pid, (a("why"), {a("a"): 1.5}))
    expected = opcode(24, 25, token, True) if connected else opcode(3, 13, token, False)
    assert 1 in line.opcodes
    assert connected is False or line.opcodes == {1, expected}


@traced
def test_the_end_of_a_monitored_process(line: Line, connected: bool, token: str) -> None:
    pid = line.erl.eval(f"spawn(fun() -> receive go -> {token}exit(over) end end)")
    ref = line.listener.monitor(pid)
    line.listener.send(pid, a("go"))
    assert line.next() == (a("DOWN"), ref, a("process"), pid, a("over"))
    assert 28 in line.opcodes


@traced
def test_monitor_demonitor_link_and_unlink(line: Line, connected: bool, token: str) -> None:
    code = f"""
        {token}
        ByPid = monitor(process, P), ByName = monitor(process, L), link(P),
        [demonitor(Ref) || Ref <- [ByPid, ByName]], unlink(P),
        P ! ready,
        go_on = probe:message(),
        probe:nothing()
    """
    name = unique("waiter")
    future = line.erl.later(f"register(Name, self()), {code}", Name=a(name))
    assert line.next() == "ready"
    assert {1, 19, 20, 35} <= line.opcodes
    line.listener.exit(a("over"))
    line.server.send((name, line.erl.node), a("go_on"))
    assert future.result(SECONDS) is True


def test_an_unlink_of_ours_is_acknowledged(line: Line, connected: bool) -> None:
    pid = line.erl.eval("spawn(fun() -> receive never -> ok end end)")
    line.listener.link(pid)
    line.listener.unlink(pid)
    eventually(lambda: 36 in line.opcodes, "the answer has come")
    eventually(lambda: not line.listener.unlinking, "and was handled")
    assert line.erl.eval("process_info(Pid, links)", Pid=pid) == (a("links"), [])


def test_a_monitor_of_ours_that_is_taken_back_is_gone(line: Line, connected: bool) -> None:
    pid = line.erl.eval("spawn(fun() -> receive never -> ok end end)")
    ref = line.listener.monitor(pid)
    assert line.listener.demonitor(ref) is True
    assert line.listener.demonitor(ref) is False
    assert line.server.ping(line.erl.node) is True
    assert line.erl.eval("process_info(Pid, monitored_by)", Pid=pid) == (a("monitored_by"), [])


def test_our_spawn_request_is_replied_to(line: Line) -> None:
    assert line.server.call(line.erl.node, "erlang", "node") == line.erl.node
    assert 31 in line.opcodes


def test_a_group_leader_can_be_set_and_changes_nothing(line: Line) -> None:
    assert line.erl.eval("group_leader(self(), P)") is True
    assert line.erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert 7 in line.opcodes
    assert line.listener.alive


def test_what_a_process_prints_whose_group_leader_is_here_does_no_harm(line: Line) -> None:
    """A call from Python makes its caller the group leader, as on a BEAM: an io request comes, and is not answered."""
    assert line.server.call(line.erl.node, "logger", "set_primary_config", [a("level"), a("none")]) == "ok"
    future = line.server.call_async(line.erl.node, "io", "put_chars", ["hello"])
    assert line.erl.eval("erpc:call(N, m, ping, [])") == "pong"
    future.cancel()
    assert line.server.ping(line.erl.node) is True


QUESTIONS = [
    "rpc:call(Node, erlang, system_info, [otp_release])",
    "rpc:call(Node, erlang, process_info, [self()])",
    "rpc:call(Node, application, which_applications, [])",
    "rpc:call(Node, observer_backend, sys_info, [])",
    "erlang:monitor_node(Node, true), erlang:monitor_node(Node, false)",
    "net_kernel:node_info(Node, type)",
    "gen_server:multi_call([Node], kernel_sup, which_children, 1000)",
    "catch gen_server:call({global_name_server, Node}, hello, 1000)",
    "catch sys:get_status({net_kernel, Node}, 1000)",
    "catch supervisor:which_children({kernel_sup, Node})",
    "rpc:multicall([node(), Node], erlang, node, [])",
    "erlang:send({nobody, Node}, hello, [noconnect])",
    "erlang:send_nosuspend({nobody, Node}, hello)",
    "global:sync()",
    "pg:start_link(), pg:monitor_scope(), pg:join(crowd, self())",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_from_the_shell_is_answered_or_refused_and_harms_nothing(line: Line, question: str) -> None:
    quiet = "logger:set_primary_config(level, none)"
    line.erl.eval(f"{quiet}, probe:attempt(fun() -> {question} end)", Node=a(line.server.node_name))
    assert line.erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert nodes_of(line.server) == (line.erl.node,)


def test_a_question_that_the_node_does_not_know_is_undef(line: Line) -> None:
    answer = line.erl.eval("rpc:call(N, erlang, statistics, [reductions])")
    stack = [(a("erlang"), a("statistics"), [a("reductions")], [])]
    assert answer == (a("badrpc"), (a("EXIT"), (a("undef"), stack)))
