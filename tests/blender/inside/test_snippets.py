"""The Elixir that the panel's button copies."""

import os
import subprocess

import addon
import bpy
import in_blender
import pytest
from erlang import COOKIE, program

from beam_bpy import BeamServer


def boom(what: str) -> None:
    """A handler with a parameter."""


def spy() -> None:
    """A handler without a parameter."""


def test_a_handler_without_parameters_is_preferred(server: BeamServer) -> None:
    server.expose(boom)
    server.expose(spy)

    snippet = addon.snippets.elixir(server.node_name, server.handlers)

    assert ":erpc.call(" in snippet
    assert "spy, []" in snippet


def test_the_snippet_works_once_the_cookie_is_filled_in(server: BeamServer) -> None:
    server.expose(boom)
    server.expose(lambda: 42, name="answer?", module="Deep.Thought")
    bpy.ops.beam_bpy.start_server()

    snippet = addon.snippets.elixir(server.node_name, server.handlers)

    assert COOKIE not in snippet
    assert snippet.count(':"<your cookie>"') == 1
    code = "42 = (" + snippet.replace(':"<your cookie>"', f":{COOKIE}") + ")"
    command = [program("elixir"), "--name", f"paste_{os.getpid()}@127.0.0.1", "-e", code]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    in_blender.drain_until_end(process)
    assert process.returncode == 0


def test_parameters_are_named(server: BeamServer) -> None:
    server.expose(boom)
    assert "# Put values for what.\n:erpc.call(" in addon.snippets.elixir("a@host", server.handlers)


@pytest.mark.parametrize(("node", "option"), [("a@host", "--sname"), ("a@10.0.0.1", "--name")])
def test_the_kind_of_name_is_that_of_the_node(node: str, option: str) -> None:
    assert addon.snippets.elixir(node, ()).startswith(f"# iex {option} me@{node.removeprefix('a@')}\n")


def test_odd_names_are_quoted(server: BeamServer) -> None:
    server.register_handler('Odd "name"', lambda args: None, module="erlang_module")
    assert ':erlang_module, :"Odd \\"name\\"", [])' in addon.snippets.elixir("a@host", server.handlers)


def test_without_handlers_it_says_how_to_register_one(server: BeamServer) -> None:
    assert "No handler is registered yet" in addon.snippets.elixir("a@host", server.handlers)
