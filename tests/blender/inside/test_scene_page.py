"""The page about the scene handlers: it describes each handler, and its examples run."""

import inspect
import os
import re
from pathlib import Path

import addon
import bpy
import pytest
from code_blocks import code_blocks
from erlang import COOKIE
from test_docs_examples import elixir


@pytest.fixture
def page(scene_handlers: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, whose node has the default name."""
    monkeypatch.setenv("BPY_BEAM_NODE", "beam_bpy")
    return Path(os.environ["DOCS"], "scene_handlers.md").read_text(encoding="utf-8")


def test_the_page_describes_each_handler_with_its_parameters(page: str) -> None:
    package = addon.scene_handlers
    groups = (
        *(package.READING, package.RENDERING, package.CHANGING, package.LOADING, package.STREAMING),
        *(package.LIVE, package.OPENING),
    )
    signatures = {
        handler.__name__: ", ".join(inspect.signature(handler).parameters).replace("given", "options")
        for group in groups
        for handler in group
    }
    assert dict(re.findall(r"^### (\w+)\((.*)\)$", page, re.MULTILINE)) == signatures


def test_the_page_names_each_option_and_format(page: str) -> None:
    materials, render = addon.scene_materials, addon.scene_render
    for word in (*materials._COLORS, *materials._NUMBERS, *render._PICTURE, *render.FORMATS):
        assert f"`{word}`" in page
    for suffix in render._SUFFIXES:
        assert suffix in page


def add_rig_and_terrain() -> None:
    """The objects that examples need and no handler makes: an armature of one bone, and an input of geometry nodes."""
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.new("Bone").tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    group = bpy.data.node_groups.new("Group", "GeometryNodeTree")
    group.interface.new_socket("Height", in_out="INPUT", socket_type="NodeSocketFloat")
    terrain = bpy.data.objects.new("Terrain", bpy.data.meshes.new("Terrain"))
    bpy.context.scene.collection.objects.link(terrain)
    terrain.modifiers.new("Nodes", "NODES").node_group = group


def test_the_examples_of_the_page(page: str, tmp_path: Path) -> None:
    add_rig_and_terrain()
    bpy.ops.beam_bpy.start_server()
    script = tmp_path / "example.exs"
    script.write_text("\n".join([*code_blocks(page, "elixir"), 'IO.puts("the last line")']), encoding="utf-8")
    name = f"page_{os.getpid()}@127.0.0.1"
    output = elixir("--erl", "-start_epmd false", "--name", name, "--cookie", COOKIE, str(script))
    assert output.endswith("the last line\n")
