"""The preferences: what the node is called, its cookie, where it listens, what it may cost."""

import os
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from beam_bpy import SettingsError, get_beam_server, settings
from beam_bpy.cookies import DEFAULT_COOKIE

from . import logs

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

# What the preferences show of a line in their default width.
_LINE = 66

_LABELS = {"node_name": "Node Name", "cookie": "Cookie", "host": "Host", "port": "Port"}
_MORE_LABELS = {"tick_time": "Keepalive", "epmd": "Port Mapper"}

_EPMD = (
    (
        "embed",
        "Of This Computer, or Own",
        "Register with this computer's epmd; if none answers, Blender runs one itself",
    ),
    ("host", "Of This Computer", "Register with this computer's epmd; if none answers, the server does not start"),
    ("none", "None", "Do not register: the other nodes have to know the port"),
)

_WHILE_TOOL = (
    ("changes", "Scene Changes Wait", "Calls that change the scene wait; other calls are answered"),
    ("all", "All Calls Wait", "No call is answered before the tool is finished"),
)

_LEVELS = (
    ("error", "Errors", "Only what does not work"),
    ("warning", "Warnings", "Also what may be wrong"),
    ("info", "Information", "Also when the server starts and stops"),
    ("debug", "Everything", "Also what is of use when one looks for a mistake"),
)

DEFAULT_BUDGET = 8.0
"""Milliseconds: half a frame at 60 Hz."""

DEFAULT_MODAL_BUDGET = 2.0
"""Milliseconds: a tool or an animation gets most of a frame."""

DEFAULT_LINGER = 1.0
"""Milliseconds: a caller on this computer needs a tenth of it for its next call."""

DEFAULT_AWAKE = 0.1
"""Seconds: for so long a call takes a fifth of a processor (`make bench` prints it)."""

DEFAULT_KEEPALIVE = 60
"""Seconds: the BEAM's own net_ticktime."""

DEFAULT_LEVEL = "info"

_taken: dict[str, Any] | None = None


def _level_changed(holder: "BEAMBPY_AP_preferences", _context: bpy.types.Context) -> None:
    logs.set_level(holder.log_level)


