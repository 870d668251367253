"""Measure poses that many BEAM nodes stream to a Blender; write docs/bench/live.md and live.json.

Each peer is a BEAM node that casts the pose of an armature of its own, sixty times a second. The age of a pose is the
time from the cast until Blender's dependency graph is up to date with it. The same peers then cast to a BEAM node,
which only takes the time. Then one of the peers misbehaves: it stops reading, casts 10 000 poses a second, or is
killed. The ages of the others are compared with those of a time without a fault, right before.

If BLENDER names a Blender, or BLENDER_ROOT the folder of a system that has one (see bench/calls_blender.py), the same
poses are streamed to a Blender with a window, too. There, a pose is also on its way until the window shows it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from calls_blender import Window, wait_for_window
from calls_rig import COOKIE, HERE, Program, Results, Rig, percentile, resident

from beam_bpy import BeamServer
from tests.gui.window import System

PEERS, RATE, BONES = 16, 60, 64
SECONDS = 60
FAULT_SECONDS = 15
FLOOD = 10_000
"""The poses per second of a peer that floods."""

WARM_UP = 2

DRAWINGS = 20
"""How often the window is drawn to measure how long that takes."""

UNDER_WAY = 30.0
"""The longest time for which a pose that was sent may be under way, in seconds. A flood takes a while to arrive."""

TIMEOUT = 60.0

Ages = dict[str, list[float]]


class Streamed(NamedTuple):
    """A time in which the peers have streamed.

    Attributes:
        ages: the ages of the poses of each armature, in seconds.
        lost: the armatures whose last pose is not the last one that was sent.
        sent: the number of poses.
        replaced: the number of casts that a newer one has replaced.
    """

    ages: Ages
    lost: list[str]
    sent: int
    replaced: int


class Stage:
    """A Blender, the peers, and a client that asks the Blender for the figures.

    Args:
        rig: starts and ends the peers.
        node: the name of the Blender's node.
        pid: the process of the Blender.
        peers, bones: how many.
    """

    def __init__(self, rig: Rig, node: str, pid: int, peers: int, bones: int) -> None:
        subprocess.run(["erlc", "-Werror", "-o", str(rig.folder), str(HERE / "live_beam.erl")], check=True, timeout=60)
        self.rig, self.node, self.pid, self.bones = rig, node, pid, bones
        os.environ.update({name: rig.environment[name] for name in ("ERL_EPMD_PORT", "HOME")})
        self.client = BeamServer("live_client", cookie=COOKIE)
        self.client.start()
        self.ask("add_rigs", peers, bones)
        self.peers = [self.beam(f"live_peer{number}") for number in range(peers)]
        self.sink = self.beam("live_beam")

    def beam(self, name: str) -> Program:
        """Start a BEAM node."""
        command = ["erl", "-noshell", "-hidden", "-name", f"{name}@127.0.0.1", "-setcookie", COOKIE]
        command += [
            "-start_epmd",
            "false",
            "-kernel",
            "inet_dist_use_interface",
            "{127,0,0,1}",
            "-connect_all",
            "false",
        ]
        return self.rig.program([*command, "-pa", str(self.rig.folder), "-s", "live_beam", "main"])

    def ask(self, handler: str, *arguments: Any) -> Any:
        """Call a handler of the Blender."""
        return self.client.call(self.node, "Elixir.Bench", handler, list(arguments), timeout=TIMEOUT)

    def stream(self, seconds: int, rate: int = RATE, fault: Callable[[Program], object] | None = None) -> Streamed:
        """Let all peers stream to the Blender.

        Args:
            seconds: how long.
            rate: the poses per second of the last peer; all others send `RATE`.
            fault: what happens to the last peer after a third of the time; default None: nothing.
        """
        self.ask("begin_ages")
        replaced = self.replaced()
        rates = [RATE] * (len(self.peers) - 1) + [rate]
        with ThreadPoolExecutor(len(self.peers)) as threads:
            running = [
                threads.submit(peer.ask, "stream", self.node, f"rig{number}", self.bones, rates[number], seconds)
                for number, peer in enumerate(self.peers)
            ]
            if fault is not None:
                time.sleep(seconds / 3)
                fault(self.peers[-1])
            sent = [int(each.result()) for each in running[: None if fault is None else -1]]
            poses = self.last_poses(sent)
            ages = self.ask("ages")
            if fault is not None and fault is not kill:
                os.kill(self.peers[-1].process.pid, signal.SIGCONT)
                running[-1].result()
        lost = [name for number, count in enumerate(sent) if poses[name := f"rig{number}"] != count]
        return Streamed(ages, lost, sum(sent), self.replaced() - replaced)

    def last_poses(self, sent: list[int]) -> dict[str, float]:
        """Return the number of the pose of each armature. Wait for casts that are under way."""
        deadline = time.monotonic() + UNDER_WAY
        while True:
            poses: dict[str, float] = self.ask("last_poses")
            arrived = all(poses[f"rig{number}"] == count for number, count in enumerate(sent))
            if arrived or time.monotonic() > deadline:
                return poses
            time.sleep(0.05)

    def stream_to_beam(self, seconds: int) -> list[float]:
        """Let all peers stream to a BEAM node. Return the ages of the poses there, in seconds."""
        self.sink.ask("begin")
        with ThreadPoolExecutor(len(self.peers)) as threads:
            words = ("stream", self.sink.node, "rig", self.bones, RATE, seconds)
            for each in [threads.submit(peer.ask, *words) for peer in self.peers]:
                each.result()
        return [int(age) / 1e6 for age in self.sink.ask("ages").split()]

    def replaced(self) -> int:
        """Return how many casts have never run."""
        count: int = self.client.call(self.node, "beam_bpy", "health", [], timeout=TIMEOUT)["replaced"]
        return count


def stop(peer: Program) -> None:
    """Let a peer stall: it neither sends nor reads until the time is over."""
    os.kill(peer.process.pid, signal.SIGSTOP)


def kill(peer: Program) -> None:
    """Kill a peer."""
    peer.process.kill()


def start_blender(rig: Rig) -> tuple[str, int]:
    """Start a Blender without a window. Return the name of its node, and its process."""
    handlers = ["--handlers", "scene_handlers", "--handlers", str(HERE / "live_handlers.py")]
    command = [sys.executable, "-m", "beam_bpy.cli", "serve", *handlers, "--node", "live", "--until-stdin-closes"]
    blender = rig.program(command, {"HOME": str(rig.folder)})
    while not blender.said.endswith(" is ready"):
        blender.said = blender.read()
    return blender.said.partition(":")[0], blender.process.pid


def measure(peers: int, bones: int, seconds: int, fault_seconds: int) -> Results:
    """Return all figures."""
    load = os.getloadavg()[0]
    with Rig() as rig:
        stage = Stage(rig, *start_blender(rig), peers, bones)
        try:
            stage.stream(WARM_UP)
            before = resident(stage.pid)
            main = stage.stream(seconds)
            after = resident(stage.pid)
            beam = stage.stream_to_beam(fault_seconds)
            faults = {
                name: compared(stage.stream(fault_seconds), stage.stream(fault_seconds, rate, fault), peers)
                for name, rate, fault in (("stalls", RATE, stop), ("floods", FLOOD, None), ("dies", RATE, kill))
            }
        finally:
            stage.client.stop()
    return {
        "cpus": os.cpu_count(),
        "load": [load, os.getloadavg()[0]],
        "peers": peers,
        "poses_per_second": RATE,
        "bones": bones,
        "seconds": seconds,
        "blender": {**figures(all_of(main.ages)), **counts(main), "memory": {"begin": before, "end": after}},
        "beam": figures(beam),
        "faults": faults,
    } | ({"window": measure_window(peers, bones, seconds)} if {"BLENDER", "BLENDER_ROOT"} & set(os.environ) else {})


def measure_window(peers: int, bones: int, seconds: int) -> Results:
    """Return the figures of a Blender with a window."""
    system = System.from_environment()
    with Rig(system.root / "tmp") as rig:
        modules = (HERE / "live_handlers.py", HERE.parent / "scene_handlers")
        window = Window(rig, system, name="live_window", modules=modules, script=HERE / "live_window.py")
        try:
            wait_for_window(window)
            stage = Stage(rig, window.start_server()[0], window.process.pid, peers, bones)
            try:
                stage.stream(WARM_UP)
                drawing = stage.ask("drawing_time", DRAWINGS)
                stage.ask("begin_ticks")
                stage.ask("begin_drains")
                streamed = stage.stream(seconds)
                ticks, drains = (json.loads(stage.ask(handler)) for handler in ("end_ticks", "drains"))
                drawn = stage.ask("drawn")
            finally:
                stage.client.stop()
        finally:
            window.stop()
    return {
        **figures(all_of(streamed.ages)),
        **counts(streamed),
        "drawn": figures(drawn),
        "drawing_ms": round(1000 * drawing, 3),
        "ticks_ms": {"p50": round(ticks[0], 3), "p99": round(ticks[1], 3)},
        "calls_of_a_tick_ms": {"p50": round(drains[0], 3), "p99": round(drains[1], 3)},
    }


def compared(without: Streamed, during: Streamed, peers: int) -> Results:
    """Return the figures of all peers but the last one, without a fault and during a fault of the last one."""
    others = {f"rig{number}" for number in range(peers - 1)}
    rows = [
        figures(all_of({name: ages for name, ages in each.ages.items() if name in others}))
        for each in (without, during)
    ]
    return {
        "without": rows[0],
        "during": {**rows[1], **counts(during)},
        "p99": round(rows[1]["p99_ms"] / rows[0]["p99_ms"], 3),
    }


def all_of(ages: Ages) -> list[float]:
    """Return the ages of all armatures."""
    return [age for found in ages.values() for age in found]


def figures(ages: list[float]) -> Results:
    """Return the percentiles of the ages, in milliseconds."""
    return {
        "poses": len(ages),
        "p50_ms": round(1000 * percentile(ages, 0.5), 3),
        "p99_ms": round(1000 * percentile(ages, 0.99), 3),
        "max_ms": round(1000 * max(ages), 3),
    }


def counts(streamed: Streamed) -> Results:
    """Return what was sent and what never ran."""
    return {"sent": streamed.sent, "replaced": streamed.replaced, "last_pose_lost": streamed.lost}


def document(results: Results) -> str:
    """Return the page, in Markdown."""
    blender, beam, faults = results["blender"], results["beam"], results["faults"]
    megabytes = [blender["memory"][when] / 2**20 for when in ("begin", "end")]
    lost = ", ".join(blender["last_pose_lost"]) or "none"
    lines = [
        "# Poses of many peers",
        "",
        "Written by `make bench` (`bench/live.py`); all figures: `live.json`.",
        "",
        f"{results['peers']} BEAM nodes cast {results['poses_per_second']} poses a second each, of {results['bones']} "
        f"bones, for {results['seconds']} s, to a Blender. The age of a pose is the time from the "
        "cast until Blender's dependency graph is up to date with it. The BEAM node only takes the time. "
        f"Processors: {results['cpus']}; other programs ran (load {results['load'][0]:.1f} at the beginning).",
        "",
        "| age of a pose | p50 | p99 | longest |",
        "|---|--:|--:|--:|",
        f"| in a Blender without a window | {cells(blender)} |",
        *window_rows(results),
        f"| at a BEAM node | {cells(beam)} |",
        *[f"| while one peer {name}, the others | {cells(row['during'])} |" for name, row in faults.items()],
        *[f"| the same peers right before it {name} | {cells(row['without'])} |" for name, row in faults.items()],
        "",
        f"Of {blender['sent']} casts, {blender['replaced']} were replaced by a newer one. Armatures without their last "
        f"pose: {lost}. Memory of the Blender: {megabytes[0]:.0f} MB at the beginning, {megabytes[1]:.0f} MB at the "
        "end.",
        *window_text(results),
    ]
    return "\n".join(lines) + "\n"


def window_rows(results: Results) -> list[str]:
    """Return the rows of the Blender with a window, if there was one."""
    window = results.get("window")
    if window is None:
        return []
    return [
        f"| in a Blender with a window | {cells(window)} |",
        f"| the same, until the window shows the pose | {cells(window['drawn'])} |",
    ]


def window_text(results: Results) -> list[str]:
    """Return what else was measured in the Blender with a window, if there was one."""
    window = results.get("window")
    if window is None:
        return []
    ticks, calls = window["ticks_ms"], window["calls_of_a_tick_ms"]
    return [
        "",
        f"To draw the window once, without peers, took {window['drawing_ms']:.1f} ms: software draws it, without a "
        f"graphics card. While the peers cast, a tick took {ticks['p50']:.1f} ms (p50) and {ticks['p99']:.1f} ms "
        f"(p99), of which the calls took {calls['p50']:.1f} ms and {calls['p99']:.1f} ms. Of {window['sent']} casts, "
        f"{window['replaced']} were replaced by a newer one. Armatures without their last pose: "
        f"{', '.join(window['last_pose_lost']) or 'none'}.",
    ]


def cells(row: Results) -> str:
    """Return the cells of a row of the table."""
    return " | ".join(f"{row[part]:.1f} ms" for part in ("p50_ms", "p99_ms", "max_ms"))


def main() -> int:
    """Measure, print the document, and write the files. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=PEERS, metavar="N", help="BEAM nodes (default: %(default)s)")
    parser.add_argument("--bones", type=int, default=BONES, metavar="N", help="bones of each (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="N", help="seconds (default: %(default)s)")
    fault_help = "seconds with and without each fault (default: %(default)s)"
    parser.add_argument("--fault-seconds", type=int, default=FAULT_SECONDS, metavar="N", help=fault_help)
    parser.add_argument("--output", type=Path, default=Path("docs/bench"), metavar="DIR", help="folder (%(default)s)")
    options = parser.parse_args()
    results = measure(options.peers, options.bones, options.seconds, options.fault_seconds)
    text = document(results)
    print(text)
    (options.output / "live.md").write_text(text)
    (options.output / "live.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
