"""Common code of the call benchmarks: start programs, read the memory and processor time of a process, compute medians.

All programs of a run use an epmd of their own, and end with the `Rig`.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
COOKIE = "bench_calls"
TIMEOUT = 60.0
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")

Results = dict[str, Any]


class UsageError(Exception):
    """Something that the measurement needs is missing. The message is a sentence for the user."""


class Program:
    """A child process. It prints one line when it is ready, and then answers each line with a line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = self.read()

    @property
    def node(self) -> str:
        """The node name, if the program is a node."""
        return self.said.split()[0]

    @property
    def port(self) -> int:
        """The TCP port of the program, if it prints one."""
        return int(self.said.split()[1])

    def ask(self, *words: object) -> str:
        """Send a line, and return the line of the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """Return the next line of the program's output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.process.args!r} has ended; what it said stands above")
        return line

    def stop(self) -> None:
        """End the program. All these programs end when their standard input ends."""
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


PARTS = ("parse", "foreach_set", "update")
"""The parts of an upload inside Blender."""


class Upload(NamedTuple):
    """The figures of an upload: bytes sent, seconds of the whole upload, and seconds of each part in Blender."""

    size: int
    seconds: float
    parts: dict[str, float]


class Caller(Program):
    """The BEAM node that makes the calls; it runs bench/calls_beam.erl."""

    def rate(self, kind: str, node: str, function: str, callers: int, count: int, size: int = 0) -> float:
        """Measure the calls per second of `callers` processes that make `count` calls each."""
        (took,) = self._seconds("rate", kind, node, function, callers, count, size)
        return callers * count / took

    def each(self, kind: str, node: str, function: str, count: int, pause: float = 0.0) -> list[float]:
        """Measure the seconds of each of `count` calls. Before each call there are `pause` seconds without calls."""
        return self._seconds("each", kind, node, function, round(pause * 1000), count)

    def upload(self, node: str, vertices: Path, quads: Path) -> Upload:
        """Upload a mesh as binaries."""
        return self._upload("upload", node, vertices, quads)

    def upload_lists(self, node: str, vertices: Path, quads: Path) -> Upload:
        """Upload a mesh as lists of numbers. The time to create the lists is not measured."""
        return self._upload("upload_lists", node, vertices, quads)

    def upload_json(self, node: str, port: int, vertices: Path, quads: Path) -> Upload:
        """Upload a mesh as JSON over the socket of `json_mesh`. The time to write the JSON is measured, too."""
        return self._upload("upload_json", node, port, vertices, quads)

    def move(self, node: str, vertices: Path) -> float:
        """Move the vertices of the uploaded mesh. Return the seconds of the call."""
        (took,) = self._seconds("move", node, vertices)
        return took

    def cast(self, node: str, function: str) -> None:
        """Call a handler without arguments, and do not wait for its reply."""
        self.ask("cast", node, function)

    def value(self, node: str, function: str) -> int:
        """Call a handler without arguments. Return its result, an integer."""
        return int(self.ask("value", node, function))

    def text(self, node: str, function: str) -> str:
        """Call a handler without arguments. Return its result, a line of text."""
        return self.ask("text", node, function)

    def _upload(self, *words: object) -> Upload:
        size, *times = self._integers(*words)
        whole, *parts = [time / 1e9 for time in times]
        return Upload(size, whole, dict(zip(PARTS, parts, strict=True)))

    def _seconds(self, *words: object) -> list[float]:
        return [nanoseconds / 1e9 for nanoseconds in self._integers(*words)]

    def _integers(self, *words: object) -> list[int]:
        answer = self.ask(*words)
        try:
            return [int(word) for word in answer.split()]
        except ValueError:
            raise RuntimeError(f"the calling node failed at {words!r}: {answer}") from None


