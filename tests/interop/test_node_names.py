"""Long names, short names, whole names, and names that a node gets from the one that it connects to."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from beam import Erl, eventually, nodes_of, seen, unique

from beam_bpy import Atom, BeamServer

HOST = socket.gethostname().partition(".")[0]


@pytest.fixture
def inetrc(beam_folder: Path) -> list[str]:
    """Flags with which a node finds this machine's short name on the loopback address, where the tests listen."""
    file = beam_folder / "inetrc"
    file.write_text(f'{{lookup, [file, native]}}.\n{{host, {{127,0,0,1}}, ["{HOST}"]}}.\n')
    return ["-kernel", "inetrc", f'"{seen(file)}"']


def start(make: Callable[..., BeamServer], name: str) -> BeamServer:
    server = make(node_name=name, host="localhost")
    assert server.start(), server.last_error
    return server


def test_a_short_name_is_reached_by_nodes_with_short_names(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], inetrc: list[str]
) -> None:
    server = start(start_server, f"{unique('interop')}@{HOST}")
    erl = start_erl(*inetrc, name=f"{unique('interop_erl')}@{HOST}", short=True).call(server)
    assert erl.eval("{net_adm:ping(N), erpc:call(N, m, ping, [])}") == (Atom("pong"), "pong")
    assert erl.eval("gen_server:call(S, ping)") == "pong"
    assert server.call(erl.node, "erlang", "node") == erl.node
    assert nodes_of(server) == (erl.node,)


def test_a_short_name_whose_host_the_node_finds_itself(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], inetrc: list[str]
) -> None:
    """As with `iex --sname`: the node is told the first part only."""
    server = start(start_server, f"{unique('interop')}@{HOST}")
    erl = start_erl(*inetrc, name=unique("interop_erl"), short=True).call(server)
    assert erl.eval("atom_to_binary(node())") == f"{erl.node}@{HOST}"
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


def test_short_names_on_localhost_call_each_other_both_ways(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start(start_server, f"{unique('interop')}@localhost")
    erl = start_erl(name=f"{unique('interop_erl')}@localhost", short=True).call(server)
    assert server.call(erl.node, "erlang", "node") == erl.node
    server.disconnect(erl.node)
    eventually(lambda: nodes_of(server) == (), "they are apart")
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost.localdomain"])
def test_a_long_name_is_reached_by_nodes_with_long_names(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], beam_folder: Path, host: str
) -> None:
    file = beam_folder / "inetrc_long"
    file.write_text(f'{{lookup, [file, native]}}.\n{{host, {{127,0,0,1}}, ["{host}"]}}.\n')
    server = start(start_server, f"{unique('interop')}@{host}")
    erl = start_erl("-kernel", "inetrc", f'"{seen(file)}"', name=f"{unique('interop_erl')}@{host}").call(server)
    assert erl.eval("{net_adm:ping(N), erpc:call(N, m, ping, [])}") == (Atom("pong"), "pong")
    assert server.call(erl.node, "erlang", "node") == erl.node


def test_a_short_name_is_not_reached_from_a_long_one(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    """The BEAM's own rule, which the error message of a user comes from."""
    server = start(start_server, f"{unique('interop')}@localhost")
    erl = start_erl().call(server)
    assert erl.eval("logger:set_primary_config(level, none), net_adm:ping(N)") == Atom("pang")


@pytest.mark.parametrize("short", [False, True])
def test_a_node_without_a_name_gets_one_from_us(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], short: bool
) -> None:
    host = "localhost" if short else "127.0.0.1"
    server = start(start_server, f"{unique('interop')}@{host}")
    erl = start_erl(name=f"undefined@{host}", short=short).call(server)
    assert erl.eval("node()") == "nonode@nohost"
    assert erl.eval("net_kernel:connect_node(N)") is True
    name = erl.eval("node()")
    assert re.fullmatch(rf"[0-9A-Z]{{13}}@{host}", name)
    assert nodes_of(server) == (name,)
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert erl.eval("gen_server:call(S, {echo, [self()]})")[0].node == name
    assert server.call(name, "erlang", "node") == name
    server.disconnect(name)
    eventually(lambda: nodes_of(server) == (), "it is gone")
    assert erl.eval("net_kernel:connect_node(N)") is True
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert len(nodes_of(server)) == 1


def test_two_nodes_without_a_name_get_two(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start(start_server, unique("interop"))
    nodes = [start_erl(name="undefined@127.0.0.1").call(server) for _ in range(2)]
    assert [node.eval("net_kernel:connect_node(N)") for node in nodes] == [True, True]
    assert len({node.eval("node()") for node in nodes}) == 2
    assert sorted(nodes_of(server)) == sorted(node.eval("node()") for node in nodes)
    assert [node.eval("erpc:call(N, m, ping, [])") for node in nodes] == ["pong"] * 2


def test_ipv6(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], no_epmd: int) -> None:
    """The built-in epmd listens on the IPv6 address of its node, too; the epmd of the other tests does not."""
    server = start_server(node_name=f"{unique('interop')}@::1")
    assert server.start(), server.last_error
    name, loopback = f"{unique('interop_erl')}@::1", "{0,0,0,0,0,0,0,1}"
    erl = start_erl("-proto_dist", "inet6_tcp", name=name, interface=loopback).call(server)
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    server.disconnect(erl.node)
    eventually(lambda: nodes_of(server) == (), "they are apart")
    assert server.call(erl.node, "erlang", "node") == erl.node