class BEAMBPY_AP_preferences(bpy.types.AddonPreferences):
    """What a user sets under Preferences, Add-ons, Beam-BPy."""

    # The name under which Blender knows the extension depends on the repository that it was installed from.
    bl_idname = __package__

    node_name: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["node_name"],
        description="What Erlang and Elixir call this Blender: a name, which gets the host, or a whole name@host",
        default=settings.DEFAULT_NODE_NAME,
    )
    cookie: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["cookie"],
        description="The secret that all nodes of a cluster share. Whoever has it can call every handler. "
        "It is saved with Blender's preferences; the environment variable BPY_BEAM_COOKIE keeps it out of there",
        subtype="PASSWORD",
        default=DEFAULT_COOKIE,
    )
    host: StringProperty(  # type: ignore[valid-type]
        name=_LABELS["host"],
        description="The address to listen on. localhost: only this computer can connect. "
        "Empty: the host of the node name",
        default=settings.DEFAULT_HOST,
    )
    port: IntProperty(  # type: ignore[valid-type]
        name=_LABELS["port"],
        description="The TCP port to listen on; 0 takes any free one, which other nodes learn from epmd",
        default=settings.DEFAULT_PORT,
        min=0,
        max=65535,
    )
    epmd: EnumProperty(  # type: ignore[valid-type]
        name="Port Mapper",
        description="The epmd, which tells other nodes the port of this one",
        items=_EPMD,
        default="embed",
    )
    keepalive: IntProperty(  # type: ignore[valid-type]
        name="Keepalive (s)",
        description="Seconds of silence after which a node counts as gone. It should be the same on all nodes of a "
        "cluster, where it is called net_ticktime",
        default=DEFAULT_KEEPALIVE,
        min=4,
        max=3600,
    )
    start_with_blender: BoolProperty(  # type: ignore[valid-type]
        name="Start with Blender",
        description="Start the server whenever Blender starts with a window",
        default=False,
    )
    budget_ms: FloatProperty(  # type: ignore[valid-type]
        name="Time per Tick (ms)",
        description="Milliseconds that handlers may take before Blender draws again. More answers more calls, less "
        "keeps the window smoother. A handler that has begun is not interrupted",
        default=DEFAULT_BUDGET,
        min=1.0,
        max=50.0,
        precision=1,
        step=100,
    )
    modal_budget_ms: FloatProperty(  # type: ignore[valid-type]
        name="Beside a Tool (ms)",
        description="The same while you draw, sculpt, drag or play an animation, which get the rest. "
        "Never more than Time per Tick",
        default=DEFAULT_MODAL_BUDGET,
        min=0.5,
        max=50.0,
        precision=1,
        step=100,
    )
    while_tool: EnumProperty(  # type: ignore[valid-type]
        name="While You Use a Tool",
        description="Which calls wait until you have finished a stroke, a drag or another tool. "
        "While Blender renders or bakes, all calls wait, except those that are declared safe",
        items=_WHILE_TOOL,
        default="changes",
    )
    ignored_tools: StringProperty(  # type: ignore[valid-type]
        name="Ignored Tools",
        description="Operators that no call waits for, separated by commas. For add-ons whose operator runs all the "
        "time in the background, such as one that shows pressed keys. The sidebar shows the name that belongs here",
        default="",
    )
    linger_ms: FloatProperty(  # type: ignore[valid-type]
        name="Wait for the Next Call (ms)",
        description="Milliseconds that a tick waits after a call for the next one, within Time per Tick. A caller that "
        "sends one call after the other need not wait for ticks then. 0: it gets one answer in each tick",
        default=DEFAULT_LINGER,
        min=0.0,
        max=10.0,
        precision=1,
        step=50,
    )
    awake_s: FloatProperty(  # type: ignore[valid-type]
        name="Stay Awake (s)",
        description="Seconds after a call for which Blender does not sleep between two ticks. It answers sooner, and "
        "uses the processor. 0: it sleeps as always, and an answer may take 5 ms longer",
        default=DEFAULT_AWAKE,
        min=0.0,
        max=10.0,
        precision=2,
        step=10,
    )
    log_level: EnumProperty(  # type: ignore[valid-type]
        name="Messages",
        description="What is told in the terminal that Blender was started from",
        items=_LEVELS,
        default=DEFAULT_LEVEL,
        update=_level_changed,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the settings, each with what is wrong with it or what overrides it."""
        layout = self.layout
        assert layout is not None
        if outdated():
            row = layout.row()
            row.label(text="Restart the server to apply these settings", icon="INFO")
            row.operator("beam_bpy.restart_server", text="Restart", icon="FILE_REFRESH")
        _draw_node(_box(layout, "Node"), self)
        _draw_cookie(_box(layout, "Cookie"), self)
        column = _box(layout, "Blender")
        for name in ("start_with_blender", "log_level"):
            column.prop(self, name)
        column = _box(layout, "Answering Calls in a Window")
        for name in ("while_tool", "ignored_tools", "budget_ms", "modal_budget_ms", "linger_ms", "awake_s"):
            column.prop(self, name)


def current() -> BEAMBPY_AP_preferences | None:
    """What the user has set; None if a script has enabled the extension for this session only."""
    preferences = bpy.context.preferences
    assert preferences is not None
    addon = preferences.addons.get(__package__)
    return None if addon is None else addon.preferences


def stored() -> dict[str, Any]:
    """The preferences as arguments of `BeamServer.configure`; None for an option that the environment sets."""
    holder = current()
    if holder is None:
        return {}
    overridden = settings.overridden()
    chosen = {name: None if name in overridden else getattr(holder, name) for name in _LABELS}
    return {**chosen, "tick_time": float(holder.keepalive), "epmd": holder.epmd}


def take() -> dict[str, Any]:
    """What `stored` returns, for the server: `outdated` compares with it from now on."""
    global _taken
    _taken = stored()
    return dict(_taken)


def outdated() -> bool:
    """Whether the server runs with other settings than the preferences now hold."""
    return get_beam_server().running and stored() != _taken


def label(name: str) -> str:
    """What the preferences call an option of `BeamServer`."""
    return _LABELS.get(name) or _MORE_LABELS.get(name, name)


class Pace(NamedTuple):
    """How Blender's main thread answers calls: see `drain`. All in seconds.

    Attributes:
        budget: of a tick, after which no further call is begun.
        modal_budget: the same beside a modal tool or an animation that is played.
        linger: for which a tick waits after each call for the next one.
        awake: after a call, for which the main loop is kept from sleeping.
    """

    budget: float = DEFAULT_BUDGET / 1000.0
    modal_budget: float = DEFAULT_MODAL_BUDGET / 1000.0
    linger: float = DEFAULT_LINGER / 1000.0
    awake: float = DEFAULT_AWAKE


def pace() -> Pace:
    """What the user has set of it; it holds from the next tick on."""
    holder = current()
    if holder is None:
        return Pace()
    budget = holder.budget_ms / 1000.0
    return Pace(budget, min(holder.modal_budget_ms / 1000.0, budget), holder.linger_ms / 1000.0, holder.awake_s)


def all_calls_wait() -> bool:
    """Whether all calls wait while the user works with a tool, and not only those that change the scene."""
    holder = current()
    return holder is not None and holder.while_tool == "all"


def ignored_tools() -> frozenset[str]:
    """The modal operators that no call waits for, by their `bl_idname` as Blender's C code writes it."""
    holder = current()
    names = holder.ignored_tools.replace(",", " ").split() if holder is not None else ()
    return frozenset(map(operator_identifier, names))


def operator_identifier(name: str) -> str:
    """`TRANSFORM_OT_translate`, of an operator that may be named as Python calls it: `transform.translate`."""
    module, dot, function = name.partition(".")
    return f"{module.upper()}_OT_{function}" if dot else name


def without_cookie(text: str) -> str:
    """`text` as it may be shown: a handler's message or traceback may hold the cookie."""
    holder = current()
    for cookie in (os.environ.get(settings.ENVIRONMENT["cookie"]), holder and holder.cookie, DEFAULT_COOKIE):
        if cookie:
            text = text.replace(cookie, "<cookie>")
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
    column.prop(holder, "epmd")
    if holder.epmd == "none" and not holder.port and "port" not in settings.overridden():
        _draw_lines(column, "without a port mapper the other nodes have to know the port: choose one", "INFO")
    column.prop(holder, "keepalive")


def _draw_cookie(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences) -> None:
    _draw_setting(column, holder, "cookie")
    if "cookie" in settings.overridden():
        return
    if holder.cookie in ("", DEFAULT_COOKIE):
        _draw_lines(column, "this is the default cookie, which everybody knows", "ERROR")
    buttons = column.row(align=True)
    buttons.operator("beam_bpy.generate_cookie", icon="KEYINGSET")
    buttons.operator("beam_bpy.use_erlang_cookie", icon="FILE")


def _draw_setting(column: bpy.types.UILayout, holder: BEAMBPY_AP_preferences, name: str) -> None:
    if name in settings.overridden():
        _draw_override(column, name)
        return
    problem = _problem(name, getattr(holder, name))
    row = column.row()
    row.alert = problem is not None
    row.prop(holder, name)
    _draw_lines(column, problem or "", "ERROR")


def _draw_lines(column: bpy.types.UILayout, text: str, icon: "IconItems") -> None:
    for number, line in enumerate(textwrap.wrap(text, _LINE)):
        column.label(text=line, icon="BLANK1" if number else icon)


def _draw_override(column: bpy.types.UILayout, name: str) -> None:
    variable = settings.ENVIRONMENT[name]
    split = column.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=_LABELS[name])
    split.label(text=f"set by {variable}", icon="LOCKED")


def _problem(name: str, value: Any) -> str | None:
    """Why this value cannot be used, as a sentence."""
    try:
        settings.resolve(**{name: value}, environment={})
    except SettingsError as error:
        return str(error)
    return None


def register() -> None:
    """Register the preferences with Blender."""
    bpy.utils.register_class(BEAMBPY_AP_preferences)
    holder = current()
    logs.set_level(DEFAULT_LEVEL if holder is None else holder.log_level)


def unregister() -> None:
    """Undo `register`."""
    bpy.utils.unregister_class(BEAMBPY_AP_preferences)