class Rig:
    """The folder, the epmd and the programs of a run. All are removed or ended at the end of the `with` block."""

    def __init__(self, folder_in: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="beam-bpy-bench-", dir=folder_in))
        port = free_port()
        own = {"ERL_EPMD_PORT": str(port), "HOME": str(self.folder), "BPY_BEAM_COOKIE": COOKIE, "LC_ALL": "C.UTF-8"}
        own["ERL_CRASH_DUMP"] = str(self.folder / "erl_crash.dump")
        self.environment = {**os.environ, **own, "PYTHONPATH": str(HERE.parent)}
        for variable in ("BPY_BEAM_NODE", "BPY_BEAM_HOST", "BPY_BEAM_PORT"):
            self.environment.pop(variable, None)
        self._programs: list[Program] = []
        self._compiled = False
        self._epmd = subprocess.Popen(
            ["epmd", "-port", str(port), "-address", "127.0.0.1"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until_open(port)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in reversed(self._programs):
            program.stop()
        self._epmd.terminate()
        self._epmd.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def beam(self, name: str) -> Caller:
        """Start a BEAM node."""
        if not self._compiled:
            source = str(HERE / "calls_beam.erl")
            subprocess.run(["erlc", "-Werror", "-o", str(self.folder), source], check=True, timeout=60)
            self._compiled = True
        command = ["erl", "-noshell", "-hidden", "-name", f"{name}@127.0.0.1", "-setcookie", COOKIE]
        command += ["-start_epmd", "false", "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        caller = Caller([*command, "-pa", str(self.folder), "-s", "calls_beam", "main"], self.environment)
        self._programs.append(caller)
        return caller

    def python(self, name: str, mode: str, *options: str, tree: Path = HERE.parent) -> Program:
        """A node of ours; see bench/calls_server.py.

        Args:
            name: its short name.
            mode: how it runs handlers.
            options: more arguments of that program.
            tree: the checkout of this repository whose code it runs.
        """
        command = [sys.executable, str(tree / "bench" / "calls_server.py"), name, mode, *options]
        return self.program(command, {"PYTHONPATH": str(tree)})

    def c_node(self, name: str) -> Program:
        """Compile and start a C node that uses erl_interface."""
        (interface,) = Path("/usr/lib/erlang/lib").glob("erl_interface-*")
        target = str(self.folder / "cnode")
        paths = [f"-I{interface}/include", f"-L{interface}/lib"]
        command = ["cc", "-O2", "-pthread", "-Wall", "-Werror", *paths, "-o", target, str(HERE / "cnode.c"), "-lei"]
        subprocess.run(command, check=True, timeout=60)
        return self.program([target, name, COOKIE])

    @contextlib.contextmanager
    def kept_awake(self) -> Iterator[None]:
        """Keep the processors from entering an idle state in the `with` block; see bench/awake.py."""
        count = os.cpu_count() or 1
        programs = [Program([sys.executable, str(HERE / "awake.py")], self.environment) for _ in range(count)]
        try:
            yield
        finally:
            for program in programs:
                program.stop()

    def program(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> Program:
        """Any other program that says when it is ready and ends with its standard input.

        Args:
            command: the command that starts it.
            variables: environment variables that differ from those of the rig.
        """
        program = Program(command, {**self.environment, **(variables or {})})
        self._programs.append(program)
        return program


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until_open(port: int) -> None:
    """Wait until a program listens on a port of this computer."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def cpu_time(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def percentile(values: Sequence[float], part: float) -> float:
    """Return a percentile of the values. `part` is a share, such as 0.99 for the 99th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of ours / theirs over all rounds."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def figure(number: float) -> str:
    """Return a number as text: two significant digits, or all digits before the decimal point."""
    return f"{number:,.0f}".replace(",", " ") if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def main(
    document: str | None, rounds: int, turns: str, measure: Callable[[int], Results], report: Callable[[Results], str]
) -> int:
    """Run a benchmark program: parse the command line, measure, and print the results. Return the exit code.

    Args:
        document: the description of the program for `--help`.
        rounds: the default of `--rounds`.
        turns: the help text of `--rounds`.
        measure: takes the number of rounds and returns the figures.
        report: converts the figures to a part of the document.
    """
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=turns)
    parser.add_argument("--json", action="store_true", help="print the figures for programs instead of the table")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least one")
    try:
        results = measure(options.rounds)
    except UsageError as error:
        parser.error(str(error))
    print(json.dumps(results, indent=1) if options.json else report(results))
    return 0
