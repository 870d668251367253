"""The end of the main program: one that fails ends with its server, one that has run to its end goes on serving."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import COOKIE, NAME, TIMEOUT, Client, eventually

from beam_bpy import BeamServer

ROOT = Path(__file__).parents[2]

FRAME = """
import atexit, asyncio, multiprocessing, os, signal, sys, threading
from beam_bpy import BeamServer

class Problem(Exception): pass

def started(name={name!r}, **options):
    server = BeamServer(name, {cookie!r}, **options)
    server.register_handler("echo", lambda args: args)
    server.register_handler("stop", lambda args: server.stop())
    assert server.start(), server.last_error
    return server

def told():
    "Say that everything runs, and wait until the test has looked at it."
    print(*sys.argv[1:], flush=True)
    sys.stdin.readline()

def ready(server):
    print(server.port, flush=True)
    sys.stdin.readline()

def fail(error):
    raise error
"""


class Program:
    """A Python program that has started a server."""

    def __init__(self, text, arguments=(), *, name=NAME):
        text = FRAME.format(name=name, cookie=COOKIE) + text
        command = [sys.executable, *arguments] if arguments else [sys.executable, "-c", text]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.port = int(self.process.stdout.readline() or self.process.communicate()[1])

    def client(self, name="caller@127.0.0.1"):
        return Client(SimpleNamespace(port=self.port), name)

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), TIMEOUT):
            return True

    def go_on(self):
        """Let the main program continue."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ended(self):
        """Wait for the end; returns the exit code and standard error."""
        _output, errors = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, errors

    def assert_ended_well(self):
        code, errors = self.ended()
        assert code == 0, errors
        assert "Traceback" not in errors
        assert "Exception ignored" not in errors


@pytest.fixture
def run():
    """Run programs, which are killed when the test ends."""
    programs = []

    def run(*args, **options):
        programs.append(Program(*args, **options))
        return programs[-1]

    yield run
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            program.process.terminate()
        program.process.communicate()


@pytest.fixture(autouse=True)
def epmd():
    """The epmd of the programs, which outlives them."""
    server = BeamServer(f"{NAME}epmd", COOKIE)
    assert server.start(), server.last_error
    yield
    server.stop()


def assert_name_is_free(name=NAME):
    server = BeamServer(name, COOKIE)
    assert server.start(), server.last_error
    server.stop()


ENDS = {
    "exception": ('fail(Problem("broken"))', 1, "Problem: broken"),
    "exit with a number": ("sys.exit(7)", 7, ""),
    "exit without": ("sys.exit()", 0, ""),
    "exit with a sentence": ('sys.exit("no way")', 1, "no way"),
    "exception in a with block": ('with open(os.devnull): fail(Problem("broken"))', 1, "Problem: broken"),
    "exception in a finally block": ('try: fail(Problem("one"))\nfinally: fail(Problem("two"))', 1, "Problem: two"),
    "exception after one that was caught": (
        'try: fail(Problem("one"))\nexcept Problem: pass\nfail(Problem("two"))',
        1,
        "Problem: two",
    ),
    "exit in a function": ("def main():\n  sys.exit(5)\nmain()", 5, ""),
}


