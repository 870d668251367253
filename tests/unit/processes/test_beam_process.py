"""Python processes and monitors: seen by a node that the test plays, and by the processes of another server."""

import queue
import threading

import pytest
from support import A_NAME, B_NAME, NAME, TIMEOUT, Client, Listening, eventually, in_thread, nodes_of

from beam_bpy import Atom, ErlangError, ErlangExit, ErlangThrow, ImproperList, Pid
from beam_bpy.protocol import control

A = Atom
NORMAL, KILL, KILLED, NOPROC, NOCONNECTION = map(A, ("normal", "kill", "killed", "noproc", "noconnection"))
REASON = (A("shutdown"), "why")


class Mailbox:
    """A process's callback that keeps the messages; `next` waits for one."""

    def __init__(self):
        self._messages = queue.SimpleQueue()

    def __call__(self, _process, message):
        self._messages.put(message)

    def next(self):
        return self._messages.get(timeout=TIMEOUT)

    def empty(self):
        return self._messages.empty()


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def client(a):
    """A node that is connected to `a`, played by the test."""
    with Client(a) as client:
        client.socket.settimeout(TIMEOUT)
        yield client


def settled(client):
    """Wait until the server has handled all that it was told so far; nothing else may have come."""
    ref = client.ref()
    client.tell((6, client.pid, A(""), A("net_kernel")), (A("$gen_call"), (client.pid, ref), (A("is_auth"), A("x"))))
    assert client.event().payload == (ref, A("yes"))


def monitor(client, target):
    ref = client.ref()
    client.tell((19, client.pid, target, ref))
    settled(client)
    return ref


def link(client, pid):
    client.tell((1, client.pid, pid))
    settled(client)


def down(client, target, ref):
    """The reason with which what was monitored has ended."""
    event = client.event()
    assert event[:3] == (target, client.pid, ref)
    return event.reason


class TestMessages:
    def test_they_come_one_at_a_time_in_order(self, a, client, mailbox):
        process = a.register_process("mailbox", mailbox)

        for number in range(20):
            client.tell((22, client.pid, process.pid), number)
            client.tell((6, client.pid, A(""), A("mailbox")), A(f"n{number}"))

        assert [mailbox.next() for _ in range(40)] == [each for n in range(20) for each in (n, A(f"n{n}"))]

    def test_the_callback_gets_the_process_and_runs_where_handlers_run(self, a, client):
        got, done = [], threading.Event()

        def receive(process, message):
            got.append((process, threading.current_thread().name))
            done.set()

        process = a.register_process(None, receive)
        client.tell((22, client.pid, process.pid), 1)

        assert done.wait(TIMEOUT)
        assert got == [(process, "beam_bpy worker")]

    def test_without_a_name_it_is_known_by_its_pid_only(self, a, client, mailbox):
        process = a.register_process(None, mailbox)

        client.tell((22, client.pid, process.pid), "hello")

        assert mailbox.next() == "hello"
        assert process.pid.node == A_NAME
        assert str(process.pid) in repr(process)

    def test_it_sends_under_its_own_pid(self, a, client):
        process = a.register_process("mailbox", lambda process, message: process.send(message, ("re", message.id)))

        client.tell((22, client.pid, process.pid), client.pid)

        event = client.event()
        assert (event.sender, event.to, event.payload) == (process.pid, client.pid, ("re", client.pid.id))

    def test_it_sends_to_a_name(self, a, client):
        process = a.register_process("mailbox", lambda process, message: process.send(("shell", client.name), message))

        client.tell((22, client.pid, process.pid), "x")

        event = client.event()
        assert (event.sender, event.to, event.payload) == (process.pid, A("shell"), "x")

    def test_one_of_this_node_reaches_another_of_this_node(self, a, mailbox):
        process, other = a.register_process("mailbox", mailbox), a.register_process(None, print)

        other.send(process.pid, "by pid")
        other.send(("mailbox", A_NAME), "by name")

        assert [process_message(mailbox), process_message(mailbox)] == ["by pid", "by name"]

    def test_what_cannot_be_decoded_is_dropped(self, a, client, mailbox, caplog):
        process = a.register_process(None, mailbox)

        client.tell((22, client.pid, process.pid), None)
        client.tell((22, client.pid, process.pid), "next")

        assert mailbox.next() == "next"
        assert "cannot be decoded" in caplog.text


