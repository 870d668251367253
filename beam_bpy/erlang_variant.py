"""Encode and decode the values of an application: `vendor_term_codec` plus the types of mathutils, bpy and idprop.

The codec itself encodes Python's types and numpy arrays. This module adds types of Blender. It must not import their
packages, so it recognises these types by the names of their module and class.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from beam_bpy.protocol.control import BinaryType
from vendor_term_codec import EncodeError, decode, encode, encode_term

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
    "bpy_prop_collection": list,
    "IDPropertyArray": list,
    "IDPropertyGroup": lambda group: group.to_dict(),
    "IDPropertyGroupViewKeys": list,
    "IDPropertyGroupViewValues": list,
    "IDPropertyGroupViewItems": list,
}

_AMBIGUOUS: dict[type[Any], str] = {
    Decimal: "str",
    Fraction: "float",
    timedelta: "timedelta.total_seconds",
}
"""Types with several obvious terms, so that a program has to choose one, and a function that chooses."""


class ErlangVariantEncoder:
    """Encodes the results of handlers. `register` adds types of an application.

    These types are encoded from the start:

        types of `vendor_term_codec.encode`     see there; among them sets, dataclasses and numpy arrays
        Vector, Color, Euler, Quaternion        a list of floats
        Matrix                                  a list of rows
        bpy_prop_array, IDPropertyArray         a list, nested for each dimension
        bpy_prop_collection                     a list of its elements, which need a converter
        IDPropertyGroup                         a map; its keys(), values() and items() are lists
    """

    def __init__(self) -> None:
        self._converters: dict[type[Any], Converter] = {}
        self._default: Converter = _value_of_blender

    def register(self, type_: type[Any], function: Converter) -> None:
        """Encode values of `type_`, and of its subclasses, as the value that `function` returns for them.

        The function takes precedence over every other encoding, also for a subclass of a builtin type, an Enum or a
        numpy array. If several classes in the method resolution order of a value have a function, the first one is
        used. Three rules prevent surprises:

        - A function for int is not used for bool, and one for str is not used for Atom: these are other terms.
        - A function for object is used only for values that have no term otherwise.
        - A function is not used for its own result, if the result has a term without it. So a function for float may
          return a float.

        Virtual base classes (`abc.ABCMeta.register`) have no effect.

        Args:
            type_: a class. A second call with the same class replaces the function.
            function: takes the value and returns another value. The result is encoded in the same way, so it may
                contain values of registered types. If the function raises TypeError, or returns its argument and this
                has no term otherwise, `encode` raises EncodeError. `encode` does not catch other exceptions of the
                function.

        Raises:
            TypeError: `type_` is not a class, or `function` cannot be called.
        """
        if not isinstance(type_, type):
            raise TypeError(f"a converter is registered for a class, not for {type_!r}")
        if not callable(function):
            raise TypeError(f"the converter of {type_.__qualname__} is a function, not {function!r}")
        # Another thread may be encoding with the old dict.
        self._change({**self._converters, type_: function})

    def unregister(self, type_: type[Any]) -> bool:
        """Remove the function of `type_`, so that its values are encoded as before `register`.

        Returns:
            False if there was no function.
        """
        found = type_ in self._converters
        self._change({kind: function for kind, function in self._converters.items() if kind is not type_})
        return found

    def encode(self, value: Any) -> bytes:
        """Encode a value in the External Term Format, with the version byte 131.

        Raises:
            EncodeError: `value`, or a value inside it, has no Erlang term. The message names its type and the path to
                it. See `vendor_term_codec.encode`.
        """
        return encode(value, converters=self._converters, default=self._default)

    def encode_term(self, value: Any) -> bytes:
        """Encode a value without the version byte, as in a distribution message. For the exceptions see `encode`."""
        return encode_term(value, converters=self._converters, default=self._default)

    def _change(self, converters: dict[type[Any], Converter]) -> None:
        self._converters = converters
        fallback = converters.get(object)
        self._default = _value_of_blender if fallback is None else _with_fallback(fallback)


def _value_of_blender(value: Any) -> Any:
    """Return the value that is encoded instead of one of Blender's values.

    Raises:
        TypeError: it is none of them.
        EncodeError: the same, for a type that an application should register.
    """
    for type_ in type(value).__mro__:
        if type_.__module__ in _MODULES and type_.__qualname__ in _BY_NAME:
            return _BY_NAME[type_.__qualname__](value)
        if type_ in _AMBIGUOUS:
            raise EncodeError(
                f"cannot encode {type_.__module__}.{type_.__name__}: choose its term, such as "
                f"server.encoder.register({type_.__name__}, {_AMBIGUOUS[type_]})"
            )
    raise TypeError


def _with_fallback(fallback: Converter) -> Converter:
    def convert(value: Any) -> Any:
        try:
            return _value_of_blender(value)
        except (TypeError, EncodeError):
            return fallback(value)

    return convert


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
