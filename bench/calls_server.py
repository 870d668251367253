"""The Python node and the handlers that `bench/calls*.py` call.

Usage as a program:

    calls_server.py NAME worker   run queued handlers on the worker thread of the server
    calls_server.py NAME main     run them on the main thread, in `serve_forever`
    calls_server.py NAME bpy      the same, with the bpy module: a Blender without a window

It prints its node name and its port once it answers, and ends with standard input. `bench/calls_window.py` registers
the same handlers inside a Blender with a window. The option `--without NAME` switches off an optimisation of
bench/optimisations.py.
"""

import argparse
import asyncio
import json
import socket
import sys
import threading
import time
from typing import Any

from beam_bpy import BeamServer

TIMEOUT = 60.0
LONG = 600.0
"""How long `wait` waits, in seconds: longer than a measurement."""


def size_of(data: memoryview) -> int:
    """Return the number of bytes of a binary."""
    return len(data)


def register(server: BeamServer) -> None:
    """Register the handlers for all measurements. Inline handlers run on the network thread."""
    server.register_handler("echo", lambda args: args[0])
    server.register_handler("inline_echo", lambda args: args[0], inline=True)
    server.expose(binaries=memoryview)(size_of)
    server.expose(name="inline_size_of", inline=True, binaries=memoryview)(size_of)


def register_gate(server: BeamServer) -> None:
    """Register handlers that keep calls in the queue: `hold` blocks its thread until `release` is called."""
    gate, entered = threading.Event(), threading.Event()

    def hold() -> bool:
        entered.set()
        return gate.wait(TIMEOUT)

    def holding() -> int:
        return int(entered.is_set())

    def release() -> int:
        gate.set()
        return 1

    def queued() -> int:
        return server.activity.queued

    server.expose(hold)
    server.expose(inline=True)(holding)
    server.expose(inline=True)(release)
    server.expose(inline=True)(queued)


def register_waiting(server: BeamServer) -> None:
    """Register an `async def` handler that waits for a long time, and the numbers of such calls and of threads."""
    waiting: list[None] = []

    async def wait() -> None:
        waiting.append(None)
        await asyncio.sleep(LONG)

    server.expose(wait)
    server.expose(name="waiting", inline=True)(lambda: len(waiting))
    server.expose(name="threads", inline=True)(threading.active_count)


def register_blender(server: BeamServer) -> None:
    """Register handlers that need Blender: they move an object, or create a mesh from binaries or JSON."""
    import bpy

    from scene_handlers.meshes import geometry

    def move(x: float) -> float:
        cube: Any = bpy.data.objects["Cube"]
        cube.location.x = x % 100 / 100
        return x

    listener = socket.create_server(("127.0.0.1", 0))

    def json_port() -> int:
        port: int = listener.getsockname()[1]
        return port

    def json_mesh() -> dict[str, float]:
        """Accept one connection on the plain socket, read a mesh as a line of JSON, and answer with a line of JSON."""
        connection, _address = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"ready\n")
            # The function frees the memory of the numbers before the answer, so that this does not slow down the next
            # measurement.
            seconds = _mesh_from_line(lines.readline())
            connection.sendall(json.dumps(seconds).encode() + b"\n")
        return seconds

    server.expose(move)
    server.expose(inline=True)(json_port)
    server.expose(json_mesh)
    for handler in (geometry.upload_mesh, geometry.move_vertices):
        server.expose(binaries=memoryview, arrays=True)(handler)


def _mesh_from_line(line: bytes) -> dict[str, float]:
    begin = time.perf_counter()
    parts = json.loads(line)
    return {"parse": time.perf_counter() - begin, **_mesh_from_json(parts)}


def _mesh_from_json(parts: dict[str, Any]) -> dict[str, float]:
    """Create a mesh from JSON, as an add-on does. Return the seconds to fill the mesh, and to update it."""
    import bpy

    begin = time.perf_counter()
    previous: Any = bpy.data.objects.get("json")
    if previous is not None:
        bpy.data.meshes.remove(previous.data)
    mesh: Any = bpy.data.meshes.new("json")
    if "faces" in parts:
        # from_pydata updates the mesh itself.
        mesh.from_pydata(parts["vertices"], [], parts["faces"])
    else:
        _fill(mesh, parts["vertices"], parts["quads"])
    filled = time.perf_counter()
    if "faces" not in parts:
        mesh.update(calc_edges=True)
    updated = time.perf_counter()
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("json", mesh))  # type: ignore[union-attr]
    return {"foreach_set": filled - begin, "update": updated - filled}


def _fill(mesh: Any, vertices: list[float], quads: list[int]) -> None:
    faces = len(quads) // 4
    mesh.vertices.add(len(vertices) // 3)
    mesh.vertices.foreach_set("co", vertices)
    mesh.loops.add(len(quads))
    mesh.loops.foreach_set("vertex_index", quads)
    mesh.polygons.add(faces)
    mesh.polygons.foreach_set("loop_start", range(0, 4 * faces, 4))


def main() -> int:
    """Be that node."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("mode", choices=("worker", "main", "bpy"))
    parser.add_argument("--without", metavar="NAME", help="the optimisation to switch off")
    options = parser.parse_args()
    if options.without is not None:
        switch_off(options.without)
    return serve(options.name, options.mode)


def switch_off(name: str) -> None:
    """Switch off an optimisation of this process."""
    # A Blender with a window imports this module without the one that stands beside it.
    from optimisations import OPTIMISATIONS

    OPTIMISATIONS[name].switch_off()


def serve(name: str, mode: str) -> int:
    """Start the server, and answer calls until standard input ends; returns the exit code."""
    server = BeamServer(name, epmd="host")
    register(server)
    register_gate(server)
    register_waiting(server)
    if mode == "bpy":
        register_blender(server)
    if not server.start():
        print(server.last_error, flush=True)
        return 1
    print(server.node_name, server.port, flush=True)
    if mode == "worker":
        sys.stdin.read()
        server.stop()
        return 0

    def stop_at_the_end() -> None:
        sys.stdin.read()
        server.stop()

    threading.Thread(target=stop_at_the_end, daemon=True).start()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
