"""A mesh of a million vertices and as many faces into Blender: binaries from the BEAM, and JSON over a plain socket.

Both go into the same Blender, a bpy module without a window, one after the other in each round. The BEAM calls
`upload_mesh` of the example extension. The JSON is written beforehand, sent by a Python program and served on Blender's
main thread without waiting for any timer: `json.loads`, and the flat lists into `foreach_set`.
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


def grid(folder: Path) -> tuple[Path, Path, bytes]:
    """A wavy square of SIDE * SIDE vertices: files of the binaries for the BEAM, and the line of JSON."""
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
    line = json.dumps({"vertices": numbers, "quads": quads.tolist()}, separators=(",", ":")).encode() + b"\n"
    return vertices_file, quads_file, line


def by_json(caller: Caller, node: str, port: int, line: bytes) -> tuple[float, dict[str, float]]:
    """Upload it as JSON; seconds as `Caller.upload` gives them."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock, sock.makefile("rb") as lines:
        caller.cast(node, "json_mesh")
        lines.readline()
        begin = time.perf_counter()
        sock.sendall(line)
        parts: dict[str, float] = json.loads(lines.readline())
        return time.perf_counter() - begin, parts


def measure(rounds: int) -> Results:
    """Run it."""
    with Rig() as rig:
        vertices, quads, line = grid(rig.folder)
        node, caller = rig.python("bench_mesh", "bpy").node, rig.beam("bench_caller")
        port = caller.value(node, "json_port")
        caller.upload(node, vertices, quads)
        beam, plain = [], []
        for _ in range(rounds):
            beam.append(caller.upload(node, vertices, quads))
            plain.append(by_json(caller, node, port, line))
        size = vertices.stat().st_size + quads.stat().st_size
    return {
        "rounds": rounds,
        "vertices": SIDE * SIDE,
        "faces": (SIDE - 1) ** 2,
        "ratio": round(ratio([whole for whole, _parts in plain], [whole for whole, _parts in beam]), 1),
        "beam": way(beam, size),
        "json": way(plain, len(line)),
    }


def way(runs: list[tuple[float, dict[str, float]]], size: int) -> Results:
    """The figures of one way: seconds, and the share of each part in them."""
    shares = {part: round(median(parts[part] / whole for whole, parts in runs), 3) for part in PARTS}
    return {"bytes": size, "seconds": round(median(whole for whole, _parts in runs), 4), "shares": shares}


def report(results: Results) -> str:
    """The part of the document."""
    lines = ["| | bytes | time | parse | foreach_set | update | the way there |", "|---|--:|--:|--:|--:|--:|--:|"]
    times = {"beam": "1", "json": f"{figure(results['ratio'])} x"}
    for name, label in (("beam", "`upload_mesh`, binaries from the BEAM"), ("json", "JSON over a plain socket")):
        found = results[name]
        shares = [found["shares"][part] for part in PARTS]
        cells = [f"{100 * share:.0f} %" for share in (*shares, 1 - sum(shares))]
        lines.append(
            f"| {label} | {found['bytes']} | {times[name]} ({1000 * found['seconds']:.0f} ms) | {' | '.join(cells)} |"
        )
    parts = [
        "## A mesh",
        f"{results['vertices']} vertices and {results['faces']} quads into one Blender without a window. The shares "
        "are of that way's own time.",
        "\n".join(lines),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "uploads each way (%(default)s)", measure, report))
