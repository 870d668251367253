"""Topics: who has subscribed, who gets what is published, and when a subscriber is forgotten."""

import threading

import pytest
from calling import CRATES, MONITOR, UNUSED, A, LocalNode, by_erpc, by_gen_server, by_rex_call, by_rex_message, erpc
from support import NAME, TIMEOUT, Caller, Client, eventually, in_thread

from beam_bpy import EncodeError, Pid
from beam_bpy.calls.subscriptions import Subscriptions
from beam_bpy.protocol import control
from vendor_term_codec import Reference

SUBSCRIBE, UNSUBSCRIBE, OK, ERROR, BADARG, UNDEF = map(
    A, ("subscribe", "unsubscribe", "ok", "error", "badarg", "undef")
)
EVENT, MISSED, NODE = A("beam_bpy_event"), A("beam_bpy_events_missed"), A("beam_bpy@127.0.0.1")


@pytest.fixture
def local():
    return LocalNode()


@pytest.fixture
def caller(local):
    return Caller(local.node)


@pytest.fixture
def events(local):
    [events] = [process for process in local.node._processes.values() if isinstance(process, Subscriptions)]
    return events


def event(topic, payload):
    return (EVENT, NODE, topic, payload)


def missed(topic, count):
    return (MISSED, NODE, topic, count)


def ask(local, caller, function, args):
    """Subscribe or unsubscribe; returns the answer and the monitors that were set or taken back."""
    caller.tell(29, ref := caller.ref(), caller.pid, caller.pid, (A("erpc"), A("execute_call"), 4), MONITOR,
                payload=[ref, CRATES, function, args])  # fmt: skip
    heard = caller.heard()
    [down] = [e for e in heard if isinstance(e, control.MonitorExit)]
    kind, value = down.reason[1:3]
    assert kind == A("return"), down.reason
    return value, [e for e in heard if isinstance(e, control.Monitor | control.Demonitor)]


def subscribe(local, caller, *args):
    value, signals = ask(local, caller, SUBSCRIBE, list(args))
    assert value == OK
    return signals


def unsubscribe(local, caller, *args):
    value, signals = ask(local, caller, UNSUBSCRIBE, list(args))
    assert value == OK
    return signals


def payloads(caller):
    return [(e.to, e.payload) for e in caller.heard()]


def other_pid(caller, number=78):
    return Pid(caller.name, number, 1, 5)


def tables(*callers):
    """How many monitors the node holds on others."""
    return sum(len(caller.peer.outgoing_monitors) for caller in callers)


