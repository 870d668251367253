"""Check what a caller sends: the source text, the variables and the options."""

import keyword
from collections.abc import Mapping
from typing import Any

Map = Mapping[str, Any] | list[tuple[str, Any]] | None
"""An Elixir map, `%{size: 2}`; a keyword list, `[size: 2]`; or nil."""

MAX_OUTPUT = 100_000
"""The default of the option `max_output`, in characters."""


def source(code: Any) -> str:
    """Return the source text.

    Raises:
        ValueError: it is not a text in UTF-8. A list of characters, which is what "1 + 1" means in Erlang, is refused
            too, because it cannot be told apart from a list of numbers.
    """
    if isinstance(code, bytes):
        raise ValueError("the code has to be a binary with text in UTF-8, but these bytes are no UTF-8")
    if not isinstance(code, str):
        raise ValueError(
            f'the code has to be a binary, not {_kind(code)}: in Elixir write "1 + 1", and in Erlang <<"1 + 1"/utf8>>'
        )
    return str(code)


def variables(given: Map) -> dict[str, Any]:
    """Return the variables by their names.

    Raises:
        ValueError: `given` is not a map, or a name cannot be that of a variable.
    """
    found = _named(given, "the arguments are")
    for name in found:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
            raise ValueError(
                f"{name!r} cannot be the name of an argument: use letters, digits and _, no keyword of Python, and do "
                "not begin with two _"
            )
    return found


def max_output(given: Map) -> int:
    """Return the option `max_output`.

    Raises:
        ValueError: there is another option, or the value is not a whole number from 0 on.
    """
    options = _named(given, "the options are")
    unknown = sorted(options.keys() - {"max_output"})
    if unknown:
        raise ValueError(f"there is no option {' and no option '.join(map(repr, unknown))}; there is: max_output")
    limit = options.get("max_output", MAX_OUTPUT)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"max_output has to be a number of characters, 0 or more, not {limit!r:.40}")
    return limit


def _named(given: Map, what: str) -> dict[str, Any]:
    pairs: Any = given.items() if isinstance(given, Mapping) else [] if given is None else given
    try:
        named = dict(pairs)
    except (TypeError, ValueError):
        named = {None: None}
    if isinstance(given, str) or not all(isinstance(name, str) for name in named):
        raise ValueError(f"{what} a map whose keys are names, such as %{{size: 2}}, not {_kind(given)}")
    return {str(name): value for name, value in named.items()}


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nil"
        case list():
            return "a list"
        case Mapping():
            return "a map with other keys"
        case str() | bytes():
            return "a binary"
    return f"a value of the type {type(value).__name__}"
