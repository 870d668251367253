"""Application values and terms: `vendor_term_codec` with the types that programs like Blender bring along.

Numbers in numpy arrays are the codec's own business. What is added here are types that the codec cannot know without
importing their package: they are recognised by the names of module and class, so that nothing is imported.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.protocol.control import BinaryType
from vendor_term_codec import decode, encode, encode_term

Converter = Callable[[Any], Any]
"""Turns a value of an application's type into one that has a term."""


def _rows(matrix: Any) -> list[list[float]]:
    return [list(row) for row in matrix]


def _nested(array: Any) -> list[Any]:
    return [_nested(item) if type(item) is type(array) else item for item in array]


_MODULES = frozenset(("builtins", "mathutils", "bpy_types", "idprop.types"))
"""Blender's own types are written in C, and most of them say that they are from `builtins`."""

_BY_NAME: dict[str, Converter] = {
    "Vector": list,
    "Color": list,
    "Euler": list,
    "Quaternion": list,
    "Matrix": _rows,
    "bpy_prop_array": _nested,
    "IDPropertyArray": list,
    "IDPropertyGroup": lambda group: group.to_dict(),
}


class ErlangVariantEncoder:
    """Encodes what handlers return. Types of an application's own can be added with `register`."""

    def __init__(self) -> None:
        self._converters: dict[type[Any], Converter] = {}

    def register(self, type_: type[Any], function: Converter) -> None:
        """Encode values of `type_`, and of its subclasses, as what `function` makes of them."""
        self._converters[type_] = function

    def encode(self, value: Any) -> bytes:
        """The external format of `value`, with the version byte.

        Raises:
            EncodeError: a value has no term; the message names its type and the path to it.
        """
        return encode(value, default=self._convert)

    def encode_term(self, value: Any) -> bytes:
        """As `encode`, without the version byte: the form inside a distribution message."""
        return encode_term(value, default=self._convert)

    def _convert(self, value: Any) -> Any:
        for type_ in type(value).__mro__:
            converter = self._converters.get(type_) or _known(type_)
            if converter is not None:
                return converter(value)
        raise TypeError


def _known(type_: type[Any]) -> Converter | None:
    return _BY_NAME.get(type_.__qualname__) if type_.__module__ in _MODULES else None


class ErlangVariantDecoder:
    """Decodes terms into values.

    Args:
        binaries: str (valid UTF-8 as str, else bytes), bytes, or memoryview, which copies nothing.
        arrays: number runs become numpy arrays.
    """

    def __init__(self, binaries: BinaryType = str, arrays: bool = False) -> None:
        self._binaries: BinaryType = binaries
        self._arrays = arrays

    def decode(self, data: bytes | bytearray | memoryview) -> Any:
        """The value of one term in external format, version byte included.

        Raises:
            DecodeError: it is no valid term, or bytes follow it.
        """
        return decode(data, binaries=self._binaries, arrays=self._arrays)
