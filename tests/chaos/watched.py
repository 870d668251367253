"""The server under test as the system sees it: its memory, threads and sockets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam import COOKIE, REPOSITORY, TIMEOUT, Output, eventually, unique

MB = 1024 * 1024


class Watched:
    """A server in a process of its own.

    Args:
        environment: the process's environment.
        inside: a command that runs another one somewhere else, such as in a network namespace.
        host: the address that it listens on.
        ledger: how many ids it can count.
        options: further arguments of `BeamServer`, `limits` as a dict.
    """

    def __init__(
        self,
        environment: dict[str, str],
        inside: Sequence[str] = (),
        *,
        host: str = "127.0.0.1",
        ledger: int,
        **options: Any,
    ) -> None:
        self.name = unique("chaos")
        self.node = f"{self.name}@{host}"
        arguments = json.dumps({"ledger": ledger, "host": host, **options})
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-u", str(Path(__file__).with_name("served.py")), arguments],
            env={**environment, "PYTHONPATH": str(REPOSITORY), "BPY_BEAM_NODE": self.node, "BPY_BEAM_COOKIE": COOKIE},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = Output(self.process)
        try:
            self.port = int(self.output.wait_for("answers on port ").split()[-1])
        except BaseException:
            self.output.kill()
            raise
        self._processes = Path("/proc") / str(self.process.pid)

    def memory(self) -> int:
        """Bytes of memory that it holds."""
        return self._status("VmRSS")

    def most_memory(self) -> int:
        """The most that it has held since `forget_most_memory`."""
        return self._status("VmHWM")

    def forget_most_memory(self) -> None:
        """Begin anew with it (proc(5), /proc/pid/clear_refs)."""
        (self._processes / "clear_refs").write_text("5")

    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(self._processes / "task"))

    def sockets(self) -> int:
        """How many sockets it has open."""
        found = 0
        for descriptor in (self._processes / "fd").iterdir():
            try:
                found += os.readlink(descriptor).startswith("socket:")
            except FileNotFoundError:  # It has been closed meanwhile.
                continue
        return found

    def settles(self, threads: int, sockets: int) -> None:
        """Wait until it has so many threads and sockets again, as it has to when its peers are gone."""
        eventually(
            lambda: (self.threads(), self.sockets()) == (threads, sockets),
            f"{threads} threads and {sockets} sockets again; it has {self.threads()} and {self.sockets()}",
        )

    def stop(self) -> None:
        """End it; it has to end by itself, and to have logged nothing that it should not."""
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
            self.process.wait(TIMEOUT)
            self.output.join()
            if self.process.stdout is not None:
                self.process.stdout.close()
        text = self.output.text()
        assert self.process.returncode == 0, text[-5000:]
        assert "Traceback" not in text, text[-5000:]
        assert "of this program's own" not in text, text[-5000:]
        assert COOKIE not in text

    def _status(self, field: str) -> int:
        found = re.search(rf"^{field}:\s+(\d+) kB", (self._processes / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024
