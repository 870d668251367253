"""Variants of our node side by side: in each round every variant gets the same calls, one variant after the other.

All servers stay connected for the whole run. A ratio is the median of the ratios of each round, so a load of the
machine that lasts longer than a round meets all variants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from calls_rig import Caller, Program, cpu_time, percentile

TURN = 0.2
"""Seconds that one server is called in one round of one row."""

LARGE = 16_000_000


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        label: its name in a table.
        server: the server of the variant that is called.
        kind: `erpc` or `gen`, see bench/calls_beam.erl.
        function: the handler.
        callers: how many processes call at the same time.
        size: the bytes of the argument; 0 is a small integer.
    """

    label: str
    server: str
    kind: str
    function: str
    callers: int
    size: int = 0


class Server(NamedTuple):
    """A node that answers, and its process on this machine."""

    node: str
    pid: int


@dataclass
class Series:
    """The figures of one variant in one row.

    Attributes:
        rates: calls per second, of each round.
        calls: the calls of all rounds.
        cpu: the processor time of the server for these calls, in seconds.
    """

    rates: list[float] = field(default_factory=list)
    calls: int = 0
    cpu: float = 0.0

    @property
    def cpu_microseconds(self) -> float:
        """The server's processor time for a call."""
        return 1e6 * self.cpu / self.calls


class Comparison(NamedTuple):
    """The ratio of two rates over all rounds: the median, and the quartiles."""

    median: float
    lower: float
    upper: float


def compare(ours: Series, theirs: Series) -> Comparison:
    """Our rates as a multiple of theirs."""
    ratios = [mine / other for mine, other in zip(ours.rates, theirs.rates, strict=True)]
    figures = median(ratios), percentile(ratios, 0.25), percentile(ratios, 0.75)
    return Comparison(*(round(number, 3) for number in figures))


def server_of(program: Program) -> Server:
    """The server that a program of bench/calls_server.py is."""
    return Server(program.node, program.process.pid)


def measure(
    caller: Caller, variants: Mapping[str, Mapping[str, Server]], rows: Sequence[Row], rounds: int
) -> list[dict[str, Series]]:
    """Call every variant in every row.

    Args:
        caller: the node that calls.
        variants: the servers of each variant by the names that the rows use.
        rows: the measurements.
        rounds: how often each variant takes its turn in each row.

    Returns:
        For each row, the figures of each variant.
    """
    counts = [_calls_per_turn(caller, [variants[name][row.server] for name in variants], row) for row in rows]
    results = [{name: Series() for name in variants} for _row in rows]
    order = list(variants)
    for _ in range(rounds):
        for row, count, series in zip(rows, counts, results, strict=True):
            for name in order:
                _turn(caller, variants[name][row.server], row, count, series[name])
        # A variant does not always follow the same one.
        order.reverse()
    return results


def _calls_per_turn(caller: Caller, servers: Sequence[Server], row: Row) -> int:
    """The calls of each calling process, the same for all servers, so that a turn takes about `TURN` seconds."""
    probe = 2 if row.size else 50
    rates = [caller.rate(row.kind, server.node, row.function, row.callers, probe, row.size) for server in servers]
    return max(probe, round(median(rates) * TURN / row.callers))


def _turn(caller: Caller, server: Server, row: Row, count: int, series: Series) -> None:
    before = cpu_time(server.pid)
    series.rates.append(caller.rate(row.kind, server.node, row.function, row.callers, count, row.size))
    series.cpu += cpu_time(server.pid) - before
    # The calling node makes one more call, to know the answer that it expects.
    series.calls += row.callers * count + 1
