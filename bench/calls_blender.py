"""Measure calls that Blender's main thread answers, without a window (the bpy module) and with a window.

The results are compared with a BEAM node. Two environment variables select the Blender with a window. BLENDER is a
program of this system; the benchmark starts a virtual screen for it (Xvfb). BLENDER_ROOT is the folder of another
system, such as the one that `tools/debian13 gui` prints. The extension comes from dist/ (`make zip`).

Each round measures all nodes one after the other. A ratio is the median of the ratios of all rounds.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from calls_rig import HERE, TIMEOUT, Caller, Results, Rig, UsageError, cpu_time, figure, main, percentile, ratio

from tests.gui.window import HEIGHT, WIDTH, Screen, System

ROUNDS = 7
TURN = 0.3
QUIET = 1.0
QUIET_CALLS = 30
IDLE = 10.0
SETTLE = 3.0
REPORTED = 15.0
"""Seconds to wait until the message about a new connection has left the status bar, because it causes redraws."""

BESIDE = {"modal": "a modal tool with a timer of 10 ms, events", "playback": "an animation that is played, frames"}
BESIDE_TIME = 5.0

SHAPES = {
    "sequential": ("sequential", "echo", 1),
    "callers_8": ("8 callers", "echo", 8),
    "callers_64": ("64 callers", "echo", 64),
}
MOVE = "move"
SHAPES_AND_MOVE = {**SHAPES, MOVE: ("sequential, moves an object", MOVE, 1)}
"""Blender redraws the window after each move, and for some time after the last one. So moves are measured last."""

LEAST = {**dict.fromkeys(SHAPES, 30), MOVE: 300}
"""The least number of calls in one run. A run with fewer moves could end before the window is redrawn."""


class Window:
    """A Blender with a window, in which the extension is installed and bench/calls_window.py runs.

    Args:
        rig: the rig; its folder is below the root of the system.
        system: the system that has the Blender.
        name: the short name of the node.
        tree: the checkout of this repository whose bench/calls_window.py runs.
        package: the zip file of the extension; by default the one in dist/.
        modules: files and folders that the scripts import.
        script: another script, which runs after bench/calls_window.py.
    """

    def __init__(
        self,
        rig: Rig,
        system: System,
        *,
        name: str = "bench_window",
        tree: Path = HERE.parent,
        package: Path | None = None,
        modules: Iterable[Path] = (),
        script: Path | None = None,
    ) -> None:
        self._folder = rig.folder / name
        self._folder.mkdir()
        self._system = system
        self._environment = {
            **{name: rig.environment[name] for name in ("PATH", "LC_ALL", "ERL_EPMD_PORT", "BPY_BEAM_COOKIE")},
            "HOME": system.seen(self._folder),
            "BLENDER_USER_RESOURCES": system.seen(self._folder / "blender"),
            "BPY_BEAM_NODE": name,
            "BENCH_ORDER": system.seen(self._folder / "order"),
        }
        self._install(package or built_package())
        scripts = [tree / "bench" / "calls_window.py", *([script] if script else [])]
        for path in (tree / "bench" / "calls_server.py", *scripts, *modules):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, self._folder / path.name)
        self._screen = Screen(system)
        command = system.command(system.blender, "--python-use-system-env")
        command += ["--window-geometry", "0", "0", str(WIDTH), str(HEIGHT)]
        for path in scripts:
            command += ["--python", system.seen(self._folder / path.name)]
        own = {"DISPLAY": self._screen.display, "LIBGL_ALWAYS_SOFTWARE": "1"}
        with (self._folder / "blender.log").open("w") as log:
            self.process = subprocess.Popen(
                command,
                env={**self._environment, **own},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start_server(self) -> tuple[str, int]:
        """Start the extension's server. Return the node name, and the port of the add-on with a plain socket."""
        (self._folder / "order").write_text("start")
        deadline = time.monotonic() + TIMEOUT
        started = self._folder / "started"
        while not started.exists() or not started.read_text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"Blender did not start the server:\n{(self._folder / 'blender.log').read_text()}")
            time.sleep(0.1)
        node, port = started.read_text().split()
        return node, int(port)

    def stop(self) -> None:
        """End Blender."""
        self.process.kill()
        self.process.wait(20)
        self._screen.stop()

    def _install(self, package: Path) -> None:
        copied = Path(shutil.copy(package, self._folder))
        system = self._system
        arguments = ["extension", "install-file", "-r", "user_default", "-e", system.seen(copied)]
        command = system.command(system.blender, "--command", *arguments)
        subprocess.run(command, env=self._environment, cwd="/", check=True, capture_output=True, timeout=120)


