"""A handler that bakes the look of a mesh into an image, for game engines and the web.

Cycles bakes a copy of the object in a scene of its own. So no setting, selection or node of the user changes, and the
user can be in any mode.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import NDArray

from ..meshes.geometry import in_a_mode, mesh_objects, own_mesh
from ..scenes.materials import use_nodes
from ..support.arguments import Options, choice, find, flag, integer, listed, options, scene, stored_name, text
from ..support.changes import Changes, changes
from ..support.temporary_folders import temporary_folder
from .image import check_that_it_can_be_replaced, upload_image

Array = NDArray[Any]


class _Kind(NamedTuple):
    """A kind of picture: Blender's name, the parts of the light in it, and the colour space of the image."""

    identifier: str
    pass_filter: set[str]
    color_space: str


_KINDS = {
    "diffuse": _Kind("DIFFUSE", {"COLOR"}, "sRGB"),
    "normal": _Kind("NORMAL", set(), "Non-Color"),
    "ao": _Kind("AO", set(), "Non-Color"),
}

_SPACES = {"tangent": "TANGENT", "object": "OBJECT"}

_LARGEST = 16384
"""The largest width and height of the image, in pixels. It needs 4 GB of memory."""

_LARGEST_MARGIN = 32767

_MOST_SAMPLES = 2**24

_ISLAND_ANGLE = math.radians(66)
_ISLAND_MARGIN = 0.02


class _Wanted(NamedTuple):
    """The checked options."""

    kind: _Kind
    width: int
    height: int
    margin: int
    samples: int
    space: str
    uv_map: str | None
    image: str | None


def bake(kind: str, name: str | None, given: Options = None) -> bytes | str | dict[str, bytes]:
    """Bake the look of a mesh object into an image. Return the bytes of a PNG file, or the name of the image.

    Cycles calculates the image on the CPU, in the current frame, with the materials and modifiers of the object. The
    object may be hidden.

    Args:
        kind: diffuse, the base colours without light; normal, a normal map with Y up, as in OpenGL; or ao, the ambient
            occlusion by all objects of the scene that are rendered: white where the surroundings are open.
        name: the object; or nil, which means all mesh objects of the scene that have faces. Then the result is a map
            from their names to PNG files.
        given: the options
            width, height: the size in pixels, 1 to 16384, default 1024.
            margin: the number of pixels that each part of the image grows over its border, default 16.
            samples: the number of samples of a pixel, default 64.
            space: for normal: tangent (default) or object.
            uv_map: the name of the UV map. Default: the active one.
            unwrap: True: if the mesh has no UV map, make one. Default False: refuse such a mesh.
            image: the name of an image, which is made or replaced for all its users, and packed into the blend file.
                Default: the image is returned as a PNG file with 8 bits per channel, and does not stay in Blender.
                Not for nil.
    """
    wanted, unwrap = _checked(kind, options(given, (*_SIZES, *_OTHERS)))
    if name is None and wanted.image is not None:
        raise ValueError("the option image is for one object: pass its name")
    targets = [_Target(each, _mesh(each)) for each in mesh_objects(name) if name is not None or _has_faces(each)]
    if not targets:
        raise ValueError("the scene has no mesh objects with faces to bake")
    makes_maps = [_check_map(each, wanted, unwrap) for each in targets]
    results: dict[str, Any] = {}
    with changes() as lasting:
        for target, makes_map in zip(targets, makes_maps, strict=True):
            # Objects can share a mesh, which then has the map of the first.
            results[target.object.name] = _baked(target, wanted, makes_map and not target.has_map(), lasting)
    return results if name is None else results[targets[0].object.name]


class _Target(NamedTuple):
    """An object and its mesh."""

    object: bpy.types.Object
    mesh: bpy.types.Mesh

    def has_map(self) -> bool:
        """Return whether the mesh has a UV map."""
        return len(self.mesh.uv_layers) > 0


def _baked(target: _Target, wanted: _Wanted, makes_map: bool, lasting: Changes) -> bytes | str:
    if in_a_mode(target.object):
        bpy.ops.ed.flush_edits()  # Edit Mode and Sculpt Mode keep their changes outside the mesh.
    with changes(temporary=True) as change:
        made = _copy_in_own_scene(target.object, change)
        if makes_map:
            _unwrap(made)
        if wanted.kind.identifier == "AO":
            _add_others(made, target.object)
        if wanted.uv_map is not None:
            layers: Any = made.data
            layers.uv_layers[wanted.uv_map].active = True
        baked = _new_image(wanted, change)
        _set_materials(made, baked, wanted.kind, change)
        _run(made, wanted)
        result = _png(baked) if wanted.image is None else _stored(baked, wanted)
        if makes_map:
            _copy_map(made.data, target.mesh, lasting)
        return result


