"""Connections that both sides may open: which one lives when both call, and when an old one is in the way."""

import functools
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, eventually, nodes_of, unique
from ports import free_port

from beam_bpy import Atom, BeamServer
from beam_bpy.distribution.connections import Connections
from beam_bpy.protocol.handshake import Initiator

SECONDS = 20.0
ORDERS = pytest.mark.parametrize(("ours", "theirs"), [("a_interop", "z_interop"), ("z_interop", "a_interop")])
"""The call of the node with the greater name goes on."""


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every handshake status that this program has sent or got, `sent ok` and `got ok` and so on."""
    seen: list[str] = []
    status, received = Connections.status, Initiator._status_received

    def sent(self: Connections, *caller: Any) -> str:
        answer = status(self, *caller)
        seen.append(f"sent {answer}")
        return answer

    def got(self: Initiator, message: bytes) -> None:
        seen.append(f"got {message[1:].decode()}")
        received(self, message)

    monkeypatch.setattr(Connections, "status", sent)
    monkeypatch.setattr(Initiator, "_status_received", got)
    return seen


@pytest.fixture
def pair(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> Callable[..., Any]:
    def make(ours: str, theirs: str) -> tuple[BeamServer, Erl]:
        server = start_server(node_name=unique(ours))
        assert server.start(), server.last_error
        return server, start_erl(name=unique(theirs)).call(server)

    return make


def apart(server: BeamServer, erl: Erl) -> None:
    server.disconnect(erl.node)
    eventually(lambda: nodes_of(server) == () and erl.eval("nodes(hidden)") == [], "they are apart")


def check_one_connection(server: BeamServer, erl: Erl) -> None:
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert server.call(erl.node, "erlang", "node") == erl.node
    assert nodes_of(server) == (erl.node,)
    assert erl.eval("nodes(hidden) =:= [N]") is True
    eventually(lambda: len(nodes_of(server)) == 1, "there is one connection")


@ORDERS
def test_both_sides_call_at_once_many_times(pair: Callable[..., Any], ours: str, theirs: str) -> None:
    server, erl = pair(ours, theirs)
    delays = random.Random(7)
    for _ in range(40):
        connecting = erl.later("net_kernel:connect_node(N)")
        time.sleep(delays.uniform(0.0, 0.003))
        server.connect(erl.node)
        assert connecting.result(SECONDS) is True
        check_one_connection(server, erl)
        apart(server, erl)


@ORDERS
def test_two_calls_that_cross_end_as_one_connection(
    pair: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, statuses: list[str], ours: str, theirs: str
) -> None:
    """The peer's call is held at our door until ours is at the peer's, so that each finds the other one calling."""
    accepted, open_outgoing = Connections.accepted, Connections.open_outgoing
    door: list[tuple[Connections, socket.socket, Any]] = []
    knocked = threading.Event()

    def hold(self: Connections, sock: socket.socket, address: Any) -> None:
        door.append((self, sock, address))
        knocked.set()

    def let_in(self: Connections, sock: socket.socket, name: str) -> Any:
        connection = open_outgoing(self, sock, name)
        while door:
            self._loop.call_soon(functools.partial(accepted, *door.pop()))
        return connection

    monkeypatch.setattr(Connections, "accepted", hold)
    monkeypatch.setattr(Connections, "open_outgoing", let_in)
    server, erl = pair(ours, theirs)
    for _ in range(10):
        connecting = erl.later("net_kernel:connect_node(N)")
        assert knocked.wait(SECONDS)
        server.connect(erl.node)
        knocked.clear()
        assert connecting.result(SECONDS) is True
        check_one_connection(server, erl)
        apart(server, erl)
    # Not each time: now and then the peer has let our call in before it sees that its own is at our door.
    assert ("sent ok_simultaneous" if ours < theirs else "sent nok") in statuses


@ORDERS
def test_calls_that_wait_while_both_sides_call_are_all_made(pair: Callable[..., Any], ours: str, theirs: str) -> None:
    server, erl = pair(ours, theirs)
    for _ in range(10):
        theirs_ = erl.later("[erpc:call(N, m, echo, [X]) || X <- lists:seq(1, 20)]")
        ours_ = [server.call_async(erl.node, "erlang", "+", [number, 1]) for number in range(20)]
        assert [future.result(SECONDS) for future in ours_] == list(range(1, 21))
        assert theirs_.result(SECONDS) == [[number] for number in range(1, 21)]
        apart(server, erl)


def test_two_servers_call_each_other_at_once(start_server: Callable[..., BeamServer]) -> None:
    one, two = start_server(node_name=unique("a_interop")), start_server(node_name=unique("z_interop"))
    assert one.start(), one.last_error
    assert two.start(), two.last_error
    for _ in range(20):
        futures = [
            one.call_async(two.node_name, "m", "echo", [1]),
            two.call_async(one.node_name, "m", "echo", [2]),
        ]
        assert [future.result(SECONDS) for future in futures] == [[1], [2]]
        one.disconnect(two.node_name)
        eventually(lambda: nodes_of(one) == nodes_of(two) == (), "they are apart")


def test_a_call_that_is_wanted_while_the_peers_is_let_in_takes_its_outcome(
    start_server: Callable[..., BeamServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node with the greater name has answered ok; a call of its own would make the other one give way too late."""
    lesser, greater = start_server(node_name=unique("a_interop")), start_server(node_name=unique("z_interop"))
    status, challenged = Connections.status, Initiator._challenge_received
    wanted: list[Any] = []

    def let_in(self: Connections, *caller: Any) -> str:
        answer = status(self, *caller)
        if self._node.name == greater.node_name and not wanted:
            wanted.append(self.connect(lesser.node_name))
        return answer

    def hesitate(self: Initiator, message: bytes) -> None:
        if self._name == lesser.node_name:
            time.sleep(0.2)
        challenged(self, message)

    monkeypatch.setattr(Connections, "status", let_in)
    monkeypatch.setattr(Initiator, "_challenge_received", hesitate)
    assert lesser.start(), lesser.last_error
    assert greater.start(), greater.last_error
    assert lesser.call(greater.node_name, "m", "echo", [1]) == [1]
    assert wanted[0].result(SECONDS).name == lesser.node_name
    assert greater.call(lesser.node_name, "m", "echo", [2]) == [2]
    assert (nodes_of(lesser), nodes_of(greater)) == ((greater.node_name,), (lesser.node_name,))


