"""Settings: node name, cookie, host and port.

An explicit argument has precedence over the environment, the environment over the default. In the extension the
environment has precedence over the preferences too: it passes no preference that the environment sets.
"""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypedDict, Unpack

from beam_bpy.cookies import DEFAULT_COOKIE, check_cookie
from beam_bpy.epmd.registration import EpmdMode
from beam_bpy.errors import SettingsError
from beam_bpy.limits import Limits
from beam_bpy.transport.tls import Tls

ENVIRONMENT = {
    "node_name": "BPY_BEAM_NODE",
    "cookie": "BPY_BEAM_COOKIE",
    "host": "BPY_BEAM_HOST",
    "port": "BPY_BEAM_PORT",
}
"""The environment variable of each setting."""

DEFAULT_NODE_NAME = "beam_bpy"
DEFAULT_HOST = "localhost"
DEFAULT_PORT = 0

LOOPBACK = "127.0.0.1"
"""The host in the name of a node on `localhost`: long names, which Elixir's examples use, need a dot in the host."""

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+\Z")


DEFAULT_TICK_TIME = 60.0
"""Seconds of silence after which a peer counts as gone: the BEAM's own `net_ticktime`."""

DEFAULT_LIMITS = Limits()


class Unset(Enum):
    """Marks an argument of `BeamServer.configure` that is not given; None has a meaning of its own there."""

    UNSET = "unset"


UNSET = Unset.UNSET


class NetworkOptions(TypedDict, total=False):
    """The options of `BeamServer` that have no environment variable; it documents them."""

    tick_time: float
    epmd: EpmdMode
    tls: Tls | None
    allow: Iterable[str] | None
    limits: Limits


class ServerOptions(NetworkOptions, total=False):
    """All options of `BeamServer`, for `BeamServer.configure`. None: the environment variable, then the default."""

    node_name: str | None
    cookie: str | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """What the constructor and `configure` have been given so far.

    None in the first four means the environment variable, then the default.
    """

    node_name: str | None = None
    cookie: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    tick_time: float = DEFAULT_TICK_TIME
    epmd: EpmdMode = "embed"
    tls: Tls | None = None
    allow: tuple[str, ...] | None = None
    limits: Limits = DEFAULT_LIMITS

    def changed(self, **options: Unpack[ServerOptions]) -> "GivenOptions":
        """These options, but for the ones in `options`.

        Raises:
            TypeError: there is no option of that name.
        """
        given: dict[str, Any] = dict(options)
        if "allow" in given:
            given["allow"] = _patterns(given["allow"])
        return replace(self, **given)


def _patterns(allow: Iterable[str] | None) -> tuple[str, ...] | None:
    if allow is None:
        return None
    # A string is one pattern, not one pattern for each of its characters.
    return (allow,) if isinstance(allow, str) else tuple(allow)


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
        """The name before the @, under which epmd knows the node."""
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
    *,
    look_up: bool = True,
) -> Settings:
    """The settings to use, each from the argument, else the environment, else the default.

    Args:
        node_name: `name` or `name@host`; a name alone gets the host. Default `beam_bpy`.
        cookie: default `beam_bpy_cookie`.
        host: the address or name to listen on; default `localhost`, or the host of a whole `node_name`.
        port: 0 to 65535; default 0, any free port.
        environment: the environment variables.
        look_up: False queries no name server: a bare name on all addresses gets the short name of this machine then.

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
    check_cookie(secret)
    return Settings(
        node_name=f"{short}@{name_host or _host_part(wanted_host, look_up=look_up)}",
        cookie=secret,
        bind_host=LOOPBACK if wanted_host == "localhost" else wanted_host,
        port=_port(environment) if port is None else _checked_port(port),
    )


def _host_part(host: str, *, look_up: bool) -> str:
    if host == "localhost":
        return LOOPBACK
    if host in ("0.0.0.0", "::"):  # noqa: S104 - a node on all addresses has the name of the machine
        return socket.getfqdn() if look_up else socket.gethostname()
    return host


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.match(text):
        raise SettingsError(f"{what} cannot be used: letters, digits, _ and - make a name, with . and : also a host")


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
