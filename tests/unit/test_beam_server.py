"""A whole server over loopback sockets, called by a client that writes and reads the protocol's bytes itself."""

import dataclasses
import hashlib
import logging
import os
import signal
import socket
import sys
import threading
import types

import pytest
from ports import free_port
from support import (
    COOKIE,
    NAME,
    TIMEOUT,
    Client,
    eventually,
    headed,
    hung_up,
    in_thread,
    names_of_threads,
    nodes_of,
)

from beam_bpy import Atom, BeamServer, Limits, ServerError, beam_server, get_beam_server
from beam_bpy.beam_server import GivenOptions
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.host_queue import install_host_queue, remove_host_queue
from beam_bpy.protocol import control


class TestLife:
    def test_before_it_starts(self, make):
        server = make(port=4711)

        assert (server.state, server.running, server.last_error) == ("stopped", False, None)
        assert server.get_address() == f"{NAME}@127.0.0.1:4711"
        assert nodes_of(server) == ()

    def test_the_environment_says_what_the_arguments_do_not(self, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_NODE", "crate")
        monkeypatch.setenv("BPY_BEAM_PORT", "4711")

        assert BeamServer().get_address() == "crate@127.0.0.1:4711"

    def test_it_starts_and_stops(self, make):
        server = make()

        assert server.start() is True
        assert (server.state, server.running, server.last_error) == ("running", True, None)
        assert server.get_address() == f"{NAME}@127.0.0.1:{server.port}"
        assert server.port > 0
        server.stop()
        assert (server.state, server.running, server.port) == ("stopped", False, 0)

    def test_starting_twice_is_starting_once(self, server):
        port = server.port

        assert server.start() is True
        assert server.port == port

    def test_stopping_twice_is_stopping_once(self, server):
        server.stop()
        server.stop()

        assert server.state == "stopped"

    def test_stopping_what_never_ran(self, make):
        server = make()

        server.stop()

        assert server.state == "stopped"

    def test_handlers_survive_a_restart(self, server):
        with Client(server) as client:
            assert client.call("echo", 1) == [1]

        server.stop()
        server.start()

        with Client(server) as client:
            assert client.call("echo", 2) == [2]

    def test_the_same_port_can_be_used_again_at_once(self, make):
        server = make(port=free_port())
        assert server.start()
        with Client(server) as client:
            client.call("echo")
            server.stop()
        assert server.start(), server.last_error

    def test_stop_leaves_no_thread_and_no_listener(self, make):
        before = set(threading.enumerate())
        server = make()
        server.start()
        port = server.port
        assert {thread.name for thread in set(threading.enumerate()) - before} == {
            "beam_bpy network",
            "beam_bpy worker",
        }

        with Client(server) as client:
            server.stop()
            assert client.closed()

        assert set(threading.enumerate()) == before
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    def test_a_server_that_is_not_running_can_be_configured(self, make):
        server = make()
        server.start()
        server.stop()

        server.configure("other", "another cookie", "localhost", 0)

        assert server.node_name == "other@127.0.0.1"
        assert server.start()
        with Client(server, cookie=COOKIE) as client:
            assert client.closed()

    def test_configure_keeps_what_it_is_not_given(self):
        limits = Limits(max_queued=7)
        server = BeamServer("x", "secret", port=9100, allow=("app@*",), tick_time=30.0, limits=limits)

        server.configure(port=9101)

        assert server.options == GivenOptions("x", "secret", None, 9101, 30.0, allow=("app@*",), limits=limits)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("node_name", "y"),
            ("cookie", "another"),
            ("host", "127.0.0.1"),
            ("port", 9101),
            ("tick_time", 8.0),
            ("epmd", "none"),
            ("allow", ("web@*",)),
            ("limits", Limits(max_queued=9)),
        ],
    )
    def test_configure_changes_one_option_alone(self, name, value):
        server = BeamServer("x", "secret", "localhost", 9100, allow=("app@*",), tick_time=30.0)
        before = server.options

        server.configure(**{name: value})

        assert server.options == dataclasses.replace(before, **{name: value})
        assert server.options != before

    def test_configure_takes_none_for_the_environment(self, monkeypatch):
        server = BeamServer("x")
        monkeypatch.setenv("BPY_BEAM_NODE", "from_the_environment")

        server.configure(node_name=None)

        assert server.node_name == "from_the_environment@127.0.0.1"

    def test_configure_knows_its_options(self):
        with pytest.raises(TypeError, match="tick_tim"):
            BeamServer("x").configure(tick_tim=3)

    def test_the_options_hide_the_cookie(self):
        assert "secret" not in repr(BeamServer("x", "secret").options)

    def test_a_running_server_is_not_configured(self, server):
        with pytest.raises(RuntimeError, match="stop the server"):
            server.configure("other")

        assert server.node_name == f"{NAME}@127.0.0.1"

    def test_its_repr_shows_no_cookie(self, server):
        assert repr(server) == f"<BeamServer {NAME}@127.0.0.1 running>"

    def test_there_is_one_shared_server(self):
        found = []
        threads = [in_thread(lambda: found.append(get_beam_server())) for _ in range(4)]
        for thread in threads:
            thread.join()

        assert set(found) == {get_beam_server()}
        assert not get_beam_server().running


