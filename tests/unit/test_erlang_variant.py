"""Values of an application's own types: recognised by name, or registered."""

import datetime
import enum
import re
import subprocess
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import numpy
import pytest

from beam_bpy import Atom, EncodeError, ErlangVariantDecoder, ErlangVariantEncoder
from vendor_term_codec import decode, encode


def fake(module, name, base=object):
    """A class that says of itself what one of Blender's types says."""
    return type(name, (base,), {"__module__": module, "__qualname__": name})


class _Rows:
    def __init__(self, *rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


class _Group:
    def to_dict(self):
        return {"seed": 4}


def encoded(value, encoder=None):
    return decode((encoder or ErlangVariantEncoder()).encode(value))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mathutils", "Vector"),
        ("mathutils", "Color"),
        ("mathutils", "Euler"),
        ("mathutils", "Quaternion"),
        ("idprop.types", "IDPropertyArray"),
        ("builtins", "bpy_prop_array"),
        ("bpy_types", "bpy_prop_array"),
        ("builtins", "bpy_prop_collection"),
        ("builtins", "IDPropertyGroupViewKeys"),
        ("idprop.types", "IDPropertyGroupViewValues"),
        ("builtins", "IDPropertyGroupViewItems"),
    ],
)
def test_a_row_of_numbers_is_a_list(module, name):
    assert encoded(fake(module, name, _Rows)(1.0, 2.5, -3.0)) == [1.0, 2.5, -3.0]


def test_a_matrix_is_a_list_of_rows():
    vector, matrix = fake("mathutils", "Vector", _Rows), fake("mathutils", "Matrix", _Rows)

    assert encoded(matrix(vector(1.0, 0.0), vector(0.0, 1.0))) == [[1.0, 0.0], [0.0, 1.0]]


def test_a_property_array_of_several_dimensions_is_nested():
    array = fake("builtins", "bpy_prop_array", _Rows)

    assert encoded(array(array(True, False), array(False, True))) == [[True, False], [False, True]]


def test_a_group_of_properties_is_a_map():
    assert encoded(fake("idprop.types", "IDPropertyGroup", _Group)()) == {"seed": 4}


def test_such_a_value_may_stand_anywhere():
    vector = fake("mathutils", "Vector", _Rows)

    assert encoded({"at": (vector(1.0), [vector(2.0)])}) == {"at": ([1.0], [[2.0]])}


def test_a_subclass_is_what_its_base_is():
    base = fake("mathutils", "Vector", _Rows)

    assert encoded(fake("addon", "Direction", base)(1.0)) == [1.0]


def test_the_right_name_in_another_module_is_another_type():
    with pytest.raises(EncodeError, match=r"other\.Vector"):
        encoded(fake("other", "Vector", _Rows)(1.0))


class Crate:
    pass


class BigCrate(Crate):
    pass


def test_a_registered_type_is_encoded_as_its_function_says():
    encoder = ErlangVariantEncoder()
    encoder.register(Crate, lambda crate: {Atom("crate"): type(crate).__name__})

    assert encoded([Crate(), BigCrate()], encoder) == [{"crate": "Crate"}, {"crate": "BigCrate"}]


def test_the_nearest_registered_class_counts():
    encoder = ErlangVariantEncoder()
    encoder.register(Crate, lambda _crate: "crate")
    encoder.register(BigCrate, lambda _crate: "big crate")

    assert encoded([Crate(), BigCrate()], encoder) == ["crate", "big crate"]


def test_a_registered_type_may_contain_registered_types():
    encoder = ErlangVariantEncoder()
    encoder.register(BigCrate, lambda _crate: [Crate()])
    encoder.register(Crate, lambda _crate: 1)

    assert encoded(BigCrate(), encoder) == [1]


def test_a_registration_wins_over_the_name():
    vector = fake("mathutils", "Vector", _Rows)
    encoder = ErlangVariantEncoder()
    encoder.register(vector, tuple)

    assert encoded(vector(1.0, 2.0), encoder) == (1.0, 2.0)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_registrations_is_of_no_importance(order):
    encoder = ErlangVariantEncoder()
    for type_, name in [(Crate, "crate"), (BigCrate, "big crate")][::order]:
        encoder.register(type_, lambda _crate, name=name: name)

    assert encoded([Crate(), BigCrate()], encoder) == ["crate", "big crate"]


class Level(str, enum.Enum):  # noqa: UP042 - the older way to write it
    LOW = "low"


@pytest.mark.parametrize(
    ("value", "before"),
    [(Level.LOW, "low"), ({1}, [1]), (datetime.date(2026, 1, 1), "2026-01-01"), (numpy.arange(2), [0, 1]), (1.5, 1.5)],
    ids=str,
)
def test_a_registration_can_be_replaced_and_removed(value, before):
    encoder = ErlangVariantEncoder()
    assert encoded(value, encoder) == before
    encoder.register(type(value), lambda _value: Atom("first"))
    encoder.register(type(value), lambda _value: Atom("second"))
    assert encoded([value], encoder) == ["second"]
    assert encoder.unregister(type(value))
    assert not encoder.unregister(type(value))
    assert encoded([value], encoder) == [before]


