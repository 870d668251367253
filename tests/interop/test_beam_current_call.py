"""A handler knows which node calls it, and functions surround the calls that change the scene; with a real `erl`."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beam import TIMEOUT, Erl, eventually

from beam_bpy import Atom, BeamServer, CurrentCall, Pid, current_call


def told() -> list[Any] | None:
    """The present call as a term: its node, whether it has a pid, its token."""
    call = current_call()
    return None if call is None else [call.node, isinstance(call.pid, Pid), call.token]


def long() -> Any:
    """A long handler that is told at each slice."""
    first = told()
    yield 1
    return [first, told()]


async def waits() -> list[Any]:
    """An `async def` handler that is told before and after it waits, and in a task of its own."""
    first = told()
    await asyncio.sleep(0.01)
    return [first, told(), await asyncio.create_task(nested())]


async def nested() -> Any:
    await asyncio.sleep(0.0)
    return told()


@pytest.fixture
def heard(server: BeamServer) -> Iterator[list[Any]]:
    """Handlers that tell the present call; returns what those heard that casts reach."""
    heard: list[Any] = []
    server.expose(told, owner="current_call")
    server.expose(owner="current_call", inline=True, name="told_inline")(told)
    server.expose(long, owner="current_call")
    server.expose(waits, owner="current_call")
    server.expose(owner="current_call", name="hear")(lambda: heard.append(told()))
    server.expose(owner="current_call", name="hear_latest", latest="one")(lambda: heard.append(told()))
    yield heard
    server.unregister_owner("current_call")


CALLS = {
    "queued": "erpc:call(N, m, told, [])",
    "inline": "erpc:call(N, m, told_inline, [])",
    "rpc": "rpc:call(N, m, told, [])",
    "gen_server": "gen_server:call(S, told)",
    "named": "erpc:call(N, m, call_handler, [told, []])",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_handler_knows_the_node_of_its_caller(erl: Erl, heard: list[Any], call: str) -> None:
    assert erl.eval(call) == [Atom(erl.node), True, None]


def test_long_and_async_handlers_know_it_at_each_step(erl: Erl, heard: list[Any]) -> None:
    call = [Atom(erl.node), True, None]
    assert erl.eval("erpc:call(N, m, long, [])") == [call] * 2
    assert erl.eval("erpc:call(N, m, waits, [])") == [call] * 3


def test_calls_of_several_nodes_that_wait_at_the_same_time(
    server: BeamServer, erl: Erl, start_erl: Callable[..., Erl], heard: list[Any]
) -> None:
    nodes = [erl, start_erl().call(server)]
    later = [node.later("[erpc:call(N, m, waits, []) || _ <- lists:seq(1, 20)]") for node in nodes]
    for node, answers in zip(nodes, later, strict=True):
        assert answers.result(TIMEOUT) == [[[Atom(node.node), True, None]] * 3] * 20


def test_a_batch(erl: Erl, heard: list[Any]) -> None:
    answers = erl.eval("erpc:call(N, m, call_batch, [[{told, []}, {told, []}]])")
    assert answers == [(Atom("ok"), [Atom(erl.node), True, None])] * 2


@pytest.mark.parametrize("function", ["hear", "hear_latest"])
@pytest.mark.parametrize(
    "cast", ["erpc:cast(N, m, {}, [])", "gen_server:cast({{beam_bpy, N}}, {})", "{{beam_bpy, N}} ! {{{}, []}}"]
)
def test_casts(erl: Erl, heard: list[Any], cast: str, function: str) -> None:
    erl.eval(cast.format(function))
    eventually(lambda: heard, "the cast runs")
    assert heard[0][0] == erl.node


@pytest.mark.parametrize("token", ['<<"text">>', "{a, 1.5, [self]}", "#{}", "nil"])
@pytest.mark.parametrize("handler", ["told", "told_inline"])
def test_a_token(erl: Erl, heard: list[Any], handler: str, token: str) -> None:
    call = f"Token = {token}, [_, _, Token] = erpc:call(N, m, call_with_token, [Token, {handler}, []]), "
    assert erl.eval(f"{call} erpc:call(N, m, {handler}, [])") == [Atom(erl.node), True, None]


def test_a_token_of_long_and_async_handlers_and_casts(erl: Erl, heard: list[Any]) -> None:
    call = [Atom(erl.node), True, Atom("mine")]
    assert erl.eval("erpc:call(N, m, call_with_token, [mine, long, []])") == [call] * 2
    assert erl.eval("erpc:call(N, m, call_with_token, [mine, waits, []])") == [call] * 3
    for function in ("hear", "hear_latest"):
        heard.clear()
        erl.eval(f"erpc:cast(N, m, call_with_token, [mine, {function}, []])")
        eventually(lambda: heard, "the cast runs")
        assert heard[0][2] == "mine"


@pytest.mark.parametrize("args", ["[]", "[mine, told]", "[mine, missing, []]", "[mine, 5, []]", "[mine, told, 5]"])
def test_what_makes_no_sense_fails(erl: Erl, heard: list[Any], args: str) -> None:
    kind, _reason = erl.eval(f"probe:attempt(fun() -> erpc:call(N, m, call_with_token, {args}) end)")
    assert kind == "error"


def test_there_is_no_call_outside_handlers(erl: Erl, server: BeamServer, heard: list[Any]) -> None:
    assert current_call() is None
    erl.eval("erpc:call(N, m, told, [])")
    assert current_call() is None
    later: list[CurrentCall | None] = []
    server.expose(owner="current_call", name="work", after_tick=lambda: later.append(current_call()))(told)
    erl.eval("erpc:call(N, m, work, [])")
    eventually(lambda: later, "the function of after_tick runs")
    assert later == [None]


# Functions that surround calls


@pytest.fixture
def steps(server: BeamServer, heard: list[Any]) -> Iterator[list[str]]:
    """The steps of the functions that surround calls, and of the handlers."""
    steps: list[str] = []

    def step() -> None:
        steps.append("run")

    def fails() -> None:
        step()
        raise ValueError("it fails")

    def slices() -> Iterator[int]:
        for _ in range(2):
            step()
            yield 1

    async def tasks() -> str:
        for _ in range(2):
            step()
            await asyncio.sleep(0.0)
        return "done"

    for name, function in {"step": step, "fails": fails, "slices": slices, "tasks": tasks}.items():
        server.expose(owner="current_call", name=name, changes_scene=True)(function)
    server.expose(owner="current_call", name="undoes", undo=True)(step)
    server.expose(owner="current_call", name="reads")(step)

    def after() -> None:
        call = current_call()
        assert call is not None
        steps.append(f"after {call.node}")

    end = server.watch_changes(lambda: steps.append("before"), after)
    yield steps
    end()


WATCHED = {
    "step": ("erpc:call(N, m, step, [])", 1, 1),
    "undoes": ("erpc:call(N, m, undoes, [])", 1, 1),
    "fails": ("probe:attempt(fun() -> erpc:call(N, m, fails, []) end)", 1, 1),
    "slices": ("erpc:call(N, m, slices, [])", 3, 2),
    "tasks": ("erpc:call(N, m, tasks, [])", 3, 2),
    "batch": ("erpc:call(N, m, call_batch, [[{step, []}, {told, []}]])", 1, 1),
}


@pytest.mark.parametrize(("call", "surrounded", "ran"), WATCHED.values(), ids=WATCHED.keys())
def test_functions_surround_the_calls_that_change_the_scene(
    erl: Erl, steps: list[str], call: str, surrounded: int, ran: int
) -> None:
    erl.eval(call)
    # The functions have run before the caller gets its answer.
    last = ["before", f"after {erl.node}"] * (surrounded - ran)
    assert [step for step in steps if step != "before"] == (["run", f"after {erl.node}"] * ran) + last[1::2]
    assert steps.count("before") == surrounded


def test_other_calls_are_not_surrounded(erl: Erl, steps: list[str]) -> None:
    erl.eval("[erpc:call(N, m, F, []) || F <- [reads, told_inline]]")
    assert steps == ["run"]


def test_an_exception_in_these_functions_changes_no_answer(erl: Erl, server: BeamServer, steps: list[str]) -> None:
    end = server.watch_changes(lambda: 1 / 0, lambda: 1 / 0)
    try:
        assert erl.eval("erpc:call(N, m, tasks, [])") == "done"
    finally:
        end()
    assert steps.count("run") == 2


def test_they_end(erl: Erl, server: BeamServer, steps: list[str]) -> None:
    more: list[str] = []
    end = server.watch_changes(lambda: more.append("before"), lambda: more.append("after"))
    erl.eval("erpc:call(N, m, step, [])")
    end()
    end()
    erl.eval("erpc:call(N, m, step, [])")
    assert more == ["before", "after"]
    assert steps.count("before") == 2
