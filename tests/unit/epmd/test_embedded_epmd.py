"""The epmd inside this program, asked over real sockets, and nodes that register with it and with others."""

import contextlib
import socket
import struct
from concurrent.futures import Future

import pytest
from support import COOKIE, NAME, TIMEOUT, Client, eventually, hung_up, in_thread, on_loop

from beam_bpy import BeamServer
from beam_bpy.epmd import client as epmd
from beam_bpy.epmd import registration
from beam_bpy.epmd.server import EmbeddedEpmd
from beam_bpy.protocol import epmd as messages
from beam_bpy.protocol.epmd import Registration
from beam_bpy.transport.listener import listen
from beam_bpy.transport.loop import Loop

CRATE = Registration("crate", 45123)


@pytest.fixture
def running(loop, port):
    """An epmd that runs."""
    server = on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))
    yield server
    on_loop(loop, server.close)


def connected(port, host="127.0.0.1"):
    return socket.create_connection((host, port), TIMEOUT)


def ask(port, request, host="127.0.0.1"):
    """The whole answer to a request that epmd hangs up after."""
    with connected(port, host) as sock:
        sock.sendall(request)
        answer = b""
        while part := sock.recv(1024):
            answer += part
        return answer


def look_up(port, name):
    """The port of a node, or None; also None when no epmd answers."""
    with contextlib.suppress(OSError):
        return messages.take_port(ask(port, messages.look_up(name)))
    return None


@contextlib.contextmanager
def registered(port, registration):
    """A node's registration, for as long as the block; gives (result, creation)."""
    with connected(port) as sock:
        sock.sendall(messages.register(registration))
        answer = b""
        while (taken := messages.take_creation(answer)) is None:
            part = sock.recv(64)
            assert part
            answer += part
        yield taken


def exists(host):
    """Whether this machine has that address."""
    try:
        listen(host, 0).close()
    except OSError:
        return False
    return True


class TestServer:
    @pytest.fixture(autouse=True)
    def _running(self, running):
        pass

    def test_a_node_that_is_registered_is_found(self, port):
        with registered(port, CRATE) as (result, creation):
            assert result == 0
            assert 4 <= creation < 2**32
            assert look_up(port, "crate") == 45123

    def test_the_answer_says_all_that_the_node_said(self, port):
        everything = Registration("crate", 1, messages.NODE_NORMAL, 0, 6, 5, b"extra")

        with registered(port, everything):
            assert ask(port, messages.look_up("crate")) == messages.port_answer(everything)

    def test_an_unknown_name_is_not_found(self, port):
        assert ask(port, messages.look_up("crate")) == b"w\1"

    def test_a_node_that_hangs_up_is_forgotten(self, port):
        with registered(port, CRATE):
            pass

        eventually(lambda: look_up(port, "crate") is None)
        with registered(port, CRATE) as (result, _creation):
            assert result == 0

    def test_a_name_is_given_once(self, port):
        with registered(port, CRATE), registered(port, Registration("crate", 1)) as (result, _creation):
            assert result == 1
            assert look_up(port, "crate") == 45123

    def test_who_was_refused_takes_nobodys_name_away(self, port):
        with registered(port, CRATE):
            with registered(port, CRATE):
                pass
            assert look_up(port, "crate") == 45123

    def test_each_registration_has_a_creation_of_its_own(self, port):
        with registered(port, CRATE) as (_ok, first), registered(port, Registration("lamp", 1)) as (_ok, second):
            assert first != second

    def test_a_node_before_otp_23_gets_a_small_creation(self, port):
        with registered(port, Registration("crate", 1, 77, 0, 5, 5)) as (result, creation):
            assert result == 0
            assert 0 <= creation <= 3

    def test_the_names(self, port):
        with registered(port, CRATE), registered(port, Registration("größe", 7)):
            answer = ask(port, messages.list_names())

        assert answer[:4] == struct.pack(">I", port)
        assert set(messages.take_names(answer)) == {("crate", 45123), ("größe", 7)}

    def test_the_dump(self, port):
        with registered(port, CRATE):
            assert b"<crate> at port 45123" in ask(port, b"\0\1d")

    @pytest.mark.parametrize(("request_", "answer"), [(b"\0\1k", b"NO"), (b"\0\6scrate", b"NOEXIST")])
    def test_it_is_neither_killed_nor_stopped(self, port, request_, answer):
        with registered(port, CRATE):
            assert ask(port, request_) == answer
            assert look_up(port, "crate") == 45123

    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0", b"\0\1\xf0", b"\xff" * 3000, b"\0\1x"])
    def test_garbage_is_hung_up_on(self, port, garbage):
        with connected(port) as sock:
            sock.sendall(garbage)
            assert hung_up(sock)

        assert look_up(port, "crate") is None

    def test_a_request_may_come_in_pieces(self, port):
        with registered(port, CRATE), connected(port) as sock:
            for byte in messages.look_up("crate"):
                sock.sendall(bytes((byte,)))
            assert messages.take_port(sock.recv(64)) == 45123

    def test_what_a_registered_node_says_later_is_read_over(self, port):
        with connected(port) as sock:
            sock.sendall(messages.register(CRATE))
            sock.recv(64)
            sock.sendall(messages.register(Registration("lamp", 1)))
            assert look_up(port, "crate") == 45123
            assert look_up(port, "lamp") is None

    @pytest.mark.parametrize("host", [host for host in epmd.ADDRESSES if exists(host)])
    def test_it_listens_on_each_loopback_address_that_the_machine_has(self, port, host):
        assert ask(port, messages.look_up("crate"), host) == b"w\1"


