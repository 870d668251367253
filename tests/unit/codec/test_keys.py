"""Keys of maps: Erlang compares them with =:=, and no node takes a map in which two are the same term."""

import dataclasses
import enum
from collections import ChainMap, OrderedDict, defaultdict
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import numpy as np
import pytest

from vendor_term_codec import Atom, BitString, EncodeError, Export, ImproperList, PairsMap, Pid, decode, encode


class Colour(enum.Enum):
    RED = "red"
    ONE = 1
    PAIR = ("a", 1)
    NOTHING = None
    ZERO = 0.0
    OTHER = Atom("nil")


class Other(enum.Enum):
    RED = "red"
    MINUS_ZERO = -0.0


@dataclasses.dataclass(frozen=True)
class Crate:
    name: str


class Text(str):
    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return id(self)


class Whole(int):
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


ID = UUID(int=5)
CONVERTERS = {Decimal: str, complex: lambda number: [number.real, number.imag], type: lambda kind: Atom(kind.__name__)}
PID = Pid("a@b", 1, 2, 3)

SAME = [
    {"a": 1, b"a": 2},
    {Atom("nil"): 1, None: 2},
    {Atom("true"): 1, True: 2},
    {Atom("false"): 1, False: 2},
    {Atom("nil"): 1, Colour.NOTHING: 2},
    {Colour.NOTHING: 1, Colour.OTHER: 2},
    {("a", 1): 1, (b"a", 1): 2},
    {((("a",),),): 1, (((b"a",),),): 2},
    {(None, "x"): 1, (Atom("nil"), "x"): 2},
    {"red": 1, Colour.RED: 2},
    {Other.RED: 1, Colour.RED: 2},
    {1: 1, Colour.ONE: 2},
    {("a", 1): 1, Colour.PAIR: 2},
    {(b"a", 1): 1, Colour.PAIR: 2},
    {0.0: 1, Colour.ZERO: 2},
    {0.0: 1, Other.MINUS_ZERO: 2},
    {Colour.ZERO: 1, Other.MINUS_ZERO: 2},
    {(0.0, "a"): 1, (-0.0, b"a"): 2},
    {"a/b": 1, PurePosixPath("a/b"): 2},
    {str(ID): 1, ID: 2},
    {Text("a"): 1, Text("a"): 2},
    {Text("a"): 1, "a": 2},
    {Whole(1): 1, 1: 2},
    {"1.5": 1, Decimal("1.5"): 2},
    {Decimal("1.5"): 1, "1.5": 2},
    {Decimal("1.5"): 1, b"1.5": 2},
    {("1.5",): 1, (Decimal("1.5"),): 2},
    {Decimal("NaN"): 1, Decimal("NaN"): 2},
    {Atom("int"): 1, int: 2},
    {int: 1, type("int", (), {}): 2},
    {frozenset({1, 2}): 1, range(1, 3): 2},
    {frozenset({1, 2}): 1, 1 + 2j: 2, range(1, 3): 3},
    {(1, (np.float64(1.5), "a")): 1, (1, (1.5, b"a")): 2},
    {np.str_("a"): 1, b"a": 2},
    {ImproperList(["red"], 1): 1, ImproperList([Colour.RED], 1): 2},
    {Export("m", "f", 1): 1, (Export("m", "f", 1),): 2, (Export("m", "f", 1), "a"): 3, (Export("m", "f", 1), b"a"): 4},
    {PairsMap([(1, 1)]): 1, PairsMap([(Colour.ONE, 1)]): 2},
    {PairsMap([(1, "red")]): 1, PairsMap([(1, Colour.RED)]): 2},
    {memoryview(b"a"): 1, "a": 2},
    {range(2): 1, (): 3, frozenset({0, 1}): 2},
]


@pytest.mark.parametrize(
    "kind", [dict, OrderedDict, MappingProxyType, ChainMap, lambda value: defaultdict(None, value)]
)
@pytest.mark.parametrize("value", SAME, ids=str)
def test_keys_that_are_the_same_term_are_refused(value, kind):
    with pytest.raises(EncodeError, match=r"^result\[0\]: cannot encode a dict in which two keys are the same term"):
        encode([kind(value)], converters=CONVERTERS)