def built_package() -> Path:
    """The zip file of the extension in dist/."""
    package = package_in(HERE.parent / "dist", HERE.parent)
    if not package.exists():
        raise RuntimeError(f"{package.name} is not in dist/: run 'make zip' first")
    return package


def package_in(folder: Path, tree: Path) -> Path:
    """The zip file that tools/build_zip.py of a checkout makes in a folder."""
    fields = tomllib.loads((tree / "blender_manifest.toml").read_text(encoding="utf-8"))
    return folder / f"{fields['id']}-{fields['version']}.zip"


@dataclass
class Target:
    """A node, and the results of its measurements."""

    label: str
    node: str
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def turn(self, caller: Caller, shape: str) -> float:
        """Measure the calls per second. The first run also determines the number of calls for the next runs."""
        _label, function, callers = SHAPES_AND_MOVE[shape]
        if shape not in self.counts:
            rate = caller.rate("erpc", self.node, function, callers, LEAST[shape])
            self.counts[shape] = max(LEAST[shape], round(rate * TURN / callers))
        return caller.rate("erpc", self.node, function, callers, self.counts[shape])


def idle(pids: dict[str, int]) -> dict[str, float]:
    """Measure the processor time of each process while nothing happens, as a share of one processor."""
    time.sleep(SETTLE)
    before = {name: cpu_time(pid) for name, pid in pids.items()}
    time.sleep(IDLE)
    return {name: round((cpu_time(pid) - before[name]) / IDLE, 4) for name, pid in pids.items()}


def idle_states(rig: Rig, window: Window, bpy_pid: int) -> tuple[Results, str, int, Caller]:
    """Measure the processor time of an idle Blender: without the server, with it, and with one idle peer.

    Return the shares, the node name of the Blender with a window, the port of its socket add-on, and the caller.
    """
    pids = {"window": window.process.pid}
    wait_for_window(window)
    off = idle(pids)
    node, port = window.start_server()
    pids["headless"] = bpy_pid
    alone = idle(pids)
    caller = rig.beam("bench_caller")
    for peer in (node, "bench_bpy@127.0.0.1"):
        caller.rate("erpc", peer, "echo", 1, 1)
    time.sleep(REPORTED)
    connected = idle(pids)
    return {"server_off": off, "server_on": alone, "one_idle_peer": connected}, node, port, caller


def wait_for_window(window: Window) -> None:
    """Wait until Blender has drawn its window. Then it uses little processor time."""
    deadline = time.monotonic() + TIMEOUT
    busy = True
    time.sleep(4)
    while busy and time.monotonic() < deadline:
        before = cpu_time(window.process.pid)
        time.sleep(1)
        busy = cpu_time(window.process.pid) - before > 0.5


def ticks(caller: Caller, node: str) -> list[float]:
    """Return the time between two ticks of the window since `begin_ticks`: p50 and p99, in milliseconds."""
    found: list[float] = json.loads(caller.text(node, "end_ticks"))
    return found


