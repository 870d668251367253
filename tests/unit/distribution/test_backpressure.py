"""How much others may take: before they have proved anything, and after."""

import os
import socket
import struct
import threading

import pytest
from support import (
    COOKIE,
    TIMEOUT,
    Client,
    connections_of,
    eventually,
    headed,
    hung_up,
    is_paused,
    pending_of,
    send_name,
)

from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.dispatch.runnable import Runnable
from beam_bpy.dispatch.worker import Worker
from beam_bpy.distribution import backpressure
from beam_bpy.distribution.load import Load
from beam_bpy.limits import Limits
from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.flags import OURS, Flag
from beam_bpy.protocol.fragments import Reassembler
from beam_bpy.protocol.framing import FrameReader, framed
from beam_bpy.protocol.handshake import Acceptor, HandshakeError
from beam_bpy.transport.addresses import network_of
from beam_bpy.transport.refusal_log import RefusalLog
from vendor_term_codec import Atom

FIRST, NEXT = 69, 70


def start(make, **limits):
    server = make(limits=Limits(**limits))
    assert server.start(), server.last_error
    return server


def knock(server):
    sock = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    sock.settimeout(TIMEOUT)
    return sock


class TestLimits:
    @pytest.mark.parametrize("name", Limits.__slots__)
    def test_each_is_above_0(self, name):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: 0})

    def test_a_load_counts_from_several_threads(self):
        load = Load()
        for _ in range(4000):
            load.begin()
        threads = [threading.Thread(target=lambda: [load.end() for _ in range(1000)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert load.in_flight == 1000

    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("nonsense", "nonsense"),
        ],
    )
    def test_whom_an_address_stands_for(self, address, network):
        assert network_of(address) == network


class Queued(Runnable):
    """A call that notes that it has run, and whose answer takes the room there is."""

    def __init__(self, load, room, ran, number):
        self.load, self._room, self._ran, self._number = load, room, ran, number

    def run(self):
        self._ran.append(self._number)
        self._room.clear()
        return False

    def close(self):
        self._ran.append(f"{self._number} closed")


class TestParked:
    """Calls of a peer that does not read what it is sent; `room` is set when it has."""

    @pytest.fixture
    def room(self):
        room = threading.Event()
        room.set()
        return room

    @pytest.fixture
    def looked(self):
        return []

    @pytest.fixture
    def load(self, room, looked):
        load = Load()
        load.writable = room.is_set
        load.parked = lambda: looked.append(True)
        return load

    def test_they_run_when_it_has_read_in_their_order_and_before_later_ones(self, load, room, looked):
        calls, ran = CallQueue(), []
        for number in range(4):
            calls.put(Queued(load, room, ran, number))
        calls.put(Queued(Load(), threading.Event(), ran, "another's"))
        calls.drain(TIMEOUT)
        assert ran == [0, "another's"]
        assert len(looked) == 3
        assert load.in_flight == 3

        calls.put(Queued(load, room, ran, 4))
        for number in range(1, 5):
            room.set()
            load.unpark_all()
            assert calls.wait(0.0)
            calls.drain(TIMEOUT)
            assert ran[2:] == list(range(1, number + 1))
        assert load.in_flight == 0

    def test_none_passes_those_that_wait_for_room(self, load, room):
        calls, ran = CallQueue(), []
        for number in range(2):
            calls.put(Queued(load, room, ran, number))
        calls.drain(TIMEOUT)
        room.set()
        calls.put(Queued(load, room, ran, 2))
        calls.drain(TIMEOUT)
        assert ran == [0]

        load.unpark_all()
        calls.drain(TIMEOUT)
        assert ran == [0, 1]

    def test_whoever_waits_for_calls_is_woken(self, load, room):
        calls, ran = CallQueue(), []
        for number in range(2):
            calls.put(Queued(load, room, ran, number))
        worker = Worker(calls)
        try:
            eventually(lambda: ran == [0] and not len(calls))
            room.set()
            load.unpark_all()
            eventually(lambda: ran == [0, 1])
        finally:
            worker.stop()

    def test_they_are_closed_with_the_queue(self, load, room):
        calls, ran = CallQueue(), []
        for number in range(2):
            calls.put(Queued(load, room, ran, number))
        calls.drain(TIMEOUT)
        load.unpark_all()
        calls.close()
        assert ran == [0, "1 closed"]
        assert load.in_flight == 0


class TestRefusalLog:
    @pytest.fixture
    def later(self):
        return []

    @pytest.fixture
    def refusals(self, later):
        class Clock:
            def call_later(self, delay, callback):
                later.append(callback)

        return RefusalLog(Clock(), "connection")

    def test_a_thousand_of_one_address_are_two_lines(self, refusals, later, caplog):
        for number in range(1000):
            refusals.refused("10.0.0.1", f"reason {number}")
        refusals.refused("10.0.0.2", "another")
        for callback in later:
            callback()

        assert [record.getMessage() for record in caplog.records] == [
            "a connection from 10.0.0.1 was refused: reason 0",
            "a connection from 10.0.0.2 was refused: another",
            "999 more connections from 10.0.0.1 were refused within 60 seconds",
        ]

    def test_after_that_it_begins_anew(self, refusals, later, caplog):
        refusals.refused("10.0.0.1", "first")
        later.pop()()
        refusals.refused("10.0.0.1", "second")

        assert len(caplog.records) == 2

    def test_many_addresses_take_no_more_memory_than_a_thousand(self, refusals, later):
        for number in range(5000):
            refusals.refused(f"10.0.{number // 256}.{number % 256}", "scan")

        assert len(later) == 1001


class TestHalfOpen:
    @pytest.mark.parametrize("limit", ["max_half_open_per_address", "max_half_open"])
    def test_the_oldest_makes_room(self, make, limit):
        server = start(make, **{limit: 3})
        waiting = [knock(server) for _ in range(4)]
        try:
            assert hung_up(waiting[0])
            with Client(server) as client:
                assert client.call("echo", 1) == [1]
        finally:
            for sock in waiting:
                sock.close()

    def test_who_is_in_stays_in_and_one_more_is_refused(self, make, caplog):
        server = start(make, max_connections=1)

        with Client(server) as client:
            with knock(server) as other:
                assert hung_up(other)
            assert client.call("echo", 1) == [1]
        eventually(lambda: "the limit" in caplog.text)

    def test_nothing_is_made_for_a_peer_before_its_digest_is_right(self, server):
        with knock(server) as sock:
            sock.sendall(send_name())
            assert sock.recv(3) == b"\0\3s"
            (pending,) = pending_of(server)
            assert len(pending.get_buffer()) < 1024

    def test_flags_that_anybody_can_choose_are_not_kept(self):
        before = len(Flag._value2member_map_)
        for number in range(2000):
            junk = number << 40 | int(OURS)
            Acceptor("a@b", 1, OURS, COOKIE, 1).receive(send_name(flags=junk))
            with pytest.raises(HandshakeError):
                Acceptor("a@b", 1, OURS, COOKIE, 1).receive(send_name(flags=number))

        assert len(Flag._value2member_map_) - before < 10


class TestSizes:
    def test_a_promise_takes_no_memory(self):
        reader = FrameReader()
        reader.feed((1 << 30).to_bytes(4) + b"x")

        assert len(reader._large) <= 16 << 20

    def test_memory_follows_what_comes(self):
        body = os.urandom(1 << 20) * 40

        assert FrameReader().feed(framed(body) + framed(b"next")) == [body, b"next"]

    def test_the_largest_message_is_the_limits(self, make, caplog):
        caplog.set_level("INFO", logger="beam_bpy")
        server = start(make, max_frame=10_000)

        with Client(server) as client:
            assert client.call("echo", "x" * 9000) == ["x" * 9000]
            client.socket.sendall((10_001).to_bytes(4))
            assert client.closed()
        eventually(lambda: "longer than the limit of 10000" in caplog.text)

    def test_messages_that_are_not_complete_are_limited_together(self):
        reassembler = Reassembler(max_message=1000)

        def piece(kind, sequence, number):
            return struct.pack(">BBQQ", 131, kind, sequence, number) + bytes(300)

        for sequence in range(3):
            assert reassembler.add(piece(FIRST, sequence, 3)) is None
            assert reassembler.add(piece(NEXT, sequence, 2)) is None
        with pytest.raises(ProtocolError, match="incomplete messages"):
            reassembler.add(piece(FIRST, 3, 3))


class TestUnread:
    def fill(self, client, count):
        """Call so often, and read nothing."""
        for _ in range(count):
            client.tell(*client.erpc("zeros", [500_000]))

    def test_a_peer_that_reads_nothing_is_not_read_from_and_loses_nothing(self, make):
        server = start(make, max_unsent=1_000_000)
        calls = []
        server.register_handler("zeros", lambda args: calls.append(1) or bytes(args[0]), inline=True)

        with Client(server) as greedy, Client(server, "other@127.0.0.1") as other:
            self.fill(greedy, 200)
            assert other.call("echo", 1) == [1]
            # No call is handled beyond what fills the kernel's buffers and the limit.
            assert len(calls) < 100
            ends = 0
            while ends < 200:
                ends += hasattr(greedy.event(), "reason")
            assert len(calls) == 200

    def test_one_that_never_reads_is_disconnected_and_the_others_do_not_notice(self, make, caplog):
        caplog.set_level("INFO", logger="beam_bpy")
        server = make(limits=Limits(max_unsent=1_000_000, stalled_peer_timeout=0.2), tick_time=0.4)
        server.register_handler("zeros", lambda args: bytes(args[0]), inline=True)
        assert server.start(), server.last_error

        with Client(server) as greedy:
            self.fill(greedy, 100)
            eventually(lambda: "it has read nothing for" in caplog.text)
            assert greedy.closed()
        with Client(server, "other@127.0.0.1") as other:
            assert other.call("echo", 1) == [1]


class TestTurns:
    """A peer that sends much at once shares the network thread with the others."""

    @pytest.fixture(autouse=True)
    def _shortest_turns(self, monkeypatch):
        for name in ("TURN", "SHORT_TURN"):
            monkeypatch.setattr(backpressure, name, 0.0)

    def burst(self, client, function, count):
        """Send many casts in one write."""
        casts = [
            headed((6, client.pid, Atom(""), Atom("beam_bpy")), (Atom("$gen_cast"), (Atom(function), number)))
            for number in range(count)
        ]
        client.socket.sendall(b"".join(framed(cast) for cast in casts))

    def test_others_are_served_between_two_messages_of_a_burst(self, make):
        server = start(make)
        noted, entered, gate = [], threading.Event(), threading.Event()

        def note(args):
            entered.set()
            assert gate.wait(TIMEOUT)
            noted.append(args[0])

        server.register_handler("note", note, inline=True)
        server.register_handler("noted", lambda args: len(noted), inline=True)

        with Client(server) as greedy, Client(server, "other@127.0.0.1") as other:
            self.burst(greedy, "note", 50)
            assert entered.wait(TIMEOUT)
            other.tell(*other.erpc("noted", []))
            gate.set()
            other.event()  # The answer to the spawn request.
            assert 0 < other.event().reason[2] < 50
            assert greedy.call("noted") == 50
        assert noted == list(range(50))

    def test_casts_that_replace_one_another_are_read_slowly(self, make, monkeypatch):
        monkeypatch.setattr(backpressure, "REST", 2 * TIMEOUT)
        server = start(make)
        ran, gate = [], threading.Event()
        server.register_handler("pose", lambda args: ran.append(args[0]) or gate.wait(TIMEOUT), latest="pose")
        server.register_handler("inline", lambda args: args[0], inline=True)

        with Client(server) as greedy, Client(server, "other@127.0.0.1") as other:
            self.burst(greedy, "pose", 1000)
            eventually(lambda: server.activity.replaced)
            assert other.call("inline", 1) == 1
            assert server.activity.replaced < 10
            gate.set()

    def test_the_last_of_casts_that_replace_one_another_runs(self, make, monkeypatch):
        monkeypatch.setattr(backpressure, "REST", 0.001)
        server = start(make)
        ran = []
        server.register_handler("pose", lambda args: ran.append(args[0]), latest="pose")

        with Client(server) as greedy:
            self.burst(greedy, "pose", 200)
            eventually(lambda: ran and ran[-1] == 199)
        assert ran == sorted(ran)


class TestOverload:
    @pytest.fixture
    def gate(self):
        opened = threading.Event()
        yield opened
        opened.set()

    def test_no_more_waits_than_may(self, make, gate):
        server = start(make, max_queued=2)
        entered = threading.Event()
        server.register_handler("gate", lambda args: entered.set() or gate.wait(TIMEOUT))

        with Client(server) as client:
            client.ask("gate", [])
            assert entered.wait(TIMEOUT)
            for _ in range(2):
                client.ask("echo", [])
            client.ask("echo", [])
            reason = client.event().reason
            assert reason[1:3] == ("error", ("overload", "2 calls wait already: this node accepts no more at present"))

    def test_a_peer_with_many_calls_waits_and_loses_none(self, make, gate):
        server = start(make, max_in_flight=4)
        server.register_handler("gate", lambda args: gate.wait(TIMEOUT))

        with Client(server) as client, Client(server, "other@127.0.0.1") as other:
            for _ in range(20):
                client.tell(*client.erpc("gate", []))
            (connection,) = (c for c in connections_of(server) if c.peer.name == client.name)
            eventually(lambda: is_paused(connection))
            assert connection._load.in_flight == 4
            other.tell(*other.erpc("echo", [7]))
            gate.set()
            ends = 0
            while ends < 20:
                ends += hasattr(client.event(), "reason")
            eventually(lambda: not is_paused(connection))
            assert client.call("echo", 1) == [1]

    def test_a_node_that_is_asked_itself_is_read_from_and_told(self, make, gate):
        server = start(make, max_in_flight=2)
        server.register_handler("gate", lambda args: gate.wait(TIMEOUT))

        with Client(server) as client:
            future = server.call_async(client.name, "m", "f")
            client.event()
            for _ in range(3):
                client.tell(*client.erpc("gate", []))
            reasons = []
            while not reasons:
                event = client.event()
                reasons += [event.reason] if hasattr(event, "reason") else []
            assert reasons[0][2][0] == "overload"
            future.cancel()

    def test_a_handler_that_is_not_for_a_node(self, server):
        server.register_handler("own", len, permit=lambda name: name.startswith("friend@"))
        server.register_handler("inline", len, inline=True, permit=lambda name: name.startswith("friend@"))

        with Client(server) as client, Client(server, "friend@127.0.0.1") as friend:
            for name in ("own", "inline"):
                assert friend.call(name, 1) == 1
                client.ask(name, [1])
                assert client.event().reason[1:3] == ("error", "not_allowed")
            ok, failed = client.call("call_batch", [("echo", [1]), ("own", [1])])
            assert (ok, failed) == (("ok", [1]), ("error", "not_allowed"))


class TestFaults:
    @pytest.mark.posix
    def test_a_child_that_was_forked_touches_nothing_of_its_parents(self, server):
        with Client(server) as client:
            assert client.call("echo", 1) == [1]
            running = server._running
            (peer,) = running.node.peers
            child = os.fork()
            if not child:
                code = 1
                try:
                    running.node.send(server._router.subscriptions, client.pid, b"a\1")
                    (stream,) = (connection._stream for connection in running.connections._established.values())
                    code = 0 if stream._closed and stream.fileno() == -1 else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert peer.connected
            assert client.call("echo", 2) == [2]

    def test_an_error_in_one_connections_timer_costs_that_connection(self, make, monkeypatch):
        server = make(tick_time=4.0)  # The other one sends no tick: it must not be dropped for that.
        assert server.start(), server.last_error
        with Client(server) as client, Client(server, "other@127.0.0.1") as other:
            (connection,) = (each for each in connections_of(server) if each.peer.name == client.name)
            monkeypatch.setattr(connection, "_schedule_tick", lambda: 1 / 0)

            assert client.closed()
            assert other.call("echo", 1) == [1]

    def test_what_is_queued_at_the_end_is_one_line(self, server, caplog):
        entered, opened = threading.Event(), threading.Event()
        server.register_handler("gate", lambda args: entered.set() or opened.wait(TIMEOUT))

        with Client(server) as client:
            client.ask("gate", [])
            assert entered.wait(TIMEOUT)
            for _ in range(3):
                client.ask("echo", [])
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            eventually(lambda: "are dropped" in caplog.text)
            opened.set()
            assert client.closed()
            stopping.join()

        # The one that runs is not dropped.
        assert "3 calls and casts that have not run to their end are dropped" in caplog.text

    def test_what_was_sent_before_the_end_still_leaves(self, server):
        with Client(server) as client:
            client.ask("echo", ["x" * 3_000_000])
            answered = threading.Event()
            server.register_handler("echo", lambda args: args)
            value = []
            thread = threading.Thread(target=lambda: (value.append(client.answer()), answered.set()))
            thread.start()
            assert answered.wait(TIMEOUT)
            server.stop()
            thread.join()

        assert value == [["x" * 3_000_000]]
