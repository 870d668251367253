"""Converters: the one of the nearest class wins over every other encoding."""

import dataclasses
import datetime
import enum
import typing
from collections import OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from pathlib import PurePosixPath

import numpy as np
import pytest

from vendor_term_codec import Atom, EncodeError, Export, ImproperList, PairsMap, Pid, decode, encode, encode_term


class Level(str, enum.Enum):  # noqa: UP042 - the older way to write it
    LOW = "low"


class Number(enum.IntEnum):
    THREE = 3


class Rights(enum.IntFlag):
    READ = 1


class Words(list):
    pass


class Title(str):
    pass


class Pairs(dict):
    pass


class Matrix(np.ndarray):
    pass


Point = namedtuple("Point", "x y")


class Place(typing.NamedTuple):
    x: int


@dataclasses.dataclass
class Crate:
    name: str


class Bytes(bytes):
    pass


PID = Pid("a@b", 1, 2, 3)


def named(value):
    return f"converted {type(value).__name__}"


OF_EACH_KIND = [
    Level.LOW,
    Number.THREE,
    Rights.READ,
    Words([1]),
    Title("a"),
    Pairs(a=1),
    Point(1, 2),
    Place(1),
    Crate("a"),
    Bytes(b"a"),
    OrderedDict(a=1),
    defaultdict(list),
    np.arange(3),
    np.arange(3).view(Matrix),
    np.arange(4).view(np.recarray),
    np.ma.array([1], mask=[1]),
    np.float32(1.5),
    np.float64(1.5),
    np.bool_(True),
    np.int64(5),
    {1},
    frozenset(),
    range(3),
    PurePosixPath("a"),
    datetime.date(2026, 1, 1),
    datetime.timedelta(1),
    Decimal(1),
    None,
    True,
    5,
    -(2**80),
    1.5,
    "a",
    Atom("a"),
    b"a",
    bytearray(b"a"),
    memoryview(b"a"),
    [1],
    [],
    (),
    (1,),
    {},
    {"a": 1},
    PID,
    Export("m", "f", 1),
    ImproperList([1], 2),
    PairsMap([(1, 2)]),
    iter([1]),
]


@pytest.mark.parametrize("value", OF_EACH_KIND, ids=lambda value: type(value).__name__)
def test_a_converter_of_the_very_class_wins(value):
    converters = {type(value): lambda value: Atom(named(value))}
    expected = Atom(named(value))
    assert decode(encode(value, converters=converters)) == expected
    assert decode(encode(deque([value, deque([value])]), converters=converters)) == [expected, [expected]]


@pytest.mark.parametrize("value", OF_EACH_KIND, ids=lambda value: type(value).__name__)
def test_the_converter_of_a_base_class_is_used_and_the_nearest_wins(value):
    nearer = [base for base in type(value).__mro__ if base is not object and not base.__name__.startswith("_")]
    own_terms = {bool: [bool], Atom: [Atom]}  # A bool is no int on the BEAM, and an Atom is no text.
    bases = own_terms.get(type(value), nearer)
    for base in bases:
        farther = {other: lambda _value: "farther" for other in bases[bases.index(base) + 1 :]}
        assert decode(encode(value, converters={**farther, base: lambda _value: Atom("nearer")})) == "nearer"


def test_bool_is_no_int_and_an_atom_is_no_text():
    converters = {int: lambda number: number + 1, str: str.upper}
    value = [True, 1, False, Atom("a"), "a", None]
    assert decode(encode(value, converters=converters)) == [True, 2, False, Atom("a"), "A", None]
    assert type(decode(encode(value, converters=converters))[3]) is Atom


def test_a_converter_of_object_is_not_used():
    assert decode(encode(["a", {1}], converters={object: repr})) == ["a", [1]]
    with pytest.raises(EncodeError, match="cannot encode object"):
        encode(object(), converters={object: repr})


