"""epmd that dies and comes back, the embedded one as real programs see it, other addresses, and no epmd at all."""

import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
from beam import Epmd, Erl, beam_program, eventually, names, nodes_of, unique
from ports import free_port

from beam_bpy import Atom, BeamServer, NodeDownError

PONG = Atom("pong")


def short(name: str) -> str:
    return name.partition("@")[0]


@pytest.fixture
def private(no_epmd: int) -> Iterator[Epmd]:
    """A real epmd that this test may end."""
    epmd = Epmd(no_epmd)
    yield epmd
    epmd.stop()


def epmd_command(port: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*beam_program("epmd"), "-port", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_a_server_registers_again_when_epmd_was_killed_and_started_again(
    private: Epmd, no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server(epmd="host")
    assert server.start(), server.last_error
    port = server.port
    erl = start_erl().call(server)
    assert erl.eval("net_adm:ping(N)") == PONG
    private.stop()
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    again = Epmd(no_epmd)
    try:
        eventually(lambda: f"name {short(server.node_name)} at port {port}" in names(no_epmd), "it is registered again")
        server.disconnect(erl.node)
        eventually(lambda: nodes_of(server) == (), "they are apart")
        assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
        assert start_erl().call(server).eval("erpc:call(N, m, ping, [])") == "pong"
    finally:
        again.stop()


def test_a_server_that_may_brings_its_own_epmd_when_the_real_one_is_gone(
    private: Epmd, no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    private.stop()
    eventually(lambda: f"name {short(server.node_name)} at port" in names(no_epmd), "the server runs an epmd")
    # The node that was there before registers there too, and one that starts afterwards finds both.
    eventually(lambda: f"name {short(erl.node)} at port" in names(no_epmd), "the BEAM node has come")
    later = start_erl().call(server)
    assert later.eval("[erpc:call(N, m, ping, []), net_adm:ping(Old)]", Old=Atom(erl.node)) == ["pong", PONG]
    assert server.call(erl.node, "erlang", "node") == erl.node


def test_the_embedded_epmd_is_not_killed_or_stopped_and_lists_its_nodes(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl()
    epmd_command(no_epmd, "-kill")
    epmd_command(no_epmd, "-stop", short(server.node_name))
    # The first line is the program's own, each other one comes from the epmd.
    listed = epmd_command(no_epmd, "-names").stdout.splitlines()[1:]
    assert sorted(line.split()[1] for line in listed) == sorted([short(server.node_name), short(erl.node)])
    assert f"name {short(server.node_name)} at port {server.port}" in listed
    assert erl.eval("net_adm:ping(N)", N=Atom(server.node_name)) == PONG


@pytest.mark.parametrize("mode", ["host", "embed"])
def test_an_epmd_address_of_its_own(
    epmd_port: int,
    start_server: Callable[..., BeamServer],
    start_erl: Callable[..., Erl],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """ERL_EPMD_ADDRESS names the addresses where epmd listens besides the loopback address."""
    port = free_port()
    monkeypatch.setenv("ERL_EPMD_PORT", str(port))
    monkeypatch.setenv("ERL_EPMD_ADDRESS", "127.0.0.2")
    epmd = Epmd(port, "127.0.0.2") if mode == "host" else None
    try:
        server = start_server(epmd=mode)
        assert server.start(), server.last_error
        erl = start_erl().call(server)
        assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
        assert server.call(erl.node, "erlang", "node") == erl.node
        assert f"name {short(server.node_name)} at port {server.port}" in names(port)
        with socket.create_connection(("127.0.0.2", port), timeout=20) as sock:
            sock.sendall(b"\0\1n")
            assert short(server.node_name).encode() in b"".join(iter(lambda: sock.recv(4096), b""))
    finally:
        if epmd is not None:
            epmd.stop()


def test_without_any_epmd_a_fixed_port_is_called(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    port = free_port()
    server = start_server(epmd="none", port=port)
    assert server.start(), server.last_error
    # On this network every node has the same port, so one that listens there itself is not needed.
    erl = start_erl("-erl_epmd_port", str(port), "-dist_listen", "false").call(server)
    assert erl.eval("{net_adm:ping(N), erpc:call(N, m, ping, [])}") == (PONG, "pong")
    assert server.call(erl.node, "erlang", "node") == erl.node
    assert names(no_epmd).startswith("epmd: Cannot connect") or "name " not in names(no_epmd)


def test_without_any_epmd_the_server_calls_the_fixed_port(
    no_epmd: int,
    start_server: Callable[..., BeamServer],
    start_erl: Callable[..., Erl],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setenv("ERL_DIST_PORT", str(port))
    server = start_server(epmd="none")
    assert server.start(), server.last_error
    erl = start_erl("-erl_epmd_port", str(port)).call(server)
    assert server.call(erl.node, "erlang", "node") == erl.node
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


def test_two_servers_of_one_name_without_epmd_do_not_meet(
    no_epmd: int, start_server: Callable[..., BeamServer]
) -> None:
    """Nobody registers them, so nobody minds; and nobody is found by name."""
    name = unique("interop")
    one, two = start_server(node_name=name, epmd="none"), start_server(node_name=name, epmd="none")
    assert one.start(), one.last_error
    assert two.start(), two.last_error
    with pytest.raises(NodeDownError, match=r"no epmd answers at 127\.0\.0\.1"):
        one.connect("other@127.0.0.1")


def test_a_taken_name_is_refused_by_a_real_epmd_and_free_once_its_owner_has_stopped(
    private: Epmd, start_server: Callable[..., BeamServer]
) -> None:
    first = start_server()
    assert first.start(), first.last_error
    second = start_server(node_name=first.node_name)
    assert second.start() is False
    assert second.last_error == (
        f"the name {short(first.node_name)!r} is taken by another node on this machine, which runs in this program:"
        " stop that server, or choose another name"
    )
    first.stop()
    eventually(second.start, "the name is free")
