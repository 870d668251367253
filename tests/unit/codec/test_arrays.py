"""Number runs: lists that are read and written whole, with numpy and without."""

import random
import struct
import sys
import tracemalloc
from array import array as array_of

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendor_term_codec import DecodeError, EncodeError, decode, encode, encode_term
from vendor_term_codec.arrays import ARRAY_MIN

finite = st.floats(allow_nan=False, allow_infinity=False)


def plain_list(values):
    """A LIST_EXT as Erlang writes it: each element with the smallest tag."""
    return b"\x83l" + struct.pack(">I", len(values)) + b"".join(map(encode_term, values)) + b"j"


@pytest.mark.parametrize("count", [1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 255, 256, 257, 511, 512, 1000, 30000])
@pytest.mark.parametrize("number", [float, int], ids=["floats", "ints"])
def test_runs_of_every_length(count, number):
    values = [number(index * 1000 - 500) for index in range(count)]
    for data in (plain_list(values), encode(values)):
        assert decode(data) == values
        assert decode(bytearray(data)) == values
    assert decode(encode(tuple(values))) == tuple(values)


@pytest.mark.parametrize("count", [20, 300])
@pytest.mark.parametrize("at", [0, 1, 10, 19])
@pytest.mark.parametrize("other", ["x", 1, 1.0, -1, 300, True, None, 2**40, []], ids=repr)
@pytest.mark.parametrize("number", [1.5, 7, 70000], ids=repr)
def test_a_run_with_one_other_element(number, other, at, count):
    values = [number] * count
    values[at] = other
    for data in (plain_list(values), encode(values)):
        for options in ({}, {"arrays": True}):
            decoded = decode(data, **options)
            decoded = decoded.tolist() if isinstance(decoded, np.ndarray) else decoded
            assert decoded == values
            assert [type(item) for item in decoded] == [type(item) for item in values]
    assert decode(encode(tuple(values))) == tuple(values)


@given(st.lists(st.one_of(st.integers(0, 255), st.integers(-(2**31), 2**31 - 1), finite), max_size=200))
def test_alternating_runs(values):
    assert decode(plain_list(values)) == values
    assert decode(encode(values)) == values


def test_runs_that_alternate_in_long_stretches():
    random.seed(7)
    values = []
    for _ in range(40):
        low, high = random.choice([(0, 255), (256, 2**31 - 1), (-5, 300)])
        values += [random.randint(low, high) for _ in range(random.choice([1, 3, 64, 200, 3000]))]
    assert decode(plain_list(values)) == values
    assert decode(plain_list(values), arrays=True).tolist() == values


@given(st.lists(st.tuples(st.sampled_from([7, 98, 255, 256, 70000, -1]), st.integers(1, 700)), max_size=12))
def test_integers_of_both_tags_arrive_as_one_array(stretches):
    values = [number for number, count in stretches for _ in range(count)]
    decoded = decode(plain_list(values), arrays=True)
    assert (decoded.tolist() if isinstance(decoded, np.ndarray) else decoded) == values
    assert isinstance(decoded, np.ndarray) is (len(values) >= ARRAY_MIN)


def test_runs_of_many_slices():
    values = [70000] * 200_000 + [5] + [70000] * 70_001
    assert decode(plain_list(values), arrays=True).tolist() == values
    assert decode(plain_list([*values, "x"]), arrays=True) == [*values, "x"]


@pytest.mark.parametrize(
    "values",
    [[1.5] * 300, [70000] * 300, [7] * 300, [7, 70000] * 20 + [70000] * 300 + [7] * 20],
    ids=["floats", "ints", "bytes", "both tags"],
)
def test_a_run_that_is_cut_anywhere(values):
    data = plain_list(values)
    for end in [*range(1, 80), *range(len(data) - 80, len(data))]:
        for options in ({}, {"arrays": True}):
            with pytest.raises(DecodeError):
                decode(data[:end], **options)


def test_a_run_with_an_improper_tail():
    for values in ([1.5] * 300, [70000] * 300):
        data = plain_list(values)[:-1] + encode_term(9)
        for options in ({}, {"arrays": True}):
            assert list(decode(data, **options).elements) == values


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.5 * index for index in range(ARRAY_MIN)], np.float64),
        ([0.5 * index for index in range(5000)], np.float64),
        ([1.7e308, -1.7e308] * 50, np.float64),
        ([70000 + index for index in range(5000)], np.int64),
        (list(range(5000)), np.int64),
        (list(range(200)), np.int64),
        ([2**62, -(2**63), 2**63 - 1, 5] * 50, np.int64),
    ],
    ids=str,
)
def test_number_lists_arrive_as_arrays(values, dtype):
    for data in (plain_list(values), encode(values)):
        for container in (bytes, bytearray):
            array = decode(container(data), arrays=True)
            assert isinstance(array, np.ndarray)
            assert array.dtype == dtype
            assert array.tolist() == values
            assert array.flags.writeable


