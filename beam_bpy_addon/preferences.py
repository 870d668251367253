"""The preferences: the settings of the node, and how Blender answers calls; `security` has the rarer ones."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from beam_bpy import SettingsError, get_beam_server, settings
from beam_bpy.cookies import DEFAULT_COOKIE

from . import console_log, lines, security, updates
from .classes import unregister_classes
from .guard import logged_once

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_BOX = 40.0
"""The width of the margins of a box in the preferences, in pixels at a scale of 1."""

PROPERTIES = {
    setting.name: setting.name for setting in settings.TABLE if setting.name != security.OF_PYTHON_HANDLERS
} | {"tick_time": "keepalive"}
"""The property of each setting of `settings.TABLE` that is a preference of this extension."""

_ALWAYS = ("node_name", "cookie", "host", "port", "tick_time", "epmd")
"""The settings that have a value here even if the user has set none."""

_EPMD = (
    (
        "embed",
        "System epmd, else Built-in",
        "Register with the epmd of this computer. If no epmd answers, Blender runs a built-in one",
    ),
    ("host", "System epmd", "Register with the epmd of this computer. If no epmd answers, the node does not start"),
    ("none", "None", "Do not register with any epmd. The other nodes have to know the port"),
)

_WHILE_TOOL = (
    ("changes", "Scene Changes Wait", "Calls that change the scene wait. All other calls are answered"),
    ("all", "All Calls Wait", "All calls wait until you have finished"),
)

_LEVELS = (
    ("error", "Errors", "Only errors"),
    ("warning", "Warnings", "Errors and warnings"),
    ("info", "Information", "Also when the node starts or stops, and when other nodes connect or disconnect"),
    ("debug", "Everything", "Debug details"),
)

DEFAULT_BUDGET = 8.0
"""In milliseconds. This is half of the time of a frame at 60 Hz."""

DEFAULT_MODAL_BUDGET = 2.0
"""In milliseconds. Most of the time of a frame remains for the tool or the animation."""

DEFAULT_LINGER = 1.0
"""In milliseconds. A caller on this computer needs a tenth of this time to send its next call."""

DEFAULT_AWAKE = 0.1
"""In seconds. During this time after a call, Blender uses a fifth of a processor; `make bench` prints this figure."""

DEFAULT_KEEPALIVE = 60
"""In seconds. This is the default of `net_ticktime` (kernel(6))."""

DEFAULT_LEVEL = "info"

_taken: dict[str, Any] | None = None


def _level_changed(holder: "BEAMBPY_AP_preferences", _context: bpy.types.Context) -> None:
    console_log.set_level(holder.log_level)


def _without_spaces(name: str) -> Callable[[Any, bpy.types.Context], None]:
    """Return a function that removes the spaces and line ends around a text that the user has pasted."""

    def changed(holder: Any, _context: bpy.types.Context) -> None:
        text = getattr(holder, name)
        if text != text.strip():
            setattr(holder, name, text.strip())

    return changed


class BEAMBPY_AP_preferences(updates.RestartPreference, security.SecurityPreferences, bpy.types.AddonPreferences):
    """The settings of the user in Preferences, Add-ons, Beam-BPy."""

    # Blender's name for the extension depends on the repository from which it was installed.
    bl_idname = __package__

    node_name: StringProperty(  # type: ignore[valid-type]
        name="Node Name",
        description="The name by which Erlang and Elixir programs call this Blender. Enter a name, to which Blender "
        "adds the host, or a full name such as render1@10.0.0.5",
        default=settings.DEFAULT_NODE_NAME,
        update=_without_spaces("node_name"),
    )
    cookie: StringProperty(  # type: ignore[valid-type]
        name="Cookie",
        description="The password that all nodes of a cluster share. A program that knows it can call every handler. "
        "Blender saves it with the preferences. To avoid that, set the environment variable BPY_BEAM_COOKIE instead",
        subtype="PASSWORD",
        default=DEFAULT_COOKIE,
        update=_without_spaces("cookie"),
    )
    host: StringProperty(  # type: ignore[valid-type]
        name="Host",
        description="The address at which Blender accepts connections. With localhost, only programs on this computer "
        "can connect. If this is empty, Blender uses the host part of the node name",
        default=settings.DEFAULT_HOST,
        update=_without_spaces("host"),
    )
    port: IntProperty(  # type: ignore[valid-type]
        name="Port",
        description="The TCP port at which Blender accepts connections. With 0, Blender takes a free port, and other "
        "nodes ask epmd for its number",
        default=settings.DEFAULT_PORT,
        min=0,
        max=65535,
    )
    epmd: EnumProperty(  # type: ignore[valid-type]
        name="Port Mapper",
        description="The program that tells other nodes the port of this node. Erlang calls it epmd",
        items=_EPMD,
        default="embed",
    )
    keepalive: IntProperty(  # type: ignore[valid-type]
        name="Keepalive (s)",
        description="Blender disconnects a node that has sent nothing for this many seconds. Use the same value on all "
        "nodes of a cluster; Erlang calls it net_ticktime",
        default=DEFAULT_KEEPALIVE,
        min=4,
        max=3600,
    )
    start_with_blender: BoolProperty(  # type: ignore[valid-type]
        name="Start with Blender",
        description="Start the node when Blender starts with a window",
        default=False,
    )
    budget_ms: FloatProperty(  # type: ignore[valid-type]
        name="Time per Tick (ms)",
        description="Milliseconds that handlers may use before Blender redraws. A higher value answers more calls, a "
        "lower value keeps the window smoother. A running handler is not interrupted",
        default=DEFAULT_BUDGET,
        min=1.0,
        max=50.0,
        precision=1,
        step=100,
    )
    modal_budget_ms: FloatProperty(  # type: ignore[valid-type]
        name="Time per Tick While a Tool Runs (ms)",
        description="Milliseconds that handlers may use before Blender redraws, while you draw, sculpt, drag or play "
        "an animation. Blender never uses more than Time per Tick",
        default=DEFAULT_MODAL_BUDGET,
        min=0.5,
        max=50.0,
        precision=1,
        step=100,
    )
    while_tool: EnumProperty(  # type: ignore[valid-type]
        name="While You Use a Tool",
        description="Which calls wait until you have finished a stroke, a drag or another tool. While Blender renders "
        "or bakes, all calls wait, except calls of handlers that are declared safe",
        items=_WHILE_TOOL,
        default="changes",
    )
    ignored_tools: StringProperty(  # type: ignore[valid-type]
        name="Ignored Tools",
        description="Operators for which no call waits, separated by commas. Enter the operator of an add-on that runs "
        "all the time, such as one that shows pressed keys. The sidebar shows the name to enter",
        default="",
    )
    linger_ms: FloatProperty(  # type: ignore[valid-type]
        name="Wait for the Next Call (ms)",
        description="Milliseconds that Blender waits for another call after it has answered one, within Time per Tick. "
        "This speeds up programs that send one call after the other. With 0, such a program gets one answer per tick",
        default=DEFAULT_LINGER,
        min=0.0,
        max=10.0,
        precision=1,
        step=50,
    )
    awake_s: FloatProperty(  # type: ignore[valid-type]
        name="Stay Responsive (s)",
        description="Seconds after a call in which Blender does not sleep between two ticks. It answers faster and "
        "uses more of the processor. With 0, Blender sleeps as usual, and an answer can take 5 ms longer",
        default=DEFAULT_AWAKE,
        min=0.0,
        max=10.0,
        precision=2,
        step=10,
    )
    log_level: EnumProperty(  # type: ignore[valid-type]
        name="Log Level",
        description="Which messages the node writes to the terminal from which Blender was started",
        items=_LEVELS,
        default=DEFAULT_LEVEL,
        update=_level_changed,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the settings. An invalid setting is drawn with its error, an overridden one with the variable's name."""
        with logged_once("the preferences of Beam-BPy"):
            self._draw()

    def _draw(self) -> None:
        layout = self.layout
        assert layout is not None
        if outdated():
            row = layout.row()
            row.label(text="Restart the node to apply these settings", icon="INFO")
            row.operator("beam_bpy.restart_server", text="Restart", icon="FILE_REFRESH")
        _draw_node(_box(layout, "Node"), self)
        _draw_cookie(_box(layout, "Cookie"), self)
        _draw_closed(layout, "Security", _draw_security, self)
        _draw_closed(layout, "Limits", _draw_limits, self)
        column = _box(layout, "Blender")
        for name in ("start_with_blender", "log_level"):
            column.prop(self, name)
        column = _box(layout, "Answering Calls in a Window")
        for name in ("while_tool", "ignored_tools", "budget_ms", "modal_budget_ms", "linger_ms", "awake_s"):
            column.prop(self, name)


