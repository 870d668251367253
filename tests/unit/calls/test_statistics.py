"""The figures that a server reports about its calls and about the nodes that make them."""

import threading
import time

import pytest
from support import COOKIE, TIMEOUT, Client, eventually

from beam_bpy import Atom, ErlangError, ErlangThrow
from beam_bpy.calls.statistics import Activity

NOTHING = Activity(0, 0, 0, None)


@pytest.fixture
def client(server):
    with Client(server) as client:
        client.socket.settimeout(TIMEOUT)
        yield client


def fail(client, name, *args):
    """Make a call that fails; returns its reason."""
    client.ask(name, list(args))
    reason = client.event().reason
    assert reason[1] != Atom("return")
    return reason


def crash(args):
    raise ValueError("no object named 'X'")


def handler(server, name):
    [handler] = [handler for handler in server.handlers if handler.name == name]
    return handler


class TestActivity:
    def test_of_a_server_that_never_ran(self, make):
        assert make().activity == NOTHING

    @pytest.mark.parametrize("inline", [False, True])
    def test_calls_are_counted_once_they_are_answered(self, server, client, inline):
        server.register_handler("ping", lambda args: "pong", inline=inline)

        for number in range(3):
            assert server.activity[:3] == (number, 0, 0)
            client.call("ping")

        assert server.activity == (3, 0, 0, None, 0)
        assert (handler(server, "ping").calls, handler(server, "ping").failures) == (3, 0)

    @pytest.mark.parametrize("inline", [False, True])
    def test_a_failure_is_counted_and_kept(self, server, client, inline):
        server.register_handler("crash", crash, inline=inline)
        before = time.time()

        fail(client, "crash")

        calls, failures, queued, last, _replaced = server.activity
        assert (calls, failures, queued) == (1, 1, 0)
        assert (last.handler, last.message) == ("crash", "ValueError: no object named 'X'")
        assert last.traceback.startswith("Traceback")
        assert last.traceback.endswith("ValueError: no object named 'X'\n")
        assert "def crash" not in last.traceback
        assert before <= last.at <= time.time()
        assert (handler(server, "crash").calls, handler(server, "crash").failures) == (1, 1)

    def test_the_message_is_one_line(self, server, client):
        def crash(args):
            raise ValueError("first line\nsecond line\r\n\tthird line\n")

        server.register_handler("crash", crash)
        fail(client, "crash")

        message = server.activity.last_failure.message
        assert len(message.splitlines()) == 1
        assert message.startswith("ValueError: first line")
        assert "second line" in message

    @pytest.mark.parametrize(
        "reason", [Atom("gone"), (Atom("no"), "crate"), "text", 10**5000], ids=["atom", "tuple", "text", "huge"]
    )
    @pytest.mark.parametrize("type_", [ErlangError, ErlangThrow])
    def test_a_reason_that_the_handler_chose_has_no_traceback(self, server, client, type_, reason):
        def choose(args):
            raise type_(reason)

        server.register_handler("choose", choose)
        fail(client, "choose")

        last = server.activity.last_failure
        assert (last.handler, last.traceback) == ("choose", "")
        assert 0 < len(last.message) <= 500

    def test_a_traceback_holds_no_cookie(self, server, client):
        def crash(args):
            return server.start().missing

        server.register_handler("crash", crash)
        fail(client, "crash")

        assert COOKIE not in repr(server.activity)

    def test_the_last_failure_is_the_last_one(self, server, client):
        server.register_handler("crash", crash)
        server.register_handler("bad", lambda args: object())
        fail(client, "crash")
        fail(client, "bad")
        client.call("echo")

        assert server.activity[:2] == (3, 2)
        assert server.activity.last_failure.handler == "bad"

    def test_a_call_that_no_handler_answers_is_a_failure(self, server, client):
        fail(client, "missing", 1, 2)

        calls, failures, queued, last, _replaced = server.activity
        assert (calls, failures, queued) == (1, 1, 0)
        assert (last.message, last.traceback) == ("undef", "")
        assert last.handler.endswith(".missing/2")

    def test_a_node_that_may_not_call_a_handler_is_a_failure(self, server, client):
        server.register_handler("secret", lambda args: "secret", permit=lambda node: False)
        fail(client, "secret")

        assert server.activity[:3] == (1, 1, 0)
        assert server.activity.last_failure.message == "not_allowed"

    def test_a_step_without_a_handler_is_the_last_failure(self, server, client):
        client.call("call_batch", [("missing", [1])])

        assert server.activity.last_failure.handler.endswith(".missing/1")

    def test_a_long_call_is_one_call(self, server, client):
        def long(args):
            yield 1
            yield 2

        server.register_handler("long", long)
        client.call("long")

        assert (server.activity.calls, handler(server, "long").calls) == (1, 1)

    def test_a_long_call_that_fails_is_one_failure(self, server, client):
        def long(args):
            yield 1
            raise ValueError("half way")

        server.register_handler("long", long)
        fail(client, "long")

        assert server.activity[:3] == (1, 1, 0)
        assert server.activity.last_failure.message == "ValueError: half way"

    def test_a_batch_counts_its_steps(self, server, client):
        server.register_handler("crash", crash)
        client.call("call_batch", [("echo", []), ("crash", []), ("echo", []), ("missing", [])])

        assert server.activity[:3] == (3, 1, 0)
        assert (handler(server, "echo").calls, handler(server, "crash").failures) == (2, 1)

    def test_casts_are_counted(self, server, client):
        request = (Atom("$gen_cast"), ("echo", []))
        client.tell((6, client.pid, Atom(""), Atom(server.node_name.partition("@")[0])), request)

        eventually(lambda: server.activity.calls == 1)
        assert (server.activity.failures, handler(server, "echo").calls) == (0, 1)

    def test_a_handler_that_replaces_another_begins_at_zero(self, server, client):
        client.call("echo")
        server.register_handler("echo", lambda args: "new")

        assert (handler(server, "echo").calls, server.activity.calls) == (0, 1)
        client.call("echo")
        assert (handler(server, "echo").calls, server.activity.calls) == (1, 2)

    def test_what_waits_is_counted(self, server, client):
        entered, leave = threading.Event(), threading.Event()

        def hold(args):
            entered.set()
            leave.wait(TIMEOUT)

        server.register_handler("hold", hold)
        client.ask("hold", [])
        assert entered.wait(TIMEOUT)
        with Client(server, "other@127.0.0.1") as other:
            other.socket.settimeout(TIMEOUT)
            for _ in range(3):
                other.ask("echo", [])
            assert server.activity.queued == 3
            leave.set()
            for _ in range(3):
                other.answer()
        assert server.activity.queued == 0

    def test_a_long_call_between_its_slices_is_counted(self, server, client):
        done = threading.Event()

        def long(args):
            while not done.is_set():
                yield

        server.register_handler("long", long)
        client.ask("long", [])
        eventually(lambda: server.activity.queued == 1)
        done.set()
        client.answer()

        assert server.activity.queued == 0

    def test_it_survives_a_restart(self, server, client):
        server.register_handler("crash", crash)
        client.call("echo")
        fail(client, "crash")
        server.stop()
        stopped = server.activity
        assert server.start(), server.last_error

        assert stopped[:2] == server.activity[:2] == (2, 1)
        assert server.activity.last_failure == stopped.last_failure

    @pytest.mark.parametrize("times", [1, 3])
    def test_nothing_waits_at_a_server_that_has_stopped(self, server, times):
        for _ in range(times):
            server.stop()
            assert server.activity == NOTHING
            assert server.start(), server.last_error
        server.stop()

        assert server.activity == NOTHING


