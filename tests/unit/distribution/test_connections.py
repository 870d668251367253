"""Servers that call each other, and nodes that a test plays, byte by byte, for a server that calls them."""

import concurrent.futures
import threading

import pytest
from ports import free_port
from support import (
    A_NAME,
    B_NAME,
    COOKIE,
    TIMEOUT,
    Client,
    Listening,
    end_of,
    eventually,
    finish,
    in_thread,
    nodes_of,
)

from beam_bpy import (
    Atom,
    DecodeError,
    EncodeError,
    ErlangError,
    ErlangExit,
    ErlangThrow,
    NodeDownError,
    Pid,
    Reference,
)
from beam_bpy.protocol import control
from beam_bpy.protocol.flags import OURS, Flag

NAMELESS = int(OURS | Flag.NAME_ME)
SHUTDOWN = (Atom("shutdown"), "why")


@pytest.fixture
def played(monkeypatch):
    """A node that the test plays; every node name leads to it."""
    with Listening() as node:
        monkeypatch.setenv("ERL_DIST_PORT", str(node.port))
        yield node


def connections(server):
    return len(nodes_of(server))


def raises(error):
    def fail(args):
        raise error

    return fail


class TestConnect:
    def test_both_sides_know_of_it(self, a, b):
        a.connect(B_NAME)

        assert nodes_of(a) == (B_NAME,)
        eventually(lambda: nodes_of(b) == (A_NAME,))

    def test_one_connection_serves_both_directions(self, a, b):
        assert a.call(B_NAME, "m", "echo", [1]) == [1]
        assert b.call(A_NAME, "m", "echo", [2]) == [2]

        assert connections(a) == connections(b) == 1

    def test_connecting_twice_is_connecting_once(self, a, b):
        a.connect(B_NAME)
        a.connect(B_NAME)
        b.connect(A_NAME)

        assert connections(a) == connections(b) == 1

    def test_many_threads_get_one_connection(self, a, b):
        threads = [in_thread(lambda: a.connect(B_NAME)) for _ in range(8)]
        for thread in threads:
            thread.join(TIMEOUT)

        assert connections(a) == 1

    def test_disconnect(self, a, b):
        a.connect(B_NAME)

        a.disconnect(B_NAME)

        eventually(lambda: nodes_of(a) == nodes_of(b) == ())
        assert a.call(B_NAME, "m", "echo", [1]) == [1]

    def test_to_disconnect_what_is_not_connected_is_nothing(self, a, b):
        a.disconnect(B_NAME)
        a.disconnect("nobody@127.0.0.1")

        assert a.call(B_NAME, "m", "echo", [1]) == [1]

    def test_who_starts_again_is_another_incarnation_and_is_called_again(self, a, b):
        b.register_handler("self", lambda args: b.register_process(None, lambda *_: None).pid)
        before = a.call(B_NAME, "m", "self")

        b.stop()
        eventually(lambda: nodes_of(a) == ())
        assert b.start()

        after = a.call(B_NAME, "m", "self")
        assert before.node == after.node
        assert before.creation != after.creation

    def test_who_calls_again_after_a_restart_is_let_in(self, a, b):
        b.connect(A_NAME)
        b.stop()
        assert b.start()

        assert b.call(A_NAME, "m", "echo", [1]) == [1]

    def test_the_connection_breaks_off_and_is_made_again(self, a, b):
        for number in range(5):
            assert a.call(B_NAME, "m", "echo", [number]) == [number]
            b.disconnect(A_NAME)
            eventually(lambda: nodes_of(a) == ())