def test_a_taken_port_is_an_error(loop, port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))


def test_its_end_hangs_up_on_all(loop, port):
    server = on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))
    with connected(port) as sock:
        sock.sendall(messages.register(CRATE))
        sock.recv(64)

        on_loop(loop, server.close)

        assert hung_up(sock)
    with pytest.raises(ConnectionRefusedError):
        connected(port)


NONSENSE = ["many", "0", "-1", "65536", "4369x", "0x1111", "1e3", " 4369"]


@pytest.mark.parametrize(("value", "port_"), [("4711", 4711), ("65535", 65535), ("1", 1)])
def test_the_port_is_that_of_the_environment(monkeypatch, value, port_):
    monkeypatch.setenv("ERL_EPMD_PORT", value)
    monkeypatch.setenv("ERL_DIST_PORT", value)

    assert epmd.port() == epmd.fixed_port() == port_


@pytest.mark.parametrize("value", ["", *NONSENSE])
def test_without_one_it_is_that_of_every_epmd(monkeypatch, value, caplog):
    monkeypatch.setenv("ERL_EPMD_PORT", value)

    assert epmd.port() == 4369
    assert ("ERL_EPMD_PORT is" in caplog.text) is (value != "")


@pytest.mark.parametrize("value", ["", *NONSENSE])
def test_without_one_epmd_is_asked(monkeypatch, value, caplog):
    monkeypatch.setenv("ERL_DIST_PORT", value)

    assert epmd.fixed_port() is None
    assert ("ERL_DIST_PORT is" in caplog.text) is (value != "")


@pytest.mark.parametrize("reason", ["never registered", "gone"])
def test_a_node_that_is_not_known_is_not_located(loop, running, port, reason):
    if reason == "gone":
        with registered(port, CRATE):
            pass
        eventually(lambda: look_up(port, "crate") is None)

    assert located(loop, "crate") == "the epmd at 127.0.0.1 knows no node 'crate'"


def located(loop, name, address="127.0.0.1"):
    """The answer of `locate` about a node."""
    found = Future()
    on_loop(loop, lambda: epmd.locate(loop, address, name, found.set_result))
    return found.result(TIMEOUT)


def test_a_node_is_located(loop, running, port):
    with registered(port, CRATE):
        assert located(loop, "crate") == 45123


def test_with_a_fixed_port_nobody_is_asked(loop, monkeypatch):
    monkeypatch.setenv("ERL_DIST_PORT", "4711")

    assert located(loop, "crate") == 4711


