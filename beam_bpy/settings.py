"""What a server is told: node name, cookie, host, port.

An explicit argument wins over the environment, the environment over the default. The extension turns that around
for its preferences: what the environment sets, it does not pass.
"""

import ipaddress
import os
import re
import secrets
import socket
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENT = {
    "node_name": "BPY_BEAM_NODE",
    "cookie": "BPY_BEAM_COOKIE",
    "host": "BPY_BEAM_HOST",
    "port": "BPY_BEAM_PORT",
}
"""The environment variable of each setting."""

DEFAULT_NODE_NAME = "beam_bpy"
DEFAULT_COOKIE = "beam_bpy_cookie"
DEFAULT_HOST = "localhost"
DEFAULT_PORT = 0

LOOPBACK = "127.0.0.1"
"""What a node on `localhost` is called: long names, which Elixir's examples use, want a dot in the host."""

_COOKIE_LETTERS = string.ascii_letters + string.digits
_COOKIE_LENGTH = 32
"""Of 62 letters and digits: 190 bits."""

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+\Z")


class SettingsError(ValueError):
    """A setting cannot be used; the message is a sentence that says what to do about it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that have been checked.

    Attributes:
        node_name: the full name, `name@host`.
        cookie: the shared secret; not part of the repr.
        bind_host: the address or host name to listen on.
        port: the TCP port to listen on; 0 takes any free one.
    """

    node_name: str
    cookie: str = field(repr=False)
    bind_host: str
    port: int

    @property
    def short_name(self) -> str:
        """The name before the @: what epmd knows the node by."""
        return self.node_name.partition("@")[0]

    @property
    def host(self) -> str:
        """The host after the @."""
        return self.node_name.partition("@")[2]


def overridden(environment: Mapping[str, str] = os.environ) -> set[str]:
    """The names of the settings that the environment sets: `node_name`, `cookie`, `host`, `port`."""
    return {setting for setting, variable in ENVIRONMENT.items() if environment.get(variable)}


def resolve(
    node_name: str | None = None,
    cookie: str | None = None,
    host: str | None = None,
    port: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings to use, each from the argument, else the environment, else the default.

    Args:
        node_name: `name` or `name@host`; a name alone gets the host. Default `beam_bpy`.
        cookie: default `beam_bpy_cookie`.
        host: the address or name to listen on; default `localhost`, or the host of a whole `node_name`.
        port: 0 to 65535; default 0, any free port.

    Raises:
        SettingsError: a value cannot be used.
    """
    name = node_name or environment.get("BPY_BEAM_NODE") or DEFAULT_NODE_NAME
    secret = cookie or environment.get("BPY_BEAM_COOKIE") or DEFAULT_COOKIE
    short, at, name_host = name.partition("@")
    wanted_host = host or environment.get("BPY_BEAM_HOST") or name_host or DEFAULT_HOST
    if at:
        _check(_HOST, name_host, f"the host of the node name {name!r}")
    _check(_NAME, short, f"the node name {name!r}")
    _check(_HOST, wanted_host, f"the host {wanted_host!r}")
    _check_cookie(secret)
    return Settings(
        node_name=f"{short}@{name_host or _host_part(wanted_host)}",
        cookie=secret,
        bind_host=LOOPBACK if wanted_host == "localhost" else wanted_host,
        port=_port(environment) if port is None else _checked_port(port),
    )


def generate_cookie() -> str:
    """A cookie that nobody guesses: 32 random letters and digits."""
    return "".join(secrets.choice(_COOKIE_LETTERS) for _ in range(_COOKIE_LENGTH))


def check_entry(address: str, cookie: str) -> None:
    """Whether a node may listen on an address with that cookie.

    Args:
        address: what a socket is bound to.

    Raises:
        SettingsError: other computers can reach it, and the cookie is the one that everybody knows.
    """
    if cookie == DEFAULT_COOKIE and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise SettingsError(
            f"other computers reach {address}, and everybody knows the default cookie: choose a cookie of your own, "
            "such as 'beam-bpy cookie' prints, or the host localhost"
        )


def erlang_cookie(home: Path | None = None) -> str:
    """The cookie that the Erlang and Elixir nodes of this user have unless they are told another.

    Erlang keeps it in `.erlang.cookie` of the home folder, else in `erlang` of the user's configuration folder
    (reference manual, "Distributed Erlang", section "Security").

    Args:
        home: the home folder; default that of this user.

    Raises:
        SettingsError: there is no such file, or it holds nothing that can be used.
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
        # Any file is Latin-1; what a cookie must not hold is looked for below.
        cookie = path.read_text(encoding="latin-1").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if not cookie:
        raise SettingsError(f"{path} is empty: remove it, and Erlang makes a new one")
    try:
        _check_cookie(cookie)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return cookie


def _host_part(host: str) -> str:
    if host == "localhost":
        return LOOPBACK
    if host in ("0.0.0.0", "::"):  # noqa: S104 - a node that listens everywhere is known by the machine's name
        return socket.getfqdn()
    return host


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.match(text):
        raise SettingsError(f"{what} cannot be used: letters, digits, _ and - make a name, with . and : also a host")


def _check_cookie(cookie: str) -> None:
    if len(cookie) > 255 or not cookie.isprintable() or max(map(ord, cookie)) > 255:
        raise SettingsError(
            "the cookie cannot be used: it has to be printable, Latin-1 and at most 255 characters long"
        )


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("BPY_BEAM_PORT")
    if not text:
        return DEFAULT_PORT
    if not text.isdecimal():
        raise SettingsError(f"BPY_BEAM_PORT is {text!r}; it has to be a number from 0 to 65535, 0 for any free port")
    return _checked_port(int(text))


def _checked_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise SettingsError(f"the port {port} cannot be used: choose one from 1 to 65535, or 0 for any free port")
    return port
