"""`beam-bpy serve --until-stdin-closes`: a node ends with the program that has started it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beam import COOKIE, REPOSITORY, TIMEOUT, Erl, ErlError, Output, unique

from vendor_term_codec import Atom

HANDLERS = """
import ctypes
import sys
import time

def sleep():
    print("the handler runs", flush=True)
    time.sleep(3600)

def hold_the_gil():
    print("the handler runs", flush=True)
    ctypes.PyDLL(None).sleep(3600)

def register(server):
    server.expose(lambda: "here", name="where")
    server.expose(input, name="read_line")
    server.expose(sleep)
    server.expose(hold_the_gil)
"""

OWNER = """
import subprocess
import sys
import time

owned = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)
time.sleep(float(sys.argv[1]))
"""
"""A program that starts another one and then lives for some seconds."""

Serve = Callable[..., "Served"]


class Served:
    """A process that serves, or an owner with a process that serves; both write to the same pipe."""

    def __init__(self, command: list[str], environment: dict[str, str], node: str) -> None:
        self.node = Atom(f"{node}@127.0.0.1")
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = Output(self.process)

    def close_standard_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def has_ended(self) -> bool:
        """True once nothing holds the pipe for the output any more: neither the owner nor the process that serves."""
        self.output.join()
        return self.output.over

    def end(self) -> None:
        """End what a failed test has left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with self.process:  # Waits, and closes the pipes.
            self.output.join()


@pytest.fixture
def serve(epmd_port: int, child_environment: Callable[..., dict[str, str]], tmp_path: Path) -> Iterator[Serve]:
    """Starts `beam-bpy serve --until-stdin-closes` with more arguments, for an owner that lives `owner_for` seconds."""
    started: list[Served] = []
    (tmp_path / "owner_handlers.py").write_text(HANDLERS)

    def start(*arguments: str, owner_for: float | None = None, handlers: str = "owner_handlers.py") -> Served:
        node = unique("owned")
        owner = [] if owner_for is None else [sys.executable, "-c", OWNER, str(owner_for)]
        program = [sys.executable, "-m", "beam_bpy.cli", "serve", "--until-stdin-closes"]
        options = ["--node", node, "--handlers", str(tmp_path / handlers)]
        started.append(
            Served(
                [*owner, *program, *options, *arguments],
                child_environment(BPY_BEAM_COOKIE=COOKIE, PYTHONPATH=str(REPOSITORY)),
                node,
            )
        )
        return started[-1]

    yield start
    for served in started:
        served.end()


def test_the_end_of_standard_input_stops_the_node(serve: Serve, erl: Erl) -> None:
    served = serve("--kill-after", "600")
    served.output.wait_for(" is ready")
    assert erl.eval("erpc:call(N, m, where, [])", N=served.node) == "here"
    monitored = erl.later("erlang:monitor_node(N, true), receive Down -> Down end", N=served.node)
    assert served.process.stdin is not None
    served.process.stdin.write("what the owner writes is discarded\n" * 10_000)
    served.process.stdin.flush()
    assert erl.eval("erpc:call(N, m, where, [])", N=served.node) == "here"

    served.close_standard_input()

    assert served.process.wait(TIMEOUT) == 0
    assert monitored.result(TIMEOUT) == (Atom("nodedown"), served.node)
    assert served.output.text().count("standard input has closed") == 1


@pytest.mark.parametrize("kill_after", ["0", "0.5"])
def test_a_handler_that_does_not_return(serve: Serve, erl: Erl, kill_after: str) -> None:
    served = serve("--kill-after", kill_after)
    served.output.wait_for(" is ready")
    running = erl.later("erpc:call(N, m, sleep, [], infinity)", N=served.node)
    served.output.wait_for("the handler runs")
    queued = erl.later("erpc:call(N, m, where, [], infinity)", N=served.node)

    served.close_standard_input()

    assert served.process.wait(TIMEOUT) == 0
    for answer in (running, queued):
        with pytest.raises(ErlError) as caught:
            answer.result(TIMEOUT)
        assert caught.value.reason == (Atom("erpc"), Atom("noconnection"))
    assert served.output.text().count("standard input has closed") == 1


@pytest.mark.parametrize("handler", [None, "sleep", "hold_the_gil"])
def test_the_owner_is_killed(serve: Serve, erl: Erl, handler: str | None) -> None:
    served = serve("--kill-after", "0.5", owner_for=3600)
    served.output.wait_for(" is ready")
    if handler is not None:
        erl.later("erpc:call(N, m, F, [], infinity)", N=served.node, F=Atom(handler))
        served.output.wait_for("the handler runs")

    served.process.kill()

    assert served.has_ended()


@pytest.mark.parametrize("owner_for", [0, 0.1, 0.3])
def test_the_owner_ends_while_the_node_starts(serve: Serve, owner_for: float) -> None:
    served = serve(owner_for=owner_for)

    assert served.has_ended()


@pytest.mark.parametrize("held", ["time.sleep(3600)", "ctypes.PyDLL(None).sleep(3600)"])
def test_the_owner_is_killed_while_handlers_are_loaded(serve: Serve, tmp_path: Path, held: str) -> None:
    (tmp_path / "slow_handlers.py").write_text(f"import ctypes, time\nprint('loads', flush=True)\n{held}\n")
    served = serve("--kill-after", "0.5", owner_for=3600, handlers="slow_handlers.py")
    served.output.wait_for("loads")

    served.process.kill()

    assert served.has_ended()


def test_standard_input_closes_while_handlers_are_loaded(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow_handlers.py").write_text(
        "import sys, time\nprint('loads', flush=True)\ntime.sleep(1)\ndef register(server): pass\n"
    )
    served = serve("--kill-after", "600", handlers="slow_handlers.py")
    served.output.wait_for("loads")

    served.close_standard_input()

    assert served.process.wait(TIMEOUT) == 0
    assert " is ready" not in served.output.text()


def test_the_end_of_python_hangs(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "hanging_handlers.py").write_text(
        "import time\n"
        "class Hangs:\n"
        "    def __del__(self, sleep=time.sleep):\n"
        "        print('it hangs', flush=True)\n"
        "        sleep(3600)\n"
        "hangs = Hangs()\n"
        "def register(server): pass\n"
    )
    served = serve("--kill-after", "0.5", handlers="hanging_handlers.py")
    served.output.wait_for(" is ready")

    served.close_standard_input()

    served.output.wait_for("it hangs")
    assert served.process.wait(TIMEOUT) == -signal.SIGALRM


def test_handlers_do_not_read_what_the_owner_writes(serve: Serve, erl: Erl) -> None:
    served = serve()
    served.output.wait_for(" is ready")

    with pytest.raises(ErlError) as caught:
        erl.eval("erpc:call(N, m, read_line, [])", N=served.node)

    _exception, (python_error, details), *_stack = caught.value.reason
    assert (python_error, details["type"]) == ("python_error", "EOFError")


@pytest.mark.parametrize("standard_input", ["</dev/null", "<&-"])
def test_standard_input_that_is_not_there(
    epmd_port: int, child_environment: Callable[..., dict[str, str]], standard_input: str
) -> None:
    command = f"exec '{sys.executable}' -m beam_bpy.cli serve --until-stdin-closes {standard_input}"
    done = subprocess.run(
        ["bash", "-c", command], env=child_environment(), capture_output=True, text=True, timeout=TIMEOUT
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "standard input" in done.stderr.splitlines()[-1]
