"""The process of an erpc call: when it is introduced to its caller, and how the caller learns of its end."""

import pytest
from support import decoded

from beam_bpy.calls.replies import ErpcProcess
from beam_bpy.distribution.node import Node
from beam_bpy.distribution.peer import Peer
from beam_bpy.protocol import control, control_reader
from beam_bpy.protocol.control import Payload
from beam_bpy.protocol.erpc import ErpcCall
from beam_bpy.protocol.flags import OURS
from beam_bpy.protocol.fragments import SIZE
from beam_bpy.protocol.framing import FrameReader
from vendor_term_codec import Atom, Pid, Reference, encode_term

US, THEM = "us@127.0.0.1", "them@127.0.0.1"
REF = Reference(THEM, 5, (1, 2, 3))
CALLER = Pid(THEM, 77, 0, 5)
CALL = ErpcCall(REF, CALLER, REF.ext, "Elixir.Unit", "echo", 0, Payload(encode_term([]), 0))
REASON = encode_term(Atom("done"))


class Rig:
    """A node, and a peer that notes the messages that it is sent and the callbacks that it defers."""

    def __init__(self):
        self.frames, self.deferred = [], []
        self.node = Node(US, 5, pytest.fail, pytest.fail)
        self.peer = Peer(THEM, OURS, 5, self)
        self.node.peer_up(self.peer)
        self.process = ErpcProcess(self.node, self.peer, CALL)

    def send(self, message, sender):
        self.send_framed(message.frame(header=True), sender)

    def send_framed(self, data, sender):
        self.frames += FrameReader().feed(data)

    def call_deferred(self, callback):
        self.deferred.append(callback)

    def heard(self):
        """The messages that were sent, each as the peer reads it."""
        return [decoded(control_reader.parse(frame)) for frame in self.frames]

    def introduction(self):
        return control.SpawnReply(REF, CALLER, control.SpawnFlag.MONITORED, self.process.pid)

    def end(self):
        return control.MonitorExit(self.process.pid, CALLER, REF, Atom("done"))


@pytest.fixture
def rig():
    return Rig()


@pytest.mark.parametrize("queued", [False, True])
def test_a_process_that_ends_soon_is_introduced_with_its_end(rig, queued):
    if queued:
        rig.process.queued()
    rig.process.end(REASON)
    rig.process.introduce()
    rig.process.end(REASON)

    assert rig.heard() == [rig.introduction(), rig.end()]
    assert not rig.peer.incoming_monitors
    assert not rig.process.alive


def test_a_queued_process_is_introduced_once(rig):
    rig.process.queued()
    assert rig.heard() == []
    for callback in rig.deferred:
        callback()
    rig.process.introduce()
    assert rig.heard() == [rig.introduction()]

    rig.process.end(REASON)
    assert rig.heard() == [rig.introduction(), rig.end()]
    assert not rig.peer.incoming_monitors


@pytest.mark.parametrize("introduced", [False, True])
def test_a_long_answer_follows_as_a_message_of_its_own(rig, introduced):
    if introduced:
        rig.process.introduce()
    rig.process.end(encode_term(b"x" * (SIZE + 1)))

    introduction, end = rig.heard()
    assert introduction == rig.introduction()
    assert end.reason == "x" * (SIZE + 1)
    assert not rig.peer.incoming_monitors


@pytest.mark.parametrize("introduced", [False, True])
def test_nobody_wants_the_answer_when_the_caller_is_gone(rig, introduced):
    if introduced:
        rig.process.introduce()
    sent = list(rig.frames)
    assert rig.process.is_wanted()
    rig.node.peer_down(rig.peer)
    assert not rig.process.is_wanted()

    rig.process.end(REASON)
    assert rig.frames == sent


def test_nobody_wants_the_answer_when_the_caller_has_removed_its_monitor(rig):
    rig.process.introduce()
    rig.node.handle(rig.peer, control.Demonitor(CALLER, rig.process.pid, REF))
    assert not rig.process.is_wanted()
    rig.process.end(REASON)
    assert rig.heard() == [rig.introduction()]


def test_it_ends_with_its_node(rig):
    rig.process.queued()
    rig.node.close()
    rig.process.introduce()
    rig.process.end(REASON)
    assert rig.frames == []
