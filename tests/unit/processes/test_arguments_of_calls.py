"""Wrong values in calls from Python: each is refused at the call that has received it, and sends nothing."""

import math

import pytest

from beam_bpy import Atom, NodeDownError, Pid, Reference

NODE = "nobody@127.0.0.1"
PID = Pid(NODE, 1, 0, 1)
REF = Reference(NODE, 1, [1])
NAN, INF = math.nan, math.inf


def call(server, node=NODE, module="erlang", function="node", args=None, **options):
    return server.call(node, module, function, args, **options)


def call_async(server, node=NODE, module="erlang", function="node", args=None, **options):
    return server.call_async(node, module, function, args, **options)


def cast(server, node=NODE, module="erlang", function="node", args=None):
    return server.cast(node, module, function, args)


@pytest.mark.parametrize("way", [call, call_async, cast])
@pytest.mark.parametrize(
    "args", ["ab", "", b"ab", (1, 2), (), {}, {"a": 1}, {1}, 5, 0, False, range(3), iter([])], ids=repr
)
def test_the_arguments_are_a_list(server, way, args):
    with pytest.raises(TypeError, match="list"):
        way(server, args=args)


@pytest.mark.parametrize("way", [call, call_async, cast])
@pytest.mark.parametrize("name", [None, 5, b"app@127.0.0.1", ["app@127.0.0.1"], PID], ids=repr)
def test_a_node_is_named_by_a_str(server, way, name):
    with pytest.raises(TypeError, match="node name"):
        way(server, node=name)


@pytest.mark.parametrize("way", [call, call_async, cast])
@pytest.mark.parametrize(
    "name",
    [
        "",
        "app",
        "app@",
        "@host",
        "a@b@c",
        "a b@host",
        "a\n@host",
        "a@ho\0st",
        "\udc80@host",
        "a" * 250 + "@host.example",
    ],
    ids=ascii,
)
def test_a_node_name_is_a_name_and_a_host(server, way, name):
    with pytest.raises(ValueError, match="node name") as caught:
        way(server, node=name)
    assert isinstance(caught.value, NodeDownError)


@pytest.mark.parametrize("way", [call, call_async, cast])
@pytest.mark.parametrize("part", ["module", "function"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(None, TypeError), (5, TypeError), (b"lists", TypeError), ("", ValueError), ("x" * 256, ValueError),
     ("\ud800", ValueError)],
    ids=ascii,
)  # fmt: skip
def test_modules_and_functions_have_names(server, way, part, value, error):
    with pytest.raises(error, match=part):
        way(server, **{part: value})


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (-0.001, ValueError), (NAN, ValueError), (INF, ValueError), (1e30, ValueError),
     (-INF, ValueError),
     ("5", TypeError), (b"5", TypeError), ([], TypeError), (True, TypeError), (1j, TypeError)],
    ids=repr,
)  # fmt: skip
def test_a_timeout_is_seconds(server, timeout, error):
    for attempt in (
        lambda: server.call(NODE, "erlang", "node", timeout=timeout),
        lambda: server.connect(NODE, timeout),
        lambda: server.ping(NODE, timeout),
    ):
        with pytest.raises(error, match="timeout"):
            attempt()


@pytest.mark.parametrize("way", [call, call_async])
@pytest.mark.parametrize("binaries", [int, bytearray, "str", None, list])
def test_binaries_arrive_as_one_of_three_types(server, way, binaries):
    with pytest.raises(TypeError, match="binaries"):
        way(server, binaries=binaries)


