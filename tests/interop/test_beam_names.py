"""Being found: the machine's epmd, the embedded one, and names and ports that are taken."""

import socket
from collections.abc import Callable

import pytest
from beam import COOKIE, Erl, eventually, names, unique

from beam_bpy import Atom, BeamServer

PONG = Atom("pong")


def test_without_an_epmd_the_server_brings_one_and_a_beam_node_finds_it(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    assert erl.eval("{net_adm:ping(N), erpc:call(N, m, ping, [])}") == (PONG, "pong")
    printed = names(no_epmd)
    assert f"name {server.node_name.partition('@')[0]} at port {server.port}" in printed
    assert f"name {erl.node.partition('@')[0]} at port " in printed
    found = erl.eval("{ok, Names} = net_adm:names('127.0.0.1'), [list_to_binary(Name) || {Name, _} <- Names]")
    assert sorted(found) == sorted(name.partition("@")[0] for name in (server.node_name, erl.node))


def test_two_beam_nodes_find_each_other_through_the_embedded_epmd(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    one, two = start_erl(), start_erl()
    assert one.eval("net_adm:ping(Other)", Other=Atom(two.node)) == PONG
    one.stop()
    eventually(lambda: f"name {one.node.partition('@')[0]} at" not in names(no_epmd), "the name is free again")
    assert f"name {two.node.partition('@')[0]} at" in names(no_epmd)


def test_a_second_server_uses_the_first_ones_epmd_and_takes_over_when_it_ends(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    first, second = start_server(), start_server()
    assert first.start(), first.last_error
    assert second.start(), second.last_error
    erl = start_erl().call(second)
    assert erl.eval("net_adm:ping(N)") == PONG
    first.stop()
    eventually(lambda: f"at port {second.port}" in names(no_epmd), "the second one runs an epmd")
    later = start_erl().call(second)
    assert later.eval("erpc:call(N, m, ping, [])") == "pong"


def test_a_server_with_its_own_epmd_starts_again_as_another_incarnation(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    creations = [erl.eval("spawn(N, m, ping, [])").creation]
    for _ in range(2):
        server.stop()
        eventually(lambda: erl.eval("nodes(hidden)") == [], "the node has noticed")
        assert server.start(), server.last_error
        assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
        creations.append(erl.eval("spawn(N, m, ping, [])").creation)
    assert len(set(creations)) == 3
    assert all(creation > 3 for creation in creations)
    name = f"name {erl.node.partition('@')[0]} at port "
    eventually(lambda: name in names(no_epmd), "the BEAM node has registered again")


def test_with_an_epmd_on_the_machine_the_server_registers_there(
    epmd_port: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    short = server.node_name.partition("@")[0]
    assert f"name {short} at port {server.port}" in names(epmd_port)
    server.stop()
    eventually(lambda: f"name {short} at" not in names(epmd_port), "the name is free again")


def test_a_server_that_may_not_bring_an_epmd_says_how_to_get_one(
    no_epmd: int, start_server: Callable[..., BeamServer]
) -> None:
    server = start_server(epmd="host")
    assert server.start() is False
    assert "epmd -daemon" in server.last_error
    assert str(no_epmd) in server.last_error


def test_a_name_that_another_node_has_is_refused_with_a_sentence(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl()
    short = erl.node.partition("@")[0]
    server = start_server(node_name=short)
    assert server.start() is False
    assert (server.running, server.state) == (False, "failed")
    assert short in server.last_error
    assert "taken" in server.last_error
    erl.stop()
    eventually(server.start, "the name is free")
    assert (server.state, server.last_error) == ("running", None)


def test_a_name_that_another_server_has_is_refused_by_the_embedded_epmd_too(
    no_epmd: int, start_server: Callable[..., BeamServer]
) -> None:
    first = start_server()
    assert first.start(), first.last_error
    second = start_server(node_name=first.node_name)
    assert second.start() is False
    assert "taken" in second.last_error


def test_a_beam_node_cannot_take_the_servers_name(
    no_epmd: int, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    with pytest.raises(AssertionError, match="in use by another Erlang node"):
        start_erl(name=server.node_name.partition("@")[0])
    later = start_erl().call(server)
    assert later.eval("net_adm:ping(N)") == PONG


def test_a_port_that_is_taken_is_refused_with_a_sentence(start_server: Callable[..., BeamServer]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        server = start_server(port=port)
        assert server.start() is False
        assert (server.running, server.state) == (False, "failed")
        assert str(port) in server.last_error
        assert "taken" in server.last_error


def test_neither_sentence_nor_log_nor_repr_holds_the_cookie(
    start_server: Callable[..., BeamServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(node_name=unique("interop"), port=1)
    with caplog.at_level("DEBUG"):
        server.start()
    assert COOKIE not in f"{server!r} {server.last_error} {caplog.text}"


def test_a_server_with_a_whole_name_is_reached_by_it(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    name = f"{unique('interop')}@127.0.0.1"
    server = start_server(node_name=name)
    assert server.start(), server.last_error
    assert server.get_address() == f"{name}:{server.port}"
    assert start_erl().call(server).eval("erpc:call(N, m, ping, [])") == "pong"
    # The registered process has the first part of the name.
    assert start_erl().call(server).eval("gen_server:call(S, ping)") == "pong"
