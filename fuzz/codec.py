"""Bytes to the codec: what it may do with any of them is give a value or raise DecodeError.

The input is a term without its version byte. It is decoded in every way there is: as a whole and as one term of many,
from bytes and from other buffers, with each `binaries`, with and without `arrays`. All of them have to agree; what
was decoded has to encode, and to decode again to the same terms.

Memory: a decode may take at its peak `PEAK_PER_BYTE` bytes for each byte of the term, or of what a compressed one
inflates to, and `PEAK_BESIDES`. A list element of one byte costs 8 bytes for its place and 56 for the empty list that
it may be, a key of a map that no dict can hold some more for the comparison.

Run it by `make fuzz`, or on one file: fuzz/codec.py FILE
"""

import sys
import tracemalloc
import zlib
from contextlib import suppress
from itertools import product
from typing import Any

import atheris
import numpy  # noqa: F401 - the codec imports it when it is first asked for arrays, which would be measured

with atheris.instrument_imports(include=["vendor_term_codec"]):
    import vendor_term_codec as codec
    from vendor_term_codec import types

PEAK_PER_BYTE = 256
PEAK_BESIDES = 512 * 1024
MEASURED = 8
"""One input in so many is measured, because measuring makes it slower several times."""

WAYS = (
    *product((bytes,), (str, bytes, memoryview), (False, True)),
    (bytearray, str, False),
    (bytearray, memoryview, True),
    (memoryview, str, True),
    (memoryview, bytes, False),
)
"""Buffer, `binaries`, `arrays`. All buffers but bytes are read through a view, so not each needs each mode."""

COMPRESSED = b"P"


def test(data: bytes) -> None:
    """Decode `data` in all ways, and encode what came out."""
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
    # An offset, because nothing may depend on where in a buffer a term stands.
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
    """What `types.exact` gives, None for a value that nests deeper than Python functions may."""
    try:
        form = types.exact(value)
        hash(form)
    except RecursionError:
        return None
    return form


def _check_round_trip(value: Any, binaries: Any, arrays: bool) -> None:
    encoded = codec.encode(value)
    again = codec.decode(encoded, binaries=binaries, arrays=arrays)
    assert codec.encode(again) == encoded, "what was encoded decodes to something else"
    assert _exact(again) == _exact(value), "what was encoded decodes to another term"


def _check_whole(term: bytes, value: Any) -> None:
    """The same as a whole external term, plain and compressed; and with a byte too many or too few."""
    form = _exact(value)
    assert _exact(codec.decode(b"\x83" + term)) == form
    assert _exact(codec.decode(b"\x83P" + len(term).to_bytes(4) + zlib.compress(term, 1))) == form
    for wrong in (term + b"j", term[:-1]):
        try:
            codec.decode(b"\x83" + wrong)
        except codec.DecodeError:
            continue
        raise AssertionError("a byte too many or too few was not seen")


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
    """A tuple or list read element by element, as calls are, holds what it holds as a whole."""
    if isinstance(value, tuple):
        if data[:1] == b"l":
            return  # a list of no elements is its tail
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
        assert peak <= PEAK_PER_BYTE * len(data) + PEAK_BESIDES, f"{len(data)} bytes took {peak} bytes of memory"


if __name__ == "__main__":
    # Elements nest as deep as an input of this length can make them.
    sys.setrecursionlimit(5000)
    atheris.Setup(sys.argv, test)
    atheris.Fuzz()
