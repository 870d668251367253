"""Faults of what is around a server: sockets that die, no descriptors or threads left, a clock, epmd, strangers."""

import ast
import contextlib
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ports import free_port
from support import (
    NAME,
    TIMEOUT,
    Client,
    connections_of,
    eventually,
    hung_up,
    is_paused,
    loop_of,
    nodes_of,
    on_loop,
    pending_of,
    send_name,
    unsent,
)

from beam_bpy import NodeDownError, Tls
from beam_bpy.epmd.server import EmbeddedEpmd
from beam_bpy.limits import Limits
from beam_bpy.transport.listener import Listener, listen
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.resolver import resolve

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "beam_bpy").rglob("*.py"))


def break_off(sock):
    """Close a socket so that the other side gets a reset, not an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=node", "-days", "1"]
    command = ["openssl", "req", "-x509", *new, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def names(tree):
    """The names that a module calls or reads, as they are written there."""
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)]


class TestSecrets:
    def test_the_module_random_is_not_used_and_digests_are_compared_in_constant_time(self):
        imported = set()
        for path in PACKAGE:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported.add(node.module)
        handshake = ast.parse((ROOT / "beam_bpy" / "protocol" / "handshake.py").read_text())
        compared = [ast.unparse(node) for node in ast.walk(handshake) if isinstance(node, ast.Compare)]

        assert "random" not in imported
        assert "hmac.compare_digest" in names(handshake)
        assert [text for text in compared if "digest(" in text or "cookie" in text] == []

    def test_each_connection_has_a_challenge_of_its_own(self, server):
        challenges = set()
        for _ in range(20):
            with Client(server) as client:
                challenges.add(client.challenge)

        assert len(challenges) == 20


class TestClock:
    def test_the_time_of_day_is_for_showing_only(self):
        users = {path.name for path in PACKAGE if "time.time" in names(ast.parse(path.read_text()))}
        imports = [
            path.name
            for path in PACKAGE
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom) and "datetime" in ast.unparse(node)
        ]

        # When a node has connected, and when a call has failed. Results may contain times.
        assert users == {"peer.py", "statistics.py"}
        assert imports == ["erlang_variant.py"]


class TestSockets:
    def conversation(self, server):
        """All that a node says from its name to its second call."""
        said = []

        class Said:
            def __init__(self, sock):
                self._sock = sock

            def sendall(self, data):
                said.append(data)
                self._sock.sendall(data)

            def __getattr__(self, name):
                return getattr(self._sock, name)

        with Client(server, "recorded@127.0.0.1") as client:
            client.socket = Said(client.socket)
            client.call("echo", 1)
            client.call("inline", [2])
        return send_name("recorded@127.0.0.1"), b"".join(said)

    @pytest.mark.parametrize("reset", [False, True])
    def test_they_may_die_at_any_byte(self, server, caplog, reset):
        server.register_handler("inline", lambda args: args, inline=True)
        name, rest = self.conversation(server)
        for length in range(len(name) + 1):
            sock = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
            sock.sendall(name[:length])
            break_off(sock) if reset else sock.close()
        for length in range(len(rest) + 1):
            client = Client(server, "recorded@127.0.0.1")
            client.socket.sendall(rest[:length])
            break_off(client.socket) if reset else client.socket.close()

        with Client(server) as client:
            assert client.call("echo", 1) == [1]
            eventually(lambda: nodes_of(server) == (client.name,))
            eventually(lambda: len(connections_of(server)) == 1 and not pending_of(server))
        assert "Traceback" not in caplog.text
        assert "of this program's own" not in caplog.text

    @pytest.mark.parametrize("closes", ["reading", "writing"])
    def test_one_that_is_closed_on_one_side_only_harms_nobody(self, server, closes):
        with Client(server) as client:
            client.ask("echo", [1])
            client.socket.shutdown(socket.SHUT_RD if closes == "reading" else socket.SHUT_WR)
            if closes == "writing":
                assert client.closed()
        with Client(server, "other@127.0.0.1") as other:
            assert other.call("echo", 1) == [1]

    def test_one_that_is_gone_before_tls_begins_is_forgotten(self, make, certificate, caplog):
        server = make(tls=Tls(*certificate, certificate[0]))
        assert server.start(), server.last_error
        for _ in range(10):
            busy, go_on = threading.Event(), threading.Event()
            loop_of(server).call_soon(lambda busy=busy, go_on=go_on: busy.set() or go_on.wait(TIMEOUT))
            assert busy.wait(TIMEOUT)
            sock = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
            sock.sendall(b"GET / HTTP/1.1\r\n")
            break_off(sock)
            go_on.set()
        on_loop(loop_of(server), lambda: None)

        eventually(lambda: not pending_of(server))
        assert "Traceback" not in caplog.text
        assert caplog.text.count("was refused") == 1


OWN_PROCESS = f"""
import errno, os, resource, signal, socket, sys, threading, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "unit")!r}, {str(ROOT / "tests")!r}]
import logging
from support import COOKIE, NAME, Client, eventually, headed
from ports import free_port
os.environ["ERL_EPMD_PORT"] = str(free_port())
from beam_bpy import BeamServer