class TestContextManager:
    def test_it_runs_inside_the_block(self):
        with BeamServer(NAME, COOKIE) as server:
            assert server.running
            with Client(server) as client:
                server.register_handler("echo", lambda args: args)
                assert client.call("echo", 1) == [1]

        assert not server.running

    def test_an_exception_in_the_block_stops_it_and_goes_on(self):
        with pytest.raises(ZeroDivisionError), BeamServer(NAME, COOKIE) as server:
            raise ZeroDivisionError

        assert not server.running

    def test_a_server_that_cannot_start_raises_its_sentence(self):
        with pytest.raises(ServerError, match="the node name 'no spaces' cannot be used") as raised:
            BeamServer("no spaces", COOKIE).__enter__()

        assert str(raised.value)

    def test_serve_forever_raises_the_same(self):
        server = BeamServer("no spaces", COOKIE)
        with pytest.raises(ServerError) as raised:
            server.serve_forever()

        assert str(raised.value) == server.last_error


def test_its_repr_asks_no_name_server(monkeypatch):
    def asked(*_arguments):
        raise AssertionError("a name server was asked")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "getaddrinfo"):
        monkeypatch.setattr(socket, function, asked)

    assert repr(BeamServer("x", host="0.0.0.0")) == f"<BeamServer x@{socket.gethostname()} stopped>"


