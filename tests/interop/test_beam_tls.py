"""Distribution over TLS with real nodes, and refused connections.

A node that calls demands a certificate for the host in the name of the node that it calls. For a host that is an
address OTP 25 wants it as a DNS name in the certificate, OTP 27 and Python as an IP address: put both into it.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from beam import Erl, eventually, nodes_of, program, seen

from beam_bpy import Atom, BeamServer, NodeDownError, Tls

SECONDS = 60.0
MB = 1024 * 1024
PONG, PANG = Atom("pong"), Atom("pang")
BOTH = "DNS:127.0.0.1,IP:127.0.0.1"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run([program("openssl"), *words], cwd=folder, check=True, capture_output=True, timeout=60)


class Authority:
    """An authority, and the certificates that it has signed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        self.folder = folder
        self.file = folder / "authority.pem"
        self._made: dict[str, Path] = {}
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._key = key
        name = ["-subj", "/CN=interop authority", "-days", "2"]
        openssl(folder, "req", "-x509", *key, "-keyout", "authority.key", "-out", "authority.pem", *name)

    def certificate(self, hosts: str = BOTH) -> Path:
        """A PEM file with a certificate for `hosts` and its key; made once."""
        if hosts not in self._made:
            stem = f"node{len(self._made)}"
            (self.folder / f"{stem}.ext").write_text(f"subjectAltName={hosts}\n")
            openssl(
                self.folder, "req", *self._key, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=node"
            )
            sign = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2"]
            to = ["-extfile", f"{stem}.ext", "-out", f"{stem}.crt"]
            openssl(self.folder, "x509", "-req", "-in", f"{stem}.csr", *sign, *to)
            pem = self.folder / f"{stem}.pem"
            pem.write_bytes(b"".join((self.folder / f"{stem}.{end}").read_bytes() for end in ("crt", "key")))
            self._made[hosts] = pem
        return self._made[hosts]

    def tls(self, hosts: str = BOTH, **options: Any) -> Tls:
        """The TLS options of a server."""
        return Tls(self.certificate(hosts), None, self.file, **options)

    def flags(self, hosts: str | None = BOTH) -> list[str]:
        """The TLS options of an `erl`. With None as `hosts`, it has no certificate of its own."""
        authority = f'{{cacertfile, "{seen(self.file)}"}}, {{verify, verify_peer}}'
        own = f'{{certfile, "{seen(self.certificate(hosts))}"}}, ' if hosts else ""
        server = f'{{certfile, "{seen(self.certificate())}"}}, {{fail_if_no_peer_cert, true}}, {authority}'
        file = self.folder / f"{'none' if hosts is None else self.certificate(hosts).stem}.conf"
        file.write_text(f"[{{server, [{server}]}}, {{client, [{own}{authority}]}}].\n")
        return ["-proto_dist", "inet_tls", "-ssl_dist_optfile", seen(file)]


