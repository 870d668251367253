"""The preferences: their limits, what the server gets of them, and what the environment overrides."""

import os
from typing import Any

import addon
import bpy
import pytest

from beam_bpy import BeamServer
from beam_bpy.cookies import DEFAULT_COOKIE

ALWAYS = {"tick_time": 60.0, "epmd": "embed"}
"""Preferences that no environment variable overrides."""

NAME = f"preferences_{os.getpid()}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables of the other tests: only the preferences count."""
    monkeypatch.delenv("BPY_BEAM_NODE")
    monkeypatch.delenv("BPY_BEAM_COOKIE")


def started(server: BeamServer) -> str:
    """The node's name after a start; the server is stopped again."""
    assert bpy.ops.beam_bpy.toggle_server() == {"FINISHED"}
    name = server.node_name
    assert bpy.ops.beam_bpy.toggle_server() == {"FINISHED"}
    assert not server.running
    return name


def test_every_preference_has_a_description(preferences: Any) -> None:
    names = type(preferences).__annotations__

    assert len(names) > 10
    assert [name for name in names if not preferences.bl_rna.properties[name].description] == []


def test_the_cookie_is_a_password(preferences: Any) -> None:
    assert preferences.bl_rna.properties["cookie"].subtype == "PASSWORD"


def test_nothing_starts_with_blender_unless_the_user_wants_it(preferences: Any) -> None:
    assert preferences.start_with_blender is False


def test_the_default_pace(preferences: Any) -> None:
    assert addon.preferences.pace() == pytest.approx(addon.preferences.Pace())
    assert addon.preferences.Pace() == pytest.approx((0.008, 0.002, 0.001, 0.1))


@pytest.mark.parametrize(
    ("values", "pace"),
    [
        ({"budget_ms": 500, "modal_budget_ms": 500, "linger_ms": 500, "awake_s": 500}, (0.05, 0.05, 0.01, 10.0)),
        # A tool gets no less time than Blender without one.
        ({"budget_ms": 0, "modal_budget_ms": 500, "linger_ms": 0, "awake_s": 0}, (0.001, 0.001, 0.0, 0.0)),
        ({"budget_ms": 0, "modal_budget_ms": 0, "linger_ms": 0, "awake_s": 0}, (0.001, 0.0005, 0.0, 0.0)),
    ],
    ids=["highest", "lowest", "lowest beside a tool"],
)
def test_the_pace_has_limits(preferences: Any, values: dict[str, float], pace: tuple[float, ...]) -> None:
    for name, value in values.items():
        setattr(preferences, name, value)

    assert addon.preferences.pace() == pytest.approx(pace)


def test_the_tick_time_has_a_limit(preferences: Any) -> None:
    preferences.keepalive = 1

    assert addon.preferences.stored()["tick_time"] == 4.0


def test_the_defaults(server: BeamServer) -> None:
    assert addon.preferences.stored() == {
        "node_name": "beam_bpy",
        "cookie": "beam_bpy_cookie",
        "host": "localhost",
        "port": 0,
        **ALWAYS,
    }
    assert server.node_name == "beam_bpy@127.0.0.1"


def test_they_hold_at_the_next_start(server: BeamServer, preferences: Any) -> None:
    preferences.node_name = NAME

    assert started(server) == f"{NAME}@127.0.0.1"


def test_the_environment_wins(server: BeamServer, preferences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPY_BEAM_NODE", f"{NAME}_environment")
    monkeypatch.setenv("BPY_BEAM_COOKIE", "from_the_environment")
    monkeypatch.setenv("BPY_BEAM_HOST", "localhost")
    preferences.node_name = NAME
    preferences.host = "0.0.0.0"

    assert addon.preferences.stored() == {"node_name": None, "cookie": None, "host": None, "port": 0, **ALWAYS}
    assert started(server) == f"{NAME}_environment@127.0.0.1"


def test_messages_do_not_show_a_cookie(preferences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    preferences.cookie = "OFTHEUSER"

    assert addon.preferences.without_cookie(f"a OFTHEUSER and a {DEFAULT_COOKIE}") == "a <cookie> and a <cookie>"
    monkeypatch.setenv("BPY_BEAM_COOKIE", "FROMOUTSIDE")
    assert addon.preferences.without_cookie("a FROMOUTSIDE") == "a <cookie>"


def test_a_change_while_the_server_runs_is_noticed_until_it_is_taken_back(preferences: Any) -> None:
    assert not addon.preferences.outdated()
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert not addon.preferences.outdated()
    preferences.keepalive = 30
    assert addon.preferences.outdated()
    preferences.keepalive = 60
    assert not addon.preferences.outdated()


def test_a_change_while_the_server_runs_is_noticed_until_a_restart(server: BeamServer, preferences: Any) -> None:
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    preferences.budget_ms = 20  # Applies at once.
    assert not addon.preferences.outdated()
    preferences.epmd = "none"
    assert addon.preferences.outdated()
    assert bpy.ops.beam_bpy.restart_server() == {"FINISHED"}
    assert server.running
    assert not addon.preferences.outdated()
