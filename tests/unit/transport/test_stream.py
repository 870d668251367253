"""Streams over real sockets: whole, in order for each sender, small messages between the pieces of large ones."""

import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ports import free_port
from support import TIMEOUT, eventually, in_thread, on_loop

from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.protocol import ProtocolError
from beam_bpy.protocol.framing import FrameReader, framed
from beam_bpy.transport.connector import connect
from beam_bpy.transport.listener import Listener, listen
from beam_bpy.transport.resolver import addresses_of, resolve
from beam_bpy.transport.stream import Stream

PIECE = 64 * 1024


class Notes:
    """A stream's protocol that keeps what it is told."""

    def __init__(self):
        self._buffer = bytearray(1 << 16)
        self.data = bytearray()
        self.reasons = []
        self.end = threading.Event()

    def get_buffer(self):
        return memoryview(self._buffer)

    def buffer_updated(self, count):
        self.data += self._buffer[:count]
        if self.data.startswith(b"refuse"):
            raise ProtocolError("refused")
        if self.data.startswith(b"fail"):
            raise RuntimeError("a test's own failure")

    def connection_lost(self, reason):
        self.reasons.append(reason)
        self.end.set()


class End:
    """A stream, what its protocol was told, and the socket at its other end."""

    def __init__(self, loop):
        self.loop = loop
        ours, self.socket = socket.socketpair()
        self.socket.settimeout(TIMEOUT)
        self.notes = Notes()
        self.stream = on_loop(loop, lambda: Stream(loop, ours, self.notes))

    def close(self):
        on_loop(self.loop, lambda: self.stream.close("the test ends"))
        self.socket.close()

    def frames(self, count):
        """The next `count` messages that arrive."""
        reader, frames = FrameReader(), []
        while len(frames) < count:
            data = self.socket.recv(1 << 20)
            assert data, "the stream was closed"
            frames += map(bytes, reader.feed(data))
        return frames


@pytest.fixture
def end(loop):
    end = End(loop)
    yield end
    end.close()


def pieces(label, count):
    """The pieces of one large message, each of which says whose it is and which."""
    return (framed(b"%s %d " % (label, number), bytes(PIECE)) for number in range(count))


def labels(frames):
    return [frame.rstrip(b"\0").strip() for frame in frames]


LARGE = 100
"""Pieces that are more than any socket takes before its other end is read."""


class TestLanes:
    def test_a_small_message_of_another_sender_passes_between_the_pieces(self, end):
        end.stream.send_in_pieces(pieces(b"large", LARGE), b"one")
        end.stream.send(framed(b"small"), b"other")

        got = labels(end.frames(LARGE + 1))

        assert got.index(b"small") < LARGE - 1
        assert [label for label in got if label != b"small"] == [b"large %d" % number for number in range(LARGE)]

    def test_what_the_same_sender_sends_later_arrives_later(self, end):
        end.stream.send_in_pieces(pieces(b"large", LARGE), b"one")
        end.stream.send(framed(b"after"), b"one")
        end.stream.send_in_pieces(pieces(b"again", 2), b"one")
        end.stream.send(framed(b"last"), b"one")

        got = labels(end.frames(LARGE + 4))

        assert got[LARGE:] == [b"after", b"again 0", b"again 1", b"last"]

    def test_what_the_same_sender_sent_before_arrives_before(self, end):
        def send():
            # On the network thread nothing leaves before the callback is done.
            end.stream.send(framed(b"before"), b"one")
            end.stream.send_in_pieces(pieces(b"large", 3), b"one")

        on_loop(end.loop, send)

        assert labels(end.frames(4)) == [b"before", b"large 0", b"large 1", b"large 2"]

    def test_large_messages_of_several_senders_take_turns(self, end):
        def send():
            for sender in (b"a", b"b", b"c"):
                end.stream.send_in_pieces(pieces(sender, 3), sender)

        on_loop(end.loop, send)

        assert labels(end.frames(9)) == [b"%s %d" % (who, number) for number in range(3) for who in (b"a", b"b", b"c")]

    def test_a_sender_is_free_again_once_its_large_message_has_gone(self, end):
        end.stream.send_in_pieces(pieces(b"large", 2), b"one")
        assert len(end.frames(2)) == 2

        end.stream.send(framed(b"small"), b"one")

        assert end.frames(1) == [b"small"]

    @given(plan=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 4), st.booleans()), max_size=20))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_each_sender_is_heard_in_order_whatever_it_sends_from_wherever(self, loop, plan):
        end, expected, count = End(loop), {}, 0
        try:
            for number, (sender, size, from_network_thread) in enumerate(plan):
                label = b"%s%d" % (sender, number)
                call = (
                    (lambda label=label, sender=sender: end.stream.send(framed(label), sender))
                    if size == 0
                    else lambda label=label, sender=sender, size=size: end.stream.send_in_pieces(
                        pieces(label, size), sender
                    )
                )
                on_loop(loop, call) if from_network_thread else call()
                sent = [label] if size == 0 else [b"%s %d" % (label, piece) for piece in range(size)]
                expected.setdefault(sender, []).extend(sent)
                count += len(sent)
            got = labels(end.frames(count))
        finally:
            end.close()

        assert {sender: [label for label in got if label[:1] == sender] for sender in expected} == expected

    def test_senders_on_threads_of_their_own_are_each_heard_in_order(self, end):
        def send(sender):
            for number in range(60):
                if number % 10 == 0:
                    end.stream.send_in_pieces(pieces(b"%s%d" % (sender, number), 5), sender)
                else:
                    end.stream.send(framed(b"%s%d" % (sender, number)), sender)

        threads = [in_thread(lambda sender=sender: send(sender)) for sender in (b"a", b"b", b"c")]
        got = labels(end.frames(3 * (54 + 30)))
        for thread in threads:
            thread.join(TIMEOUT)

        for sender in (b"a", b"b", b"c"):
            mine = [label for label in got if label[:1] == sender]
            assert mine == [
                label
                for number in range(60)
                for label in (
                    [b"%s%d %d" % (sender, number, piece) for piece in range(5)]
                    if number % 10 == 0
                    else [b"%s%d" % (sender, number)]
                )
            ]


