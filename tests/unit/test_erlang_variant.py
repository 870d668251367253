"""Values of an application's own types: recognised by name, or registered."""

import subprocess
import sys

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
