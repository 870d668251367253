"""Measure calls from a BEAM node to each kind of node: with 1, 8 and 64 callers, and with an argument of 16 MB.

Each node is a separate program, and all stay connected during the whole run. Each round measures all nodes one after
the other, so that other load on the computer affects all of them. A ratio is the median of the ratios of all rounds.
"""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from calls_rig import Caller, Results, Rig, figure, main, ratio

ROUNDS = 9
TURN = 0.2
LARGE = 16_000_000


@dataclass(frozen=True)
class Shape:
    """One measurement.

    Attributes:
        name: the key of the results.
        label: the name in the table.
        callers: the number of processes that make calls at the same time.
        size: the size of the argument, in bytes; 0 means a small integer.
        awake: True: the processors do not enter an idle state; see bench/awake.py.
    """

    name: str
    label: str
    callers: int
    size: int = 0
    awake: bool = False


SHAPES = (
    Shape("sequential", "sequential, calls/s", 1),
    Shape("awake", "the same, processors kept awake", 1, awake=True),
    Shape("callers_8", "8 callers, calls/s", 8),
    Shape("callers_64", "64 callers, calls/s", 64),
    Shape("large", "16 MB argument, MB/s", 1, LARGE),
)


@dataclass
class Target:
    """A node that answers calls, the kind of calls, and the measured rates."""

    name: str
    label: str
    kind: str
    node: str
    baseline: str
    prefix: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)

    def turn(self, caller: Caller, shape: Shape) -> float:
        """Measure the calls per second. The first run also determines the number of calls for the next runs."""
        function = self.prefix + ("size_of" if shape.size else "echo")
        if shape.name not in self.counts:
            probe = 2 if shape.size else 50
            rate = caller.rate(self.kind, self.node, function, shape.callers, probe, shape.size)
            self.counts[shape.name] = max(2, round(rate * TURN / shape.callers))
        return caller.rate(self.kind, self.node, function, shape.callers, self.counts[shape.name], shape.size)


def targets(rig: Rig) -> list[Target]:
    """Start the nodes. The first node of each kind is the baseline for the others."""
    rig.beam("bench_beam")
    beam = "bench_beam@127.0.0.1"
    worker, main = rig.python("bench_worker", "worker").node, rig.python("bench_main", "main").node
    c_node = rig.c_node("bench_c").node
    return [
        Target("beam_erpc", "`erpc:call`, BEAM", "erpc", beam, "beam_erpc"),
        Target("inline_erpc", "`erpc:call`, ours, `inline=True`", "erpc", main, "beam_erpc", "inline_"),
        Target("worker_erpc", "`erpc:call`, ours, worker thread", "erpc", worker, "beam_erpc"),
        Target("main_erpc", "`erpc:call`, ours, main thread in `serve_forever`", "erpc", main, "beam_erpc"),
        Target("beam_gen", "`gen_server:call`, BEAM", "gen", beam, "beam_gen"),
        Target("c_gen", "`gen_server:call`, C node on erl_interface", "gen", c_node, "beam_gen"),
        Target("inline_gen", "`gen_server:call`, ours, `inline=True`", "gen", main, "beam_gen", "inline_"),
        Target("worker_gen", "`gen_server:call`, ours, worker thread", "gen", worker, "beam_gen"),
    ]


def measure(rounds: int) -> Results:
    """Measure all targets. Return the figures of each target, and the OTP release."""
    with Rig() as rig:
        caller = rig.beam("bench_caller")
        found = targets(rig)
        for target in found:
            for shape in SHAPES:
                target.turn(caller, shape)
        for _ in range(rounds):
            for shape in SHAPES:
                with rig.kept_awake() if shape.awake else nullcontext():
                    for target in found:
                        target.rates.setdefault(shape.name, []).append(target.turn(caller, shape))
        return {"otp": caller.said, "rounds": rounds, "targets": [result_of(target, found) for target in found]}


def result_of(target: Target, found: list[Target]) -> Results:
    """Return the figures of one target, with the ratios to its baseline."""
    rates = {target.name: target.rates for target in found}
    base, c_node = rates[target.baseline], rates["c_gen"]
    result: dict[str, Any] = {"name": target.name, "label": target.label, "compared_with": target.baseline}
    for shape in SHAPES:
        own = target.rates[shape.name]
        entry = {"per_second": round(median(own), 1), "ratio": round(ratio(own, base[shape.name]), 3)}
        if shape.size:
            entry["megabytes_per_second"] = round(median(own) * shape.size / 1e6)
        if target.kind == "gen":
            entry["ratio_to_c_node"] = round(ratio(own, c_node[shape.name]), 3)
        if shape.callers == 1 and not shape.size:
            entry["microseconds"] = round(1e6 / median(own), 1)
        result[shape.name] = entry
    return result


def table(results: Results) -> list[str]:
    """Return the lines of the table."""
    lines = ["| | " + " | ".join(shape.label for shape in SHAPES) + " |", "|---|" + "--:|" * len(SHAPES)]
    for target in results["targets"]:
        cells = [cell(target[shape.name], own=target["name"] == target["compared_with"]) for shape in SHAPES]
        lines.append(f"| {target['label']} | {' | '.join(cells)} |")
    return lines


def cell(entry: Results, *, own: bool) -> str:
    """Return a cell of the table: the ratio to the BEAM, and the rate in brackets."""
    rate = figure(entry["megabytes_per_second"] if "megabytes_per_second" in entry else entry["per_second"])
    if own:
        return f"1 ({rate})"
    c_node = f", {figure(entry['ratio_to_c_node'])} x C" if entry.get("ratio_to_c_node", 1) != 1 else ""
    return f"{figure(entry['ratio'])} x{c_node} ({rate})"


def report(results: Results) -> str:
    """Return this part of the document, in Markdown."""
    parts = [
        "## Calls to a plain program",
        "How many times as much as the BEAM in the same run (the first line of each kind): above 1 is faster. `x C` "
        "compares with the C node. In brackets the rate on the machine that ran it, for scale. A processor that has "
        "nothing to do sleeps, and on most machines that run others takes longer to wake than a call takes: one caller "
        "by itself is measured with the processors as they are, and once more while they are kept awake.",
        "\n".join(table(results)),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "turns of each node (%(default)s); 10 s each", measure, report))
