"""Settings: the table of all of them, and how a server finds the value of each.

Every row of `TABLE` is an argument of `BeamServer` or a part of one, an environment variable, an option of
`beam-bpy serve` and of `blender --command beam_bpy serve`, and a preference in Blender; the preference of
`allow_python` belongs to the extension Python Handlers, which uses it. An argument has precedence over
the environment variable, and the variable over the default. In the extension, the order is: command line, environment
variable, preference.
"""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict, Unpack

from beam_bpy.cookies import DEFAULT_COOKIE, check_cookie, cookie_in
from beam_bpy.epmd.registration import EPMD_MODES, EpmdMode
from beam_bpy.errors import SettingsError
from beam_bpy.limits import Limits
from beam_bpy.setting_types import Choice, File, Patterns, Seconds, SettingType, Switch, Text, Whole
from beam_bpy.transport.addresses import is_ipv6, outgoing_address
from beam_bpy.transport.tls import Tls

DEFAULT_NODE_NAME = "beam_bpy"
DEFAULT_HOST = "localhost"
DEFAULT_PORT = 0

DEFAULT_TICK_TIME = 60.0
"""Seconds without data after which a peer is disconnected; the default of `net_ticktime` (kernel(6))."""

DEFAULT_EPMD: EpmdMode = "embed"
DEFAULT_LIMITS = Limits()

LOOPBACK = "127.0.0.1"
"""The host part of the node name for the host `localhost`. A node with a long name needs a host with a dot."""

MAX_NAME = 255
"""The longest node name, `name@host`, in characters: the longest atom of the BEAM."""

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+\Z")
ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - the user wants to listen on all addresses


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table.

    Attributes:
        name: its name; the name of the argument of `BeamServer`, unless `part_of` says otherwise.
        type: its type, which reads it from a text and checks it.
        default: the value without the setting; None for none.
        label: its label in Blender.
        help: one sentence or more, without a full stop at the end; also the tooltip in Blender.
        part_of: the argument of `BeamServer` that has this setting as a parameter: "tls" or "limits".
        group: the heading under which it is listed: "Node", "Security" or "Limits".
        secret: True for a text that no screen shows.
        short: a shorter name for the option and the variable; default `name`.
    """

    name: str
    type: SettingType
    default: Any
    label: str
    help: str
    part_of: str | None = None
    group: str = "Node"
    short: str | None = None
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable, such as BPY_BEAM_PORT."""
        return f"BPY_BEAM_{self._short.upper()}"

    @property
    def option(self) -> str:
        """The option of the command line, such as `--port`."""
        return "--" + self._short.replace("_", "-")

    @property
    def argument(self) -> str:
        """The argument of `BeamServer`."""
        return self.part_of or self.name

    @property
    def _short(self) -> str:
        return self.short or self.name


def _limit(name: str, type: SettingType, label: str, help: str) -> Setting:
    return Setting(name, type, getattr(DEFAULT_LIMITS, name), label, help, part_of="limits", group="Limits")


def _tls(name: str, type: SettingType, label: str, help: str, *, secret: bool = False) -> Setting:
    return Setting(f"tls_{name}", type, None, label, help, part_of="tls", group="Security", secret=secret)


_COUNT = Whole("a whole number above 0", 1)
_PORT = Whole("a number from 1 to 65535, or 0 for any free port", 0)

