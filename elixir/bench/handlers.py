"""The handler that the benchmark calls."""

from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register it."""
    server.register_handler("echo", lambda args: args[0])