def current() -> BEAMBPY_AP_preferences | None:
    """Return the preferences of the user, or None if a script has enabled the extension without preferences."""
    preferences = bpy.context.preferences
    assert preferences is not None
    addon = preferences.addons.get(__package__)
    return None if addon is None else addon.preferences


def stored() -> dict[str, Any]:
    """Return the values of the preferences, by the names of the settings; None for one that the environment sets."""
    holder = current()
    if holder is None:
        return {}
    values = {name: getattr(holder, PROPERTIES[name]) for name in _ALWAYS} | security.stored(holder)
    values["tick_time"] = float(values["tick_time"])
    if "cookie_file" in values:  # It replaces the cookie, which always has a value here.
        values["cookie"] = None
    overridden = settings.overridden()
    return {name: None if name in overridden else value for name, value in values.items()}


def take() -> dict[str, Any]:
    """Return the same as `stored`, and remember it: `outdated` compares the preferences with these values."""
    global _taken
    _taken = stored()
    return dict(_taken)


def outdated() -> bool:
    """Return True if the server runs, and the preferences have changed since the last `take`."""
    return get_beam_server().running and stored() != _taken


def label(name: str) -> str:
    """Return the label of an option of `BeamServer` in the preferences, or the name of the option if it has none."""
    parts = {"tls": "TLS", "limits": "Limits"}
    return parts.get(name) or settings.SETTINGS[name].label


