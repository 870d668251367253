"""Answers of a node about itself."""

import threading

import pytest
from support import NAME, Client, eventually

from beam_bpy import Atom
from beam_bpy.protocol import control

NODE = f"{NAME}@127.0.0.1"
ITSELF, CALLER = Atom(NODE), Atom("caller@127.0.0.1")


@pytest.fixture
def client(server):
    with Client(server) as client:
        yield client


def reason_of(client, module, function, args):
    """The reason with which the process of an erpc call ends, without the reference of the call."""
    term, (ref, _module, *_rest) = client.erpc(function, args)
    client.tell(term, [ref, Atom(module), Atom(function), list(args)])
    while not isinstance(event := client.event(), control.MonitorExit):
        pass
    return event.reason[1:]


def ask(client, module, function, *args):
    """The value of an erpc call."""
    kind, value = reason_of(client, module, function, args)
    assert kind == "return"
    return value


class TestHealth:
    def test_a_node_that_has_nothing_to_do(self, server):
        health = server.health

        assert (health.ready, health.running, health.queued, health.waiting) == (True, None, 0, 0)
        assert health.uptime >= 0
        assert health.memory > 1_000_000

    def test_it_names_the_handler_that_hangs(self, server, client):
        release = threading.Event()
        server.register_handler("hang", lambda args: release.wait(30))
        try:
            client.ask("hang", [])
            eventually(lambda: server.health.running is not None)
            with Client(server, name="other@127.0.0.1") as other:
                answer = other.call("health")
            running = answer[Atom("running")]
            assert running[Atom("handler")] == "hang"
            assert running[Atom("node")] == "caller@127.0.0.1"
            assert running[Atom("seconds")] >= 0
            assert answer[Atom("ready")] is True
        finally:
            release.set()
        eventually(lambda: server.health.running is None)

    def test_it_counts_calls_and_failures(self, server, client):
        server.register_handler("fail", lambda args: 1 / 0)
        client.call("echo", 1)
        client.ask("fail", [])

        eventually(lambda: (server.health.calls, server.health.failures) == (2, 1))
        assert server.health.peers == 1

    def test_queued_calls(self, server):
        release = threading.Event()
        server.register_handler("hang", lambda args: release.wait(30))
        with Client(server) as client:
            try:
                for _ in range(3):
                    client.ask("hang", [])
                eventually(lambda: server.health.queued == 2)
            finally:
                release.set()

    def test_a_server_that_does_not_run_has_none(self, make):
        assert make().health is None

    def test_the_handler_of_a_user_with_this_name(self, server, client):
        server.register_handler("health", lambda args: "of the user")

        assert client.call("health") == "of the user"
        with Client(server, name="app@127.0.0.1") as other:
            assert ask(other, "beam_bpy", "health")[Atom("ready")] is True


class TestQuestionsOfTools:
    @pytest.mark.parametrize(
        ("module", "function", "args", "value"),
        [
            ("erlang", "node", [], ITSELF),
            ("erlang", "is_alive", [], True),
            ("erlang", "nodes", [], [CALLER]),
            ("erlang", "nodes", [Atom("connected")], [CALLER]),
            ("erlang", "nodes", [Atom("this")], [ITSELF]),
            ("erlang", "nodes", [Atom("hidden")], []),
            ("erlang", "nodes", [[Atom("this"), Atom("visible")]], [ITSELF, CALLER]),
            ("Elixir.Node", "self", [], ITSELF),
            ("Elixir.Node", "list", [], [CALLER]),
            ("Elixir.Node", "list", [Atom("known")], [ITSELF, CALLER]),
            ("erlang", "system_info", [Atom("otp_release")], [*b"25"]),
            ("code", "ensure_loaded", [Atom("lists")], (Atom("error"), Atom("nofile"))),
            ("code", "is_loaded", [Atom("lists")], False),
            ("code", "which", [Atom("lists")], Atom("non_existing")),
        ],
    )
    def test_an_answer(self, client, module, function, args, value):
        assert ask(client, module, function, *args) == value

    def test_memory(self, client):
        ((kind, size),) = ask(client, "erlang", "memory")

        assert kind == "total"
        assert size > 1_000_000
        assert ask(client, "erlang", "memory", Atom("total")) > 1_000_000

    @pytest.mark.parametrize(
        ("module", "function", "args"),
        [
            ("erlang", "get_cookie", []),
            ("erlang", "processes", []),
            ("erlang", "node", [1]),
            ("lists", "node", []),
            ("Elixir.Enum", "list", []),
            ("erlang", "health", [1]),
        ],
    )
    def test_anything_else_is_undef(self, client, module, function, args):
        assert reason_of(client, module, function, args)[:2] == (Atom("error"), Atom("undef"))

    @pytest.mark.parametrize(
        ("function", "argument"),
        [("system_info", Atom("process_limit")), ("memory", Atom("ets")), ("nodes", Atom("all")), ("nodes", 5)],
    )
    def test_an_argument_that_is_not_known_is_badarg(self, client, function, argument):
        kind, reason, _stack = reason_of(client, "erlang", function, [argument])

        assert (kind, reason[0]) == ("error", "badarg")

    def test_a_handler_of_this_name_has_precedence(self, server, client):
        server.register_handler("node", lambda args: "mine")

        assert ask(client, "erlang", "node") == "mine"

    @pytest.mark.parametrize("module", ["shell", "Elixir.IEx"])
    def test_a_shell_is_refused_with_a_message_to_the_user(self, client, module):
        term, (ref, *_rest) = client.erpc("start", [])
        client.tell(term, [ref, Atom(module), Atom("start"), []])
        events = [client.event() for _ in range(3)]

        (sent,) = [event for event in events if isinstance(event, control.Send)]
        (end,) = [event for event in events if isinstance(event, control.MonitorExit)]
        assert sent.to == "user"
        kind, _process, _tag, (put, encoding, text) = sent.payload
        assert (kind, put, encoding) == ("io_request", "put_chars", "unicode")
        assert NODE in text
        assert end.reason[1:3] == (Atom("error"), Atom("undef"))
