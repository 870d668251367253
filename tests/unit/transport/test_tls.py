"""Distribution over TLS between servers of this process, with certificates that `openssl` has made."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from support import COOKIE, NAME, TIMEOUT, Client, connections_of, eventually, hung_up, nodes_of

from beam_bpy import NodeDownError, Tls

A_NAME, B_NAME = f"{NAME}a@127.0.0.1", f"{NAME}b@127.0.0.1"


class Authority:
    """An authority of the test's own, and the certificates that it has given out."""

    def __init__(self, directory):
        self._directory = directory
        directory.mkdir()
        self.certificate, self._key = directory / "authority.pem", directory / "authority.key"
        self._openssl("req", "-x509", *self._new(self._key, "authority"), "-out", self.certificate, "-days", "1")

    def issue(self, name, subject="IP:127.0.0.1"):
        """A certificate and its key."""
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject}\n")
        self._openssl("req", *self._new(key, name), "-out", request)
        signing = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "1")
        self._openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", certificate)
        return certificate, key

    @staticmethod
    def _new(key, name):
        return (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            key,
            "-subj",
            f"/CN={name}",
        )

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "theirs")


@pytest.fixture(scope="module")
def pair(authority):
    """The certificate and the key of a node on 127.0.0.1."""
    return authority.issue("node")


@pytest.fixture
def start(make):
    def start(name, tls):
        server = make(name, tls=tls)
        assert server.start(), server.last_error
        return server

    return start


@pytest.fixture
def a(start, pair, authority):
    return start(A_NAME, Tls(*pair, authority.certificate))


@pytest.fixture
def b(start, a, pair, authority):
    return start(B_NAME, Tls(*pair, authority.certificate))


class TestBothSidesHaveCertificates:
    def test_calls_in_both_directions(self, a, b):
        assert a.ping(B_NAME) is True
        assert a.call(B_NAME, "m", "echo", [1, "two"]) == [1, "two"]
        assert b.call(A_NAME, "m", "echo", [3]) == [3]
        assert nodes_of(a) == (B_NAME,)
        assert nodes_of(b) == (A_NAME,)

    def test_many_calls_at_once(self, a, b):
        there = [a.call_async(B_NAME, "m", "echo", [number]) for number in range(200)]
        back = [b.call_async(A_NAME, "m", "echo", [number]) for number in range(200)]

        assert [future.result(TIMEOUT) for future in there] == [[number] for number in range(200)]
        assert [future.result(TIMEOUT) for future in back] == [[number] for number in range(200)]

    def test_large_values_in_both_directions_at_once(self, a, b):
        large = bytes(range(256)) * 20_000

        there = a.call_async(B_NAME, "m", "echo", [large], binaries=bytes)
        back = b.call_async(A_NAME, "m", "echo", [large], binaries=bytes)

        assert there.result(TIMEOUT) == back.result(TIMEOUT) == [large]

    def test_the_cookie_is_checked_too(self, a, make, pair, authority):
        other = make(B_NAME, cookie="another-cookie", tls=Tls(*pair, authority.certificate))
        assert other.start()

        with pytest.raises(NodeDownError):
            other.connect(A_NAME)

    def test_a_disconnected_node_is_connected_anew(self, a, b):
        a.connect(B_NAME)
        b.disconnect(A_NAME)
        eventually(lambda: nodes_of(a) == nodes_of(b) == ())

        assert a.call(B_NAME, "m", "echo", [1]) == [1]

    def test_a_node_that_stops_is_noticed(self, a, b):
        a.connect(B_NAME)
        assert nodes_of(a) == (B_NAME,)

        b.stop()

        eventually(lambda: nodes_of(a) == ())

    def test_what_is_on_the_wire_cannot_be_read(self, a, pair, authority):
        context = ssl.create_default_context(cafile=authority.certificate)
        context.load_cert_chain(*pair)

        with (
            socket.create_connection(("127.0.0.1", a.port), TIMEOUT) as sock,
            context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
        ):
            assert tls.version() in ("TLSv1.2", "TLSv1.3")

    def test_ticks_keep_it_alive(self, start, make, pair, authority):
        servers = [make(name, tls=Tls(*pair, authority.certificate), tick_time=2.0) for name in (A_NAME, B_NAME)]
        assert all(server.start() for server in servers)
        gone = []
        servers[0].monitor(B_NAME, gone.append)
        servers[0].connect(B_NAME)
        stream = connections_of(servers[0])[0]._stream
        received = stream.bytes_received

        eventually(lambda: stream.bytes_received >= received + 5 * 4)

        assert gone == []
        assert nodes_of(servers[0]) == (B_NAME,)