def fail(*error):  # Threads of a server that runs would else keep it from ending.
    sys.__excepthook__(*error)
    sys.stderr.flush()
    os._exit(1)

sys.excepthook = fail

lines = []
class Lines(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("beam_bpy").addHandler(Lines())

def server(**options):
    made = BeamServer(NAME, COOKIE, **options)
    made.register_handler("echo", lambda args: args)
    return made
"""


def run(code):
    """Run a program of its own with a server, for what would break this one; no thread of it is left behind."""
    done = subprocess.run(
        [sys.executable, "-c", OWN_PROCESS + code + ENDING],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stdout.endswith("came to its end\n"), done.stdout + done.stderr


ENDING = """
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
print("came to its end")
"""

NO_DESCRIPTORS = """
def exhaust():
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return held

def release(held):
    for descriptor in held:
        os.close(descriptor)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
"""


class TestDescriptors:
    @pytest.mark.posix
    def test_without_one_left_it_waits_without_spinning(self):
        """Each call makes the loop look at its sockets, of which one is ready all the while."""
        run(
            NO_DESCRIPTORS
            + """
from beam_bpy.transport import listener
listener._RETRY_TIME = 3600.0
accepts, accept = [], socket.socket.accept
socket.socket.accept = lambda sock: (accepts.append(sock), accept(sock))[1]
a = server(epmd="none")
assert a.start(), a.last_error
with Client(a) as client, socket.socket() as knocking:
    assert client.call("echo", 1) == [1]
    accepts.clear()
    held = exhaust()
    knocking.connect(("127.0.0.1", a.port))
    for number in range(100):
        assert client.call("echo", number) == [number]
    eventually(lambda: "no file descriptor is left" in "".join(lines))
    for number in range(100):
        assert client.call("echo", number) == [number]
    assert len(accepts) == 1, accepts
    release(held)
a.stop()
"""
        )

    @pytest.mark.posix
    def test_without_one_left_it_says_so_once_and_accepts_again_later(self):
        run(
            NO_DESCRIPTORS
            + """
from beam_bpy.transport import listener
listener._RETRY_TIME = 0.01
accepts, accept = [], socket.socket.accept
socket.socket.accept = lambda sock: (accepts.append(sock), accept(sock))[1]
a = server(epmd="none")
assert a.start(), a.last_error
with Client(a) as client:
    assert client.call("echo", 1) == [1]
    accepts.clear()
    knocking = socket.socket()
    held = exhaust()
    knocking.connect(("127.0.0.1", a.port))
    eventually(lambda: len(accepts) >= 5)
    assert client.call("echo", 1) == [1]
    assert len([line for line in lines if "no file descriptor is left" in line]) == 1, lines
    release(held)
    knocking.close()
    with Client(a, "other@127.0.0.1") as other:
        assert other.call("echo", 2) == [2]
a.stop()
"""
        )

    @pytest.mark.posix
    def test_without_one_left_calls_of_ours_fail_and_a_stop_ends(self):
        run(
            NO_DESCRIPTORS
            + """
from beam_bpy import NodeDownError
a = server()
assert a.start(), a.last_error
with Client(a) as client:
    assert client.call("echo", 1) == [1]
    held = exhaust()
    try:
        a.call("nobody@127.0.0.1", "m", "f", timeout=30)
    except NodeDownError as error:
        assert os.strerror(errno.EMFILE) in str(error), error
    else:
        raise AssertionError
    waiting = a.call_async(client.name, "m", "f")
    a.stop()
    assert isinstance(waiting.exception(10), NodeDownError)
    held += exhaust()
    assert a.start() is False
    assert os.strerror(errno.EMFILE) in a.last_error, a.last_error
    release(held)
assert "Traceback" not in "".join(lines), lines
assert a.start(), a.last_error
with Client(a) as client:
    assert client.call("echo", 1) == [1]
a.stop()
"""
        )

    @pytest.mark.posix
    def test_an_epmd_that_returns_while_there_is_none_left_is_found_later(self):
        run(
            NO_DESCRIPTORS
            + """
from beam_bpy.epmd import client as epmd, registration
from beam_bpy.epmd.server import EmbeddedEpmd
from beam_bpy.transport.loop import Loop
registration._RETRY_TIME = 0.1
loop = Loop("epmd")
loop.start()
def on_loop(function):
    done = threading.Event(); result = []
    loop.call_soon(lambda: (result.append(function()), done.set()))
    assert done.wait(10)
    return result[0]
first = on_loop(lambda: EmbeddedEpmd(loop, epmd.port(), "127.0.0.1"))
a = server(epmd="host")
assert a.start(), a.last_error
on_loop(first.close)
eventually(lambda: "the connection to epmd broke" in "".join(lines))
held = exhaust()
time.sleep(0.5)
release(held)
again = on_loop(lambda: EmbeddedEpmd(loop, epmd.port(), "127.0.0.1"))
eventually(lambda: NAME in again.registrations)
a.stop()
on_loop(again.close)
loop.stop()
loop.join(10)
"""
        )

    def test_a_failure_to_accept_of_any_kind_is_waited_out(self, loop, monkeypatch, caplog):
        """The kernel may be out of memory; there is no way to bring that about here."""
        monkeypatch.setattr("beam_bpy.transport.listener._RETRY_TIME", 0.05)
        tries, accepted = [], threading.Event()

        class Socket(socket.socket):
            def accept(self):
                tries.append(1)
                if len(tries) < 4:
                    raise OSError(105, "No buffer space available")
                return super().accept()

        plain = listen("127.0.0.1", 0)
        sock = Socket(fileno=plain.detach())
        sock.setblocking(False)
        listener = on_loop(loop, lambda: Listener(loop, sock, lambda got, _address: got.close() or accepted.set()))
        with socket.create_connection(sock.getsockname()):
            assert accepted.wait(TIMEOUT)
        on_loop(loop, listener.close)

        assert len(tries) == 4
        assert caplog.text.count("wait until this program can accept them: No buffer space available") == 1


@pytest.mark.posix
class TestSignals:
    @pytest.mark.parametrize("serves", ["worker", "serve_forever"])
    def test_a_peer_that_hangs_up_does_not_end_a_program_by_sigpipe(self, serves):
        """Python ignores that signal. A Blender does not, nor does a program that has set it back."""
        run(
            f"""
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
a = server(epmd="none")
a.register_handler("slow", lambda args: time.sleep(0.0003))

def hang_up():
    eventually(lambda: a.running)
    for number in range(300):
        with Client(a, f"caller{{number}}@127.0.0.1") as client:
            frames = [headed(*client.erpc("slow", [])) for _ in range(20)]
            client.socket.sendall(b"".join(len(frame).to_bytes(4) + frame for frame in frames))
    with Client(a) as client:
        assert client.call("echo", 1) == [1]
    a.stop()

if {serves!r} == "worker":
    assert a.start(), a.last_error
    hang_up()
else:
    thread = threading.Thread(target=hang_up)
    thread.start()
    a.serve_forever()
    thread.join()
"""
        )

    def test_nor_does_one_under_tls(self, certificate):
        pem, key = certificate
        run(
            f"""
from beam_bpy import Tls
from beam_bpy.transport.loop import Loop
from beam_bpy.transport.tls import TlsStream
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
tls = Tls({str(pem)!r}, {str(key)!r}, {str(pem)!r}, check_host=False)

class Nobody:
    def __init__(self):
        self.data, self.over = bytearray(100), threading.Event()
    def get_buffer(self): return memoryview(self.data)
    def buffer_updated(self, count): pass
    def connection_lost(self, reason): self.over.set()

loop = Loop("tls")
loop.start()
ours, theirs = socket.socketpair()
def shaken_hands():
    sock = tls.client_side("127.0.0.1")(theirs)
    sock.setblocking(True)
    sock.do_handshake()
    return sock
nobody, made = Nobody(), []
loop.call_soon(lambda: made.append(TlsStream(loop, ours, nobody, tls.server_side())))
other = shaken_hands()
eventually(lambda: made and made[0]._handshake_done)
made[0].pause_reading()  # So that it does not see the end.
other.close()
for _ in range(50):
    made[0].send(bytes(1000))
assert nobody.over.wait(10)
loop.stop()
loop.join(10)
assert signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL
assert signal.SIGPIPE not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""
        )