@pytest.mark.parametrize(
    ("to", "error"),
    [("zzz", TypeError), (NODE, TypeError), (None, TypeError), (5, TypeError), (("name",), TypeError),
     (("name", NODE, 1), TypeError), (["name", NODE], TypeError), ((5, NODE), TypeError), (("name", 5), TypeError),
     (("name", PID), TypeError), (("", NODE), ValueError), (("x" * 256, NODE), ValueError),
     (("name", "zzz"), ValueError)],
    ids=ascii,
)  # fmt: skip
def test_a_message_goes_to_a_process(server, to, error):
    process = server.register_process(None, lambda process, message: None)
    for attempt in (lambda: server.send(to, 1), lambda: process.send(to, 1)):
        with pytest.raises(error):
            attempt()
    if to != NODE:
        with pytest.raises(error):
            process.monitor(to)
    if not isinstance(to, str):
        with pytest.raises(error):
            server.monitor(to, print)


def test_a_monitor_is_on_a_process_or_a_node_and_has_a_callback(server):
    with pytest.raises(TypeError, match="pid"):
        server.monitor(REF, print)
    with pytest.raises(ValueError, match="name@host"):
        server.monitor("zzz", print)
    for callback in (None, "print", 5):
        with pytest.raises(TypeError, match="callback"):
            server.monitor(PID, callback)
    for ref in (None, "zzz", 5, PID):
        with pytest.raises(TypeError):
            server.demonitor(ref)
    assert server.demonitor(REF) is False


@pytest.mark.parametrize("pid", ["zzz", None, REF, ("name", NODE)], ids=str)
def test_a_link_is_to_a_pid(server, pid):
    process = server.register_process(None, lambda process, message: None)
    for attempt in (process.link, process.unlink):
        with pytest.raises(TypeError, match="pid"):
            attempt(pid)


@pytest.mark.parametrize("name", [None, 5, b"a@b"])
def test_connections_are_to_nodes(server, name):
    for attempt in (server.connect, server.disconnect, server.ping):
        with pytest.raises(TypeError, match="node name"):
            attempt(name)
    for attempt in (server.connect, server.disconnect):
        with pytest.raises(ValueError, match="name@host"):
            attempt("zzz")
    assert server.ping("zzz") is False


@pytest.mark.parametrize(
    ("name", "error"),
    [(5, TypeError), (b"db", TypeError), ("", ValueError), ("x" * 256, ValueError), ("\udc80", ValueError),
     ("a\nb", ValueError), ("beam_bpy", ValueError), ("rex", ValueError), ("net_kernel", ValueError),
     ("logger", ValueError), ("logger_proxy", ValueError)],
    ids=ascii,
)  # fmt: skip
def test_a_registered_name_is_a_free_name(server, name, error):
    with pytest.raises(error):
        server.register_process(name, print)


@pytest.mark.parametrize("callback", [None, 5, "print"])
def test_a_process_has_a_callback(server, callback):
    with pytest.raises(TypeError, match="callback"):
        server.register_process("db", callback)
    assert server.register_process("db", print).alive


def test_what_a_call_accepts(server):
    """An Atom is a name, a list subclass a list, and whole seconds are a timeout."""

    class Arguments(list):
        pass

    server.expose(lambda *args: list(args), name="echo", inline=True)
    assert server.call(Atom(server.node_name), Atom("m"), Atom("echo"), Arguments([1]), 5) == [1]
    assert server.call(server.node_name, "m", "echo", None, None) == []
    assert server.call(server.node_name, "Elixir.M", "echo", [], 5.0) == []


@pytest.mark.parametrize("name", ["rex", "net_kernel", "logger", "logger_proxy"])
def test_a_node_has_no_name_that_every_node_registers(make, name):
    server = make(node_name=name)
    assert server.start() is False
    assert name in server.last_error


def test_every_node_is_beam_bpy_and_has_its_short_name(make):
    for name in ("worker", "beam_bpy"):
        server = make(node_name=name)
        assert server.start(), server.last_error
        pids = {server.call(server.node_name, "erlang", "whereis", [Atom(each)]) for each in ("beam_bpy", name)}
        assert len(pids) == 1
        assert all(isinstance(pid, Pid) for pid in pids)
        server.stop()
