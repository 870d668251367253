"""Messages that travel in fragments: whole, in order, and not in the way of small ones."""

import hashlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from beam import Erl, Gate, eventually, nodes_of, unique

from beam_bpy import Atom, BeamServer, Limits

SECONDS = 60.0
MB = 1024 * 1024


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer]) -> BeamServer:
    server = start_server()
    server.register_handler("mirror", lambda args: args[0], inline=True, binaries=memoryview)
    server.register_handler("size", lambda args: len(args[0]), inline=True, binaries=memoryview)
    assert server.start(), server.last_error
    return server


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which each block is another one, so that no two fragments can change places unseen."""
    return b"".join(hashlib.md5(f"{seed} {block}".encode()).digest() * 4096 for block in range(size // 65536))


def hex_digest(data: bytes | memoryview) -> str:
    """As text: a digest is a binary that may be valid UTF-8, and then arrives as str."""
    return hashlib.md5(data).hexdigest().upper()


def test_small_answers_pass_a_large_one(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> None:
    """The caller stands still while it is answered, so that the large answer is still on its way when the others come.

    One process of the caller receives all answers: its mailbox has them in the order in which they have arrived.
    """
    server = start_server(limits=Limits(max_unsent=1024 * MB))
    held, last = Gate(), threading.Event()
    server.register_handler("zeros_later", lambda args: held(args) and bytes(args[0]))
    server.register_handler("last", lambda args: last.set())
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    code = """
        Ask = fun(Function, Args) -> erpc:send_request(N, m, Function, Args) end,
        Big = Ask(zeros_later, [Size]),
        Small = [Ask(echo, [Number]) || Number <- lists:seq(1, Count)],
        ok = erpc:cast(N, m, last, []),
        [begin
            {'DOWN', _, _, _, {_, return, Value}} = probe:message('DOWN'),
            if is_binary(Value) -> byte_size(Value); true -> Value end
        end || _ <- [Big | Small]]
    """
    order = erl.later(code, Size=256 * MB, Count=100)
    assert held.entered.wait(SECONDS)
    eventually(lambda: server.activity.queued == 101, "all requests have arrived")
    erl.pause()
    held.opened.set()
    assert last.wait(SECONDS)
    erl.resume()
    assert order.result(SECONDS) == [*([number] for number in range(1, 101)), 256 * MB]


def test_small_messages_pass_a_large_one(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    """The receiver stands still while they are sent. The large message's sender is another process."""
    erl = start_erl()
    name = unique("inbox")
    code = f"register({name}, self()), [byte_size(probe:message()) || _ <- lists:seq(0, Count)]"
    order = erl.later(code, Count=100)
    eventually(lambda: erl.eval(f"is_pid(whereis({name}))"), "the inbox is there")
    fresh.connect(erl.node)
    one, other = (fresh.register_process(None, lambda process, message: None) for _ in range(2))
    erl.pause()
    one.send((name, erl.node), bytes(256 * MB))
    for _ in range(100):
        other.send((name, erl.node), b"small")
    erl.resume()
    assert order.result(SECONDS) == [*[5] * 100, 256 * MB]