class TestThreads:
    @pytest.mark.posix
    def test_a_user_who_may_have_no_more_is_told_so_and_may_start_later(self):
        """As root no such limit holds, so that root becomes somebody else."""
        run(
            """
a = server()
assert a.start(), a.last_error
a.stop()
_soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
assert a.start() is False
assert a.last_error.startswith("this system cannot start another thread"), a.last_error
assert a.state == "failed"
assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
assert a.start(), a.last_error
with Client(a) as client:
    assert client.call("echo", 1) == [1]
    resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
    try:
        a.connect("nobody@no-such-host.invalid")
    except Exception as error:
        assert "is not known" in str(error), error
    assert "cannot be looked up: this system cannot start another thread" in "".join(lines)
    assert client.call("echo", 1) == [1]
a.stop()
"""
        )

    def test_a_name_that_is_being_looked_up_holds_up_no_stop(self, server, monkeypatch):
        """Nobody can end a look-up, so its thread may outlive the server; it holds up no end of the program either."""
        asked, answer = threading.Event(), threading.Event()

        def look_up(_host):
            asked.set()
            answer.wait(TIMEOUT)
            return ["127.0.0.1"]

        monkeypatch.setattr("beam_bpy.transport.resolver.addresses_of", look_up)
        future = server.call_async("somebody@somewhere.example", "m", "f")
        assert asked.wait(TIMEOUT)
        server.stop()

        left = [thread for thread in threading.enumerate() if thread.name.startswith("beam_bpy")]
        assert [(thread.name, thread.daemon) for thread in left] == [("beam_bpy resolver", True)]
        assert isinstance(future.exception(TIMEOUT), NodeDownError)
        answer.set()

    def test_what_is_found_after_the_end_is_dropped(self):
        loop = Loop("loop of a test")
        loop.start()
        found = []
        loop.stop()
        loop.join(TIMEOUT)
        resolve(loop, "localhost", found.append)
        eventually(lambda: not any(thread.name == "beam_bpy resolver" for thread in threading.enumerate()))

        assert found == []


