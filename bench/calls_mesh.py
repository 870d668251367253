"""Measure the upload of a mesh with a million vertices and a million faces to Blender, as binaries and as JSON.

All uploads go to the same Blender, a bpy module without a window, one after the other in each round. These cases are
measured:

- A BEAM node has the mesh as binaries, and calls `upload_mesh` of the example extension.
- A BEAM node has the mesh as lists of numbers, and calls `upload_mesh`.
- A BEAM node converts the binaries to JSON and sends it over a socket. Blender's main thread reads the socket without
  waiting for a timer. It calls `json.loads` and `from_pydata`, with a list for each vertex and face, as many add-ons
  do.
- A Python program sends JSON that it has prepared before, with six decimals.
- It sends prepared JSON with flat lists for `foreach_set`. This is the fastest way with JSON.
- A BEAM node calls `move_vertices` for a mesh that already has its faces.
"""

import json
import socket
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from calls_rig import PARTS, TIMEOUT, Caller, Results, Rig, Upload, figure, main, ratio

ROUNDS = 7
SIDE = 1000

WAYS = {
    "beam": "`upload_mesh`, binaries of the BEAM",
    "lists": "`upload_mesh`, lists of numbers of the BEAM",
    "written_json": "JSON that the BEAM writes of the binaries, `from_pydata`",
    "json": "JSON that is ready before, six decimals, `from_pydata`",
    "flat_json": "JSON that is ready before, six decimals, flat lists, `foreach_set`",
}


def grid(folder: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """Create a wavy square of SIDE * SIDE vertices.

    Return the files of its vertices and faces for the BEAM node, and a line of JSON for each case with prepared JSON.
    """
    across = np.linspace(-5.0, 5.0, SIDE, dtype=np.float32)
    x, y = np.meshgrid(across, across)
    vertices = np.stack([x, y, np.sin(x) * np.cos(y)], axis=-1).reshape(-1)
    first = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).reshape(-1)
    quads = np.stack([first, first + 1, first + SIDE + 1, first + SIDE], axis=-1).astype("<i4").reshape(-1)
    vertices_file, quads_file = folder / "vertices", folder / "quads"
    vertices_file.write_bytes(vertices.astype("<f4").tobytes())
    quads_file.write_bytes(quads.tobytes())
    # Six decimals, like a program that stores float32. With seventeen digits, JSON would be slower.
    numbers = [round(value, 6) for value in vertices.tolist()]
    points = [numbers[at : at + 3] for at in range(0, len(numbers), 3)]
    lines = {
        "json": line_of({"vertices": points, "faces": quads.reshape(-1, 4).tolist()}),
        "flat_json": line_of({"vertices": numbers, "quads": quads.tolist()}),
    }
    return vertices_file, quads_file, lines


def line_of(value: object) -> bytes:
    """Encode a value as a line of JSON."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def by_json(caller: Caller, node: str, port: int, line: bytes) -> Upload:
    """Upload a mesh as prepared JSON."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock, sock.makefile("rb") as lines:
        caller.cast(node, "json_mesh")
        lines.readline()
        begin = time.perf_counter()
        sock.sendall(line)
        parts: dict[str, float] = json.loads(lines.readline())
        return Upload(len(line), time.perf_counter() - begin, parts)


def measure(rounds: int) -> Results:
    """Measure everything in this module."""
    with Rig() as rig:
        vertices, quads, lines = grid(rig.folder)
        node, caller = rig.python("bench_mesh", "bpy").node, rig.beam("bench_caller")
        port = caller.value(node, "json_port")
        caller.upload(node, vertices, quads)
        runs: dict[str, list[Upload]] = {name: [] for name in WAYS}
        moves = []
        for _ in range(rounds):
            runs["beam"].append(caller.upload(node, vertices, quads))
            moves.append(caller.move(node, vertices))
            runs["lists"].append(caller.upload_lists(node, vertices, quads))
            runs["written_json"].append(caller.upload_json(node, port, vertices, quads))
            for name, line in lines.items():
                runs[name].append(by_json(caller, node, port, line))
    beam = runs["beam"]
    return {
        "rounds": rounds,
        "vertices": SIDE * SIDE,
        "faces": (SIDE - 1) ** 2,
        "move": {
            "seconds": round(median(moves), 4),
            "ratio": round(ratio(moves, [each.seconds for each in beam]), 2),
        },
        "ways": {name: way(runs[name], beam) for name in WAYS},
    }


def way(runs: list[Upload], beam: list[Upload]) -> Results:
    """Return the figures of one case: seconds, the ratio to the binaries of the BEAM, and the share of each part."""
    seconds = [each.seconds for each in runs]
    return {
        "bytes": runs[0].size,
        "seconds": round(median(seconds), 4),
        "ratio": round(ratio(seconds, [each.seconds for each in beam]), 1),
        "ratio_of_the_rest": round(ratio(list(map(rest, runs)), list(map(rest, beam))), 1),
        "shares": {part: round(median(each.parts[part] / each.seconds for each in runs), 3) for part in PARTS},
    }


def rest(upload: Upload) -> float:
    """Return the seconds of an upload without the work of Blender itself, which is equal in all cases."""
    return upload.seconds - upload.parts["foreach_set"] - upload.parts["update"]


def report(results: Results) -> str:
    """Return this part of the document, in Markdown."""
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
        "shorten, is `foreach_set` and `update`. What the caller does, like writing JSON, belongs to the way there.",
        "\n".join(lines),
        f"Where the faces are there already, `move_vertices` takes {figure(results['move']['ratio'])} of the time of "
        f"`upload_mesh` ({1000 * results['move']['seconds']:.0f} ms).",
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "uploads each way (%(default)s)", measure, report))
