"""`blender --command beam_bpy serve --until-stdin-closes`: a Blender ends with the program that has started it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from blender_process import PROGRAM, Environment, seen
from erlang import ErlError, erl

TIMEOUT = 60

HANDLERS = """
import bpy
import time

def render():
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1_000_000
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    bpy.app.handlers.render_pre.append(lambda *_: print("the handler runs", flush=True))
    bpy.ops.render.render()

def sleep():
    print("the handler runs", flush=True)
    time.sleep(3600)

def register(server):
    server.expose(render)
    server.expose(sleep)
"""

OWNER = """
import subprocess
import sys
import time

owned = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(3600)
"""

Command = list[str]


class Served:
    """A Blender that serves; or an owner with its Blender, which both write to the same pipe."""

    def __init__(self, command: Command, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(TIMEOUT, self.kill_all)
        self._watchdog.start()

    def wait_for(self, end: str) -> str:
        """The first line that ends so."""
        assert self.process.stdout is not None
        line = next((line for line in self.process.stdout if line.endswith(f"{end}\n")), None)
        assert line is not None, f"{end!r} was never printed"
        return line

    def call(self, handler: str) -> "tuple[threading.Thread, list[BaseException]]":
        """Call a handler from a real erl; returns the thread that waits for its end, and what it raises."""
        node = self.wait_for(" is ready").partition(":")[0]
        raised: list[BaseException] = []

        def run() -> None:
            try:
                erl(f"erpc:call('{node}', m, {handler}, [], infinity)", self.environment)
            except (ErlError, subprocess.SubprocessError) as error:
                raised.append(error)

        caller = threading.Thread(target=run, daemon=True)
        caller.start()
        self.wait_for("the handler runs")
        return caller, raised

    def end_of_output(self, timeout: float) -> bool:
        """True if in this time nothing holds the pipe of the output any more: neither the owner nor its Blender."""
        assert self.process.stdout is not None
        reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        reader.start()
        reader.join(timeout)
        return not reader.is_alive()

    def kill_all(self) -> None:
        """End the owner and the Blender."""
        self._watchdog.cancel()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@pytest.fixture
def serve(
    own_command: Callable[..., Command], environment: Environment, folder: Path
) -> Iterator[Callable[..., Served]]:
    """Starts a Blender that serves until its standard input closes; with `owned=True`, as the child of an owner."""
    started: list[Served] = []
    handlers = folder / "owner_handlers.py"
    handlers.write_text(HANDLERS)

    def start(*arguments: str, owned: bool = False, first: Sequence[str] = ()) -> Served:
        owner = [sys.executable, "-c", OWNER] if owned else []
        command = own_command("serve", "--until-stdin-closes", "--handlers", seen(handlers), *arguments)
        if first:
            place = command.index("--command")
            command[place:place] = first
        started.append(Served([*owner, *command], environment, folder))
        return started[-1]

    yield start
    for served in started:
        served.kill_all()
        with served.process:  # Waits, and closes the pipes.
            pass


def test_the_end_of_standard_input_stops_blender(serve: Callable[..., Served]) -> None:
    served = serve("--kill-after", "600")
    served.wait_for(" is ready")

    served.process.stdin.close()

    assert served.process.wait(30) == 0


@pytest.mark.parametrize("handler", ["sleep", "render"])
def test_a_handler_that_does_not_return(serve: Callable[..., Served], handler: str) -> None:
    served = serve("--kill-after", "0.5")
    caller, raised = served.call(handler)

    served.process.stdin.close()

    assert served.process.wait(30) == 0
    caller.join(30)
    assert [error.reason for error in raised] == [("erpc", "noconnection")]


@pytest.mark.parametrize("handler", ["sleep", "render"])
def test_the_owner_is_killed(serve: Callable[..., Served], handler: str) -> None:
    served = serve("--kill-after", "600", owned=True)
    served.call(handler)

    served.process.kill()

    assert served.end_of_output(5)


def test_the_owner_is_killed_while_blender_starts(serve: Callable[..., Served], folder: Path) -> None:
    holds = "import ctypes; print('Blender starts', flush=True); ctypes.PyDLL(None).sleep(3600)"
    (folder / "slow_handlers.py").write_text(holds)
    # The bpy module has no command line, and opens no file before its handlers are loaded.
    slow = {"first": ["--python-expr", holds]} if PROGRAM else {}
    served = serve("--handlers", seen(folder / "slow_handlers.py"), owned=True, **slow)
    served.wait_for("Blender starts")

    served.process.kill()

    assert served.end_of_output(5)
