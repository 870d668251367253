"""The node's processes, links and monitors, seen by connected nodes that send and receive real control messages."""

import pytest
from support import Caller, decoded

from beam_bpy.distribution.node import Node
from beam_bpy.distribution.process import Process
from beam_bpy.protocol import ProtocolError, control
from beam_bpy.protocol.flags import MANDATORY_BEFORE_25, OURS
from vendor_term_codec import Atom, Pid, Reference, encode_term

NORMAL, KILL, NOPROC = Atom("normal"), Atom("kill"), Atom("noproc")
REASON = (Atom("shutdown"), "why")
UNUSED = Atom("")


class Recorder(Process):
    """A process that keeps its messages."""

    def __init__(self, node):
        super().__init__(node)
        self.messages = []

    def receive(self, peer, message):
        self.messages.append((peer.name, message.payload.decode()))


class Trapping(Recorder):
    """A process that turns exit signals into messages."""

    def linked_exit(self, sender, reason):
        self.messages.append((sender, reason.decode()))


def end(process, reason):
    process.end(encode_term(reason))


def ignored(peer, request):
    """Handles spawn requests in tests that send none."""


@pytest.fixture
def node():
    return Node("beam_bpy@127.0.0.1", 9, ignored, ignored)


@pytest.fixture(params=[OURS, MANDATORY_BEFORE_25], ids=["all-flags", "mandatory-flags"])
def caller(node, request):
    return Caller(node, flags=request.param)


@pytest.fixture
def process(node):
    process = Recorder(node)
    node.add(process, "recorder")
    return process


@pytest.fixture
def stranger(node):
    """A pid of this node that is nobody's."""
    return node.new_pid()


def test_each_pid_is_new(node):
    pids = {node.new_pid() for _ in range(100)}

    assert len(pids) == 100
    assert {(pid.node, pid.creation) for pid in pids} == {("beam_bpy@127.0.0.1", 9)}


def test_messages_reach_a_pid_and_a_registered_name(caller, process):
    caller.tell(22, caller.pid, process.pid, payload="to the pid")
    caller.tell(2, UNUSED, process.pid, payload="from nobody")
    caller.tell(6, caller.pid, UNUSED, Atom("recorder"), payload="to the name")

    assert process.messages == [(caller.name, text) for text in ("to the pid", "from nobody", "to the name")]


def test_a_message_to_nobody_is_dropped(caller, process, stranger):
    caller.tell(22, caller.pid, stranger, payload="x")
    caller.tell(6, caller.pid, UNUSED, Atom("nobody"), payload="x")
    caller.tell(33, caller.pid, caller.ref(), payload="x")

    assert process.messages == caller.heard() == []


def test_a_message_to_a_process_that_has_ended_is_dropped(caller, process):
    end(process, NORMAL)

    caller.tell(22, caller.pid, process.pid, payload="x")

    assert process.messages == []


def test_a_monitor_is_told_of_the_end(caller, process):
    ref = caller.monitor(process.pid)
    assert caller.heard() == []

    end(process, REASON)

    assert caller.heard() == [control.MonitorExit(process.pid, caller.pid, ref, REASON)]


def test_a_monitor_of_a_name_is_told_of_that_name(caller, process):
    ref = caller.monitor(Atom("recorder"))

    end(process, REASON)

    assert caller.heard() == [control.MonitorExit(Atom("recorder"), caller.pid, ref, REASON)]


@pytest.mark.parametrize("name", [None, Atom("nobody")])
def test_a_monitor_of_nobody_is_told_noproc(caller, stranger, name):
    target = name or stranger

    ref = caller.monitor(target)

    assert caller.heard() == [control.MonitorExit(target, caller.pid, ref, NOPROC)]


def test_a_process_that_has_ended_is_nobody(caller, process):
    end(process, NORMAL)

    caller.monitor(process.pid)
    caller.link(process.pid)

    assert [event.reason for event in caller.heard()] == [NOPROC, NOPROC]


