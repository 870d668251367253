"""A handler that loses memory, to show that a measurement of memory finds it."""

lost = []


def leak(size):
    lost.append(b"\1" * size)
    return len(lost)


def register(server):
    server.expose(leak)
