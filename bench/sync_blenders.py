"""Two Blenders that examples/sync_blenders.exs keeps in sync, under random edits in both of them.

Prints the figures as JSON:

    seconds, rate     how long the edits took, and how many each Blender made in a second
    blenders          for each Blender: its edits; the counts of the example (see there); the resident memory in MB
                      after a tenth of the time and at the end; the processor time in seconds
    program           the memory and the processor time of the example
    most_different    the largest difference between two numbers of the Blenders once all edits have arrived
    echoes            the number of changes that were sent after all edits had arrived, and of events that are more than
                      the edits; it has to be 0
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from calls_rig import COOKIE, HERE, Program, Rig, cpu_time, resident

from beam_bpy import BeamServer

QUIET = 1.0
"""Seconds in which the example must send nothing once all edits have arrived."""

LONGEST_WAIT = 60.0
"""The longest time until all edits have arrived, in seconds."""

MEGABYTE = 2**20


class Pair:
    """Two Blenders and the example.

    Args:
        rig: starts and ends them.
    """

    def __init__(self, rig: Rig) -> None:
        os.environ["ERL_EPMD_PORT"] = rig.environment["ERL_EPMD_PORT"]
        self.blenders = {name: self._blender(rig, name) for name in ("first@127.0.0.1", "second@127.0.0.1")}
        example = HERE.parent / "examples" / "sync_blenders.exs"
        elixir = shutil.which("elixir") or "elixir"
        self.example = rig.program([elixir, str(example), *self.blenders])
        self._chance = random.Random(1)
        self._casts = dict.fromkeys(self.blenders, 0)
        self.client = BeamServer(node_name=f"edits_{os.getpid()}@127.0.0.1", cookie=COOKIE)

    def _blender(self, rig: Rig, name: str) -> Program:
        handlers = str(HERE / "sync_edits.py")
        command = [sys.executable, "-m", "beam_bpy.cli", "serve", "--handlers", handlers, "--node", name]
        folder = {"BLENDER_USER_RESOURCES": str(rig.folder / name)}
        return rig.program([*command, "--until-stdin-closes", "--log-level", "warning"], folder)

    def ask(self, node: str, handler: str) -> Any:
        """Call a handler of `sync_edits`."""
        return self.client.call(node, "Scene", handler, [])

    def counts(self) -> dict[str, dict[str, int]]:
        """The counts that the example prints."""
        lines = [self.example.ask("counts"), self.example.read()]
        found = {}
        for line in lines:
            node, *words = line.split()
            found[node] = {name: int(number) for name, _, number in (word.partition("=") for word in words)}
        return found

    def memory(self) -> dict[str, float]:
        """The resident memory of each program, in MB."""
        programs = {**self.blenders, "program": self.example}
        return {name: round(resident(each.process.pid) / MEGABYTE, 1) for name, each in programs.items()}

    def edit(self, seconds: float, rate: float) -> None:
        """Make random edits at random times in both Blenders."""
        end = time.monotonic() + seconds
        next_edits = dict.fromkeys(self.blenders, time.monotonic())
        while (now := time.monotonic()) < end:
            node = min(next_edits, key=lambda name: next_edits[name])
            if next_edits[node] > now:
                time.sleep(next_edits[node] - now)
            next_edits[node] += self._chance.expovariate(rate)
            self.client.cast(node, "Scene", "edit", [self._chance.getrandbits(60)])
            self._casts[node] += 1

    def settle(self) -> None:
        """Wait until all edits are made and the example sends no more, at most `LONGEST_WAIT` seconds."""
        end = time.monotonic() + LONGEST_WAIT
        before = None
        while time.monotonic() < end:
            made = {node: self.ask(node, "edits") for node in self.blenders}
            counts = self.counts()
            if made == self._casts and counts == before:
                return
            before = counts
            time.sleep(QUIET)


def measure(seconds: float, rate: float) -> dict[str, Any]:
    """Run the programs, and return the figures."""
    with Rig() as rig:
        pair = Pair(rig)
        with pair.client:
            begin = pair.counts()
            pair.edit(seconds / 10, rate)
            early = pair.memory()
            pair.edit(seconds * 9 / 10, rate)
            pair.settle()
            counts = _since(begin, pair.counts())
            late = pair.memory()
            states = [pair.ask(node, "state") for node in pair.blenders]
            edits = {node: pair.ask(node, "edits") for node in pair.blenders}
            time.sleep(QUIET)
            late_counts = _since(begin, pair.counts())
            used = {node: round(cpu_time(each.process.pid), 1) for node, each in pair.blenders.items()}
            program_time = round(cpu_time(pair.example.process.pid), 1)
    return {
        "seconds": seconds,
        "rate": rate,
        "blenders": {
            node: {
                "edits": edits[node],
                **counts[node],
                "memory_early": early[node],
                "memory_late": late[node],
                "processor_time": used[node],
            }
            for node in edits
        },
        "program": {
            "memory_early": early["program"],
            "memory_late": late["program"],
            "processor_time": program_time,
        },
        "most_different": _most_different(*states),
        "echoes": sum(
            late_counts[node]["sent"] - counts[node]["sent"] + max(0, counts[node]["events"] - edits[node])
            for node in edits
        ),
    }


def _since(begin: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The counts without those of the values that make both Blenders equal in the beginning."""
    return {node: {name: now[node][name] - begin[node][name] for name in now[node]} for node in now}


def _most_different(first: dict[str, list[float]], second: dict[str, list[float]]) -> float:
    assert first.keys() == second.keys()
    return max(abs(mine - other) for name in first for mine, other in zip(first[name], second[name], strict=True))


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to make edits (default: 600)")
    parser.add_argument("--rate", type=float, default=60.0, help="edits per second in each Blender (default: 60)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = json.dumps(measure(options.seconds, options.rate), indent=1)
    print(figures)
    if options.json:
        options.json.write_text(figures + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