@pytest.mark.parametrize(
    "values",
    [
        [1.5] * (ARRAY_MIN - 1),
        [7] * (ARRAY_MIN - 1),
        [1.5, 7] * 50,
        [1.5] * 50 + ["x"],
        [2**63] * 50,
        [True] * 50,
        [],
        tuple([1.5] * 50),
    ],
    ids=str,
)
def test_what_stays_a_list_or_tuple(values):
    decoded = decode(encode(values), arrays=True)
    assert type(decoded) is type(values)
    assert decoded == values


def test_arrays_inside_other_terms():
    value = decode(encode({"a": [[1.0] * 20, [2] * 20], "b": ("x", [3.0] * 20)}), arrays=True)
    assert value["a"][0].tolist() == [1.0] * 20
    assert value["a"][1].tolist() == [2] * 20
    assert value["b"][1].tolist() == [3.0] * 20


@pytest.mark.parametrize("bits", [b"\x7f\xf0", b"\xff\xf0", b"\x7f\xf8"], ids=["inf", "-inf", "nan"])
def test_nan_and_infinity_in_a_run(bits):
    for count in (5, 20, 600):
        data = bytearray(plain_list([1.5] * count))
        data[6 + 9 * 3 + 1 : 6 + 9 * 3 + 3] = bits
        data[6 + 9 * 3 + 3 : 6 + 9 * 4] = bytes(6)
        for options in ({}, {"arrays": True}):
            with pytest.raises(DecodeError, match="the float at offset 33 is nan or infinite"):
                decode(bytes(data), **options)


DTYPES = ["f2", "f4", "f8", ">f8", "i1", "u1", "i2", "u2", "i4", ">i4", "u4", "i8", "u8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (5,), (700,), (3, 4), (2, 3, 4), (0,), (2, 0), (0, 2), (2, 0, 3), ()], ids=str)
def test_arrays_encode_as_their_lists(dtype, shape):
    size = int(np.prod(shape))
    array = (np.arange(size) * 37 % 1000 - 100).astype(dtype).reshape(shape)
    assert decode(encode(array)) == array.tolist()
    assert decode(encode([array, {"a": array}])) == [array.tolist(), {"a": array.tolist()}]


@pytest.mark.parametrize("dtype", ["i8", "u8", "i4", "u4", "i1", "u1", "f4", "f8", "f2"])
def test_the_ends_of_each_type(dtype):
    info = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    array = np.array([info.min, info.max, 0, 1], dtype=dtype)
    assert decode(encode(array)) == array.tolist()


def test_views_and_other_memory_orders():
    array = np.arange(24.0).reshape(4, 6)
    for other in (array.T, array[::2, ::-1], np.asfortranarray(array), array[1:3, 2:4]):
        assert decode(encode(other)) == other.tolist()
        assert decode(encode(other.astype(np.int64))) == other.astype(np.int64).tolist()
        assert decode(encode(other.astype(np.int64) * -(2**40))) == (other.astype(np.int64) * -(2**40)).tolist()


@pytest.mark.parametrize(
    "scalar", [np.float64(1.5), np.float32(0.1), np.int64(-5), np.uint64(2**64 - 1), np.bool_(True), np.str_("x")]
)
def test_scalars(scalar):
    decoded = decode(encode(scalar))
    assert decoded == scalar.item()
    assert type(decoded) is type(scalar.item())


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_and_infinity_in_an_array(dtype, value):
    with pytest.raises(EncodeError, match=r'result\["a"\]: nan and infinity have no Erlang term'):
        encode({"a": np.array([1.0, value], dtype)})
    with pytest.raises(EncodeError, match="has no Erlang term"):
        encode(np.array(value, dtype)[()])


class Plain(np.ndarray):
    """A subclass that adds something of its own."""

    unit = "m"


class Halved(np.ndarray):
    def __getitem__(self, index):
        return np.ndarray.__getitem__(self, index) / 2


class Quantity(np.ndarray):
    """As astropy's: its numbers mean nothing without the unit."""

    def tolist(self):
        raise NotImplementedError


class Iterated(np.ndarray):
    def __iter__(self):
        return iter("ab")


class Masked(np.ndarray):
    mask = True


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "values", [[[1, 2], [3, 2**40]], [[-(2**63), 2**63 - 1]], [[7, 8]], [[-5, 70000]], [[0.5]], [[]]]
)
def test_a_matrix_is_a_list_of_rows(values):
    matrix = np.matrix(values)
    assert decode(encode([matrix, {"a": matrix}])) == [values, {"a": values}]
    assert decode(encode(matrix.T)) == matrix.T.tolist()
    assert decode(encode(matrix > 7)) == (matrix > 7).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Plain, np.recarray, np.memmap])
def test_a_subclass_that_reads_its_elements_as_an_array_does(kind, dtype, tmp_path):
    plain = np.arange(6).astype(dtype).reshape(2, 3)
    other = np.memmap(tmp_path / "numbers", dtype, "w+", shape=(2, 3)) if kind is np.memmap else plain.view(kind)
    other[:] = plain
    for value, same in ((other, plain), (other[1:, ::-2], plain[1:, ::-2]), (other.T, plain.T)):
        assert decode(encode(value)) == same.tolist()


