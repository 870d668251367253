"""A handler that takes longer than the tick time does not cost the connection: ticks have a thread of their own."""

import time

import rig

rig.install("EXTENSION_ZIP")

from beam_bpy import get_beam_server  # noqa: E402 - installed just now

TICK_TIME = 4


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


server = get_beam_server()
server.expose(sleep)
server.configure(tick_time=TICK_TIME)
assert server.start()
# Both sides have to be heard within the tick time, and both are silent but for ticks while the handler sleeps.
answer = rig.erl(
    f"""
    pong = net_adm:ping(N),
    monitor_node(N, true),
    awake = binary_to_atom(erpc:call(N, 'Elixir.Blender', sleep, [{3 * TICK_TIME}], 60000)),
    receive {{nodedown, N}} -> nodedown after 0 -> nodes(connected) end
    """,
    "-kernel",
    "net_ticktime",
    str(TICK_TIME),
)
assert answer == [server.node_name], answer
print("done")