def test_a_name_is_free_again_once_its_process_has_ended(caller, process):
    end(process, NORMAL)

    caller.monitor(Atom("recorder"))

    assert [event.reason for event in caller.heard()] == [NOPROC]


def test_a_monitor_that_is_taken_back_is_told_nothing(caller, process):
    ref = caller.monitor(process.pid)
    caller.tell(20, caller.pid, process.pid, ref)

    end(process, REASON)

    assert caller.heard() == []


def test_an_unknown_monitor_may_be_taken_back(caller, process):
    caller.tell(20, caller.pid, process.pid, caller.ref())

    assert caller.heard() == []


def test_a_link_is_told_of_the_end(caller, process):
    caller.link(process.pid)
    assert caller.heard() == []

    end(process, REASON)

    assert caller.heard() == [control.LinkExit(process.pid, caller.pid, REASON)]


def test_a_link_to_nobody_is_told_noproc(caller, stranger):
    caller.link(stranger)

    assert caller.heard() == [control.LinkExit(stranger, caller.pid, NOPROC)]


def test_an_unlink_is_acknowledged_and_ends_the_link(caller, process):
    caller.link(process.pid)

    caller.tell(35, 41, caller.pid, process.pid)
    end(process, REASON)

    assert caller.heard() == [control.UnlinkAck(41, process.pid, caller.pid)]


def test_an_unlink_without_an_id_is_not_acknowledged(caller, process):
    caller.link(process.pid)

    caller.tell(4, caller.pid, process.pid)
    end(process, REASON)

    assert caller.heard() == []


def test_an_unlink_from_nobody_is_acknowledged_too(caller, stranger):
    caller.tell(35, 42, caller.pid, stranger)

    assert caller.heard() == [control.UnlinkAck(42, stranger, caller.pid)]


def test_the_end_tells_all_of_every_node_and_only_once(node, caller, process):
    other = Caller(node, "other@127.0.0.1")
    refs = caller.monitor(process.pid), caller.monitor(process.pid), other.monitor(process.pid)
    other.link(process.pid)

    end(process, REASON)
    end(process, "again")

    assert [event.ref for event in caller.heard()] == [refs[0], refs[1]]
    assert other.heard() == [
        control.MonitorExit(process.pid, other.pid, refs[2], REASON),
        control.LinkExit(process.pid, other.pid, REASON),
    ]


def test_one_monitor_may_be_told_of_an_end_that_is_none(node, caller, process):
    first, second = caller.monitor(process.pid), caller.monitor(process.pid)

    assert node.fire_monitor(process, first, encode_term(REASON)) is True
    assert node.fire_monitor(process, first, encode_term(REASON)) is False
    assert caller.heard() == [control.MonitorExit(process.pid, caller.pid, first, REASON)]
    assert process.alive
    end(process, NORMAL)
    assert [event.ref for event in caller.heard()] == [second]


