"""`async def` handlers: asyncio tasks on the thread that runs handlers."""

import asyncio
import concurrent.futures
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from calling import CRATES, A, LocalNode, ask_erpc, by_erpc, by_gen_server, by_rex_call, erpc
from support import Caller

from beam_bpy import BeamServer, ErlangError
from beam_bpy.dispatch.call_queue import CallQueue
from beam_bpy.futures import CallFuture

LONG = 30.0
"""A time that no test waits for; it only ends one that would hang."""


@pytest.fixture
def local() -> Iterator[LocalNode]:
    local = LocalNode()
    yield local
    local.queue.close()


@pytest.fixture
def caller(local: LocalNode) -> Caller:
    return Caller(local.node)


def serve_until(local: LocalNode, done: Callable[[], object]) -> None:
    """Drain as `serve_forever` does, until something has happened."""
    end = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < end, "it never happened"
        if local.queue.wait(0.05):
            local.queue.drain(0.05, 0.05)


def answer(local: LocalNode, caller: Caller) -> Any:
    """The reason with which the process of the next call ends."""
    heard: list[Any] = []
    serve_until(local, lambda: heard.extend(caller.heard()) or heard)
    [down] = heard
    return down.reason[1:]


async def double(args: list[int]) -> int:
    await asyncio.sleep(0)
    return 2 * args[0]


class Doubler:
    async def __call__(self, args: list[int]) -> int:
        return await double(args)

    async def method(self, args: list[int]) -> int:
        return await double(args)


@functools.wraps(double)
def decorated(args: list[int]) -> Any:
    return double(args)


KINDS = {
    "function": double,
    "partial": functools.partial(double),
    "object": Doubler(),
    "method": Doubler().method,
    "decorated": decorated,
}


@pytest.mark.parametrize("call", [by_erpc, by_gen_server, by_rex_call])
@pytest.mark.parametrize("function", KINDS.values(), ids=KINDS.keys())
def test_each_kind_of_function_answers_each_kind_of_call(
    local: LocalNode, caller: Caller, call: Callable[..., Any], function: Callable[..., Any]
) -> None:
    local.register("double", function)

    assert call(local, caller, A("double"), [21]) == 42


def test_a_handler_that_never_waits_answers_in_the_same_drain(local: LocalNode, caller: Caller) -> None:
    async def at_once(args: list[Any]) -> list[Any]:
        return args

    local.register("at_once", at_once)

    assert erpc(local, caller, CRATES, A("at_once"), [1, 2]) == (A("return"), [1, 2])


def test_other_calls_run_while_it_waits(local: LocalNode, caller: Caller) -> None:
    gate = asyncio.Event()

    async def wait(args: list[Any]) -> str:
        await gate.wait()
        return "waited"

    async def open_gate(args: list[Any]) -> str:
        gate.set()
        return "open"

    for function in (wait, open_gate):
        local.register(function.__name__, function)
    local.register("plain", lambda args: "plain")
    process, _monitor, _call = ask_erpc(caller, CRATES, A("wait"), [])
    local.serve()

    assert by_erpc(local, caller, A("plain"), []) == "plain"
    ask_erpc(caller, CRATES, A("open_gate"), [])
    heard: list[Any] = []
    serve_until(local, lambda: heard.extend(caller.heard()) or len(heard) == 2)
    assert [down.reason[2] for down in heard] == ["open", "waited"]
    assert heard[1].target == process


def test_sleep_wakes_the_queue(local: LocalNode, caller: Caller) -> None:
    async def nap(args: list[float]) -> float:
        before = time.monotonic()
        await asyncio.sleep(args[0])
        return time.monotonic() - before

    local.register("nap", nap)
    ask_erpc(caller, CRATES, A("nap"), [0.02])

    assert answer(local, caller)[1] >= 0.02


def test_a_future_of_another_thread_wakes_the_queue(local: LocalNode, caller: Caller) -> None:
    future: CallFuture[str] = CallFuture()

    async def wait(args: list[Any]) -> str:
        return await future

    local.register("wait", wait)
    ask_erpc(caller, CRATES, A("wait"), [])
    timer = threading.Timer(0.05, future.set_result, ["done"])
    timer.start()

    assert answer(local, caller) == (A("return"), "done")


def test_a_socket_wakes_the_queue(local: LocalNode, caller: Caller) -> None:
    ours, others = socket.socketpair()
    ours.setblocking(False)

    async def read(args: list[Any]) -> bytes:
        return await asyncio.get_running_loop().sock_recv(ours, 100)

    local.register("read", read)
    with ours, others:
        ask_erpc(caller, CRATES, A("read"), [])
        local.serve()
        others.sendall(b"hello")

        assert answer(local, caller) == (A("return"), "hello")