DIFFERENT = [
    {1: "a", 1.5: "b", "1": "c", Atom("1"): "d", b"\xff": "e", (1,): "f", (1.5,): "g"},
    {"a": 1, Atom("b"): 2, None: 3, True: 4, 2: 5},
    {Atom("red"): 1, Colour.RED: 2},
    {1.0: 1, Colour.ONE: 2},
    {True: 1, Colour.ONE: 2},
    {(1,): 1, (Colour.ZERO,): 2},
    {frozenset({1, 2}): 1, (1, 2): 2},
    {Decimal("1.5"): 1, 1.25: 2},
    {Crate("a"): 1, Crate("b"): 2},
    {PID: 1, Pid("a@b", 1, 2, 4): 2, (PID,): 3, BitString(b"a", 1): 4, Export("m", "f", 1): 5},
    {np.float32(0.5): 1, "0.5": 2},
    {Text("a"): 1, Text("b"): 2},
    {(1, (2, (3, "x"))): 1, (1, (2, (3, Atom("x")))): 2},
    {memoryview(b"a"): 1, Atom("a"): 2},
    {(): 1, frozenset(): 2, PairsMap([]): 3},
    {range(1000): 1},
]


@pytest.mark.parametrize("value", DIFFERENT, ids=str)
def test_keys_that_are_different_terms_keep_their_entries(value):
    decoded = decode(encode(value, converters=CONVERTERS))
    assert len(decoded) == len(value)
    for key, item in value.items():
        plain_key = decode(encode(key, converters=CONVERTERS))
        assert PairsMap(decoded.items())[plain_key] == item


def test_a_pairs_map_whose_keys_have_become_the_same():
    first, second = [1], [2]
    value = PairsMap([(first, "a"), (second, "b")])
    assert decode(encode(value)) == value
    second[0] = 1
    with pytest.raises(EncodeError, match="two keys are the same term"):
        encode(value)


def test_a_pairs_map_with_keys_of_other_types():
    with pytest.raises(EncodeError, match="two keys are the same term"):
        encode(PairsMap([(Colour.RED, 1), ("red", 2)]))
    assert decode(encode(PairsMap([(Colour.RED, 1), (Atom("red"), 2)]))) == PairsMap([("red", 1), (Atom("red"), 2)])


def test_a_pairs_map_may_have_both_zeros_as_otp_27_does():
    value = PairsMap([(0.0, 1), (-0.0, 2)])
    assert decode(encode(value)) == value


def test_a_converter_of_a_builtin_type_may_make_keys_the_same():
    with pytest.raises(EncodeError, match="two keys are the same term"):
        encode({"A": 1, "a": 2}, converters={str: str.lower})
    assert decode(encode({"A": 1, "b": 2}, converters={str: str.lower})) == {"a": 1, "b": 2}
    assert decode(encode({1: 1, 2: 2}, converters={int: lambda number: -number})) == {-1: -1, -2: -2}


def test_a_key_is_converted_once():
    results = iter(["first", "second", "same", "same"])
    encoded = encode({1j: 1, 2j: 2}, converters={complex: lambda _number: next(results)})
    assert decode(encoded) == {"first": 1, "second": 2}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({(1, 2j): 1}, r"^result \(a key\)\[1\]: cannot encode complex$"),
        ([{"a": {(1, (2j, 3)): 1}}], r'^result\[0\]\["a"\] \(a key\)\[1\]\[0\]: cannot encode complex$'),
        ({Colour: 1}, r"^result \(a key\): cannot encode enum"),
        ({"\ud800": 1}, r"^result \(a key\): cannot encode a str with a lone surrogate"),
        ({float("nan"): 1}, r"^result \(a key\): nan has no Erlang term"),
        ({float("nan"): 1, "a": 2}, r"^result \(a key\): nan has no Erlang term"),
        ({(1, Atom("x" * 256)): 1}, r"^result \(a key\)\[1\]: cannot encode an Atom"),
        (PairsMap([([2j], 1)]), r"^result \(a key\)\[0\]: cannot encode complex"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_path_to_what_is_wrong_in_a_key(value, message):
    with pytest.raises(EncodeError, match=message):
        encode(value)


def nested(depth, wrap):
    value = Atom("end")
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("depth", "wrap"),
    [(2000, lambda value: (value,)), (100, lambda value: PairsMap([(value, 1)]))],
    ids=["tuple", "map"],
)
def test_keys_that_are_too_deep_to_be_compared(depth, wrap):
    with pytest.raises(EncodeError, match="nested too deeply to be compared"):
        encode({nested(depth, wrap): 1, "a": 2})
