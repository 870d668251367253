"""What the panels show: looked at between two draws, told to be drawn only after a change."""

import importlib
import os
import shutil
import subprocess
import time

import bpy
import erlang
import pytest
import rig

rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

watch = importlib.import_module(f"{rig.EXTENSION}.watch")
panel = importlib.import_module(f"{rig.EXTENSION}.panel")
snippets = importlib.import_module(f"{rig.EXTENSION}.snippets")
server = get_beam_server()
lines = bpy.context.window_manager.beam_bpy.handlers


def boom(what: str) -> None:
    raise ValueError(f"no {what}; the cookie is {erlang.COOKIE}")


# Nothing has changed at the second look; the look after that is not due.
assert watch.due()
watch.look()
assert watch.shown.state == "stopped"
assert not watch.look()
assert not watch.due()
before = watch.shown
server.expose(boom, owner="bl_ext.mine.demo")
panel.redraw_if_changed()
assert watch.shown is before

# Handlers, and the list that has a line for each.
server.expose(lambda: "pong", name="ping", inline=True, module="Other", owner="someone")
assert watch.look()
assert list(watch.shown.handlers) == [line.name for line in lines] == ["boom", "Other.ping"]
row = watch.shown.handlers["Other.ping"]
assert (row.name, row.module, row.owner, row.inline, row.calls) == ("ping", "Other", "someone", True, 0)
assert row.matches("")
assert row.matches("PIN")
assert row.matches("other.")
assert row.matches("some")
assert not row.matches("boom")
bpy.ops.wm.read_homefile()
lines = bpy.context.window_manager.beam_bpy.handlers
watch.look()
assert [line.name for line in lines] == ["boom", "Other.ping"], "another file has another window manager"

# No call has failed yet.
with pytest.raises(RuntimeError, match="No call has failed"):
    bpy.ops.beam_bpy.show_traceback()

# A node that connects, calls, and leaves.
assert bpy.ops.beam_bpy.start_server() == {"FINISHED"}
assert watch.look()
assert (watch.shown.state, watch.shown.address) == ("running", server.get_address())
seen: list[list[str]] = []


def spy() -> None:
    nodes = watch.shown.nodes
    watch.look()
    seen.append(watch.came_and_went(nodes))


server.expose(spy)
rig.call("spy")
spy()
(name,) = (sentence.removesuffix(" has connected") for sentence in seen[0])
assert name.startswith("blender_erl_")
assert watch.came_and_went(watch.shown.nodes) == []
for _ in range(1000):  # It has ended; that its connection has, too, is the network thread's to see.
    if not server.peers:
        break
    time.sleep(0.01)
assert not server.peers
nodes = (watch.NodeRow(name, "", 0),)
watch.look()
assert watch.came_and_went(nodes) == [f"{name} has left"]

rig.erl("catch erpc:call(N, 'Elixir.Blender', boom, [<<\"crate\">>]), erpc:call(N, 'Elixir.Other', ping, [])")
watch.look()
assert watch.shown.failures == 1
assert watch.shown.calls == 3
assert watch.shown.handlers["Other.ping"].calls == 1
assert watch.shown.handlers["boom"].failures == 1
assert watch.shown.failed == ("boom", "ValueError: no crate; the cookie is <cookie>", True)
assert bpy.ops.beam_bpy.show_traceback() == {"FINISHED"}

# Times in words.
assert [watch.uptime(seconds) for seconds in (0, 59, 60, 3599, 3600, 7384)] == [
    "under 1 min",
    "under 1 min",
    "1 min",
    "59 min",
    "1 h 00 min",
    "2 h 03 min",
]

# What can be pasted works when the cookie is filled in; the cookie itself is not in there.
server.unregister_handler("ping", module="Other")
server.expose(lambda: 42, name="answer?", module="Deep.Thought")
snippet = snippets.elixir(server.node_name, server.handlers)
assert ":erpc.call(" in snippet
assert "spy, []" in snippet
server.unregister_handler("spy")
snippet = snippets.elixir(server.node_name, server.handlers)
assert erlang.COOKIE not in snippet
elixir = shutil.which("elixir")
assert elixir, "elixir is not installed: 'apt-get install elixir' brings it"
code = "42 = (" + snippet.replace(':"<your cookie>"', f":{erlang.COOKIE}") + ")"
process = subprocess.Popen([elixir, "--name", f"paste_{os.getpid()}@127.0.0.1", "-e", code], stdin=subprocess.DEVNULL)
rig.drain_until_end(process)
assert process.returncode == 0

server.unregister_handler("answer?", module="Deep.Thought")
assert "# Put values for what.\n:erpc.call(" in snippets.elixir("a@host", server.handlers)
assert snippets.elixir("a@host", server.handlers).startswith("# iex --sname me@host\n")
server.unregister_handler("boom")
server.register_handler('Odd "name"', lambda args: None, module="erlang_module")
assert ':erlang_module, :"Odd \\"name\\"", [])' in snippets.elixir("a@host", server.handlers)
server.unregister_handler('Odd "name"', module="erlang_module")
assert "No handler is registered yet" in snippets.elixir("a@host", server.handlers)

# Nothing stays behind.
bpy.ops.beam_bpy.stop_server()
watch.look()
assert watch.came_and_went(nodes) == [], "who stops the server knows that all nodes leave"
rig.disable(rig.EXTENSION)
assert not hasattr(bpy.types.WindowManager, "beam_bpy")
kinds = (bpy.types.Panel, bpy.types.UIList, bpy.types.PropertyGroup, bpy.types.Operator, bpy.types.AddonPreferences)
left = [one for kind in kinds for one in kind.__subclasses__() if one.__name__.startswith("BEAMBPY_")]
assert not any(one.is_registered for one in left), left
print("done")