class TestBothAtOnce:
    """Two nodes that call each other at the same time settle on one connection, and lose nothing."""

    def settle(self, a, b, action):
        barrier = threading.Barrier(2)
        results = []

        def run(server, other):
            barrier.wait(TIMEOUT)
            try:
                results.append(action(server, other))
            except Exception as error:  # noqa: BLE001 - what went wrong is shown by the assertion
                results.append(error)

        threads = [in_thread(lambda pair=pair: run(*pair)) for pair in ((a, B_NAME), (b, A_NAME))]
        for thread in threads:
            thread.join(TIMEOUT)
        return results

    def test_connects(self, a, b):
        for _ in range(50):
            assert self.settle(a, b, lambda server, other: server.connect(other)) == [None, None]
            eventually(lambda: nodes_of(a) == (B_NAME,) and nodes_of(b) == (A_NAME,))
            eventually(lambda: connections(a) == connections(b) == 1)
            a.disconnect(B_NAME)
            eventually(lambda: nodes_of(a) == nodes_of(b) == ())

    def test_calls(self, a, b):
        for number in range(50):
            got = self.settle(a, b, lambda server, other, number=number: server.call(other, "m", "echo", [number]))
            assert got == [[number], [number]]
            eventually(lambda: connections(a) == connections(b) == 1)
            (a, b)[number % 2].disconnect((B_NAME, A_NAME)[number % 2])
            eventually(lambda: nodes_of(a) == nodes_of(b) == ())

    def test_the_greater_name_goes_on(self, a, played):
        # "called@..." is smaller than "unit...": our call goes on, and its own is told so.
        waiting = in_thread(lambda: a.connect(played.name))
        wire, handshake = played.begin()

        with Client(a, played.name) as theirs:
            assert theirs.status == "nok"
            assert theirs.closed()
        with finish(wire, handshake, "ok_simultaneous"):
            waiting.join(TIMEOUT)
            assert nodes_of(a) == (played.name,)

    def test_the_smaller_name_gives_way(self, a, monkeypatch):
        with Listening("zebra@127.0.0.1") as played:
            monkeypatch.setenv("ERL_DIST_PORT", str(played.port))
            waiting = in_thread(lambda: a.connect(played.name))
            ours, _handshake = played.begin()

            with Client(a, played.name, insist="false") as theirs:
                assert theirs.status == "ok_simultaneous"
                assert ours.closed()
                theirs.answer_challenge()
                waiting.join(TIMEOUT)
                assert nodes_of(a) == (played.name,)
            ours.socket.close()

    def test_who_is_told_nok_waits_for_the_others_call(self, a, monkeypatch):
        with Listening("zebra@127.0.0.1") as played:
            monkeypatch.setenv("ERL_DIST_PORT", str(played.port))
            future = a.call_async(played.name, "m", "f")
            with played.accept("nok") as refused:
                refused.socket.close()
                with Client(a, played.name) as theirs:
                    assert theirs.status in ("ok", "ok_simultaneous")
                    if theirs.status == "ok_simultaneous":
                        theirs.answer_challenge()
                    assert isinstance(theirs.event(), control.SpawnRequest)
            assert isinstance(end_of(future), NodeDownError)

    def test_a_call_that_comes_before_ours_has_got_through_is_the_one(self, a, monkeypatch):
        # Ours waits for epmd. Were both let go on, each side could drop the connection that the other one keeps.
        with Listening() as slow_epmd:
            monkeypatch.setenv("ERL_EPMD_PORT", str(slow_epmd.port))
            future = a.call_async("called@127.0.0.1", "m", "f")
            asking, _address = slow_epmd._socket.accept()

            with Client(a, "called@127.0.0.1") as theirs:
                # Our name is the greater one: our call goes on, whatever it is about to do.
                assert theirs.status == "nok"
            asking.close()
            assert isinstance(end_of(future), NodeDownError)


