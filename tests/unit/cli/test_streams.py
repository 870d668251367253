"""Programs of their own whose standard output or standard error cannot be written."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import COOKIE, NAME, TIMEOUT, Client, eventually

from beam_bpy.epmd.client import ask_and_wait
from beam_bpy.protocol import epmd

REPOSITORY = Path(__file__).parents[3]
NODE = f"{NAME}@127.0.0.1"
COMMAND = f'"{sys.executable}" -m beam_bpy.cli'

BROKEN = {
    "a pipe that is closed": "{command} > >(exec 0<&-)",
    "a full disk": "{command} > /dev/full",
    "closed": "{command} >&-",
    "standard error on a full disk": "{command} 2> /dev/full",
    "standard error closed": "{command} 2>&-",
    "both closed": "{command} >&- 2>&-",
    "all three closed": "{command} <&- >&- 2>&-",
    "both on a full disk": "{command} > /dev/full 2>&1",
}
"""Commands of bash."""

HANDLERS = """
import sys

def register(server):
    server.register_handler("say", lambda args: print("x" * args[0]) or sys.stdout.flush())
"""


def bash(line, environment, **options):
    return subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), "BPY_BEAM_COOKIE": COOKIE}


def port_of_the_node():
    def found():
        try:
            return dict(epmd.take_names(ask_and_wait("127.0.0.1", epmd.list_names()))).get(NAME)
        except OSError:
            return None

    eventually(found)
    return found()


def catches_sigterm(pid):
    """Whether a process has a signal handler for SIGTERM (proc(5), SigCgt)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1)


class TestServe:
    @pytest.mark.parametrize("redirection", BROKEN.values(), ids=BROKEN)
    def test_it_serves_and_ends_with_0(self, environment, tmp_path, redirection):
        handlers = tmp_path / "job.py"
        handlers.write_text(HANDLERS)
        command = f'{COMMAND} serve --node {NAME} --handlers "{handlers}"'
        process = bash(redirection.format(command=command), environment)
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()

        class Server:
            port = port_of_the_node()

        with Client(Server) as client:
            client.socket.settimeout(TIMEOUT)
            for size in (1, 10_000):
                assert client.call("say", size) is None
        # The node answers before it is ready, and standard output cannot tell.
        eventually(lambda: catches_sigterm(process.pid))
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=TIMEOUT)
        watchdog.cancel()

        assert process.returncode == 0
        assert "Traceback" not in err
        assert "Exception ignored" not in err
        if "2>" not in redirection:
            assert len([line for line in err.splitlines() if "standard output" in line]) == 1


class TestOthers:
    @pytest.mark.parametrize("redirection", BROKEN.values(), ids=BROKEN)
    def test_a_call_fails_if_nobody_can_read_its_value(self, server, environment, redirection):
        process = bash(redirection.format(command=f"{COMMAND} call {NODE} m echo 1"), environment)
        out, err = process.communicate(timeout=TIMEOUT)

        if " > " in redirection or ">&-" in redirection.replace("2>&-", ""):
            assert (process.returncode, out) == (1, "")
            assert len(err.splitlines()) == (0 if "2>" in redirection else 1)
        else:
            assert (process.returncode, out, err) == (0, "[1]\n", "")

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("nodes", 1),
            (f"ping {NODE}", 1),
            (f"health {NODE}", 1),
            ("cookie", 1),
            ("--version", 0),
            ("call --help", 0),
            ("dance", 2),
        ],
    )
    def test_the_exit_code_of_every_command(self, server, environment, arguments, code):
        process = bash(f"{COMMAND} {arguments} > /dev/full", environment)
        _out, err = process.communicate(timeout=TIMEOUT)

        assert process.returncode == code
        assert "Traceback" not in err
        assert "Exception ignored" not in err
