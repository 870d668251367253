"""A node of the BEAM in a few lines of Python, without Blender.

Start it, then call it from another terminal. `uv run` installs the package by itself; without uv, `pip install .` does:

    uv run python examples/basic_server.py
    elixir --name me@127.0.0.1 --cookie beam_bpy_cookie -e \
        'IO.inspect(:erpc.call(:"beam_bpy@127.0.0.1", Basic, :add, [1, 2]))'

The environment variables BPY_BEAM_NODE, BPY_BEAM_COOKIE, BPY_BEAM_HOST and BPY_BEAM_PORT set its name, cookie, host and
port.
"""

import logging
import platform
import sys
from typing import Any

from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register the handlers of this example. `beam-bpy serve --handlers` calls this function, too."""
    server.register_handler("ping", lambda args: "pong")
    server.register_handler("echo", lambda args: args)
    server.expose(add)
    server.expose(info)


def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b


def info() -> dict[str, Any]:
    """Return the Python version and the operating system of this program."""
    return {"python": platform.python_version(), "system": platform.system()}


def main() -> int:
    """Answer calls until Ctrl-C. Return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    server = BeamServer()
    register(server)
    if not server.start():
        return 1
    print(f"{server.get_address()} is ready; press Ctrl-C to stop it", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