TABLE = (
    Setting(
        "node_name",
        Text(),
        DEFAULT_NODE_NAME,
        "Node Name",
        "The name by which other nodes call this one: name, or name@host",
        short="node",
    ),
    Setting(
        "host",
        Text(),
        DEFAULT_HOST,
        "Host",
        "The address or host name at which this node accepts connections. With localhost, only programs on this "
        "computer can connect",
    ),
    Setting("port", _PORT, DEFAULT_PORT, "Port", "The TCP port of this node; 0 takes any free port"),
    Setting(
        "epmd",
        Choice(*EPMD_MODES),
        DEFAULT_EPMD,
        "Port Mapper",
        "embed: register with the epmd of this computer, and run one in this program if none answers; "
        "host: register with the epmd of this computer only; none: do not register",
    ),
    Setting(
        "tick_time",
        Seconds(),
        DEFAULT_TICK_TIME,
        "Keepalive (s)",
        "Seconds without data after which a node is disconnected. Erlang calls it net_ticktime",
    ),
    Setting(
        "cookie",
        Text(),
        DEFAULT_COOKIE,
        "Cookie",
        "The secret that all nodes of the cluster share. Other users of this computer can read a command line, so "
        "prefer the environment variable or a cookie file",
        group="Security",
        secret=True,
    ),
    Setting(
        "cookie_file",
        File(),
        None,
        "Cookie File",
        "A file that contains the cookie, such as ~/.erlang.cookie",
        group="Security",
    ),
    Setting(
        "allow",
        Patterns(),
        None,
        "Allowed Nodes",
        "The names of the nodes that may connect, with * and ? as wildcards and separated by commas, such as "
        "app@*, render?@10.0.0.*. Without it, every node that knows the cookie may connect",
        group="Security",
    ),
    _tls(
        "certificate",
        File(),
        "Certificate",
        "A PEM file with the certificate of this node. With it, all connections are encrypted by TLS, and all other "
        "nodes have to use TLS as well",
    ),
    _tls("key", File(), "Private Key", "A PEM file with the private key, unless the certificate file contains it"),
    _tls(
        "authority",
        File(),
        "Authority",
        "A PEM file with the certificates of the authorities that have signed the certificates of the other nodes",
    ),
    _tls("password", Text(), "Passphrase", "The passphrase of the private key, if it has one", secret=True),
    Setting(
        "allow_python",
        Switch(),
        None,
        "Allow BEAM Nodes to Run Python",
        "With the handlers of python_handlers, nodes can run Python code in this program. Every node that knows the "
        "cookie can then do everything that this user can do: read and delete files, and start programs. Use it only "
        "if you trust all programs that know the cookie. Without it, such calls fail",
        group="Security",
    ),
    _limit("max_frame", _COUNT, "Longest Message (bytes)", "The longest message that this node receives, in bytes"),
    _limit("max_connections", _COUNT, "Connections", "The number of connections, pending ones included"),
    _limit(
        "max_half_open",
        _COUNT,
        "Pending Connections",
        "The number of accepted connections whose handshake is not finished. For one more, the oldest is closed",
    ),
    _limit(
        "max_half_open_per_address",
        _COUNT,
        "Pending per Address",
        "The number of accepted connections from one address whose handshake is not finished",
    ),
    _limit("max_queued", _COUNT, "Waiting Calls", "The number of calls that wait for their handler. One more fails"),
    _limit(
        "max_in_flight",
        _COUNT,
        "Calls per Node",
        "The number of calls of one node that wait or run. Above it, nothing is read from that node",
    ),
    _limit(
        "max_unsent",
        _COUNT,
        "Unread Bytes per Node",
        "The number of bytes that wait for one node to read them. Above it, nothing is read from that node",
    ),
    _limit(
        "stalled_peer_timeout",
        Seconds(),
        "Stalled Node (s)",
        "Seconds after which a node is disconnected that has too many unread bytes and reads nothing",
    ),
)

SETTINGS = {setting.name: setting for setting in TABLE}

