"""Measure how fast Blenders convert and picture 3D files, and write docs/bench/assets.md and assets.json.

If BLENDER names a Blender, or BLENDER_ROOT the folder of a system that has one, it also measures this Blender, with a
start for each file.
"""

import argparse
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from calls_rig import COOKIE, HERE, Rig

PROJECT = HERE.parent / "elixir"
ROUNDS = 8
SIDE = 60
"""The vertices along each side of the model."""

CONVERT = """\
import bpy
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
bpy.ops.wm.obj_import(filepath={source!r})
bpy.ops.export_scene.gltf(filepath={target!r})
"""

LABELS = {
    "convert_one": "one Blender converts",
    "convert_two": "two Blenders convert",
    "picture_one": "one Blender makes thumbnails",
    "picture_two": "two Blenders make thumbnails",
    "new_python": "a new Python with bpy for each file converts",
    "new_blender": "a new `blender -b` for each file converts",
}


def model() -> str:
    """Return an OBJ file with a wavy surface of quads."""
    lines = ["o Surface"]
    for y in range(SIDE):
        lines += [f"v {x / 10} {math.sin(x / 5) * math.cos(y / 7):.6f} {y / 10}" for x in range(SIDE)]
    for y in range(SIDE - 1):
        corners = [y * SIDE + x + 1 for x in range(SIDE - 1)]
        lines += [f"f {at} {at + 1} {at + SIDE + 1} {at + SIDE}" for at in corners]
    return "\n".join(lines) + "\n"


def program(path: Path, command: list[str]) -> str:
    """Write a program that runs a command without output. Return its path."""
    path.write_text(f"#!/bin/sh\nexec {shlex.join(command)} >/dev/null 2>&1\n")
    path.chmod(0o755)
    return str(path)


def measure(rounds: int) -> list[dict[str, float]]:
    """Return the files per second of each way, for each round."""
    root = Path(os.environ.get("BLENDER_ROOT", "/"))
    with Rig(root / "tmp") as rig:
        source = rig.folder / "model.obj"
        source.write_text(model())
        script = CONVERT.format(source=str(source), target=str(rig.folder / "out.glb"))
        programs = [program(rig.folder / "new_python", [sys.executable, "-c", script])]
        if {"BLENDER", "BLENDER_ROOT"} & set(os.environ):
            inside = "/" / rig.folder.relative_to(root)
            script = CONVERT.format(source=str(inside / "model.obj"), target=str(inside / "out.glb"))
            command = [os.environ.get("BLENDER", "blender"), "-b", "--factory-startup", "--python-exit-code", "1"]
            command = [*([] if root == Path("/") else ["chroot", str(root)]), *command, "--python-expr", script]
            programs.append(program(rig.folder / "new_blender", command))
        own = {"MIX_ENV": "prod", "MIX_BUILD_PATH": str(rig.folder / "build")}
        beam = ["elixir", "--hidden", "--name", "bench@127.0.0.1", "--cookie", COOKIE]
        beam += ["--erl", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"]
        beam += ["-S", "mix", "run", "bench/assets.exs", sys.executable, str(rounds), str(source), *programs]
        output = subprocess.run(
            beam,
            cwd=PROJECT,
            env={**rig.environment, **own},
            check=True,
            timeout=1800,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    lines = [line.split() for line in output.splitlines() if line.startswith("convert_one=")]
    return [{name: float(value) for name, _, value in (part.partition("=") for part in line)} for line in lines]


def ratio(rows: list[dict[str, float]], way: str, base: str) -> str:
    """Return the quartiles of a way's rate as a multiple of another one's in the same round."""
    low, middle, high = statistics.quantiles([row[way] / row[base] for row in rows], n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def document(rows: list[dict[str, float]]) -> str:
    """Return the page, in Markdown."""
    lines = [
        "# 3D files as values: rates",
        "",
        "Written by `make bench` (`bench/assets.py`); the figures of each round: `assets.json`.",
        "",
        f"`BeamBpy.Assets` through pools of one and of two Blenders, on {os.cpu_count()} processors, in {len(rows)} "
        f"rounds. Each round does the same work in each way. The model has {SIDE * SIDE} vertices; it is converted "
        "from OBJ to GLB, or pictured with 128 x 128 pixels and 4 samples. The ratios are the medians of the rounds, "
        "with quartiles.",
        "",
        "| way | files per second, median |",
        "|---|--:|",
    ]
    lines += [f"| {LABELS[way]} | {statistics.median(row[way] for row in rows):.2f} |" for way in rows[0]]
    lines += ["", "| ratio of rates | |", "|---|--:|"]
    pairs = [("convert_two", "convert_one"), ("picture_two", "picture_one")]
    pairs += [("convert_one", way) for way in rows[0] if way.startswith("new_")]
    lines += [f"| {LABELS[way]} : {LABELS[base]} | {ratio(rows, way, base)} |" for way, base in pairs]
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
    (options.output / "assets.md").write_text(text)
    (options.output / "assets.json").write_text(json.dumps({"cpus": os.cpu_count(), "rates": rows}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