class TestSubscribing:
    @pytest.mark.parametrize("topic", ["depsgraph", A("depsgraph"), list(b"depsgraph")], ids=["binary", "atom", "text"])
    def test_by_any_spelling_of_the_topic(self, local, caller, events, topic):
        [monitor] = subscribe(local, caller, topic)

        assert (monitor.target, monitor.sender) == (caller.pid, events.pid)
        assert events.publish("depsgraph", {"n": 1}) == 1
        assert payloads(caller) == [(caller.pid, event("depsgraph", {"n": 1}))]

    def test_a_topic_may_be_any_text(self, local, caller, events):
        for topic in ("", "größe/日本", "x" * 1000):
            subscribe(local, caller, topic)
            assert events.publish(topic, None) == 1
            assert payloads(caller) == [(caller.pid, event(topic, None))]

    def test_for_another_process(self, local, caller, events):
        pid = other_pid(caller)
        [monitor] = subscribe(local, caller, "t", pid)

        assert monitor.target == pid
        assert events.publish("t", 1) == 1
        assert payloads(caller) == [(pid, event("t", 1))]

    def test_for_a_process_of_another_node(self, local, caller, events):
        other = Caller(local.node, "other@127.0.0.1")
        subscribe(local, caller, "t", other.pid)
        other.heard()

        assert events.publish("t", 1) == 1
        assert payloads(other) == [(other.pid, event("t", 1))]
        assert caller.heard() == []

    @pytest.mark.parametrize("call", [by_gen_server, by_rex_call, by_rex_message])
    @pytest.mark.parametrize("whom", [[], ["pid"]])
    def test_each_way_to_call_says_who_calls(self, local, caller, events, call, whom):
        class Quiet:
            """The caller without the monitors that it hears of."""

            def __getattr__(self, name):
                return getattr(caller, name)

            def heard(self):
                return [e for e in caller.heard() if not isinstance(e, control.Monitor)]

        assert call(local, Quiet(), SUBSCRIBE, ["t", *(caller.pid for _ in whom)]) == OK
        assert events.publish("t", 1) == 1
        assert payloads(caller) == [(caller.pid, event("t", 1))]

    def test_by_spawn(self, local, caller, events):
        caller.tell(29, caller.ref(), caller.pid, caller.pid, (CRATES, SUBSCRIBE, 1), [], payload=["t"])

        assert events.count("t") == 1

    def test_a_cast_does_not_say_who_it_is(self, local, caller, events, caplog):
        for args in (["t"], ["u", caller.pid]):
            caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (SUBSCRIBE, args)))

        assert (events.count("t"), events.count("u")) == (0, 1)
        assert "a subscriber is a pid" in caplog.text

    def test_twice_is_once(self, local, caller, events):
        assert len(subscribe(local, caller, "t")) == 1
        assert subscribe(local, caller, "t") == []
        assert subscribe(local, caller, "t", caller.pid) == []

        assert (events.publish("t", 1), events.count("t"), tables(caller)) == (1, 1, 1)
        assert len(caller.heard()) == 1

    def test_several_topics_share_a_monitor(self, local, caller, events):
        signals = [signal for topic in "abc" for signal in subscribe(local, caller, topic)]

        assert (len(signals), tables(caller)) == (1, 1)
        assert [events.publish(topic, topic) for topic in "cabd"] == [1, 1, 1, 0]
        assert payloads(caller) == [(caller.pid, event(topic, topic)) for topic in "cab"]

    @pytest.mark.parametrize(
        "args",
        [
            [5],
            [1.5],
            [[]],
            [{}],
            ["t", A("shell")],
            ["t", 5],
            ["t", "pid"],
            [1, 2],
            ["t", Reference("n@h", 5, (1, 2, 3))],
        ],
    )
    @pytest.mark.parametrize("function", [SUBSCRIBE, UNSUBSCRIBE])
    def test_what_makes_no_sense_is_a_badarg(self, local, caller, function, args):
        kind, reason, _stack = erpc(local, caller, CRATES, function, args)

        assert (kind, reason[0]) == (ERROR, BADARG)

    def test_a_node_that_is_not_connected_is_a_badarg(self, local, caller, events):
        kind, reason, _stack = erpc(local, caller, CRATES, SUBSCRIBE, ["t", Pid("far@127.0.0.1", 1, 2, 3)])

        assert (kind, reason[0], events.count("t")) == (ERROR, BADARG, 0)
        assert "not connected" in reason[1]

    @pytest.mark.parametrize("args", [[], ["t", 1, 2]])
    def test_another_number_of_arguments_is_undef(self, local, caller, args):
        kind, reason, _stack = erpc(local, caller, CRATES, SUBSCRIBE, args)

        assert (kind, reason) == (ERROR, UNDEF)

    @pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
    def test_a_handler_of_that_name_wins(self, local, caller, events, name):
        local.register(name, lambda args: "mine")

        assert by_erpc(local, caller, A(name), ["t"]) == "mine"
        assert events.count("t") == 0


