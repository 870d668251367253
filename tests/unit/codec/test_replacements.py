"""Types of the standard library, subclasses of builtin types, classes derived from abstract collections."""

import array
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import itertools
import pathlib
import types
import typing
import uuid
import zoneinfo
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString, defaultdict, deque, namedtuple

import pytest

from vendor_term_codec import Atom, EncodeError, Export, PairsMap, decode, encode
from vendor_term_codec.replacements import LONGEST_RANGE

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, {"a": 2})


class Level(str, enum.Enum):  # noqa: UP042 - the older way to write it
    LOW = "low"


class Coded(str, enum.Enum):  # noqa: UP042 - its value is not its text
    def __new__(cls, label, code):
        self = str.__new__(cls, label)
        self._value_ = code
        return self

    ONE = ("one", 1)


class Number(enum.IntEnum):
    THREE = 3


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    A = 1
    B = 4


class Alias(enum.Enum):
    COLOUR = Colour.RED


@dataclasses.dataclass
class Crate:
    name: str
    size: tuple
    parts: list = dataclasses.field(default_factory=list)
    total: dataclasses.InitVar[int] = 0
    kind: typing.ClassVar[str] = "crate"


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    at: Colour
    inner: Crate


class Child(Crate):
    pass


@dataclasses.dataclass
class Settings(dict):
    quality: int


class Window(collections.abc.Sequence):
    def __init__(self, *values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]


class Config(collections.abc.Mapping):
    def __getitem__(self, key):
        return {"a": 1, "b": [2]}[key]

    def __iter__(self):
        return iter("ab")

    def __len__(self):
        return 2


class Names(collections.abc.Set):
    def __init__(self, values):
        self.values = list(values)

    def __contains__(self, value):
        return value in self.values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


class Shouting(dict):
    def items(self):
        return [(key.upper(), value) for key, value in super().items()]


class Text(str):
    def __str__(self):
        return "something else"


class Whole(int):
    def __int__(self):
        return 7


class Raw(bytes):
    def __bytes__(self):
        return b"something else"


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
WHEN = datetime.datetime(2026, 12, 31, 12, 30, 5, 250_000)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")