ENVIRONMENT = {setting.name: setting.variable for setting in TABLE}
"""The environment variable of each setting."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The settings of the table that make a `Tls`. Each start loads the files, and reports what is wrong with them."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None
    tls_password: str | None = field(default=None, repr=False)

    def load(self) -> Tls:
        """Load the files.

        Raises:
            SettingsError: a file is missing or cannot be used.
        """
        certificate, authority = self.tls_certificate, self.tls_authority
        if certificate is None:
            raise SettingsError(_missing("tls_certificate", "the certificate of this node"))
        if authority is None:
            raise SettingsError(_missing("tls_authority", "the certificates of the authorities"))
        return Tls(certificate, self.tls_key, authority, password=self.tls_password)


def _missing(name: str, what: str) -> str:
    setting = SETTINGS[name]
    return (
        f"TLS needs a file with {what}: set {setting.label!r} in Blender's preferences, {setting.option} or "
        f"{setting.variable}"
    )


class Unset(Enum):
    """The default of the arguments of `BeamServer.configure`. None means something else there: use the default."""

    UNSET = "unset"


UNSET = Unset.UNSET


class NetworkOptions(TypedDict, total=False):
    """The options of `BeamServer` that are given by name only. For their meaning see `BeamServer`."""

    tick_time: float | None
    epmd: EpmdMode | None
    tls: Tls | TlsFiles | None
    allow: Iterable[str] | None
    limits: Limits | None
    cookie_file: str | os.PathLike[str] | None
    allow_python: bool | None
    daemon: bool


class ServerOptions(NetworkOptions, total=False):
    """All options of `BeamServer`, for `BeamServer.configure`."""

    node_name: str | None
    cookie: str | None
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options from the constructor of `BeamServer` and from all calls of `configure`.

    None means: use the environment variable, otherwise the default.
    """

    node_name: str | None = None
    cookie: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    tick_time: float | None = None
    epmd: EpmdMode | None = None
    tls: Tls | TlsFiles | None = None
    allow: tuple[str, ...] | None = None
    limits: Limits | None = None
    cookie_file: Path | None = None
    allow_python: bool | None = None
    daemon: bool = False

    def changed(self, **options: Unpack[ServerOptions]) -> "GivenOptions":
        """Return a copy with the values of `options`. A new cookie replaces a cookie file, and the other way round.

        Raises:
            TypeError: there is no option with this name, or a value has a wrong type.
            ValueError: `tick_time`, `epmd` or `allow` has a value that can never be used.
        """
        given = {name: _checked(name, value) for name, value in options.items()}
        if given.get("cookie") is not None:
            given.setdefault("cookie_file", None)
        if given.get("cookie_file") is not None:
            given.setdefault("cookie", None)
        return replace(self, **given)


def _checked(name: str, value: Any) -> Any:
    if name == "daemon":
        return _instance(name, value, bool)
    if value is None:
        return None
    if name == "tls" and isinstance(value, TlsFiles):
        return value
    if name in ("tls", "limits"):
        return _instance(name, value, Tls if name == "tls" else Limits)
    return SETTINGS[name].type.checked(name, value) if name in SETTINGS else value


def _instance(name: str, value: Any, wanted: type) -> Any:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} has to be a {wanted.__name__}, not {type(value).__name__}")
    return value


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


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Valid settings of the connections. For their meaning see `BeamServer`."""

    tick_time: float
    epmd: EpmdMode
    tls: Tls | None
    allow: tuple[str, ...] | None
    limits: Limits
    allow_python: bool | None


def overridden(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Return the names of the settings whose environment variable is set and not empty; see `ENVIRONMENT`."""
    return {setting for setting, variable in ENVIRONMENT.items() if environment.get(variable)}


