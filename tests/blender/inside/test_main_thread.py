"""Handlers that touch bpy run on Blender's main thread, and the network has a thread of its own."""

import os
import threading
import time

import bpy
import in_blender

from beam_bpy import BeamServer

TICK_TIME = 4


def test_handlers_run_on_the_main_thread(server: BeamServer) -> None:
    seen: list[threading.Thread] = []

    def add_empty(name: str) -> str:
        seen.append(threading.current_thread())
        bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, None))
        return name

    server.expose(add_empty)
    bpy.ops.beam_bpy.start_server()
    assert in_blender.call("add_empty", '[<<"First">>]') == "First"

    # Those of a script's own server, too.
    other = BeamServer(f"other_{os.getpid()}")
    other.expose(add_empty)
    assert other.start()
    code = f"erpc:call('{other.node_name}', 'Elixir.Blender', add_empty, [<<\"Second\">>])"
    assert in_blender.erl(code) == "Second"

    assert {"First", "Second"} <= set(bpy.data.objects.keys())
    assert seen == [threading.main_thread()] * 2


def test_inline_handlers_run_where_calls_arrive(server: BeamServer) -> None:
    server.expose(lambda: threading.current_thread().name, name="where", inline=True)
    bpy.ops.beam_bpy.start_server()

    # The main thread also waits for calls, and reads from the network meanwhile.
    assert in_blender.call("where") in ("beam_bpy network", "MainThread")


def test_a_long_handler_keeps_the_connection(server: BeamServer) -> None:
    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return "awake"

    server.expose(sleep)
    server.configure(tick_time=TICK_TIME)
    assert server.start()
    # Both sides must hear of each other within the tick time, and while the handler sleeps they send only ticks.
    answer = in_blender.erl(
        f"""
        pong = net_adm:ping(N),
        monitor_node(N, true),
        awake = binary_to_atom(erpc:call(N, 'Elixir.Blender', sleep, [{3 * TICK_TIME}], 60000)),
        receive {{nodedown, N}} -> nodedown after 0 -> nodes(connected) end
        """,
        *("-kernel", "net_ticktime", str(TICK_TIME)),
    )
    assert answer == [server.node_name]