def measure(rounds: int) -> Results:
    """Measure everything in this module."""
    if not {"BLENDER", "BLENDER_ROOT"} & set(os.environ):
        raise UsageError("set BLENDER to a Blender, or BLENDER_ROOT to what 'tools/debian13 gui' prints")
    system = System.from_environment()
    with Rig(system.root / "tmp") as rig:
        bpy_program = rig.python("bench_bpy", "bpy")
        window = Window(rig, system)
        try:
            idling, node, port, caller = idle_states(rig, window, bpy_program.process.pid)
            rig.beam("bench_beam")
            modal = {caller.text(node, "modal")}
            targets = {
                "beam": Target("BEAM", "bench_beam@127.0.0.1"),
                "headless": Target("Blender without a window", bpy_program.node),
                "window": Target("Blender in a window", node),
            }
            tick_times = rates(caller, targets, SHAPES, rounds)
            tick_times["idle"] = idle_ticks(caller, node)
            quiet = after_quiet(caller, targets)
            plain = socket_rate(port)
            modal.add(caller.text(node, "modal"))
            tick_times |= rates(caller, targets, [MOVE], rounds)
            energy = busy_states(caller, node, window.process.pid)
            others = {what: beside(caller, node, what) for what in BESIDE}
        finally:
            window.stop()
    results = {name: result_of(target, targets["beam"]) for name, target in targets.items()}
    sequential = median(targets["window"].rates["sequential"])
    return {
        "rounds": rounds,
        "targets": results,
        "ticks_ms": tick_times,
        "modal_operators": sorted(modal - {"none"}),
        "quiet": quiet,
        "socket_addon": {"per_second": round(plain), "window_ratio": round(sequential / plain, 1)},
        "idle_cpu": idling,
        "busy_cpu": energy,
        "beside": others,
    }


def rates(caller: Caller, targets: dict[str, Target], shapes: Iterable[str], rounds: int) -> dict[str, list[float]]:
    """Measure all shapes for all targets.

    Return the times between two ticks of the window during its calls, for each shape: p50 and p99, in milliseconds.
    """
    window = targets["window"]
    gaps: dict[str, list[list[float]]] = {shape: [] for shape in shapes}
    for target in targets.values():
        for shape in gaps:
            target.turn(caller, shape)
    for _ in range(rounds):
        for shape, rows in gaps.items():
            for target in targets.values():
                if target is window:
                    caller.value(window.node, "begin_ticks")
                target.rates.setdefault(shape, []).append(target.turn(caller, shape))
                if target is window:
                    rows.append(ticks(caller, window.node))
    return {shape: [round(median(column), 2) for column in zip(*rows, strict=True)] for shape, rows in gaps.items()}


def idle_ticks(caller: Caller, node: str) -> list[float]:
    """Measure the times between two ticks of the window while there are no calls."""
    time.sleep(1)
    caller.value(node, "begin_ticks")
    time.sleep(2)
    return [round(value, 2) for value in ticks(caller, node)]


def busy_states(caller: Caller, node: str, pid: int) -> dict[str, float]:
    """Measure the processor time of the window, as a share of one processor.

    The calls cause no redraw. There are four calls per second, or calls without a pause.
    """
    time.sleep(SETTLE)
    return {
        "now_and_then": share(pid, lambda: caller.each("erpc", node, "echo", round(4 * IDLE), 0.25)),
        "always": share(pid, lambda: caller.rate("erpc", node, "echo", 1, 20_000)),
    }


def share(pid: int, work: Callable[[], object]) -> float:
    """Run `work`. Return the processor time of a process during that time, as a share of one processor."""
    before, begin = cpu_time(pid), time.monotonic()
    work()
    return round((cpu_time(pid) - before) / (time.monotonic() - begin), 4)


def beside(caller: Caller, node: str, what: str) -> dict[str, list[float]]:
    """Measure how calls slow down other work in the window, without calls, with one caller and with 64 callers.

    Return the number of events or frames per second, and the p99 of the time between them, in milliseconds.
    """
    found = {}
    for callers in (0, 1, 64):
        caller.value(node, f"begin_{what}")
        begin = time.monotonic()
        while time.monotonic() - begin < BESIDE_TIME:
            if callers:
                caller.rate("erpc", node, "echo", callers, 100)
            else:
                time.sleep(BESIDE_TIME)
        rate, late = json.loads(caller.text(node, f"end_{what}"))
        found[str(callers)] = [round(rate, 1), round(late, 1)]
        time.sleep(SETTLE)
    return found


def after_quiet(caller: Caller, targets: dict[str, Target]) -> Results:
    """Measure single calls after a second without calls.

    Return the median and the maximum for each target, in milliseconds, and the ratio to the BEAM.
    """
    for _ in range(QUIET_CALLS):
        for target in targets.values():
            # The calls to the other targets are in between, so each target has had no calls for a second.
            target.latencies += caller.each("erpc", target.node, "echo", 1, QUIET / len(targets))
    base = targets["beam"].latencies
    return {
        name: {
            "p50_ms": round(1000 * median(target.latencies), 3),
            "max_ms": round(1000 * max(target.latencies), 3),
            "ratio": round(ratio(target.latencies, base), 2),
        }
        for name, target in targets.items()
    }