def test_a_node_that_still_sees_our_old_connection_takes_the_new_one(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], statuses: list[str]
) -> None:
    """Two servers of one name are what a server is to a peer that has not noticed its end."""
    erl = start_erl()
    name = unique("interop")
    old, new = start_server(node_name=name, epmd="none"), start_server(node_name=name, epmd="none")
    assert old.start(), old.last_error
    assert new.start(), new.last_error
    old.connect(erl.node)
    assert statuses == ["got ok"]
    new.connect(erl.node)
    assert statuses == ["got ok", "got alive"]
    eventually(lambda: nodes_of(old) == (), "the old connection is closed")
    assert new.call(erl.node, "erlang", "node") == erl.node
    assert erl.eval("erpc:call(Node, m, ping, [])", Node=Atom(new.node_name)) == "pong"


def test_a_node_that_has_restarted_unseen_is_told_alive_and_takes_over(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], statuses: list[str]
) -> None:
    port = free_port()
    server = start_server(port=port)
    assert server.start(), server.last_error
    old = start_erl().call(server)
    old_pid = old.eval("pong = net_adm:ping(N), self()")
    short = old.node.partition("@")[0]
    # Without epmd nobody says that the name is taken; the new node calls the port.
    new = start_erl("-erl_epmd_port", str(port), "-dist_listen", "false", name=short).call(server)
    assert new.eval("erpc:call(N, m, ping, [])") == "pong"
    assert statuses == ["sent ok", "sent alive"]
    assert nodes_of(server) == (new.node,)
    assert new.eval("self()").creation != old_pid.creation
    eventually(lambda: old.eval("nodes(hidden)") == [], "the old node is let go")


@pytest.mark.parametrize("caller", ["python", "erlang"])
def test_a_node_that_was_killed_and_restarted_is_found_again_with_a_new_creation(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], caller: str
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    name = unique("interop_erl")
    creations = set()
    for _ in range(3):
        erl = start_erl(name=name).call(server)
        if caller == "erlang":
            assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
        creations.add(server.call(erl.node, "erlang", "whereis", [Atom("init")]).creation)
        erl.stop()
        eventually(lambda: nodes_of(server) == (), "the node is gone")
    assert len(creations) == 3


def test_a_pid_of_a_nodes_earlier_life_is_dead(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    name = unique("interop_erl")
    old = start_erl(name=name)
    pid = server.call(old.node, "erlang", "whereis", [Atom("init")])
    old.stop()
    eventually(lambda: nodes_of(server) == (), "the node is gone")
    new = start_erl(name=name)
    reasons: list[Any] = []
    server.monitor(pid, reasons.append)
    eventually(lambda: reasons, "the monitor has told")
    assert reasons == ["noproc"]
    assert server.call(new.node, "erlang", "node") == new.node


def test_what_waits_for_a_node_that_refuses_fails(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    assert server.start(), server.last_error
    erl = start_erl()
    erl.eval("net_kernel:allow(['friend@127.0.0.1'])")
    futures = [server.call_async(erl.node, "erlang", "node") for _ in range(5)]
    assert [type(future.exception(SECONDS)).__name__ for future in futures] == ["NodeDownError"] * 5
    assert server.ping(erl.node) is False


def test_a_handshake_that_never_ends_is_given_up(start_server: Callable[..., BeamServer]) -> None:
    """Something listens there that is no node and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start_server()
        assert server.start(), server.last_error
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ERL_DIST_PORT", str(silent.getsockname()[1]))
            with pytest.raises(TimeoutError):
                server.connect("mute@127.0.0.1", timeout=0.2)
