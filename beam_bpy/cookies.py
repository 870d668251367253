"""Cookies: the default one, strong ones, and the one in `~/.erlang.cookie`."""

import os
import secrets
import string
from pathlib import Path

from beam_bpy.errors import SettingsError
from beam_bpy.transport.addresses import is_loopback

DEFAULT_COOKIE = "beam_bpy_cookie"

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 32
"""Of 62 letters and digits: 190 bits."""


def generate_cookie() -> str:
    """A cookie that nobody can guess: 32 random letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def check_public_cookie(address: str, cookie: str) -> None:
    """Refuse the default cookie on an address that other computers reach.

    Args:
        address: the numeric address on which the node listens.
        cookie: its cookie.

    Raises:
        SettingsError: other computers reach the address, and the cookie is the default one.
    """
    if cookie == DEFAULT_COOKIE and not is_loopback(address):
        raise SettingsError(
            f"other computers reach {address}, and everybody knows the default cookie: choose a cookie of your own, "
            "such as 'beam-bpy cookie' prints, or the host localhost"
        )


def erlang_cookie(home: Path | None = None) -> str:
    """The default cookie of the Erlang and Elixir nodes of this user.

    Erlang keeps it in `.erlang.cookie` of the home folder, else in `erlang` of the user's configuration folder
    (reference manual, "Distributed Erlang", section "Security").

    Args:
        home: the home folder; default that of this user.

    Raises:
        SettingsError: there is no such file, or it holds no valid cookie.
    """
    folder = home or Path.home()
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or folder / ".config")
    for path in (folder / ".erlang.cookie", configuration / "erlang" / ".erlang.cookie"):
        if path.exists():
            return _cookie_in(path)
    raise SettingsError(
        f"there is no {folder / '.erlang.cookie'}: Erlang makes it when it first starts a node with a name, "
        "such as by 'erl -name me@127.0.0.1'"
    )


def _cookie_in(path: Path) -> str:
    try:
        # Any bytes are valid Latin-1; check_cookie looks for characters that a cookie must not hold.
        cookie = path.read_text(encoding="latin-1").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if not cookie:
        raise SettingsError(f"{path} is empty: remove it, and Erlang makes a new one")
    try:
        check_cookie(cookie)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return cookie


def check_cookie(cookie: str) -> None:
    """Refuse a cookie that cannot be used.

    Raises:
        SettingsError: it is too long, or holds a character that the handshake cannot send.
    """
    if len(cookie) > 255 or not cookie.isprintable() or max(map(ord, cookie)) > 255:
        raise SettingsError(
            "the cookie cannot be used: it has to be printable, Latin-1 and at most 255 characters long"
        )
