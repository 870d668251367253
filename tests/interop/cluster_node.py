"""One Python node of the cluster that tests/elixir/test_cluster.exs talks to."""

import time

from beam_bpy import BeamServer

server = BeamServer()
server.expose(lambda: "pong", name="ping")
server.expose(lambda left, right: left + right, name="add")
server.expose(time.sleep, name="wait")
server.register_handler("echo", lambda args: args)

if not server.start():
    raise SystemExit(server.last_error)
print(f"{server.node_name} is ready", flush=True)
server.serve_forever()