def test_awaiting_a_future_in_any_asyncio_program() -> None:
    async def program() -> list[Any]:
        done: CallFuture[int] = CallFuture()
        failed: CallFuture[int] = CallFuture()
        given_up: CallFuture[int] = CallFuture()
        threading.Timer(0.01, done.set_result, [1]).start()
        threading.Timer(0.01, failed.set_exception, [ValueError("no")]).start()
        results: list[Any] = list(await asyncio.gather(done, failed, return_exceptions=True))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(given_up, 0.01)
        return [*results, given_up.cancelled()]

    one, error, cancelled = asyncio.run(program())

    assert (one, str(error), cancelled) == (1, "no", True)


ERRORS = {
    "exception": (ValueError("no such object"), ("python_error", "ValueError")),
    "Erlang's reason": (ErlangError(A("enoent")), "enoent"),
    "SystemExit": (SystemExit(3), ("python_error", "SystemExit")),
    "cancelled by itself": (asyncio.CancelledError(), ("python_error", "CancelledError")),
}


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(("error", "reason"), ERRORS.values(), ids=ERRORS.keys())
def test_an_exception_is_the_answer(
    local: LocalNode, caller: Caller, error: BaseException, reason: Any, waits: bool
) -> None:
    async def fail(args: list[Any]) -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    local.register("fail", fail)
    ask_erpc(caller, CRATES, A("fail"), [])

    kind, found = answer(local, caller)[:2]
    assert kind == A("error")
    assert (found if isinstance(found, str) else (found[0], found[1]["type"])) == reason
    assert by_erpc(local, caller, A("describe_handlers"), [])


def test_a_result_without_a_term_is_an_error(local: LocalNode, caller: Caller) -> None:
    async def odd(args: list[Any]) -> object:
        return object()

    local.register("odd", odd)

    kind, reason, _stack = erpc(local, caller, CRATES, A("odd"), [])
    assert (kind, reason[1]["type"]) == (A("error"), "EncodeError")


