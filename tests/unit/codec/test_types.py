"""The codec's own types, and the ways in which binaries arrive."""

import copy
import pickle

import pytest

from vendor_term_codec import (
    Atom,
    BitString,
    DecodeError,
    EncodeError,
    Export,
    Fun,
    ImproperList,
    PairsMap,
    Pid,
    Port,
    Reference,
    decode,
    encode,
    encode_term,
)

PID = Pid("app@host", 123, 0, 1)
VALUES = [
    Atom("it's"),
    PID,
    Pid("é" * 200, 2**32 - 1, 2**32 - 1, 2**32 - 1),
    Port("app@host", 6, 1),
    Reference("app@host", 1, [3, 2, 1]),
    Export("lists", "map", 2),
    Fun(1, bytes(16), 2, "m", 3, 4, PID, (1, ["a"])),
    BitString(b"ab", 3),
    ImproperList([1, 2], Atom("tail")),
    PairsMap([(1, "int"), (1.0, "float"), (True, "true"), ([], {})]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_they_pickle_copy_and_repr_round_trips(value):
    copies = [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for same in [*copies, copy.copy(value), copy.deepcopy(value), eval(repr(value))]:
        assert same == value
        assert type(same) is type(value)
        assert encode(same) == encode(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_they_are_hashable_as_their_contents_are_and_differ_from_other_types(value):
    if type(value) is ImproperList:
        assert len({value, ImproperList([1, 2], Atom("tail"))}) == 1
    assert len({value, pickle.loads(pickle.dumps(value))}) == 1
    assert value != 1
    assert value != ("app@host", 123, 0, 1)


@pytest.mark.parametrize("value", VALUES[1:], ids=lambda value: type(value).__name__)
def test_they_are_immutable(value):
    names = [name for name in ("ext", "module", "data", "elements", "_pairs") if hasattr(value, name)]
    assert names
    for name in names:
        with pytest.raises(AttributeError):
            setattr(value, name, b"")
        with pytest.raises(AttributeError):
            delattr(value, name)
    with pytest.raises((AttributeError, TypeError)):
        value.unknown = 1


def test_they_print_as_erlang_prints_them():
    assert str(PID) == "<app@host.123.0>"
    assert str(Port("app@host", 6, 1)) == "#Port<app@host.6>"
    assert str(Reference("app@host", 1, [3, 2, 1])) == "#Ref<app@host.1.2.3>"
    assert str(Export("lists", "map", 2)) == "fun lists:map/2"
    assert str(Atom("ok")) == "ok"
    assert f"{Atom('ok')}" == "ok"
    assert str(VALUES[6]) == "#Fun<m.2.4>"


def test_their_fields():
    assert (PID.node, PID.id, PID.serial, PID.creation) == (Atom("app@host"), 123, 0, 1)
    assert type(PID.node) is Atom
    port = Port("é" * 200, 2**40, 9)
    assert (port.node, port.id, port.creation) == ("é" * 200, 2**40, 9)
    reference = Reference("n", 7, (1, 2, 3))
    assert (reference.node, reference.creation, reference.ids) == ("n", 7, (1, 2, 3))
    assert PID.ext == b"Xw\x08app@host" + bytes.fromhex("0000007b0000000000000001")
    assert len(BitString(b"ab", 3)) == 11


@pytest.mark.parametrize(
    "build",
    [
        lambda: Pid("a", 2**32, 0, 0),
        lambda: Pid("a", -1, 0, 0),
        lambda: Pid("x" * 256, 1, 0, 0),
        lambda: Port("a", 2**64, 0),
        lambda: Reference("a", 1, []),
        lambda: Reference("a", 1, [1] * 6),
        lambda: Reference("a", 1, [2**32]),
        lambda: BitString(b"", 1),
        lambda: BitString(b"a", 8),
        lambda: BitString(b"a", 0),
        lambda: ImproperList([], 1),
        lambda: ImproperList([1], [2]),
        lambda: ImproperList([1], ImproperList([2], 3)),
        lambda: PairsMap([(1, 2), (1, 3)]),
    ],
)
def test_what_they_refuse(build):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        build()


def pairs(*items):
    """A MAP_EXT, written out."""
    return b"\x83t" + (len(items) // 2).to_bytes(4, "big") + b"".join(map(encode_term, items))


COLLIDING = [
    pairs(1, "a", 1.0, "b"),
    pairs(1, "a", True, "b", 0, "c", False, "d"),
    pairs(0.0, "a", -0.0, "b"),
    pairs("a", 1, Atom("a"), 2),
    pairs((1,), 1, (1.0,), 2),
    pairs([1, 2], "list"),
    pairs({"a": 1}, "map", 1, 2),
    pairs(((1, [2]), 3), "tuple with a list"),
    pairs(PID, 1, Export("m", "f", 1), 2, [PID], 3),
]


@pytest.mark.parametrize("data", COLLIDING, ids=lambda data: repr(decode(data)))
def test_a_map_that_no_dict_can_hold_keeps_every_entry(data):
    value = decode(data)
    assert type(value) is PairsMap
    assert encode(value) == data
    assert len(value) == len(value.keys()) == len(value.values()) == len(value.items()) == data[5]
    for key, item in value.items():
        assert value.get(key) == item
        assert value[key] == item
        assert key in value
    assert list(value) == list(value.keys())


def test_a_pairs_map_looks_keys_up_exactly():
    value = decode(pairs(1, "int", 1.0, "float", "a", "binary", Atom("a"), "atom"))
    assert value.get(1) == "int"
    assert value.get(1.0) == "float"
    assert value.get("a") == "binary"
    assert value.get(Atom("a")) == "atom"
    assert value.get(b"a") == "binary"
    assert value.get(True) is None
    assert value.get(True, "none") == "none"
    assert True not in value
    with pytest.raises(KeyError):
        value[True]


def test_a_pairs_map_equals_another_whatever_the_order_and_differs_by_type():
    one = PairsMap([(1, "a"), (1.0, {"x": [1, (2,), ImproperList([1], 2)]})])
    two = PairsMap([(1.0, {"x": [1, (2,), ImproperList([1], 2)]}), (1, "a")])
    assert one == two
    assert hash(one) == hash(two)
    assert one != PairsMap([(1, "a"), (1.0, {"x": [1.0, (2,), ImproperList([1], 2)]})])


def test_distinct_keys_make_a_dict():
    improper = ImproperList([[1]], 2)
    data = pairs("a", 1, Atom("b"), 2, 3, 4, 2.5, 5, (1, 2), 6, PID, 7, None, 8, improper, 9)
    value = decode(data)
    assert type(value) is dict
    assert len(value) == 8
    assert encode(value) == data


BINARIES = b"\x83h\2" + encode_term("text") + encode_term(b"\xff\xfe")


def test_binaries_as_str_bytes_or_views():
    assert decode(BINARIES) == ("text", b"\xff\xfe")
    assert decode(BINARIES, binaries=bytes) == (b"text", b"\xff\xfe")
    text, raw = decode(BINARIES, binaries=memoryview)
    assert (text.tobytes(), raw.tobytes()) == (b"text", b"\xff\xfe")
    assert text.readonly


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_a_view_is_no_copy(container):
    data = container(encode([1.5, "x" * 100]))
    view = decode(data, binaries=memoryview)[1]
    assert view.readonly
    assert view.obj is (data.obj if isinstance(data, memoryview) else data)


def test_the_keys_of_a_map_are_bytes_where_binaries_are_views():
    for data in (encode({"a": "b"}), bytearray(encode({"a": "b"}))):
        value = decode(data, binaries=memoryview)
        assert list(value) == [b"a"]
        assert type(next(iter(value))) is bytes
        assert bytes(value[b"a"]) == b"b"


def test_a_view_of_a_part_is_read_where_it_lies():
    data = b"junk" + encode([Atom("some"), "text", 1.5, [1.0] * 40, [70000] * 100]) + b"junk"
    part = memoryview(data)[4:-4]
    assert decode(part) == [Atom("some"), "text", 1.5, [1.0] * 40, [70000] * 100]


def test_both_errors_are_value_errors():
    assert issubclass(DecodeError, ValueError)
    assert issubclass(EncodeError, ValueError)


def test_an_atom_is_a_str():
    assert Atom("ok") == "ok"
    assert {Atom("ok"): 1}["ok"] == 1
    assert decode(encode(Atom("ok"))) is decode(encode(Atom("ok")))
    assert decode(encode((Atom("nil"), Atom("true"), Atom("false")))) == (None, True, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"arity": 256},
        {"arity": "1"},
        {"uniq": b"short"},
        {"index": -1},
        {"old_index": 2**31},
        {"old_uniq": "x"},
        {"pid": 5},
    ],
    ids=str,
)
def test_a_fun_that_no_node_would_take_cannot_be_made(fields):
    sound = {"arity": 0, "uniq": bytes(16), "index": 0, "module": "m", "old_index": 0, "old_uniq": 0, "pid": PID}
    assert Fun(**sound, free=()).pid == PID
    with pytest.raises(ValueError, match=r"\bFun (is|are)\b|of a Fun"):
        Fun(**sound | fields, free=())


@pytest.mark.parametrize("arity", [-1, 256, "1", True, 1.0])
def test_an_export_has_an_arity_from_0_to_255(arity):
    with pytest.raises(ValueError, match="arity of an Export"):
        Export("m", "f", arity)


@pytest.mark.parametrize("name", ["app@host", "é" * 200])
def test_a_node_knows_its_own_identifiers_without_reading_their_names(name):
    own = encode_term(Atom(name))
    made = [Pid(name, 1, 2, 3), Port(name, 2**33, 7), Reference(name, 1, [2, 3])]
    assert all(each.is_of(own) for each in made)
    for other in (name[:-1], name + "x", "other@host"):
        assert not any(each.is_of(encode_term(Atom(other))) for each in made)