class TestRefusals:
    def test_a_node_that_does_not_exist(self, a):
        with pytest.raises(NodeDownError, match="nobody"):
            a.connect("nobody@127.0.0.1")

    def test_a_host_that_is_not_known(self, a):
        with pytest.raises(NodeDownError, match=r"no-such-host\.invalid"):
            a.connect("nobody@no-such-host.invalid")

    @pytest.mark.parametrize("name", ["", "nobody", "@", "nobody@", "@127.0.0.1"])
    def test_what_is_no_node_name(self, a, name):
        with pytest.raises(NodeDownError, match="has to be name@host"):
            a.connect(name)

    def test_a_port_that_nobody_listens_on(self, a, monkeypatch):
        monkeypatch.setenv("ERL_DIST_PORT", str(free_port()))

        with pytest.raises(NodeDownError, match=r"called@127\.0\.0\.1 cannot be reached: Connection refused"):
            a.connect("called@127.0.0.1")

    def test_no_epmd_at_all(self, make, monkeypatch):
        server = make(epmd="none")
        assert server.start()

        with pytest.raises(NodeDownError, match="no epmd answers"):
            server.connect("called@127.0.0.1")

    @pytest.mark.parametrize("status", ["not_allowed", "who_are_you"])
    def test_a_node_that_does_not_want_us(self, a, played, status):
        future = a.call_async(played.name, "m", "f")
        wire, handshake = played.begin()
        if status == "not_allowed":
            handshake.answer(status)
            wire.socket.sendall(handshake.take_output())
        else:
            wire.socket.sendall(len(b"s" + status.encode()).to_bytes(2) + b"s" + status.encode())

        error = end_of(future)

        assert isinstance(error, NodeDownError)
        assert "called@127.0.0.1 does not allow this node to connect" in str(error)
        wire.socket.close()

    def test_a_node_that_says_alive_is_insisted_on(self, a, played):
        waiting = in_thread(lambda: a.connect(played.name))

        with played.accept("alive"):
            waiting.join(TIMEOUT)
            assert nodes_of(a) == (played.name,)

    def test_another_node_at_that_address(self, a, played):
        future = a.call_async("other@127.0.0.1", "m", "f")

        with played.accept():
            assert "the node at that address is called@127.0.0.1, not other@127.0.0.1" in str(end_of(future))

    def test_our_own_name(self, a):
        assert a.ping(A_NAME) is True

    def test_a_node_with_another_cookie(self, a, make, caplog):
        other = make(B_NAME, cookie="another-cookie")
        assert other.start()

        with pytest.raises(NodeDownError) as caught:
            a.connect(B_NAME)

        assert nodes_of(a) == nodes_of(other) == ()
        assert "another-cookie" not in caplog.text + str(caught.value)
        assert COOKIE not in caplog.text + str(caught.value)
        # The message must name the node and the setting to check.
        assert B_NAME in str(caught.value)
        assert "cookie" in str(caught.value)

    def test_a_node_that_hangs_up_is_named(self, a, played):
        future = a.call_async(played.name, "m", "f")
        wire, _handshake = played.begin()

        wire.socket.close()

        error = end_of(future)
        assert isinstance(error, NodeDownError)
        assert played.name in str(error)

    def test_nothing_is_called_by_a_server_that_does_not_run(self, make):
        server = make()

        for call in (
            lambda: server.connect(B_NAME),
            lambda: server.call(B_NAME, "m", "f"),
            lambda: server.cast(B_NAME, "m", "f"),
            lambda: server.send(("name", B_NAME), 1),
            lambda: server.ping(B_NAME),
            lambda: server.monitor(B_NAME, print),
            lambda: server.register_process("name", print),
            lambda: server.disconnect(B_NAME),
        ):
            with pytest.raises(RuntimeError, match="start the server"):
                call()


class TestPing:
    def test_a_node_that_answers(self, a, b):
        assert a.ping(B_NAME) is True
        assert b.ping(A_NAME) is True

    @pytest.mark.parametrize("name", ["nobody@127.0.0.1", "nobody@no-such-host.invalid", "nobody"])
    def test_a_node_that_cannot_be_reached(self, a, name):
        assert a.ping(name) is False

    def test_a_node_that_says_nothing(self, a, played):
        answer = []
        asking = in_thread(lambda: answer.append(a.ping(played.name, timeout=0.2)))

        with played.accept() as wire:
            asked = wire.event()
            asking.join(TIMEOUT)

        assert (asked.to, asked.payload[0], asked.payload[2]) == ("net_kernel", "$gen_call", ("is_auth", A_NAME))
        assert answer == [False]

    @pytest.mark.parametrize(("answer", "expected"), [(Atom("yes"), True), (Atom("no"), False), ("yes?", False)])
    def test_what_it_answers_counts(self, a, played, answer, expected):
        answers = []
        asking = in_thread(lambda: answers.append(a.ping(played.name)))

        with played.accept() as wire:
            pid, tag = wire.event().payload[1]
            wire.tell((22, wire.pid, pid), (wire.ref(), Atom("yes")))
            wire.tell((22, wire.pid, pid), "no answer at all")
            wire.tell((22, wire.pid, pid), (tag, answer))
            asking.join(TIMEOUT)

        assert answers == [expected]