_SIZES = ("width", "height")
_OTHERS = ("margin", "samples", "space", "uv_map", "unwrap", "image")


# Check the arguments


def _checked(kind: str, chosen: dict[str, Any]) -> tuple[_Wanted, bool]:
    image = stored_name(chosen["image"]) if "image" in chosen else None
    wanted = _Wanted(
        kind=choice(kind, _KINDS, "kind of picture"),
        width=integer(chosen.get("width", 1024), "width", 1, _LARGEST),
        height=integer(chosen.get("height", 1024), "height", 1, _LARGEST),
        margin=integer(chosen.get("margin", 16), "margin", 0, _LARGEST_MARGIN),
        samples=integer(chosen.get("samples", 64), "samples", 1, _MOST_SAMPLES),
        space=choice(chosen.get("space", "tangent"), _SPACES, "space"),
        uv_map=text(chosen["uv_map"]) if "uv_map" in chosen else None,
        image=image,
    )
    old = None if image is None else find(bpy.data.images, image)
    if old is not None:
        check_that_it_can_be_replaced(old)
    if not hasattr(scene(), "cycles"):
        raise ValueError("this Blender has no engine CYCLES: enable its add-on")
    return wanted, flag(chosen.get("unwrap", False), "unwrap")


def _mesh(target: bpy.types.Object) -> bpy.types.Mesh:
    mesh = target.data
    if not isinstance(mesh, bpy.types.Mesh):
        raise ValueError(f"the object {target.name!r} is a {target.type}, and only meshes can be baked")
    if not len(mesh.polygons):
        raise ValueError(f"the mesh of {target.name!r} has no faces to bake")
    return mesh


def _has_faces(target: bpy.types.Object) -> bool:
    mesh: Any = target.data
    return len(mesh.polygons) > 0


def _check_map(target: _Target, wanted: _Wanted, unwrap: bool) -> bool:
    """Check that the mesh has the UV map. Return True if it has to be made."""
    maps: Any = target.mesh.uv_layers
    if wanted.uv_map is not None and wanted.uv_map not in maps:
        raise LookupError(f"{target.object.name!r} has no UV map {wanted.uv_map!r}; there are: {listed(maps.keys())}")
    if len(maps):
        return False
    if not unwrap:
        raise ValueError(f"the mesh of {target.object.name!r} has no UV map: make one, or set the option unwrap")
    own_mesh(target.object)
    return True


# The scene for baking


def _copy_in_own_scene(target: bpy.types.Object, change: Changes) -> bpy.types.Object:
    """Return a copy of an object, with a mesh of its own, alone in a new scene."""
    shown = scene()
    own: Any = change.new(bpy.data.scenes, "bake")
    source: Any = target.data
    mesh = source.copy()
    change.on_undo(bpy.data.meshes.remove, mesh)
    made = target.copy()
    change.on_undo(bpy.data.objects.remove, made)
    made.data = mesh
    made.hide_render = made.hide_viewport = False
    own.collection.objects.link(made)
    own.world = shown.world
    own.frame_current, own.frame_subframe = shown.frame_current, shown.frame_subframe
    layer = own.view_layers[0]
    layer.update()
    layer.objects.active = made
    made.select_set(True, view_layer=layer)
    return made


def _add_others(made: bpy.types.Object, target: bpy.types.Object) -> None:
    """Add the other objects that a render shows to the scene of the copy."""
    # Only after the operators of Edit Mode, which would also change these objects.
    own: Any = made.users_scene[0]
    for other in _rendered(scene(), target):
        own.collection.objects.link(other)
    own.view_layers[0].update()


def _rendered(shown: bpy.types.Scene, target: bpy.types.Object) -> list[bpy.types.Object]:
    """Return the other objects that a render of the scene shows."""
    layer: Any = bpy.context.view_layer if shown == bpy.context.scene else shown.view_layers[0]
    found = {each.name_full: each for each in _below(layer.layer_collection)}
    return [each for each in found.values() if each != target and not each.hide_render]


def _below(layer: Any) -> Iterator[bpy.types.Object]:
    if layer.exclude or layer.collection.hide_render:
        return
    yield from layer.collection.objects
    for child in layer.children:
        yield from _below(child)


def _context(made: bpy.types.Object, edited: bpy.types.Object | None = None) -> Any:
    """Let operators work on the copy in its scene."""
    own = made.users_scene[0]
    return bpy.context.temp_override(
        scene=own,
        view_layer=own.view_layers[0],
        active_object=made,
        object=made,
        edit_object=edited,
        selected_objects=[made],
        selected_editable_objects=[made],
    )


