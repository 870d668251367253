"""Removes from the current file what could run code, write files, or read other files, before Blender evaluates it."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

import bpy

from .checks.image_sizes import check_picture, check_pixels
from .limits import Limits

_BUILT_IN = "<builtin>"
"""The path of Blender's own font."""

_NODES_WITH_CODE = {"ShaderNodeScript", "CompositorNodeOutputFile"}
"""A script of the Open Shading Language, which can read files; and a node that writes files."""

_NODES_WITH_FILES = ("ShaderNodeTexIES", "GeometryNodeImport")
"""The beginnings of the names of nodes that read files."""

_TREE_OWNERS = ("materials", "worlds", "lights", "linestyles", "textures", "scenes")


def clean() -> None:
    """Remove what runs code or writes files, except for Python drivers, which are turned off."""
    for owner in with_parts(bpy.data.user_map()):
        mute_drivers(owner)
    bpy.data.batch_remove(list(bpy.data.texts))
    for tree in _trees():
        for node in list(tree.nodes):
            if node.bl_idname in _NODES_WITH_CODE:
                tree.nodes.remove(node)
    for each in bpy.data.objects:
        for modifier in list(each.modifiers):
            # Blender writes Python code for Mantaflow, with texts of the file in it, and runs it.
            if modifier.type == "FLUID":
                each.modifiers.remove(modifier)
    for camera in bpy.data.cameras:
        # Since Blender 4.5, a camera can be a script of the Open Shading Language.
        if camera.type == "CUSTOM":
            camera.type = "PERSP"
    for scene in bpy.data.scenes:
        _remove_style_modules(scene)
        cycles: Any = getattr(scene, "cycles", None)
        if cycles is not None:
            cycles.shading_system = False


def with_parts(blocks: Iterable[Any]) -> list[Any]:
    """Return datablocks, and those that are parts of them. All of them can have drivers."""
    owners = list(blocks)
    parts = [getattr(block, name, None) for block in owners for name in ("node_tree", "collection")]
    return owners + [part for part in parts if isinstance(part, bpy.types.ID)]


def mute_drivers(owner: Any) -> None:
    """Turn off the drivers that run Python. Simple expressions, which Blender evaluates itself, stay on."""
    animation: Any = getattr(owner, "animation_data", None)
    for curve in animation.drivers if animation else ():
        if curve.driver.type == "SCRIPTED" and not curve.driver.is_simple_expression:
            curve.mute = True


def _remove_style_modules(scene: Any) -> None:
    """Remove the Python scripts of Freestyle."""
    for layer in scene.view_layers:
        settings = layer.freestyle_settings
        settings.mode = "EDITOR"
        for module in list(settings.modules):
            settings.modules.remove(module)


def remove_files(own: Path) -> None:
    """Remove what Blender would read from other files, as if these files were missing.

    Args:
        own: the file from which the datablocks were appended. Blender remembers it in some of them. It is alone in its
            folder.

    Raises:
        ValueError: the file refers to other files in a way that is not known here.
    """
    pictures = [each for each in bpy.data.images if not _is_held(each)]
    _remove_nodes(pictures)
    _remove_fonts()
    bpy.data.batch_remove(
        [
            *pictures,
            *bpy.data.movieclips,
            *bpy.data.cache_files,
            *[each for each in bpy.data.sounds if not each.packed_file],
            *[each for each in bpy.data.volumes if not each.packed_file or each.is_sequence],
            *[each for each in bpy.data.brushes if getattr(each, "icon_filepath", "")],
        ]
    )
    for place, image in enumerate(bpy.data.images):
        if image.packed_files:
            _move(image, own.parent, place)
    for each in bpy.data.objects:
        for modifier in list(each.modifiers):
            _check_modifier(each, modifier)
    for scene in bpy.data.scenes:
        scene.sequence_editor_clear()
        world: Any = scene.rigidbody_world
        if world is not None and _is_external(world.point_cache):
            world.enabled = False
    left = set(bpy.utils.blend_paths(absolute=False, packed=False, local=True)) - {str(own), ""}
    if left:
        raise ValueError(f"the .blend file needs other files: {', '.join(sorted(left))}; pack them into it")


def _is_held(image: Any) -> bool:
    """Whether a picture is in the .blend file. Blender reads sequences and movies from other files in any case."""
    if image.source == "TILED":
        return len(image.packed_files) >= len(image.tiles)
    return image.source not in ("FILE", "SEQUENCE", "MOVIE") or (image.source == "FILE" and bool(image.packed_files))


def _move(image: Any, folder: Path, place: int) -> None:
    """Give a packed picture a path in a private folder, because exporters can read the file in place of the picture.

    The exporter for glTF always does this with tiles (UDIM), so these become files.
    """
    suffix = PurePath(image.filepath_raw.replace("\\", "/")).suffix
    if image.source != "TILED":
        image.filepath_raw = str(folder / f"{place}{suffix}")
        return
    for packed in image.packed_files:
        (folder / f"{place}.{packed.tile_number}{suffix}").write_bytes(packed.packed_file.data)
    image.filepath_raw = str(folder / f"{place}.<UDIM>{suffix}")


def _remove_nodes(pictures: list[Any]) -> None:
    """Remove nodes that read files. The inputs that they were linked to get their own values."""
    for tree in _trees():
        for node in list(tree.nodes):
            if node.bl_idname.startswith(_NODES_WITH_FILES) or getattr(node, "image", None) in pictures:
                tree.nodes.remove(node)


def _trees() -> Iterator[Any]:
    yield from bpy.data.node_groups
    for kind in _TREE_OWNERS:
        for owner in getattr(bpy.data, kind):
            tree = getattr(owner, "node_tree", None)
            if tree is not None:
                yield tree


def _remove_fonts() -> None:
    outside = [each for each in bpy.data.fonts if each.filepath != _BUILT_IN and not each.packed_file]
    if outside:
        own = bpy.data.fonts.load(_BUILT_IN)
        for font in outside:
            font.user_remap(own)
        bpy.data.batch_remove(outside)


def _check_modifier(owner: Any, modifier: Any) -> None:
    """Remove a modifier that reads files."""
    if modifier.type == "NODES":
        modifier.bake_directory = ""
        for bake in modifier.bakes:
            bake.use_custom_path = False
    elif (
        modifier.type == "MESH_CACHE"
        or (modifier.type == "OCEAN" and modifier.is_cached)
        or (modifier.type == "MULTIRES" and modifier.is_external)
        or any(map(_is_external, _point_caches(modifier)))
    ):
        owner.modifiers.remove(modifier)
    elif modifier.type == "OCEAN":
        modifier.filepath = ""


def _point_caches(modifier: Any) -> list[Any]:
    if modifier.type == "PARTICLE_SYSTEM":
        return [modifier.particle_system.point_cache]
    if modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
        return [surface.point_cache for surface in modifier.canvas_settings.canvas_surfaces]
    cache = getattr(modifier, "point_cache", None)
    return [] if cache is None else [cache]


def _is_external(cache: Any) -> bool:
    return cache is not None and (cache.use_external or any(each.use_external for each in cache.point_caches))


def check_pictures(limits: Limits) -> None:
    """Check that no picture in the file is too large.

    Raises:
        ValueError: a picture has more pixels than the limit, or its header cannot be read.
    """
    for image in bpy.data.images:
        packed: Any
        for packed in image.packed_files:
            check_picture(packed.packed_file.data, limits)
        if image.source == "GENERATED":
            check_pixels(image.generated_width, image.generated_height, limits)