VALUES = [
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({"FINISHED"}, ["FINISHED"]),
    (set(), []),
    ({(2, "b"), (1, "a")}, [(1, "a"), (2, "b")]),
    (range(3), [0, 1, 2]),
    (range(10, 0, -4), [10, 6, 2]),
    (range(0), []),
    ({"b": 1, "a": 2}.keys(), ["b", "a"]),
    ({"b": 1, "a": 2}.values(), [1, 2]),
    ({"b": 1}.items(), [("b", 1)]),
    (OrderedDict(b=1, a=2).keys(), ["b", "a"]),
    (ChainMap({"a": 1}).items(), [("a", 1)]),
    (UserDict(a=1).values(), [1]),
    (types.MappingProxyType({"a": 1}).keys(), ["a"]),
    (deque([1, "a", 2.5], maxlen=5), [1, "a", 2.5]),
    (array.array("d", [1.5, 2.5]), [1.5, 2.5]),
    (array.array("B", b"\1\2"), [1, 2]),
    (array.array("q", [-(2**40)]), [-(2**40)]),
    (array.array("u", "né"), "né"),
    (UserList([1, [2]]), [1, [2]]),
    (UserString("text"), "text"),
    (Window(1, "a"), [1, "a"]),
    (Names("ba"), ["a", "b"]),
    (types.MappingProxyType({"a": {1}}), {"a": [1]}),
    (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
    (defaultdict(list, a=[1]), {"a": [1]}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
    (UserDict(a=1), {"a": 1}),
    (Config(), {"a": 1, "b": [2]}),
    (Shouting(a=1), {"A": 1}),
    (Colour.RED, "red"),
    (Colour.PAIR, (1, {"a": 2})),
    (Level.LOW, "low"),
    (Coded.ONE, 1),
    (Number.THREE, 3),
    (Rights.READ | Rights.WRITE, 3),
    (Bits.A | Bits.B, 5),
    (Alias.COLOUR, "red"),
    (Crate("a", (1, 2.5)), {"name": "a", "size": (1, 2.5), "parts": []}),
    (Child("a", ()), {"name": "a", "size": (), "parts": []}),
    (
        Frozen(Colour.RED, Crate("b", (), [Number.THREE])),
        {"at": "red", "inner": {"name": "b", "size": (), "parts": [3]}},
    ),
    (Settings(quality=5), {"quality": 5}),
    (pathlib.PurePosixPath("/tmp/a b.png"), "/tmp/a b.png"),
    (pathlib.PureWindowsPath("C:/a"), "C:\\a"),
    (pathlib.Path("."), "."),
    (UUID, str(UUID)),
    (WHEN, "2026-12-31T12:30:05.250000"),
    (WHEN.replace(tzinfo=datetime.UTC), "2026-12-31T12:30:05.250000+00:00"),
    (WHEN.replace(tzinfo=BERLIN), "2026-12-31T12:30:05.250000+01:00"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.time(1, 2), "01:02:00"),
    (datetime.time(1, 2, tzinfo=datetime.UTC), "01:02:00+00:00"),
    (Point(1, {2}), (1, [2])),
    (Text("a"), "a"),
    (Whole(5), 5),
    (Raw(b"\xff"), b"\xff"),
    (memoryview(array.array("H", [65])), "A\0"),
    (memoryview(bytes(range(12))).cast("B", (3, 4)), bytes(range(12)).decode()),
    (memoryview(b"abcdef")[::-2], "fdb"),
    (memoryview(b""), ""),
]


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=lambda value: type(value).__name__)
def test_each_type_has_its_term_at_every_depth(value, plain):
    assert decode(encode(value)) == plain
    assert type(decode(encode(value))) is type(plain)
    assert decode(encode({"a": (value, [value])})) == {"a": (plain, [plain])}


@pytest.mark.parametrize("value", [{1, "a", None}, {2j, 1j}, {Colour.RED, Colour.PAIR}], ids=str)
def test_a_set_of_what_cannot_be_sorted_is_a_list_in_any_order(value):
    decoded = decode(encode(value, default=str))
    assert sorted(map(str, decoded)) == sorted(map(str, decode(encode([*value], default=str))))


def test_an_element_is_compared_by_its_own_rules_and_these_may_raise_anything():
    class Touchy(UserString):
        def __lt__(self, other):
            raise ZeroDivisionError

    assert sorted(decode(encode({Touchy("a"), Touchy("b")}))) == ["a", "b"]


ITERATORS = [
    (item for item in "ab"),
    iter([]),
    iter({}),
    iter(range(3)),
    map(str, [1]),
    filter(None, [1]),
    zip([1], [2], strict=True),
    enumerate("a"),
    reversed([1]),
    itertools.count(),
    itertools.cycle([1]),
    itertools.repeat(1),
    itertools.chain([1]),
    iter({}.keys()),
]


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"a": (1, value)}])
@pytest.mark.parametrize("value", ITERATORS, ids=lambda value: type(value).__name__)
def test_an_iterator_is_refused_at_every_depth(value, wrap):
    with pytest.raises(EncodeError, match=r"^result.*: cannot encode .*: it can be read only once.* use list\(\)"):
        encode(wrap(value))


def test_a_generator_is_not_started():
    started = []

    def generate():
        started.append(1)
        yield 1

    generator = generate()
    with pytest.raises(EncodeError):
        encode([generator])
    assert not started
    assert list(generator) == [1]


class Liar(list):
    """It says that it has another length than it has."""

    def __len__(self):
        return 3


class Endless(list):
    def __iter__(self):
        return itertools.count()


class EndlessTuple(tuple):
    def __iter__(self):
        return itertools.count()


class EndlessMapping(Config):
    def items(self):
        return zip(itertools.count(), itertools.count(), strict=True)


