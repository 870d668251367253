"""Publish events of Blender to the BEAM processes that have subscribed.

Each topic has a map as its payload:

    topic               payload
    frame_change        scene, frame
    selection           selected: the names of the selected objects; active: the name of the active object, or nil
    depsgraph_update    for each kind of datablock (object, mesh, material, ...) the names of those that have changed
    file_load           path; it is empty for the file that Blender opens at its start
    render              state: init, write, complete or cancel; scene; frame; path: the file that the
                        call writes, or the output path of the scene

If a topic has no subscribers, its payload is not computed. The handlers `thumbnail`, `turntable` and `render_pass`
publish nothing; see `silence`.

While the user moves an object, Blender updates the depsgraph at each step. So in a Blender with a window, the events of
selection and depsgraph_update are collected and published at most once in `PAUSE` seconds. Blender without a window
runs no timers, so there they are published at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy
from bpy.app.handlers import persistent

from .pictures.render import output_path
from .support.silence import is_silent

if TYPE_CHECKING:
    from beam_bpy import BeamServer

PAUSE = 0.05
"""The shortest time between two messages of selection or of depsgraph_update, in seconds."""


class _State:
    """The data that the handlers of bpy.app.handlers share: collected changes, and the last published selection."""

    def __init__(self, server: "BeamServer") -> None:
        self.server = server
        self.changed: dict[str, set[str]] = {}
        self.selection: dict[str, Any] | None = None


_state: _State | None = None


def register(server: "BeamServer") -> None:
    """Start to publish events with this server, and no longer with another one."""
    global _state
    unregister()
    _state = _State(server)
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Undo `register`."""
    global _state
    if _state is None:
        return
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    if bpy.app.timers.is_registered(_flush):
        bpy.app.timers.unregister(_flush)
    _state = None


def _publish(topic: str, payload: Callable[[], Any]) -> None:
    """Publish the result of `payload()`, if the topic has subscribers."""
    if _state is not None and _wanted(topic):
        _state.server.publish(topic, payload())


def _wanted(topic: str) -> bool:
    return _state is not None and not is_silent() and _state.server.subscribers(topic) > 0


# The handlers of bpy.app.handlers. They are persistent, because otherwise Blender removes them when it loads a file.


@persistent  # type: ignore[untyped-decorator]
def _frame_changed(scene: bpy.types.Scene, *_more: object) -> None:
    _publish("frame_change", lambda: {"scene": scene.name, "frame": scene.frame_current})


@persistent  # type: ignore[untyped-decorator]
def _file_loaded(*_arguments: object) -> None:
    _publish("file_load", lambda: {"path": bpy.data.filepath})


@persistent  # type: ignore[untyped-decorator]
def _render_began(scene: bpy.types.Scene, *_more: object) -> None:
    _publish_render("init", scene)


@persistent  # type: ignore[untyped-decorator]
def _render_wrote(scene: bpy.types.Scene, *_more: object) -> None:
    _publish_render("write", scene)


@persistent  # type: ignore[untyped-decorator]
def _render_completed(scene: bpy.types.Scene, *_more: object) -> None:
    _publish_render("complete", scene)


@persistent  # type: ignore[untyped-decorator]
def _render_cancelled(scene: bpy.types.Scene, *_more: object) -> None:
    _publish_render("cancel", scene)


def _publish_render(state: str, scene: bpy.types.Scene) -> None:
    def payload() -> dict[str, Any]:
        return {"state": state, "scene": scene.name, "frame": scene.frame_current, "path": output_path(scene)}

    _publish("render", payload)


@persistent  # type: ignore[untyped-decorator]
def _depsgraph_updated(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Collect changes, and publish them later. Blender reports a change of the selection only by this handler."""
    changes = _wanted("depsgraph_update")
    if _state is None or not (changes or _wanted("selection")):
        return
    if changes:
        for update in depsgraph.updates:
            datablock: Any = update.id
            _state.changed.setdefault(datablock.id_type.lower(), set()).add(datablock.name)
    if bpy.app.background:
        _flush()
    elif not bpy.app.timers.is_registered(_flush):
        bpy.app.timers.register(_flush, first_interval=PAUSE, persistent=True)


def _flush() -> None:
    """Publish the collected changes, and the selection if it has changed."""
    if _state is None:
        return
    changed, _state.changed = _state.changed, {}
    if changed:
        _publish("depsgraph_update", lambda: {kind: sorted(names) for kind, names in changed.items()})
    if not _wanted("selection"):
        _state.selection = None
        return
    selection = _selection()
    if selection != _state.selection:
        _state.selection = selection
        _publish("selection", lambda: selection)


def _selection() -> dict[str, Any]:
    layer = bpy.context.view_layer
    if layer is None:
        return {"selected": [], "active": None}
    active = layer.objects.active
    return {
        "selected": sorted(each.name for each in layer.objects.selected),
        "active": active.name if active is not None else None,
    }


_HANDLERS = (
    ("frame_change_post", _frame_changed),
    ("depsgraph_update_post", _depsgraph_updated),
    ("load_post", _file_loaded),
    ("render_init", _render_began),
    ("render_write", _render_wrote),
    ("render_complete", _render_completed),
    ("render_cancel", _render_cancelled),
)
