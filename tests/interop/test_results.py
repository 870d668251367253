"""The caller of each handler gets an answer, and the connection to its node stays, for all results and exceptions."""

import array
import collections
import dataclasses
import datetime
import enum
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy
import pytest
from beam import TIMEOUT, Erl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_bpy import Atom, BeamServer, EncodeError, ErlangError, ErlangExit, ErlangThrow
from vendor_term_codec import BitString, Export, Fun, ImproperList, PairsMap, Pid, Port, Reference


class Colour(enum.Enum):
    RED = "red"
    ONE = 1
    NOTHING = None
    LIST = [1, 2]
    MINUS_ZERO = -0.0


class Level(enum.IntEnum):
    ONE = 1


class Word(str):
    pass


class Words(list[Any]):
    pass


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Crate:
    content: Any


class Chosen:
    """A value that a converter replaces by another one."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Unsteady(list[Any]):
    def __len__(self) -> int:
        return 2


class Endless(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return itertools.count()


def built(make: Callable[..., Any], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that `make` gives; what it refuses is another value instead."""

    def attempt(arguments: tuple[Any, ...]) -> Any:
        try:
            return make(*arguments)
        except (ValueError, TypeError):
            return "refused"

    return st.tuples(*parts).map(attempt)


WORDS = st.sampled_from([0, 1, 255, 2**18, 2**31, 2**32 - 1, -1, 2**32])
NAMES = st.one_of(
    st.text(max_size=8), st.sampled_from(["a@b", "", "x" * 255, "x" * 256, "é" * 255, "\ud800", "nil", "true"])
)
ATOMS = NAMES.map(Atom)
PIDS = built(Pid, NAMES, WORDS, WORDS, WORDS)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**31, -(2**31) - 1, 2**63, 2**64, 2 ** (8 * 255), 2 ** (8 * 256)]),
    st.sampled_from([524_280, 524_281]).map(lambda length: Chosen(1 << 8 * length - 1)),
    st.floats(),
    st.booleans(),
    st.sampled_from(
        [1, 1.0, True, 0, 0.0, -0.0, False, Level.ONE, numpy.float32(1), numpy.int8(1), numpy.uint64(2**63)]
    ),
    st.decimals(),
    st.complex_numbers(),
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.binary(max_size=8),
    st.sampled_from(
        ["a", b"a", Atom("a"), Word("a"), bytearray(b"a"), memoryview(b"a"), memoryview(b"abc")[::2], "\ud800"]
    ),
    NAMES.map(Word),
    ATOMS,
)
LEAVES = st.one_of(
    NUMBERS,
    TEXTS,
    st.none(),
    PIDS,
    built(Port, NAMES, WORDS, WORDS),
    built(Reference, NAMES, WORDS, st.lists(WORDS, max_size=6)),
    built(Export, NAMES, NAMES, st.sampled_from([0, 255, 256, -1])),
    built(BitString, st.binary(max_size=3), st.integers(0, 8)),
    st.sampled_from(Colour),
    st.sampled_from([datetime.date(2026, 1, 1), PurePosixPath("a"), UUID(int=1), datetime.timedelta(1)]),
    st.sampled_from(
        [range(3), range(0), range(300, 310), range(10**20), array.array("d", [1.5] * 9), object(), Colour]
    ),
    st.sampled_from([numpy.arange(9), numpy.arange(12.0).reshape(3, 4), numpy.array([numpy.nan]), numpy.zeros((2, 0))]),
    st.sampled_from(
        [numpy.arange(20) - 5, numpy.array([2**63], "u8"), numpy.array([True]), numpy.ma.array([1], mask=[1])]
    ),
    st.sampled_from([Unsteady([1]), Unsteady([1, 2]), Unsteady([1, 2, 3]), Endless([1])]),
    st.lists(st.integers(-3, 300), max_size=12),
    st.lists(st.floats(), min_size=7, max_size=9),
    st.lists(st.integers(2**31 - 2, 2**31 + 1), min_size=7, max_size=9),
)