class Note:
    """An `async def` handler that waits for ever, and notes what happens to it."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.happened: list[str] = []
        self.stubborn = stubborn

    async def __call__(self, args: list[Any]) -> str:
        self.happened.append("begun")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.happened.append("cancelled")
                if not self.stubborn:
                    raise


def test_it_is_cancelled_when_its_caller_gives_up(local: LocalNode, caller: Caller) -> None:
    note = Note()
    local.register("wait", note)
    process, monitor, _call = ask_erpc(caller, CRATES, A("wait"), [])
    local.serve()
    caller.tell(20, caller.pid, process, monitor)

    serve_until(local, lambda: note.happened == ["begun", "cancelled"])
    serve_until(local, lambda: len(local.queue) == 0)
    assert caller.peer.load.in_flight == 0
    assert caller.heard() == []


def test_it_is_cancelled_when_its_handler_is_removed(local: LocalNode, caller: Caller) -> None:
    note = Note()
    local.register("wait", note)
    ask_erpc(caller, CRATES, A("wait"), [])
    local.serve()
    local.registry.remove("wait")

    assert A("undef") in answer(local, caller)[:2]
    assert note.happened == ["begun", "cancelled"]


def test_the_user_can_cancel_it(local: LocalNode, caller: Caller) -> None:
    note = Note()
    local.register("wait", note)
    ask_erpc(caller, CRATES, A("wait"), [])
    local.serve()
    [call] = local.queue.long_calls

    assert local.queue.cancel(call, "the user has cancelled it")
    assert answer(local, caller)[1] == (A("cancelled"), "the user has cancelled it")
    assert note.happened == ["begun", "cancelled"]
    assert not local.queue.cancel(call, "again")


@pytest.mark.parametrize("stubborn", [False, True])
def test_closing_the_queue_ends_all(
    local: LocalNode, caller: Caller, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setattr("beam_bpy.dispatch.tasks._END_TIME", 0.05)
    notes = [Note(stubborn=stubborn) for _ in range(10)]
    for number, note in enumerate(notes):
        local.register(f"wait{number}", note)
        ask_erpc(caller, CRATES, A(f"wait{number}"), [])
    local.serve()

    local.queue.close()

    assert all(note.happened[:2] == ["begun", "cancelled"] for note in notes)
    assert len(local.queue) == 0
    assert caller.peer.load.in_flight == 0
    if not stubborn:
        assert [down.reason[1:3] for down in caller.heard()] == [(A("exit"), A("shutdown"))] * 10


def test_a_handler_that_closes_the_queue_is_answered(local: LocalNode, caller: Caller) -> None:
    async def close(args: list[Any]) -> str:
        await asyncio.sleep(0)
        local.queue.close()
        return "closed"

    note = Note()
    local.register("close", close)
    local.register("wait", note)
    ask_erpc(caller, CRATES, A("wait"), [])
    ask_erpc(caller, CRATES, A("close"), [])
    heard: list[Any] = []
    serve_until(local, lambda: heard.extend(caller.heard()) or len(heard) == 2)

    assert sorted(str(down.reason[2]) for down in heard) == ["closed", "shutdown"]
    assert note.happened == ["begun", "cancelled"]
    local.register("double", double)
    assert by_erpc(local, caller, A("double"), [21]) == 42


def test_tasks_of_a_handler_outlive_it(local: LocalNode, caller: Caller) -> None:
    done: list[str] = []

    async def background() -> None:
        await asyncio.sleep(0.01)
        done.append("background")

    async def start(args: list[Any]) -> None:
        start.task = asyncio.create_task(background())  # type: ignore[attr-defined]

    local.register("start", start)
    assert erpc(local, caller, CRATES, A("start"), []) == (A("return"), None)

    serve_until(local, lambda: done)


def test_a_task_that_exits_ends_nothing_else(local: LocalNode, caller: Caller) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def start(args: list[Any]) -> str:
        start.task = asyncio.create_task(leave())  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        return "still here"

    local.register("start", start)
    ask_erpc(caller, CRATES, A("start"), [])

    assert answer(local, caller) == (A("return"), "still here")


def test_handlers_can_be_nested(local: LocalNode, caller: Caller) -> None:
    async def inner(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def outer(args: list[int]) -> int:
        return sum(await asyncio.gather(*map(inner, args)))

    local.register("outer", outer)
    ask_erpc(caller, CRATES, A("outer"), [1000, 2000])
    assert answer(local, caller) == (A("return"), 3000)


def test_a_thousand_wait_and_cost_no_thread(local: LocalNode, caller: Caller) -> None:
    gate = asyncio.Event()

    async def wait(args: list[int]) -> int:
        await gate.wait()
        return args[0]

    async def open_gate(args: list[Any]) -> None:
        gate.set()

    local.register("wait", wait)
    local.register("open_gate", open_gate)
    threads = threading.active_count()
    for number in range(1000):
        ask_erpc(caller, CRATES, A("wait"), [number + 1000])
    local.serve()
    assert threading.active_count() == threads
    assert len(local.queue.long_calls) == 1000

    ask_erpc(caller, CRATES, A("open_gate"), [])
    heard: list[Any] = []
    serve_until(local, lambda: heard.extend(caller.heard()) or len(heard) == 1001)
    assert sorted(down.reason[2] for down in heard if down.reason[2] is not None) == list(range(1000, 2000))


def test_while_nothing_is_ready_the_queue_expects_no_step(local: LocalNode, caller: Caller) -> None:
    note = Note()
    local.register("wait", note)
    ask_erpc(caller, CRATES, A("wait"), [])
    local.serve()

    assert local.queue.drain(0.0) == 0
    assert local.queue.wait(0.0) is False


def test_a_tool_lets_tasks_wait_that_change_the_scene(local: LocalNode, caller: Caller) -> None:
    tool: list[str] = []
    local.queue = CallQueue(busy_with=lambda call: tool[0] if tool and call.changes_scene else None)
    steps: list[str] = []

    async def change(args: list[Any]) -> str:
        for step in ("first", "second"):
            steps.append(step)
            await asyncio.sleep(0)
        return "changed"

    local.register("change", change, changes_scene=True)
    ask_erpc(caller, CRATES, A("change"), [])
    while not steps:
        local.queue.drain(0.0)
    tool.append("a stroke")
    for _ in range(5):
        local.queue.drain(0.01)
    assert steps == ["first"]
    assert [entry.reason for entry in local.queue.waiting] == ["a stroke"]
    tool.clear()

    assert answer(local, caller) == (A("return"), "changed")


def test_a_batch_refuses_it(local: LocalNode, caller: Caller) -> None:
    local.register("double", double)

    [(kind, reason)] = by_erpc(local, caller, A("call_batch"), [[(A("double"), [1])]])
    assert kind == A("error")
    assert "call it by itself" in reason[1]["message"]


def test_wrong_handlers_are_refused() -> None:
    async def generate(args: list[Any]) -> Any:
        yield 1

    with pytest.raises(TypeError, match="async generator"):
        BeamServer().register_handler("generate", generate)
    with pytest.raises(ValueError, match="remove inline"):
        BeamServer().register_handler("double", double, inline=True)


def test_its_description_is_that_of_a_function(local: LocalNode, caller: Caller) -> None:
    async def greet(name: str) -> str:
        """Greet."""
        return f"Hello, {name}"

    local.register("greet", greet, spread=True)

    [described] = by_erpc(local, caller, A("describe_handlers"), [])
    assert (described["doc"], described["returns"]) == ("Greet.", "str")
    assert by_erpc(local, caller, A("greet"), ["Joe"]) == "Hello, Joe"


def test_a_future_stays_one_of_concurrent_futures() -> None:
    future: CallFuture[int] = CallFuture()
    future.set_result(1)

    assert concurrent.futures.wait([future], 0).done == {future}
    assert future.result() == 1
