"""Check and convert the arguments of callers: names, vectors, colours, arrays of numbers, and maps of options.

The message of each exception is a sentence for the caller.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]

Options = Mapping[str, Any] | list[tuple[str, Any]] | None
"""An Elixir map, `%{size: 2}`; a keyword list, `[size: 2]`; or nil."""


def options(given: Options, allowed: Iterable[str], what: str = "option") -> dict[str, Any]:
    """Return the options as a dict.

    Args:
        given: the options, as the caller passed them.
        allowed: the names of the options that are allowed.
        what: the word for an option in the error message; default "option".

    Raises:
        ValueError: `given` is not a map, or an option is not allowed.
    """
    chosen = named(given)
    unknown = sorted(set(chosen) - set(allowed))
    if unknown:
        raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(sorted(allowed))}")
    return chosen


def named(given: Options) -> dict[str, Any]:
    """Return a map whose keys are names as a dict.

    Raises:
        ValueError: `given` is not a map, or a key is not a name.
    """
    try:
        return {text(name): value for name, value in dict(given or {}).items()}
    except (TypeError, ValueError):
        raise ValueError(f"expected a map whose keys are names, not {type(given).__name__}") from None


def text(value: Any) -> str:
    """Return a name or another word as a str. It may be a memoryview, if the handler has `binaries=memoryview`.

    Raises:
        ValueError: `value` is not text.
    """
    if isinstance(value, str):
        return str(value)  # This also converts an Atom, whose repr would differ in error messages.
    try:
        return str(value, "utf-8")
    except (TypeError, UnicodeDecodeError):
        raise ValueError(f"expected a text, not {type(value).__name__}") from None


def numbers(value: Any, number: str, what: str) -> NDArray[Any]:
    """Return an array of one dimension with the numbers of a binary or a list.

    The numbers of a binary are copied only if they are not aligned in memory. A list may contain lists.

    Args:
        value: a binary of little-endian numbers, or a list.
        number: numpy's name for the type of the numbers, such as "<f4".
        what: the name of the argument in error messages.

    Raises:
        ValueError: `value` is neither of them, or a number does not fit the type.
    """
    type_ = np.dtype(number)
    if not isinstance(value, bytes | memoryview):
        return _listed(value, type_, what)
    if len(value) % type_.itemsize:
        raise ValueError(f"{what} has {len(value)} bytes, which is not a multiple of {type_.itemsize} ({type_.name})")
    if type_.kind == "b":
        return np.frombuffer(value, np.uint8).astype(np.bool_)
    # Blender copies an aligned array in one step, and other arrays number by number.
    return np.require(np.frombuffer(value, type_), requirements="A")


def _listed(value: Any, type_: "np.dtype[Any]", what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value).reshape(-1)
    except ValueError:  # The list contains lists of different lengths.
        array = np.asarray(None)
    taken = {"f": "fiu", "i": "iu", "b": "biu", "u": "iu"}[type_.kind]
    if isinstance(value, str) or (array.size and array.dtype.kind not in taken) or array.ndim != 1:
        raise ValueError(f"{what} has to be a binary of {type_.name} or a list of such numbers")
    if array.size and type_.kind in "iu" and not _fits(array, type_):
        raise ValueError(f"{what} contains a number that is too large or too small for {type_.name}")
    return array.astype(type_)


def _fits(array: NDArray[Any], type_: "np.dtype[Any]") -> bool:
    limits = np.iinfo(type_)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def vector(value: Any, what: str) -> Vector:
    """Return three numbers as a tuple of floats.

    Raises:
        ValueError: `value` is not a list of three numbers.
    """
    try:
        x, y, z = (float(number) for number in value)
    except (TypeError, ValueError):
        raise ValueError(f"{what} has to be a list of three numbers, not {value!r}") from None
    return x, y, z


def color(value: Any) -> tuple[float, float, float, float]:
    """Return a linear RGBA colour.

    Args:
        value: "#rrggbb" in sRGB, as on the web; or three or four linear numbers from 0 to 1.

    Raises:
        ValueError: `value` is not a colour.
    """
    if isinstance(value, str):
        return _web_color(value)
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (3, 4):
        raise ValueError(f'a colour is "#rrggbb" or a list of three or four numbers, not {value!r}')
    red, green, blue = numbers[:3]
    return red, green, blue, (numbers[3] if len(numbers) == 4 else 1.0)


def choice(value: str, allowed: Mapping[str, Any], what: str) -> Any:
    """Return the value of a word in the map `allowed`.

    Args:
        value: the word.
        allowed: the words that are allowed.
        what: the name of the argument in the error message.

    Raises:
        ValueError: the word is not allowed.
    """
    if value not in allowed:
        raise ValueError(f"no {what} {str(value)!r}; there are: {', '.join(sorted(allowed))}")
    return allowed[value]


def object_named(name: str) -> bpy.types.Object:
    """Return the object with this name.

    Raises:
        LookupError: there is no object with this name.
    """
    found = bpy.data.objects.get(name)
    if found is None:
        there = ", ".join(bpy.data.objects.keys()) or "none"
        raise LookupError(f"no object named {str(name)!r}; there are: {there}")
    return found


def scene() -> bpy.types.Scene:
    """Return the scene of the current context."""
    current = bpy.context.scene
    assert current is not None
    return current


def _web_color(text: str) -> tuple[float, float, float, float]:
    digits = text.removeprefix("#")
    try:
        red, green, blue = (byte / 255.0 for byte in bytes.fromhex(digits))
    except ValueError:
        raise ValueError(f'a hexadecimal colour must be "#rrggbb", not {text!r}') from None
    return _linear(red), _linear(green), _linear(blue), 1.0


def _linear(channel: float) -> float:
    # IEC 61966-2-1, the definition of sRGB.
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
