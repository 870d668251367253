"""A handler that loses memory, to show that a measurement of memory finds it."""

from beam_bpy import BeamServer

lost: list[bytes] = []


def leak(size: int) -> int:
    """Keep as many bytes for ever. Return how often this has happened."""
    lost.append(b"\1" * size)
    return len(lost)


def register(server: BeamServer) -> None:
    """Register the handler."""
    server.expose(leak)