def from_environment(environment: Mapping[str, str] = os.environ, names: Iterable[str] = ENVIRONMENT) -> dict[str, Any]:
    """Return the values of those settings in `names` that have an environment variable.

    An empty variable sets nothing, unless the setting protects the node.

    Raises:
        SettingsError: a value cannot be used.
    """
    values = {}
    for name in names:
        setting = SETTINGS[name]
        text = environment.get(setting.variable)
        if text:
            values[name] = setting.type.read(setting.variable, text)
        elif text is not None and setting.group == "Security":
            raise SettingsError(f"the environment variable {setting.variable} is empty: set it to a value, or unset it")
    return values


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all layers. A later layer has precedence, and its cookie replaces an earlier cookie file.

    Args:
        layers: values by the names of the settings.

    Raises:
        SettingsError: one layer has a cookie and a cookie file.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        cookies = {"cookie", "cookie_file"} & layer.keys()
        if len(cookies) == 2:
            raise SettingsError("there are a cookie and a cookie file: set only one of them")
        if cookies:
            values.pop("cookie", None)
            values.pop("cookie_file", None)
        values |= layer
    return values


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `BeamServer` for values by the names of the settings."""
    found = {name: value for name, value in values.items() if SETTINGS[name].part_of is None}
    for whole, kind in (("tls", TlsFiles), ("limits", Limits)):
        parts = {name: value for name, value in values.items() if SETTINGS[name].part_of == whole}
        if parts:
            found[whole] = kind(**parts)
    return found


def resolve(
    node_name: str | None = None,
    cookie: str | None = None,
    host: str | None = None,
    port: int | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    cookie_file: Path | None = None,
    look_up: bool = True,
) -> Settings:
    """Return the settings. Each value is the argument, otherwise the environment variable, otherwise the default.

    Args:
        node_name: `name` or `name@host`. Without a host, the host part is made from `host`. Default `beam_bpy`.
        cookie: the cookie; default `beam_bpy_cookie`.
        host: the address or host name to listen on; default the host part of `node_name`, otherwise `localhost`.
        port: the TCP port, 0 to 65535; default 0, any free port.
        environment: the environment variables; default those of this process.
        cookie_file: a file with the cookie.
        look_up: this matters if the node listens on all addresses and the name has no host part. True (default): the
            host part is found as `_own_host` says, which may need a query to a name server. False: it is the short
            host name, without a query.

    Raises:
        SettingsError: a value cannot be used. The message says which values are valid.
    """
    name = node_name or environment.get(ENVIRONMENT["node_name"]) or DEFAULT_NODE_NAME
    short, at, name_host = name.partition("@")
    wanted_host = host or environment.get(ENVIRONMENT["host"]) or name_host or DEFAULT_HOST
    if at:
        _check_host(name_host, f"the host of the node name {name!r}")
    _check(_NAME, short, f"the node name {name!r}")
    _check_host(wanted_host, f"the host {wanted_host!r}")
    if port is None:
        port = from_environment(environment, ["port"]).get("port", DEFAULT_PORT)
    full_name = f"{short}@{name_host or _host_part(wanted_host, look_up=look_up)}"
    if len(full_name) > MAX_NAME:
        raise SettingsError(f"the node name has {len(full_name)} characters with its host: use at most {MAX_NAME}")
    return Settings(
        node_name=full_name,
        cookie=_cookie(cookie, cookie_file, environment),
        bind_host=LOOPBACK if wanted_host == "localhost" else wanted_host,
        port=_checked_port(port),
    )


def resolve_network(given: GivenOptions, environment: Mapping[str, str] = os.environ) -> NetworkSettings:
    """Return the settings of the connections, each found like those of `resolve`.

    Raises:
        SettingsError: a variable has a value that cannot be used, or the certificates cannot be used.
    """
    names = {setting.name for setting in TABLE if getattr(given, setting.argument) is None}
    found = arguments(from_environment(environment, names - {"node_name", "cookie", "cookie_file", "host", "port"}))

    def value(name: str, default: Any) -> Any:
        present = getattr(given, name)
        return found.get(name, default) if present is None else present

    tls = value("tls", None)
    return NetworkSettings(
        tick_time=value("tick_time", DEFAULT_TICK_TIME),
        epmd=value("epmd", DEFAULT_EPMD),
        tls=tls.load() if isinstance(tls, TlsFiles) else tls,
        allow=value("allow", None),
        limits=value("limits", DEFAULT_LIMITS),
        allow_python=value("allow_python", None),
    )


def _cookie(cookie: str | None, cookie_file: Path | None, environment: Mapping[str, str]) -> str:
    if cookie is None and cookie_file is None:
        found = merged(from_environment(environment, ["cookie", "cookie_file"]))
        cookie, cookie_file = found.get("cookie"), found.get("cookie_file")
    if cookie_file is not None:
        return cookie_in(cookie_file)
    if cookie is None:
        return DEFAULT_COOKIE
    check_cookie(cookie)
    return cookie


def _host_part(host: str, *, look_up: bool) -> str:
    if host == "localhost":
        return LOOPBACK
    if host in ALL_ADDRESSES:
        return _own_host(host) if look_up else socket.gethostname()
    return host


def _own_host(listening_on: str) -> str:
    """The host under which other computers may find this one: its full host name, otherwise its address."""
    name = socket.getfqdn()
    if "." in name and not name.endswith((".localdomain", ".in-addr.arpa", ".ip6.arpa")):
        return name
    address = outgoing_address(listening_on)
    if address is None:
        raise SettingsError(
            f"the host {listening_on} means all addresses, and this computer has no name that others know: "
            "give the node a full name with the host by which others reach it, such as beam_bpy@10.0.0.5"
        )
    return address


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.match(text):
        more = ", and also . and :" if pattern is _HOST else ""
        raise SettingsError(f"{what} cannot be used: use only letters, digits, _ and - (no spaces, no accents){more}")


def _check_host(host: str, what: str) -> None:
    _check(_HOST, host, what)
    if ":" in host and not is_ipv6(host):
        raise SettingsError(f"{what} cannot be used: it contains a colon, but is no IPv6 address; set the port apart")


def _checked_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise SettingsError(f"the port {port} cannot be used: choose one from 1 to 65535, or 0 for any free port")
    return port
