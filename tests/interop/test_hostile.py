"""Bytes from whoever can reach the port: a server that listens answers honest nodes all the while, and logs no error.

HOSTILE_INPUTS sets how many mutated inputs are tried; 3000 when it is not set.
"""

import contextlib
import hashlib
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import IO

import pytest
from beam import COOKIE, TIMEOUT, Erl, eventually, nodes_of

from beam_bpy import Atom, BeamServer
from beam_bpy.limits import Limits
from beam_bpy.protocol.flags import OURS
from vendor_term_codec import Pid, Reference, encode_term

INPUTS = int(os.environ.get("HOSTILE_INPUTS", "3000"))
ROUND = 1000
SEED = 20261123

TLS_HELLO = bytes.fromhex("160301002f0100002b0303") + bytes(range(32)) + bytes.fromhex("000004130113020100")
HTTP = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: a scanner\r\n\r\n"


@pytest.fixture
def hostile(start_server: Callable[..., BeamServer]) -> BeamServer:
    """A server that is attacked, and that no other test needs."""
    server = start_server(
        limits=Limits(max_unsent=2_000_000, max_in_flight=100, stalled_peer_timeout=1.0), tick_time=4.0
    )
    assert server.start(), server.last_error
    return server


@pytest.fixture
def honest(
    hostile: BeamServer, start_erl: Callable[..., Erl], caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[], None]]:
    """Calls the server as a node of the BEAM does; what the server has logged holds no error of its own."""
    erl = start_erl().call(hostile)

    def check() -> None:
        assert erl.eval("erpc:call(N, m, echo, [1, two])") == [1, "two"]
        assert erl.eval("erlang:disconnect_node(N), net_adm:ping(N)") == "pong"
        assert "Traceback" not in caplog.text
        assert "of this program's own" not in caplog.text
        assert COOKIE not in caplog.text

    yield check
    check()


def name_message(name: bytes) -> bytes:
    body = struct.pack(">cQIH", b"N", OURS, 1, len(name)) + name
    return struct.pack(">H", len(body)) + body


def connected(server: BeamServer) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    sock.settimeout(TIMEOUT)
    return sock


def peer(server: BeamServer, name: bytes) -> socket.socket:
    """A node that knows the cookie, connected; what it says from then on is its own business."""
    sock = connected(server)
    sock.sendall(name_message(name))
    stream = sock.makefile("rb")
    message(stream)
    challenge = struct.unpack_from(">I", message(stream), 9)[0]
    digest = hashlib.md5(f"{COOKIE}{challenge}".encode()).digest()
    sock.sendall(struct.pack(">HcI", 21, b"r", 7) + digest)
    assert len(message(stream)) == 17
    return sock


def message(stream: IO[bytes]) -> bytes:
    return stream.read(int.from_bytes(stream.read(2)))


def call(name: str, function: str, args: list[object], number: int) -> bytes:
    """A frame with an erpc:call."""
    pid = Pid(name, 77, 0, 1)
    ref, result = Reference(name, 1, (number & 0x3FFFF, number, 1)), Reference(name, 1, (number & 0x3FFFF, number, 2))
    control = (29, ref, pid, pid, (Atom("erpc"), Atom("execute_call"), 4), [Atom("monitor")])
    data = b"\x83D\0" + encode_term(control) + encode_term([result, Atom("m"), Atom(function), args])
    return len(data).to_bytes(4) + data


