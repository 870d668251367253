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

from beam import REPOSITORY
from rig import ANSWERED, CAST, CUT, Rig

CALLS = int(os.environ.get("SOAK_CALLS", "20000"))
ROUNDS = 10
LONGEST = 600.0
SEED = 20261124
STEEPEST = 10_000.0
"""Bytes of memory by which a thousand calls may seem to make the server grow: the smallest object that was kept of each
call would be five times as much, what Python's own memory does in a minute is a fifth of it."""


def test_each_call_is_answered_once_and_nothing_is_left(start_rig: Callable[..., Rig]) -> None:
    rig, rng = start_rig(tick=8), random.Random(SEED)
    fates: Counter[int] = Counter()
    memory, kills, disconnects, killed_nodes = [], 0, 0, 0
    for number in range(ROUNDS):
        outcome = whole_round(rig, CALLS // ROUNDS)
        fates, kills, disconnects = fates + outcome.marks, kills + outcome.kills, disconnects + outcome.disconnects
        killed_nodes += a_node_that_is_killed(rig, CALLS // ROUNDS, rng.uniform(0.05, 0.3))
        rig.check()
        memory.append(rig.server.memory())
        print(f"round {number + 1} of {ROUNDS}: {fates[ANSWERED]} answered, {memory[-1]} bytes", flush=True)
    slope = bytes_per_thousand_calls(memory)
    report(
        {
            "calls": CALLS,
            "answered": fates[ANSWERED],
            "casts": fates[CAST],
            "cut_off": CALLS - fates[ANSWERED] - fates[CAST],
            "answered_twice_or_lost": 0,
            "callers_killed": kills,
            "connections_closed": disconnects,
            "nodes_killed": killed_nodes,
            "memory": memory,
            "bytes_per_thousand_calls": round(slope),
        }
    )
    assert fates[ANSWERED] > CALLS // 4
    assert fates[CUT] > 0
    assert kills > 0
    assert disconnects > 0
    assert killed_nodes == ROUNDS
    # A short run is over before the memory of Python's own has found its size.
    assert CALLS < 1_000_000 or slope < STEEPEST


def whole_round(rig: Rig, count: int) -> Any:
    """The fate of calls of a node whose callers are killed, and whose connection is closed, every now and then."""
    first = rig.ids(count)
    with rig.victim() as erl:
        outcome = rig.run(erl, first, count, callers=16, kill=20, disconnect=20).result(LONGEST)
    rig.settle()
    return rig.fate(first, outcome)


def a_node_that_is_killed(rig: Rig, count: int, seconds: float) -> int:
    """Kill a whole node in the middle of its calls; 1 when some of them had run."""
    first = rig.ids(count)
    with rig.victim() as erl:
        rig.run(erl, first, count, callers=64)
        begun = time.monotonic()
        while not rig.ran(first, count) and time.monotonic() < begun + LONGEST:
            time.sleep(0.01)
        time.sleep(seconds)
    rig.settle()
    return int(rig.ran(first, count) > 0)


def bytes_per_thousand_calls(memory: list[int]) -> float:
    """The slope of the memory after the first third of the rounds."""
    warm = memory[len(memory) // 3 :]
    calls = [number * CALLS / ROUNDS for number in range(len(warm))]
    return 1000.0 * statistics.linear_regression(calls, warm).slope


def report(figures: dict[str, Any]) -> None:
    """Print the figures; those of a long run are kept."""
    text = json.dumps(figures)
    print(text)
    if "SOAK_CALLS" in os.environ:
        target = REPOSITORY / "out" / "soak.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text + "\n", encoding="utf-8")
