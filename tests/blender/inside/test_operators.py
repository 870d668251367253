"""The operators: what they do, and what they say where they are not possible."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest

from beam_bpy import BeamServer
from beam_bpy.cookies import DEFAULT_COOKIE
from beam_bpy.settings import Settings, resolve

Printed = Callable[[], str]

SECRET = "SECRETOFERLANG"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables of the other tests, so that the preferences set name and cookie."""
    monkeypatch.delenv("BPY_BEAM_NODE")
    monkeypatch.delenv("BPY_BEAM_COOKIE")


@pytest.fixture
def erlang_cookie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Erlang keeps the cookie of a user for whom it has never run: there is no such file yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".erlang.cookie"


# Starting and restarting.


def test_a_name_that_cannot_be_used_is_explained_and_a_later_start_works(server: BeamServer, preferences: Any) -> None:
    preferences.node_name = "no spaces please"
    with pytest.raises(RuntimeError, match="the node name 'no spaces please' cannot be used"):
        bpy.ops.beam_bpy.start_server()
    assert not server.running

    name = f"operators_{os.getpid()}@127.0.0.1"
    preferences.node_name = name
    preferences.host = ""  # The name has it.
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert server.node_name == name


def test_other_computers_need_online_access(server: BeamServer, preferences: Any) -> None:
    assert not bpy.app.online_access
    preferences.host = "0.0.0.0"
    with pytest.raises(RuntimeError, match="allow online access in Preferences, System, Network"):
        bpy.ops.beam_bpy.start_server()
    assert not server.running

    preferences.host = "127.0.0.1"
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert server.running


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("localhost:9000", "it contains a colon"),
        ("127.0.0.1:1", "it contains a colon"),
        ("nowhere.invalid", "is not known: choose localhost"),
        ("192.0.2.7", "is not an address of this machine"),
        ("2001:db8::7", "is not an address of this machine"),
        ("0.0.0.0", "allow online access"),
        ("::", "allow online access"),
    ],
)
def test_a_host_that_cannot_be_used_is_explained(
    server: BeamServer, preferences: Any, host: str, sentence: str
) -> None:
    preferences.host = host
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.beam_bpy.start_server()
    assert sentence in str(caught.value)
    assert ("allow online access" in str(caught.value)) is ("allow online access" in sentence)
    assert not server.running


@pytest.mark.parametrize(("cookie", "refused"), [(DEFAULT_COOKIE, True), ("a_cookie_of_my_own", False)])
def test_other_computers_need_a_cookie_that_is_not_public(cookie: str, refused: bool) -> None:
    bpy.context.preferences.system.use_online_access = True
    try:
        found = addon.host_check.problem(Settings("mine@10.0.0.5", cookie, "0.0.0.0", 0))
    finally:
        bpy.context.preferences.system.use_online_access = False
    assert ("press Generate Cookie" in (found or "")) is refused


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", ""])
def test_programs_on_this_computer_need_no_online_access(server: BeamServer, preferences: Any, host: str) -> None:
    assert not bpy.app.online_access
    preferences.host = host
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}


def test_a_port_that_is_taken_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("BPY_BEAM_PORT", str(port))
        assert bpy.ops.beam_bpy.toggle_server.poll()
        with pytest.raises(RuntimeError, match=f"port {port} is taken"):
            bpy.ops.beam_bpy.start_server()


def test_only_a_running_server_can_be_restarted() -> None:
    with pytest.raises(RuntimeError, match="The node is not running"):
        bpy.ops.beam_bpy.restart_server()


def test_a_restart_that_is_refused_leaves_the_server_stopped(server: BeamServer, preferences: Any) -> None:
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    preferences.host = "0.0.0.0"
    with pytest.raises(RuntimeError, match="allow online access"):
        bpy.ops.beam_bpy.restart_server()
    assert not server.running


# The cookie.


def test_a_cookie_is_generated(preferences: Any, printed: Printed) -> None:
    assert preferences.cookie == DEFAULT_COOKIE
    bpy.context.preferences.is_dirty = False

    assert bpy.ops.beam_bpy.generate_cookie() == {"FINISHED"}

    assert preferences.cookie != DEFAULT_COOKIE
    assert resolve(cookie=preferences.cookie).cookie == preferences.cookie
    assert bpy.context.preferences.is_dirty
    output = printed()
    assert "Generated a new cookie" in output
    assert preferences.cookie not in output


def test_the_cookie_of_erlang_is_taken(preferences: Any, erlang_cookie: Path, printed: Printed) -> None:
    erlang_cookie.write_text(f"{SECRET}\n")

    assert bpy.ops.beam_bpy.use_erlang_cookie() == {"FINISHED"}

    assert preferences.cookie == SECRET
    output = printed()
    assert "The node now uses the cookie from .erlang.cookie" in output
    assert SECRET not in output


def test_without_a_cookie_of_erlang_the_cookie_stays(preferences: Any, erlang_cookie: Path) -> None:
    assert bpy.ops.beam_bpy.generate_cookie() == {"FINISHED"}
    generated = preferences.cookie

    with pytest.raises(RuntimeError, match="Erlang creates it when you first start a node"):
        bpy.ops.beam_bpy.use_erlang_cookie()

    assert not erlang_cookie.exists()
    assert preferences.cookie == generated


@pytest.mark.parametrize("name", ["generate_cookie", "use_erlang_cookie"])
def test_the_cookie_cannot_be_set_where_the_environment_sets_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPY_BEAM_COOKIE", "FROMOUTSIDE")
    operator = getattr(bpy.ops.beam_bpy, name)

    assert not operator.poll()
    with pytest.raises(RuntimeError, match="The environment variable BPY_BEAM_COOKIE sets the cookie"):
        operator()


# Operators that need a window or a failed call.


@pytest.mark.parametrize("name", ["copy_node_name", "copy_snippet", "copy_cookie", "copy_text"])
def test_nothing_is_copied_without_a_window(name: str) -> None:
    with pytest.raises(RuntimeError, match="Blender has no clipboard without a window"):
        getattr(bpy.ops.beam_bpy, name)()


def test_there_is_no_traceback_before_a_call_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Calls of the extension's own server may have failed in other tests.
    monkeypatch.setattr(addon.operators, "get_beam_server", BeamServer)
    with pytest.raises(RuntimeError, match="No call has failed"):
        bpy.ops.beam_bpy.show_traceback()
