"""Casts of which only the newest value matters: the handler option `latest`."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from calling import CRATES, MONITOR, UNUSED, A, LocalNode, ask_erpc, ask_gen, spawn
from support import Caller

from beam_bpy import BeamServer
from beam_bpy.dispatch.call_queue import CallQueue

Cast = Callable[[Caller, str, list[Any]], object]


def by_gen_server(caller: Caller, function: str, args: list[Any]) -> None:
    caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A("$gen_cast"), (A(function), args)))


def by_message(caller: Caller, function: str, args: list[Any]) -> None:
    caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=(A(function), *args))


def by_rex(caller: Caller, function: str, args: list[Any]) -> None:
    request = (A("cast"), CRATES, A(function), args, caller.pid)
    caller.tell(6, caller.pid, UNUSED, A("rex"), payload=(A("$gen_cast"), request))


def by_erpc(caller: Caller, function: str, args: list[Any]) -> None:
    spawn(caller, A("erpc"), A("execute_cast"), [CRATES, A(function), args], [])


CASTS = [by_gen_server, by_message, by_rex, by_erpc]


@pytest.fixture
def local() -> LocalNode:
    return LocalNode()


@pytest.fixture
def caller(local: LocalNode) -> Caller:
    return Caller(local.node)


@pytest.fixture
def ran(local: LocalNode) -> list[Any]:
    """What has run: the arguments of `pose`, `cursor` and `named` (of which only the newest runs), and of `note`."""
    ran: list[Any] = []
    for name in ("pose", "cursor"):
        local.register(name, ran.append, latest=name)
    local.register("named", ran.append, latest=lambda args: args[0])
    local.register("note", ran.append)
    return ran


def replaced(local: LocalNode) -> int:
    return local.statistics.replaced


@pytest.mark.parametrize("cast", CASTS)
def test_only_the_newest_cast_runs(local: LocalNode, caller: Caller, ran: list[Any], cast: Cast) -> None:
    for number in range(5):
        cast(caller, "pose", [number])

    assert len(local.queue) == 1
    local.serve()

    assert ran == [[4]]
    assert replaced(local) == 4
    assert caller.peer.load.in_flight == 0


def test_casts_of_all_kinds_replace_one_another(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    for number, cast in enumerate(CASTS):
        cast(caller, "pose", [number])

    local.serve()

    assert ran == [[len(CASTS) - 1]]


@pytest.mark.parametrize("cast", CASTS)
def test_each_cast_runs_if_nothing_waits(local: LocalNode, caller: Caller, ran: list[Any], cast: Cast) -> None:
    for number in range(3):
        cast(caller, "pose", [number])
        local.serve()

    assert ran == [[0], [1], [2]]
    assert replaced(local) == 0


@pytest.mark.parametrize("cast", CASTS)
def test_without_the_option_each_cast_runs(local: LocalNode, caller: Caller, ran: list[Any], cast: Cast) -> None:
    for number in range(3):
        cast(caller, "note", [number])

    local.serve()

    assert ran == [[0], [1], [2]]


def test_a_call_is_never_replaced(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    for number in range(3):
        ask_erpc(caller, CRATES, A("pose"), [number])
        ask_gen(caller, A("beam_bpy"), (A("pose"), [number + 10]))
        by_gen_server(caller, "pose", [number + 20])

    local.serve()

    assert ran == [[0], [10], [20], [1], [11], [21], [2], [12], [22]]
    assert replaced(local) == 0


@pytest.mark.parametrize("between", ["call", "cast", "batch"])
def test_a_cast_passes_nothing_else_of_its_node(local: LocalNode, caller: Caller, ran: list[Any], between: str) -> None:
    by_gen_server(caller, "pose", [1])
    by_gen_server(caller, "pose", [2])
    match between:
        case "call":
            ask_erpc(caller, CRATES, A("note"), ["create"])
        case "cast":
            by_gen_server(caller, "note", ["create"])
        case "batch":
            ask_erpc(caller, CRATES, A("call_batch"), [[(A("note"), ["create"])]])
    by_gen_server(caller, "pose", [3])
    by_gen_server(caller, "pose", [4])

    local.serve()

    assert ran == [[2], ["create"], [4]]


def test_a_cast_keeps_its_place_before_calls_of_other_nodes(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    other = Caller(local.node, "other@127.0.0.1")
    by_gen_server(caller, "pose", [1])
    ask_erpc(other, CRATES, A("note"), ["other"])
    by_gen_server(caller, "pose", [2])

    local.serve()

    assert ran == [[2], ["other"]]


def test_the_keys_of_two_nodes_are_different(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    other = Caller(local.node, "other@127.0.0.1")
    for number in range(3):
        by_gen_server(caller, "pose", ["caller", number])
        by_gen_server(other, "pose", ["other", number])

    local.serve()

    assert ran == [["caller", 2], ["other", 2]]


def test_each_key_has_a_place(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    for number in range(3):
        by_gen_server(caller, "pose", [number])
        by_gen_server(caller, "cursor", [number + 10])
        for name in ("left", "right"):
            by_gen_server(caller, "named", [name, number])

    local.serve()

    assert ran == [[2], [12], ["left", 2], ["right", 2]]


def test_handlers_with_the_same_text_share_a_key(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    local.register("other_pose", ran.append, latest="pose")
    by_gen_server(caller, "pose", [1])
    by_gen_server(caller, "other_pose", [2])

    local.serve()

    assert ran == [[2]]


def test_handlers_whose_functions_return_the_same_key_do_not_share_it(
    local: LocalNode, caller: Caller, ran: list[Any]
) -> None:
    local.register("other", ran.append, latest=lambda args: args[0])
    by_gen_server(caller, "named", ["a", 1])
    by_gen_server(caller, "other", ["a", 2])

    local.serve()

    assert ran == [["a", 1], ["a", 2]]


def test_a_function_of_a_handler_with_parameters_gets_them(local: LocalNode, caller: Caller) -> None:
    ran: list[Any] = []

    def move(name: str, x: float) -> None:
        ran.append((name, x))

    local.register("move", move, spread=True, latest=lambda name, x: name)
    for x in range(3):
        by_gen_server(caller, "move", ["Cube", x])
        by_gen_server(caller, "move", ["Lamp", x])

    local.serve()

    assert ran == [("Cube", 2), ("Lamp", 2)]


@pytest.mark.parametrize(
    "latest",
    [lambda args: args[1], lambda args: [], lambda: None, lambda args: (_ for _ in ()).throw(SystemExit(1))],
    ids=["raises", "returns a list", "takes no arguments", "exits"],
)
def test_a_cast_without_a_key_fails_alone(
    local: LocalNode, caller: Caller, ran: list[Any], latest: Callable[..., Any]
) -> None:
    local.register("odd", ran.append, latest=latest)
    by_gen_server(caller, "odd", [1])
    by_gen_server(caller, "pose", [2])

    local.serve()

    assert ran == [[2]]
    assert "option latest of handler odd" in local.statistics.last_failure.message


def test_a_node_over_its_limit_still_replaces(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    by_gen_server(caller, "pose", [1])
    caller.peer.load.overloaded = "too many calls"
    by_gen_server(caller, "pose", [2])
    by_gen_server(caller, "cursor", [3])

    local.serve()

    assert ran == [[2]]


def test_a_cast_that_waits_for_a_tool_is_replaced(local: LocalNode, caller: Caller) -> None:
    ran: list[Any] = []
    tool: list[str] = ["a stroke"]
    local.queue = CallQueue(busy_with=lambda call: tool[0] if tool else None)
    local.register("pose", ran.append, latest="pose", changes_scene=True)
    by_gen_server(caller, "pose", [1])
    assert local.serve() == 0
    by_gen_server(caller, "pose", [2])
    tool.clear()

    local.serve()

    assert ran == [[2]]
    assert replaced(local) == 1


def test_only_calls_make_an_undo_step(local: LocalNode, caller: Caller) -> None:
    steps: list[str | None] = []

    def run(call: Any) -> Any:
        steps.append(call.undo)
        assert call.changes_scene
        return call.run()

    local.queue = CallQueue(run=run)
    local.register("pose", print, latest="pose", undo=True)
    by_gen_server(caller, "pose", [1])
    ask_gen(caller, A("beam_bpy"), (A("pose"), [2]))

    local.serve()

    assert steps == [None, "pose"]


def test_a_cast_that_has_begun_is_not_replaced(local: LocalNode, caller: Caller) -> None:
    ran: list[Any] = []

    def long(args: list[Any]) -> Any:
        ran.append(args)
        yield
        ran.append(args)

    local.register("long", long, latest="long")
    by_gen_server(caller, "long", [1])
    local.queue.drain(0.0)
    by_gen_server(caller, "long", [2])
    by_gen_server(caller, "long", [3])

    local.serve()

    assert sorted(ran) == [[1], [1], [3], [3]]


def test_the_process_of_a_replaced_cast_ends(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    arguments = [CRATES, A("pose"), [1]]
    _ref, spawned = spawn(caller, A("erpc"), A("execute_cast"), arguments, MONITOR)
    by_gen_server(caller, "pose", [2])

    [down] = caller.heard()
    assert (down.target, down.reason) == (spawned.result, A("normal"))
    local.serve()
    assert ran == [[2]]


def test_closing_the_queue_forgets_the_casts(local: LocalNode, caller: Caller, ran: list[Any]) -> None:
    tool = ["a stroke"]
    local.queue = CallQueue(busy_with=lambda call: tool[0] if tool else None)
    by_gen_server(caller, "pose", [1])
    local.serve()
    local.queue.close()
    tool.clear()
    by_gen_server(caller, "pose", [2])

    local.serve()

    assert ran == [[2]]


@pytest.mark.parametrize("message", [5, (), ("DOWN", 1), (A("nodedown"), A("a@b")), (A("unknown"), [1]), [A("pose")]])
def test_any_other_message_is_no_cast(local: LocalNode, caller: Caller, ran: list[Any], message: Any) -> None:
    caller.tell(6, caller.pid, UNUSED, A("beam_bpy"), payload=message)

    assert local.serve() == 0
    assert ran == []
    assert local.statistics.last_failure is None


@pytest.mark.parametrize("latest", [5, "", b"pose", ["pose"]])
def test_a_wrong_option_is_refused(latest: Any) -> None:
    with pytest.raises(TypeError, match="latest is a function"):
        BeamServer().register_handler("pose", print, latest=latest)


@pytest.mark.parametrize("after_tick", [5, "", "update", [print]])
def test_a_wrong_function_is_refused(after_tick: Any) -> None:
    with pytest.raises(TypeError, match="after_tick is a function"):
        BeamServer().register_handler("pose", print, after_tick=after_tick)


def test_an_inline_handler_has_no_tick() -> None:
    with pytest.raises(ValueError, match="remove one of them"):
        BeamServer().register_handler("pose", print, after_tick=print, inline=True)


def test_casts_calls_and_batches_of_a_tick_share_the_work_after_it(local: LocalNode, caller: Caller) -> None:
    ran: list[Any] = []

    def update() -> None:
        ran.append("update")

    for name in ("pose", "note"):
        local.register(name, ran.append, latest=name, after_tick=update)
    by_gen_server(caller, "pose", [1])
    ask_erpc(caller, CRATES, A("note"), [2])
    ask_erpc(caller, CRATES, A("call_batch"), [[(A("note"), [3]), (A("pose"), [4]), (A("unknown"), [])]])

    local.serve()

    assert ran == [[1], [2], [3], [4], "update"]


def test_an_inline_handler_cannot_have_it() -> None:
    with pytest.raises(ValueError, match="remove one of them"):
        BeamServer().register_handler("pose", print, latest="pose", inline=True)


def test_two_threads_lose_no_newest_cast(local: LocalNode, caller: Caller) -> None:
    """One thread casts while another drains: the last cast of each key runs, and each key's casts run in order."""
    ran: dict[str, list[int]] = {"a": [], "b": []}
    local.register("named", lambda args: ran[args[0]].append(args[1]), latest=lambda args: args[0])
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            local.queue.wait(0.01)
            local.queue.drain(0.0)
        local.queue.drain(10.0)

    thread = threading.Thread(target=drain)
    thread.start()
    for number in range(5000):
        by_message(caller, "named", ["a", number])
        by_message(caller, "named", ["b", number])
    done.set()
    thread.join()

    for numbers in ran.values():
        assert numbers[-1] == 4999
        assert numbers == sorted(set(numbers))
    assert len(ran["a"]) + len(ran["b"]) + replaced(local) == 10_000