class TestOneThatDoesNotRead:
    """A node for which too much waits, and that is to be told later what it has missed."""

    @pytest.fixture
    def room(self, caller):
        room = threading.Event()
        caller.peer.load.writable = room.is_set
        return room

    def test_is_told_how_many_it_has_missed_and_gets_the_next_one(self, local, caller, events, room):
        for topic in "ab":
            subscribe(local, caller, topic)

        assert [events.publish(topic, n) for n, topic in enumerate("abaa")] == [0] * 4
        assert caller.heard() == []
        room.set()
        caller.peer.load.unpark_all()
        assert sorted(payloads(caller)) == [(caller.pid, missed("a", 3)), (caller.pid, missed("b", 1))]
        assert events.publish("a", 4) == 1
        assert payloads(caller) == [(caller.pid, event("a", 4))]

    def test_misses_what_comes_before_it_has_been_told(self, local, caller, events, room):
        subscribe(local, caller, "t")
        events.publish("t", 1)
        room.set()

        assert events.publish("t", 2) == 0
        caller.peer.load.unpark_all()
        assert payloads(caller) == [(caller.pid, missed("t", 2))]

    def test_is_told_at_once_when_it_has_read_meanwhile(self, local, caller, events):
        subscribe(local, caller, "t")
        rooms = iter([False, True])
        caller.peer.load.writable = lambda: next(rooms)

        assert events.publish("t", 1) == 0
        assert payloads(caller) == [(caller.pid, missed("t", 1))]

    def test_keeps_nothing_from_others(self, local, caller, events, room):
        other = Caller(local.node, "other@127.0.0.1")
        for each in (caller, other):
            subscribe(local, each, "t")

        assert events.publish("t", 1) == 1
        assert (payloads(caller), payloads(other)) == ([], [(other.pid, event("t", 1))])

    def test_and_goes_leaves_nothing_behind(self, local, caller, events, room):
        subscribe(local, caller, "t")
        events.publish("t", 1)
        caller.disconnect()
        caller.peer.load.unpark_all()

        assert events._gaps == {}
        assert events.publish("t", 2) == 0


class TestOnlyTheNewest:
    """Events that are not sent while a node has not read what came before."""

    @pytest.fixture
    def read(self, caller):
        read = threading.Event()
        caller.peer.load.all_sent = read.is_set
        return read

    def test_are_missed_while_others_wait_and_their_number_comes_before_the_next(self, local, caller, events, read):
        for topic in "ab":
            subscribe(local, caller, topic)

        assert [events.publish(topic, n, newest=True) for n, topic in enumerate("abaa")] == [0] * 4
        assert caller.heard() == []
        read.set()
        assert [events.publish(topic, n, newest=True) for n, topic in ((4, "a"), (5, "a"), (6, "b"))] == [1] * 3
        assert payloads(caller) == [
            (caller.pid, each) for each in (missed("a", 3), event("a", 4), event("a", 5), missed("b", 1), event("b", 6))
        ]

    def test_others_get_each(self, local, caller, events, read):
        other = Caller(local.node, "other@127.0.0.1")
        for each in (caller, other):
            subscribe(local, each, "t")

        assert events.publish("t", 1, newest=True) == 1
        assert (payloads(caller), payloads(other)) == ([], [(other.pid, event("t", 1))])

    def test_do_not_keep_other_events_from_being_sent(self, local, caller, events, read):
        subscribe(local, caller, "t")

        assert events.publish("t", 1, newest=True) == 0
        assert events.publish("t", 2) == 1
        assert payloads(caller) == [(caller.pid, event("t", 2))]

    @pytest.mark.parametrize("end", ["unsubscribe", "disconnect"])
    def test_leave_nothing_behind(self, local, caller, events, read, end):
        subscribe(local, caller, "t")
        events.publish("t", 1, newest=True)
        if end == "unsubscribe":
            unsubscribe(local, caller, "t")
        else:
            caller.disconnect()

        assert events._skipped == {}
        assert events.publish("t", 2, newest=True) == 0
        assert events._skipped == {}


