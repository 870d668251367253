"""A mesh of a million vertices and as many faces into Blender: binaries from the BEAM, and JSON over a plain socket.

Both go into the same Blender, a bpy module without a window, one after the other in each round. The BEAM calls
`upload_mesh` of the example extension. The JSON is written beforehand, sent by a Python program and served on Blender's
main thread without waiting for any timer: `json.loads`, and then either a list for each vertex and face into
`from_pydata`, as add-ons do it, or flat lists into `foreach_set`, which is as fast as JSON can be.
"""

import json
import socket
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from calls_rig import PATIENCE, Caller, Results, Rig, figure, main, ratio

ROUNDS = 5
SIDE = 1000
PARTS = ("parse", "foreach_set", "update")

Seconds = dict[str, float]
"""How long each part took."""


WAYS = {
    "beam": "`upload_mesh`, binaries from the BEAM",
    "json": "JSON over a plain socket, `from_pydata`",
    "flat_json": "JSON over a plain socket, flat lists, `foreach_set`",
}


def grid(folder: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """A wavy square of SIDE * SIDE vertices: files of the binaries for the BEAM, and a line of JSON for each way."""
    across = np.linspace(-5.0, 5.0, SIDE, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    vertices = np.stack([x, y, np.sin(x) * np.cos(y)], axis=-1).reshape(-1)
    first = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).reshape(-1)
    quads = np.stack([first, first + 1, first + SIDE + 1, first + SIDE], axis=-1).astype("<i4").reshape(-1)
    vertices_file, quads_file = folder / "vertices", folder / "quads"
    vertices_file.write_bytes(vertices.astype("<f4").tobytes())
    quads_file.write_bytes(quads.tobytes())
    # Six decimals, as a program that keeps float32 writes them: seventeen digits would only help the binaries.
    numbers = [round(value, 6) for value in vertices.tolist()]
    points = [numbers[at : at + 3] for at in range(0, len(numbers), 3)]
    lines = {
        "json": line_of({"vertices": points, "faces": quads.reshape(-1, 4).tolist()}),
        "flat_json": line_of({"vertices": numbers, "quads": quads.tolist()}),
    }
    return vertices_file, quads_file, lines


def line_of(value: object) -> bytes:
    """A line of JSON."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def by_json(caller: Caller, node: str, port: int, line: bytes) -> tuple[float, Seconds]:
    """Upload it as JSON; seconds as `Caller.upload` gives them."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock, sock.makefile("rb") as lines:
        caller.cast(node, "json_mesh")
        lines.readline()
        begin = time.perf_counter()
        sock.sendall(line)
        parts: Seconds = json.loads(lines.readline())
        return time.perf_counter() - begin, parts


def measure(rounds: int) -> Results:
    """Run it."""
    with Rig() as rig:
        vertices, quads, lines = grid(rig.folder)
        node, caller = rig.python("bench_mesh", "bpy").node, rig.beam("bench_caller")
        port = caller.value(node, "json_port")
        caller.upload(node, vertices, quads)
        runs: dict[str, list[tuple[float, Seconds]]] = {name: [] for name in WAYS}
        for _ in range(rounds):
            runs["beam"].append(caller.upload(node, vertices, quads))
            for name, line in lines.items():
                runs[name].append(by_json(caller, node, port, line))
        sizes = {"beam": vertices.stat().st_size + quads.stat().st_size} | {name: len(lines[name]) for name in lines}
    return {
        "rounds": rounds,
        "vertices": SIDE * SIDE,
        "faces": (SIDE - 1) ** 2,
        "ways": {name: way(runs[name], sizes[name], runs["beam"]) for name in WAYS},
    }


def way(runs: list[tuple[float, Seconds]], size: int, beam: list[tuple[float, Seconds]]) -> Results:
    """The figures of one way: seconds, how many times those of the BEAM, and the share of each part in them."""
    seconds = [whole for whole, _parts in runs]
    return {
        "bytes": size,
        "seconds": round(median(seconds), 4),
        "ratio": round(ratio(seconds, [whole for whole, _parts in beam]), 1),
        "ratio_of_the_rest": round(ratio(list(map(rest, runs)), list(map(rest, beam))), 1),
        "shares": {part: round(median(parts[part] / whole for whole, parts in runs), 3) for part in PARTS},
    }


def rest(run: tuple[float, Seconds]) -> float:
    """The seconds that do not go into what Blender itself does with any numbers."""
    whole, parts = run
    return whole - parts["foreach_set"] - parts["update"]


def report(results: Results) -> str:
    """The part of the document."""
    lines = [
        "| | bytes | time | without Blender's own | parse | foreach_set | update | the way there |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, label in WAYS.items():
        found = results["ways"][name]
        shares = [found["shares"][part] for part in PARTS]
        cells = [
            f"{figure(found['ratio'])} x ({1000 * found['seconds']:.0f} ms)",
            f"{figure(found['ratio_of_the_rest'])} x",
            *(f"{100 * share:.0f} %" for share in (*shares, 1 - sum(shares))),
        ]
        lines.append(f"| {label} | {found['bytes']} | {' | '.join(cells)} |")
    parts = [
        "## A mesh",
        f"{results['vertices']} vertices and {results['faces']} quads into one Blender without a window. The shares "
        "are of that way's own time; `from_pydata` sets and updates in one. Blender's own part, which no way can "
        "shorten, is `foreach_set` and `update`.",
        "\n".join(lines),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "uploads each way (%(default)s)", measure, report))