@pytest.fixture(scope="module")
def authority(beam_folder: Path) -> Any:
    folder = beam_folder / "authority"
    yield Authority(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stranger(beam_folder: Path) -> Any:
    """Another authority, which nobody knows."""
    folder = beam_folder / "stranger"
    yield Authority(folder)
    shutil.rmtree(folder)


def started(make: Callable[..., BeamServer], tls: Tls | None) -> BeamServer:
    server = make(tls=tls)
    assert server.start(), server.last_error
    return server


def test_a_node_calls_us_and_we_call_it(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = started(start_server, authority.tls())
    erl = start_erl(*authority.flags()).call(server)
    assert erl.eval("{net_adm:ping(N), erpc:call(N, m, ping, []), gen_server:call(S, ping)}") == (PONG, "pong", "pong")
    assert server.call(erl.node, "erlang", "node") == erl.node
    server.disconnect(erl.node)
    eventually(lambda: nodes_of(server) == () and erl.eval("nodes(hidden)") == [], "they are apart")
    assert server.call(erl.node, "lists", "sum", [[1, 2, 3]]) == 6
    assert erl.eval("erpc:call(N, m, echo, [1, two])") == [1, Atom("two")]
    assert erl.eval("nodes(hidden) =:= [N]") is True


def test_two_servers_call_each_other(authority: Authority, start_server: Callable[..., BeamServer]) -> None:
    one, two = started(start_server, authority.tls()), started(start_server, authority.tls())
    assert one.call(two.node_name, "m", "echo", [1]) == [1]
    assert two.call(one.node_name, "m", "echo", [2]) == [2]


@pytest.mark.parametrize("caller", ["erlang", "python"])
def test_20_mb_go_both_ways(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], caller: str
) -> None:
    """Over a connection that either side has opened."""
    server = started(start_server, authority.tls())
    server.register_handler("mirror", lambda args: args[0], binaries=memoryview)
    erl = start_erl(*authority.flags()).call(server)
    if caller == "python":
        server.connect(erl.node)
    code = "B = rand:bytes(Size), erpc:call(N, m, mirror, [B], infinity) =:= B"
    assert erl.eval(code, timeout=SECONDS, Size=20 * MB) is True
    data = bytes(range(256)) * (20 * MB // 256)
    back = server.call(erl.node, "erlang", "iolist_to_binary", [[data]], timeout=SECONDS, binaries=memoryview)
    assert back == data


def test_many_callers_at_once(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = started(start_server, authority.tls())
    erl = start_erl(*authority.flags()).call(server)
    theirs = erl.later("[probe:callers(N, Function, 16, 50) || Function <- [echo, inline_echo]]")
    ours = [server.call_async(erl.node, "erlang", "+", [number, 1]) for number in range(300)]
    assert [future.result(SECONDS) for future in ours] == list(range(1, 301))
    assert theirs.result(SECONDS) == [True, True]


@pytest.mark.parametrize("who", ["without a certificate", "of another authority", "without TLS"])
def test_who_cannot_prove_itself_is_refused_and_the_server_goes_on(
    authority: Authority,
    stranger: Authority,
    start_server: Callable[..., BeamServer],
    start_erl: Callable[..., Erl],
    who: str,
) -> None:
    server = started(start_server, authority.tls())
    friend = start_erl(*authority.flags()).call(server)
    assert friend.eval("net_adm:ping(N)") == PONG
    flags = {
        "without a certificate": lambda: authority.flags(None),
        "of another authority": stranger.flags,
        "without TLS": list,
    }
    refused = start_erl(*flags[who]()).call(server)
    assert refused.eval("logger:set_primary_config(level, none), net_adm:ping(N)") == PANG
    assert friend.eval("erpc:call(N, m, ping, [])") == "pong"
    assert nodes_of(server) == (friend.node,)
    if who == "of another authority":
        with pytest.raises(NodeDownError, match=refused.node):
            server.connect(refused.node)
    assert start_erl(*authority.flags()).call(server).eval("net_adm:ping(N)") == PONG


def test_we_refuse_a_node_of_an_unknown_authority_and_say_why(
    authority: Authority, stranger: Authority, start_server: Callable[..., BeamServer]
) -> None:
    server, other = started(start_server, authority.tls()), started(start_server, stranger.tls())
    with pytest.raises(NodeDownError, match=r"no TLS connection: .*certificate"):
        server.connect(other.node_name)


def test_a_server_without_tls_does_not_reach_one_with_it(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = started(start_server, None)
    erl = start_erl(*authority.flags()).call(server)
    assert erl.eval("logger:set_primary_config(level, none), net_adm:ping(N)") == PANG
    assert server.ping(erl.node) is False
    assert start_erl().call(server).eval("net_adm:ping(N)") == PONG


def test_we_say_at_once_that_a_node_has_no_tls(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    """Before the node gives up the handshake, which takes seven seconds."""
    server = started(start_server, authority.tls())
    with pytest.raises(NodeDownError, match="without TLS"):
        server.connect(start_erl().node, timeout=5.0)


def test_we_say_that_a_node_has_tls_and_we_have_not(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = started(start_server, None)
    erl = start_erl(*authority.flags())
    erl.eval("logger:set_primary_config(level, none)")
    with pytest.raises(NodeDownError, match="TLS"):
        server.connect(erl.node, timeout=5.0)


@pytest.mark.parametrize("tls", [True, False])
def test_we_log_that_a_node_that_connects_is_the_only_one_with_or_without_tls(
    authority: Authority,
    start_server: Callable[..., BeamServer],
    start_erl: Callable[..., Erl],
    caplog: pytest.LogCaptureFixture,
    tls: bool,
) -> None:
    server = started(start_server, authority.tls() if tls else None)
    erl = start_erl(*([] if tls else authority.flags())).call(server)
    assert erl.eval("logger:set_primary_config(level, none), net_adm:ping(N)") == PANG
    sentence = "without TLS" if tls else "uses TLS, and this node does not"
    eventually(lambda: sentence in caplog.text, "it is logged")


def test_a_key_with_a_passphrase(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    pem, locked = authority.certificate(), authority.folder / "locked.key"
    openssl(authority.folder, "pkcs8", "-topk8", "-in", str(pem), "-out", str(locked), "-passout", "pass:a secret")
    server = started(start_server, Tls(pem, locked, authority.file, password=lambda: b"a secret"))
    erl = start_erl(*authority.flags()).call(server)
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert server.call(erl.node, "erlang", "node") == erl.node


def test_a_certificate_of_the_authority_can_claim_any_name(
    authority: Authority, start_server: Callable[..., BeamServer]
) -> None:
    """As at a node of the BEAM; docs/names.md says so."""
    server, elsewhere = started(start_server, authority.tls()), started(start_server, authority.tls("DNS:elsewhere"))
    assert elsewhere.call(server.node_name, "m", "echo", [1]) == [1]
    assert nodes_of(server) == (elsewhere.node_name,)


@pytest.mark.parametrize(
    ("hosts", "accepted"), [(BOTH, True), ("IP:127.0.0.1", True), ("DNS:127.0.0.1", False), ("DNS:elsewhere", False)]
)
def test_we_demand_a_certificate_for_the_host_of_the_node(
    authority: Authority, start_server: Callable[..., BeamServer], hosts: str, accepted: bool
) -> None:
    server, caller = started(start_server, authority.tls(hosts)), started(start_server, authority.tls())
    if accepted:
        caller.connect(server.node_name)
    else:
        with pytest.raises(NodeDownError, match=r"certificate is not valid for '127\.0\.0\.1'"):
            caller.connect(server.node_name)
    careless = started(start_server, authority.tls(check_host=False))
    careless.connect(server.node_name)


def test_a_node_demands_a_certificate_for_our_host(
    authority: Authority, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl(*authority.flags())
    erl.eval("logger:set_primary_config(level, none)")
    accepted = set()
    for hosts in (BOTH, "IP:127.0.0.1", "DNS:127.0.0.1", "DNS:elsewhere"):
        server = started(start_server, authority.tls(hosts))
        if erl.eval("net_adm:ping(Node)", Node=Atom(server.node_name)) == PONG:
            accepted.add(hosts)
    # OTP 25 compares the host as a DNS name, OTP 27 as the address that it is.
    assert accepted in ({BOTH, "DNS:127.0.0.1"}, {BOTH, "IP:127.0.0.1"})
