"""What callers pass, checked: names, vectors, colours, numbers by the megabyte and maps of options.

Errors are sentences for the caller.
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
    """The options as a dictionary.

    Raises:
        ValueError: it is no map, or an option is not among those allowed.
    """
    chosen = named(given)
    unknown = sorted(set(chosen) - set(allowed))
    if unknown:
        raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(sorted(allowed))}")
    return chosen


def named(given: Options) -> dict[str, Any]:
    """A map whose keys are names.

    Raises:
        ValueError: it is something else.
    """
    try:
        return {text(name): value for name, value in dict(given or {}).items()}
    except (TypeError, ValueError):
        raise ValueError(f"a map is needed here, whose keys are names, not {type(given).__name__}") from None


def text(value: Any) -> str:
    """A name or a word, which is a view of a binary where a handler takes binaries so.

    Raises:
        ValueError: it is no text.
    """
    if isinstance(value, str):
        return str(value)  # An atom is a kind of str that shows in errors as what it is.
    try:
        return str(value, "utf-8")
    except (TypeError, UnicodeDecodeError):
        raise ValueError(f"a text is needed here, not {type(value).__name__}") from None


def numbers(value: Any, number: str, what: str) -> NDArray[Any]:
    """The numbers of a binary, without a copy where they are aligned; or of a list, also one of lists.

    Args:
        value: the binary, in little-endian order, or the list.
        number: numpy's name of their type, such as "<f4".
        what: what they are, for errors.

    Raises:
        ValueError: they are something else.
    """
    type_ = np.dtype(number)
    if not isinstance(value, bytes | memoryview):
        return _listed(value, type_, what)
    if len(value) % type_.itemsize:
        raise ValueError(f"{what} has {len(value)} bytes, and a {type_.name} has {type_.itemsize}")
    if type_.kind == "b":
        return np.frombuffer(value, np.uint8).astype(np.bool_)
    # Blender copies an aligned array whole, and any other number by number.
    return np.require(np.frombuffer(value, type_), requirements="A")


def _listed(value: Any, type_: "np.dtype[Any]", what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value).reshape(-1)
    except ValueError:  # Lists of different lengths.
        array = np.asarray(None)
    taken = {"f": "fiu", "i": "iu", "b": "biu", "u": "iu"}[type_.kind]
    if isinstance(value, str) or (array.size and array.dtype.kind not in taken) or array.ndim != 1:
        raise ValueError(f"{what} has to be a binary of {type_.name} or a list of such numbers")
    if array.size and type_.kind in "iu" and not _fits(array, type_):
        raise ValueError(f"{what} holds a number that is no {type_.name}")
    return array.astype(type_)


def _fits(array: NDArray[Any], type_: "np.dtype[Any]") -> bool:
    limits = np.iinfo(type_)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def vector(value: Any, what: str) -> Vector:
    """Three numbers.

    Raises:
        ValueError: it is something else.
    """
    try:
        x, y, z = (float(number) for number in value)
    except (TypeError, ValueError):
        raise ValueError(f"{what} has to be a list of three numbers, not {value!r}") from None
    return x, y, z


def color(value: Any) -> tuple[float, float, float, float]:
    """A linear RGBA colour from "#rrggbb", which is sRGB as on the web, or from three or four linear numbers.

    Raises:
        ValueError: it is something else.
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
    """What `value` stands for.

    Raises:
        ValueError: it is not among those allowed.
    """
    if value not in allowed:
        raise ValueError(f"no {what} {str(value)!r}; there are: {', '.join(sorted(allowed))}")
    return allowed[value]


def object_named(name: str) -> bpy.types.Object:
    """The object.

    Raises:
        LookupError: there is none of that name.
    """
    found = bpy.data.objects.get(name)
    if found is None:
        there = ", ".join(bpy.data.objects.keys()) or "none"
        raise LookupError(f"no object named {str(name)!r}; there are: {there}")
    return found


def scene() -> bpy.types.Scene:
    """The scene that is open."""
    current = bpy.context.scene
    assert current is not None
    return current


def _web_color(text: str) -> tuple[float, float, float, float]:
    digits = text.removeprefix("#")
    try:
        red, green, blue = (byte / 255.0 for byte in bytes.fromhex(digits))
    except ValueError:
        raise ValueError(f'a colour in hexadecimal is written "#rrggbb", not {text!r}') from None
    return _linear(red), _linear(green), _linear(blue), 1.0


def _linear(channel: float) -> float:
    # IEC 61966-2-1, the definition of sRGB.
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
