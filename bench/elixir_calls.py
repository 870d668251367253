"""Measure what the Elixir library adds to a bare erpc:call, and write docs/bench/elixir.md and elixir.json."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from calls_rig import COOKIE, HERE, Rig

PROJECT = HERE.parent / "elixir"
ROUNDS = 40
LABELS = {
    "erpc": "`:erpc.call(node, …)`",
    "node": "`BeamBpy.call(node, …)`",
    "worker": "`BeamBpy.call(worker, …)`",
    "pool": "`BeamBpy.call(pool, …)`",
}
BASES = {"node": "erpc", "worker": "erpc", "pool": "erpc_pool"}
"""The bare calls that a way is compared with: those to the same program."""


def measure(rounds: int) -> list[dict[str, float]]:
    """Return the microseconds of a call in each way, for each round."""
    with Rig() as rig:
        own = {"MIX_ENV": "prod", "MIX_BUILD_PATH": str(rig.folder / "build")}
        command = ["elixir", "--hidden", "--name", "bench@127.0.0.1", "--cookie", COOKIE]
        command += ["--erl", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"]
        command += ["-S", "mix", "run", "bench/calls.exs", sys.executable, str(rounds)]
        environment = {**rig.environment, **own}
        output = subprocess.run(
            command, cwd=PROJECT, env=environment, check=True, timeout=900, stdout=subprocess.PIPE, text=True
        ).stdout
    lines = [line.split() for line in output.splitlines() if line.startswith("erpc=")]
    return [{name: float(value) for name, _, value in (part.partition("=") for part in line)} for line in lines]


def quartiles(rows: list[dict[str, float]], way: str) -> list[float]:
    """Return the quartiles of a way's time, as a multiple of the bare call's in the same round."""
    return statistics.quantiles([row[way] / row[BASES[way]] for row in rows], n=4)


def document(rows: list[dict[str, float]]) -> str:
    """Return the page, in Markdown."""
    base = statistics.median(row["erpc"] for row in rows)
    lines = [
        "# Calls through the Elixir library beside bare calls",
        "",
        "Written by `make bench` (`bench/elixir_calls.py`); the figures of each round: `elixir.json`.",
        "",
        f"One caller, {len(rows)} rounds of 500 calls in each way, to a Python program that returns its argument. "
        "The time of a way is given as a multiple of the bare call's to the same program in the same round.",
        "",
        "| call | time, median | quartiles |",
        "|---|--:|--:|",
        f"| {LABELS['erpc']} | 1 ({base:.0f} µs) | |",
    ]
    for way in BASES:
        low, middle, high = quartiles(rows, way)
        lines.append(f"| {LABELS[way]} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print the document, and write the files. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/bench"), metavar="DIR", help="folder (%(default)s)")
    options = parser.parse_args()
    rows = measure(options.rounds)
    text = document(rows)
    print(text)
    (options.output / "elixir.md").write_text(text)
    (options.output / "elixir.json").write_text(json.dumps({"cpus": os.cpu_count(), "microseconds": rows}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
