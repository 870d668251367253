"""The preferences: their limits, what the server gets of them, and what the environment overrides."""

import os
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest

from beam_bpy import BeamServer, Limits
from beam_bpy.cli.setting_options import given_settings
from beam_bpy.cookies import DEFAULT_COOKIE
from beam_bpy.settings import TABLE, Setting, TlsFiles

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


@pytest.mark.parametrize("name", ["cookie", "node_name", "host"])
@pytest.mark.parametrize("around", [" ", "\n", "\t", "\u00a0", " \r\n"])
def test_pasted_spaces_are_removed(preferences: Any, name: str, around: str) -> None:
    setattr(preferences, name, f"{around}pasted{around}")
    assert getattr(preferences, name) == "pasted"


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


# The table of settings.


PREFERENCES = [setting for setting in TABLE if setting.name != "allow_python"]
"""The settings that are preferences of Beam-BPy; the other one is a preference of Python Handlers."""


@pytest.mark.parametrize("setting", PREFERENCES, ids=[setting.name for setting in PREFERENCES])
def test_each_setting_is_a_preference(preferences: Any, setting: Setting) -> None:
    prop = preferences.bl_rna.properties[addon.preferences.PROPERTIES[setting.name]]

    assert prop.name == setting.label
    assert prop.description
    if setting.default is not None:
        assert prop.default == setting.default
    assert (prop.subtype == "PASSWORD") == setting.secret
    assert (prop.subtype == "FILE_PATH") == setting.name.endswith(("file", "certificate", "key", "authority"))


@pytest.mark.parametrize("setting", TABLE, ids=[setting.name for setting in TABLE])
def test_each_setting_is_an_option_of_the_command(setting: Setting) -> None:
    text = "none" if setting.name == "epmd" else "1"
    options = addon.headless._parser().parse_args(["serve", f"{setting.option}={text}"])

    assert list(given_settings(options)) == [setting.name]


def test_security_and_limits_reach_the_server(server: BeamServer, preferences: Any, tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("of-a-file")
    preferences.cookie_file = str(cookie)
    preferences.allow = "app@*, web@127.0.0.1"
    preferences.max_queued = 7
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}

    assert server.options.cookie_file == cookie
    assert server.options.cookie is None
    assert server.options.allow == ("app@*", "web@127.0.0.1")
    assert server.options.limits == Limits(max_queued=7)
    preferences.cookie_file = preferences.allow = ""
    preferences.max_queued = 10_000
    assert addon.preferences.outdated()
    assert bpy.ops.beam_bpy.restart_server() == {"FINISHED"}
    assert (server.options.cookie_file, server.options.allow, server.options.limits) == (None, None, None)


def test_certificates_that_cannot_be_used_start_no_node(server: BeamServer, preferences: Any, tmp_path: Path) -> None:
    preferences.tls_certificate = str(tmp_path / "node.pem")
    preferences.tls_authority = str(tmp_path / "ca.pem")
    preferences.tls_password = "a-passphrase"
    with pytest.raises(RuntimeError, match=r"node\.pem cannot be read"):
        bpy.ops.beam_bpy.start_server()

    assert not server.running
    assert server.options.tls == TlsFiles(tmp_path / "node.pem", None, tmp_path / "ca.pem", "a-passphrase")
    assert "a-passphrase" not in repr(server.options)
    assert addon.preferences.without_cookie("the a-passphrase") == "the <passphrase>"
    values = addon.preferences.stored()
    assert "node.pem cannot be read" in addon.security.certificate_problem(values, "127.0.0.1")


@pytest.mark.parametrize("allow", ["app@*,", "two words", ","])
def test_an_allow_list_that_cannot_be_used_starts_no_node(server: BeamServer, preferences: Any, allow: str) -> None:
    preferences.allow = allow
    with pytest.raises(RuntimeError, match="Allowed Nodes contains the pattern"):
        bpy.ops.beam_bpy.start_server()

    assert not server.running


@pytest.mark.parametrize("cookie", ["", "  "])
def test_an_empty_cookie_starts_no_node(preferences: Any, environment: None, cookie: str) -> None:
    preferences.cookie = cookie
    with pytest.raises(RuntimeError, match="the cookie is empty"):
        bpy.ops.beam_bpy.start_server()


def test_an_empty_variable_of_the_cookie_starts_no_node(preferences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPY_BEAM_COOKIE", "")
    with pytest.raises(RuntimeError, match="BPY_BEAM_COOKIE is empty"):
        bpy.ops.beam_bpy.start_server()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("nowhere.invalid", "the host 'nowhere.invalid' is not known"),
        ("localhost:9000", "set the port apart"),
        ("192.0.2.1", "not an address of this machine"),
        ("0.0.0.0", "allow online access"),
    ],
)
def test_advice_about_online_access_is_given_only_where_it_helps(preferences: Any, host: str, sentence: str) -> None:
    preferences.host = host
    with pytest.raises(RuntimeError, match=sentence) as caught:
        bpy.ops.beam_bpy.start_server()

    assert ("online access" in str(caught.value)) == ("online access" in sentence)


def test_no_advice_for_loopback(server: BeamServer, preferences: Any) -> None:
    for host in ("127.0.0.2", "::1", "localhost"):
        preferences.host = host
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
        assert bpy.ops.beam_bpy.stop_server() == {"FINISHED"}