class TestStartFails:
    """A start that cannot work is answered False, with a sentence for the user."""

    def fails(self, server):
        assert server.start() is False
        assert (server.state, server.running) == ("failed", False)
        return server.last_error

    @pytest.fixture
    def taken(self):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            yield sock.getsockname()[1]

    def test_the_port_is_taken(self, make, taken):
        sentence = self.fails(make(port=taken))

        assert sentence == f"port {taken} is taken by another program; choose another, or 0 for any"

    def test_the_port_of_the_environment_is_taken(self, make, taken, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_PORT", str(taken))

        assert f"port {taken} is taken" in self.fails(make())

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
    def test_the_host_is_not_known(self, make, host):
        assert f"the host '{host}' is not known" in self.fails(make(host=host))

    def test_the_host_of_the_environment_is_not_known(self, make, monkeypatch):
        monkeypatch.setenv("BPY_BEAM_HOST", "no-such-host.invalid")

        assert "the host 'no-such-host.invalid' is not known" in self.fails(make())

    def test_the_host_in_the_node_name_is_not_known(self, make):
        assert "'no-such-host.invalid' is not known" in self.fails(make(f"{NAME}@no-such-host.invalid"))

    def test_the_host_is_another_machine(self, make):
        assert "the host '192.0.2.1' is not an address of this machine" in self.fails(make(host="192.0.2.1"))

    def test_the_name_cannot_be_used(self, make):
        assert self.fails(make("a crate")).startswith("the node name 'a crate' cannot be used")

    def test_the_cookie_cannot_be_used(self, make, caplog):
        assert "a-secret" not in self.fails(make(cookie="a-secret\n")) + caplog.text

    def test_the_name_is_taken(self, make, server):
        sentence = self.fails(make())

        assert sentence.startswith(f"the name '{NAME}' is taken by another node on this machine")

    def test_no_epmd_answers_and_none_is_embedded(self, make, monkeypatch):
        sentence = self.fails(make(epmd="host"))

        assert f"epmd does not answer on port {os.environ['ERL_EPMD_PORT']}" in sentence
        assert "epmd -daemon" in sentence

    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_what_answers_is_no_epmd(self, make, monkeypatch, answer):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            monkeypatch.setenv("ERL_EPMD_PORT", str(sock.getsockname()[1]))

            sock.settimeout(TIMEOUT)

            def serve():
                connection, _address = sock.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

            thread = in_thread(serve)
            sentence = self.fails(make())
            thread.join()

        port = os.environ["ERL_EPMD_PORT"]
        assert sentence.startswith(f"epmd on port {port} of this machine broke off the registration")

    def test_a_later_start_may_work(self, make, taken):
        server = make(port=taken)
        self.fails(server)

        server.configure(port=0)

        assert server.start() is True
        assert (server.state, server.last_error) == ("running", None)

    def test_a_failed_server_can_be_stopped(self, make, taken):
        server = make(port=taken)
        self.fails(server)

        server.stop()

        assert server.state == "stopped"


class TestConnections:
    def test_a_node_that_knows_the_cookie_is_connected(self, server):
        with Client(server) as client:
            assert client.status == "ok"
            assert client.ack == b"a" + hashlib.md5(f"{COOKIE}7".encode()).digest()
            eventually(lambda: nodes_of(server) == ("caller@127.0.0.1",))

        eventually(lambda: nodes_of(server) == ())

    def test_a_node_with_another_cookie_is_not(self, server, caplog):
        with Client(server, cookie="another-cookie") as client:
            assert client.closed()

        assert nodes_of(server) == ()
        eventually(lambda: "was refused" in caplog.text)
        assert "caller@127.0.0.1 was refused" in caplog.text
        assert COOKIE not in caplog.text

    def test_a_node_of_the_servers_own_name_is_not_allowed(self, server):
        with Client(server, name=server.node_name) as client:
            assert client.status == "not_allowed"
            assert client.closed()

    def test_a_node_that_connects_anew_takes_the_place_of_its_old_connection(self, server):
        with Client(server) as old, Client(server) as new:
            assert new.status == "alive"
            assert old.closed()
            assert new.call("echo", 1) == [1]
            assert nodes_of(server) == ("caller@127.0.0.1",)

    def test_a_node_that_does_not_insist_keeps_its_old_connection(self, server):
        with Client(server) as old, Client(server, insist="false") as new:
            assert new.closed()
            assert old.call("echo", 1) == [1]

    def test_several_nodes_are_served(self, server):
        with Client(server, "a@127.0.0.1") as a, Client(server, "b@127.0.0.1") as b:
            assert a.call("echo", "a") == ["a"]
            assert b.call("echo", "b") == ["b"]
            assert set(nodes_of(server)) == {"a@127.0.0.1", "b@127.0.0.1"}

    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0", b"\xff" * 2000])
    def test_garbage_in_place_of_a_handshake_is_hung_up_on(self, server, garbage):
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as sock:
            sock.sendall(garbage)
            assert hung_up(sock)

        with Client(server) as client:
            assert client.call("echo", 1) == [1]

    @pytest.mark.parametrize("garbage", [b"\0\0\0\2xx", b"\xff\xff\xff\xff", b"\0\0\0\4p\x83t\xff"])
    def test_garbage_after_the_handshake_is_hung_up_on(self, server, garbage, caplog):
        with Client(server) as client:
            client.socket.sendall(garbage)
            assert client.closed()

        with Client(server) as client:
            assert client.call("echo", 1) == [1]
        assert "error of this program's own" not in caplog.text

    def test_a_silent_node_hears_ticks_and_is_dropped(self, make):
        server = make(tick_time=0.2)
        server.start()

        with Client(server) as client:
            assert client.read(4) == b"\0\0\0\0"
            assert client.closed()

        eventually(lambda: nodes_of(server) == ())

    def test_a_node_that_ticks_stays(self, make):
        server = make(tick_time=2.0)
        server.start()

        with Client(server) as client:
            for _ in range(5):
                assert client.read(4) == b"\0\0\0\0"
                client.socket.sendall(b"\0\0\0\0")
            assert client.call("echo", 1) == [1]

    def test_bytes_that_come_one_by_one(self, server):
        with Client(server) as client:
            data = headed(*client.erpc("echo", [1]))
            for byte in len(data).to_bytes(4) + data:
                client.socket.sendall(bytes((byte,)))

            client.event()
            assert client.answer() == [1]

    def test_a_large_value_there_and_back(self, server):
        large = os.urandom(6_000_000)

        with Client(server) as client:
            # Both directions at once: neither side may wait for the other to read first.
            sender = in_thread(lambda: client.tell(*client.erpc("echo", [large])))
            client.event()
            assert client.answer() == [large]
            sender.join()

    def test_many_calls_at_once_are_all_answered(self, server):
        with Client(server) as client:
            for number in range(300):
                client.tell(*client.erpc("echo", [number]))
            events = [client.event() for _ in range(600)]

        values = [event.reason[2] for event in events if isinstance(event, control.MonitorExit)]
        assert values == [[number] for number in range(300)]


class TestHandlers:
    def test_each_way_to_register(self, server):
        @server.expose
        def add(a, b):
            return a + b

        @server.expose(name="minus", inline=True, module="Elixir.Unit", owner="tests")
        def subtract(a, b):
            return a - b

        with Client(server) as client:
            assert client.call("add", 40, 2) == 42
            assert client.call("minus", 44, 2) == 42
        assert add(1, 2) == 3
        assert subtract(1, 2) == -1
        [minus] = [handler for handler in server.handlers if handler.name == "minus"]
        assert (minus.module, minus.owner, minus.inline) == ("Unit", "tests", True)

    def test_a_handler_needs_a_name(self, server):
        with pytest.raises(ValueError, match="name"):
            server.register_handler("", print)

    def test_handlers_are_removed(self, server):
        server.register_handler("a", print, owner="tests")
        server.register_handler("b", print, owner="tests", module="Elixir.Unit")
        server.register_handler("c", print, module="Unit")

        assert server.unregister_owner("tests") == 2
        assert server.unregister_handler("c", module="Elixir.Unit") is True
        assert server.unregister_handler("c", module="Unit") is False
        assert server.unregister_handler("echo") is True
        assert server.handlers == ()

    def test_a_registered_type_is_encoded(self, server):
        server.encoder.register(complex, lambda number: (number.real, number.imag))
        server.register_handler("make", lambda args: complex(1, 2))

        with Client(server) as client:
            assert client.call("make") == (1.0, 2.0)

    def test_where_handlers_run(self, server):
        server.register_handler("queued", lambda args: threading.current_thread().name)
        server.register_handler("inline", lambda args: threading.current_thread().name, inline=True)

        with Client(server) as client:
            assert client.call("queued") == "beam_bpy worker"
            # The thread that runs the network: its own, or the worker while it waits.
            assert client.call("inline") in ("beam_bpy network", "beam_bpy worker")

    def test_an_inline_call_is_answered_while_a_queued_one_runs(self, server):
        leave = threading.Event()
        server.register_handler("slow", lambda args: leave.wait(TIMEOUT))
        server.register_handler("inline", lambda args: "inline", inline=True)

        with Client(server) as client:
            client.ask("slow", [])
            assert client.call("inline") == "inline"
            leave.set()
            assert client.answer() is True

    @pytest.mark.parametrize("inline", [True, False])
    def test_a_handler_may_stop_the_server(self, server, inline):
        server.register_handler("stop", lambda args: server.stop(), inline=inline)

        with Client(server) as client:
            client.ask("stop", [])
            assert client.closed()

        eventually(lambda: server.state == "stopped")

    def test_stop_waits_for_the_handler_that_runs_and_its_caller_gets_the_answer(self, server):
        entered, leave = threading.Event(), threading.Event()
        server.register_handler("slow", lambda args: (entered.set(), leave.wait(TIMEOUT)))
        with Client(server) as client, Client(server, "another@127.0.0.1") as another:
            client.ask("slow", [])
            entered.wait(TIMEOUT)
            stopper = in_thread(server.stop)
            assert another.closed()
            assert stopper.is_alive()

            leave.set()
            assert client.event().reason[1:] == (Atom("return"), (None, True))
            assert client.closed()
            stopper.join(TIMEOUT)

        assert "beam_bpy network" not in names_of_threads()

    def test_a_handler_may_wait_for_a_thread_that_stops_the_server(self, server, monkeypatch):
        monkeypatch.setattr(beam_server, "_HANDLER_TIME", 0.2)

        def stop_elsewhere(args):
            thread = in_thread(server.stop)
            thread.join(TIMEOUT)
            return thread.is_alive()

        server.register_handler("stop", stop_elsewhere)
        with Client(server) as client:
            assert client.call("stop") is False
            assert client.closed()
        eventually(lambda: not {"beam_bpy network", "beam_bpy worker"} & set(names_of_threads()))

    @pytest.mark.parametrize("inline", [False, True])
    def test_a_handler_that_restarts_its_server_is_answered_and_the_next_start_answers(self, server, inline):
        def restart(args):
            server.stop()
            return server.start()

        server.register_handler("restart", restart, inline=inline)
        for _ in range(3):
            with Client(server) as client:
                assert client.call("restart") is True
                assert client.closed()
        with Client(server) as client:
            assert client.call("echo", 1) == [1]

    def test_a_restart_in_a_handler_does_not_let_two_handlers_run_at_once(self, server):
        entered, leave, ran = threading.Event(), threading.Event(), []

        def restart(args):
            server.stop()
            server.start()
            entered.set()
            leave.wait(TIMEOUT)
            ran.append("restart")

        server.register_handler("restart", restart)
        server.register_handler("note", ran.extend)
        server.register_handler("inline", lambda args: args, inline=True)
        with Client(server) as client:
            client.ask("restart", [])
            entered.wait(TIMEOUT)
            with Client(server, "another@127.0.0.1") as another:
                another.ask("note", ["later"])
                assert another.call("inline") == []
                leave.set()
                another.event()
        assert ran == ["restart", "later"]

    def test_a_call_that_stop_has_cut_off_does_not_run_after_a_restart(self, server):
        entered, leave, ran = threading.Event(), threading.Event(), []
        server.register_handler("slow", lambda args: (entered.set(), leave.wait(TIMEOUT)))
        server.register_handler("note", ran.append)
        with Client(server) as client:
            client.ask("slow", [])
            entered.wait(TIMEOUT)
            client.ask("note", ["cut off"])
            stopper = in_thread(server.stop)
            eventually(lambda: server._stopping is not None and server._stopping.done.is_set())
            leave.set()
            assert client.closed()
            stopper.join(TIMEOUT)

        server.start()
        with Client(server) as client:
            client.call("note", "later")

        assert ran == [["later"]]

    def test_a_failed_handler_is_followed_by_others(self, server):
        class UnprintableError(Exception):
            def __str__(self):
                raise self

        def fail(args):
            raise UnprintableError

        server.register_handler("fail", fail)

        with Client(server) as client:
            client.ask("fail", [])
            client.socket.settimeout(2.0)
            assert client.event().reason[1] == Atom("error")
            assert client.call("echo", 1) == [1]


class TestBlenderWithAWindow:
    """`bpy.app.background` is False in a Blender with a window. tests/gui/test_without_extension.py has a real one."""

    @pytest.fixture(params=[False, True])
    def background(self, request, monkeypatch):
        app = types.SimpleNamespace(background=request.param)
        monkeypatch.setitem(sys.modules, "bpy", types.SimpleNamespace(app=app))
        return request.param

    def test_without_the_extension_a_server_starts_only_if_there_is_no_window(self, make, background):
        server = make()

        assert server.start() is background
        assert (server.last_error is None) is background

    def test_with_a_host_queue_it_starts(self, make, background):
        calls = CallQueue()
        install_host_queue(calls)
        try:
            server = make()
            assert server.start()
            server.stop()
        finally:
            remove_host_queue(calls)

    def test_another_thread_may_not_serve_beside_a_window(self, make, background):
        server = make()
        failures = []

        def serve():
            try:
                server.serve_forever()
            except ServerError as error:
                failures.append(str(error))

        thread = in_thread(serve)
        eventually(lambda: server.running or failures)
        server.stop()
        thread.join(TIMEOUT)

        assert bool(failures) is not background


class TestServeForever:
    def test_handlers_run_on_the_calling_thread_until_stop(self, make):
        server = make()
        server.register_handler("where", lambda args: threading.current_thread().name)
        serving = threading.Thread(target=server.serve_forever, name="serving")
        serving.start()
        eventually(lambda: server.running and "beam_bpy worker" not in names_of_threads())

        with Client(server) as client:
            assert client.call("where") == "serving"
        server.stop()

        serving.join(TIMEOUT)
        assert not serving.is_alive()
        assert server.state == "stopped"

    def test_no_call_ever_reaches_another_thread(self, make, monkeypatch):
        # Headless Blender serves so: a worker, even one that lives for a moment, may take a call that touches bpy.
        workers = []
        monkeypatch.setattr("beam_bpy.beam_server.Worker", lambda *args, **options: workers.append(args))
        server = make()
        serving = in_thread(server.serve_forever)
        eventually(lambda: server.running)

        server.stop()
        serving.join(TIMEOUT)

        assert workers == []

    def test_a_handler_may_end_it(self, make):
        server = make()
        server.register_handler("stop", lambda args: server.stop())
        serving = in_thread(server.serve_forever)
        eventually(lambda: server.running)

        with Client(server) as client:
            client.ask("stop", [])
            assert client.closed()

        serving.join(TIMEOUT)
        assert not serving.is_alive()

    def test_a_server_that_runs_goes_on(self, server):
        port = server.port
        serving = in_thread(server.serve_forever)
        eventually(lambda: "beam_bpy worker" not in names_of_threads())

        assert server.port == port
        with Client(server) as client:
            assert client.call("echo", 1) == [1]
        server.stop()
        serving.join(TIMEOUT)

    def test_what_cannot_start_cannot_serve(self, make):
        with pytest.raises(RuntimeError, match="the node name 'a crate' cannot be used"):
            make("a crate").serve_forever()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_once_the_handler_has_returned(self, make, number):
        server, previous, returned = make(), signal.getsignal(number), []

        def interrupted(args):
            signal.raise_signal(number)
            returned.append(server.state)

        server.register_handler("interrupted", interrupted)

        def call():
            eventually(lambda: server.running)
            with Client(server) as client:
                client.ask("interrupted", [])
                client.closed()

        caller = in_thread(call)
        server.serve_forever()
        caller.join(TIMEOUT)

        assert returned == ["running"]
        assert server.state == "stopped"
        assert signal.getsignal(number) is previous


class TestHostQueue:
    @pytest.fixture
    def queue(self):
        queue = CallQueue()
        install_host_queue(queue)
        yield queue
        remove_host_queue(queue)

    def serve_one(self, queue):
        assert queue.wait(TIMEOUT)
        assert queue.drain(0.0) == 1

    def test_the_handlers_of_every_server_go_there(self, queue, make):
        servers = [make(), make(f"{NAME}b")]
        for server in servers:
            server.register_handler("where", lambda args: threading.current_thread() is threading.main_thread())
            assert server.start()

        assert "beam_bpy worker" not in names_of_threads()
        for server in servers:
            with Client(server) as client:
                client.ask("where", [])
                self.serve_one(queue)
                assert client.answer() is True

    def test_inline_handlers_do_not(self, queue, make):
        server = make()
        server.register_handler("inline", lambda args: "inline", inline=True)
        server.start()

        with Client(server) as client:
            assert client.call("inline") == "inline"

    def test_a_server_that_runs_already_is_taken_over(self, server):
        queue = CallQueue()
        install_host_queue(queue)
        try:
            with Client(server) as client:
                client.ask("echo", [1])
                self.serve_one(queue)
                assert client.answer() == [1]
        finally:
            remove_host_queue(queue)

    def test_a_server_that_outlives_the_queue_is_served_again(self, queue, make):
        server = make()
        server.start()

        remove_host_queue(queue)

        with Client(server) as client:
            client.socket.settimeout(2.0)
            assert client.call("echo", 1) == [1]


def test_nothing_that_is_logged_holds_the_cookie(make, caplog):
    caplog.set_level(logging.DEBUG, logger="beam_bpy")
    server = make()
    server.start()
    with Client(server) as client:
        client.call("echo", 1)
    with Client(server, cookie="wrong") as client:
        client.closed()
    server.stop()

    assert "answers on port" in caplog.text
    assert COOKIE not in caplog.text
