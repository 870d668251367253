"""Fuzz the codec. For any bytes, the decoder must return a value or raise DecodeError.

The input is a term without its version byte. The fuzzer decodes it in all ways: as a whole external term and as a part
of other data, from bytes and from other buffers, with each value of `binaries`, with and without `arrays`. All results
must be equal. A decoded value must encode, and the encoded bytes must decode to the same term.

Memory: while a term is decoded, the peak of the allocated memory must not exceed `PEAK_PER_BYTE` bytes for each byte
of the term (for a compressed term, after inflation), plus `PEAK_BESIDES` bytes. The worst case is an element of one
byte: in a list it needs 8 bytes for its reference, and 56 bytes for an empty list. A key of a PairsMap needs more
memory, because the keys are compared.

Run it with `make fuzz`, or for one input: fuzz/codec.py FILE
"""

import sys
import tracemalloc
import zlib
from contextlib import suppress
from itertools import product
from typing import Any

import atheris
import numpy  # noqa: F401 - otherwise the codec imports it during the first measurement of memory

with atheris.instrument_imports(include=["vendor_term_codec"]):
    import vendor_term_codec as codec
    from vendor_term_codec import types

PEAK_PER_BYTE = 256
PEAK_BESIDES = 512 * 1024
MEASURED = 8
"""The memory of one in this many inputs is measured, because the measurement makes a decode several times slower."""

WAYS = (
    *product((bytes,), (str, bytes, memoryview), (False, True)),
    (bytearray, str, False),
    (bytearray, memoryview, True),
    (memoryview, str, True),
    (memoryview, bytes, False),
)
"""Tuples of buffer, `binaries` and `arrays`.

The decoder reads all buffers except bytes through a memoryview, so not every combination is needed for them.
"""

COMPRESSED = b"P"


def test(data: bytes) -> None:
    """Decode `data` in all ways, and encode the results."""
    if zlib.crc32(data) % MEASURED == 0:
        _check_memory(data)
    _check_headers(data)
    results = [_decoded(data, *way) for way in WAYS]
    _check_agreement(results)
    first = results[0]
    if first is None:
        return
    value, end = first
    for (buffer, binaries, arrays), result in zip(WAYS, results, strict=True):
        if result is not None and buffer is bytes:
            _check_round_trip(result[0], binaries, arrays)
    _check_whole(data[:end], value)
    _check_elements(data, value)


def _decoded(data: bytes, buffer: Any, binaries: Any, arrays: bool) -> tuple[Any, int] | None:
    # Decode at an offset, because the result must not depend on the position of the term in the buffer.
    try:
        value, end = codec.decode_term(buffer(b"xx" + data), 2, binaries=binaries, arrays=arrays)
    except codec.DecodeError:
        return None
    return value, end - 2


def _check_agreement(results: list[tuple[Any, int] | None]) -> None:
    assert len({None if result is None else result[1] for result in results}) == 1, "the ways to decode disagree"
    forms = {_exact(result[0]) for result in results if result is not None}
    assert len(forms) <= 1, "the ways to decode give different terms"


def _exact(value: Any) -> Any:
    """Return `types.exact(value)`, or None if the value is nested too deeply for Python's recursion limit."""
    try:
        form = types.exact(value)
        hash(form)
    except RecursionError:
        return None
    return form


def _check_round_trip(value: Any, binaries: Any, arrays: bool) -> None:
    encoded = codec.encode(value)
    again = codec.decode(encoded, binaries=binaries, arrays=arrays)
    assert codec.encode(again) == encoded, "the encoded bytes decode to a value that encodes to other bytes"
    assert _exact(again) == _exact(value), "the encoded bytes decode to another term"


def _check_whole(term: bytes, value: Any) -> None:
    """Decode the term as a whole external term, plain and compressed. Then add or remove a byte: this must fail."""
    form = _exact(value)
    assert _exact(codec.decode(b"\x83" + term)) == form
    assert _exact(codec.decode(b"\x83P" + len(term).to_bytes(4) + zlib.compress(term, 1))) == form
    for wrong in (term + b"j", term[:-1]):
        try:
            codec.decode(b"\x83" + wrong)
        except codec.DecodeError:
            continue
        raise AssertionError("the decoder accepts a term with a byte too many or too few")


def _check_headers(data: bytes) -> None:
    for header in (codec.tuple_header, codec.list_header):
        try:
            count, end = header(data, 0)
        except codec.DecodeError:
            continue
        assert count >= 0
        assert end <= len(data)
    if data[:1] == COMPRESSED:
        with suppress(codec.DecodeError):
            codec.decode(b"\x83" + data)


def _check_elements(data: bytes, value: Any) -> None:
    """Read a tuple or list element by element, as for the arguments of calls. The elements must be the same."""
    if isinstance(value, tuple):
        if data[:1] == b"l":
            return  # The decoder returns the tail of a list without elements; here the tail is a tuple.
        count, offset = codec.tuple_header(data, 0)
        assert count == len(value)
        whole = value
    elif isinstance(value, list | codec.ImproperList) and data[:1] != b"k":
        count, offset = codec.list_header(data, 0)
        whole = tuple(value) if isinstance(value, list) else value.elements
    else:
        return
    found = []
    for _ in range(count):
        element, offset = codec.decode_term(data, offset)
        found.append(element)
    assert _exact(tuple(found)) == _exact(whole[:count]), "the elements differ from the whole"


def _check_memory(data: bytes) -> None:
    for binaries, arrays in ((str, False), (memoryview, True)):
        tracemalloc.start()
        try:
            codec.decode_term(data, binaries=binaries, arrays=arrays)
        except codec.DecodeError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak <= PEAK_PER_BYTE * len(data) + PEAK_BESIDES, f"{len(data)} bytes needed {peak} bytes of memory"


if __name__ == "__main__":
    # The longest inputs can nest terms deeper than Python's default limit.
    sys.setrecursionlimit(5000)
    atheris.Setup(sys.argv, test)
    atheris.Fuzz()
