"""Handlers that do harm in a Blender without a window: none costs more than its own call, and the node goes on.

tests/blender/harmful_handlers.py has the table of cases; tests/interop and tests/gui run it, too.
"""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import blender_process
from blender_process import PROGRAM, Environment, seen

from tests.blender.harm_calls import costly
from tests.blender.harmful_handlers import calls_in_blender, own_faults


def test_no_handler_costs_more_than_its_call(
    own_command: Callable[..., list[str]], environment: Environment, folder: Path
) -> None:
    handlers = seen(blender_process.tests_below(folder) / "harmful_handlers.py")
    log = folder / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            own_command("serve", "--handlers", handlers),
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as process,
    ):
        watchdog = threading.Timer(170, process.kill)
        watchdog.start()
        assert process.stdout is not None
        ready = next((line for line in process.stdout if line.endswith(" is ready\n")), "")
        assert ready, log.read_text()
        # Blender prints to this pipe, too.
        drained = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        try:
            cases = calls_in_blender(program=bool(PROGRAM))
            assert costly(ready.partition(":")[0], cases, environment) == {}, log.read_text()[-4000:]
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            watchdog.cancel()
            drained.wait(10)
    assert own_faults(log.read_text()) == []