def test_small_calls_are_answered_beside_a_large_one_from_python(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    erl = start_erl()
    big = fresh.call_async(erl.node, "erlang", "byte_size", [bytes(256 * MB)])
    small = [fresh.call_async(erl.node, "erlang", "node") for _ in range(100)]
    assert [future.result(SECONDS) for future in small] == [erl.node] * 100
    assert big.result(SECONDS) == 256 * MB


def test_an_echo_of_256_mb_comes_back_beside_small_calls(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    code = """
        Big = binary:copy(<<"0123456789abcdef">>, Size div 16),
        Echo = erpc:send_request(N, m, mirror, [Big]),
        Small = [erpc:call(N, m, inline_ping, []) || _ <- lists:seq(1, Count)],
        {erpc:receive_response(Echo, infinity) =:= Big, lists:usort(Small)}
    """
    assert erl.eval(code, timeout=SECONDS, Size=256 * MB, Count=1000) == (True, ["pong"])


def test_a_value_of_64_mb_goes_either_way(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    data = pattern(64 * MB)
    fresh.expose(lambda: data, name="give")
    code = "Data = erpc:call(N, m, give, []), {byte_size(Data), binary:encode_hex(crypto:hash(md5, Data))}"
    got = erl.eval(code, timeout=SECONDS)
    assert got == (len(data), hex_digest(data))
    echoed = fresh.call(erl.node, "erlang", "iolist_to_binary", [[data]], timeout=SECONDS, binaries=memoryview)
    assert echoed == data


def test_large_values_of_every_form_go_either_way(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    """A value's fragments end anywhere, within an integer or a float too."""
    erl = start_erl().call(fresh)
    values = [list(range(-300_000, 300_000)), [0.1 * n for n in range(200_000)], 1 << 8 * 300_000, "é中" * 300_000]
    for value in values:
        assert fresh.call(erl.node, "lists", "last", [[value]], timeout=SECONDS) == value
        assert fresh.call(erl.node, "erpc", "call", [Atom(fresh.node_name), Atom("m"), Atom("echo"), [value]]) == [
            value
        ]


@pytest.mark.parametrize("size", [64 * 1024 - 200, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 128 * 1024, 200_000])
def test_sizes_around_one_fragment(fresh: BeamServer, start_erl: Callable[..., Erl], size: int) -> None:
    erl = start_erl().call(fresh)
    code = "[begin B = rand:bytes(Size + D), erpc:call(N, m, mirror, [B]) =:= B end || D <- lists:seq(-40, 40)]"
    assert erl.eval(code, Size=size) == [True] * 81
    for extra in range(-40, 40):
        data = pattern(4 * 65536)[: size + extra]
        assert fresh.call(erl.node, "erlang", "iolist_to_binary", [data], binaries=bytes) == data


def test_large_messages_of_several_processes_do_not_mix(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    digests: dict[int, list[str]] = {}

    def note(args: list[Any]) -> None:
        digests.setdefault(args[0], []).append(hex_digest(args[1]))

    fresh.register_handler("note_digest", note, inline=True, binaries=memoryview)
    code = """
        Run = fun(Number) ->
            Sent = [rand:bytes(3000000 + 1000 * Number + Round) || Round <- lists:seq(1, 4)],
            [erpc:call(N, m, note_digest, [Number, Data]) || Data <- Sent],
            exit({digests, Number, [binary:encode_hex(crypto:hash(md5, Data)) || Data <- Sent]})
        end,
        Started = [spawn_monitor(fun() -> Run(Number) end) || Number <- lists:seq(1, 8)],
        [begin {_, {digests, Number, Digests}} = probe:down(Ref), {Number, Digests} end || {_, Ref} <- Started]
    """
    sent = dict(erl.eval(code, timeout=SECONDS))
    assert sorted(sent) == list(range(1, 9))
    assert digests == sent


def test_large_answers_to_several_processes_do_not_mix(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl().call(fresh)
    data = [pattern(4 * MB, seed) for seed in range(6)]
    fresh.expose(lambda number: data[number], name="give", inline=True)
    code = """
        Digest = fun(Number) -> binary:encode_hex(crypto:hash(md5, erpc:call(N, m, give, [Number]))) end,
        Run = fun(Number) -> exit({digest, [Digest(Number) || _ <- [1, 2, 3]]}) end,
        Started = [spawn_monitor(fun() -> Run(Number) end) || Number <- lists:seq(0, 5)],
        [begin {_, {digest, Digests}} = probe:down(Ref), Digests end || {_, Ref} <- Started]
    """
    assert erl.eval(code, timeout=SECONDS) == [[hex_digest(one)] * 3 for one in data]


def test_large_and_small_messages_of_one_process_stay_in_order(
    fresh: BeamServer, start_erl: Callable[..., Erl]
) -> None:
    """Both ways: signals from one process to another arrive in the order in which they were sent."""
    erl = start_erl()
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    process = fresh.register_process(None, lambda process, message: received.put(len(message)))
    sizes = [10_000_000, 1, 300_000, 2, 3, 5_000_000, 4]
    erl.eval("[P ! binary:copy(<<0>>, Size) || Size <- Sizes], ok", P=process.pid, Sizes=sizes)
    assert [received.get(timeout=SECONDS) for _ in sizes] == sizes

    name = unique("inbox")
    future = erl.later(f"register({name}, self()), [byte_size(probe:message()) || _ <- Sizes]", Sizes=sizes)
    eventually(lambda: erl.eval(f"is_pid(whereis({name}))"), "the inbox is there")
    for size in sizes:
        process.send((name, erl.node), bytes(size))
    assert future.result(SECONDS) == sizes


def test_the_end_of_a_process_comes_after_its_large_message(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl = start_erl()
    process = fresh.register_process(None, lambda process, message: process.send(message, bytes(10_000_000)))
    code = """
        Ref = monitor(process, P),
        P ! self(),
        Size = byte_size(probe:message()),
        Last ! over,
        {Size, probe:down(Ref)}
    """
    last = fresh.register_process(None, lambda _last, _message: process.exit(Atom("over")))
    assert erl.eval(code, P=process.pid, Last=last.pid) == (10_000_000, (process.pid, Atom("over")))

    def send_and_leave(process: Any, message: Any) -> None:
        process.send(message, bytes(10_000_000))
        process.exit(Atom("over"))

    process = fresh.register_process(None, send_and_leave)
    code = """
        Ref = monitor(process, P),
        P ! self(),
        receive First -> ok end,
        {byte_size(First), probe:down(Ref)}
    """
    assert erl.eval(code, P=process.pid) == (10_000_000, (process.pid, Atom("over")))


def test_a_node_that_dies_while_it_sends_leaves_nothing(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl, other = start_erl().call(fresh), start_erl().call(fresh)
    erl.later("Big = binary:copy(<<0>>, Size), [erpc:call(N, m, size, [Big]) || _ <- lists:seq(1, 1000)]", Size=64 * MB)
    connection = eventually(lambda: list(fresh._running.connections._established.values()), "it is connected")[0]
    eventually(lambda: connection._fragments._partial, "a message is on its way")
    erl.stop()
    eventually(lambda: erl.node not in nodes_of(fresh), "it is gone")
    assert other.eval("erpc:call(N, m, inline_ping, [])") == "pong"


def test_a_node_that_dies_while_it_is_sent_to_leaves_nothing(fresh: BeamServer, start_erl: Callable[..., Erl]) -> None:
    erl, other = start_erl(), start_erl().call(fresh)
    fresh.connect(erl.node)
    futures = [fresh.call_async(erl.node, "probe", "hold", [bytes(64 * MB)]) for _ in range(3)]
    erl.stop()
    assert {type(future.exception(SECONDS)).__name__ for future in futures} == {"NodeDownError"}
    assert other.eval("erpc:call(N, m, inline_ping, [])") == "pong"