def process_message(mailbox):
    try:
        return mailbox._messages.get(timeout=1.0)
    except queue.Empty:
        return "nothing came"


class TestCalls:
    """gen_server calls of a Python process."""

    @pytest.mark.parametrize("alias", [True, False])
    def test_a_reply_has_the_tag_of_the_call(self, a, client, alias):
        def receive(process, message):
            tag, caller, request = message
            assert tag == "$gen_call"
            process.reply(caller, ("got", request))

        process = a.register_process("server", receive)
        ref = client.ref()
        tag = ImproperList((A("alias"),), ref) if alias else ref
        client.tell((19, client.pid, A("server"), ref))
        client.tell((6, client.pid, A(""), A("server")), (A("$gen_call"), (client.pid, tag), [1]))

        event = client.event()
        assert event.sender == process.pid
        # To an alias, because a caller that has given up takes that back, and finds no late reply in its mailbox.
        assert event.to == (ref if alias else client.pid)
        assert event.payload == (tag, ("got", [1]))

    def test_converters_change_the_value_of_a_reply_and_not_its_tag(self, a, client):
        for type_ in (tuple, list, Atom):
            a.encoder.register(type_, lambda value: {type(value).__name__: len(value)})
        process = a.register_process("server", lambda process, message: process.reply(message[1], [1, 2]))
        ref = client.ref()
        tag = ImproperList((A("alias"),), ref)
        client.tell((19, client.pid, A("server"), ref))
        client.tell((6, client.pid, A(""), A("server")), (A("$gen_call"), (client.pid, tag), [1]))

        event = client.event()
        assert (event.sender, event.payload) == (process.pid, (tag, {"list": 2}))

    def test_a_call_to_a_process_that_fails_ends_with_it(self, a, client):
        def receive(process, message):
            raise ErlangExit(REASON)

        a.register_process("server", receive)
        ref = monitor(client, A("server"))
        client.tell((6, client.pid, A(""), A("server")), (A("$gen_call"), (client.pid, ref), 1))

        assert down(client, A("server"), ref) == REASON


class TestNames:
    @pytest.mark.parametrize("name", ["taken", "rex", "net_kernel", f"{NAME}a"])
    def test_a_name_is_given_once(self, a, name):
        if name == "taken":
            a.register_process(name, print)

        with pytest.raises(ValueError, match=f"registered as '{name}' already"):
            a.register_process(name, print)

    def test_it_is_free_again_once_its_process_has_ended(self, a, client, mailbox):
        a.register_process("name", print).exit()

        a.register_process("name", mailbox)

        client.tell((6, client.pid, A(""), A("name")), "to the second")
        assert mailbox.next() == "to the second"

    def test_it_is_free_again_after_a_restart(self, a, mailbox):
        a.register_process("name", print)
        a.stop()
        assert a.start()

        process = a.register_process("name", mailbox)

        with Client(a) as client:
            client.tell((22, client.pid, process.pid), "to the second")
            assert mailbox.next() == "to the second"


