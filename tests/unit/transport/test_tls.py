"""Distribution over TLS between servers of this process, with certificates that `openssl` has made."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import COOKIE, NAME, TIMEOUT, Client, Listening, connections_of, eventually, hung_up, nodes_of

from beam_bpy import NodeDownError, SettingsError, Tls
from beam_bpy.protocol import epmd
from beam_bpy.protocol.epmd import Registration

A_NAME, B_NAME = f"{NAME}a@127.0.0.1", f"{NAME}b@127.0.0.1"


class Authority:
    """An authority of the test's own, and the certificates that it has given out."""

    def __init__(self, directory):
        self._directory = directory
        directory.mkdir()
        self.certificate, self._key = directory / "authority.pem", directory / "authority.key"
        self._openssl("req", "-x509", *self._new(self._key, "authority"), "-out", self.certificate, "-days", "1")

    def issue(self, name, subject="IP:127.0.0.1", dates=("-days", "1"), passphrase=None):
        """A certificate and its key."""
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject}\n")
        secret = ("-nodes",) if passphrase is None else ("-passout", f"pass:{passphrase}")
        self._openssl("req", *self._new(key, name, secret), "-out", request)
        signing = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", *dates)
        self._openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", certificate)
        return certificate, key

    def issue_for(self, name, first, last):
        """A certificate that is valid from day `first` to day `last`, counted from now, and its key."""
        certificate, key = self.issue(name)
        folder = self._directory / f"{name}.ca"
        folder.mkdir()
        (folder / "index.txt").touch()
        (folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndir={folder}\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=any\nx509_extensions=host\n[any]\ncommonName=supplied\n"
            "[host]\nsubjectAltName=IP:127.0.0.1\n"
        )
        days = [(datetime.now(UTC) + timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in (first, last)]
        self._openssl(
            *("ca", "-batch", "-notext", "-config", folder / "ca.conf", "-startdate", days[0], "-enddate", days[1]),
            *("-cert", self.certificate, "-keyfile", self._key, "-in", self._directory / f"{name}.csr"),
            *("-out", certificate),
        )
        return certificate, key

    @staticmethod
    def _new(key, name, secret=("-nodes",)):
        return (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            *secret,
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


@contextlib.contextmanager
def registered(registration):
    """Registered with the epmd of the test."""
    with socket.create_connection(("127.0.0.1", int(os.environ["ERL_EPMD_PORT"])), TIMEOUT) as sock:
        sock.sendall(epmd.register(registration))
        assert sock.recv(64)
        yield


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


SECRET = "correct horse"


@pytest.fixture(scope="module")
def locked(authority):
    """A certificate and its key, which has a passphrase."""
    return authority.issue("locked", passphrase=SECRET)


class TestPassphrase:
    @pytest.mark.parametrize("form", [str, str.encode, lambda text: lambda: text, lambda text: lambda: text.encode()])
    def test_text_bytes_or_a_function(self, locked, start, a, authority, form):
        tls = Tls(*locked, authority.certificate, password=form(SECRET))

        assert start(B_NAME, tls).ping(A_NAME) is True

    def test_a_function_is_called_once(self, locked, authority):
        calls = []
        Tls(*locked, authority.certificate, password=lambda: calls.append(1) or SECRET)

        assert calls == [1]

    def test_a_function_is_not_called_for_a_key_without_one(self, pair, authority):
        Tls(*pair, authority.certificate, password=lambda: 1 / 0)

    @pytest.mark.parametrize("password", [None, "", b"", lambda: "", "wrong", b"wrong", lambda: "wrong", "x" * 5000])
    def test_a_missing_or_wrong_one_is_a_sentence(self, locked, authority, password):
        with pytest.raises(SettingsError, match=f"passphrase.*|{locked[1]}") as caught:
            Tls(*locked, authority.certificate, password=password)

        assert str(locked[1]) in str(caught.value)
        assert "x" * 50 not in str(caught.value)

    @pytest.mark.parametrize("password", [5, ["a"], True, lambda: 5, lambda: None])
    def test_one_of_another_type(self, locked, authority, password):
        with pytest.raises(TypeError, match="passphrase"):
            Tls(*locked, authority.certificate, password=password)

    def test_what_a_function_raises(self, locked, authority):
        with pytest.raises(ZeroDivisionError):
            Tls(*locked, authority.certificate, password=lambda: 1 / 0)

    @pytest.mark.posix
    def test_nothing_asks_on_the_terminal(self, locked, authority):
        code = f"""if 1:
            import os, pty
            child, terminal = pty.fork()
            if child == 0:
                from beam_bpy import SettingsError, Tls
                try:
                    Tls({str(locked[0])!r}, {str(locked[1])!r}, {str(authority.certificate)!r})
                except SettingsError:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """
        done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60)

        assert done.returncode == 0

    def test_no_repr_and_no_traceback_shows_it(self, locked, authority, make):
        tls = Tls(*locked, authority.certificate, password=SECRET)
        server = make(tls=tls)
        try:
            Tls(locked[0], authority.certificate, authority.certificate, password=SECRET)
        except SettingsError as error:
            shown = "".join(traceback.format_exception(error))

        assert SECRET not in shown + repr(tls) + repr(server.options)


class TestSentences:
    def test_a_missing_file_is_named(self, pair, authority, tmp_path):
        missing = tmp_path / "missing.pem"
        for arguments in ((missing, None, authority.certificate), (*pair, missing), (pair[0], missing, missing)):
            with pytest.raises(SettingsError, match=str(missing)):
                Tls(*arguments)

    def test_a_folder_is_named(self, pair, authority, tmp_path):
        for arguments in ((tmp_path, None, authority.certificate), (*pair, tmp_path), (pair[0], tmp_path, tmp_path)):
            with pytest.raises(SettingsError, match=str(tmp_path)):
                Tls(*arguments)

    def test_the_key_of_another_certificate(self, pair, authority):
        other = authority.issue("other")
        with pytest.raises(SettingsError, match="does not belong to") as caught:
            Tls(pair[0], other[1], authority.certificate)

        assert {str(pair[0]), str(other[1])} <= set(str(caught.value).split())

    @pytest.mark.parametrize("content", [b"", b"nothing\n", b"\x30\x82\x01\xff" * 100, "\u0000\u2603".encode()])
    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_what_is_no_pem_is_named(self, pair, authority, tmp_path, content, which):
        arguments = [*pair, authority.certificate]
        arguments[which] = tmp_path / "garbage"
        arguments[which].write_bytes(content)
        with pytest.raises(SettingsError, match=str(arguments[which])):
            Tls(*arguments)

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_a_damaged_file_is_named(self, pair, authority, tmp_path, which):
        arguments = [*pair, authority.certificate]
        lines = Path(arguments[which]).read_text().splitlines(keepends=True)
        arguments[which] = tmp_path / "damaged.pem"
        arguments[which].write_text("".join((*lines[:-3], lines[-1])))
        with pytest.raises(SettingsError, match=str(arguments[which])):
            Tls(*arguments)

    @pytest.mark.parametrize("which", [0, 1, 2])
    def test_a_file_that_holds_something_else(self, pair, authority, which):
        arguments = [*pair, authority.certificate]
        arguments[which] = pair[1] if which != 1 else pair[0]
        with pytest.raises(SettingsError, match=str(arguments[which])):
            Tls(*arguments)

    @pytest.mark.parametrize("value", [5, ["x.pem"], True])
    def test_a_path_of_another_type(self, pair, authority, value):
        for arguments in (
            (value, None, authority.certificate),
            (pair[0], value, authority.certificate),
            (*pair, value),
        ):
            with pytest.raises(TypeError, match="path"):
                Tls(*arguments)

    def test_check_host_is_a_bool(self, pair, authority):
        with pytest.raises(TypeError, match="check_host"):
            Tls(*pair, authority.certificate, check_host=0)


class TestOwnCertificate:
    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("expired", {"valid": (-2, -1)}, "has expired"),
            ("tomorrow", {"valid": (1, 2)}, "not valid yet"),
            ("elsewhere", {"subject": "DNS:elsewhere.example"}, "not for the host 127.0.0.1"),
            ("another_address", {"subject": "IP:10.0.0.1"}, "not for the host 127.0.0.1"),
        ],
    )
    def test_one_that_others_will_refuse_is_a_warning(self, authority, start, caplog, name, options, words):
        valid = options.pop("valid", None)
        certificate, key = authority.issue(name, **options) if valid is None else authority.issue_for(name, *valid)
        start(A_NAME, Tls(certificate, key, authority.certificate))

        [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
        assert str(certificate) in warning.getMessage()
        assert words in warning.getMessage()

    def test_one_of_another_authority(self, stranger, authority, start, caplog):
        certificate, key = stranger.issue("mine")
        start(A_NAME, Tls(certificate, key, authority.certificate))

        assert f"will refuse the certificate {certificate}" in caplog.text

    @pytest.mark.parametrize("subject", ["IP:127.0.0.1", "DNS:localhost,IP:127.0.0.1"])
    def test_one_that_is_right_is_no_warning(self, authority, start, caplog, subject):
        start(A_NAME, Tls(*authority.issue("right", subject), authority.certificate))

        assert "refuse" not in caplog.text

    def test_without_a_check_of_hosts_the_host_does_not_matter(self, authority, start, caplog):
        pair = authority.issue("anywhere", "DNS:elsewhere.example")
        start(A_NAME, Tls(*pair, authority.certificate, check_host=False))

        assert "refuse" not in caplog.text


class TestOneSideWithoutTls:
    def test_a_tls_node_that_connects_is_refused_with_a_sentence(self, a, make, caplog):
        plain = make(f"{NAME}c@127.0.0.1")
        assert plain.start()

        with pytest.raises(NodeDownError, match="without TLS"):
            a.connect(plain.node_name)
        eventually(lambda: "uses TLS, and this node does not" in caplog.text)

    def test_a_plain_node_that_connects_is_told_so(self, a, make, caplog):
        plain = make(f"{NAME}c@127.0.0.1")
        assert plain.start()

        with pytest.raises(NodeDownError, match="TLS"):
            plain.connect(A_NAME)
        eventually(lambda: "without TLS" in caplog.text)

    def test_a_node_that_waits_in_silence(self, a):
        with Listening() as silent:
            registration = Registration(f"{NAME}silent", silent.port)
            with registered(registration), pytest.raises(NodeDownError, match="without TLS"):
                a.connect(f"{NAME}silent@127.0.0.1", timeout=5.0)

    def test_two_reasons_of_one_address_are_two_lines(self, a, caplog):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"", b"GET / HTTP/1.1\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", a.port), TIMEOUT) as sock:
                sock.sendall(data)
                if not data:
                    sock.shutdown(socket.SHUT_WR)
                assert hung_up(sock)
        eventually(lambda: caplog.text.count("was refused") == 2)


def test_without_tls_nothing_is_encrypted(server):
    with Client(server, cookie=COOKIE) as client:
        assert client.call("echo", 1) == [1]