class TestForgetting:
    def test_who_unsubscribes(self, local, caller, events):
        [monitor] = subscribe(local, caller, "t")

        [demonitor] = unsubscribe(local, caller, "t")

        assert (demonitor.ref, demonitor.target) == (monitor.ref, caller.pid)
        assert (events.publish("t", 1), events.count("t"), tables(caller)) == (0, 0, 0)
        assert caller.heard() == []

    def test_who_unsubscribes_keeps_the_other_topics(self, local, caller, events):
        subscribe(local, caller, "a")
        subscribe(local, caller, "b")

        assert unsubscribe(local, caller, "a") == []
        assert (events.count("a"), events.count("b"), tables(caller)) == (0, 1, 1)
        assert len(unsubscribe(local, caller, "b")) == 1

    def test_who_unsubscribes_keeps_the_other_processes(self, local, caller, events):
        pid = other_pid(caller)
        subscribe(local, caller, "t")
        subscribe(local, caller, "t", pid)

        unsubscribe(local, caller, "t")

        assert events.publish("t", 1) == 1
        assert payloads(caller) == [(pid, event("t", 1))]

    def test_who_never_subscribed(self, local, caller, events):
        assert unsubscribe(local, caller, "t") == []
        subscribe(local, caller, "t")
        assert unsubscribe(local, caller, "other") == []
        assert events.count("t") == 1

    def test_who_unsubscribes_may_come_back(self, local, caller, events):
        [old] = subscribe(local, caller, "t")
        unsubscribe(local, caller, "t")
        [new] = subscribe(local, caller, "t")

        assert new.ref != old.ref
        caller.tell(21, caller.pid, events.pid, old.ref, A("killed"))  # It crossed our demonitor.
        assert events.count("t") == 1

    def test_a_process_that_has_ended(self, local, caller, events):
        [monitor] = subscribe(local, caller, "a")
        subscribe(local, caller, "b")
        subscribe(local, caller, "a", other_pid(caller))
        caller.heard()

        caller.tell(21, caller.pid, events.pid, monitor.ref, A("killed"))

        assert (events.count("a"), events.count("b"), tables(caller)) == (1, 0, 1)
        assert caller.heard() == []

    def test_a_node_that_is_gone(self, local, caller, events):
        other = Caller(local.node, "other@127.0.0.1")
        subscribe(local, caller, "t")
        subscribe(local, other, "t")

        caller.disconnect()

        assert (events.count("t"), tables(caller, other), len(events.monitors)) == (1, 1, 1)
        assert events.publish("t", 1) == 1

    def test_a_node_that_comes_back_may_subscribe_again(self, local, caller, events):
        subscribe(local, caller, "t")
        caller.disconnect()
        again = Caller(local.node)

        subscribe(local, again, "t")

        assert (events.count("t"), events.publish("t", 1)) == (1, 1)
        assert len(again.heard()) == 1

    def test_nothing_is_kept_of_a_topic_without_subscribers(self, local, caller, events):
        subscribe(local, caller, "t")
        unsubscribe(local, caller, "t")

        assert (events._topics, events._subscribers) == ({}, {})

    @pytest.mark.parametrize("reason", [A("kill"), A("shutdown")])
    def test_nobody_ends_the_process_that_events_come_from(self, local, caller, events, reason):
        [monitor] = subscribe(local, caller, "t")

        caller.tell(8, caller.pid, events.pid, reason)
        caller.tell(1, caller.pid, events.pid)
        caller.tell(3, caller.pid, events.pid, reason)

        assert (events.alive, tables(caller)) == (True, 1)
        caller.tell(21, caller.pid, events.pid, monitor.ref, A("killed"))
        assert events.count("t") == 0


class TestPublishing:
    def test_to_nobody_makes_no_term(self, events):
        assert events.publish("t", object()) == 0

    def test_what_has_no_term_is_an_error_and_nobody_hears(self, local, caller, events):
        subscribe(local, caller, "t")

        with pytest.raises(EncodeError):
            events.publish("t", object())

        assert caller.heard() == []
        assert events.publish("t", 1) == 1

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            True,
            0,
            -(2**70),
            1.5,
            "größe",
            b"\xff",
            A("atom"),
            (1, "two"),
            [],
            [1, 2, 3],
            {"a": [1]},
            [1.5] * 1000,
        ],
    )
    def test_any_term(self, local, caller, events, payload):
        subscribe(local, caller, "t")

        events.publish("t", payload)

        assert payloads(caller) == [(caller.pid, event("t", payload))]

    def test_a_registered_type(self, local, caller, events):
        local.encoder.register(complex, lambda value: (value.real, value.imag))
        subscribe(local, caller, "t")

        events.publish("t", 1 + 2j)

        assert payloads(caller) == [(caller.pid, event("t", (1.0, 2.0)))]

    def test_the_payload_is_encoded_once(self, local, caller, events):
        encoded = []
        local.encoder.register(complex, lambda value: encoded.append(value) or 1)
        for number in range(5):
            subscribe(local, caller, "t", other_pid(caller, number))

        assert (events.publish("t", 1j), len(encoded)) == (5, 1)

    def test_one_sender_so_that_they_arrive_in_order(self, local, caller, events):
        subscribe(local, caller, "t")
        for number in range(3):
            events.publish("t", number)

        assert set(caller.senders()) == {events.pid}
        assert [payload[3] for _to, payload in payloads(caller)] == [0, 1, 2]

    def test_from_several_threads(self, local, caller, events):
        subscribe(local, caller, "t")
        threads = [in_thread(lambda n=n: [events.publish("t", (n, i)) for i in range(200)]) for n in range(4)]
        pids = [other_pid(caller, number) for number in range(100, 150)]
        for pid in pids:
            come_and_go(events, pid)
        for thread in threads:
            thread.join(TIMEOUT)

        mine = [
            p[3]
            for to, p in ((e.to, e.payload) for e in caller.heard() if isinstance(e, control.Send))
            if to == caller.pid
        ]
        for n in range(4):
            assert [i for who, i in mine if who == n] == list(range(200))
        assert events.count("t") == 1