class TestItsEnd:
    @pytest.mark.parametrize("reason", [NORMAL, REASON, "text", [1, {A("a"): 1.5}], None])
    def test_monitors_and_links_get_its_reason(self, a, client, reason):
        process = a.register_process("name", print)
        first, second = monitor(client, process.pid), monitor(client, A("name"))
        link(client, process.pid)

        process.exit(reason)

        assert down(client, process.pid, first) == reason
        assert down(client, A("name"), second) == reason
        assert client.event() == control.LinkExit(process.pid, client.pid, reason)
        assert process.alive is False

    def test_without_a_reason_it_is_normal(self, a, client):
        process = a.register_process(None, print)
        ref = monitor(client, process.pid)

        process.exit()

        assert down(client, process.pid, ref) == NORMAL

    def test_it_ends_once(self, a, client):
        process = a.register_process(None, print)
        ref = monitor(client, process.pid)

        process.exit("first")
        process.exit("second")

        assert down(client, process.pid, ref) == "first"
        settled(client)

    def test_what_comes_after_it_is_dropped(self, a, client, mailbox):
        process = a.register_process(None, mailbox)
        process.exit()

        client.tell((22, client.pid, process.pid), "late")
        settled(client)

        assert mailbox.empty()

    def test_what_was_queued_before_it_is_dropped(self, a, client):
        entered, leave, got = threading.Event(), threading.Event(), []

        def receive(process, message):
            got.append(message)
            entered.set()
            leave.wait(TIMEOUT)
            process.exit()

        process = a.register_process(None, receive)
        ref = monitor(client, process.pid)
        client.tell((22, client.pid, process.pid), "first")
        assert entered.wait(TIMEOUT)
        client.tell((22, client.pid, process.pid), "second")
        settled(client)
        leave.set()

        assert down(client, process.pid, ref) == NORMAL
        assert got == ["first"]

    def test_it_ends_with_its_server(self, a, client):
        process = a.register_process(None, print)

        a.stop()

        assert process.alive is False

    def test_what_was_queued_for_it_does_not_run_after_a_restart(self, a, client):
        entered, leave, got = threading.Event(), threading.Event(), []
        a.register_handler("slow", lambda args: (entered.set(), leave.wait(TIMEOUT)))
        process = a.register_process(None, lambda process, message: got.append(message))
        client.ask("slow", [])
        assert entered.wait(TIMEOUT)
        client.tell((22, client.pid, process.pid), "cut off")
        settled(client)
        stopper = in_thread(a.stop)
        assert client.closed()
        leave.set()
        stopper.join(TIMEOUT)

        assert a.start()
        with Client(a) as again:
            assert again.call("echo", 1) == [1]

        assert got == []

    def test_its_own_monitors_end_with_it(self, a, client):
        process = a.register_process(None, print)
        ref = process.monitor(client.pid)
        assert client.event() == control.Monitor(process.pid, client.pid, ref)

        process.exit()

        assert client.event() == control.Demonitor(process.pid, client.pid, ref)


class TestACallbackThatRaises:
    def reason(self, a, client, error):
        def receive(process, message):
            raise error

        process = a.register_process(None, receive)
        ref = monitor(client, process.pid)
        client.tell((22, client.pid, process.pid), "x")
        return down(client, process.pid, ref)

    def test_any_exception(self, a, client):
        (tag, details), stack = self.reason(a, client, ValueError("no such crate"))

        assert (tag, details["type"], details["message"]) == (A("python_error"), "ValueError", "no such crate")
        assert stack == []

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
    def test_not_even_an_exit_ends_the_thread(self, a, client, error):
        (tag, details), _stack = self.reason(a, client, error)

        assert (tag, details["type"]) == (A("python_error"), type(error).__name__)
        assert client.call("echo", 1) == [1]

    def test_an_exit_with_a_reason_of_its_own(self, a, client):
        assert self.reason(a, client, ErlangExit(REASON)) == REASON

    def test_an_error_with_a_reason_of_its_own(self, a, client):
        assert self.reason(a, client, ErlangError(A("no_crate"))) == (A("no_crate"), [])

    def test_a_throw_that_nobody_catches(self, a, client):
        assert self.reason(a, client, ErlangThrow(1)) == ((A("nocatch"), 1), [])

    def test_a_reason_that_has_no_term(self, a, client):
        (tag, details), _stack = self.reason(a, client, ErlangExit(object()))

        assert (tag, details["type"]) == (A("python_error"), "EncodeError")
        assert client.call("echo", 1) == [1]

    @pytest.mark.parametrize("depth", [9_998, 9_999, 10_000, 10_001, 20_000])
    def test_a_reason_that_is_deeper_than_a_term_may_be(self, a, client, depth):
        reason = []
        for _ in range(depth):
            reason = [reason]

        assert self.reason(a, client, ErlangError(reason))
        assert client.call("echo", 1) == [1]

    def test_a_reason_of_a_registered_type(self, a, client):
        a.encoder.register(complex, lambda number: (number.real, number.imag))

        assert self.reason(a, client, ErlangExit(complex(1, 2))) == (1.0, 2.0)


