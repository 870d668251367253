"""How Scene Handlers registers its handlers, and what it says without Beam-BPy."""

import sys
from collections.abc import Iterator

import bpy
import in_blender
import pytest

from beam_bpy import BeamServer

CHANGING = ["upload_mesh", "upload_image", "set_fcurve", "create_cube", "set_property"]
READING = ["download_mesh", "get_fcurve", "list_objects", "bake_motion", "render_still"]


def test_only_what_changes_the_scene_can_be_undone(scene_handlers: None, server: BeamServer) -> None:
    undo = {handler.name: handler.undo for handler in server.handlers if handler.owner == in_blender.SCENE_HANDLERS}

    assert {name: undo[name] for name in CHANGING} == dict.fromkeys(CHANGING, True)
    assert {name: undo[name] for name in READING} == dict.fromkeys(READING, False)


@pytest.fixture
def without_beam_bpy(server: BeamServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Neither extension is installed, and Python has no package of that name; afterwards both are installed."""
    in_blender.uninstall(in_blender.SCENE_HANDLERS)
    in_blender.uninstall(in_blender.EXTENSION)
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "beam_bpy", None)
        yield hidden
    for variable in ("EXTENSION_ZIP", "SCENE_HANDLERS_ZIP"):
        in_blender.install(variable)


def test_handlers_without_the_extension_say_what_is_missing(
    without_beam_bpy: pytest.MonkeyPatch, server: BeamServer
) -> None:
    with pytest.raises(RuntimeError, match="Scene Handlers needs the extension Beam-BPy: install and enable it"):
        in_blender.install("SCENE_HANDLERS_ZIP")
    assert in_blender.SCENE_HANDLERS not in bpy.context.preferences.addons

    without_beam_bpy.undo()
    in_blender.install("EXTENSION_ZIP")
    assert in_blender.enable(in_blender.SCENE_HANDLERS)
    assert server.handlers