class Pace(NamedTuple):
    """The times that control how Blender's main thread answers calls, in seconds; see `drain`.

    Attributes:
        budget: the time that one tick may use. After this time, the tick starts no further call.
        modal_budget: the same while a modal operator runs or an animation plays.
        linger: the time that a tick waits for the next call after each call.
        awake: the time after a call during which the main loop does not sleep.
    """

    budget: float = DEFAULT_BUDGET / 1000.0
    modal_budget: float = DEFAULT_MODAL_BUDGET / 1000.0
    linger: float = DEFAULT_LINGER / 1000.0
    awake: float = DEFAULT_AWAKE


def pace() -> Pace:
    """Return the times from the preferences. A change takes effect in the next tick."""
    holder = current()
    if holder is None:
        return Pace()
    budget = holder.budget_ms / 1000.0
    return Pace(budget, min(holder.modal_budget_ms / 1000.0, budget), holder.linger_ms / 1000.0, holder.awake_s)


def all_calls_wait() -> bool:
    """Return True if all calls wait while the user works with a tool; False if only scene changes wait."""
    holder = current()
    return holder is not None and holder.while_tool == "all"


def ignored_tools() -> frozenset[str]:
    """Return the modal operators for which no call waits, such as `TRANSFORM_OT_translate`."""
    holder = current()
    names = holder.ignored_tools.replace(",", " ").split() if holder is not None else ()
    return frozenset(map(operator_identifier, names))


def operator_identifier(name: str) -> str:
    """Return the identifier of an operator, `TRANSFORM_OT_translate`.

    Args:
        name: the identifier itself, or the name in Python, `transform.translate`.
    """
    module, dot, function = name.partition(".")
    return f"{module.upper()}_OT_{function}" if dot else name


def without_cookie(text: str) -> str:
    """Replace the secrets in a text that is shown to the user, such as the error message or traceback of a handler."""
    holder = current()
    for name, word in (("cookie", "cookie"), ("tls_password", "passphrase")):
        typed = None if holder is None else getattr(holder, name)
        for secret in (os.environ.get(settings.ENVIRONMENT[name]), typed, DEFAULT_COOKIE):
            if secret:
                text = text.replace(secret, f"<{word}>")
    return text


