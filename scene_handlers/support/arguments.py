"""Check and convert the arguments of callers: names, numbers, vectors, colours, arrays, and maps of options.

Each check either returns the argument in the form that Blender needs, or raises a ValueError or a LookupError whose
message is a sentence for the caller. No check changes anything in Blender.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]

Options = Mapping[str, Any] | list[tuple[str, Any]] | None
"""An Elixir map, `%{size: 2}`; a keyword list, `[size: 2]`; or nil."""

LARGEST_FLOAT = float(np.finfo(np.float32).max)
"""The largest number that Blender's properties can store. Larger ones would become infinite."""

LARGEST_INTEGER = 2**31 - 1
"""The largest integer that Blender's properties can store; the smallest is -2**31."""

_NAME: Any = bpy.types.ID.bl_rna.properties["name"]

LONGEST_NAME: int = _NAME.length_max - 1
"""The largest size of the name of a datablock, in bytes of UTF-8: 63, and 255 since Blender 5."""

_LISTED = 20
"""The number of names that an error message lists."""


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
    known = sorted(allowed)
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        wrong = " and no ".join(f"{what} {name!r}" for name in unknown)
        raise ValueError(f"no {wrong}; there are: {', '.join(known)}")
    return chosen


def named(given: Options) -> dict[str, Any]:
    """Return a map whose keys are names as a dict.

    Raises:
        ValueError: `given` is not a map, or a key is not a name.
    """
    pairs: Any = given.items() if isinstance(given, Mapping) else [] if given is None else given
    try:
        if isinstance(pairs, str | bytes | memoryview):
            raise TypeError
        return {text(name): value for name, value in pairs}
    except (TypeError, ValueError):
        raise ValueError(f"expected a map whose keys are names, not {shown(given)}") from None


def text(value: Any, what: str = "a name") -> str:
    """Return a name, a path or another word as a str. It may be a memoryview, if the handler has `binaries=memoryview`.

    Args:
        value: the text, as the caller passed it.
        what: the argument in the error message, with an article; default "a name".

    Raises:
        ValueError: `value` is not text in UTF-8, or contains a null character. A list of characters, which is what
            "M" means in Erlang, is refused too, because it cannot be told apart from a list of numbers.
    """
    if isinstance(value, bytes | memoryview):
        try:
            value = str(value, "utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{what} has to be UTF-8, not the bytes {bytes(value)[:40]!r}") from None
    if not isinstance(value, str):
        raise ValueError(f"{what} has to be a binary{binary_for(value)}, not {shown(value)}")
    if "\0" in value:
        raise ValueError(f"{what} cannot contain a null character, but {str(value)!r} does")
    return str(value)  # This also converts an Atom, whose repr would differ in error messages.


def binary_for(value: Any) -> str:
    """Return a hint for a charlist: how to write this text as a binary. It is empty for other values."""
    if not isinstance(value, list | tuple | np.ndarray):
        return ""
    try:
        characters = "".join(chr(int(character)) for character in value)
    except (TypeError, ValueError, OverflowError):
        return ""
    if not characters.isprintable():
        return ""
    return f': write <<"{characters}"/utf8>>' if not characters.isascii() else f': write <<"{characters}">>'


def stored_name(name: Any, longest: int = LONGEST_NAME) -> str:
    """Return the name that Blender stores: it cuts long names at the end of a character.

    Blender still adds a number if the name is in use.

    Args:
        name: the name.
        longest: the largest size of the name, in bytes of UTF-8; default that of a datablock.

    Raises:
        ValueError: `name` is not text, is empty, or contains half of a surrogate pair.
    """
    stored = text(name)
    if not stored:
        raise ValueError("a name cannot be empty")
    try:
        return stored.encode()[:longest].decode(errors="ignore")
    except UnicodeEncodeError:
        raise ValueError(f"a name cannot contain half of a surrogate pair, but {stored!r} does") from None


def find(blocks: Any, name: Any) -> Any:
    """Return the datablock with this name, or None. A local datablock comes before linked ones.

    Args:
        blocks: a collection of `bpy.data`.
        name: the name; it may be longer than the part that Blender stores.

    Raises:
        ValueError: `name` is not text.
    """
    stored = stored_name(name)
    local = blocks.get((stored, None))
    return blocks.get(stored) if local is None else local


def object_named(name: Any) -> bpy.types.Object:
    """Return the object with this name.

    Raises:
        ValueError: `name` is not text.
        LookupError: there is no object with this name.
    """
    found: bpy.types.Object | None = find(bpy.data.objects, name)
    if found is None:
        raise LookupError(f"no object named {text(name)!r}; there are: {listed(bpy.data.objects.keys())}")
    return found


def listed(names: Iterable[str]) -> str:
    """Return names for an error message: the first of them, and how many more there are."""
    all_names = list(names)
    more = len(all_names) - _LISTED
    return (", ".join(all_names[:_LISTED]) or "none") + (f" and {more} more" if more > 0 else "")


