"""Peers that die, stand still, and are cut off; wires that are slow and that break. One honest caller sees none of it.

CHAOS_SECONDS repeats each fault for so long, and lets a peer that owes reads stand still for so long; once, and for 4
seconds, when it is not set. What a run with it has come to is kept in out/chaos.json.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from beam import Erl, eventually
from rig import ANSWERED, CAST, CUT, Rig, go_on, keep, stop, summary
from watched import MB
from wire import Weather, Wire, has_namespaces

SECONDS = float(os.environ.get("CHAOS_SECONDS", "0"))
SEED = 20261124
TICK = 4
STOPPED = max(SECONDS, TICK)
CALLS = 4000
LONGEST = 60.0

FIGURES: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Iterator[None]:
    yield
    if SECONDS:
        keep("chaos.json", FIGURES)


@pytest.fixture(scope="module")
def _rig(epmd_port: int, wire_epmd: int, ebin: Path, child_environment: Callable[..., dict[str, str]]) -> Iterator[Rig]:
    rig = Rig(ebin, child_environment, tick=TICK, wire_epmd=wire_epmd)
    yield rig
    rig.close()


@pytest.fixture
def rig(_rig: Rig) -> Iterator[Rig]:
    """A server that stays the same through all faults, and is after each of them as it was before."""
    yield _rig
    assert isinstance(_rig.wire, Wire)
    _rig.wire.weather = Weather()
    _rig.settle()
    times = _rig.check()
    print(f"\nthe honest caller: {summary(times)}")
    FIGURES["calls of the honest caller"] = FIGURES.get("calls of the honest caller", 0) + len(times)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(SEED)


def rounds(fault: str) -> Iterator[int]:
    """Numbers, one at least, until the time is over."""
    end, number = time.monotonic() + SECONDS, 0
    while not number or time.monotonic() < end:
        yield number
        number += 1
        FIGURES[fault] = FIGURES.get(fault, 0) + 1


def some_have_run(rig: Rig, first: int, least: int) -> None:
    eventually(lambda: rig.ran(first, CALLS) >= least, f"{least} calls have run")


def is_gone(rig: Rig, erl: Erl, timeout: float = 30.0) -> None:
    eventually(lambda: erl.node not in rig.state()["nodes"], f"{erl.node} is gone", timeout)


@pytest.mark.parametrize("callers", [1, 64])
def test_peers_that_are_killed_while_they_call(rig: Rig, rng: random.Random, callers: int) -> None:
    for _ in rounds(f"nodes killed while {callers} of their processes called"):
        first = rig.ids(CALLS)
        with rig.victim() as victim:
            rig.run(victim, first, CALLS, callers=callers)
            some_have_run(rig, first, rng.randint(1, 1000))
        rig.settle()
        assert 0 < rig.ran(first, CALLS) < CALLS


def test_peers_that_are_killed_in_the_middle_of_16_mb(rig: Rig, rng: random.Random) -> None:
    wire = rig.wire
    assert isinstance(wire, Wire)
    take = "[spawn(fun() -> erpc:call(N, m, take, [binary:copy(<<0>>, Size)]) end) || _ <- lists:seq(1, 4)]"
    for _ in rounds("nodes killed in the middle of arguments of 16 MB"):
        with rig.victim(far=True) as victim:
            before, most = wire.passed_up, rng.randint(1 * MB, 15 * MB)
            victim.eval(take, Size=16 * MB)
            eventually(lambda before=before, most=most: wire.passed_up - before > most, "a part of them is sent")
            wire.pull()
        wire.plug()
        rig.settle()
        assert most < wire.passed_up - before < 4 * 16 * MB


def test_peers_that_are_killed_while_long_calls_run(rig: Rig) -> None:
    long = "[spawn(fun() -> erpc:call(N, m, long, [1000000]) end) || _ <- lists:seq(1, 20)]"
    for _ in rounds("nodes killed while 20 long calls ran"):
        begun = rig.state()["begun"]
        with rig.victim() as victim:
            victim.eval(long)
            eventually(lambda begun=begun: rig.state()["begun"] == begun + 20, "the long calls run")
        eventually(lambda begun=begun: rig.state()["ended"] == begun + 20, "the long calls are closed")


def test_peers_that_stand_still_for_a_moment(rig: Rig, rng: random.Random) -> None:
    for _ in rounds("nodes stopped for less than the tick time"):
        first = rig.ids(CALLS)
        with rig.victim() as victim:
            outcome = rig.run(victim, first, CALLS, callers=16)
            for least in sorted(rng.sample(range(1, CALLS // 2), 3)):
                some_have_run(rig, first, least)
                stop(victim)
                time.sleep(TICK / 8)
                go_on(victim)
            fate = rig.fate(first, outcome.result(LONGEST))
        assert fate.marks[ANSWERED] + fate.marks[CAST] == CALLS
        rig.settle()


def test_peers_that_stand_still_for_longer_than_the_tick_time(rig: Rig) -> None:
    for _ in rounds("nodes stopped for longer than the tick time"):
        first = rig.ids(CALLS)
        with rig.victim() as victim:
            outcome = rig.run(victim, first, CALLS, callers=16)
            some_have_run(rig, first, 500)
            stop(victim)
            is_gone(rig, victim)
            go_on(victim)
            result = outcome.result(LONGEST)
        goes_on_with_a_new_connection(rig, victim, first, result)


@pytest.fixture(params=["wire", "cable"] if has_namespaces() else ["wire"])
def apart(request: pytest.FixtureRequest) -> Rig:
    """A rig of which the far end can be cut off: by a proxy, and by namespaces where the system has them."""
    if request.param == "wire":
        wired: Rig = request.getfixturevalue("rig")
        return wired
    cabled: Rig = request.getfixturevalue("start_rig")(tick=TICK, cable=request.getfixturevalue("cable"))
    return cabled


def test_peers_that_are_cut_off(apart: Rig, rng: random.Random) -> None:
    rig, wire = apart, apart.wire
    assert wire is not None
    for _ in rounds(f"nodes cut off by a {type(wire).__name__.lower()} for longer than the tick time"):
        first = rig.ids(CALLS)
        with rig.victim(far=True) as victim:
            outcome = rig.run(victim, first, CALLS, callers=16)
            some_have_run(rig, first, rng.randint(1, 500))
            wire.pull()
            is_gone(rig, victim)
            wire.plug()
            result = outcome.result(LONGEST)
        goes_on_with_a_new_connection(rig, victim, first, result)
    rig.check()


def goes_on_with_a_new_connection(rig: Rig, victim: Erl, first: int, result: Any) -> None:
    rig.settle()
    fate = rig.fate(first, result)
    assert fate.marks[CUT]
    assert fate.marks[ANSWERED] > CALLS // 2, fate
    rig.server.output.wait_for(f"{victim.node} has disconnected: nothing was heard from it for")


def test_peers_that_are_cut_off_for_a_moment(apart: Rig, rng: random.Random) -> None:
    rig, wire = apart, apart.wire
    assert wire is not None
    for _ in rounds(f"nodes cut off by a {type(wire).__name__.lower()} for less than the tick time"):
        first = rig.ids(CALLS)
        with rig.victim(far=True) as victim:
            outcome = rig.run(victim, first, CALLS, callers=16)
            some_have_run(rig, first, rng.randint(1, 500))
            wire.pull()
            time.sleep(TICK / 8)
            wire.plug()
            fate = rig.fate(first, outcome.result(LONGEST))
        assert fate.marks[ANSWERED] + fate.marks[CAST] == CALLS
        rig.settle()
    rig.check()


def test_a_slow_wire_that_loses_packets(rig: Rig) -> None:
    wire = rig.wire
    assert isinstance(wire, Wire)
    count, sizes = CALLS // 8, [100_000, 2_000_000]
    large = """
        [{erpc:call(N, m, take, [binary:copy(<<0>>, Size)]), byte_size(erpc:call(N, m, give, [Size]))} || Size <- Sizes]
    """
    for _ in rounds("nodes behind a slow wire that loses packets"):
        wire.weather = Weather(delay=0.01, loss=20, split=True)
        first = rig.ids(count)
        with rig.victim(far=True) as victim:
            outcome = rig.run(victim, first, count, callers=16)
            assert victim.eval(large, Sizes=sizes) == [(size, size) for size in sizes]
            fate = rig.fate(first, outcome.result(LONGEST))
        assert fate.marks[ANSWERED] + fate.marks[CAST] == count
        rig.settle()


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_connections_that_die_at_each_byte(rig: Rig, direction: str, reset: bool) -> None:
    """Of the handshake, of the call and of its answer."""
    wire = rig.wire
    assert isinstance(wire, Wire)
    with rig.victim(far=True) as victim:

        def outcome(number: int, weather: Weather) -> Any:
            wire.weather = weather
            came_of_it = victim.eval("callers:one(N, once, Id, 30000)", Id=number)
            victim.eval("erlang:disconnect_node(N)")
            return came_of_it

        before = wire.passed_up, wire.passed_down
        assert outcome(rig.ids(1), Weather()) == "answered"
        rig.settle()
        whole = wire.passed_up - before[0] if direction == "up" else wire.passed_down - before[1]
        for _ in rounds(f"times a connection died at each byte ({direction}, by {'a reset' if reset else 'an end'})"):
            first, outcomes = rig.ids(whole), Counter[Any]()
            for most in range(whole):
                weather = (
                    Weather(reset=reset, most_up=most) if direction == "up" else Weather(reset=reset, most_down=most)
                )
                outcomes[outcome(first + most, weather)] += 1
            rig.settle()
            ran = rig.ran(first, whole)
            print(f"\n{whole} connections: {ran} calls ran, {outcomes['answered']} were answered")
            assert set(outcomes) <= {"cut", "answered"}
            assert outcomes["answered"] <= ran < whole
            FIGURES["connections that died at a byte"] = FIGURES.get("connections that died at a byte", 0) + whole


def test_a_peer_that_stands_still_while_it_owes_reads_of_1_gb(start_rig: Callable[..., Rig]) -> None:
    """Memory held for the peer stays below 64 MiB plus two answers plus the copies that are being made."""
    rig = start_rig(tick=TICK, limits={"stalled_peer_timeout": STOPPED})
    time.sleep(1.0)
    before = rig.check()
    with rig.victim() as victim:
        memory = rig.server.memory()
        rig.server.forget_most_memory()
        asking = [victim.eval(f"callers:asks(N, {name}, Size, 64)", Size=16 * MB) for name in ("give", "inline_give")]
        eventually(lambda: rig.server.memory() > memory + 16 * MB, "it is being answered")
        stop(victim)
        rig.check()
        begun = time.monotonic()
        is_gone(rig, victim, 30.0 + STOPPED)
        seconds = time.monotonic() - begun
        during = rig.check()
        grown = rig.server.most_memory() - memory
        go_on(victim)
        outcomes = Counter(outcome for one in asking for outcome in victim.eval("callers:had(A)", A=one))
        assert victim.eval("callers:one(N, once, Id, 30000)", Id=rig.ids(1)) == "answered"
    rig.settle()
    print(f"\nthe others before: {summary(before)}\nand meanwhile: {summary(during)}")
    print(f"dropped after {seconds:.0f} s; {dict(outcomes)} answers; memory grew by {grown / MB:.0f} MB at most")
    FIGURES["a peer that stands still"] = {
        "seconds until it was dropped": round(seconds),
        "MB that it was owed": outcomes["cut"] * 16,
        "MB that memory grew by at most": round(grown / MB),
        "the others before": summary(before),
        "the others meanwhile": summary(during),
    }
    assert set(outcomes) <= {"cut", "answered"}
    assert outcomes["cut"] * 16 >= 1024
    assert grown < (64 + 8 * 16) * MB
    rig.server.output.wait_for(f"{victim.node} has disconnected: it has read nothing for")


def test_a_peer_that_stands_still_for_a_moment_while_it_owes_reads(rig: Rig) -> None:
    """Calls that waited until the peer reads are answered when it reads again."""
    for _ in rounds("nodes stopped for less than the tick time while they owed reads of 1 GB"):
        with rig.victim() as victim:
            asking = victim.eval("callers:asks(N, give, Size, 64)", Size=16 * MB)
            eventually(lambda: rig.state()["queued"], "it has called")
            stop(victim)
            time.sleep(TICK / 8)
            go_on(victim)
            assert Counter(victim.eval("callers:had(A)", A=asking)) == {"answered": 64}
        rig.settle()
