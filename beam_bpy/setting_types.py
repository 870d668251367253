"""The types of settings: each reads a value from a text and checks one that a program gives.

`read` is for texts that a user types: in environment variables, on command lines and in preferences. Its errors are
`SettingsError` and name the place. `checked` is for arguments of `BeamServer`. No error shows a secret.
"""

import math
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol

from beam_bpy.errors import SettingsError


class SettingType(Protocol):
    """See above.

    Attributes:
        placeholder: the word for a value in the help of a command.
    """

    @property
    def placeholder(self) -> str:
        """See above."""

    def read(self, place: str, text: str) -> Any:
        """The value of a text that is not empty.

        Args:
            place: where the text stands, such as `--port` or BPY_BEAM_PORT.
            text: the text.

        Raises:
            SettingsError: the text cannot be used.
        """

    def checked(self, name: str, value: Any) -> Any:
        """The value of the argument `name`.

        Raises:
            TypeError: it has another type.
            ValueError: it has the type, and can never be used.
        """


class Text:
    """A str. The start checks it, because it is a text that users type."""

    placeholder = "TEXT"

    def read(self, place: str, text: str) -> str:
        """See `SettingType`."""
        return text

    def checked(self, name: str, value: Any) -> str:
        """See `SettingType`."""
        if not isinstance(value, str):
            raise _wrong_type(name, "a str", value)
        return value


class File:
    """A path; `~` is the home folder."""

    placeholder = "FILE"

    def read(self, place: str, text: str) -> Path:
        """See `SettingType`."""
        if not text.strip():
            raise SettingsError(f"{place} is empty: set it to the path of a file")
        return Path(text).expanduser()

    def checked(self, name: str, value: Any) -> Path:
        """See `SettingType`."""
        if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
            raise _wrong_type(name, "a path", value)
        return Path(value).expanduser()


class Whole:
    """An int. A limit has to be above 0; the start checks a port."""

    placeholder = "INT"

    def __init__(self, expected: str, least: int) -> None:
        self._expected = expected
        self._least = least

    def read(self, place: str, text: str) -> int:
        """See `SettingType`."""
        if not text.strip().isdecimal() or int(text) < self._least:
            raise SettingsError(f"{place} is {text!r}: set it to {self._expected}")
        return int(text)

    def checked(self, name: str, value: Any) -> int:
        """See `SettingType`."""
        if isinstance(value, bool):
            raise _wrong_type(name, "an int", value)
        try:
            return operator.index(value)
        except TypeError:
            raise _wrong_type(name, "an int", value) from None


class Seconds:
    """A float above 0."""

    placeholder = "SECONDS"

    def read(self, place: str, text: str) -> float:
        """See `SettingType`."""
        try:
            return self.checked(place, float(text))
        except ValueError:
            raise SettingsError(f"{place} is {text!r}: set it to a number of seconds above 0") from None

    def checked(self, name: str, value: Any) -> float:
        """See `SettingType`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(name, "a number of seconds", value)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value}: it has to be a number of seconds above 0")
        return float(value)


class Switch:
    """A bool: yes or no. An option without a text means yes."""

    placeholder = "YES_OR_NO"

    _WORDS: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("yes", "true", "on", "1"), True),
        **dict.fromkeys(("no", "false", "off", "0"), False),
    }

    def read(self, place: str, text: str) -> bool:
        """See `SettingType`."""
        try:
            return self._WORDS[text.strip().lower()]
        except KeyError:
            raise SettingsError(f"{place} is {text!r}: set it to yes or no") from None

    def checked(self, name: str, value: Any) -> bool:
        """See `SettingType`."""
        if not isinstance(value, bool):
            raise _wrong_type(name, "True or False", value)
        return value


class Choice:
    """One of several words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.placeholder = f"{{{','.join(words)}}}"

    def read(self, place: str, text: str) -> str:
        """See `SettingType`."""
        if text not in self.words:
            raise SettingsError(f"{place} is {text!r}: set it to {self._words()}")
        return text

    def checked(self, name: str, value: Any) -> str:
        """See `SettingType`."""
        if not isinstance(value, str):
            raise _wrong_type(name, "a str", value)
        if value not in self.words:
            raise ValueError(f"{name} is {value!r}: it has to be {self._words()}")
        return value

    def _words(self) -> str:
        *others, last = self.words
        return f"{', '.join(others)} or {last}"


class Patterns:
    """Patterns of node names, separated by commas in a text; a single str is one pattern."""

    placeholder = "PATTERNS"

    def read(self, place: str, text: str) -> tuple[str, ...]:
        """See `SettingType`."""
        try:
            return self.checked(place, [pattern.strip() for pattern in text.split(",")])
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def checked(self, name: str, value: Any) -> tuple[str, ...]:
        """See `SettingType`."""
        if isinstance(value, bytes | bytearray | dict) or not isinstance(value, Iterable):
            raise _wrong_type(name, "a collection of str, such as ('app@*',)", value)
        patterns = (value,) if isinstance(value, str) else tuple(value)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise _wrong_type(f"a pattern of {name}", "a str", pattern)
            if not pattern or not pattern.isprintable() or " " in pattern:
                raise ValueError(
                    f"{name} contains the pattern {pattern!r}, which matches no node: write patterns such as app@*, "
                    "separated by commas"
                )
        return patterns


def _wrong_type(name: str, expected: str, value: Any) -> TypeError:
    # Without the value, which may be a secret.
    return TypeError(f"{name} has to be {expected}, not {type(value).__name__}")
