"""An extension with handlers for the BEAM. The handlers build, animate and render a scene.

`docs/scene_handlers.md` describes each of them; `changes` lists the rules that all of them follow.

Each handler is a function with positional arguments. Arguments and results contain the names of objects, materials and
properties, and no references to them. After an undo, or after a file is loaded, Python's references are invalid, but
the names are still valid.

The extension also publishes events of Blender; see `events` and `motion_events`; and pictures, see
`pictures.viewport` and `pictures.render_pictures`.
"""

import atexit
import importlib.metadata
import logging
from typing import TYPE_CHECKING

from . import events, motion_events, processing
from .assets import blend_files, conversion
from .groups import CHANGING, INSPECTING, LIVE, LOADING, LONGEST_WAIT, READING, RENDERING, STREAMING, WATCHING, Handlers
from .motion import live
from .pictures import render_pictures, viewport
from .support.temporary_folders import lock_folder_of_blender, release_folder_of_blender, remove_abandoned_folders

if TYPE_CHECKING:
    from beam_bpy import BeamServer

log = logging.getLogger("beam_bpy.scene_handlers")

OPENING: Handlers = (
    blend_files.open_file,
    conversion.new_file,
    conversion.convert_bytes,
    processing.process_bytes,
)
"""Handlers that replace the current file. They make no undo step, because Blender's undo ends where a file begins."""

ALL: Handlers = (*READING, *WATCHING, *INSPECTING, *RENDERING, *CHANGING, *LOADING, *LIVE, *STREAMING, *OPENING)

_PUBLISHERS = (events, motion_events, viewport, render_pictures)
"""The modules that publish events."""


def register(server: "BeamServer | None" = None) -> None:
    """Register the handlers and start to publish events.

    Blender calls this without a server when the user enables the extension. `serve --handlers scene_handlers` calls it
    with a server, in a Python program that has the packages bpy and beam-bpy.

    After an update of Beam-BPy, Blender's Python keeps its old modules until Blender ends. Then nothing is registered:
    handlers of a new version may need the new modules, and Blender would disable an extension that raises an exception.
    """
    if server is None:
        server = _server()
        if _core_was_updated():
            log.warning("Beam-BPy was updated: restart Blender. Until then, Scene Handlers has no handlers")
            return
    else:
        # Blender disables its extensions when it ends. In a program nobody does, and with functions in
        # bpy.app.handlers the bpy module does not end.
        for part in _PUBLISHERS:
            atexit.register(part.unregister)
    lock_folder_of_blender()
    remove_abandoned_folders()
    for handler in READING:
        server.expose(owner=__package__)(handler)
    for handler in WATCHING:
        server.expose(owner=__package__, safe_during_jobs=True)(handler)
    for handler in INSPECTING:
        server.expose(owner=__package__, binaries=memoryview)(handler)
    for handler in RENDERING:
        server.expose(owner=__package__, changes_scene=True, max_wait=LONGEST_WAIT)(handler)
    for handler in CHANGING:
        server.expose(owner=__package__, undo=True)(handler)
    for handler in LOADING:
        server.expose(owner=__package__, undo=True, binaries=memoryview, arrays=True)(handler)
    for handler, key in LIVE.items():
        server.expose(owner=__package__, undo=True, binaries=memoryview, latest=key, after_tick=live.update)(handler)
    for handler, key in STREAMING.items():
        server.expose(
            owner=__package__,
            changes_scene=True,
            binaries=memoryview,
            arrays=True,
            latest=key,
            after_tick=live.update,
        )(handler)
    for handler in OPENING:
        server.expose(owner=__package__, changes_scene=True, binaries=memoryview)(handler)
    for part in _PUBLISHERS:
        part.register(server)


def unregister() -> None:
    """Undo `register`. Blender calls this when the user disables the extension."""
    for part in reversed(_PUBLISHERS):
        part.unregister()
    release_folder_of_blender()
    _server().unregister_owner(__package__)


def _core_was_updated() -> bool:
    """True if Blender has installed another version of Beam-BPy than the one that Python has imported."""
    import beam_bpy

    try:
        installed = importlib.metadata.version("beam-bpy")
    except importlib.metadata.PackageNotFoundError:  # A program for tests imports the sources.
        return False
    return getattr(beam_bpy, "__version__", None) != installed


def _server() -> "BeamServer":
    # Import it here, so that the user of a Blender without Beam-BPy sees this message and not a ModuleNotFoundError.
    try:
        from beam_bpy import get_beam_server
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "Scene Handlers needs the extension Beam-BPy: install and enable it, then enable Scene Handlers again"
        ) from error
    return get_beam_server()
