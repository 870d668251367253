"""Ticks that answer ticks: the other side hears often enough, and no two nodes send them to and fro."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_bpy.distribution import connection
from beam_bpy.distribution.connection import Connection
from beam_bpy.protocol.framing import TICK


class Side:
    """One end of a connection whose stream delivers when the test says so."""

    def __init__(self, patch):
        patch.setattr(connection, "monotonic", lambda: 0.0)
        patch.setattr(connection, "ANSWER_INTERVAL", 0.0)
        self.bytes_sent = 0
        self.on_the_way = deque()
        self.connection = Connection.__new__(Connection)
        self.connection._stream = self
        self.connection._answer_after, self.connection._sent_at_answer = 0.0, -1

    def send(self, data):
        self.bytes_sent += len(data)
        self.on_the_way.append(data)

    def deliver_to(self, other):
        if self.on_the_way:
            self.on_the_way.popleft()
            other.connection.answer()


@given(st.lists(st.sampled_from(["a ticks", "b ticks", "a's arrives", "b's arrives", "a sends data"])))
def test_ticks_come_to_an_end_in_whatever_order_they_arrive(events):
    with pytest.MonkeyPatch.context() as patch:
        a, b = Side(patch), Side(patch)
        for event in events:
            match event:
                case "a ticks":
                    a.send(TICK)
                case "b ticks":
                    b.send(TICK)
                case "a sends data":
                    a.send(b"data")
                case "a's arrives":
                    a.deliver_to(b)
                case "b's arrives":
                    b.deliver_to(a)
        rest = len(a.on_the_way) + len(b.on_the_way)
        deliveries = 0
        while a.on_the_way or b.on_the_way:
            a.deliver_to(b)
            b.deliver_to(a)
            deliveries += 1
            assert deliveries <= 2 * rest + 4


@given(st.integers(2, 40), st.booleans())
def test_a_peer_that_only_ticks_hears_something_for_every_second_tick(count, by_data):
    with pytest.MonkeyPatch.context() as patch:
        peer, node = Side(patch), Side(patch)
        for _ in range(count):
            peer.send(b"data" if by_data else TICK)
            peer.deliver_to(node)
        assert len(node.on_the_way) >= count // 2
        assert len(node.on_the_way) <= count


def test_a_node_that_sends_enough_adds_nothing():
    with pytest.MonkeyPatch.context() as patch:
        peer, node = Side(patch), Side(patch)
        for _ in range(10):
            node.send(b"answer")
            peer.send(b"call")
            peer.deliver_to(node)
        assert set(node.on_the_way) == {b"answer"}


def test_answers_are_not_more_frequent_than_the_interval():
    with pytest.MonkeyPatch.context() as patch:
        peer, node = Side(patch), Side(patch)
        patch.setattr(connection, "ANSWER_INTERVAL", 1.0)
        for _ in range(1000):
            peer.send(TICK)
            peer.deliver_to(node)
        assert not node.on_the_way
        patch.setattr(connection, "monotonic", lambda: 1.0)
        peer.send(TICK)
        peer.deliver_to(node)
        assert list(node.on_the_way) == [TICK]
