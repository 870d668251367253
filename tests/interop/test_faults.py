"""Faults of the program and of what is around it, as nodes of the BEAM see them: every call has its answer."""

import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beam import COOKIE, TIMEOUT, Erl, Gate, eventually, nodes_of, unique

from beam_bpy import Atom, BeamServer, ErlangError


class WordlessError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no words")


class SecretiveError(Exception):
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class Unsteady(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise SystemExit("not here")


class Stubborn:
    """It has no term, and its repr cannot be had."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt


def endless() -> Any:
    return endless()


def within_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


async def later() -> None:
    pass


def raises(error: BaseException) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "system_exit": (lambda: sys.exit(3), "SystemExit"),
    "keyboard_interrupt": (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
    "generator_exit": (raises(GeneratorExit()), "GeneratorExit"),
    "stop_iteration": (raises(StopIteration(5)), "StopIteration"),
    "base_exception": (raises(BaseException("base")), "BaseException"),
    "recursion": (endless, "RecursionError"),
    "no_memory": (lambda: bytearray(1 << 62), "MemoryError"),
    "no_text": (raises(WordlessError()), "WordlessError"),
    "no_attributes": (raises(SecretiveError()), "SecretiveError"),
    "odd_syntax": (raises(SyntaxError("odd", ("file", 1, 1, 5))), "SyntaxError"),  # type: ignore[arg-type]
    "group": (raises(BaseExceptionGroup("some", [KeyboardInterrupt()])), "BaseExceptionGroup"),
    "no_term": (lambda: {"mesh": [1, Stubborn()]}, "EncodeError"),
    "within_itself": (within_itself, "EncodeError"),
    "ends_the_encoder": (lambda: Unsteady([1, 2]), "SystemExit"),
    "reason_without_term": (raises(ErlangError(Stubborn())), "EncodeError"),
    "reason_too_deep": (raises(ErlangError(nested(20_000))), "EncodeError"),
}

WAYS = ("erpc", "rpc", "gen_server", "rex", "named", "batch", "progress", "spawn")


@pytest.fixture
def fresh(start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]) -> tuple[BeamServer, Erl]:
    """A server and a node of this test's own, because a fault may end what other tests need."""
    server = start_server()
    assert server.start(), server.last_error
    return server, start_erl().call(server)


def register_each_kind(server: BeamServer, fault: Callable[[], Any]) -> None:
    def long(args: list[Any]) -> Any:
        yield 1
        return fault()

    server.register_handler("queued", lambda args: fault())
    server.register_handler("inline", lambda args: fault(), inline=True)
    server.register_handler("long", long)
    server.register_handler("inline_long", long, inline=True)


KINDS = ("queued", "inline", "long", "inline_long")


def expected(fault: str, kind: str) -> str:
    """Python makes this of a StopIteration that leaves a generator."""
    return "RuntimeError" if fault == "stop_iteration" and "long" in kind else FAULTS[fault][1]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_handler_does_answers_every_kind_of_call(fresh: tuple[BeamServer, Erl], fault: str) -> None:
    server, erl = fresh
    register_each_kind(server, FAULTS[fault][0])
    for kind in KINDS:
        outcomes = erl.eval("faults:every_way(N, S, Kind)", Kind=Atom(kind), timeout=2 * TIMEOUT * len(WAYS))
        assert dict(outcomes) == dict.fromkeys(WAYS, expected(fault, kind))
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert erl.eval("erpc:call(N, m, inline_ping, [])") == "pong"


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_cast_handler_does_is_logged_and_the_next_call_answered(
    fresh: tuple[BeamServer, Erl], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, erl = fresh
    register_each_kind(server, FAULTS[fault][0])
    for kind in KINDS:
        caplog.clear()
        erl.eval("faults:casts(N, S, Kind)", Kind=Atom(kind))
        # erpc:cast and rpc:cast give the same line, which is written once and then counted.
        eventually(
            lambda kind=kind: caplog.text.count(f": {expected(fault, kind)}") >= 3,
            f"three lines of {expected(fault, kind)}",
        )
        assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    assert server.running


@pytest.mark.parametrize("depth", [1500, 9_996, 9_998, 9_999])
def test_a_chosen_reason_that_is_too_deep_to_be_shown_is_an_answer(fresh: tuple[BeamServer, Erl], depth: int) -> None:
    """repr gives up at 1000 levels; the codec at 10 000, to which the answer adds some of its own."""
    server, erl = fresh
    register_each_kind(server, raises(ErlangError(nested(depth))))
    for kind in KINDS:
        outcomes = dict(erl.eval("faults:every_way(N, S, Kind)", Kind=Atom(kind), timeout=2 * TIMEOUT * len(WAYS)))
        assert set(outcomes) == set(WAYS)
        assert "timeout" not in outcomes.values()
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


@pytest.mark.parametrize("fault", ["no_term", "within_itself", "ends_the_encoder"])
def test_progress_without_a_term_closes_the_handler_and_answers(fresh: tuple[BeamServer, Erl], fault: str) -> None:
    server, erl = fresh
    closed = []

    def long(args: list[Any]) -> Any:
        try:
            yield FAULTS[fault][0]()
        finally:
            closed.append(1)

    server.register_handler("long", long)
    outcome = dict(erl.eval("faults:every_way(N, S, long)"))["progress"]
    assert outcome == FAULTS[fault][1]
    # A batch asks for no progress, and runs it to its end.
    eventually(lambda: len(closed) == len(WAYS), "each has been closed")


def test_a_permit_that_ends_the_program_permits_nothing(fresh: tuple[BeamServer, Erl]) -> None:
    server, erl = fresh
    server.register_handler("queued", len, permit=lambda node: sys.exit())
    server.register_handler("inline", len, inline=True, permit=lambda node: sys.exit())
    for kind in ("queued", "inline"):
        code = "{error, {exception, R, _}} = probe:attempt(fun() -> erpc:call(N, m, F, [], 5000) end), R"
        assert erl.eval(code, F=Atom(kind)) == "not_allowed"
    assert erl.eval("erpc:call(N, m, ping, [], 5000)") == "pong"


def test_a_callback_of_a_future_that_ends_the_program_ends_nothing(fresh: tuple[BeamServer, Erl]) -> None:
    server, erl = fresh
    future = server.call_async(erl.node, "timer", "sleep", [100])
    future.add_done_callback(lambda done: sys.exit())
    assert future.result(TIMEOUT) == "ok"
    assert erl.eval("erpc:call(N, m, ping, [], 5000)") == "pong"


def test_a_handler_may_call_its_own_server_and_is_told_when_that_cannot_be(fresh: tuple[BeamServer, Erl]) -> None:
    """A queued handler that waits for another one waits for its own thread."""
    server, erl = fresh
    server.expose(lambda name: server.call(server.node_name, "m", name, timeout=None), name="call_myself")
    assert erl.eval("erpc:call(N, m, call_myself, [inline_ping])") == "pong"
    code = "{error, {exception, {python_error, #{type := T}}, _}} = probe:attempt(fun() -> {} end), T"
    code = code.replace("{} end", "erpc:call(N, m, call_myself, [ping]) end")
    assert erl.eval(code) == "RuntimeError"
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("this log cannot be written")


@pytest.fixture(params=["full disk", "handler that raises"])
def bad_log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program's logging handler raises an exception for each message."""
    logger = logging.getLogger("beam_bpy")
    level = logger.level
    # It is unbuffered, so that closing it has nothing left to write.
    with open("/dev/full", "wb", buffering=0) as disk, monkeypatch.context() as patch:
        full = io.TextIOWrapper(disk, write_through=True)
        patch.setattr(sys, "stderr", full)
        handler = logging.StreamHandler(full) if request.param == "full disk" else Broken()
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        yield
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_a_log_that_cannot_be_written_loses_no_connection_and_no_answer(
    bad_log: None, start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server = start_server()
    server.register_handler("leave", lambda args: sys.exit())
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    erl.eval("faults:casts(N, S, leave)")
    assert erl.eval("{P, M} = spawn_monitor(N, m, leave, []), {P, {_, _}} = probe:down(M), ok") == "ok"
    assert erl.eval("{rex, N} ! nonsense, {net_kernel, N} ! {'$gen_call', 5}, erpc:call(N, m, ping, [])") == "pong"
    stranger = start_erl(cookie="another_cookie").call(server)
    assert stranger.eval("net_adm:ping(N)") == "pang"
    erl.eval("monitor_node(N, true), erlang:disconnect_node(N), receive {nodedown, N} -> ok end")
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    server.stop()
    assert server.start(), server.last_error
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


def test_a_clock_that_jumps_breaks_no_tick_and_no_deadline(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day goes back and forth by thirty years with each look at it."""
    real, jumps = time.time, iter(range(1 << 30))
    monkeypatch.setattr(time, "time", lambda: real() + (1e9 if next(jumps) % 2 else -1e9))
    server = start_server(tick_time=2.0)
    assert server.start(), server.last_error
    erl = start_erl("-kernel", "net_ticktime", "4").call(server)
    ended = []
    server.monitor(erl.node, ended.append)
    # Longer than either side waits for a silent one.
    assert erl.eval("timer:sleep(6000), erpc:call(N, m, ping, [], 5000)") == "pong"
    with pytest.raises(TimeoutError):
        server.call(erl.node, "timer", "sleep", [5000], timeout=0.2)
    assert erl.eval("erpc:call(N, m, ping, [], 5000)") == "pong"
    assert ended == []


def in_child(function: Callable[[], Any]) -> int:
    """Run `function` in a child that is forked from this process; the exit code that it ends with."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check(true: object) -> None:
    if not true:
        raise AssertionError


def test_a_fork_leaves_the_parents_connections_alone(fresh: tuple[BeamServer, Erl]) -> None:
    server, erl = fresh
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    erl.eval("monitor_node(N, true)")

    def child() -> None:
        check((server.running, server.state, nodes_of(server)) == (False, "stopped", ()))
        server.stop()

    for _ in range(3):
        assert in_child(child) == 0
    assert erl.eval("receive {nodedown, N} -> down after 500 -> erpc:call(N, m, ping, []) end") == "pong"
    assert server.running


def test_a_forked_child_may_start_its_server_and_runs_nothing_of_its_parents(fresh: tuple[BeamServer, Erl]) -> None:
    server, erl = fresh
    gate, name = Gate(), unique("forked")
    server.register_handler("gate", gate)
    noted, note = os.pipe()
    ready, say_ready = os.pipe()
    over, say_over = os.pipe()
    server.register_handler("note", lambda args: os.write(note, str(args[0]).encode()))
    erl.eval("erpc:cast(N, m, gate, [])")
    assert gate.entered.wait(TIMEOUT)
    erl.eval("[erpc:cast(N, m, note, [1]) || _ <- [1, 2, 3]], erpc:call(N, m, inline_ping, [])")
    child = os.fork()
    if not child:
        code = 1
        try:
            server.configure(name, COOKIE)
            if server.start():
                os.write(say_ready, b"!")
                os.read(over, 1)
                server.stop()
                code = 0
        finally:
            os._exit(code)
    assert os.read(ready, 1) == b"!"
    # The child's queue is in order: a call that it took over from its parent would run before this one.
    forked = Atom(f"{name}@127.0.0.1")
    assert erl.eval("erpc:call(Forked, m, note, [2], 10000)", Forked=forked) == 1
    assert os.read(noted, 10) == b"2"
    os.write(say_over, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.opened.set()
    assert erl.eval("erpc:call(N, m, note, [4])") == 1
    assert os.read(noted, 10) == b"1114"
    for descriptor in (noted, note, ready, say_ready, over, say_over):
        os.close(descriptor)


INHERITED = """
import os
def target(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""
print([target(name) for name in os.listdir("/proc/self/fd") if target(name).startswith("socket:")])
"""


def test_a_program_that_is_started_inherits_no_socket(fresh: tuple[BeamServer, Erl]) -> None:
    _server, erl = fresh
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"
    command = [sys.executable, "-c", INHERITED]
    # A pytest that was started with a socket as its input would hand that down.
    sockets = {os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)}
    done = subprocess.run(command, close_fds=False, capture_output=True, text=True, timeout=60, check=True)
    assert set(eval(done.stdout)) <= sockets
    assert erl.eval("erpc:call(N, m, ping, [])") == "pong"


def test_two_hundred_starts_and_stops_leave_nothing_behind(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    server, erl = start_server(), start_erl()
    before: tuple[set[threading.Thread], int] | None = None
    for number in range(200):
        assert server.start(), server.last_error
        if number % 20 == 0:
            assert erl.call(server).eval("erpc:call(N, m, ping, [])") == "pong"
        server.stop()
        if number == 20:
            before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    assert before is not None
    assert (set(threading.enumerate()), len(os.listdir("/proc/self/fd"))) == before


def test_a_stop_while_calls_run_wait_and_are_half_sent(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl], caplog: pytest.LogCaptureFixture
) -> None:
    """The one that runs is answered. The others end with noconnection, and so does ours to a node without an answer."""
    before = set(threading.enumerate())
    server = start_server()
    gate = Gate()
    server.register_handler("gate", gate)
    assert server.start(), server.last_error
    one, two = start_erl().call(server), start_erl().call(server)
    call = "{{C, R}} = probe:attempt(fun() -> erpc:call(N, m, {}, {}) end), {{C, R}}"
    running = one.later(call.format("gate", "[]"))
    assert gate.entered.wait(TIMEOUT)
    waiting = [erl.later(call.format("note", "[1]")) for erl in (one, two)]
    half_sent = two.later(call.format("count", "[binary:copy(<<0>>, 300000000)]"))
    ours = server.call_async(two.node, "timer", "sleep", [60_000])
    eventually(lambda: server.activity.queued >= 2, "they wait")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    for future in (waiting[1], half_sent):
        assert future.result(TIMEOUT) == ("error", ("erpc", "noconnection"))
    assert "this node has stopped" in str(ours.exception(TIMEOUT)) or "broke" in str(ours.exception())
    assert not running.done()
    gate.opened.set()
    assert running.result(TIMEOUT) == ("value", "through")
    assert waiting[0].result(TIMEOUT) == ("error", ("erpc", "noconnection"))
    stopping.join(TIMEOUT)
    assert "that have not run to their end are dropped" in caplog.text
    assert {thread.name for thread in set(threading.enumerate()) - before if "beam_bpy" in thread.name} == set()


def test_stop_and_start_from_many_threads_at_once(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> None:
    """A start that comes while another thread stops waits for that; the name and the port are free by then."""
    server, erl = start_server(), start_erl()
    before = set(threading.enumerate())
    assert server.start(), server.last_error
    server.stop()
    failures: list[str | None] = []

    def to_and_fro() -> None:
        for _ in range(25):
            if not server.start():
                failures.append(server.last_error)
            server.stop()

    several = [threading.Thread(target=to_and_fro) for _ in range(4)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join(2 * TIMEOUT)
    assert not any(thread.is_alive() for thread in several)
    assert failures == []
    assert (server.state, set(threading.enumerate())) == ("stopped", before)
    assert server.start(), server.last_error
    assert erl.call(server).eval("erpc:call(N, m, ping, [])") == "pong"
