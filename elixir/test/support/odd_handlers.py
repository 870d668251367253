"""Handlers with the names, parameters, annotations and docstrings that a generator of source code has to survive."""

from collections.abc import Callable, Generator
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from beam_bpy import BeamServer

ATTACKS = ['"""', "#{System.halt(77)}", "\\", "\nend\nSystem.halt(77)\n", "\u202e", "\u2028", "\x00", "`", "'''"]
"""Texts that would become code, or would stop the compiler, if they were not escaped."""


class Mode(Enum):
    FAST = 1


def everything(
    text: str,
    data: bytes,
    number: float = 1.5,
    choice: Literal["a", "b"] = "a",
    mode: Mode = Mode.FAST,
    nothing: int | None = None,
    *more: int,
) -> tuple[int, list[str]]:
    """Return how many arguments came, and their types.

    A paragraph with *emphasis*, `code`, a \\ backslash, #{System.halt(77)}, \"\"\"quotes\"\"\" and “Ünïcödé”.

    Args:
        text: a text.
        data: the options
            size: the size in metres,
                default 2.0.
            first, second (radians): two numbers.
            All other options keep their value.
        number (float): a number
            that is described in two lines.

    Returns:
        The number of arguments, and a list:
            first: the first type.

    Raises:
        ValueError: never.
        LookupError: if nothing
            is found.
    """
    given = [text, data, number, choice, mode, nothing, *more]
    return len(given), [type(one).__name__ for one in given]


def look_at(target: str, options: dict[str, Any], default: int = 1) -> dict[str, Any]:
    return {"target": target, "options": options, "default": default}


def words(
    end: int,
    fn: int,
    when: int,
    Größe: int,  # noqa: N803
    größe: int,
    X: int,  # noqa: N803
    _x: int,
    __module__: int,
    arg_: int,
    名: int,  # noqa: N803
) -> list[int]:
    return [end, fn, when, Größe, größe, X, _x, __module__, arg_, 名]


def long(count: int = 2) -> Generator[int, None, str]:
    """Count."""
    yield from range(count)
    return "done"


def slow(count: int = 1) -> Generator[int, None, str]:
    yield from range(count)
    return "done"


def fails() -> None:
    raise ValueError("always")


def echo(*args: Any) -> list[Any]:
    return list(args)


def named(name: str | None) -> Callable[..., Any]:
    def function(*args: Any) -> list[Any]:
        return [name, *args]

    return function


def injected(text: str) -> Callable[..., Any]:
    def function(value: Any = text, *rest: Any) -> Any:
        return value

    function.__doc__ = f"{text}\n\nArgs:\n    value: {text}\n    {text}: {text}"
    function.__annotations__ = {"value": text, "return": f"Literal[{text!r}, {text}]"}
    return function


ODD_NAMES = ("send", "node", "self", "length", "if", "def", "case", "end", "Ping", "größe", "my name", "+", "a#{1}")


def register(server: "BeamServer") -> None:
    for handler in (everything, look_at, words, long, slow, fails):
        server.expose(owner="odd")(handler)
    server.expose(echo, name="say")
    server.register_handler("count", lambda args: len(args))
    for name in (*ODD_NAMES, "save!"):
        server.register_handler(name, lambda args, name=name: [name, *args])
    for module in (None, "Physics", "physics.rigid", "Deep.Module"):
        server.expose(named(module), name="move", module=module)
    server.expose(named("stream_long"), name="stream_long")
    for index, text in enumerate(ATTACKS):
        server.expose(injected(text), name=f"attack_{index}")
