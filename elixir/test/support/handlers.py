"""Handlers for the tests of workers and pools, without bpy."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from beam_bpy import BeamServer


def register(server: BeamServer) -> None:
    """Register the handlers."""

    def publish(topic: str, payload: Any) -> int:
        return server.publish(topic, payload)

    def subscribers(topic: str) -> int:
        return server.subscribers(topic)

    for handler in (publish, subscribers, echo, process, variable, note, wait, wait_and_note, hold_the_gil, fail):
        server.expose(handler)
    for handler in (abort, end, end_by_signal, eat_memory, keep_memory, count, steps, leave_a_note, say, say_bytes):
        server.expose(handler)
    for handler in (crash_once, note_and_fail, note_process):
        server.expose(handler)
    server.expose(module="Other")(whole_name)
    server.expose(wait_for_file)
    server.expose(note, name="note_newest", latest=lambda path, _text: path)


def echo(value: Any) -> Any:
    """Return the argument."""
    return value


def whole_name() -> str:
    """Belong to a module."""
    return "Other.whole_name"


def process() -> int:
    """Return the identifier of the process."""
    return os.getpid()


def variable(name: str) -> str | None:
    """Return an environment variable."""
    return os.environ.get(name)


def note(path: str, text: str) -> None:
    """Add a line to a file."""
    with open(path, "a") as file:
        file.write(f"{text}\n")


def wait(seconds: float) -> str:
    """Do nothing for a while."""
    time.sleep(seconds)
    return "waited"


def wait_for_file(path: str) -> bool:
    """Wait until a file exists, at most a minute."""
    end = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)
    return os.path.exists(path)


def wait_and_note(seconds: float, path: str, text: str) -> None:
    """Do nothing for a while, then add a line to a file."""
    time.sleep(seconds)
    note(path, text)


def hold_the_gil(seconds: int) -> None:
    """Let no thread of Python run for a while, as a long function in C does."""
    ctypes.PyDLL(None).sleep(seconds)


def fail(text: str) -> None:
    """Raise an exception."""
    raise ValueError(text)


def abort() -> None:
    """End as after a failed assertion in C."""
    os.abort()


def end(status: int) -> None:
    """End at once with an exit code."""
    os._exit(status)


def end_by_signal(number: int) -> None:
    """End by a signal, as the system ends a process when memory runs out."""
    os.kill(os.getpid(), number or signal.SIGKILL)
    time.sleep(60)


def eat_memory() -> int:
    """Need more memory than the process may have."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), limits[1]))
    try:
        return len(bytearray(1 << 30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


_kept: list[bytearray] = []


def keep_memory(size: int) -> None:
    """Use more memory from now on."""
    _kept.append(bytearray(os.urandom(1 << 20) * (size >> 20)))


def count(number: int, pause: float) -> Iterator[int]:
    """Report progress: the numbers below `number`."""
    for each in range(number):
        time.sleep(pause)
        yield each
    return number


def steps(path: str, pause: float) -> Iterator[int]:
    """Report progress for ever, and write into a file when it is closed."""
    step = 0
    try:
        while True:
            yield step
            step += 1
            time.sleep(pause)
    finally:
        note(path, "closed")


def leave_a_note(path: str) -> Iterator[None]:
    """Write into a file at the start of the call."""
    note(path, "started")
    yield
    note(path, "ended")


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


def say_bytes(data: str, times: int) -> None:
    """Print the bytes of these code points, as they are."""
    for _ in range(times):
        sys.stdout.buffer.write(data.encode("latin-1"))
    sys.stdout.buffer.flush()


def crash_once(path: str) -> int:
    """End as after a failed assertion in C, if the file does not exist."""
    if not os.path.exists(path):
        note(path, "crashed")
        os.abort()
    return os.getpid()


def note_and_fail(path: str) -> None:
    """Add a line to a file, and raise an exception."""
    note(path, "called")
    raise ValueError("failed")


def note_process(path: str, text: str) -> None:
    """Add a line with the identifier of the process to a file."""
    note(path, f"{os.getpid()} {text}")
