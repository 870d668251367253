"""Checks of the values that a program passes to this package.

Each check raises TypeError for a value of a wrong type and ValueError for a wrong value, with a sentence, at the call
that has received the value.
"""

import threading
import unicodedata
from typing import Any

from beam_bpy.errors import NodeNameError
from vendor_term_codec import Pid, Reference

MAX_ATOM = 255
"""The largest number of characters of an atom."""


def check_name(name: object, what: str) -> str:
    """`name` as a plain str, if an atom can be named so and a user can read it.

    Args:
        name: the value.
        what: the value's meaning, for the message: "the name of a handler".

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty, longer than an atom, or holds a control character or half of a surrogate pair.
    """
    text = check_text(name, what)
    if len(text) > MAX_ATOM:
        raise ValueError(
            f"{what} has {len(text)} characters: use at most {MAX_ATOM}, the longest name that the BEAM has"
        )
    return text


def check_text(text: object, what: str) -> str:
    """`text` as a plain str, if it is not empty and can be shown in one line. See `check_name`."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str, not {_kind(text)}")
    if not text:
        raise ValueError(f"{what} is empty")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError(f"{what} holds the character {character!r}, which cannot be shown or sent: {text[:80]!r}")
    return str(text)


def check_owner(owner: object) -> str:
    """`owner` as a plain str, if it is a text; see `check_text`."""
    if owner == "":
        raise ValueError("the owner of a handler is empty: a module outside a package has no __package__, use __name__")
    return check_text(owner, "the owner of a handler")


def check_topic(topic: object) -> None:
    """
    Raises:
        TypeError: `topic` is not a str.
        ValueError: it has no term, because it holds half of a surrogate pair.
    """
    if not isinstance(topic, str):
        raise TypeError(f"a topic is a str, not {_kind(topic)}")
    try:
        topic.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a topic holds half of a surrogate pair, which no text may: {topic[:80]!r}") from None


def check_node_name(name: object) -> str:
    """`name` as a plain str, if it is `name@host`.

    Raises:
        TypeError: it is not a str.
        NodeNameError: it is not `name@host`.
    """
    if not isinstance(name, str):
        raise TypeError(f"a node name is a str such as 'app@127.0.0.1', not {_kind(name)}")
    if len(name) > MAX_ATOM:
        raise NodeNameError(f"{name[:80]!r}… is not a node name: it has more than {MAX_ATOM} characters")
    short, _at, host = name.partition("@")
    printable = not any(unicodedata.category(character) in ("Cc", "Cs") or character.isspace() for character in name)
    if not (short and host and "@" not in host and printable):
        raise NodeNameError(f"{name[:80]!r} is not a node name: it has to be name@host")
    return str(name)


def check_arguments(args: object) -> list[Any]:
    """`args` as a list; None is the empty one.

    Raises:
        TypeError: it is neither a list nor None.
    """
    if args is None:
        return []
    if not isinstance(args, list):
        raise TypeError(f"the arguments of a call are a list, one element for each argument, not {_kind(args)}")
    return args


def check_timeout(timeout: object, what: str = "the timeout") -> None:
    """
    Raises:
        TypeError: `timeout` is not a number and not None.
        ValueError: it is negative, nan, or longer than a thread can wait.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not hasattr(type(timeout), "__float__"):
        raise TypeError(f"{what} is a number of seconds, or None for no limit, not {_kind(timeout)}")
    seconds = float(timeout)  # type: ignore[arg-type]
    if not 0 <= seconds <= threading.TIMEOUT_MAX:  # False for nan, too.
        raise ValueError(f"{what} cannot be {seconds:g}: use a number of seconds from 0 on, or None for no limit")


def check_destination(to: object, *, reference: bool = True) -> None:
    """
    Args:
        to: the receiver of a message, or the target of a monitor.
        reference: True if an alias is possible.

    Raises:
        TypeError: it is not a pid, an alias or `(registered name, node)`.
        ValueError: the registered name or the node cannot be one.
    """
    if isinstance(to, Pid) or (reference and isinstance(to, Reference)):
        return
    if not isinstance(to, tuple) or len(to) != 2:
        forms = "a pid, an alias or (registered name, node)" if reference else "a pid or (registered name, node)"
        raise TypeError(f"a process is {forms}, not {_kind(to)}")
    check_name(to[0], "a registered name")
    check_node_name(to[1])


def check_pid(pid: object) -> None:
    """
    Raises:
        TypeError: `pid` is not a pid.
    """
    if not isinstance(pid, Pid):
        raise TypeError(f"a process is a pid, not {_kind(pid)}")


def check_binaries(binaries: object) -> None:
    """
    Raises:
        TypeError: `binaries` is not one of the three types.
    """
    if not any(binaries is type_ for type_ in (str, bytes, memoryview)):
        raise TypeError(f"binaries is str, bytes or memoryview, not {binaries!r}")


def check_callable(function: object, what: str) -> None:
    """
    Raises:
        TypeError: `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"{what} is a function, not {_kind(function)}")


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
