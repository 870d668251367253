"""A server in a process of its own, a caller that nobody disturbs, and peers that come to grief."""

import concurrent.futures
import contextlib
import json
import os
import signal
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import beam
import pytest
from beam import REPOSITORY, Erl, eventually
from watched import Watched
from wire import Cable, Wire

from beam_bpy import Atom

LEDGER = 1 << 24
"""How many ids the server can count; the honest caller has the upper half."""

BEGUN, ANSWERED, CUT, CAST_CUT, CAST = range(1, 6)
"""The marks that callers.erl gives to an id; 0 is an id without a call."""

_CABLE_PORT = 25000


class Fate(NamedTuple):
    """The outcome of each call of one run.

    Attributes:
        marks: how many ids have each mark.
        kills: how many callers were killed.
        disconnects: how often the connection was closed.
    """

    marks: Counter[int]
    kills: int
    disconnects: int


class Rig:
    """A server with an honest caller.

    Args:
        ebin: where the modules of callers are.
        environment: makes a child's environment.
        tick: seconds of silence after which a peer counts as gone, for all of them.
        wire_epmd: the port of an epmd that tells callers of a wire to the server; None for no wire.
        cable: puts the server and its honest caller at the near end, and callers that are far at the other one.
        options: further arguments of `BeamServer`.
    """

    def __init__(
        self,
        ebin: Path,
        environment: Callable[..., dict[str, str]],
        *,
        tick: int,
        wire_epmd: int | None = None,
        cable: Cable | None = None,
        **options: Any,
    ) -> None:
        self._ebin, self._environment, self._cable = ebin, environment, cable
        self._wire_epmd = wire_epmd
        self._flags = ["-kernel", "net_ticktime", str(tick)]
        options |= {"tick_time": float(tick), "ledger": LEDGER}
        if cable is not None:
            # In a namespace every port is free, and a node that is called by nobody needs no epmd.
            self._flags += ["-erl_epmd_port", str(_CABLE_PORT), "-dist_listen", "false"]
            options |= {"host": Cable.ADDRESS, "port": _CABLE_PORT, "epmd": "none"}
        with contextlib.ExitStack() as begun:
            self.server = Watched(environment(), cable.near if cable is not None else (), **options)
            begun.callback(self.server.stop)
            self.honest = self._erl(cable.near if cable is not None else ())
            begun.callback(self.honest.stop)
            self.wire: Wire | Cable | None = cable
            if wire_epmd is not None:
                self.wire = Wire(self.server.name, self.server.port, wire_epmd)
                begun.callback(self.wire.close)
            self._next_id, self._honest_from = 0, LEDGER // 2
            self._caller = self.honest.eval("callers:honest(S, First)", First=LEDGER // 2)
            eventually(lambda: self.state()["nodes"] == [self.honest.node], "the honest caller has connected")
            self.threads, self.sockets = self.server.threads(), self.server.sockets()
            self._end = begun.pop_all()

    def close(self) -> None:
        """End all of it."""
        self._end.close()

    @contextlib.contextmanager
    def victim(self, *, far: bool = False) -> Iterator[Erl]:
        """Another node, which is killed in the end; `far` puts the wire between it and the server."""
        more = {"ERL_EPMD_PORT": str(self._wire_epmd)} if far and self._wire_epmd is not None else {}
        erl = self._erl(self._cable.far if far and self._cable is not None else (), **more)
        try:
            yield erl
        finally:
            # One that is stopped is not ended by less.
            erl.process.send_signal(signal.SIGKILL)
            erl.stop()

    def settle(self) -> None:
        """Wait until nothing is left of peers that are gone: no socket, no thread, no call that waits."""
        self.server.settles(self.threads, self.sockets)
        eventually(lambda: self.state()["queued"] == 0, "the queue is empty")

    def state(self) -> dict[str, Any]:
        """The server's own report of its state."""
        state: dict[str, Any] = self.honest.eval("erpc:call(N, m, state, [])")
        return state

    def check(self) -> list[int]:
        """The honest caller was answered all the while, and each of its calls ran once.

        Returns:
            The times of its calls since the last check, in microseconds.
        """
        following, wrong, times = self.honest.eval("callers:report(C)", C=self._caller)
        assert wrong == []
        # The last one may be on its way.
        ran = self._ran(self._honest_from, following)
        self._honest_from = following
        assert set(ran) <= {1}
        return list(times)

    def ids(self, count: int) -> int:
        """The first of so many ids that nobody has called."""
        first, self._next_id = self._next_id, self._next_id + count
        assert self._next_id <= LEDGER // 2, "the ledger is full"
        return first

    def run(
        self, erl: Erl, first: int, count: int, *, callers: int = 8, kill: int = 0, disconnect: int = 0
    ) -> "concurrent.futures.Future[Any]":
        """Let a node call ids, each once; see callers.erl."""
        code = "callers:run(S, First, First + Count, Callers, Kill, Disconnect)"
        return erl.later(code, First=first, Count=count, Callers=callers, Kill=kill, Disconnect=disconnect)

    def fate(self, first: int, outcome: tuple[Any, ...]) -> Fate:
        """The outcome of a run. No call ran twice; no call was lost unless it was cut off. Call `settle` before."""
        marks, answers, wrong, kills, disconnects = outcome
        assert wrong == []
        marks, answers = as_bytes(marks), as_bytes(answers)
        fates = Counter(zip(marks, answers, self._ran(first, first + len(marks)), strict=True))
        assert [fate for fate in fates if not _is_right(*fate)] == [], fates
        return Fate(Counter(marks), kills, disconnects)

    def ran(self, first: int, count: int) -> int:
        """How many of some ids have been called; none twice."""
        ran = Counter(self._ran(first, first + count))
        assert set(ran) <= {0, 1}
        return ran[1]

    def _ran(self, first: int, end: int) -> bytes:
        return as_bytes(self.honest.eval("erpc:call(N, m, section, [First, End])", First=first, End=end))

    def _erl(self, inside: Sequence[str], **environment: str) -> Erl:
        beam_program = beam.beam_program
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(beam, "beam_program", lambda name: [*inside, *beam_program(name)])
            erl = Erl(self._ebin, self._environment(**environment), *self._flags)
        node = Atom(self.server.node)
        erl.bindings = {"N": node, "S": (Atom(self.server.name), node)}
        return erl


def _is_right(mark: int, answers: int, ran: int) -> bool:
    """Whether a call of that mark may have been answered so often and have run so often."""
    match mark:
        case 0:
            return (answers, ran) == (0, 0)
        case _ if mark == ANSWERED:
            return (answers, ran) == (1, 1)
        case _ if mark == CAST:
            return (answers, ran) == (0, 1)
    # A call that was cut off may have run, and its answer may have arrived before its caller was killed.
    return answers <= ran <= 1


def as_bytes(binary: str | bytes) -> bytes:
    """A binary from a node; what could be text has become that."""
    return binary.encode() if isinstance(binary, str) else binary


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of a long run below out/."""
    path = REPOSITORY / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def stop(erl: Erl) -> None:
    """Let a node stand still, as a laptop that is closed."""
    os.kill(erl.process.pid, signal.SIGSTOP)


def go_on(erl: Erl) -> None:
    """End `stop`."""
    os.kill(erl.process.pid, signal.SIGCONT)


def summary(times: Sequence[int]) -> str:
    """Median, 99th percentile and longest of times in microseconds, as text."""
    ordered = sorted(times)
    late = ordered[len(ordered) * 99 // 100]
    return (
        f"{len(ordered)} calls answered in {statistics.median(ordered) / 1000:.2f} ms (median), "
        f"{late / 1000:.2f} ms (99 of 100), {ordered[-1] / 1000:.1f} ms (longest)"
    )
