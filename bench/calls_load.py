"""Measure a server with many connections, queued calls and waiting handlers, and check that it loses no call.

The server is a Python program that runs its handlers on its worker thread. The caller is another Python program with
many connections (`bench/calls_connections.py`), because this computer cannot run 200 BEAM nodes. The caller limits the
rates. So the rates show how the number of connections changes them, and not how fast the server is.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import linear_regression, median

from calls_rig import HERE, Program, Results, Rig, cpu_time, figure, main, ratio, resident

ROUNDS = 5
STEPS = (1, 10, 100)
"""The numbers of connections for the rates."""
UNDER_WAY = 100
"""The number of calls at the same time, on all connections together."""
CALLS = 3000
IDLE = (100, 120, 140, 160, 180, 200)
"""The numbers of connections for the memory of one connection."""
QUEUED = (0, 1500, 3000, 4500, 6000, 7500, 9000)
WAITING = 1000
"""The number of `async def` handlers that wait."""
QUIET = 5.0
"""The time for which the processor time of an idle node is measured, in seconds."""
CALLERS, EACH = 100, 300
"""The callers, and the calls of each, on each of 100 connections; see `crowd`."""


def rates(rig: Rig, rounds: int) -> Results:
    """Measure the calls per second with 1, 10 and 100 connections. Each case has its own server."""
    servers = {count: rig.python(f"bench_load_{count}", "worker") for count in STEPS}
    clients = {count: connections(rig, server) for count, server in servers.items()}
    found: dict[int, list[float]] = {count: [] for count in STEPS}
    for count, client in clients.items():
        client.ask("connect", count)
        client.ask("run", UNDER_WAY // count, CALLS // count)
    for _ in range(rounds):
        for count, client in clients.items():
            took, answered, lost = map(int, client.ask("run", UNDER_WAY // count, CALLS // count).split())
            if lost:
                raise RuntimeError(f"{lost} calls were not answered")
            found[count].append(answered / took * 1e9)
    results = [
        {
            "connections": count,
            "per_second": round(median(found[count])),
            "ratio": round(ratio(found[count], found[1]), 3),
            "resident_bytes": resident(servers[count].process.pid),
        }
        for count in STEPS
    ]
    for program in (*clients.values(), *servers.values()):
        program.stop()
    return {"under_way": UNDER_WAY, "steps": results}


def memory(rig: Rig) -> Results:
    """Measure the bytes for a connection and for a queued call, as the slopes of the resident memory."""
    server = rig.python("bench_memory", "worker")
    client, caller = connections(rig, server), rig.beam("bench_memory_caller")
    pid = server.process.pid

    def connect(count: int) -> None:
        client.ask("connect", count)

    def queue(count: int) -> None:
        client.ask("queue", count - caller.value(server.node, "queued"))
        while caller.value(server.node, "queued") < count:
            time.sleep(0.02)

    connection = slope(IDLE, connect, pid)
    caller.cast(server.node, "hold")
    while not caller.value(server.node, "holding"):
        time.sleep(0.02)
    call = slope(QUEUED, queue, pid)
    full = resident(pid)
    caller.value(server.node, "release")
    answered = int(client.ask("collect"))
    after = resident(pid)
    for program in (client, caller, server):
        program.stop()
    return {
        "bytes_per_connection": round(connection),
        "bytes_per_queued_call": round(call),
        "queued": QUEUED[-1],
        "answered": answered,
        "resident_full": full,
        "resident_after": after,
    }


def crowd(rig: Rig) -> Results:
    """Make calls on 100 connections with 100 callers each. Return the number of replies and the growth of memory."""
    server = rig.python("bench_crowd", "worker")
    client = connections(rig, server)
    client.ask("connect", STEPS[-1])
    grown = [resident(server.process.pid)]
    made = lost = 0
    for _ in range(3):
        _took, answered, missing = map(int, client.ask("run", CALLERS, EACH).split())
        made, lost = made + answered + missing, lost + missing
        grown.append(resident(server.process.pid))
    client.stop()
    server.stop()
    return {"connections": STEPS[-1], "callers_each": CALLERS, "calls": made, "lost": lost, "resident_bytes": grown}


def waiting(rig: Rig, rounds: int) -> Results:
    """Measure sequential calls to the main thread while many `async def` handlers wait there, and without them."""
    servers = {name: rig.python(f"bench_{name}", "main") for name in ("none", "waiting")}
    caller = rig.beam("bench_waiting_caller")
    nodes = {name: server.node for name, server in servers.items()}
    sizes = [resident(servers["waiting"].process.pid)]
    for _ in range(WAITING):
        caller.cast(nodes["waiting"], "wait")
    while caller.value(nodes["waiting"], "waiting") < WAITING:
        time.sleep(0.02)
    sizes.append(resident(servers["waiting"].process.pid))
    found: dict[str, list[float]] = {name: [] for name in nodes}
    for _ in range(rounds):
        for name, node in nodes.items():
            found[name].append(caller.rate("erpc", node, "echo", 1, CALLS))
    threads = {name: caller.value(node, "threads") for name, node in nodes.items()}
    cpu = {name: cpu_share(server.process.pid) for name, server in servers.items()}
    for program in (caller, *servers.values()):
        program.stop()
    return {
        "handlers": WAITING,
        "ratio": round(ratio(found["waiting"], found["none"]), 3),
        "threads": threads,
        "idle_cpu": cpu,
        "bytes_per_handler": round((sizes[1] - sizes[0]) / WAITING),
    }


def cpu_share(pid: int) -> float:
    """Return the processor time of a process to which nobody talks, as a share of one processor."""
    before = cpu_time(pid)
    time.sleep(QUIET)
    return round((cpu_time(pid) - before) / QUIET, 4)


def connections(rig: Rig, server: Program) -> Program:
    """Start the program that connects to a server."""
    return rig.program([sys.executable, str(Path(HERE, "calls_connections.py")), server.node, str(server.port)])


def slope(steps: Sequence[int], go_to: Callable[[int], None], pid: int) -> float:
    """Return the growth of the resident memory for each further connection or call, in bytes."""
    sizes = []
    for step in steps:
        go_to(step)
        time.sleep(0.2)
        sizes.append(resident(pid))
    return linear_regression(steps, sizes).slope


def measure(rounds: int) -> Results:
    """Measure everything in this module."""
    with Rig() as rig:
        return {
            "rounds": rounds,
            "rates": rates(rig, rounds),
            "memory": memory(rig),
            "crowd": crowd(rig),
            "waiting": waiting(rig, rounds),
        }


def megabytes(size: float) -> str:
    """Return a number of bytes as text."""
    return f"{size / 1e6:.1f} MB"


def report(results: Results) -> str:
    """Return this part of the document, in Markdown."""
    steps, memory_, crowd_ = results["rates"]["steps"], results["memory"], results["crowd"]
    waiting_ = results["waiting"]
    rows = [
        f"| {step['connections']} | {figure(step['ratio'])} x ({figure(step['per_second'])}) "
        f"| {step['resident_bytes'] / steps[0]['resident_bytes']:.2f} x ({megabytes(step['resident_bytes'])}) |"
        for step in steps
    ]
    lines = ["| connections | calls/s | memory of the server |", "|--:|--:|--:|", *rows]
    sizes = crowd_["resident_bytes"]
    parts = [
        "## Many connections",
        "As much work under way in every line, "
        f"{results['rates']['under_way']} calls, shared by 1, 10 and 100 connections. The caller is a Python program "
        "of its own that speaks the protocol itself, not the BEAM, and it takes most of the time: the ratios say how "
        "the server bears connections, not how fast it is.",
        "\n".join(lines),
        f"A connection takes {memory_['bytes_per_connection'] / 1000:.1f} kB of memory, a call that waits in the queue "
        f"{memory_['bytes_per_queued_call'] / 1000:.1f} kB (the slopes of the resident memory from {IDLE[0]} to "
        f"{IDLE[-1]} connections, and to {memory_['queued']} calls). Of those {memory_['queued']} calls, "
        f"{memory_['answered']} were answered once the handler in front of them had returned.",
        f"{crowd_['connections']} connections with {crowd_['callers_each']} callers each made {crowd_['calls']} calls: "
        f"{crowd_['lost']} were lost. The memory after the connecting and after each third of the calls: "
        f"{', '.join(map(megabytes, sizes))}.",
        f"While {waiting_['handlers']} `async def` handlers wait on the main thread, sequential calls run at "
        f"{figure(waiting_['ratio'])} x the rate without them. The handlers take "
        f"{waiting_['threads']['waiting'] - waiting_['threads']['none']} threads, "
        f"{waiting_['bytes_per_handler'] / 1000:.1f} kB of memory each, and "
        f"{100 * waiting_['idle_cpu']['waiting']:.1f} % of a processor; without them the idle node takes "
        f"{100 * waiting_['idle_cpu']['none']:.1f} %.",
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "turns of each number of connections (%(default)s)", measure, report))