class TestEmbeddedEpmd:
    @pytest.fixture
    def epmd(self, loop, port):
        server = on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))
        yield server
        on_loop(loop, server.close)

    def ask(self, port, request):
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
            sock.sendall(request)
            return b"".join(iter(lambda: sock.recv(4096), b""))

    def test_silent_connections_keep_nobody_from_asking(self, epmd, port, caplog):
        silent = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(200)]
        try:
            assert self.ask(port, b"\0\1n").startswith(port.to_bytes(4))
            assert hung_up(silent[0])
            eventually(lambda: len(epmd._clients) <= 64)
        finally:
            for sock in silent:
                sock.close()
        assert caplog.text.count("was refused") == 1

    def test_one_that_is_asked_to_end_again_and_again_says_so_once(self, epmd, port, caplog):
        for _ in range(100):
            assert self.ask(port, b"\0\1k") == b"NO"

        assert caplog.text.count("asked this epmd to kill") == 1
        assert len(caplog.records) == 1

    def test_only_nodes_of_this_machine_register(self, epmd, loop, port):
        """As with every epmd: others would take the names of this machine's nodes away."""
        body = b"x" + struct.pack(">HBBHHH", 4711, 77, 0, 6, 5, 4) + b"evil" + b"\0\0"
        request = struct.pack(">H", len(body)) + body
        for address, registered in (("10.1.2.3", False), ("2001:db8::5", False), ("127.0.0.1", True)):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname(), TIMEOUT)
                accepted, _address = listener.accept()
            on_loop(loop, lambda accepted=accepted, address=address: epmd._accepted(accepted, (address, 5)))
            with client:
                client.sendall(request)
                if registered:
                    assert client.recv(1) in (b"v", b"y")
                else:
                    assert hung_up(client)
        # It is forgotten with its connection.
        eventually(lambda: not epmd.registrations)


