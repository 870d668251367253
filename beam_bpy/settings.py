"""Settings: node name, cookie, host and port.

An argument has precedence over the environment variable, and the environment variable over the default. In the
extension, the environment variable also has precedence over the preference: if the variable is set, the extension does
not pass the preference as an argument.
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
"""The host part of the node name for the host `localhost`. A node with a long name needs a host with a dot."""

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+\Z")


DEFAULT_TICK_TIME = 60.0
"""Seconds without data after which a peer is disconnected; the default of `net_ticktime` (kernel(6))."""

DEFAULT_LIMITS = Limits()


class Unset(Enum):
    """The default of the arguments of `BeamServer.configure`. None means something else there: use the default."""

    UNSET = "unset"


UNSET = Unset.UNSET


class NetworkOptions(TypedDict, total=False):
    """The options of `BeamServer` that have no environment variable. For their meaning see `BeamServer`."""

    tick_time: float
    epmd: EpmdMode
    tls: Tls | None
    allow: Iterable[str] | None
    limits: Limits
    daemon: bool


class ServerOptions(NetworkOptions, total=False):
    """All options of `BeamServer`, for `BeamServer.configure`.

    None for one of the four options below means: use the environment variable, otherwise the default.
    """

    node_name: str | None
    cookie: str | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options from the constructor of `BeamServer` and from all calls of `configure`.

    None for `node_name`, `cookie`, `host` or `port` means: use the environment variable, otherwise the default.
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
    daemon: bool = False

    def changed(self, **options: Unpack[ServerOptions]) -> "GivenOptions":
        """Return a copy with the values of `options`.

        Raises:
            TypeError: there is no option with this name.
        """
        given: dict[str, Any] = dict(options)
        if "allow" in given:
            given["allow"] = _patterns(given["allow"])
        return replace(self, **given)


def _patterns(allow: Iterable[str] | None) -> tuple[str, ...] | None:
    if allow is None:
        return None
    # A str is one pattern. Without this case, each of its characters would be a pattern.
    return (allow,) if isinstance(allow, str) else tuple(allow)


@dataclass(frozen=True, slots=True)
class Settings:
    """Valid settings.

    Attributes:
        node_name: the full node name, `name@host`.
        cookie: the cookie; the repr does not show it.
        bind_host: the address or host name to listen on.
        port: the TCP port to listen on; 0 means any free port.
    """

    node_name: str
    cookie: str = field(repr=False)
    bind_host: str
    port: int

    @property
    def short_name(self) -> str:
        """The part of the node name before the @. The node registers this name with epmd."""
        return self.node_name.partition("@")[0]

    @property
    def host(self) -> str:
        """The part of the node name after the @."""
        return self.node_name.partition("@")[2]


def overridden(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Return the names of the settings whose environment variable is set and not empty; see `ENVIRONMENT`."""
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
    """Return the settings. Each value is the argument, otherwise the environment variable, otherwise the default.

    Args:
        node_name: `name` or `name@host`. Without a host, the host part is made from `host`. Default `beam_bpy`.
        cookie: the cookie; default `beam_bpy_cookie`.
        host: the address or host name to listen on; default the host part of `node_name`, otherwise `localhost`.
        port: the TCP port, 0 to 65535; default 0, any free port.
        environment: the environment variables; default those of this process.
        look_up: this matters if the node listens on all addresses and the name has no host part. True (default): the
            host part is the full host name of this computer, which may need a query to a name server. False: it is
            the short host name, without a query.

    Raises:
        SettingsError: a value cannot be used. The message says which values are valid.
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
    if host in ("0.0.0.0", "::"):  # noqa: S104 - the user wants to listen on all addresses
        return socket.getfqdn() if look_up else socket.gethostname()
    return host


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.match(text):
        raise SettingsError(f"{what} cannot be used: use only letters, digits, _ and -, in a host also . and :")


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("BPY_BEAM_PORT")
    if not text:
        return DEFAULT_PORT
    if not text.isdecimal():
        raise SettingsError(f"BPY_BEAM_PORT is {text!r}: set it to a number from 1 to 65535, or 0 for any free port")
    return _checked_port(int(text))


def _checked_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise SettingsError(f"the port {port} cannot be used: choose one from 1 to 65535, or 0 for any free port")
    return port
