"""Runs the fuzzers, one after the other, and ends with 1 if one of them found something.

The environment says for how long: FUZZ_SECONDS for each (600 by default), and with FUZZ_SEED from which random number
on (0, the default, is another one each time). With the same seed they make the same inputs in the same order.
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

# The order is that of protocol.TARGETS.
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
    """Run one fuzzer; whether it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(corpus):
            Path(folder, str(number)).write_bytes(data)
        command = [sys.executable, str(HERE / f"{name}.py"), folder, *options(name, seconds, seed)]
        # Hashes are part of what is executed, so they must not differ from run to run.
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
    """Show what the fuzzer prints, in short, until it ends; whether it found nothing."""
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
        print(f"The input is in the file named above; to run it again: fuzz/{name}.py FILE, with PYTHONPATH=.")
    print(
        f"{name}: {executions} executions in {time.monotonic() - begin:.0f} s, coverage {coverage}, "
        f"exceptions other than the documented ones: {int(failed)}",
        flush=True,
    )
    return not failed


if __name__ == "__main__":
    sys.exit(main())