def _unwrap(made: bpy.types.Object) -> None:
    """Give the copy a UV map without overlaps. Blender can do this in Edit Mode only."""
    with _context(made):
        bpy.ops.object.mode_set(mode="EDIT")
    with _context(made, edited=made):
        bpy.ops.mesh.reveal()
        bpy.ops.mesh.select_all(action="SELECT")
        bpy.ops.uv.smart_project(angle_limit=_ISLAND_ANGLE, island_margin=_ISLAND_MARGIN)
        bpy.ops.object.mode_set(mode="OBJECT")


def _copy_map(source: Any, mesh: bpy.types.Mesh, lasting: Changes) -> None:
    """Give the mesh of the user the UV map of the copy."""
    values = np.empty(2 * len(source.loops), np.float32)
    source.uv_layers[0].uv.foreach_get("vector", values)
    layer: Any = mesh.uv_layers.new(name=source.uv_layers[0].name, do_init=False)
    lasting.on_undo(_remove_map, mesh, layer.name)
    layer.uv.foreach_set("vector", values)
    mesh.update()


def _remove_map(mesh: Any, name: str) -> None:
    mesh.uv_layers.remove(mesh.uv_layers[name])


def _new_image(wanted: _Wanted, change: Changes) -> bpy.types.Image:
    made: Any = change.new(bpy.data.images, "bake", wanted.width, wanted.height, alpha=True)
    made.colorspace_settings.name = wanted.kind.color_space
    image: bpy.types.Image = made
    return image


def _set_materials(made: bpy.types.Object, baked: bpy.types.Image, kind: _Kind, change: Changes) -> None:
    """Give the copy copies of its materials, with a node that tells Blender the image."""
    mesh: Any = made.data
    if not made.material_slots:
        mesh.materials.append(None)
    for slot in made.material_slots:
        material = _material(slot.material, change)
        tree: Any = material.node_tree
        if kind.identifier == "DIFFUSE":
            _remove_other_colors(tree)
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image = baked
        tree.nodes.active = node
        slot.link = "OBJECT"
        slot.material = material


def _material(source: bpy.types.Material | None, change: Changes) -> bpy.types.Material:
    """Return a copy of a material, or a new one, that consists of nodes."""
    if source is None:
        made: bpy.types.Material = change.new(bpy.data.materials, "bake")
    else:
        made = source.copy()
        change.on_undo(bpy.data.materials.remove, made)
    had_nodes = made.node_tree is not None
    use_nodes(change, made)
    if not had_nodes:
        _show_color(made)
    return made


def _show_color(material: Any) -> None:
    """Give the nodes the colour that Cycles renders for a material without nodes."""
    for node in material.node_tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            node.inputs["Base Color"].default_value = material.diffuse_color


def _remove_other_colors(tree: Any) -> None:
    """Make the surface diffuse. Otherwise metal would be black, and reflections would make all colours darker."""
    for node in tree.nodes:
        for name in _NOT_DIFFUSE if node.type == "BSDF_PRINCIPLED" else ():
            for link in node.inputs[name].links:
                tree.links.remove(link)
            node.inputs[name].default_value = 0.0


_NOT_DIFFUSE = (
    "Metallic",
    "Specular IOR Level",
    "Transmission Weight",
    "Subsurface Weight",
    "Coat Weight",
    "Sheen Weight",
)


# Bake


def _run(made: bpy.types.Object, wanted: _Wanted) -> None:
    own: Any = made.users_scene[0]
    operator: Any = bpy.ops.object.bake
    own.render.engine = "CYCLES"
    own.cycles.device = "CPU"
    own.cycles.samples = wanted.samples
    own.cycles.use_denoising = False
    try:
        with _context(made):
            result = operator(
                type=wanted.kind.identifier,
                pass_filter=wanted.kind.pass_filter,
                margin=wanted.margin,
                normal_space=wanted.space,
                use_clear=True,
                use_selected_to_active=False,
                target="IMAGE_TEXTURES",
                save_mode="INTERNAL",
            )
    except RuntimeError as error:
        raise RuntimeError(f"Blender could not bake: {str(error).removeprefix('Error: ').strip()}") from error
    if "FINISHED" not in result:
        raise RuntimeError("the baking was cancelled")


def _png(baked: bpy.types.Image) -> bytes:
    with temporary_folder() as folder:
        path = folder / "bake.png"
        baked.file_format = "PNG"
        baked.filepath_raw = str(path)
        baked.save()
        return path.read_bytes()


def _stored(baked: bpy.types.Image, wanted: _Wanted) -> str:
    """Copy the baked image into the image of the user. Return its name."""
    pixels: Any = baked.pixels
    values = np.empty(len(pixels), np.float32)
    pixels.foreach_get(values)
    numbers = np.rint(values * 255).astype(np.uint8).tobytes()
    settings = {"color_space": wanted.kind.color_space, "pack": True}
    return upload_image(str(wanted.image), wanted.width, wanted.height, 4, numbers, settings)
