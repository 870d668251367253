"""The value of each optimisation: calls to servers that lack one of them, beside calls to the full server.

`make bench` runs it, and `make bench-without` runs it alone. It writes docs/bench/without.md and without.json.
bench/optimisations.py lists the optimisations. A second full server, among the others, shows how far two equal servers
differ by chance.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median

from calls_rig import Results, Rig, figure
from optimisations import OPTIMISATIONS
from side_by_side import Row, Series, compare, measure, server_of

ROUNDS = 14
FULL = "full"
CONTROL = "control"

ROWS = {
    "erpc_inline_sequential": Row("`erpc`, inline, sequential", "main", "erpc", "inline_echo", 1),
    "erpc_inline_64": Row("`erpc`, inline, 64 callers", "main", "erpc", "inline_echo", 64),
    "erpc_main_sequential": Row("`erpc`, `serve_forever`, sequential", "main", "erpc", "echo", 1),
    "erpc_main_8": Row("`erpc`, `serve_forever`, 8 callers", "main", "erpc", "echo", 8),
    "erpc_main_64": Row("`erpc`, `serve_forever`, 64 callers", "main", "erpc", "echo", 64),
    "gen_inline_64": Row("`gen_server`, inline, 64 callers", "main", "gen", "inline_echo", 64),
}


def run(rounds: int) -> Results:
    """Start all servers, and measure."""
    with Rig() as rig:
        caller = rig.beam("bench_caller")
        programs = {name: rig.python(f"bench_{name}", "main") for name in (FULL, CONTROL)}
        for name in OPTIMISATIONS:
            programs[name] = rig.python(f"bench_{name}", "main", "--without", name)
        variants = {name: {"main": server_of(program)} for name, program in programs.items()}
        series = measure(caller, variants, list(ROWS.values()), rounds)
        environment = {"python": platform.python_version(), "otp": caller.said, "cpus": os.cpu_count()}
    results = {
        name: {row: result_of(of_row[name], of_row[FULL]) for row, of_row in zip(ROWS, series, strict=True)}
        for name in variants
    }
    return {"environment": {**environment, "rounds": rounds}, "variants": results}


def result_of(own: Series, full: Series) -> Results:
    """The figures of one server in one row."""
    rate = round(median(own.rates))
    return {**compare(own, full)._asdict(), "per_second": rate, "cpu_microseconds": round(own.cpu_microseconds, 1)}


def document(results: Results) -> str:
    """The whole document."""
    environment = results["environment"]
    parts = [
        "# The value of each optimisation",
        "Written by `make bench` and `make bench-without` (`bench/without.py`); the same figures for programs: "
        "`without.json`.",
        "Each line stands for a server in which one optimisation is switched off: its rate of calls divided by the "
        "rate of the full server in the same round (the median of all rounds), and in brackets the processor time of "
        "the server per call. The second line is another full server, and shows how far two equal servers differ by "
        "chance.",
        f"{environment['rounds']} rounds, CPython {environment['python']}, OTP {environment['otp']}, "
        f"{environment['cpus']} processors.",
        "\n".join(table(results["variants"])),
    ]
    return "\n\n".join(parts) + "\n"


def table(variants: Results) -> list[str]:
    """The lines of the table."""
    labels = {FULL: "nothing", CONTROL: "nothing, second server"}
    labels |= {name: optimisation.label for name, optimisation in OPTIMISATIONS.items()}
    heads = " | ".join(row.label for row in ROWS.values())
    lines = [f"| switched off | {heads} |", "|---|" + "--:|" * len(ROWS)]
    for name, of_rows in variants.items():
        cells = [f"{cell['median']:.2f} ({figure(cell['cpu_microseconds'])} µs)" for cell in of_rows.values()]
        lines.append(f"| {labels[name]} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each server (%(default)s); 8 s each")
    parser.add_argument(
        "--output", type=Path, default=Path("docs/bench"), metavar="DIR", help="folder to write to (%(default)s)"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least one")
    results = run(options.rounds)
    text = document(results)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "without.md").write_text(text, encoding="utf-8")
    machine_readable = json.dumps(results, indent=1, ensure_ascii=False)
    (options.output / "without.json").write_text(machine_readable + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
