"""The state that the panels show. It is read from the server between two draws. Only a change redraws the panels."""

import time
from collections.abc import Callable, Generator
from typing import Any

import addon
import bpy
import in_blender
import pytest
from erlang import COOKIE

from beam_bpy import Atom, BeamServer

Printed = Callable[[], str]


def boom(what: str) -> None:
    """A handler that fails, with the cookie in its message."""
    raise ValueError(f"no {what}; the cookie is {COOKIE}")


@pytest.fixture
def exposed(server: BeamServer) -> None:
    """Two handlers, one of them for calls to a certain module."""
    server.expose(boom, owner="bl_ext.mine.demo")
    server.expose(lambda: "pong", name="ping", inline=True, module="Other", owner="someone")


def lines() -> list[str]:
    """The names in the list that Blender draws a line for each of."""
    return [line.name for line in bpy.context.window_manager.beam_bpy.handlers]


def test_nothing_has_changed_at_the_second_look_and_the_next_is_not_due_at_once(server: BeamServer) -> None:
    assert addon.panel_state.is_due()
    addon.panel_state.update()
    assert addon.panel_state.shown.state == "stopped"
    assert not addon.panel_state.update()
    assert not addon.panel_state.is_due()

    before = addon.panel_state.shown
    server.expose(boom)
    addon.panel.redraw_if_changed()
    assert addon.panel_state.shown is before


def test_each_handler_has_a_line(exposed: None) -> None:
    addon.panel_state.update()

    assert list(addon.panel_state.shown.handlers) == lines() == ["boom", "Other.ping"]
    row = addon.panel_state.shown.handlers["Other.ping"]
    assert (row.name, row.module, row.owner, row.inline, row.calls) == ("ping", "Other", "someone", True, 0)


def test_a_new_handler_is_a_change(server: BeamServer) -> None:
    addon.panel_state.update()
    server.expose(boom)
    assert addon.panel_state.update()


@pytest.mark.parametrize(
    ("words", "found"), [("", True), ("PIN", True), ("other.", True), ("some", True), ("boom", False)]
)
def test_handlers_are_searched_by_name_module_and_owner(exposed: None, words: str, found: bool) -> None:
    addon.panel_state.update()
    assert addon.panel_state.shown.handlers["Other.ping"].matches(words) is found


def test_another_file_has_another_window_manager_with_the_same_list(exposed: None) -> None:
    addon.panel_state.update()
    bpy.ops.wm.read_homefile()
    assert lines() == []
    addon.panel_state.update()
    assert lines() == ["boom", "Other.ping"]


def test_a_start_is_a_change(server: BeamServer) -> None:
    addon.panel_state.update()
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert addon.panel_state.update()
    assert (addon.panel_state.shown.state, addon.panel_state.shown.address) == ("running", server.get_address())


def test_a_node_connects_and_leaves(server: BeamServer) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        addon.panel_state.update()
        seen.append([node.name for node in addon.panel_state.shown.nodes])

    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    server.expose(look)
    in_blender.call("look")
    await_no_peers(server)
    look()
    (during, after) = seen
    assert [name.startswith("blender_erl_") for name in during] == [True]
    assert after == []


def await_no_peers(server: BeamServer) -> None:
    """Wait until the network thread has noticed that the nodes have ended."""
    for _ in range(1000):
        if not server.peers:
            return
        time.sleep(0.01)
    raise AssertionError(f"still connected: {server.peers}")


def test_a_refused_cookie_is_shown(server: BeamServer, printed: Printed) -> None:
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    code = "erlang:set_cookie(node(), 'not the cookie'), net_adm:ping(N)"
    assert in_blender.erl(code) == "pang"
    addon.panel_state.update()

    refused = addon.panel_state.shown.refused
    assert (refused.address, refused.number) == ("127.0.0.1", 1)
    assert "its cookie is not this node's cookie" in refused.reason
    assert COOKIE not in repr(addon.panel_state.shown)


def test_a_call_without_a_handler_is_shown(server: BeamServer) -> None:
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    in_blender.erl("catch erpc:call(N, 'Elixir.Blender', nope, [1])")
    addon.panel_state.update()

    failed = addon.panel_state.shown.failed
    assert failed.handler == "Elixir.Blender.nope/1"
    assert failed.message.startswith("No handler has this name")


def test_a_long_call_is_shown_and_cancelled(server: BeamServer) -> None:
    seen: list[Any] = []

    def bake() -> Generator[float, None, None]:
        yield 0.254
        addon.panel_state.update()
        while True:
            yield 0.5

    def cancel() -> None:
        addon.panel_state.update()
        seen.extend(addon.panel_state.shown.long_calls)
        bpy.ops.beam_bpy.cancel_call(number=addon.panel_state.shown.long_calls[0].number)

    server.expose(bake)
    server.expose(cancel)
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    code = """
        Me = self(),
        spawn(fun() -> Me ! try erpc:call(N, gui, bake, [], 60000) catch error:{exception, Why, _} -> Why end end),
        Wait = fun Again(0) -> none; Again(Left) ->
            receive Answer -> Answer
            after 100 -> catch erpc:call(N, gui, cancel, [], 60000), Again(Left - 1) end end,
        Wait(100)
    """
    assert in_blender.erl(code) == (Atom("cancelled"), "the user of Blender has cancelled the call")
    assert [(row.handler, row.share) for row in seen] == [("bake", 0.5)]
    addon.panel_state.update()
    assert addon.panel_state.shown.long_calls == ()


def test_a_call_that_has_ended_cannot_be_cancelled(printed: Printed) -> None:
    assert bpy.ops.beam_bpy.cancel_call(number=12345) == {"CANCELLED"}


def test_calls_and_failures_are_counted(server: BeamServer, exposed: None, printed: Printed) -> None:
    bpy.ops.beam_bpy.start_server()
    addon.panel_state.update()
    before: Any = addon.panel_state.shown

    in_blender.erl(
        "catch erpc:call(N, 'Elixir.Blender', boom, [<<\"crate\">>]), erpc:call(N, 'Elixir.Other', ping, [])"
    )
    addon.panel_state.update()

    shown = addon.panel_state.shown
    assert (shown.calls - before.calls, shown.failures - before.failures) == (2, 1)
    assert shown.handlers["Other.ping"].calls == 1
    assert shown.handlers["boom"].failures == 1
    assert shown.failed == ("boom", "ValueError: no crate; the cookie is <cookie>", True)
    assert bpy.ops.beam_bpy.show_traceback() == {"FINISHED"}
    output = printed()
    assert "ValueError: no crate; the cookie is <cookie>" in output
    assert COOKIE not in output


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "under 1 min"),
        (59, "under 1 min"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert addon.panel_state.uptime(seconds) == words