class TestCall:
    def test_values(self, a, b):
        value = [1, 2.5, "text", b"\xff", Atom("atom"), None, True, (1, (2,)), {"key": [Atom("value")]}]

        assert a.call(B_NAME, "m", "echo", value) == value

    def test_no_arguments(self, a, b):
        assert a.call(B_NAME, "m", "echo") == []

    def test_a_handler_bound_to_a_module(self, a, b):
        b.register_handler("where", lambda args: "there", module="Elixir.There")

        assert a.call(B_NAME, "Elixir.There", "where") == "there"
        with pytest.raises(ErlangError):
            a.call(B_NAME, "Elixir.Elsewhere", "where")

    @pytest.mark.parametrize(("binaries", "type_"), [(str, str), (bytes, bytes), (memoryview, memoryview)])
    def test_binaries_arrive_as_asked_for(self, a, b, binaries, type_):
        [got] = a.call(B_NAME, "m", "echo", ["text"], binaries=binaries)

        assert type(got) is type_

    def test_numbers_arrive_as_arrays_if_asked_for(self, a, b):
        [got] = a.call(B_NAME, "m", "echo", [[0.5] * 500], arrays=True)

        assert got.tolist() == [0.5] * 500

    def test_a_registered_type_may_be_an_argument(self, a, b):
        a.encoder.register(complex, lambda number: (number.real, number.imag))

        assert a.call(B_NAME, "m", "echo", [complex(1, 2)]) == [(1.0, 2.0)]

    def test_an_argument_without_a_term_is_said_at_once(self, a, b):
        with pytest.raises(EncodeError, match="cannot encode"):
            a.call_async(B_NAME, "m", "echo", [object()])

    def test_undef(self, a, b):
        with pytest.raises(ErlangError) as caught:
            a.call(B_NAME, "some_module", "missing", [1, 2])

        assert caught.value.reason == Atom("undef")
        assert caught.value.stack == [(Atom("some_module"), Atom("missing"), [1, 2], [])]

    @pytest.mark.parametrize("reason", [Atom("badarg"), SHUTDOWN, "text", [1]])
    def test_an_error_comes_back_as_it_was_raised(self, a, b, reason):
        b.register_handler("fail", raises(ErlangError(reason)))

        with pytest.raises(ErlangError) as caught:
            a.call(B_NAME, "m", "fail", [1])

        assert caught.value.reason == reason
        assert caught.value.stack == [(Atom("m"), Atom("fail"), 1, [])]

    def test_an_exit_comes_back_as_it_was_raised(self, a, b):
        b.register_handler("fail", raises(ErlangExit(SHUTDOWN)))

        with pytest.raises(ErlangExit) as caught:
            a.call(B_NAME, "m", "fail")

        assert caught.value.reason == SHUTDOWN

    def test_a_throw_comes_back_as_it_was_raised(self, a, b):
        b.register_handler("fail", raises(ErlangThrow({"a": 1})))

        with pytest.raises(ErlangThrow) as caught:
            a.call(B_NAME, "m", "fail")

        assert caught.value.value == {"a": 1}

    def test_a_python_exception_is_an_error_with_its_text(self, a, b):
        b.register_handler("fail", raises(ValueError("no such crate")))

        with pytest.raises(ErlangError) as caught:
            a.call(B_NAME, "m", "fail")

        tag, details = caught.value.reason
        assert (tag, details["type"], details["message"]) == (Atom("python_error"), "ValueError", "no such crate")

    def test_a_future(self, a, b):
        futures = [a.call_async(B_NAME, "m", "echo", [number]) for number in range(100)]

        assert [future.result(TIMEOUT) for future in futures] == [[number] for number in range(100)]

    def test_a_large_value_there_and_back_lets_small_ones_pass(self, a, b):
        large = bytes(range(256)) * 40_000
        a.register_handler("small", lambda args: args, inline=True)
        b.register_handler("small", lambda args: args, inline=True)

        future = a.call_async(B_NAME, "m", "echo", [large], binaries=bytes)
        assert b.call(A_NAME, "m", "small", [1]) == [1]

        assert future.result(TIMEOUT) == [large]

    def test_a_small_call_does_not_wait_behind_a_large_one(self, a, played):
        # Two calls are two processes on the BEAM: nothing says that one has to arrive before the other.
        large = a.call_async(played.name, "m", "large", [bytes(30_000_000)])
        with played.accept() as wire:
            small = a.call_async(played.name, "m", "small", [])
            first, second = wire.event(), wire.event()

            assert [event.payload[2] for event in (first, second)] == ["small", "large"]
        assert isinstance(end_of(small), NodeDownError)
        assert isinstance(end_of(large), NodeDownError)

    def test_the_network_thread_cannot_wait_for_itself(self, a, b):
        b.register_handler("wait", lambda args: b.call(A_NAME, "m", "echo", []), inline=True)

        with pytest.raises(ErlangError) as caught:
            a.call(B_NAME, "m", "wait")

        assert "call_async" in caught.value.reason[1]["message"]

    def test_a_handler_may_call_back(self, a, b):
        a.register_handler("inner", lambda args: "inner", inline=True)
        b.register_handler("outer", lambda args: b.call(A_NAME, "m", "inner"))

        assert a.call(B_NAME, "m", "outer") == "inner"


