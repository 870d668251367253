"""Run the fuzzers one after the other. The exit code is 1 if a fuzzer has found an error, otherwise 0.

Environment variables: FUZZ_SECONDS is the time for each fuzzer, in seconds; default 600. FUZZ_SEED is the seed of the
random numbers; default 0, which means a new seed for each run. With the same seed, the fuzzers create the same inputs
in the same order.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import seeds

HERE = Path(__file__).resolve().parent
FINDINGS = HERE.parent / "out" / "fuzz"
PROGRESS_SECONDS = 15.0
LONGEST_INPUT = 6000
MEMORY_MB = 2048
ONE_INPUT_SECONDS = 10
GRACE_SECONDS = 120

# In the order of protocol.TARGETS.
PROTOCOL_SEEDS = (
    seeds.framing,
    seeds.fragments,
    seeds.acceptor,
    seeds.initiator,
    seeds.control_messages,
    seeds.epmd_messages,
    seeds.calls,
)

Status = re.compile(r"#(\d+)\s.*?cov: (\d+)")


def main() -> int:
    seconds = int(os.environ.get("FUZZ_SECONDS") or 600)
    seed = int(os.environ.get("FUZZ_SEED") or 0)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    protocol = [bytes((number, 7)) + seed for number, make in enumerate(PROTOCOL_SEEDS) for seed in make()]
    results = [run("codec", seeds.codec(), seconds, seed), run("protocol", protocol, seconds, seed)]
    return 0 if all(results) else 1


def run(name: str, corpus: Iterable[bytes], seconds: int, seed: int) -> bool:
    """Run one fuzzer. Return True if it found no error."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(corpus):
            Path(folder, str(number)).write_bytes(data)
        command = [sys.executable, str(HERE / f"{name}.py"), folder, *options(name, seconds, seed)]
        # The executed code depends on hashes. With a fixed hash seed, a run can be repeated.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
            try:
                return followed(name, process, time.monotonic(), seconds)
            finally:
                process.kill()


def options(name: str, seconds: int, seed: int) -> list[str]:
    return [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={ONE_INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={FINDINGS / name}-",
        "-print_final_stats=1",
    ]


def followed(name: str, process: subprocess.Popen[bytes], begin: float, seconds: int) -> bool:
    """Print a summary of the fuzzer's output until it ends. Return True if it found no error."""
    executions = coverage = 0
    shown = begin
    lines: list[str] = []
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        if match := Status.match(line):
            executions, coverage = int(match[1]), int(match[2])
        else:
            lines.append(line)
        now = time.monotonic()
        if now - begin > seconds + GRACE_SECONDS:
            process.kill()
        if now - shown >= PROGRESS_SECONDS:
            shown = now
            print(f"  {name}: {executions} executions after {now - begin:.0f} s, coverage {coverage}", flush=True)
        if line.startswith("stat::number_of_executed_units:"):
            executions = int(line.split()[-1])
    failed = process.wait() != 0
    if failed:
        print("\n".join(lines[-60:]))
        print(f"The lines above name the file with the input. To run it again: PYTHONPATH=. fuzz/{name}.py FILE")
    print(
        f"{name}: {executions} executions in {time.monotonic() - begin:.0f} s, coverage {coverage}, "
        f"errors: {int(failed)}",
        flush=True,
    )
    return not failed


if __name__ == "__main__":
    sys.exit(main())