class TestTheEnd:
    def test_all_that_was_sent_arrives_before_a_stream_that_closes_when_sent_does(self, end):
        end.stream.send_in_pieces(pieces(b"large", LARGE), b"one")
        end.stream.send(framed(b"after"), b"one")
        end.stream.send(framed(b"small"), b"other")

        on_loop(end.loop, lambda: end.stream.close_when_sent("done"))

        assert labels(end.frames(LARGE + 2))[-1] == b"after"
        assert end.socket.recv(1) == b""
        assert end.notes.end.wait(TIMEOUT)
        assert end.notes.reasons == ["done"]

    def test_its_protocol_is_told_once(self, end):
        on_loop(end.loop, lambda: [end.stream.close(reason) for reason in ("first", "second")])

        assert end.notes.reasons == ["first"]
        assert end.socket.recv(1) == b""

    def test_nothing_can_be_sent_on_it_any_more(self, end):
        on_loop(end.loop, lambda: end.stream.close("closed"))

        end.stream.send(b"late")
        end.stream.send_in_pieces(iter([b"late"]), b"one")

        assert end.socket.recv(1) == b""

    def test_the_other_side_may_close(self, end):
        end.socket.close()

        assert end.notes.end.wait(TIMEOUT)
        assert end.notes.reasons == ["the other side closed the connection"]

    def test_the_other_side_may_close_while_a_large_message_is_on_its_way(self, end):
        end.stream.send_in_pieces(pieces(b"large", LARGE), b"one")
        end.frames(1)

        end.socket.close()

        assert end.notes.end.wait(TIMEOUT)
        assert len(end.notes.reasons) == 1

    def test_what_the_protocol_refuses_closes_it_with_that_sentence(self, end):
        end.socket.sendall(b"refuse")

        assert end.notes.end.wait(TIMEOUT)
        assert end.notes.reasons == ["refused"]

    def test_an_error_of_the_protocols_own_closes_it_and_is_logged(self, end, caplog):
        end.socket.sendall(b"fail")

        assert end.notes.end.wait(TIMEOUT)
        assert end.notes.reasons == ["an error of this program's own"]
        assert "a test's own failure" in caplog.text


def test_a_callback_that_fails_does_not_end_the_loop(loop, caplog):
    def fail():
        raise RuntimeError("a test's own failure")

    loop.call_soon(fail)

    assert on_loop(loop, lambda: "goes on") == "goes on"
    assert "a test's own failure" in caplog.text


class TestConnecting:
    def connect(self, loop, address):
        done, got = threading.Event(), []
        on_loop(loop, lambda: connect(loop, address, lambda result: (got.append(result), done.set())))
        assert done.wait(TIMEOUT)
        return got[0]

    @pytest.mark.parametrize("host", [host for host in ("127.0.0.1", "::1") if host in addresses_of("localhost")])
    def test_a_port_that_somebody_listens_on(self, loop, host):
        with listen(host, 0) as listening:
            sock = self.connect(loop, (host, listening.getsockname()[1]))
            assert isinstance(sock, socket.socket)
            sock.close()

    def test_a_port_that_nobody_listens_on(self, loop):
        assert self.connect(loop, ("127.0.0.1", free_port())) == "Connection refused"

    @pytest.mark.parametrize("address", ["no-such-host.invalid", "1.2.3.4.5"])
    def test_what_is_no_address_is_an_answer_too(self, loop, address):
        assert isinstance(self.connect(loop, (address, 1)), str)

    @pytest.mark.parametrize(
        ("host", "first"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")]
    )
    def test_the_addresses_of_a_host(self, loop, host, first):
        done, got = threading.Event(), []

        on_loop(loop, lambda: resolve(loop, host, lambda found: (got.append(found), done.set())))

        assert done.wait(TIMEOUT)
        assert got[0][0] == first

    def test_a_host_that_is_not_known_has_none(self, loop):
        done, got = threading.Event(), []

        on_loop(loop, lambda: resolve(loop, "no-such-host.invalid", lambda found: (got.append(found), done.set())))

        assert done.wait(TIMEOUT)
        assert got == [[]]

    def test_a_listener_hands_over_what_connects(self, loop):
        sockets = []
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        listener = on_loop(
            loop, lambda: Listener(loop, listening, lambda sock, address: sockets.append((sock, address)))
        )

        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as ours:
            eventually(lambda: sockets)
            [(sock, address)] = sockets
            assert address == ours.getsockname()
            sock.close()
        on_loop(loop, listener.close)

        assert self.connect(loop, ("127.0.0.1", port)) == "Connection refused"

    def test_a_question_to_epmd_returns_all_until_the_other_side_closes(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(TIMEOUT)

            def answer():
                sock, _address = listening.accept()
                with sock:
                    sock.sendall(sock.recv(64)[::-1] * 5000)

            thread = in_thread(answer)
            monkeypatch.setenv("ERL_EPMD_PORT", str(listening.getsockname()[1]))
            assert ask_and_wait("127.0.0.1", b"abc") == b"cba" * 5000
            thread.join(TIMEOUT)