class TestPlayedCalls:
    """An outgoing call as the called node sees it, and the effect of its answers."""

    def ask(self, a, played, **options):
        future = a.call_async(played.name, "Elixir.Mod", "fun", [1, "two"], **options)
        wire = played.accept()
        return future, wire, wire.event()

    def answer(self, wire, request, reason):
        wire.tell((28, wire.pid, request.sender, request.ref), reason)

    def test_the_request(self, a, played):
        future, wire, request = self.ask(a, played)
        with wire:
            assert (request.module, request.function, request.arity) == ("erpc", "execute_call", 4)
            assert request.options == [Atom("monitor")]
            assert request.group_leader == request.sender
            assert request.payload[1:] == [Atom("Elixir.Mod"), Atom("fun"), [1, "two"]]
        assert isinstance(end_of(future), NodeDownError)

    @pytest.mark.parametrize("replied", [True, False])
    @pytest.mark.parametrize(
        ("rest", "error", "term"),
        [
            ((Atom("throw"), 1), ErlangThrow, 1),
            ((Atom("exit"), SHUTDOWN), ErlangExit, SHUTDOWN),
            ((Atom("error"), Atom("badarg"), [("m", "f", 1, [])]), ErlangError, Atom("badarg")),
            ((Atom("error"), Atom("undef")), ErlangError, Atom("undef")),
        ],
    )
    def test_each_class_of_exception(self, a, played, rest, error, term, replied):
        future, wire, request = self.ask(a, played)
        with wire:
            if replied:
                wire.tell((31, request.ref, request.sender, 2, wire.pid))
            self.answer(wire, request, (request.payload[0], *rest))
            caught = end_of(future)

        assert type(caught) is error
        assert caught.term == term
        assert caught.stack == (rest[2] if len(rest) == 3 else [])

    def test_the_end_of_the_process_that_ran_it_is_an_exit(self, a, played):
        future, wire, request = self.ask(a, played)
        with wire:
            self.answer(wire, request, Atom("killed"))
            caught = end_of(future)

        assert type(caught) is ErlangExit
        assert caught.reason == Atom("killed")

    def test_an_answer_to_another_call_is_no_value(self, a, played):
        future, wire, request = self.ask(a, played)
        with wire:
            self.answer(wire, request, (wire.ref(), Atom("return"), "forged"))
            caught = end_of(future)

        assert type(caught) is ErlangExit

    @pytest.mark.parametrize("why", ["notsup", "badopt", "system_limit"])
    def test_a_node_that_cannot_spawn_says_why(self, a, played, why):
        future, wire, request = self.ask(a, played)
        with wire:
            wire.tell((31, request.ref, request.sender, 0, Atom(why)))
            caught = end_of(future)

        assert type(caught) is ErlangError
        assert caught.reason == Atom(why)

    def test_a_node_that_dies_is_down(self, a, played):
        future, wire, request = self.ask(a, played)
        wire.tell((31, request.ref, request.sender, 2, wire.pid))

        wire.socket.close()

        caught = end_of(future)
        assert isinstance(caught, NodeDownError)
        assert played.name in str(caught)

    def test_a_value_that_cannot_be_decoded_is_an_error_of_this_call(self, a, played):
        future, wire, request = self.ask(a, played)
        with wire:
            wire.tell((28, wire.pid, request.sender, request.ref), None)
            later, others = self.second(a, played, wire)
            assert type(end_of(future)) is DecodeError
            self.answer(wire, others, (others.payload[0], Atom("return"), 42))
            assert later.result(TIMEOUT) == 42

    def second(self, a, played, wire):
        later = a.call_async(played.name, "m", "f")
        return later, wire.event()

    def test_a_timeout_takes_the_monitor_back_and_drops_the_late_answer(self, a, played):
        errors = []

        def call():
            try:
                a.call(played.name, "m", "f", timeout=0.2)
            except TimeoutError as error:
                errors.append(str(error))

        calling = in_thread(call)
        with played.accept() as wire:
            request = wire.event()
            wire.tell((31, request.ref, request.sender, 2, wire.pid))
            assert wire.event() == control.Demonitor(request.sender, wire.pid, request.ref)
            calling.join(TIMEOUT)
            self.answer(wire, request, (request.payload[0], Atom("return"), "late"))
            later, others = self.second(a, played, wire)
            self.answer(wire, others, (others.payload[0], Atom("return"), "in time"))
            assert later.result(TIMEOUT) == "in time"

        assert errors == ["no answer within 0.2 seconds"]

    def test_a_call_given_up_before_it_has_begun_is_taken_back_once_it_has(self, a, played):
        future, wire, request = self.ask(a, played)
        with wire:
            assert future.cancel()
            wire.tell((31, request.ref, request.sender, 2, wire.pid))

            assert wire.event() == control.Demonitor(request.sender, wire.pid, request.ref)

    def test_a_call_given_up_before_there_is_a_connection_is_not_made(self, a, played):
        given_up = a.call_async(played.name, "m", "given_up")
        assert given_up.cancel()
        future = a.call_async(played.name, "m", "wanted")

        with played.accept() as wire:
            assert wire.event().payload[2] == "wanted"
        assert isinstance(end_of(future), NodeDownError)

    def test_a_connect_that_was_given_up_harms_no_connection(self, a, played):
        with pytest.raises(TimeoutError):
            a.connect(played.name, timeout=0.01)
        future = a.call_async(played.name, "m", "f")

        with played.accept() as wire:
            request = wire.event()
            self.answer(wire, request, (request.payload[0], Atom("return"), 42))
            assert future.result(TIMEOUT) == 42

    def test_a_connect_that_was_given_up_hides_no_failure(self, a, played):
        with pytest.raises(TimeoutError):
            a.connect(played.name, timeout=0.01)
        future = a.call_async(played.name, "m", "f")

        with played.accept("not_allowed"):
            assert isinstance(end_of(future), NodeDownError)

    def test_what_waits_for_a_connection_is_sent_in_its_order(self, a, played):
        pid = Pid(played.name, 77, 0, 5)
        for number in range(10):
            a.send(pid, number)
            a.cast(played.name, "m", f"f{number}")

        with played.accept() as wire:
            events = [wire.event() for _ in range(20)]

        assert [event.payload for event in events[::2]] == list(range(10))
        assert [event.payload[1] for event in events[1::2]] == [f"f{number}" for number in range(10)]


