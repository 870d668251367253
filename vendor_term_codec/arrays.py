"""Runs of numbers, taken whole.

A list of floats is a tag byte and eight bytes, over and over: a slice with a stride of nine shows whether a run is one.
"""

from __future__ import annotations

import struct
import sys
from math import isfinite
from operator import countOf
from types import ModuleType
from typing import Any

from .errors import DecodeError, EncodeError

SMALL_RUN = 16
"""Up to so many floats are read at once by a struct of their number."""

ARRAY_MIN = 16
"""A shorter list stays a list even where arrays are asked for."""

FLOAT_TAGS = [b"F" * count for count in range(SMALL_RUN + 1)]
FLOAT_RUNS = [struct.Struct(">" + "xd" * count).unpack_from for count in range(SMALL_RUN + 1)]


def check_finite(values: list[float], offset: int) -> None:
    for index, value in enumerate(values):
        if not isfinite(value):
            raise DecodeError(f"the float at offset {offset + 9 * index} is nan or infinite, which Erlang has not")


def numpy_module() -> ModuleType | None:
    """numpy, if it can be imported. (Imported on first demand for arrays, never before.)"""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def as_array(values: list[Any]) -> Any:
    """`values` as a float64 or int64 array if it is long enough and all of one of the two types, else itself."""
    if len(values) < ARRAY_MIN:
        return values
    first = type(values[0])
    if (first is not float and first is not int) or countOf(map(type, values), first) != len(values):
        return values
    numpy = numpy_module()
    assert numpy is not None
    try:
        return numpy.array(values, numpy.float64 if first is float else numpy.int64)
    except OverflowError:
        return values


def plain(value: Any) -> Any:
    """The Python value that a numpy array or scalar stands for; NotImplemented for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return NotImplemented
    if value.dtype.kind not in "fiub":
        return NotImplemented
    if value.dtype.kind == "f" and not numpy.isfinite(value).all():
        raise EncodeError("nan and infinity have no Erlang term")
    return value.tolist()