def editable(block: Any) -> Any:
    """Return a datablock that is going to be changed.

    Raises:
        ValueError: it is linked from another file, or is an override that the user cannot edit. Blender would lose the
            change when it loads the file again.
    """
    if block.library is not None:
        raise ValueError(
            f"{block.id_type.lower()} {block.name!r} is linked from {block.library.filepath} and cannot be changed: "
            "make it local, or make a library override"
        )
    if not block.is_editable or (block.override_library and block.override_library.is_system_override):
        raise ValueError(
            f"{block.id_type.lower()} {block.name!r} is a library override that cannot be edited: "
            "make the override editable, or make it local"
        )
    return block


def scene() -> bpy.types.Scene:
    """Return the scene of the current context."""
    current = bpy.context.scene
    assert current is not None
    return current


def scene_named(name: str) -> bpy.types.Scene:
    """Return the scene with this name. A long call keeps the name of its scene, and not a reference to it.

    Raises:
        LookupError: there is no scene with this name any more.
    """
    found: bpy.types.Scene | None = find(bpy.data.scenes, name)
    if found is None:
        raise LookupError(f"the scene {name!r} does not exist any more")
    return found


def number(value: Any, what: str, least: float = -LARGEST_FLOAT, most: float = LARGEST_FLOAT) -> float:
    """Return a finite number as a float.

    Args:
        value: an integer or a float.
        what: the name of the argument in the error message.
        least, most: the limits, both included; by default those of float32.

    Raises:
        ValueError: `value` is not a number, or not within the limits.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{what} has to be a number, not {shown(value)}")
    # Compare before the conversion: a float cannot hold all integers. A nan is not within any limits.
    if not least <= value <= most:
        raise ValueError(f"{what} has to be {_range(least, most)}, not {shown(value)}")
    return float(value)


def integer(value: Any, what: str, least: int = -LARGEST_INTEGER - 1, most: int = LARGEST_INTEGER) -> int:
    """Return an integer. A float without a fraction is accepted, because a division in Elixir returns a float.

    Args:
        value: an integer, or a float such as 640.0.
        what: the name of the argument in the error message.
        least, most: the limits, both included; by default those of 32 bits.

    Raises:
        ValueError: `value` is not an integer, or not within the limits.
    """
    if isinstance(value, float | np.floating) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ValueError(f"{what} has to be an integer, not {shown(value)}")
    if not least <= value <= most:
        raise ValueError(f"{what} has to be {_range(least, most)}, not {shown(value)}")
    return int(value)


def flag(value: Any, what: str) -> bool:
    """Return true or false.

    Raises:
        ValueError: `value` is neither of them. A number is not, and nil is not.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{what} has to be true or false, not {shown(value)}")
    return bool(value)


def vector(value: Any, what: str) -> Vector:
    """Return three finite numbers as a tuple of floats.

    Raises:
        ValueError: `value` is not a list of three numbers.
    """
    found = floats(value)
    if len(found) != 3:
        raise ValueError(f"{what} has to be a list of three numbers, not {shown(value)}")
    x, y, z = found
    return x, y, z


def floats(value: Any) -> list[float]:
    """Return a list of finite numbers as floats. It is empty if `value` is anything else."""
    try:
        return [number(each, "a number") for each in _items(value)]
    except ValueError:
        return []


def color(value: Any) -> tuple[float, float, float, float]:
    """Return a linear RGBA colour.

    Args:
        value: "#rrggbb" in sRGB, as on the web; or three or four linear numbers from 0 to 1.

    Raises:
        ValueError: `value` is not a colour.
    """
    if isinstance(value, str | bytes | memoryview):
        return _web_color(text(value, "a colour"))
    found = floats(value)
    if len(found) not in (3, 4):
        hint = binary_for(value) if len(_items(value)) == len("#rrggbb") else ""
        raise ValueError(f'a colour is "#rrggbb" or a list of three or four numbers, not {shown(value)}{hint}')
    red, green, blue = found[:3]
    return red, green, blue, (found[3] if len(found) == 4 else 1.0)


def choice(value: Any, allowed: Mapping[str, Any], what: str) -> Any:
    """Return the value of a word in the map `allowed`.

    Args:
        value: the word.
        allowed: the words that are allowed.
        what: the name of the argument in the error message.

    Raises:
        ValueError: the word is not text, or is not allowed.
    """
    word = text(value, f"the {what}")
    if word not in allowed:
        raise ValueError(f"no {what} {word!r}; there are: {', '.join(sorted(allowed))}")
    return allowed[word]


def _items(value: Any) -> list[Any]:
    """Return the items of a list, a tuple, an array or one of Blender's vectors; no items for everything else."""
    if value is None or isinstance(value, str | bytes | memoryview | Mapping) or not hasattr(value, "__len__"):
        return []
    return list(value)


def shown(value: Any) -> str:
    """Return a value for an error message, cut to a length that can be read."""
    if isinstance(value, str):
        value = str(value)
    # A larger integer could not be converted to text.
    shown = f"an integer of {value.bit_length()} bits" if _is_huge(value) else repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}…"


def _is_huge(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > 128


def _range(least: float, most: float) -> str:
    if most in (LARGEST_FLOAT, LARGEST_INTEGER) and least not in (-LARGEST_FLOAT, -LARGEST_INTEGER - 1):
        return f"at least {least}"
    return f"from {least} to {most}" if most != LARGEST_FLOAT else "a finite number that float32 can hold"


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