class TestFailedProgram:
    @pytest.mark.parametrize("daemon", [False, True])
    @pytest.mark.parametrize("end", ENDS)
    def test_it_ends_as_without_a_server(self, run, end, daemon):
        statement, code, text = ENDS[end]
        program = run(f"ready(started(daemon={daemon}))\n{statement}")

        with program.client() as client:
            assert client.call("echo", 1) == [1]
            program.go_on()
            assert client.closed()

        exit_code, errors = program.ended()
        assert exit_code == code
        assert text in errors
        assert errors.count("Traceback") == ENDS[end][0].count("Problem") - ENDS[end][0].count("except Problem") * 2
        assert_name_is_free()

    @pytest.mark.parametrize("form", ["script", "module", "package"])
    def test_in_each_form_of_a_program(self, run, tmp_path, monkeypatch, form):
        text = FRAME.format(name=NAME, cookie=COOKIE) + "ready(started())\nsys.exit(9)"
        (tmp_path / "package_of_a_test").mkdir()
        (tmp_path / "package_of_a_test" / "__main__.py").write_text(text)
        (tmp_path / "module_of_a_test.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        arguments = {
            "script": ["module_of_a_test.py"],
            "module": ["-m", "module_of_a_test"],
            "package": ["-m", "package_of_a_test"],
        }[form]
        program = run("", arguments)
        program.go_on()

        assert program.ended()[0] == 9

    def test_a_hook_of_the_program_sees_the_exception_once(self, run):
        program = run(
            "sys.excepthook = lambda kind, error, trace: print('seen', error, file=sys.stderr)\n"
            "ready(started())\nfail(Problem('mine'))"
        )
        program.go_on()

        assert program.ended() == (1, "seen mine\n")

    def test_a_server_of_another_thread(self, run):
        program = run(
            "servers = []\nthread = threading.Thread(target=lambda: servers.append(started()))\n"
            "thread.start()\nthread.join()\nready(*servers)\nfail(Problem())"
        )
        program.go_on()

        assert program.ended()[0] == 1

    @pytest.mark.parametrize("daemon", [False, True])
    def test_a_thread_that_serves_forever(self, run, daemon):
        program = run(
            f"server = started(daemon={daemon})\nthreading.Thread(target=server.serve_forever).start()\n"
            "ready(server)\nfail(Problem())"
        )
        program.go_on()

        assert program.ended()[0] == 1

    def test_several_servers(self, run):
        program = run(
            f"first, second, third = started(), started('{NAME}b', daemon=True), started('{NAME}c')\n"
            "first.stop()\nready(third)\nfail(Problem())"
        )
        with program.client() as client:
            program.go_on()
            assert client.closed()

        assert program.ended()[0] == 1
        for letter in ("", "b", "c"):
            assert_name_is_free(NAME + letter)

    @pytest.mark.parametrize("daemon", [False, True])
    @pytest.mark.parametrize("inline", [False, True])
    def test_a_handler_that_hangs(self, run, inline, daemon):
        program = run(
            f"server = started(daemon={daemon})\nentered, forever = threading.Event(), threading.Event()\n"
            f"server.register_handler('hang', lambda args: (entered.set(), forever.wait()), inline={inline})\n"
            "ready(server)\nentered.wait()\nfail(Problem())"
        )
        with program.client() as client:
            client.tell(*client.erpc("hang", []))
            program.go_on()
            assert client.closed()

        assert program.ended()[0] == 1

    def test_atexit_functions_of_the_program_run(self, run):
        program = run("ready(started())\natexit.register(print, 'bye', file=sys.stderr)\nsys.exit(3)")
        program.go_on()

        assert program.ended() == (3, "bye\n")

    @pytest.mark.posix
    def test_ctrl_c(self, run):
        program = run("ready(started())\nthreading.Event().wait()")
        with program.client() as client:
            program.go_on()
            program.process.send_signal(signal.SIGINT)
            assert client.closed()

        code, errors = program.ended()
        assert code in (-signal.SIGINT, 130)
        assert "KeyboardInterrupt" in errors
        assert_name_is_free()