@pytest.mark.parametrize("kind", [Halved, Quantity, Iterated, Masked])
@pytest.mark.parametrize("dtype", ["f8", "i8", "u1", "?"])
def test_a_subclass_that_reads_its_elements_in_its_own_way_is_refused(kind, dtype):
    for shape in ((4,), (2, 2), (0,), ()):
        array = np.zeros(shape, dtype).view(kind)
        with pytest.raises(EncodeError, match=rf"^result\[0\]: cannot encode .*{kind.__name__} of "):
            encode([array])
        assert decode(encode([array], default=lambda _: "chosen")) == ["chosen"]


RECORDS = np.array([(1, 2.5), (3, 4.5)], [("id", "i4"), ("size", "f8")])


@pytest.mark.parametrize(
    "value",
    [
        np.array([1j]),
        np.complex64(1),
        np.array(["a"]),
        np.array([b"a"]),
        np.array([object()]),
        np.array([2**70, 1]),
        np.array(None),
        np.ma.array([1, 2], mask=[0, 1]),
        np.ma.array([1.5, 2]),
        np.ma.array([2**40, 1], mask=[1, 0]),
        np.ma.array([True], mask=[1]),
        np.ma.array(5, mask=True),
        np.ma.masked,
        RECORDS,
        RECORDS[0],
        RECORDS.view(np.recarray),
        RECORDS.view(np.recarray)[0],
        np.rec.array([(1, 2.5)], dtype=RECORDS.dtype),
        np.void(b"ab"),
        np.char.array(["a"]),
        np.datetime64("2024-01-01"),
        np.timedelta64(1, "D"),
        np.array(["2024-01-01"], "M8[D]"),
        np.dtype("f8"),
        np.float64,
    ],
    ids=repr,
)
def test_other_arrays_are_refused_or_left_to_default(value):
    for wrapped in (value, [value], {"a": (value,)}):
        with pytest.raises(EncodeError, match=r"^result.*: cannot encode (numpy|type)"):
            encode(wrapped)
    assert decode(encode(value, default=lambda _: "chosen")) == "chosen"


def test_fields_and_subarrays_of_records_are_arrays():
    points = np.zeros(2, [("at", "3f4"), ("id", ">u8")])
    points["at"] = [[1, 2, 3], [4, 5, 6]]
    points["id"] = [2**64 - 1, 2**63]
    assert decode(encode([RECORDS["id"], RECORDS["size"]])) == [[1, 3], [2.5, 4.5]]
    assert decode(encode([points["at"], points["id"]])) == [[[1, 2, 3], [4, 5, 6]], [2**64 - 1, 2**63]]
    assert decode(encode(RECORDS.view(np.recarray).size)) == 2


@pytest.mark.parametrize(
    "array",
    [
        np.broadcast_to(np.float32(1.5), (3, 4)),
        np.broadcast_to(np.int64(2**40), (3, 4)),
        np.lib.stride_tricks.sliding_window_view(np.arange(10), 3),
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        np.array([[-0.0, 5e-324], [1.7e308, -1.7e308]]),
        np.longdouble([1.5, -2.5]),
        np.array([2**63, 2**64 - 1, 0], ">u8"),
        np.array([-(2**63), 2**63 - 1, 0], ">i8"),
        np.array([1.5], ">f2"),
        np.zeros((65536, 1), "u1"),
        np.zeros((1, 65536), "u1"),
        np.zeros((1,) * 30),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape[:4]}",
)
def test_arrays_in_other_memory(array):
    assert decode(encode(array)) == array.tolist()
    array = array.copy()
    array.flags.writeable = False
    assert decode(encode((array,))) == (array.tolist(),)


@pytest.mark.parametrize("value", [np.finfo(np.longdouble).max, np.longdouble("inf"), np.longdouble("nan")], ids=str)
def test_a_longdouble_that_is_too_large_for_a_float(value):
    with pytest.raises(EncodeError, match="no Erlang term"):
        encode(np.array([1, value]))
    with pytest.raises(EncodeError, match="no Erlang term"):
        encode(value)


def test_an_empty_array_with_many_rows_takes_little_memory():
    array = np.empty((300_000, 0, 5))
    tracemalloc.start()
    try:
        data = encode(array)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert decode(data) == [[]] * 300_000


class Numbers(list):
    pass


@pytest.mark.parametrize("bits", [b"\x7f\xf0", b"\xff\xf0", b"\x7f\xf8", b"\xff\xff", b"\x7f\xf1"])
@pytest.mark.parametrize("at", [0, 7, 19])
def test_no_bits_of_nan_or_infinity_are_written(bits, at):
    (number,) = struct.unpack(">d", bits + b"\0\0\0\0\0\1")
    values = [1.7e308] * 20
    values[at] = number
    for value in (
        values,
        tuple(values),
        np.array(values),
        np.array([values]).T,
        Numbers(values),
        array_of("d", values),
    ):
        with pytest.raises(EncodeError, match="no Erlang term"):
            encode([value])


def test_without_numpy_nothing_is_lost(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    values = [[1.5] * 300, [70000] * 300, list(range(300)), [7] * 20]
    assert decode(encode(values), arrays=True) == values
    with pytest.raises(EncodeError, match="cannot encode object"):
        encode(object())