def hashable(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a strategy that can be keys of a dict; the others become text."""

    def checked(value: Any) -> Any:
        try:
            hash(value)
        except Exception:  # noqa: BLE001 - a value may refuse to be hashed in any way
            return repr(value)
        return value

    return inner.map(checked)


def dicts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.lists(st.tuples(hashable(inner), inner), max_size=4).map(dict)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=4)
    return st.one_of(
        lists,
        lists.map(tuple),
        lists.map(Words),
        lists.map(collections.deque),
        st.lists(hashable(inner), max_size=4).map(set),
        st.lists(hashable(inner), max_size=4).map(frozenset),
        st.lists(hashable(inner), max_size=3).map(tuple),
        dicts(inner),
        dicts(inner).map(MappingProxyType),
        dicts(inner).map(collections.OrderedDict),
        dicts(inner).map(lambda value: value.items()),
        built(PairsMap, st.lists(st.tuples(inner, inner), max_size=4)),
        built(ImproperList, st.lists(inner, max_size=3), inner),
        built(Fun, WORDS, st.just(bytes(16)), WORDS, NAMES, WORDS, WORDS, PIDS, lists),
        built(
            Fun, st.just(1), st.just(bytes(16)), WORDS, NAMES, WORDS, WORDS, PIDS, lists.map(lambda value: value * 100)
        ),
        built(Point, inner, inner),
        inner.map(Crate),
        inner.map(Chosen),
        lists.map(iter),
    )


VALUES = st.recursive(LEAVES, containers, max_leaves=12)


@pytest.fixture
def watched(
    start_server: Callable[..., BeamServer], start_erl: Callable[..., Erl]
) -> tuple[BeamServer, Erl, Callable[[], bool]]:
    """A server with converters, a node that is connected to it, and a function that tells if it has stayed so."""
    server = start_server()
    server.encoder.register(Chosen, lambda chosen: chosen.value)
    server.encoder.register(Decimal, str)
    assert server.start(), server.last_error
    erl = start_erl().call(server)
    watcher = erl.eval("W = probe:waiting(fun() -> monitor_node(N, true) end), erpc:call(N, m, ping, []), W")
    return server, erl, lambda: bool(erl.eval("process_info(W, messages) =:= {messages, []}", W=watcher))


SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def test_whatever_a_handler_gives_is_a_term_or_an_encode_error(
    watched: tuple[BeamServer, Erl, Callable[[], bool]],
) -> None:
    server, erl, still_connected = watched
    current: list[Any] = []

    def long(args: list[Any]) -> Any:
        yield current[0]
        return current[0]

    def fail(args: list[Any]) -> Any:
        raise [ErlangError, ErlangExit, ErlangThrow][args[0]](current[0])

    server.register_handler("result", lambda args: current[0])
    server.register_handler("inline", lambda args: current[0], inline=True)
    server.register_handler("long", long)
    server.register_handler("fail", fail)
    receiver = erl.eval("probe:waiting(fun() -> erpc:call(N, m, subscribe, [crates]) end)")
    encodable = []

    @SETTINGS
    @given(VALUES)
    def attempt(value: Any) -> None:
        current[:] = [value]
        try:
            encoded = server.encoder.encode(value)
        except EncodeError:
            encoded = None
        encodable.append(encoded is not None)
        outcomes = erl.eval(
            """
            Attempt = fun(F) -> try {value, F()} catch _:R -> {failed, R} end end,
            [
                Attempt(fun() -> erpc:call(N, m, result, []) end),
                Attempt(fun() -> erpc:call(N, m, inline, []) end),
                Attempt(fun() -> gen_server:call(S, {result, []}) end),
                Attempt(fun() -> [{ok, V}] = erpc:call(N, m, call_batch, [[{result, []}]]), V end),
                Attempt(fun() -> erpc:call(N, m, call_with_progress, [self(), long, []]) end)
            ]
            """
        )
        kinds = {str(outcome[0]) for outcome in outcomes}
        assert kinds == ({"value"} if encoded is not None else {"failed"}), outcomes
        for kind in range(3):
            erl.eval("try erpc:call(N, m, fail, [K]) of _ -> exit(returned) catch _:_ -> ok end", K=kind)
        for act in (
            lambda: server.send(receiver, value),
            lambda: server.cast(erl.node, "erlang", "hd", [value]),
            lambda: server.call_async(erl.node, "erlang", "is_atom", [value]).result(TIMEOUT),
            lambda: server.publish("crates", value),
        ):
            try:
                act()
            except EncodeError:
                assert encoded is None
            else:
                assert encoded is not None
        assert still_connected()

    attempt()
    code = "erpc:call(N, m, ping, []), {_, Count} = process_info(R, message_queue_len), Count"
    messages = erl.eval(code, R=receiver)
    assert messages == 2 * sum(encodable)
    assert 0.1 < sum(encodable) / len(encodable) < 0.9, "both outcomes are tried"
