"""Encode and decode the values of an application: `vendor_term_codec` plus the types of mathutils, bpy and idprop.

The codec itself encodes Python's types and numpy arrays. This module adds types of Blender. It must not import their
packages, so it recognises these types by the names of their module and class.
"""

from collections.abc import Callable
from typing import Any

from beam_bpy.protocol.control import BinaryType
from vendor_term_codec import decode, encode, encode_term

Converter = Callable[[Any], Any]
"""Converts a value of an application's type to a value that can be encoded."""


def _rows(matrix: Any) -> list[list[float]]:
    return [list(row) for row in matrix]


def _nested(array: Any) -> list[Any]:
    return [_nested(item) if type(item) is type(array) else item for item in array]


_MODULES = frozenset(("builtins", "mathutils", "bpy_types", "idprop.types"))
"""The modules of Blender's types. They are written in C, and for most of them `__module__` is "builtins"."""

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
    """Encodes the results of handlers. `register` adds types of an application.

    These types are encoded from the start:

        types of `vendor_term_codec.encode`    see there; among them numpy arrays
        Vector, Color, Euler, Quaternion       a list of floats
        Matrix                                 a list of rows
        bpy_prop_array, IDPropertyArray        a list, nested for each dimension
        IDPropertyGroup                        a map
    """

    def __init__(self) -> None:
        self._converters: dict[type[Any], Converter] = {}

    def register(self, type_: type[Any], function: Converter) -> None:
        """Encode values of `type_`, and of its subclasses, as the value that `function` returns for them.

        A value takes part only if neither the codec nor numpy knows its type. So `register` has no effect for:

        - None, bool, int, float, str, bytes, bytearray, memoryview, list, tuple and dict
        - subclasses of int, float, str, bytes, bytearray, list, tuple and dict, such as an IntEnum or a NamedTuple
        - the types of `vendor_term_codec`
        - numpy arrays and scalars of numbers or booleans

        For the types of Blender in the list above, it replaces the encoding.

        If several classes in the method resolution order of a value have a function, the first one is used. Virtual
        base classes (`abc.ABCMeta.register`) have no effect.

        Args:
            type_: a class. A second call with the same class replaces the function.
            function: takes the value and returns another value. The result is encoded in the same way, so it may
                contain values of registered types. If the function raises TypeError or returns its argument, `encode`
                raises EncodeError. `encode` does not catch other exceptions of the function.
        """
        self._converters[type_] = function

    def encode(self, value: Any) -> bytes:
        """Encode a value in the External Term Format, with the version byte 131.

        Raises:
            EncodeError: `value`, or a value inside it, has no Erlang term. The message names its type and the path to
                it. See `vendor_term_codec.encode`.
        """
        return encode(value, default=self._convert)

    def encode_term(self, value: Any) -> bytes:
        """Encode a value without the version byte, as in a distribution message. For the exceptions see `encode`."""
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
    """Decodes terms to Python values.

    Args:
        binaries: the type for binaries: `str` (default; str if the binary is valid UTF-8, otherwise bytes), `bytes`, or
            `memoryview` (a read-only view of the data, without a copy).
        arrays: True: lists of at least 16 floats or 16 integers become numpy arrays. Default False.
    """

    def __init__(self, binaries: BinaryType = str, arrays: bool = False) -> None:
        self._binaries: BinaryType = binaries
        self._arrays = arrays

    def decode(self, data: bytes | bytearray | memoryview) -> Any:
        """Decode one term in the External Term Format, with the version byte 131.

        Raises:
            DecodeError: `data` are not exactly one valid term. See `vendor_term_codec.decode`.
        """
        return decode(data, binaries=self._binaries, arrays=self._arrays)