class TestExitSignals:
    def test_one_ends_it(self, a, client):
        process = a.register_process(None, print)
        ref = monitor(client, process.pid)

        client.tell((26, client.pid, process.pid), REASON)

        assert down(client, process.pid, ref) == REASON

    def test_normal_does_not(self, a, client):
        process = a.register_process(None, print)

        client.tell((26, client.pid, process.pid), NORMAL)
        settled(client)

        assert process.alive

    @pytest.mark.parametrize("trap_exit", [False, True])
    def test_kill_does_whatever_it_traps(self, a, client, mailbox, trap_exit):
        process = a.register_process(None, mailbox, trap_exit=trap_exit)
        ref = monitor(client, process.pid)

        client.tell((26, client.pid, process.pid), KILL)

        assert down(client, process.pid, ref) == KILLED
        assert mailbox.empty()

    @pytest.mark.parametrize("reason", [REASON, NORMAL])
    def test_one_that_is_trapped_is_a_message(self, a, client, mailbox, reason):
        process = a.register_process(None, mailbox, trap_exit=True)

        client.tell((26, client.pid, process.pid), reason)

        assert mailbox.next() == (A("EXIT"), client.pid, reason)
        assert process.alive

    @pytest.mark.parametrize("reason", [REASON, NORMAL, KILL])
    def test_the_end_of_a_linked_process_is_a_message_if_trapped(self, a, client, mailbox, reason):
        process = a.register_process(None, mailbox, trap_exit=True)
        link(client, process.pid)

        client.tell((24, client.pid, process.pid), reason)

        assert mailbox.next() == (A("EXIT"), client.pid, reason)
        assert process.alive

    def test_a_reason_that_is_no_term_closes_the_connection_as_the_peers_error(self, a, client, caplog):
        caplog.set_level("INFO", logger="beam_bpy")
        process = a.register_process(None, print)

        client.tell((26, client.pid, process.pid), None)

        assert client.closed()
        eventually(lambda: "has disconnected" in caplog.text)
        assert "error of this program's own" not in caplog.text


class TestLinks:
    """The "Link Protocol", begun from here."""

    @pytest.fixture
    def process(self, a):
        return a.register_process(None, print)

    def linked(self, client, process):
        process.link(client.pid)
        assert client.event() == control.Link(process.pid, client.pid)

    def test_its_end_reaches_the_other(self, client, process):
        self.linked(client, process)

        process.exit(REASON)

        assert client.event() == control.LinkExit(process.pid, client.pid, REASON)

    def test_the_end_of_the_other_reaches_it(self, client, process):
        self.linked(client, process)
        ref = monitor(client, process.pid)

        client.tell((24, client.pid, process.pid), REASON)

        assert down(client, process.pid, ref) == REASON

    def test_linking_twice_is_linking_once(self, client, process):
        self.linked(client, process)

        process.link(client.pid)
        settled(client)
        assert list(process.links) == [client.pid.ext]

    def test_an_unlink_is_said_and_answered(self, client, process):
        self.linked(client, process)

        process.unlink(client.pid)

        event = client.event()
        assert event == control.Unlink(event.id, process.pid, client.pid)
        assert 0 < event.id < 1 << 64
        client.tell((36, event.id, client.pid, process.pid))
        client.tell((24, client.pid, process.pid), REASON)
        settled(client)
        assert process.alive

    def test_a_link_that_crosses_the_unlink_is_none(self, client, process):
        self.linked(client, process)
        process.unlink(client.pid)
        unlink = client.event()

        link(client, process.pid)
        client.tell((36, unlink.id, client.pid, process.pid))
        client.tell((24, client.pid, process.pid), REASON)
        settled(client)

        assert process.alive

    def test_a_link_after_the_answer_to_an_unlink_is_one(self, client, process):
        self.linked(client, process)
        process.unlink(client.pid)
        unlink = client.event()
        client.tell((36, unlink.id, client.pid, process.pid))

        link(client, process.pid)
        process.exit(REASON)

        assert client.event() == control.LinkExit(process.pid, client.pid, REASON)

    def test_linking_again_forgets_the_unlink(self, client, process):
        self.linked(client, process)
        process.unlink(client.pid)
        client.event()
        self.linked(client, process)
        ref = monitor(client, process.pid)

        client.tell((24, client.pid, process.pid), REASON)

        assert down(client, process.pid, ref) == REASON

    def test_an_unlink_whose_answer_was_lost_does_not_hinder_later_links(self, a, process):
        with Client(a) as client:
            self.linked(client, process)
            process.unlink(client.pid)
            client.event()
        eventually(lambda: nodes_of(a) == ())

        with Client(a) as client:
            link(client, process.pid)
            process.exit(REASON)
            assert client.event() == control.LinkExit(process.pid, client.pid, REASON)

    def test_unlinking_what_is_not_linked_says_nothing(self, client, process):
        process.unlink(client.pid)

        settled(client)
        assert process.unlinking == {}

    def test_one_taken_back_before_there_is_a_connection_is_made_and_taken_back(self, process, monkeypatch):
        with Listening() as played:
            monkeypatch.setenv("ERL_DIST_PORT", str(played.port))
            pid = Pid(played.name, 77, 0, 5)
            process.link(pid)
            process.unlink(pid)

            with played.accept() as wire:
                assert wire.event() == control.Link(process.pid, pid)
                unlink = wire.event()
                assert unlink == control.Unlink(unlink.id, process.pid, pid)

    def test_one_taken_back_ends_nothing_when_there_is_no_connection(self, a, mailbox):
        process = a.register_process(None, mailbox, trap_exit=True)
        pid = Pid("nobody@127.0.0.1", 1, 0, 1)
        said = threading.Event()
        # The network thread waits, so that the connection cannot have failed before all is said.
        a._active.loop.call_soon(said.wait)

        process.link(pid)
        process.unlink(pid)
        process.link(Pid("nobody@127.0.0.1", 2, 0, 1))
        said.set()

        assert mailbox.next()[1] == Pid("nobody@127.0.0.1", 2, 0, 1)
        assert mailbox.empty()

    def test_a_lost_node_ends_what_is_linked_to_it(self, client, process, mailbox, a):
        trapping = a.register_process(None, mailbox, trap_exit=True)
        self.linked(client, process)
        self.linked(client, trapping)

        client.socket.close()

        assert mailbox.next() == (A("EXIT"), client.pid, NOCONNECTION)
        eventually(lambda: not process.alive)

    def test_a_node_that_cannot_be_reached_is_a_lost_one(self, a, mailbox):
        process = a.register_process(None, mailbox, trap_exit=True)
        pid = Pid("nobody@127.0.0.1", 1, 0, 1)

        process.link(pid)

        assert mailbox.next() == (A("EXIT"), pid, NOCONNECTION)