class TestTheEndOfAServer:
    def test_calls_that_wait_fail(self, a, b):
        leave, entered = threading.Event(), threading.Event()
        b.register_handler("slow", lambda args: (entered.set(), leave.wait(TIMEOUT)))
        running = a.call_async(B_NAME, "m", "slow")
        assert entered.wait(TIMEOUT)
        waiting = a.call_async(B_NAME, "m", "slow")

        stopper = in_thread(b.stop)
        eventually(lambda: b._stopping is not None and b._stopping.done.is_set())
        leave.set()
        error = end_of(waiting)
        stopper.join(TIMEOUT)

        assert running.result(TIMEOUT) == (None, True)
        assert isinstance(error, NodeDownError)
        assert B_NAME in str(error)

    def test_its_own_calls_fail(self, a, b):
        leave, entered = threading.Event(), threading.Event()
        b.register_handler("slow", lambda args: (entered.set(), leave.wait(TIMEOUT)))
        future = a.call_async(B_NAME, "m", "slow")
        assert entered.wait(TIMEOUT)

        a.stop()

        leave.set()
        assert isinstance(end_of(future), NodeDownError)

    def test_calls_that_have_no_connection_yet_fail(self, a, played):
        future = a.call_async(played.name, "m", "f")
        wire, _handshake = played.begin()

        a.stop()

        assert isinstance(end_of(future), NodeDownError)
        wire.socket.close()

    def test_a_ping_that_waits_is_answered(self, a, played):
        answers = []
        asking = in_thread(lambda: answers.append(a.ping(played.name)))

        with played.accept() as wire:
            wire.event()
            a.stop()
            asking.join(TIMEOUT)

        assert answers == [False]

    def test_a_call_the_server_could_not_finish_can_be_made_after_a_restart(self, a, b):
        b.stop()
        with pytest.raises(NodeDownError):
            a.call(B_NAME, "m", "echo", [1])

        assert b.start()

        assert a.call(B_NAME, "m", "echo", [1]) == [1]


