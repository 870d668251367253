"""What the preferences and their operators do; and that nothing of it stays behind."""

import importlib
import logging
import os
from pathlib import Path

import bpy
import pytest
import rig

SECRET = "SECRETOFERLANG"

del os.environ["BPY_BEAM_COOKIE"]
logger = logging.getLogger("beam_bpy")
logger.setLevel(logging.CRITICAL)
rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now
from beam_bpy.cookies import DEFAULT_COOKIE  # noqa: E402
from beam_bpy.settings import resolve  # noqa: E402

server = get_beam_server()
preferences = bpy.context.preferences.addons[rig.EXTENSION].preferences
module = importlib.import_module(f"{rig.EXTENSION}.preferences")

# Limits.
assert module.pace() == pytest.approx(module.Pace())
assert module.Pace() == pytest.approx((0.008, 0.002, 0.001, 0.1))
preferences.budget_ms = preferences.modal_budget_ms = preferences.linger_ms = preferences.awake_s = 500
assert module.pace() == pytest.approx((0.05, 0.05, 0.01, 10.0))
preferences.budget_ms = preferences.linger_ms = preferences.awake_s = 0
# Beside a tool there is no more time than without one.
assert module.pace() == pytest.approx((0.001, 0.001, 0.0, 0.0))
preferences.modal_budget_ms = 0
assert module.pace().modal_budget == pytest.approx(0.0005)
preferences.keepalive = 1
assert module.stored()["tick_time"] == 4.0
preferences.keepalive = 60
assert preferences.start_with_blender is False

# The messages.
assert logger.level == logging.INFO
preferences.log_level = "debug"
assert logger.level == logging.DEBUG
preferences.log_level = "error"
assert logger.level == logging.ERROR

# A cookie is made.
assert preferences.cookie == DEFAULT_COOKIE
bpy.context.preferences.is_dirty = False
assert bpy.ops.beam_bpy.generate_cookie() == {"FINISHED"}
assert preferences.cookie != DEFAULT_COOKIE
assert resolve(cookie=preferences.cookie).cookie == preferences.cookie
assert bpy.context.preferences.is_dirty
generated = preferences.cookie

# The cookie of Erlang is taken.
file = Path.home() / ".erlang.cookie"
assert not file.exists(), "this is not the home folder of a test"
with pytest.raises(RuntimeError, match="Erlang makes it when it first starts a node"):
    bpy.ops.beam_bpy.use_erlang_cookie()
assert preferences.cookie == generated
file.write_text(f"{SECRET}\n")
assert bpy.ops.beam_bpy.use_erlang_cookie() == {"FINISHED"}
assert preferences.cookie == SECRET

# A node with this cookie is let in, and what handlers say does not show it.
assert module.without_cookie(f"a {SECRET} and a {DEFAULT_COOKIE}") == "a <cookie> and a <cookie>"
os.environ["BPY_BEAM_COOKIE"] = "FROMOUTSIDE"
assert module.without_cookie("a FROMOUTSIDE") == "a <cookie>"
for operator in (bpy.ops.beam_bpy.generate_cookie, bpy.ops.beam_bpy.use_erlang_cookie):
    assert not operator.poll()
    with pytest.raises(RuntimeError, match="The environment variable BPY_BEAM_COOKIE sets the cookie"):
        operator()
del os.environ["BPY_BEAM_COOKIE"]

# A change while the server runs is known until it is restarted, or taken back.
with pytest.raises(RuntimeError, match="The node is not running"):
    bpy.ops.beam_bpy.restart_server()
assert not module.outdated()
assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
assert not module.outdated()
preferences.keepalive = 30
assert module.outdated()
preferences.keepalive = 60
assert not module.outdated()
preferences.epmd = "none"
preferences.budget_ms = 20  # Applies at once.
assert module.outdated()
assert bpy.ops.beam_bpy.restart_server() == {"FINISHED"}
assert server.running
assert not module.outdated()
preferences.host = "0.0.0.0"
with pytest.raises(RuntimeError, match="allow online access"):
    bpy.ops.beam_bpy.restart_server()
assert not server.running
preferences.host = "localhost"

# Without a window nothing starts by itself, nor is there a clipboard.
preferences.start_with_blender = True
lifecycle = importlib.import_module(f"{rig.EXTENSION}.lifecycle")
lifecycle.register()
assert not bpy.app.timers.is_registered(lifecycle._start_with_blender)
with pytest.raises(RuntimeError, match="Blender has no clipboard without a window"):
    bpy.ops.beam_bpy.copy_node_name()
with pytest.raises(RuntimeError, match="Blender has no clipboard without a window"):
    bpy.ops.beam_bpy.copy_snippet()

rig.disable(rig.EXTENSION)
assert logger.level == logging.CRITICAL
assert logger.handlers == []
print("done")