class TestExitSignals:
    """ "Receiving Exit Signals" in the reference manual's chapter on processes."""

    @pytest.fixture
    def reasons(self, node, process):
        """The reasons with which the process has ended, as another node sees them."""
        other = Caller(node, "other@127.0.0.1")
        other.monitor(process.pid)
        return lambda: [event.reason for event in other.heard()]

    def test_exit_ends_a_process(self, caller, process, reasons):
        caller.tell(8, caller.pid, process.pid, REASON)

        assert reasons() == [REASON]

    def test_exit_with_its_reason_as_payload(self, caller, process, reasons):
        caller.tell(26, caller.pid, process.pid, payload=REASON)

        assert reasons() == [REASON]

    def test_normal_is_ignored(self, caller, process, reasons):
        caller.tell(8, caller.pid, process.pid, NORMAL)

        assert reasons() == []
        assert process.alive

    def test_kill_becomes_killed(self, caller, process, reasons):
        caller.tell(8, caller.pid, process.pid, KILL)

        assert reasons() == [Atom("killed")]

    def test_a_binary_that_says_kill_is_any_reason(self, caller, process, reasons):
        caller.tell(8, caller.pid, process.pid, "kill")

        [reason] = reasons()
        assert reason == "kill"
        assert not isinstance(reason, Atom)

    def test_a_binary_that_says_normal_is_any_reason(self, caller, process, reasons):
        caller.tell(8, caller.pid, process.pid, "normal")

        assert reasons() == ["normal"]

    def test_exit_to_nobody_is_ignored(self, caller, stranger):
        caller.tell(8, caller.pid, stranger, REASON)

        assert caller.heard() == []

    def test_the_end_of_a_linked_process_ends_it(self, caller, process, reasons):
        caller.link(process.pid)

        caller.tell(3, caller.pid, process.pid, REASON)

        assert reasons() == [REASON]
        assert caller.heard() == []

    def test_the_end_of_a_process_that_is_not_linked_is_ignored(self, caller, process, reasons):
        caller.tell(3, caller.pid, process.pid, REASON)

        assert reasons() == []

    def test_the_normal_end_of_a_linked_process_ends_the_link_only(self, caller, process, reasons):
        caller.link(process.pid)

        caller.tell(3, caller.pid, process.pid, NORMAL)
        caller.tell(3, caller.pid, process.pid, REASON)

        assert reasons() == []
        assert process.alive

    def test_the_kill_of_a_linked_process_is_a_reason_like_any_other(self, caller, process, reasons):
        # Only exit(Pid, kill) kills; a linked process that has ended with `kill` passes just that on.
        caller.link(process.pid)

        caller.tell(3, caller.pid, process.pid, KILL)

        assert reasons() == [KILL]

    def test_a_process_that_traps_exits_goes_on(self, node, caller):
        trapping = Trapping(node)
        node.add(trapping)
        caller.link(trapping.pid)

        caller.tell(8, caller.pid, trapping.pid, "exit/2")
        caller.tell(3, caller.pid, trapping.pid, REASON)

        assert trapping.alive
        assert trapping.messages == [(caller.pid, "exit/2"), (caller.pid, REASON)]

    def test_kill_cannot_be_trapped(self, node, caller):
        trapping = Trapping(node)
        node.add(trapping)
        caller.monitor(trapping.pid)

        caller.tell(8, caller.pid, trapping.pid, KILL)

        assert [event.reason for event in caller.heard()] == [Atom("killed")]
        assert trapping.messages == []


class TestLostNodes:
    """State that remains after a node has disconnected."""

    def test_its_monitors_are_dropped(self, caller, process):
        caller.monitor(process.pid)

        caller.disconnect()
        end(process, REASON)

        assert caller.heard() == []

    def test_what_was_linked_to_it_ends(self, node, caller, process):
        other = Caller(node, "other@127.0.0.1")
        ref = other.monitor(process.pid)
        caller.link(process.pid)

        caller.disconnect()

        assert other.heard() == [control.MonitorExit(process.pid, other.pid, ref, Atom("noconnection"))]
        assert caller.heard() == []

    def test_other_nodes_keep_their_monitors(self, node, caller, process):
        other = Caller(node, "other@127.0.0.1")
        caller.monitor(process.pid)
        ref = other.monitor(process.pid)

        caller.disconnect()
        end(process, REASON)

        assert [event.ref for event in other.heard()] == [ref]

    def test_it_is_no_longer_connected(self, node, caller):
        assert [peer.name for peer in node.peers] == [caller.name]
        assert node.peer(caller.name) is caller.peer

        caller.disconnect()

        assert node.peers == ()
        assert node.peer(caller.name) is None
        assert not caller.peer.connected

    def test_the_end_of_an_old_connection_leaves_the_new_one(self, node, caller):
        again = Caller(node, caller.name)

        caller.disconnect()

        assert node.peer(caller.name) is again.peer