class TestMonitorsOfProcesses:
    @pytest.fixture
    def process(self, a, mailbox):
        return a.register_process(None, mailbox)

    def test_a_pid(self, client, process, mailbox):
        ref = process.monitor(client.pid)
        assert client.event() == control.Monitor(process.pid, client.pid, ref)

        client.tell((28, client.pid, process.pid, ref), REASON)

        assert mailbox.next() == (A("DOWN"), ref, A("process"), client.pid, REASON)
        assert process.demonitor(ref) is False

    def test_a_name(self, client, process, mailbox):
        ref = process.monitor(("shell", client.name))
        assert client.event() == control.Monitor(process.pid, A("shell"), ref)

        client.tell((28, A("shell"), process.pid, ref), NOPROC)

        assert mailbox.next() == (A("DOWN"), ref, A("process"), (A("shell"), A(client.name)), NOPROC)

    def test_it_fires_once(self, client, process, mailbox):
        ref = process.monitor(client.pid)
        client.event()

        client.tell((28, client.pid, process.pid, ref), "first")
        client.tell((28, client.pid, process.pid, ref), "second")
        settled(client)

        assert mailbox.next()[4] == "first"
        assert mailbox.empty()

    def test_one_that_is_taken_back_does_not_fire(self, client, process, mailbox):
        ref = process.monitor(client.pid)
        client.event()

        assert process.demonitor(ref) is True
        assert process.demonitor(ref) is False

        assert client.event() == control.Demonitor(process.pid, client.pid, ref)
        client.tell((28, client.pid, process.pid, ref), REASON)
        settled(client)
        assert mailbox.empty()

    def test_a_lost_node(self, client, process, mailbox):
        ref = process.monitor(client.pid)
        client.event()

        client.socket.close()

        assert mailbox.next() == (A("DOWN"), ref, A("process"), client.pid, NOCONNECTION)

    def test_a_node_that_cannot_be_reached(self, process, mailbox):
        ref = process.monitor(("shell", "nobody@127.0.0.1"))

        assert mailbox.next()[:2] == (A("DOWN"), ref)

    def test_one_taken_back_before_there_is_a_connection_is_never_set(self, process, mailbox, monkeypatch):
        with Listening() as played:
            monkeypatch.setenv("ERL_DIST_PORT", str(played.port))
            ref = process.monitor(("shell", played.name))

            assert process.demonitor(ref) is True

            process.send(("shell", played.name), "sent")
            with played.accept() as wire:
                assert wire.event().payload == "sent"
        assert mailbox.empty()