class TestCast:
    def test_it_runs_and_is_not_answered(self, a, b):
        ran = concurrent.futures.Future()
        b.register_handler("note", ran.set_result)

        assert a.cast(B_NAME, "m", "note", [1, 2]) is None

        assert ran.result(TIMEOUT) == [1, 2]

    def test_to_nowhere_it_is_nothing(self, a):
        a.cast("nobody@127.0.0.1", "m", "f")

        assert a.ping("nobody@127.0.0.1") is False


class TestSend:
    def test_to_a_pid_and_to_a_name(self, a, b):
        got = concurrent.futures.Future()
        messages = []

        def receive(process, message):
            messages.append(message)
            if len(messages) == 3:
                got.set_result(messages)

        process = b.register_process("mailbox", receive)
        a.send(process.pid, "to the pid")
        a.send(("mailbox", B_NAME), ("to", Atom("the name")))
        a.send((Atom("mailbox"), Atom(B_NAME)), {"again": 1})

        assert got.result(TIMEOUT) == ["to the pid", ("to", Atom("the name")), {"again": 1}]

    def test_to_an_alias(self, a, played):
        alias = Reference(played.name, 5, (1, 2, 3))

        a.send(alias, "to the alias")

        with played.accept() as wire:
            assert wire.event()[1:] == (alias, "to the alias")

    def test_to_a_process_of_this_very_node(self, a):
        got = concurrent.futures.Future()
        process = a.register_process("mailbox", lambda process, message: got.set_result(message))

        a.send(process.pid, "here")

        assert got.result(1.0) == "here"

    def test_to_nowhere_it_is_nothing(self, a, b):
        a.send(("nobody", B_NAME), 1)
        a.send(("nobody", "nobody@127.0.0.1"), 1)
        a.send(Pid(B_NAME, 9999, 0, 1), 1)

        assert a.call(B_NAME, "m", "echo", [1]) == [1]


class TestNamedNodes:
    """NAME_ME: nodes that say their host only, as `erl -sname undefined` does."""

    def test_each_gets_a_name_on_its_host_and_is_connected_under_it(self, a):
        with Client(a, "127.0.0.1", flags=NAMELESS) as first, Client(a, "127.0.0.1", flags=NAMELESS) as second:
            assert first.status == second.status == "named"
            assert first.call("echo", 1) == [1]
            assert second.call("echo", 2) == [2]
            assert set(nodes_of(a)) == {first.name, second.name}
            assert first.name != second.name
            assert first.name.endswith("@127.0.0.1")
            assert first.given_creation > 3

    def test_with_another_cookie_it_is_not_let_in(self, a):
        with Client(a, "127.0.0.1", cookie="another", flags=NAMELESS) as client:
            assert client.closed()

        assert nodes_of(a) == ()
