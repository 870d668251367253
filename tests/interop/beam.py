"""Parts of the interop tests: real BEAM nodes that evaluate expressions, and handlers that they call."""

import base64
import concurrent.futures
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_bpy import Atom, BeamServer, ErlangError, ErlangExit, ErlangThrow
from vendor_term_codec import decode, encode

COOKIE = "interop_cookie_x7"
TIMEOUT = 30.0
"""Seconds after which a test gives up on something that has to happen."""

REPOSITORY = Path(__file__).resolve().parents[2]
_counter = itertools.count(1)


def unique(prefix: str) -> str:
    """A node name without host that nobody else on this machine has."""
    return f"{prefix}_{os.getpid()}_{next(_counter)}"


BEAM_ROOT = Path(os.environ.get("BEAM_ROOT", "/"))
"""The system whose BEAM the tests run: this one, or another release's, which lives in a folder and is run by chroot."""


def beam_program(name: str) -> list[str]:
    """The beginning of a command that runs a program of the BEAM."""
    return [program(name)] if str(BEAM_ROOT) == "/" else [program("chroot"), str(BEAM_ROOT), name]


def seen(path: Path) -> str:
    """A path under the fixture `beam_folder`, as the BEAM's programs see it."""
    return "/" + str(path.relative_to(BEAM_ROOT))


def program(name: str) -> str:
    """The path of a program that the tests need."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed: 'apt-get install elixir erlang' brings what the interop tests need")
    return path


def eventually(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Wait until `condition` is true, for things that nobody announces."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"it never happened: {what}")


class Output:
    """The lines that a child process prints, read on a thread of their own.

    Attributes:
        over: True when the child, and each process that has its output from it, has ended.
    """

    def __init__(
        self,
        process: "subprocess.Popen[str]",
        line: Callable[[str], None] = lambda text: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = process
        self._line = line
        self._ended = ended
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self.over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """All of it so far."""
        return "".join(self._lines)

    def wait_for(self, part: str) -> str:
        """The first line that holds `part`."""
        with self._changed:
            self._changed.wait_for(lambda: self._find(part) or self.over, TIMEOUT)
            line = self._find(part)
        assert line is not None, f"{part!r} was never printed, only:\n{self.text()}"
        return line

    def kill(self) -> None:
        """End the child as `kill -9` does."""
        self._process.kill()
        self._process.wait(10)

    def join(self) -> None:
        """Wait for the end of it."""
        self._thread.join(TIMEOUT)

    def _find(self, part: str) -> str | None:
        return next((line for line in self._lines if part in line), None)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
            self._line(line)
        self._ended()
        with self._changed:
            self.over = True
            self._changed.notify_all()


class ErlError(AssertionError):
    """The evaluated expression raised an exception. `kind` is error, exit, throw or killed."""

    def __init__(self, kind: str, reason: Any, stack: Any) -> None:
        super().__init__(f"{kind}: {reason!r}\n  {stack!r}")
        self.kind = kind
        self.reason = reason


class Erl:
    """A node of the BEAM that evaluates Erlang for the tests.

    Args:
        ebin: where the modules of tests/interop/erl are.
        environment: the child's environment.
        flags: more flags for `erl`.
        name: its name; `undefined@host` for one that another node is to give it.
        short: whether it uses short names. A bare long name gets the host 127.0.0.1, a short one the machine's.
        cookie: its cookie.
        interface: the address on which it listens.
    """

    def __init__(
        self,
        ebin: Path,
        environment: dict[str, str],
        *flags: str,
        name: str | None = None,
        short: bool = False,
        cookie: str = COOKIE,
        interface: str = "{127,0,0,1}",
    ) -> None:
        name = name or unique("interop_erl")
        self.node = name if "@" in name or short else f"{name}@127.0.0.1"
        self.bindings: dict[str, Any] = {}
        # The session says that it is ready by answering a request that was never sent.
        ready: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._pending: dict[int, concurrent.futures.Future[Any]] = {0: ready}
        self._ids = itertools.count(1)
        naming = "-sname" if short else "-name"
        command = [*beam_program("erl"), "-noshell", naming, self.node, "-setcookie", cookie, "-pa", seen(ebin)]
        command += [
            "-start_epmd",
            "false",
            "-connect_all",
            "false",
            "-kernel",
            "inet_dist_use_interface",
            interface,
        ]
        command += [*flags, "-s", "session"]
        self.process = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = Output(self.process, self._line, self._ended)
        try:
            self._result(ready, TIMEOUT)
        except BaseException:
            self.stop()
            raise

    def call(self, server: BeamServer) -> "Erl":
        """Let N be the server's node and S its registered process in what is evaluated from now on."""
        node = Atom(server.node_name)
        self.bindings = {"N": node, "S": (Atom(node.partition("@")[0]), node)}
        return self

    def later(self, code: str, **bindings: Any) -> "concurrent.futures.Future[Any]":
        """Evaluate expressions, without the last dot, in a new process; the future is the last one's value."""
        number = next(self._ids)
        future = self._pending[number] = concurrent.futures.Future()
        bound = {Atom(key): value for key, value in {**self.bindings, **bindings}.items()}
        line = base64.b64encode(encode((number, code, bound))).decode() + "\n"
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return future

    def eval(self, code: str, *, timeout: float = TIMEOUT, **bindings: Any) -> Any:
        """As `later`, and wait for the value. ErlError if it raises."""
        return self._result(self.later(code, **bindings), timeout)

    def pause(self) -> None:
        """Stop the node as SIGSTOP does, and wait until all of its threads stand still."""
        os.kill(self.process.pid, signal.SIGSTOP)
        _pid, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"{self.node} has ended"

    def resume(self) -> None:
        """Let a node that was paused go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the node, also one that is paused."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)
        self.output.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _result(self, future: "concurrent.futures.Future[Any]", timeout: float) -> Any:
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            raise AssertionError(f"{self.node} gave no answer in time; it printed:\n{self.output.text()}") from None

    def _ended(self) -> None:
        while self._pending:
            future = self._pending.popitem()[1]
            future.set_exception(AssertionError(f"{self.node} has ended; it printed:\n{self.output.text()}"))

    def _line(self, line: str) -> None:
        if not line.startswith("=> "):
            return
        _mark, number, text = line.split()
        future = self._pending.pop(int(number))
        if text == "ready":
            future.set_result(None)
            return
        try:
            answer = decode(base64.b64decode(text))
        except ValueError as error:
            future.set_exception(error)
            return
        if answer[0] == "ok":
            future.set_result(answer[1])
        else:
            future.set_exception(ErlError(*answer[1:]))


class Epmd:
    """A real epmd that listens on this machine only."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        command = [*beam_program("epmd"), "-port", str(port), "-address", address]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: _answers(address, port), "epmd answers")

    def stop(self) -> None:
        """End it, as a signal does; more than once does no harm."""
        self._process.terminate()
        self._process.wait(10)


