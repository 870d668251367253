"""Poses in each frame, in a Python program with bpy: the measurement of bench/live.py in short, and the example."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from blender_process import REPOSITORY, Environment
from erlang import erl, program

TIMEOUT = 180

MEGABYTE = 2**20


def test_each_peer_sees_its_last_pose_and_nothing_grows(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "bench" / "live.py"), "--peers", "3", "--bones", "16"]
    command += ["--seconds", "4", "--fault-seconds", "3", "--output", str(tmp_path)]
    own = {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=TIMEOUT
    )
    results: dict[str, Any] = json.loads((tmp_path / "live.json").read_text())
    blender, faults = results["blender"], results["faults"]
    assert blender["poses"] + blender["replaced"] == blender["sent"] > 0
    assert results["beam"]["poses"] > 0
    assert blender["last_pose_lost"] == []
    assert [row["during"]["last_pose_lost"] for row in faults.values()] == [[]] * 3
    assert blender["memory"]["end"] - blender["memory"]["begin"] < 10 * MEGABYTE


def test_the_example_plays_a_motion(tmp_path: Path, environment: Environment) -> None:
    handlers = ["--handlers", "scene_handlers", "--handlers", str(REPOSITORY / "bench" / "live_handlers.py")]
    command = [sys.executable, "-m", "beam_bpy.cli", "serve", *handlers, "--until-stdin-closes"]
    own = {"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
    with subprocess.Popen(
        command, env={**environment, **own}, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = next(line for line in process.stdout if line.endswith(" is ready\n"))
            node = ready.partition(":")[0]
            erl(f"erpc:call('{node}', bench, add_rigs, [5, 40], 60000)", environment)
            play = [program("elixir"), str(REPOSITORY / "examples" / "play_motion.exs"), node, "4", "2"]
            output = subprocess.run(
                play,
                env={**environment, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT,
            ).stdout
            assert "4 processes sent 480 poses, " in output
            replaced = re.search(r"^(\d+) of them were replaced by a newer one$", output, re.MULTILINE)
            assert replaced is not None
            health = erl(f"erpc:call('{node}', beam_bpy, health, [], 60000)", environment)
            assert health["failures"] == 0
            assert health["replaced"] == int(replaced[1])
        finally:
            process.stdin.close()
            process.wait(60)