class TestEnd:
    def test_it_goes_on_serving(self, run):
        program = run("ready(started())")
        program.go_on()

        for number in range(3):
            with program.client() as client:
                assert client.call("echo", number) == [number]
        with program.client() as client:
            client.ask("stop", [])
            assert client.closed()
        program.assert_ended_well()
        assert_name_is_free()

    @pytest.mark.parametrize(
        "text",
        [
            "def main():\n  server = started()\n  ready(server)\nmain()",
            "try: fail(Problem())\nexcept Problem: server = started()\nready(server)",
            "try: sys.exit()\nexcept SystemExit: server = started()\nready(server)",
            "with open(os.devnull):\n  server = started()\n  ready(server)",
            "import asyncio\nasync def main(): ready(started())\nasyncio.run(main())",
            "thread = threading.Thread(target=lambda: ready(started()))\nthread.start()\nthread.join()",
            "thread = threading.Thread(target=lambda: ready(started()))\nthread.start()",
            f"server = started('{NAME}b')\nserver.stop()\nready(started())",
        ],
    )
    def test_whatever_the_program_looks_like(self, run, text):
        program = run(text)
        program.go_on()

        with program.client() as client:
            assert client.call("echo", 1) == [1]
            client.ask("stop", [])
            assert client.closed()
        program.assert_ended_well()

    def test_a_thread_starts_the_server_after_that(self, run):
        program = run(
            "def later():\n  while not main_program._ended: pass\n  ready(started())\n"
            "from beam_bpy import main_program\nstarted('other').stop()\nthreading.Thread(target=later).start()\n"
        )
        program.go_on()

        with program.client() as client:
            assert client.call("echo", 1) == [1]
            client.ask("stop", [])
            assert client.closed()
        program.assert_ended_well()

    def test_in_a_module(self, run, tmp_path, monkeypatch):
        (tmp_path / "serving.py").write_text(FRAME.format(name=NAME, cookie=COOKIE) + "ready(started())")
        monkeypatch.chdir(tmp_path)
        program = run("", ["-m", "serving"])
        program.go_on()

        with program.client() as client:
            assert client.call("echo", 1) == [1]

    def test_until_the_last_server_has_stopped(self, run):
        program = run(
            f"first, second = started(), started('{NAME}b')\n"
            "first.register_handler('stop_other', lambda args: second.stop())\nready(first)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("stop_other") is None
            assert client.call("echo", 1) == [1]
            client.ask("stop", [])
            assert client.closed()

        program.assert_ended_well()

    def test_a_handler_that_has_called_stop_runs_to_its_end(self, run, tmp_path):
        program = run(
            "server = started()\n"
            "def finish(args):\n  server.stop()\n  time = __import__('time')\n  time.sleep(0.3)\n"
            f"  open({str(tmp_path / 'done')!r}, 'w').close()\n"
            "server.register_handler('finish', finish)\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            client.ask("finish", [])
            assert client.closed()

        program.assert_ended_well()
        assert (tmp_path / "done").exists()

    def test_a_handler_may_restart_the_server(self, run):
        program = run(
            "server = started()\nport = server.port\nserver.configure\n"
            "def restart(args):\n  server.stop()\n  server.configure(port=port)\n  assert server.start()\n"
            "server.register_handler('restart', restart)\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            client.ask("restart", [])
            assert client.closed()
        eventually(program.listens)
        with program.client() as client:
            assert client.call("echo", 1) == [1]
            client.ask("stop", [])
            assert client.closed()

        program.assert_ended_well()

    def test_handlers_use_executors_and_threads(self, run):
        program = run(
            "from concurrent.futures import ThreadPoolExecutor\nserver, executor = started(), ThreadPoolExecutor()\n"
            "def there(args): return executor.submit(lambda: args).result()\n"
            "server.register_handler('there', there)\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("there", 1) == [1]

    def test_what_the_program_cleans_up_is_there_until_then(self, run):
        program = run(
            "import tempfile, weakref\nserver = started()\nfolder = tempfile.TemporaryDirectory()\n"
            "seen = []\natexit.register(seen.append, 'cleaned')\n"
            "server.register_handler('look', lambda args: [os.path.isdir(folder.name), *seen])\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("look") == [True]

    @pytest.mark.posix
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it(self, run, number):
        program = run(
            f"signal.signal(signal.SIGTERM, lambda *_: sys.exit())\nserver = started()\nother = started('{NAME}b')\n"
            "server.register_handler('kill', lambda args: os.kill(os.getpid(), args[0]))\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("echo", 1) == [1]
            client.ask("kill", [int(number)])
            assert client.closed()

        program.assert_ended_well()
        assert_name_is_free()


class TestDaemon:
    def test_the_end_of_the_program_is_its_end(self, run):
        program = run("ready(started(daemon=True))")
        with program.client() as client:
            program.go_on()
            assert client.closed()

        program.assert_ended_well()
        assert_name_is_free()

    def test_it_serves_until_the_last_thread_of_the_program_has_ended(self, run):
        program = run(
            "server = started(daemon=True)\nleave = threading.Event()\n"
            "server.register_handler('leave', lambda args: leave.set())\n"
            "threading.Thread(target=leave.wait).start()\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("echo", 1) == [1]
            client.ask("leave", [])
            assert client.closed()

        program.assert_ended_well()

    def test_it_may_be_configured(self, run):
        program = run("server = started()\nserver.stop()\nserver.configure(daemon=True)\nserver.start()\nready(server)")
        program.go_on()

        program.assert_ended_well()


class TestInteractive:
    @pytest.mark.parametrize("leave", ["", "quit()\n", "sys.exit(0)\n", "1/0\n"])
    def test_the_session_ends_with_the_server(self, run, tmp_path, leave):
        script = tmp_path / "script.py"
        script.write_text(FRAME.format(name=NAME, cookie=COOKIE) + "print(started().port, flush=True)")
        program = run("", ["-i", str(script)])
        program.process.stdin.write(leave)

        assert program.ended()[0] == 0

    def test_a_server_that_is_started_at_the_prompt(self, run, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(FRAME.format(name=NAME, cookie=COOKIE) + "print(0, flush=True)")
        program = run("", ["-i", str(script)])
        program.process.stdin.write("server = started()\nprint('port', server.port)\n")
        output, _errors = program.process.communicate(timeout=TIMEOUT)

        assert program.process.returncode == 0
        assert "port" in output


@pytest.mark.posix
class TestFork:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    @pytest.mark.parametrize(("end", "code"), [("pass", 0), ("fail(Problem())", 1), ("sys.exit(4)", 4)])
    def test_a_server_in_a_child_ends_with_its_function(self, run, tmp_path, monkeypatch, method, end, code):
        (tmp_path / "parent.py").write_text(
            FRAME.format(name=NAME, cookie=COOKIE)
            + f"def child():\n  started()\n  {end}\n"
            + f"if __name__ == '__main__':\n  multiprocessing.set_start_method('{method}')\n"
            + "  process = multiprocessing.Process(target=child)\n  process.start()\n  process.join()\n"
            + "  print(process.exitcode, flush=True)\n"
        )
        monkeypatch.chdir(tmp_path)

        assert run("", ["parent.py"]).port == code
        assert_name_is_free()

    def test_a_child_of_a_parent_that_serves(self, run):
        program = run(
            "server = started()\ncontext = multiprocessing.get_context('fork')\n"
            "process = context.Process(target=lambda: server.running and sys.exit(3))\n"
            "process.start()\nprocess.join()\nassert process.exitcode == 0\nready(server)"
        )
        program.go_on()
        with program.client() as client:
            assert client.call("echo", 1) == [1]

    def test_the_parent_ends_and_the_child_holds_nothing_of_it(self, run):
        program = run(
            "server = started()\nreading, writing = os.pipe()\n"
            "if not os.fork():\n  os.close(writing)\n  os.read(reading, 1)\n  os._exit(0)\n"
            "ready(server)\nfail(Problem())"
        )
        with program.client() as client:
            program.go_on()
            assert client.closed()
        assert_name_is_free()
        assert program.ended()[0] == 1