def test_a_function_of_object_is_used_for_what_has_no_term():
    vector = fake("mathutils", "Vector", _Rows)
    encoder = ErlangVariantEncoder()
    encoder.register(object, lambda value: Atom(type(value).__name__))
    value = [1, {"a"}, vector(1.0), Decimal(1), Crate(), 1j, Level.LOW]

    assert encoded(value, encoder) == [1, ["a"], [1.0], "Decimal", "Crate", "complex", "low"]
    assert encoder.unregister(object)
    with pytest.raises(EncodeError):
        encoded(Crate(), encoder)


@pytest.mark.parametrize(
    ("type_", "function"), [("Crate", str), (Crate(), str), (None, str), (Crate, None), (Crate, "str")]
)
def test_what_cannot_be_registered(type_, function):
    encoder = ErlangVariantEncoder()
    with pytest.raises(TypeError, match=r"a converter is registered for a class|the converter of Crate is a function"):
        encoder.register(type_, function)


@pytest.mark.parametrize("value", [Decimal("1.5"), Fraction(1, 2), datetime.timedelta(1)], ids=repr)
def test_a_type_with_several_obvious_terms_is_refused_with_the_line_that_chooses(value):
    encoder = ErlangVariantEncoder()
    name = type(value).__name__
    with pytest.raises(
        EncodeError, match=rf'^result\["a"\]: cannot encode \w+\.{name}: .*register\({name}, '
    ) as caught:
        encoded({"a": value}, encoder)

    line = re.search(r"server\.encoder\.(register\(.*\))$", str(caught.value))
    timedelta = datetime.timedelta
    eval(f"encoder.{line[1]}", {"encoder": encoder, "timedelta": timedelta, "Decimal": Decimal, "Fraction": Fraction})
    assert encoded({"a": value}, encoder) in ({"a": "1.5"}, {"a": 0.5}, {"a": 86400.0})


def test_threads_may_register_while_others_encode():
    encoder = ErlangVariantEncoder()
    encoder.register(Crate, lambda _crate: "crate")
    stopped = threading.Event()

    def work():
        while not stopped.is_set():
            encoder.register(BigCrate, lambda _crate: "big crate")
            encoder.unregister(BigCrate)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        found = {tuple(encoded([Crate(), BigCrate()], encoder)) for _ in range(2000)}
    finally:
        stopped.set()
        thread.join()
    assert found <= {("crate", "crate"), ("crate", "big crate")}


def test_a_function_may_return_a_value_of_its_own_type():
    vector = fake("mathutils", "Vector", _Rows)
    encoder = ErlangVariantEncoder()
    encoder.register(vector, lambda value: vector(*(number * 2 for number in value)))
    encoder.register(Crate, lambda crate: BigCrate())
    encoder.register(Decimal, lambda number: number.normalize())

    assert encoded([vector(1.0, 2.0)], encoder) == [[2.0, 4.0]]
    for value in (Crate(), Decimal(1)):
        with pytest.raises(EncodeError, match=r"cannot encode decimal|nested deeper"):
            encoded(value, encoder)


def test_encoders_share_no_registrations():
    ErlangVariantEncoder().register(Crate, lambda _crate: 1)

    with pytest.raises(EncodeError):
        encoded(Crate())


def test_an_unknown_type_is_named_with_the_way_to_it():
    with pytest.raises(EncodeError) as caught:
        encoded({"mesh": [1, Crate()]})

    assert str(caught.value).startswith(f'result["mesh"][1]: cannot encode {__name__}.Crate')


def test_a_converters_own_error_is_not_hidden():
    encoder = ErlangVariantEncoder()
    encoder.register(Crate, lambda _crate: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        encoder.encode(Crate())


def test_the_two_forms_differ_by_the_version_byte():
    encoder = ErlangVariantEncoder()

    assert encoder.encode(["x", 1]) == b"\x83" + encoder.encode_term(["x", 1]) == encode(["x", 1])


@pytest.mark.parametrize(
    ("binaries", "expected"), [(str, "text"), (bytes, b"text"), (memoryview, memoryview(b"text"))], ids=lambda x: str(x)
)
def test_a_decoder_gives_binaries_as_it_was_told(binaries, expected):
    value = ErlangVariantDecoder(binaries=binaries).decode(encode("text"))

    assert value == expected
    assert type(value) is binaries


def test_a_decoder_gives_numbers_as_arrays_if_told():
    numbers = [float(number) for number in range(100)]

    assert isinstance(ErlangVariantDecoder(arrays=True).decode(encode(numbers)), numpy.ndarray)
    assert ErlangVariantDecoder().decode(encode(numbers)) == numbers


def test_nothing_of_blender_is_imported():
    code = "import beam_bpy, sys; print({'bpy', 'mathutils', 'idprop'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