class TestMonitorsOfTheServer:
    """`server.monitor`, without a process."""

    @pytest.fixture
    def reasons(self):
        return queue.SimpleQueue()

    def test_a_pid_elsewhere(self, a, b, reasons):
        process = b.register_process(None, print)
        a.monitor(process.pid, reasons.put)
        eventually(lambda: process.monitored_by)

        process.exit(REASON)

        assert reasons.get(timeout=TIMEOUT) == REASON

    def test_a_name_elsewhere(self, a, b, reasons):
        process = b.register_process("crate", print)
        a.monitor(("crate", B_NAME), reasons.put)
        eventually(lambda: process.monitored_by)

        process.exit()

        assert reasons.get(timeout=TIMEOUT) == NORMAL

    def test_a_name_that_nobody_has(self, a, b, reasons):
        a.monitor(("nobody", B_NAME), reasons.put)

        assert reasons.get(timeout=TIMEOUT) == NOPROC

    def test_a_process_whose_node_stops(self, a, b, reasons):
        process = b.register_process(None, print)
        a.monitor(process.pid, reasons.put)
        eventually(lambda: process.monitored_by)

        b.stop()

        assert reasons.get(timeout=TIMEOUT) == NOCONNECTION

    @pytest.mark.parametrize("target", ["nobody@127.0.0.1", ("name", "nobody@127.0.0.1"), Pid("no@127.0.0.1", 1, 0, 1)])
    def test_a_node_that_cannot_be_reached(self, a, reasons, target):
        a.monitor(target, reasons.put)

        assert reasons.get(timeout=TIMEOUT) == NOCONNECTION

    def test_a_node(self, a, b, reasons):
        a.monitor(B_NAME, reasons.put)
        eventually(lambda: nodes_of(a) == (B_NAME,))
        assert reasons.empty()

        b.stop()

        assert reasons.get(timeout=TIMEOUT) == NOCONNECTION

    def test_a_node_that_has_connected_by_itself(self, a, client, reasons):
        a.monitor(client.name, reasons.put)

        client.socket.close()

        assert reasons.get(timeout=TIMEOUT) == NOCONNECTION

    def test_each_monitor_of_a_node_fires_once(self, a, b, reasons):
        for _ in range(3):
            a.monitor(B_NAME, reasons.put)
        for _ in range(2):
            a.connect(B_NAME)
            a.disconnect(B_NAME)
            eventually(lambda: nodes_of(a) == nodes_of(b) == ())

        assert [reasons.get(timeout=TIMEOUT) for _ in range(3)] == [NOCONNECTION] * 3
        assert a.call(B_NAME, "m", "echo", [1]) == [1]
        assert reasons.empty()

    def test_one_that_is_taken_back_does_not_fire(self, a, client, reasons):
        of_node = a.monitor(client.name, reasons.put)
        of_process = a.monitor(client.pid, reasons.put)
        monitored = client.event()

        assert a.demonitor(of_node) is True
        assert a.demonitor(of_process) is True
        assert a.demonitor(of_node) is a.demonitor(of_process) is False

        assert client.event() == control.Demonitor(monitored.sender, client.pid, of_process)
        client.socket.close()
        eventually(lambda: nodes_of(a) == ())
        with Client(a) as again:
            assert again.call("echo", 1) == [1]
        assert reasons.empty()

    def test_one_that_has_fired_cannot_be_taken_back(self, a, client, reasons):
        ref = a.monitor(client.pid, reasons.put)
        monitored = client.event()
        client.tell((28, client.pid, monitored.sender, ref), REASON)
        assert reasons.get(timeout=TIMEOUT) == REASON

        assert a.demonitor(ref) is False

    def test_the_callback_runs_where_handlers_run(self, a, reasons):
        a.monitor("nobody@127.0.0.1", lambda reason: reasons.put(threading.current_thread().name))
        a.monitor(("x", "nobody@127.0.0.1"), lambda reason: reasons.put(threading.current_thread().name))

        assert [reasons.get(timeout=TIMEOUT) for _ in range(2)] == ["beam_bpy worker"] * 2

    @pytest.mark.parametrize("target", ["nobody@127.0.0.1", ("name", "nobody@127.0.0.1")])
    def test_a_callback_that_fails_hinders_nobody(self, a, reasons, target, caplog):
        def fail(reason):
            raise RuntimeError("a test's own failure")

        a.monitor(target, fail)
        a.monitor(target, reasons.put)

        assert reasons.get(timeout=TIMEOUT) == NOCONNECTION
        assert "a test's own failure" in caplog.text