def test_without_an_epmd_nobody_is_located(loop, port):
    assert located(loop, "crate").startswith(f"no epmd answers at 127.0.0.1, port {port}")


@pytest.mark.parametrize("answer", [b"", b"w", b"w\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_answers_is_no_epmd(loop, port, answer):
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = in_thread(lambda: answer_registration(listener, answer, hang_up=True))
        assert located(loop, "crate").startswith("epmd")
        thread.join(TIMEOUT)


class TestModes:
    """The modes of the epmd option: which server registers where, and which one starts an epmd."""

    def test_embed_brings_an_epmd_when_there_is_none(self, make, port):
        server = make(epmd="embed")
        assert server.start()

        assert look_up(port, NAME) == server.port

    def test_embed_uses_the_one_that_there_is(self, make, running, port):
        server = make(epmd="embed")
        assert server.start()

        assert running.registrations[NAME][0].port == server.port

    def test_host_uses_the_one_that_there_is(self, make, running, port):
        server = make(epmd="host")
        assert server.start()

        assert running.registrations[NAME][0].port == server.port
        server.stop()
        eventually(lambda: NAME not in running.registrations)

    def test_none_is_not_registered(self, make, running, port):
        server = make(epmd="none")
        assert server.start()

        assert running.registrations == {}

    def test_none_starts_no_epmd(self, make, port):
        server = make(epmd="none")
        assert server.start()

        with pytest.raises(ConnectionRefusedError):
            connected(port)

    def test_none_makes_a_creation_of_its_own_each_time(self, make):
        server, creations = make(epmd="none"), set()
        for _ in range(3):
            assert server.start()
            with Client(server) as client:
                creations.add(client.creation)
            server.stop()

        assert len(creations) == 3
        assert min(creations) > 3

    def test_two_that_are_not_registered_find_each_other_by_a_fixed_port(self, make, monkeypatch):
        called, calling = make(f"{NAME}a@127.0.0.1", epmd="none"), make(f"{NAME}b@127.0.0.1", epmd="none")
        assert called.start()
        assert calling.start()
        monkeypatch.setenv("ERL_DIST_PORT", str(called.port))

        assert calling.call(f"{NAME}a@127.0.0.1", "m", "echo", [1]) == [1]
        assert called.call(f"{NAME}b@127.0.0.1", "m", "echo", [2]) == [2]

    def test_the_mode_can_be_configured(self, make, port):
        server = make(epmd="host")
        assert server.start() is False

        server.configure(NAME, COOKIE, epmd="embed")

        assert server.start() is True
        assert look_up(port, NAME) == server.port

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1,::1", " 127.0.0.1 , 127.0.0.2"])
    def test_the_address_of_epmd_is_that_of_the_environment(self, make, running, monkeypatch, address):
        monkeypatch.setenv("ERL_EPMD_ADDRESS", address)
        server = make(epmd="host")

        assert server.start(), server.last_error
        assert NAME in running.registrations

    @pytest.mark.parametrize("address", ["no-such-host.invalid", "1.2.3.4.5"])
    def test_an_address_that_is_none_is_said(self, make, monkeypatch, address):
        monkeypatch.setattr("beam_bpy.running._START_TIME", 1.0)
        monkeypatch.setenv("ERL_EPMD_ADDRESS", address)
        server = make(epmd="host")

        assert server.start() is False
        assert "epmd does not answer" in server.last_error


class TestNodes:
    """Servers that register."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(registration, "_RETRY_TIME", 0.01)

    @pytest.fixture
    def node(self, monkeypatch):
        for variable in ("BPY_BEAM_HOST", "BPY_BEAM_PORT"):
            monkeypatch.delenv(variable, raising=False)
        nodes = []

        def make(name, **options):
            nodes.append(BeamServer(f"{NAME}{name}", COOKIE, **options))
            assert nodes[-1].start(), nodes[-1].last_error
            return nodes[-1]

        yield make
        for each in nodes:
            each.stop()

    def test_a_node_without_an_epmd_brings_its_own(self, node, port):
        server = node("a")

        assert look_up(port, f"{NAME}a") == server.port

    def test_a_second_node_uses_the_first_ones(self, node, port):
        a, b = node("a"), node("b")

        assert set(messages.take_names(ask(port, messages.list_names()))) == {
            (f"{NAME}a", a.port),
            (f"{NAME}b", b.port),
        }

    def test_a_stopped_node_takes_its_epmd_along(self, node, port):
        node("a").stop()

        with pytest.raises(ConnectionRefusedError):
            connected(port)

    def test_a_node_whose_epmd_has_gone_registers_with_one_of_its_own(self, node, port):
        a, b = node("a"), node("b")

        a.stop()

        eventually(lambda: look_up(port, f"{NAME}b") == b.port)
        with Client(b) as client:
            b.register_handler("echo", lambda args: args)
            assert client.call("echo", 1) == [1]

    def test_a_connection_outlives_the_epmd(self, node, port):
        a, b = node("a"), node("b")
        b.register_handler("echo", lambda args: args)

        with Client(b) as client:
            a.stop()
            eventually(lambda: look_up(port, f"{NAME}b") == b.port)
            assert client.call("echo", 1) == [1]

    def test_a_node_that_embeds_none_registers_once_there_is_one(self, node, loop, port):
        server = on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))
        b = node("b", epmd="host")
        assert look_up(port, f"{NAME}b") == b.port
        on_loop(loop, server.close)

        server = on_loop(loop, lambda: EmbeddedEpmd(loop, port, "127.0.0.1"))

        eventually(lambda: look_up(port, f"{NAME}b") == b.port)
        on_loop(loop, server.close)

    def test_an_old_epmds_creation_is_replaced_by_a_large_one(self, node, port):
        with socket.create_server(("127.0.0.1", port)) as listener:
            epmd_of_otp_22 = in_thread(lambda: answer_registration(listener, struct.pack(">BBH", 121, 0, 2)))
            server = node("a")
            with Client(server) as client:
                assert client.creation > 3
            server.stop()
            epmd_of_otp_22.join(TIMEOUT)


def answer_registration(listener, answer, hang_up=False):
    """Be an epmd for one node: answer it, and wait until it hangs up, or do so."""
    listener.settimeout(TIMEOUT)
    sock, _address = listener.accept()
    with sock:
        sock.settimeout(TIMEOUT)
        sock.recv(1024)
        sock.sendall(answer)
        if not hang_up:
            hung_up(sock)


class ManualLoop(Loop):
    """A loop whose retries are counted, and made when the test says so."""

    def __init__(self):
        super().__init__("retries of a test")
        self.retries = []

    def call_later(self, delay, callback):
        if delay == registration._RETRY_TIME:
            self.retries.append(callback)
            return None
        return super().call_later(delay, callback)


class Outcomes:
    """Notes what a registrar tells."""

    def __init__(self):
        self.told = []

    def registered(self, creation):
        self.told.append(creation)

    def refused(self, sentence):
        self.told.append(sentence)


def test_a_name_that_was_taken_meanwhile_is_tried_for_once_at_a_time(port):
    # Two retries for each refusal would be four for the next, and so on without end.
    accept, refuse = struct.pack(">BBI", 118, 0, 77), struct.pack(">BBI", 118, 1, 99)
    loop, outcomes = ManualLoop(), Outcomes()
    registrar = registration.Registrar(loop, CRATE, outcomes, "host", "127.0.0.1")
    loop.start()
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(TIMEOUT)
            for round_, answer in enumerate([accept, refuse, refuse]):
                loop.call_soon(registrar.open if round_ == 0 else loop.retries[-1])
                sock, _address = listener.accept()
                sock.recv(1024)
                sock.sendall(answer)
                sock.shutdown(socket.SHUT_WR)
                assert hung_up(sock)
                sock.close()
                on_loop(loop, lambda: None)
                assert len(loop.retries) == round_ + 1
    finally:
        on_loop(loop, registrar.close)
        loop.stop()
        loop.join()

    assert outcomes.told == [77]