def socket_rate(port: int) -> float:
    """Measure the sequential calls per second to the add-on with a plain socket, in the same window."""
    times = []
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock, sock.makefile("rb") as lines:
        time.sleep(1.0)
        for number in range(200):
            begin = time.perf_counter()
            sock.sendall(json.dumps({"value": number}).encode() + b"\n")
            lines.readline()
            times.append(time.perf_counter() - begin)
    return 1 / percentile(times, 0.5)


def result_of(target: Target, beam: Target) -> Results:
    """Return the rates of one node, and their ratios to those of the BEAM."""
    result: dict[str, Any] = {"label": target.label}
    for shape, own in target.rates.items():
        result[shape] = {"per_second": round(median(own)), "ratio": round(ratio(own, beam.rates[shape]), 3)}
    return result


def report(results: Results) -> str:
    """Return this part of the document, in Markdown."""
    targets, gaps = results["targets"], results["ticks_ms"]
    labels = [label for label, _function, _callers in SHAPES_AND_MOVE.values()]
    lines = [f"| `erpc:call` | {' | '.join(labels)} | after a second |", "|---|" + "--:|" * (len(labels) + 1)]
    for name, target in targets.items():
        rates_ = [target[shape] for shape in SHAPES_AND_MOVE]
        cells = [f"{figure(rate['ratio'])} x ({figure(rate['per_second'])})" for rate in rates_]
        quiet = results["quiet"][name]
        lines.append(f"| {target['label']} | {' | '.join(cells)} | {figure(quiet['ratio'])} x ({quiet['p50_ms']} ms) |")
    tick_cells = [f"{p50} / {p99}" for p50, p99 in (gaps[shape] for shape in (*SHAPES_AND_MOVE, "idle"))]
    lines.append(f"| the window's ticks meanwhile, ms, p50 / p99 | {' | '.join(tick_cells)} |")
    cpu, busy = results["idle_cpu"], results["busy_cpu"]
    plain = results["socket_addon"]
    shares = [
        "| processor time | in a window | without a window |",
        "|---|--:|--:|",
        f"| the server is off | {percent(cpu['server_off']['window'])} | |",
        f"| it runs, nobody is connected | {percent(cpu['server_on']['window'])} "
        f"| {percent(cpu['server_on']['headless'])} |",
        f"| one idle peer | {percent(cpu['one_idle_peer']['window'])} | {percent(cpu['one_idle_peer']['headless'])} |",
        f"| a call four times a second | {percent(busy['now_and_then'])} | |",
        f"| a call after the other | {percent(busy['always'])} | |",
    ]
    besides = ["| in a second / 99 of 100 within | no calls | one caller | 64 callers |", "|---|--:|--:|--:|"]
    for what, label in BESIDE.items():
        row = results["beside"][what]
        besides.append(f"| {label} | {' | '.join(f'{rate} / {late} ms' for rate, late in row.values())} |")
    parts = [
        "## Calls to Blender's main thread",
        "Calls per second as a multiple of what the BEAM's node does in the same run; the last column is a time, the "
        f"median of {QUIET_CALLS} single calls, each after a second in which that node was not called. The window is "
        "drawn by software here, without a graphics card: a tick that draws takes that long, and an object that moves "
        "is drawn in each.",
        "\n".join(lines),
        *modal_note(results["modal_operators"]),
        "An add-on with a plain socket that answers one request of JSON per tick, in the same window: "
        f"{plain['per_second']} sequential calls/s. "
        f"The extension answers {figure(plain['window_ratio'])} times as many.",
        f"Of one processor, over {IDLE:g} s in which nothing is drawn:",
        "\n".join(shares),
        "What else runs in the window meanwhile:",
        "\n".join(besides),
    ]
    return "\n\n".join(parts)


def modal_note(found: list[str]) -> list[str]:
    """Return a note for the document if modal operators ran in the window during the measurement."""
    return [f"A modal operator ran in the window ({', '.join(found)}): the figures are too low."] if found else []


def percent(share: float) -> str:
    """Return a share of one processor as text."""
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main(__doc__, ROUNDS, "turns of each node (%(default)s)", measure, report))