class TestRefusals:
    def goes_on(self, a, b):
        assert b.call(A_NAME, "m", "echo", [1]) == [1]

    def test_a_plain_node_is_not_let_in(self, a, b, make, caplog):
        plain = make(f"{NAME}c@127.0.0.1")
        assert plain.start()

        assert plain.ping(A_NAME) is False
        assert nodes_of(a) == ()
        eventually(lambda: "was refused: no TLS connection" in caplog.text)
        self.goes_on(a, b)

    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\xff" * 5000])
    def test_garbage_is_hung_up_on(self, a, b, garbage):
        with socket.create_connection(("127.0.0.1", a.port), TIMEOUT) as sock:
            sock.sendall(garbage)
            assert hung_up(sock)

        self.goes_on(a, b)

    def test_a_plain_node_is_not_called(self, a, make):
        plain = make(f"{NAME}c@127.0.0.1")
        assert plain.start()

        with pytest.raises(NodeDownError):
            a.connect(plain.node_name)
        assert nodes_of(plain) == ()

    def test_a_certificate_of_another_authority_is_not_let_in(self, a, b, start, stranger, authority, caplog):
        other = start(f"{NAME}c@127.0.0.1", Tls(*stranger.issue("other"), authority.certificate))

        with pytest.raises(NodeDownError):
            other.connect(A_NAME)
        assert nodes_of(a) == ()
        eventually(lambda: "was refused: no TLS connection" in caplog.text)
        self.goes_on(a, b)

    def test_a_node_of_another_authority_is_not_called(self, a, start, stranger, authority):
        other = start(f"{NAME}c@127.0.0.1", Tls(*stranger.issue("other"), authority.certificate))

        with pytest.raises(NodeDownError, match=r"no TLS connection: .*certificate"):
            a.connect(other.node_name)
        assert nodes_of(other) == ()

    def test_no_certificate_at_all_is_not_let_in(self, a, b, authority):
        context = ssl.create_default_context(cafile=authority.certificate)

        def talk():
            with (
                socket.create_connection(("127.0.0.1", a.port), TIMEOUT) as sock,
                context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
            ):
                return tls.recv(1)

        with pytest.raises(OSError, match=r"(?i)alert|reset|EOF"):
            talk()

        self.goes_on(a, b)


class TestTheHostOfACertificate:
    @pytest.fixture
    def elsewhere(self, start, authority):
        certificate, key = authority.issue("elsewhere", "DNS:elsewhere.example")
        return start(f"{NAME}c@127.0.0.1", Tls(certificate, key, authority.certificate))

    def test_another_host_is_not_called(self, a, elsewhere):
        with pytest.raises(NodeDownError, match="no TLS connection"):
            a.connect(elsewhere.node_name)

    def test_unless_hosts_are_not_checked(self, start, pair, authority, elsewhere):
        trusting = start(A_NAME, Tls(*pair, authority.certificate, check_host=False))

        assert trusting.call(elsewhere.node_name, "m", "echo", [1]) == [1]

    def test_who_calls_need_not_be_where_its_certificate_says(self, a, elsewhere):
        assert elsewhere.call(A_NAME, "m", "echo", [1]) == [1]


class TestFiles:
    def test_certificate_and_key_may_stand_in_one_file(self, start, a, pair, authority, tmp_path):
        both = tmp_path / "both.pem"
        both.write_text("".join(Path(file).read_text() for file in pair))

        assert start(B_NAME, Tls(both, None, str(authority.certificate))).ping(A_NAME) is True

    def test_files_that_are_not_there(self, pair, authority, tmp_path):
        missing = tmp_path / "missing.pem"
        for arguments in ((missing, None, authority.certificate), (*pair, missing), (pair[0], missing, missing)):
            with pytest.raises(OSError):
                Tls(*arguments)

    def test_files_that_hold_no_certificate(self, pair, authority, tmp_path):
        empty = tmp_path / "empty.pem"
        empty.write_text("nothing\n")
        for arguments in ((empty, None, authority.certificate), (*pair, empty)):
            with pytest.raises(OSError):
                Tls(*arguments)


def test_without_tls_nothing_is_encrypted(server):
    with Client(server, cookie=COOKIE) as client:
        assert client.call("echo", 1) == [1]