def _answers(address: str, port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((address, port)) == 0


def names(port: int) -> str:
    """The output of the real `epmd -names` for the epmd on a port."""
    command = [*beam_program("epmd"), "-port", str(port), "-names"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout


@contextlib.contextmanager
def python(script: Path, environment: dict[str, str], *, ends_with: int | None = None) -> Iterator[Output]:
    """A Python program that runs in a process of its own until the block ends: it gets SIGTERM then.

    `ends_with` is the exit code that it has to end with, None for any.
    """
    process = subprocess.Popen(
        [sys.executable, "-u", str(script)],
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = Output(process)
    try:
        yield output
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        output.join()
        assert process.stdout is not None
        process.stdout.close()
    if ends_with is not None:
        assert process.returncode == ends_with, output.text()


class Gate:
    """A handler that keeps its thread until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, args: list[Any]) -> str:
        self.entered.set()
        if not self.opened.wait(TIMEOUT):
            raise TimeoutError("the test forgot the gate")
        return "through"


_KINDS = {"error": ErlangError, "exit": ErlangExit, "throw": ErlangThrow}


def _fail(kind: str, reason: Any) -> None:
    raise _KINDS[kind](reason)


def _crash(message: str) -> None:
    raise ValueError(message)


def register(server: BeamServer) -> list[Any]:
    """Register what the tests call; returns the list that `note` appends to."""
    notes: list[Any] = []
    server.register_handler("ping", lambda args: "pong")
    server.register_handler("inline_ping", lambda args: "pong", inline=True)
    server.register_handler("echo", lambda args: args)
    server.register_handler("inline_echo", lambda args: args, inline=True)
    server.register_handler("count", len)
    server.register_handler("unencodable", lambda args: {"mesh": [1, object()]})
    server.register_handler("nan", lambda args: float("nan"))
    server.register_handler("note", lambda args: notes.append(args[0]))
    server.expose(_fail, name="fail")
    server.expose(_crash, name="crash")
    server.expose(lambda count: bytes(count), name="zeros")
    server.expose(lambda: sys.exit("no"), name="leave")
    return notes


def nodes_of(server: "BeamServer") -> tuple[str, ...]:
    """The names of the nodes that are connected to a server."""
    return tuple(peer.name for peer in server.peers)