class TestPeers:
    def test_a_flood_of_messages_to_a_process_is_read_no_faster_than_it_is_handled(self, make):
        server = make(limits=Limits(max_in_flight=100))
        assert server.start(), server.last_error
        gate, got = threading.Event(), []
        process = server.register_process("sink", lambda _process, message: gate.wait(TIMEOUT) and got.append(message))
        with Client(server) as client, Client(server, "other@127.0.0.1") as other:
            for number in range(5000):
                client.tell((22, client.pid, process.pid), number)
            (connection,) = (each for each in connections_of(server) if each.peer.name == client.name)
            eventually(lambda: is_paused(connection))
            assert server.activity.queued <= 101
            other.tell(*other.erpc("echo", [7]))
            gate.set()
            eventually(lambda: len(got) == 5000)

        assert got == list(range(5000))

    def test_a_subscriber_that_reads_nothing_is_disconnected_and_the_others_get_each_event(self, make, caplog):
        caplog.set_level("INFO", logger="beam_bpy")
        server = make(limits=Limits(max_unsent=200_000, stalled_peer_timeout=0.3), tick_time=0.4)
        assert server.start(), server.last_error
        stop, heard = threading.Event(), []
        with Client(server, "deaf@127.0.0.1") as deaf, Client(server, "other@127.0.0.1") as other:
            for client in (deaf, other):
                client.ask("subscribe", ["frames"])
                client.event()
                client.event()

            def tick():
                while not stop.wait(0.05):
                    for client in (deaf, other):
                        with contextlib.suppress(OSError):
                            client.socket.sendall(bytes(4))

            def listen_on():
                while len(heard) < 300:
                    event = other.event()
                    if hasattr(event, "payload"):
                        heard.append(event.payload[3][0])

            both = [threading.Thread(target=tick), threading.Thread(target=listen_on)]
            for thread in both:
                thread.start()
            for number in range(300):
                # A subscriber that reads as fast as the publisher sends misses nothing.
                eventually(lambda number=number: len(heard) >= number - 2)
                server.publish("frames", [number, bytes(50_000)])
            both[1].join(TIMEOUT)
            eventually(lambda: "deaf@127.0.0.1 has disconnected: it has read nothing" in caplog.text)
            assert server.subscribers("frames") == 1
            stop.set()
            both[0].join(TIMEOUT)

        assert heard == list(range(300))

    def test_a_subscriber_that_reads_nothing_for_a_while_then_gets_the_newest_of_large_events(self, make):
        server = make()
        assert server.start(), server.last_error
        with Client(server, "slow@127.0.0.1") as slow:
            slow.ask("subscribe", ["pictures"])
            slow.event()
            slow.event()
            (connection,) = connections_of(server)
            eventually(lambda: unsent(connection) == 0)

            reached = [server.publish("pictures", [number, bytes(500_000)], newest=True) for number in range(100)]
            sent = sum(reached)
            assert reached == [1] * sent + [0] * (100 - sent)
            assert 0 < sent < 100
            assert [slow.event().payload[3][0] for _ in range(sent)] == list(range(sent))
            eventually(lambda: server.publish("pictures", ["newest", b""], newest=True))
            missed, newest = slow.event().payload[3], slow.event().payload[3]

        assert missed >= 100 - sent
        assert newest == ["newest", ""]

    def test_who_claims_the_name_of_a_node_holds_up_our_call_to_it_no_longer_than_a_handshake(self, make, monkeypatch):
        """Only the handshake tells who it is. Until then the protocol has the call wait, as on the BEAM."""
        monkeypatch.setattr("beam_bpy.distribution.connection_setup.SETUP_TIME", 0.5)
        a, b = make(f"{NAME}a"), make(f"{NAME}b")
        assert a.start(), a.last_error
        assert b.start(), b.last_error
        with socket.create_connection(("127.0.0.1", a.port), TIMEOUT) as stranger:
            stranger.sendall(send_name(b.node_name))
            assert stranger.recv(5) == b"\0\3sok"
            assert a.call(b.node_name, "m", "echo", [1], timeout=TIMEOUT) == [1]
            assert hung_up(stranger)