def _box(layout: bpy.types.UILayout, title: str) -> bpy.types.UILayout:
    box = layout.box()
    box.label(text=title)
    column = box.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def _draw_node(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences) -> None:
    for name in ("node_name", "host", "port"):
        _draw_setting(column, holder, name)
    _draw_setting(column, holder, "epmd")
    if holder.epmd == "none" and not holder.port and "port" not in settings.overridden():
        _draw_lines(
            column, "Without a port mapper, the other nodes have to know the port. Enter a port other than 0", "INFO"
        )
    _draw_setting(column, holder, "tick_time")


def _draw_cookie(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences) -> None:
    _draw_setting(column, holder, "cookie")
    if "cookie" in settings.overridden():
        return
    if holder.cookie in ("", DEFAULT_COOKIE):
        _draw_lines(column, "This is the default cookie, which is publicly known. Press Generate Cookie", "ERROR")
    elif any(map(str.isspace, holder.cookie)):
        _draw_lines(column, "The cookie contains a space", "INFO")
    buttons = column.row(align=True)
    buttons.operator("beam_bpy.generate_cookie", icon="KEYINGSET")
    buttons.operator("beam_bpy.use_erlang_cookie", icon="FILE")
    buttons.operator("beam_bpy.copy_cookie", icon="COPYDOWN")


def _draw_closed(
    layout: bpy.types.UILayout,
    title: str,
    draw: Callable[[bpy.types.UILayout, BEAMBPY_AP_preferences], None],
    holder: BEAMBPY_AP_preferences,
) -> None:
    """Draw a panel that is closed until the user opens it."""
    header, body = layout.panel(f"BEAMBPY_PT_preferences_{title.lower()}", default_closed=True)
    header.label(text=title)
    if body is not None:
        column = body.column()
        column.use_property_split = True
        column.use_property_decorate = False
        draw(column, holder)


def _draw_security(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences) -> None:
    for setting in security.SETTINGS:
        if setting.group == "Security":
            _draw_setting(column, holder, setting.name)
    given = {name: value for name, value in stored().items() if value is not None}
    try:
        values = settings.merged(given, settings.from_environment())
    except SettingsError as error:
        _draw_lines(column, str(error), "ERROR")
        return
    _draw_lines(column, security.certificate_problem(values, security.host_of_node(holder)) or "", "ERROR")


def _draw_limits(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences) -> None:
    for setting in security.SETTINGS:
        if setting.group == "Limits":
            _draw_setting(column, holder, setting.name)


def _draw_setting(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences, name: str) -> None:
    if name in settings.overridden():
        _draw_override(column, name)
        return
    value = getattr(holder, PROPERTIES[name])
    problem = _problem(name, value)
    row = column.row()
    row.alert = problem is not None
    row.prop(holder, PROPERTIES[name])
    _draw_lines(column, problem or "", "ERROR")


def _draw_lines(column: bpy.types.UILayout, text: str, icon: "IconItems") -> None:
    lines.draw_lines(column, lines.capitalised(text), lines.panel_width(bpy.context) - _BOX, icon)


def _draw_override(column: bpy.types.UILayout, name: str) -> None:
    variable = settings.ENVIRONMENT[name]
    split = column.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=settings.SETTINGS[name].label)
    split.label(text=f"Set by {variable}", icon="LOCKED", translate=False)


def _problem(name: str, value: Any) -> str | None:
    """The reason why this value cannot be used, as a sentence; None if it can be used."""
    try:
        if name in ("node_name", "cookie", "host", "port"):
            settings.resolve(**{name: value}, environment={})
        elif name in ("cookie_file", "allow") and value:
            setting = settings.SETTINGS[name]
            read = setting.type.read(setting.label, bpy.path.abspath(value) if name == "cookie_file" else value)
            settings.resolve(cookie_file=read if name == "cookie_file" else None, environment={})
    except SettingsError as error:
        return str(error)
    return None


def register() -> None:
    """Register the preferences with Blender."""
    bpy.utils.register_class(BEAMBPY_AP_preferences)
    holder = current()
    console_log.set_level(DEFAULT_LEVEL if holder is None else holder.log_level)


def unregister() -> None:
    """Undo `register`."""
    unregister_classes([BEAMBPY_AP_preferences])