def test_spawn_requests_go_to_whom_the_node_was_told():
    asked = []

    def spawn(_node, peer, request):
        asked.append((peer.name, decoded(request)))

    node = Node("beam_bpy@127.0.0.1", 9, spawn, ignored)
    caller, mfa = Caller(node), (Atom("m"), Atom("f"), 1)
    ref = caller.ref()

    caller.tell(29, ref, caller.pid, caller.pid, mfa, [], payload=[1.5])

    assert asked == [(caller.name, control.SpawnRequest(ref, caller.pid, caller.pid, *mfa, [], [1.5]))]


@pytest.mark.parametrize("term", [(5,), (99, 1), (36, 1, Pid("a@b", 1, 0, 1), Pid("a@b", 2, 0, 1))])
def test_what_a_node_has_no_use_for_is_ignored(caller, term):
    caller.tell(*term)

    assert caller.heard() == []


@pytest.mark.parametrize("name", [None, True, False], ids=["nil", "true", "false"])
def test_a_process_that_is_named_like_a_constant_is_nobody(caller, process, name):
    # `send({nil, node}, message)` is a mistake that Elixir programs make; no node hangs up on it.
    ref = caller.ref()
    caller.tell(6, caller.pid, UNUSED, name, payload="x")
    caller.tell(19, caller.pid, name, ref)
    caller.tell(20, caller.pid, name, caller.ref())

    [down] = caller.heard()
    assert (encode_term(down.target), down.ref, down.reason) == (encode_term(name), ref, NOPROC)
    assert process.messages == []


def test_what_a_process_sends_comes_from_it(node, caller, process):
    # Signals from one process to another keep their order, so a connection has to know whose each is.
    caller.monitor(process.pid)
    caller.link(process.pid)
    caller.tell(35, 1, caller.pid, process.pid)
    caller.link(process.pid)
    ref = node.new_ref()
    node.monitor(process, caller.peer, caller.pid, ref)
    node.demonitor(caller.peer, ref)
    node.link(process, caller.peer, Pid(caller.name, 78, 1, 5))
    node.unlink(process, Pid(caller.name, 78, 1, 5))
    end(process, REASON)

    assert caller.senders() == [process.pid] * 7


def test_the_end_of_a_process_takes_its_monitors_back(node, caller, process):
    ref, other = node.new_ref(), node.new_ref()
    node.monitor(process, caller.peer, caller.pid, ref)
    node.monitor(process, caller.peer, Atom("shell"), other)
    caller.heard()

    end(process, NORMAL)

    assert caller.heard() == [
        control.Demonitor(process.pid, caller.pid, ref),
        control.Demonitor(process.pid, Atom("shell"), other),
    ]
    assert caller.peer.outgoing_monitors == {}


def test_observers_are_told_of_nodes_that_come_and_go(node):
    seen = []
    node.observers.append(lambda peer: seen.append((peer.name, peer.connected)))

    Caller(node).disconnect()

    assert seen == [("caller@127.0.0.1", True), ("caller@127.0.0.1", False)]


THEIRS = Pid("caller@127.0.0.1", 77, 1, 5)
WRONG_TYPES = {
    "link to an integer": (1, THEIRS, 3),
    "link to a list": (1, THEIRS, [3]),
    "link from an atom": (1, Atom("a"), Atom("recorder")),
    "unlink with a binary for an id": (35, "x", THEIRS, Atom("recorder")),
    "unlink from an integer": (35, 1, 1, Atom("recorder")),
    "message to a list": (22, THEIRS, [1]),
    "end of nobody": (3, 1, Atom("recorder"), REASON),
    "monitor with a pid for a reference": (19, THEIRS, Atom("recorder"), THEIRS),
    "monitor with an integer for a reference": (19, THEIRS, Atom("recorder"), 1),
    "monitor from an atom": (19, Atom("a"), Atom("recorder"), Reference("a@b", 5, (1,))),
    "monitor taken back with a list": (20, THEIRS, Atom("recorder"), [1]),
}


@pytest.mark.parametrize("term", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_a_field_of_the_wrong_type_is_ignored_or_a_protocol_error(caller, process, term):
    try:
        caller.tell(*term, payload=[])
        end(process, NORMAL)
    except ProtocolError:
        end(process, NORMAL)

    assert not process.alive