@pytest.mark.parametrize(
    ("converters", "value", "plain"),
    [
        ({float: lambda number: round(number, 1)}, [1.26, [2.34] * 20, {"a": 1.01}], [1.3, [2.3] * 20, {"a": 1.0}]),
        ({float: lambda number: number * 2}, [np.float64(1.5), 1.5], [3.0, 3.0]),
        ({float: lambda number: None if number != number else number}, [1.5, float("nan")], [1.5, None]),
        ({str: str.strip}, {" a ": " b "}, {"a": "b"}),
        ({int: str}, [1, 2, [3] * 20], ["1", "2", ["3"] * 20]),
        ({int: str, str: lambda text: text + "!"}, [1, "a"], ["1!", "a!"]),
        ({list: tuple}, [[1], []], ((1,), ())),
        ({tuple: list}, (1, Point(1, (2,))), [1, [1, [2]]]),
        ({list: sorted}, [[3, 1], [2, 1]], [[1, 2], [1, 3]]),
        ({dict: lambda items: {key: value for key, value in items.items() if value}}, {"a": {"b": 0}}, {"a": {}}),
        ({dict: lambda items: [*items.items()]}, {"a": {"b": 0}}, [("a", [("b", 0)])]),
        ({Words: lambda words: Words(sorted(words))}, Words([2, 1]), [1, 2]),
        ({Words: lambda words: words}, Words([2, 1]), [2, 1]),
        ({Level: lambda level: level}, Level.LOW, "low"),
        ({Level: lambda level: level.name}, {"a": Level.LOW}, {"a": "LOW"}),
        ({enum.Enum: lambda member: Atom(member.name)}, [Level.LOW, Number.THREE], ["LOW", "THREE"]),
        ({str: str.upper}, [Level.LOW, Title("a")], ["LOW", "A"]),
        ({np.ndarray: lambda array: array.tobytes()}, np.array([65], "u1"), "A"),
        ({np.ndarray: lambda array: array[:2]}, np.arange(5), [0, 1]),
        ({np.ma.MaskedArray: lambda array: array.filled(0)}, np.ma.array([1, 2], mask=[0, 1]), [1, 0]),
        ({Crate: dataclasses.astuple}, [Crate("a")], [("a",)]),
        ({type(None): lambda _none: Atom("undefined")}, [None], ["undefined"]),
        ({bool: int}, [True, 1], [1, 1]),
        ({set: len}, [{1, 2}], [2]),
        ({Decimal: str}, {"price": Decimal("9.90")}, {"price": "9.90"}),
        ({int: Decimal, Decimal: str}, [1, [2] * 20], ["1", ["2"] * 20]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_converters_do(converters, value, plain):
    assert decode(encode(value, converters=converters)) == plain
    assert encode(value, converters=converters) == b"\x83" + encode_term(value, converters=converters)


class Link:
    """A value that stands for another one, perhaps for another link."""

    def __init__(self, to):
        self.to = to


LINK = {Link: lambda link: link.to}


def test_a_converter_is_used_again_for_a_result_without_a_term():
    assert decode(encode([Link(Link(Link("a")))], converters=LINK)) == ["a"]


def endless():
    link = Link(None)
    link.to = Link(link)
    return link


def to_itself():
    link = Link(None)
    link.to = link
    return link


@pytest.mark.parametrize(
    ("value", "converters", "message"),
    [
        (to_itself(), LINK, "cannot encode .*Link$"),
        (endless(), LINK, "contains itself"),
        (Link(1), {Link: lambda _link: Link(1)}, "nested deeper than 10000"),
        (Link(1), {Link: lambda _link: [Link(1)]}, "nested deeper than 10000"),
        (Link(1), {Link: lambda _link: {Link(1): 1}}, "."),
        (Link(1), {Link: lambda link: link + 1}, r"cannot encode .*Link: its converter raised TypeError: unsupported"),
        (1, {int: str, str: int}, "nested deeper than 10000"),
        (Link(1), {Link: lambda _link: 1j}, "cannot encode complex"),
        (Link(1), {Link: lambda _link: float("nan")}, "nan has no Erlang term"),
        (Link(1), {Link: lambda _link: iter([])}, "it can be read only once"),
        (1, {int: lambda _number: "\ud800"}, "lone surrogate"),
        ("é", {str: lambda text: text.encode("ascii")}, "'ascii' codec can't encode"),
    ],
    ids=str,
)
def test_what_converters_cannot_do(value, converters, message):
    with pytest.raises(EncodeError, match=message):
        encode([[value]], converters=converters)


@pytest.mark.parametrize("value", [1j, 1.5, "text", (1,), [1.0] * 20])
def test_other_exceptions_of_a_converter_come_through(value):
    with pytest.raises(ZeroDivisionError):
        encode([0, value], converters={type(value): lambda _value: 1 / 0})


def test_the_path_goes_through_converted_values():
    converters = {list: tuple, int: lambda number: [number / 0.5] if number else 1j}
    with pytest.raises(EncodeError, match=r'^result\["a"\]\[1\]: cannot encode complex$'):
        encode({"a": [1, 0]}, converters=converters)