class TestPeers:
    def test_of_a_server_that_does_not_run(self, make):
        assert make().peers == ()

    def test_a_node_and_its_calls(self, server):
        server.register_handler("crash", crash)
        before = time.time()
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            client.call("echo")
            fail(client, "crash")
            fail(client, "missing")
            client.call("call_batch", [("echo", []), ("echo", [])])

            [peer] = server.peers
            assert (peer.name, peer.calls) == ("caller@127.0.0.1", 4)
            assert before <= peer.since <= time.time()
        eventually(lambda: server.peers == ())

    def test_each_node_has_calls_of_its_own(self, server):
        with Client(server, "a@127.0.0.1") as a, Client(server, "b@127.0.0.1") as b:
            for client in (a, b, b):
                client.socket.settimeout(TIMEOUT)
                client.call("echo")

            assert {peer.name: peer.calls for peer in server.peers} == {"a@127.0.0.1": 1, "b@127.0.0.1": 2}

    def test_a_node_that_comes_back_begins_at_zero(self, server):
        for _ in range(2):
            with Client(server) as client:
                client.socket.settimeout(TIMEOUT)
                client.call("echo")
                assert [peer.calls for peer in server.peers] == [1]
            eventually(lambda: server.peers == ())

    def test_a_server_that_stops_has_none(self, server):
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            client.call("echo")
            server.stop()
            assert server.peers == ()
