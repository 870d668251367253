"""The process of an `erpc:call`: when its caller is told of it, and how of its end."""

import pytest

from beam_bpy.calls.replies import ErpcProcess
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.protocol import control, control_reader, control_writer
from beam_bpy.protocol.erpc import ErpcCall, ErpcReply
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.fragments import SIZE
from vendor_term_codec import Atom, Pid, Reference, encode_term

US, THEM = "us@127.0.0.1", "them@127.0.0.1"
REF = Reference(THEM, 5, (1, 2, 3))
CALLER = Pid(THEM, 77, 0, 5)
CALL = ErpcCall(REF, CALLER, REF.ext, "Elixir.Unit", "echo", 0, b"", 0)
REASON = encode_term(Atom("done"))


class House:
    """A node, and a peer that notes what it is sent and what it is to be told of."""

    def __init__(self):
        self.sent, self.untold = [], []
        self.node = Node(US, 5, pytest.fail, pytest.fail)
        self.peer = Peer(THEM, OURS, 5, lambda message, sender: self.sent.append(message), self.untold.append)
        self.node.peer_up(self.peer)
        self.process = ErpcProcess(self.node, self.peer, CALL)

    def heard(self):
        """The messages that were sent, each as the peer reads it."""
        return [control_reader.parse(message.frame(header=True)[4:]) for message in self.sent]

    def told(self):
        return control.SpawnReply(REF, CALLER, control.SpawnFlag.MONITORED, self.process.pid)


@pytest.fixture
def house():
    return House()


@pytest.mark.parametrize("lasts", [False, True])
def test_one_that_ends_soon_is_told_of_with_its_end(house, lasts):
    if lasts:
        house.process.lasts()
    house.process.end(REASON)
    house.process.tell()
    house.process.end(REASON)

    assert house.sent == [ErpcReply(CALL, house.process.pid, REASON)]
    assert not house.peer.watches
    assert not house.process.alive


def test_of_one_that_lasts_the_caller_is_told_once(house):
    house.process.lasts()
    assert house.untold == [house.process]
    house.process.tell()
    house.process.tell()
    assert house.heard() == [house.told()]

    house.process.end(REASON)
    told, end = house.heard()
    assert told == house.told()
    assert (end.ref, end.target, end.reason.decode()) == (REF, house.process.pid, Atom("done"))
    assert not house.peer.watches


@pytest.mark.parametrize("lasts", [False, True])
def test_an_end_too_long_for_one_message_with_it_follows(house, lasts):
    if lasts:
        house.process.lasts()
    long = encode_term(b"x" * SIZE)
    house.process.end(long)

    told, end = house.sent
    assert control_reader.parse(told.frame(header=True)[4:]) == house.told()
    assert end == control_writer.monitor_exit(OURS, house.process.pid, CALLER, REF, long)
    assert not house.peer.watches


@pytest.mark.parametrize("told", [False, True])
def test_one_whose_caller_is_gone_is_not_watched_and_has_nobody_to_tell(house, told):
    house.process.lasts()
    if told:
        house.process.tell()
    sent = list(house.sent)
    assert house.process.watched(REF.ext)
    house.node.peer_down(house.peer)
    assert not house.process.watched(REF.ext)

    house.process.end(REASON)
    assert house.sent == sent


def test_one_whose_caller_takes_its_monitor_back_is_not_watched(house):
    house.process.lasts()
    house.process.tell()
    house.node.handle(house.peer, control.Demonitor(CALLER, house.process.pid, REF))
    assert not house.process.watched(REF.ext)
    house.process.end(REASON)
    assert house.heard() == [house.told()]


def test_it_has_ended_with_its_node(house):
    house.process.lasts()
    house.node.close()
    house.process.tell()
    house.process.end(REASON)
    assert house.sent == []
