"""Run all measurements of calls, and write docs/bench/calls.md, calls.json and the plots. `make bench` runs it.

Each part can also run as a separate program: calls.py, calls_blender.py, calls_mesh.py, calls_load.py.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import calls
import calls_blender
import calls_load
import calls_mesh
from calls_rig import Results, figure

PARTS = {"calls": calls, "blender": calls_blender, "mesh": calls_mesh, "load": calls_load}

WIDTH, LABEL, ROW, TOP = 780, 340, 22, 34


def bars(title: str, rows: Sequence[tuple[str, float]], unit: str = " x") -> str:
    """Return a bar chart as SVG, with a label and a value for each bar."""
    largest = max(value for _label, value in rows)
    height = TOP + ROW * len(rows) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(rows):
        y = TOP + ROW * number
        length = max(1.0, (WIDTH - LABEL - 90) * value / largest)
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABEL}" y="{y + 2}" width="{length:.0f}" height="{ROW - 6}" fill="#3b6ea5"/>',
            f'<text x="{LABEL + length + 6:.0f}" y="{y + 14}">{figure(value)}{unit}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def plot_calls(results: Results) -> str:
    """Return the plot of each kind of node with 64 callers."""
    rows = [(target["label"].replace("`", ""), target["callers_64"]["ratio"]) for target in results["targets"]]
    return bars("64 callers: calls/s, as a multiple of the BEAM's (same kind of call)", rows)


def plot_blender(results: Results) -> str:
    """Return the plot of each Blender with one caller and with 64 callers."""
    rows = [
        (f"{target['label']}, {label}", target[shape]["ratio"])
        for shape, label in (("sequential", "sequential"), ("callers_64", "64 callers"))
        for target in results["targets"].values()
    ]
    return bars("Blender's main thread: calls/s, as a multiple of the BEAM's", rows)


def plot_mesh(results: Results) -> str:
    """Return the plot of each way to upload a mesh."""
    rows = [(label.replace("`", ""), results["ways"][name]["ratio"]) for name, label in calls_mesh.WAYS.items()]
    return bars("A mesh of a million vertices into Blender: time, less is better", rows)


def plot_load(results: Results) -> str:
    """Return the plot of the rates with many connections."""
    rows = [(f"{step['connections']} connections", step["ratio"]) for step in results["rates"]["steps"]]
    return bars("As many calls under way, more connections: calls/s", rows)


PLOTS: dict[str, Callable[[Results], str]] = {
    "calls": plot_calls,
    "blender": plot_blender,
    "mesh": plot_mesh,
    "load": plot_load,
}


def document(results: Results, environment: Results) -> str:
    """Return the whole document, in Markdown."""
    parts = [
        "# Calls beside the BEAM, C and a plain socket",
        "Written by `make bench` (`bench/calls_report.py`); the same figures for programs: `calls.json`.",
        f"CPython {environment['python']}, OTP {environment['otp']}, {environment['cpus']} CPUs; real programs on both "
        "ends, each in a process of its own, all on one machine. Medians of rounds in which each takes its turn at "
        "each measurement. Only the ratios hold on another machine; what stands in brackets is for scale. With few "
        "processors the two ends of a call, and whatever else runs, share them: a ratio may move by a third from run "
        "to run.",
    ]
    for name, part in PARTS.items():
        parts += [part.report(results[name]), f"![{name}](calls_{name}.svg)"]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Measure all parts, print the document, and write the files. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of each part (default: each part's own, under 7 minutes in all)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("docs/bench"), metavar="DIR", help="folder to write to (%(default)s)"
    )
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least one")
    if not {"BLENDER", "BLENDER_ROOT"} & set(os.environ):
        parser.error("set BLENDER to a Blender with a window, or BLENDER_ROOT to what 'tools/debian13 gui' prints")
    results = {}
    for name, part in PARTS.items():
        begin = time.monotonic()
        results[name] = part.measure(options.rounds or part.ROUNDS)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    environment = {"python": platform.python_version(), "otp": results["calls"]["otp"], "cpus": os.cpu_count()}
    text = document(results, environment)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "calls.md").write_text(text, encoding="utf-8")
    for name, plot in PLOTS.items():
        (options.output / f"calls_{name}.svg").write_text(plot(results[name]), encoding="utf-8")
    machine_readable = json.dumps({"environment": environment, **results}, indent=1, ensure_ascii=False)
    (options.output / "calls.json").write_text(machine_readable + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
