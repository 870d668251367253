"""Cookies: the default cookie, random cookies, and the cookie in `~/.erlang.cookie`."""

import os
import secrets
import string
from pathlib import Path

from beam_bpy.errors import SettingsError
from beam_bpy.transport.addresses import is_loopback

DEFAULT_COOKIE = "beam_bpy_cookie"

_FILE_NAME = ".erlang.cookie"

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 32
"""The length of a random cookie, in characters. 32 of 62 possible characters are 190 bits."""


def generate_cookie() -> str:
    """Return a random cookie of 32 letters and digits, from a cryptographically secure source."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def check_public_cookie(address: str, cookie: str) -> None:
    """Refuse the default cookie on an address to which other computers can connect.

    Args:
        address: the numeric address on which the node listens.
        cookie: its cookie.

    Raises:
        SettingsError: other computers can connect to the address, and the cookie is the default cookie.
    """
    if cookie == DEFAULT_COOKIE and not is_loopback(address):
        raise SettingsError(
            f"other computers can connect to the address {address}, and the default cookie is publicly known: choose "
            "another cookie (the command 'beam-bpy cookie' prints a random one), or set the host to localhost"
        )


def erlang_cookie(home: Path | None = None) -> str:
    """Return the default cookie of this user's Erlang and Elixir nodes.

    Erlang stores it in `.erlang.cookie` in the home folder, or in `erlang/.erlang.cookie` in the configuration folder
    of the user. Source: Erlang reference manual, chapter "Distributed Erlang", section "Security".

    Args:
        home: the home folder; default the home folder of this user.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it does not contain a valid cookie.
    """
    folder = home or Path.home()
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or folder / ".config")
    for path in (folder / _FILE_NAME, configuration / "erlang" / _FILE_NAME):
        if path.exists():
            return cookie_in(path)
    raise SettingsError(
        f"there is no {folder / _FILE_NAME}: Erlang creates it when you first start a node with a name, "
        "for example with 'erl -name me@127.0.0.1'"
    )


def cookie_in(path: Path) -> str:
    """Return the cookie in a file. A line break at its end is not part of it.

    Raises:
        SettingsError: the file cannot be read, or does not contain a valid cookie.
    """
    try:
        # All bytes are valid Latin-1. `check_cookie` finds the characters that are not allowed in a cookie.
        cookie = path.read_text(encoding="latin-1").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if not cookie.strip():
        advice = "delete it, and Erlang creates a new one" if path.name == _FILE_NAME else "write a cookie into it"
        raise SettingsError(f"{path} is empty: {advice}")
    try:
        check_cookie(cookie)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return cookie


def check_cookie(cookie: str) -> None:
    """Check that a cookie can be used.

    Raises:
        SettingsError: the cookie is empty or only spaces, has more than 255 characters, or a character that is not
            printable Latin-1.
    """
    if not cookie.strip():
        raise SettingsError(
            "the cookie is empty: choose another cookie (the command 'beam-bpy cookie' prints a random one)"
        )
    if len(cookie) > 255 or not cookie.isprintable() or max(map(ord, cookie)) > 255:
        raise SettingsError(
            "the cookie cannot be used: use at most 255 printable characters of Latin-1, such as letters and digits"
        )
