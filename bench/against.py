"""This code beside another revision of it: the rates of both in one run on this machine.

    against.py REVISION [--rounds N] [--least RATIO] [--only TEXT]

`make bench-against REV=revision` runs it. It checks the revision out into a temporary folder, starts the nodes of both,
each with bench/calls_server.py of its own, and prints each rate of this code as a multiple of the rate of the revision.
It exits with 1 if one of these ratios is below `--least`. "This code" is the working tree, with all that is not yet
committed.

On a busy machine a row may be below that by chance: measure it again with `--only` and more rounds.

If BLENDER names a Blender, or BLENDER_ROOT the folder of a system that has one (see bench/calls_blender.py), both
extensions are built and each is called in a window of its own, too.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from calls_blender import REPORTED, Window, package_in, wait_for_window
from calls_rig import HERE, Rig, UsageError, figure
from side_by_side import LARGE, Row, Series, Server, compare, measure, server_of

from tests.gui.window import System

ROUNDS = 15
LEAST = 0.95
THIS, THAT = "this", "that"
MODES = ("main", "worker")

LOADS = {"sequential": (1, 0), "8 callers": (8, 0), "64 callers": (64, 0), "16 MB": (1, LARGE)}
"""The number of callers, and the size of the argument, of each load."""

WINDOW_ROW = Row("`erpc`, main thread of a Blender with a window, sequential", "window", "erpc", "echo", 1)

Variants = dict[str, dict[str, Server]]


def rows() -> list[Row]:
    """The rows for plain programs: every kind of call under every load."""
    return [
        Row(f"{label}, {load}", server, kind, prefix + ("size_of" if size else "echo"), callers, size)
        for label, server, kind, prefix in (
            ("`erpc`, inline", "main", "erpc", "inline_"),
            ("`erpc`, worker thread", "worker", "erpc", ""),
            ("`erpc`, `serve_forever`", "main", "erpc", ""),
            ("`gen_server`, inline", "main", "gen", "inline_"),
            ("`gen_server`, worker thread", "worker", "gen", ""),
        )
        for load, (callers, size) in LOADS.items()
    ]


def git(*arguments: str) -> str:
    """Run git in this repository; returns what it printed."""
    done = subprocess.run(["git", *arguments], cwd=HERE.parent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A checkout of a revision, in a temporary folder that is removed after the block."""
    commit = git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="beam-bpy-against-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def programs(rig: Rig, trees: dict[str, Path]) -> Variants:
    """Start the plain programs of both revisions."""
    return {
        name: {mode: server_of(rig.python(f"bench_{name}_{mode}", mode, tree=tree)) for mode in MODES}
        for name, tree in trees.items()
    }


def build_package(tree: Path, folder: Path) -> Path:
    """Build the extension of a checkout."""
    command = [sys.executable, str(tree / "tools" / "build_zip.py"), "--output", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    return package_in(folder, tree)


@contextlib.contextmanager
def windows(rig: Rig, system: System, trees: dict[str, Path]) -> Iterator[dict[str, Server]]:
    """A Blender with a window for each revision, with its server; both end with the block."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name, tree in trees.items():
            package = build_package(tree, rig.folder / f"dist_{name}")
            found[name] = Window(rig, system, name=f"bench_{name}_window", tree=tree, package=package)
            stack.callback(found[name].stop)
        for window in found.values():
            wait_for_window(window)
        yield {name: Server(window.start_server()[0], window.process.pid) for name, window in found.items()}


def system_with_window() -> System | None:
    """The system whose Blender has a window; None if the environment names none."""
    return System.from_environment() if {"BLENDER", "BLENDER_ROOT"} & set(os.environ) else None


def run(revision: str, rounds: int, only: str) -> dict[str, dict[str, Series]]:
    """Measure the rows whose labels contain `only`; the figures of both revisions by the label of each row."""
    measured = [row for row in rows() if only in row.label]
    system = system_with_window() if only in WINDOW_ROW.label else None
    if not measured and system is None:
        raise UsageError(f"--only: no row contains {only!r}")
    with contextlib.ExitStack() as stack:
        trees = {THIS: HERE.parent, THAT: stack.enter_context(checkout(revision))}
        rig = stack.enter_context(Rig(system.root / "tmp" if system is not None else None))
        caller = rig.beam("bench_caller")
        variants = programs(rig, trees)
        if system is not None:
            for name, window in stack.enter_context(windows(rig, system, trees)).items():
                variants[name]["window"] = window
                caller.rate("erpc", window.node, WINDOW_ROW.function, 1, 1)
            time.sleep(REPORTED)
            measured.append(WINDOW_ROW)
        series = measure(caller, variants, measured, rounds)
    return {row.label: of_row for row, of_row in zip(measured, series, strict=True)}


def report(revision: str, results: dict[str, dict[str, Series]], least: float) -> list[str]:
    """Print the table; returns the labels of the rows that are below `least`."""
    print(f"| this code / {revision} | ratio | quartiles | calls/s | µs of the server per call: this, {revision} |")
    print("|---|--:|--:|--:|--:|")
    below = []
    for label, of_row in results.items():
        this, that = of_row[THIS], of_row[THAT]
        found = compare(this, that)
        cpu = f"{figure(this.cpu_microseconds)}, {figure(that.cpu_microseconds)}"
        rate = figure(median(this.rates))
        print(f"| {label} | {found.median:.2f} | {found.lower:.2f} to {found.upper:.2f} | {rate} | {cpu} |")
        if found.median < least:
            below.append(label)
    return below


def main() -> int:
    """Measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="a commit, a branch or a tag")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="turns of each revision in each row (%(default)s); 10 s each"
    )
    parser.add_argument("--least", type=float, default=LEAST, help="the least ratio that is accepted (%(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the rows whose labels contain this text")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least one")
    try:
        results = run(options.revision, options.rounds, options.only)
    except UsageError as error:
        parser.error(str(error))
    below = report(options.revision, results, options.least)
    for label in below:
        print(f"below {options.least:g}: {label}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