def mutated(rng: random.Random, data: bytes) -> bytes:
    """`data` with a few bytes changed, cut out, doubled, or put in."""
    bad = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(bad) + 1)
        match rng.randrange(4):
            case 0 if place < len(bad):
                bad[place] = rng.randrange(256)
            case 1:
                del bad[place : place + rng.randint(1, 8)]
            case 2:
                bad[place:place] = bad[place : place + rng.randint(1, 16)]
            case _:
                bad[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(bad)


def handshakes(rng: random.Random) -> bytes:
    name = name_message(b"caller%d@127.0.0.1" % rng.randrange(5))
    reply = struct.pack(">HcI", 21, b"r", 7) + rng.randbytes(16)
    return rng.choice([name, name + reply, b"\0\5strue", TLS_HELLO, HTTP, rng.randbytes(40)])


def test_mutated_handshakes_and_random_bytes(hostile: BeamServer, honest: Callable[[], None]) -> None:
    rng = random.Random(SEED)
    for number in range(1, INPUTS + 1):
        with contextlib.suppress(ConnectionError), connected(hostile) as sock:
            sock.sendall(mutated(rng, handshakes(rng)))
        if number % ROUND == 0:
            honest()
    eventually(lambda: hostile._running.connections._half_open == {}, "all of them are forgotten")
    assert not [name for name in nodes_of(hostile) if name.startswith("caller")]


def test_mutated_frames_of_a_node_that_knows_the_cookie(hostile: BeamServer, honest: Callable[[], None]) -> None:
    rng, name, closed = random.Random(SEED), "mutant@127.0.0.1", 0
    good = call(name, "inline_ping", [], 0)
    sock = peer(hostile, name.encode())
    for number in range(1, INPUTS + 1):
        bad = mutated(rng, call(name, "inline_echo", [1, 2.5, "text", Atom("a"), {"k": [1]}], number)[4:])
        wrong_length = rng.random() < 0.05
        try:
            length = rng.randrange(1 << 32) if wrong_length else len(bad)
            # The answer to a good one says that the bad one has been looked at.
            sock.sendall(length.to_bytes(4) + bad + good)
            over = wrong_length or not sock.recv(1 << 16)
        except ConnectionError:
            over = True
        if over:
            closed += 1
            sock.close()
            sock = peer(hostile, name.encode())
        if number % ROUND == 0:
            honest()
    sock.close()
    assert 0 < closed < INPUTS


def test_scans_are_one_line_for_each_reason_in_the_log(
    hostile: BeamServer, honest: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        with contextlib.suppress(ConnectionError), connected(hostile) as sock:
            sock.sendall((TLS_HELLO, HTTP, b"", b"\xff" * 600)[number % 4])
    honest()

    lines = [line for line in caplog.messages if "was refused" in line]
    assert 1 <= len(lines) == len(set(lines)) <= 5


def test_a_flood_of_half_open_connections(hostile: BeamServer, honest: Callable[[], None]) -> None:
    held = []
    try:
        for number in range(300):
            held.append(connected(hostile))
            if number % 2:
                with contextlib.suppress(ConnectionError):
                    held[-1].sendall(name_message(b"half%d@127.0.0.1" % number))
        honest()
        assert len(hostile._running.connections._half_open) <= Limits().max_half_open_per_address
    finally:
        for sock in held:
            sock.close()


def test_a_handshake_that_never_ends_is_ended(hostile: BeamServer, honest: Callable[[], None]) -> None:
    message, place, end = name_message(b"x" * 250 + b"@h"), 0, time.monotonic() + TIMEOUT
    with connected(hostile) as sock:
        with contextlib.suppress(ConnectionError):
            # Each byte comes in time for a deadline that would begin anew with it.
            while place < len(message) and time.monotonic() < end:
                sock.sendall(message[place : place + 1])
                place += 1
                sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(1):
                        break
        assert place < len(message)
    honest()


def test_a_peer_that_calls_ten_thousand_times_and_never_reads(
    hostile: BeamServer, honest: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="beam_bpy")
    name = "greedy@127.0.0.1"
    with peer(hostile, name.encode()) as sock:
        sock.settimeout(0.5)
        # The server stops reading, so that not all of it finds room.
        with contextlib.suppress(ConnectionError, TimeoutError):
            for number in range(10_000):
                sock.sendall(call(name, "zeros", [20_000], number))
        honest()
        eventually(lambda: f"{name} has disconnected: it has read nothing" in caplog.text, "it is disconnected")
        assert name not in nodes_of(hostile)
