"""Enabling, starting, stopping, disabling and uninstalling: what stays, and that nothing else stays behind."""

from collections.abc import Iterator
from typing import Any

import addon
import bpy
import in_blender
import pytest
from left_behind import Traces, registered_classes, traces

import beam_bpy
from beam_bpy import BeamServer, Limits
from beam_bpy.dispatch.host_queue import host_queue

CLASSES = [
    "BEAMBPY_AP_preferences",
    "BEAMBPY_OT_cancel_call",
    "BEAMBPY_OT_copy_cookie",
    "BEAMBPY_OT_copy_node_name",
    "BEAMBPY_OT_copy_snippet",
    "BEAMBPY_OT_copy_text",
    "BEAMBPY_OT_end_adjusting",
    "BEAMBPY_OT_generate_cookie",
    "BEAMBPY_OT_restart_server",
    "BEAMBPY_OT_show_traceback",
    "BEAMBPY_OT_start_server",
    "BEAMBPY_OT_stop_server",
    "BEAMBPY_OT_tell",
    "BEAMBPY_OT_toggle_server",
    "BEAMBPY_OT_use_erlang_cookie",
    "BEAMBPY_PG_handler",
    "BEAMBPY_PG_state",
    "BEAMBPY_PT_activity",
    "BEAMBPY_PT_handlers",
    "BEAMBPY_PT_nodes",
    "BEAMBPY_PT_sidebar",
    "BEAMBPY_UL_handlers",
]
OPERATORS = {name.partition("_OT_")[2] for name in CLASSES if "_OT_" in name}

CYCLES = 100


def start_call_and_stop(server: BeamServer) -> None:
    server.register_handler("names", lambda args: bpy.data.objects.keys())
    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert server.running
    assert in_blender.call("names") == ["Camera", "Cube", "Light"]
    assert bpy.ops.beam_bpy.stop_server() == {"FINISHED"}
    assert not server.running


def test_nothing_is_there_before_installation(before_installation: Traces) -> None:
    assert before_installation.classes == []
    assert not OPERATORS & set(before_installation.operators)


def test_the_package_is_that_of_the_extension() -> None:
    assert ".local" in beam_bpy.__file__, f"not the wheel: {beam_bpy.__file__}"


def test_what_an_enabled_extension_registers() -> None:
    assert registered_classes() == CLASSES
    assert set(dir(bpy.ops.beam_bpy)) >= OPERATORS
    assert hasattr(bpy.types.WindowManager, "beam_bpy")
    assert host_queue() is not None


@pytest.mark.parametrize("time", ["first", "second", "third"])
def test_install_use_disable_and_again_leaves_nothing_behind(
    server: BeamServer, before_installation: Traces, time: str
) -> None:
    start_call_and_stop(server)
    in_blender.disable(in_blender.EXTENSION)

    assert traces() == before_installation
    assert not hasattr(bpy.types.WindowManager, "beam_bpy")
    assert host_queue() is None


def test_disabling_stops_all_servers(server: BeamServer, before_installation: Traces) -> None:
    bpy.ops.beam_bpy.toggle_server()
    assert server.running
    another = BeamServer("another")
    assert another.start()

    in_blender.disable(in_blender.EXTENSION)

    assert not server.running
    assert not another.running
    assert traces() == before_installation


@pytest.fixture
def installed_afterwards() -> Iterator[None]:
    """Installs the extension again for the other tests."""
    yield
    in_blender.install("EXTENSION_ZIP")


def test_uninstalling_leaves_nothing_behind(before_installation: Traces, installed_afterwards: None) -> None:
    in_blender.uninstall(in_blender.EXTENSION)

    assert in_blender.EXTENSION not in bpy.context.preferences.addons
    assert traces() == before_installation


def test_a_hundred_times_leave_nothing_behind(server: BeamServer, before_installation: Traces) -> None:
    in_blender.disable(in_blender.EXTENSION)
    for number in range(CYCLES):
        assert in_blender.enable(in_blender.EXTENSION)
        server.expose(lambda: "pong", name="ping", inline=True, owner="often")
        assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
        if number % 10 == 0:
            assert in_blender.call("ping") == "pong"
        if number % 2:  # Disabling stops it, too.
            assert bpy.ops.beam_bpy.stop_server() == {"FINISHED"}
        assert server.unregister_owner("often") == 1
        in_blender.disable(in_blender.EXTENSION)
        assert not server.running
    assert server.handlers == ()
    assert traces() == before_installation


def test_start_with_blender_does_nothing_without_a_window(preferences: Any) -> None:
    preferences.start_with_blender = True

    addon.lifecycle.register()

    assert not bpy.app.timers.is_registered(addon.lifecycle._start_with_blender)


def test_settings_of_a_script_stay_unless_a_preference_replaces_them(
    server: BeamServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BPY_BEAM_COOKIE")
    limits = Limits(max_queued=7)
    server.configure(cookie="of a script", port=9101, allow=("app@*",), limits=limits)

    assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
    assert server.options.allow == ("app@*",)
    assert server.options.limits == limits
    assert (server.options.cookie, server.options.port) == ("beam_bpy_cookie", 0)
    bpy.ops.beam_bpy.restart_server()
    bpy.ops.beam_bpy.stop_server()
    assert server.options.allow == ("app@*",)

    # Once, in one line.
    assert [line for line in caplog.messages if "replace these settings of a script" in line] == [
        "the preferences of Beam-BPy replace these settings of a script: Cookie, Port"
    ]