def come_and_go(events, pid):
    events.subscribe("t", pid)
    events.unsubscribe("t", pid)


class TestServer:
    def test_before_it_runs_and_when_it_has_stopped(self, make):
        server = make()
        assert (server.publish("t", object()), server.subscribers("t")) == (0, 0)
        assert server.start(), server.last_error
        assert (server.publish("t", object()), server.subscribers("t")) == (0, 0)
        server.stop()
        assert (server.publish("t", object()), server.subscribers("t")) == (0, 0)

    def test_one_that_starts_again_has_no_subscribers(self, server):
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            subscribed(client, "t")
        server.stop()
        assert server.start(), server.last_error

        assert (server.publish("t", object()), server.subscribers("t")) == (0, 0)

    def test_over_a_socket(self, server):
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            subscribed(client, "t")

            assert (server.subscribers("t"), server.publish("t", [1, "x"])) == (1, 1)
            assert client.event().payload == (EVENT, A(server.node_name), "t", [1, "x"])
        eventually(lambda: server.subscribers("t") == 0)
        assert server.publish("t", object()) == 0

    @pytest.mark.parametrize("inline", [False, True])
    def test_a_handler_may_publish(self, server, inline):
        server.register_handler("tell", lambda args: server.publish("t", args[0]), inline=inline)
        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            subscribed(client, "t")
            client.tell(*client.erpc("tell", [A("news")]))
            heard = [client.event(), client.event(), client.event()]

        [event] = [e for e in heard if isinstance(e, control.Send)]
        assert event.payload[2:] == ("t", A("news"))

    def test_while_it_stops_it_raises_nothing(self, server):
        done, problems = threading.Event(), []

        def publish():
            while not done.is_set():
                try:
                    server.publish("t", 1)
                except Exception as error:  # noqa: BLE001 - the test shows it
                    problems.append(error)
                    return

        with Client(server) as client:
            client.socket.settimeout(TIMEOUT)
            subscribed(client, "t")
            thread = in_thread(publish)
            server.stop()
            done.set()
            thread.join(TIMEOUT)

        assert problems == []

    def test_a_python_process_elsewhere_subscribes(self, server, make):
        other = make(f"{NAME}other")
        assert other.start(), other.last_error
        messages, arrived = [], threading.Event()
        process = other.register_process(None, lambda process, message: (messages.append(message), arrived.set()))

        assert other.call(server.node_name, "m", "subscribe", ["t", process.pid]) == "ok"
        assert server.publish("t", 5) == 1
        assert arrived.wait(TIMEOUT)
        assert messages == [(EVENT, A(server.node_name), "t", 5)]

        process.exit()
        eventually(lambda: server.subscribers("t") == 0)

    def test_a_python_process_of_its_own_subscribes(self, server):
        messages, arrived = [], threading.Event()
        process = server.register_process(None, lambda process, message: (messages.append(message), arrived.set()))

        assert server.call(server.node_name, "m", "subscribe", ["t", process.pid]) == "ok"
        assert server.publish("t", 5) == 1
        assert arrived.wait(TIMEOUT)
        assert messages == [(EVENT, A(server.node_name), "t", 5)]

        process.exit()
        eventually(lambda: server.subscribers("t") == 0)


def subscribed(client, topic):
    """Subscribe, and hear of the monitor."""
    client.ask("subscribe", [topic])
    heard = [client.event(), client.event()]
    assert {type(event) for event in heard} == {control.Monitor, control.MonitorExit}