class TestLife:
    def test_a_start_during_the_stop_of_another_thread_runs_no_handler_beside_the_last_one(self, make):
        server = make(port=free_port())
        entered, leave, ended, events = threading.Event(), threading.Event(), threading.Event(), []
        server.register_handler("gate", lambda args: entered.set() or (leave.wait(TIMEOUT) and events.append("gate")))
        server.register_handler("next", lambda args: events.append("next") or ended.set())
        assert server.start(), server.last_error
        with Client(server) as client, Client(server, "bystander@127.0.0.1") as bystander:
            client.ask("gate", [])
            assert entered.wait(TIMEOUT)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert bystander.closed()
            assert server.start(), server.last_error
            with Client(server, "second@127.0.0.1") as second:
                second.ask("next", [])
                assert not ended.wait(0.3)
                leave.set()
                assert ended.wait(TIMEOUT)
            stopping.join(TIMEOUT)
        assert events == ["gate", "next"]

    @pytest.mark.parametrize("inline", [True, False])
    def test_a_handler_may_stop_and_start_a_server_that_another_thread_stops(self, make, inline):
        server = make()
        entered, stopping, done = threading.Event(), threading.Event(), threading.Event()

        def restart(args):
            entered.set()
            stopping.wait(TIMEOUT)
            server.stop()
            done.set()

        server.register_handler("restart", restart, inline=inline)
        assert server.start(), server.last_error
        with Client(server) as client:
            client.tell(*client.erpc("restart", []))
            assert entered.wait(TIMEOUT)
            stop = threading.Thread(target=server.stop)
            stop.start()
            eventually(lambda: not server.running)
            stopping.set()
            stop.join(TIMEOUT)

        assert done.is_set()
        assert not stop.is_alive()
        assert server.start(), server.last_error

    @pytest.mark.posix
    def test_a_second_signal_does_not_wait_for_a_handler_that_hangs(self):
        run(
            """
signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in what a shell runs in the background.
a = server()
entered, seen = threading.Event(), []

def hang(args):
    entered.set()
    while True:
        time.sleep(0.05)

a.register_handler("hang", hang)

def interrupt():
    eventually(lambda: a.running)
    with Client(a) as client:
        client.ask("hang", [])
        assert entered.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        seen.append(a.running)
        os.kill(os.getpid(), signal.SIGINT)
        assert client.closed()

thread = threading.Thread(target=interrupt)
thread.start()
a.serve_forever()
thread.join()
assert seen == [True], seen
assert not a.running
"""
        )

    def test_a_peer_that_does_not_read_holds_up_no_stop(self, server):
        server.register_handler("zeros", lambda args: bytes(args[0]))
        with Client(server) as client:
            client.tell(*client.erpc("zeros", [100_000_000]))
            eventually(lambda: any(unsent(c) > 1_000_000 for c in connections_of(server)))
            server.stop()
            assert not any(thread.name.startswith("beam_bpy") for thread in threading.enumerate())
            assert client.closed()