class SameKeyTwice(Config):
    def items(self):
        return [("a", 1), ("a", 2)]


class ListKeys(Config):
    def items(self):
        return [([], 1), ({}, 2)]


class NoPairs(Config):
    def items(self):
        return [1, 2]


class Vast(Window):
    def __len__(self):
        return 2**40


class Vaster(collections.UserList):
    def __len__(self):
        return 2**70


@dataclasses.dataclass(slots=True)
class Unset:
    value: int = dataclasses.field(init=False)


class Chain(Window):
    """A text-like collection: its elements are collections of the same kind."""

    def __getitem__(self, index):
        if index:
            raise IndexError
        return self


REFUSED = [
    (Liar([1, 2]), r"Liar: its length is 3, but it has 2 elements"),
    (Liar([1, 2, 3, 4]), r"Liar: its length is 3, but it has more elements"),
    (Endless([1]), r"Endless: its length is 1, but it has more elements"),
    (EndlessTuple([1]), r"EndlessTuple: its length is 1, but it has more elements"),
    (EndlessMapping(), r"EndlessMapping: its length is 2, but it has more elements"),
    (SameKeyTwice(), r"SameKeyTwice: a key occurs twice"),
    (ListKeys(), r"ListKeys: unhashable type"),
    (NoPairs(), r"NoPairs: "),
    (Vast(), r"Vast with more than 4294967295 elements"),
    (Vaster(), r"Vaster with more than 4294967295 elements"),
    (range(LONGEST_RANGE + 1), r"a range of more than 16777215 numbers"),
    (range(10**30), r"a range of more than 16777215 numbers"),
    (Unset(), r"Unset: its field value has no value"),
    (Chain(1), r"contains itself"),
    (array.array("d", [float("nan")]), r"nan has no Erlang term"),
    (pathlib.PurePosixPath("\udcff"), r"a str with a lone surrogate"),
    ({"a", "\ud800"}, r"a str with a lone surrogate"),
    (datetime.timedelta(1), r"datetime\.timedelta"),
    (decimal.Decimal(1), r"decimal\.Decimal"),
    (1j, r"complex"),
    (Colour, r"enum\."),
    (Crate, r"type"),
    (types.SimpleNamespace(a=1), r"types\.SimpleNamespace"),
    (memoryview, r"type"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_refused(value, message):
    with pytest.raises(EncodeError, match=rf'^result\["a"\]\[1\].*{message}'):
        encode({"a": [0, value]})


def test_a_memoryview_that_has_been_released():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(EncodeError, match=r"^result\[0\]: cannot encode a memoryview: .*released"):
        encode([view])


def test_the_path_goes_through_replaced_values():
    crate = Crate("a", (1,), [deque([0, {"x": 1j}])])
    with pytest.raises(EncodeError, match=r'^result\["crate"\]\["parts"\]\[0\]\[1\]\["x"\]: cannot encode complex$'):
        encode({"crate": crate})


def test_dataclasses_that_contain_each_other_are_a_cycle():
    crate = Crate("a", ())
    crate.parts.append(Crate("b", (), [crate]))
    with pytest.raises(EncodeError, match="a container that contains itself"):
        encode(crate)


def test_a_class_that_is_only_registered_with_an_abstract_collection_is_unknown():
    class Registered:
        def __len__(self):
            return 0

        def __iter__(self):
            return iter(())

    collections.abc.Sequence.register(Registered)
    with pytest.raises(EncodeError, match=r"cannot encode .*Registered$"):
        encode(Registered())


def test_the_codecs_own_dataclasses_stay_terms():
    assert decode(encode(Export("m", "f", 1))) == Export("m", "f", 1)


def test_an_atom_stays_one_in_every_collection():
    for value in ({Atom("a")}, deque([Atom("a")]), PairsMap([(Atom("a"), 1)]).keys(), [Atom("a")]):
        assert type(decode(encode(value))[0]) is Atom
