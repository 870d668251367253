"""Compare encoding and decoding with other codecs for Python and with the BEAM. `make bench` runs this program.

Each round measures all codecs with all inputs one after the other, so that other load on the computer affects all of
them. One measurement takes about 30 ms. A time is the median of all rounds. A ratio is the median of the ratios of all
rounds. The garbage collector is on, as in a normal program.

The codecs decode the output of the BEAM's `term_to_binary`. If a codec raises an exception or returns another value,
the table contains a footnote instead of a ratio.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy
from codec_inputs import Input, inputs
from codec_peers import BEAM, NATIVE, OURS, PURE, Beam, Codec, ours, peers, versions

from vendor_term_codec import decode, encode

ROUNDS = 9
TURN = 0.03
LONGEST_REFUSAL = 90
DIRECTIONS = ("decode", "encode")
COLUMNS = (*PURE, *NATIVE, BEAM)
MODES = {
    "arrays": {"decode": "`arrays=True`", "encode": "a numpy array"},
    "views": {"decode": "`binaries=memoryview`", "encode": "a memoryview"},
}


@dataclass
class Cell:
    """The measurement of one codec with one input in one direction."""

    codec: str
    mode: str
    run: Callable[[int], float]
    count: int = 1
    times: list[float] = field(default_factory=list)


@dataclass
class Row:
    """One input in one direction: the measurements, and the errors of the codecs that do not support it."""

    input: Input
    direction: str
    size: int
    cells: list[Cell] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)


def timed(function: Callable[[Any], Any], value: Any) -> Callable[[int], float]:
    """Return a function that calls `function(value)` this many times, and returns the time in seconds."""

    def run(count: int) -> float:
        start = perf_counter()
        for _ in repeat(None, count):
            function(value)
        return perf_counter() - start

    return run


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Raise Python's recursion limit for code that is not measured. The codecs run with the default limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def plain(value: Any) -> Any:
    """Convert text, atoms and binaries to bytes, so that the results of all codecs can be compared."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return b"nil"
    if isinstance(value, bool | int | float | bytes):
        return value
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    inner = getattr(value, "value", None)  # The atoms and binaries of erlang_py have an attribute `value`.
    return "an identifier" if inner is None else plain(inner)


def refusal(direction: str, function: Callable[[Any], Any], argument: Any, wanted: Any) -> str:
    """Return the reason why a codec cannot encode or decode a value, or "" if it can.

    Args:
        direction: "encode" or "decode".
        function: the function of the codec.
        argument: the value or the bytes.
        wanted: the expected value.
    """
    try:
        value = function(argument)
        if direction == "encode":
            value = decode(value)
    except Exception as error:  # noqa: BLE001 - a codec may raise any exception
        text = f"{type(error).__name__}: {error}"
        return text if len(text) <= LONGEST_REFUSAL else text[: LONGEST_REFUSAL - 1] + "…"
    with deep_recursion():
        return "" if plain(value) == plain(wanted) else "the result is another value"


def rows_of(item: Input, data: bytes, codecs: list[Codec], beam: Beam) -> list[Row]:
    """Return the rows of one input, for both directions."""
    rows = {direction: Row(item, direction, len(data)) for direction in DIRECTIONS}
    for codec in codecs:
        if codec.mode and codec.mode not in item.modes:
            continue
        with deep_recursion():
            value = codec.prepare(item.value)
        for direction, row in rows.items():
            function, argument = (codec.decode, data) if direction == "decode" else (codec.encode, value)
            why = refusal(direction, function, argument, item.value)
            if why:
                row.refusals[codec.name] = why
            else:
                row.cells.append(Cell(codec.name, codec.mode, timed(function, argument)))
    for direction, row in rows.items():
        row.cells.append(Cell(BEAM, "", partial(beam.time, direction, item.name)))
    return list(rows.values())


def measure(rows: list[Row], rounds: int) -> None:
    """Measure all cells in all rounds. A first run determines the number of calls in one measurement."""
    cells = [cell for row in rows for cell in row.cells]
    for cell in cells:
        once = min(cell.run(1) for _ in range(3))
        cell.count = max(1, round(TURN / once))
        cell.run(cell.count)
    for _ in range(rounds):
        for cell in cells:
            cell.times.append(cell.run(cell.count) / cell.count)


