"""Very many calls while callers and connections are killed: each one is answered once, and nothing is left of them.

SOAK_CALLS says how many, 20 000 when it is not set; `make soak` makes a million and writes out/soak.json.
"""

import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rig import ANSWERED, CAST, CUT, Rig, keep

CALLS = int(os.environ.get("SOAK_CALLS", "20000"))
ROUNDS = max(10, CALLS // 20_000)
LONGEST = 600.0
SEED = 20261124
GROWTH = 4 * 1024 * 1024
"""Bytes by which memory may differ between two rounds for the allocator's own reasons: 4 bytes a call in a million,
where one object that is left of each call would take 50 at least."""


def test_each_call_is_answered_once_and_nothing_is_left(start_rig: Callable[..., Rig]) -> None:
    rig, rng = start_rig(tick=8), random.Random(SEED)
    fates: Counter[int] = Counter()
    memory: list[tuple[int, int]] = []
    kills, disconnects, killed_nodes, in_all = 0, 0, 0, 0
    for number in range(ROUNDS):
        outcome = whole_round(rig, CALLS // ROUNDS)
        fates, kills, disconnects = fates + outcome.marks, kills + outcome.kills, disconnects + outcome.disconnects
        ran = a_node_that_is_killed(rig, CALLS // ROUNDS, rng.uniform(0.0, 0.1))
        killed_nodes += ran < CALLS // ROUNDS
        in_all += CALLS // ROUNDS + ran + len(rig.check())
        memory.append((in_all, rig.server.memory()))
        print(f"round {number + 1} of {ROUNDS}: {fates[ANSWERED]} answered, {memory[-1][1]} bytes", flush=True)
    warm = memory[ROUNDS // 3 :]
    slope = 1000.0 * statistics.linear_regression(*zip(*warm, strict=True)).slope
    report(
        {
            "calls": CALLS,
            "answered": fates[ANSWERED],
            "casts": fates[CAST],
            "cut_off": CALLS - fates[ANSWERED] - fates[CAST],
            "callers_killed": kills,
            "connections_closed": disconnects,
            "nodes_killed": killed_nodes,
            "calls_in_all": in_all,
            "memory_first": warm[0][1],
            "memory_last": warm[-1][1],
            "threads": [rig.threads, rig.server.threads()],
            "sockets": [rig.sockets, rig.server.sockets()],
            "bytes_per_thousand_calls": round(slope),
        }
    )
    assert fates[ANSWERED] > CALLS // 4
    assert fates[CUT] > 0
    assert kills > 0
    assert disconnects > 0
    assert killed_nodes > 0
    assert slope * (warm[-1][0] - warm[0][0]) / 1000 < GROWTH


def whole_round(rig: Rig, count: int) -> Any:
    """The fate of calls of a node whose callers are killed, and whose connection is closed, every now and then."""
    first = rig.ids(count)
    with rig.victim() as erl:
        outcome = rig.run(erl, first, count, callers=16, kill=20, disconnect=20).result(LONGEST)
    rig.settle()
    return rig.fate(first, outcome)


def a_node_that_is_killed(rig: Rig, count: int, seconds: float) -> int:
    """Kill a whole node in the middle of its calls; returns how many had run."""
    first = rig.ids(count)
    with rig.victim() as erl:
        rig.run(erl, first, count, callers=64)
        begun = time.monotonic()
        while not rig.ran(first, count) and time.monotonic() < begun + LONGEST:
            time.sleep(0.01)
        time.sleep(seconds)
    rig.settle()
    return rig.ran(first, count)


def report(figures: dict[str, Any]) -> None:
    """Print the figures; those of a long run are kept."""
    print(json.dumps(figures))
    if "SOAK_CALLS" in os.environ:
        keep("soak.json", figures)
