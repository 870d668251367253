"""What callers pass, checked: names, vectors, colours and maps of options. Errors are sentences for the caller."""

from collections.abc import Iterable, Mapping
from typing import Any

import bpy

Vector = tuple[float, float, float]

Options = Mapping[str, Any] | list[tuple[str, Any]] | None
"""An Elixir map, `%{size: 2}`; a keyword list, `[size: 2]`; or nil."""


def options(given: Options, allowed: Iterable[str]) -> dict[str, Any]:
    """The options as a dictionary.

    Raises:
        ValueError: an option is not among those allowed.
    """
    chosen = {str(name): value for name, value in dict(given or {}).items()}
    unknown = sorted(set(chosen) - set(allowed))
    if unknown:
        raise ValueError(f"no option {unknown[0]!r}; there are: {', '.join(sorted(allowed))}")
    return chosen


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