def result_of(row: Row, own: Cell) -> dict[str, Any]:
    """Return the figures of one line of the table: one mode of our codec, and the ratios of the other codecs to it."""
    ratios = {
        cell.codec: round(median(theirs / mine for theirs, mine in zip(cell.times, own.times, strict=True)), 4)
        for cell in row.cells
        if cell.codec != OURS
    }
    return {
        "input": row.input.name,
        "label": row.input.label,
        "direction": row.direction,
        "mode": own.mode,
        "bytes": row.size,
        "microseconds": round(median(own.times) * 1e6, 2),
        "ratios": ratios,
        "refusals": row.refusals,
    }


def figure(number: float) -> str:
    """Return a number as text: two significant digits, or all digits before the decimal point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def table(results: list[dict[str, Any]], direction: str, notes: list[str]) -> list[str]:
    """Return the lines of the table for one direction. The errors of the codecs are appended to `notes`."""
    lines = [
        f"| {direction} | bytes | {OURS}, µs | {' | '.join(COLUMNS)} |",
        "|---|--:|--:|" + "--:|" * len(COLUMNS),
    ]
    for result in results:
        if result["direction"] != direction:
            continue
        label = result["label"] + (f", {MODES[result['mode']][direction]}" if result["mode"] else "")
        cells = [figure_or_note(result, name, notes) for name in COLUMNS]
        lines.append(f"| {label} | {result['bytes']} | {figure(result['microseconds'])} | {' | '.join(cells)} |")
    return lines


def figure_or_note(result: dict[str, Any], name: str, notes: list[str]) -> str:
    """Return the ratio, or "no" and the number of the footnote."""
    if name in result["ratios"]:
        return f"{figure(result['ratios'][name])} x"
    note = f"{name}: `{result['refusals'][name]}`"
    if note not in notes:
        notes.append(note)
    return f"no ({notes.index(note) + 1})"


def report(results: list[dict[str, Any]], environment: dict[str, Any]) -> str:
    """Return the document, in Markdown."""
    notes: list[str] = []
    tables = ["\n".join(table(results, direction, notes)) for direction in DIRECTIONS]
    found = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    parts = [
        "# The codec beside its peers",
        "Written by `make bench` (`bench/codec_bench.py`); the same figures for programs: `codec.json`.",
        f"The first figure is how many microseconds {OURS} takes. The others say how many times as long the codec at "
        "the head of the column takes for the same: above 1 it is slower. erlang_py and erlastic are pure Python, earl "
        f"and erlpack C++, {BEAM} is `binary_to_term` and `term_to_binary`.",
        f"CPython {environment['python']}, {found}; OTP {environment['otp']}; {environment['cpus']} CPUs. Medians of "
        f"{environment['rounds']} rounds, in each of which every codec takes its turn at every input. Only the ratios "
        "hold on another machine.",
        *tables,
        "What a codec raises where the table says no:",
        "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)),
    ]
    return "\n\n".join(parts) + "\n"


def run(rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure all codecs. Return the figures of all lines, and the versions of the programs."""
    items, codecs = inputs(), ours() + peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for item in items:
            (folder / f"{item.name}.{item.minor_version}.term").write_bytes(encode(item.value))
        beam = Beam(folder)
        try:
            rows = [
                row
                for item in items
                for row in rows_of(item, (folder / f"{item.name}.beam").read_bytes(), codecs, beam)
            ]
            measure(rows, rounds)
        finally:
            beam.close()
    results = [result_of(row, cell) for row in rows for cell in row.cells if cell.codec == OURS]
    environment = {
        "python": platform.python_version(),
        "otp": beam.release,
        "cpus": os.cpu_count(),
        "rounds": rounds,
        "versions": versions(),
    }
    return results, environment


def main() -> int:
    """Measure, print the document, and write the files. Return the exit code."""
    parser = argparse.ArgumentParser(description="Measure the codec beside its peers and the BEAM; about a minute.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each codec takes its turn (%(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs/bench"),
        metavar="DIR",
        help="folder for codec.md and codec.json (%(default)s)",
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least one")
    results, environment = run(options.rounds)
    text = report(results, environment)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "codec.md").write_text(text, encoding="utf-8")
    machine_readable = json.dumps({"environment": environment, "results": results}, indent=1, ensure_ascii=False)
    (options.output / "codec.json").write_text(machine_readable + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
