"""Handlers that describe a whole scene, and the properties of a type. Their results could be JSON."""

import math
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np

from ..support.arguments import Options, find, integer, listed, options, scene, text
from ..support.evaluated import depsgraph_of, world_matrix
from .properties import check_readable, last_step

_LIMIT = 1000
"""The default of the largest number of items in a list."""

_MOST = 1_000_000


def describe_scene(given: Options = None) -> dict[str, Any]:
    """Describe a scene in its current frame. The result contains maps, lists, texts, numbers, true, false and nil only.

    Args:
        given: the options
            scene: the name of the scene, default the current one.
            limit: the largest length of each list, default 1000. The map `counts` tells the whole number.

    Returns:
        A map:
            name: text.
            frame: a map of `current`, `first`, `last`, `step` and `fps`, frames per second.
            render: a map of `engine` (by Blender's name), `width`, `height` (in pixels, with the percentage), and
                `transparent`.
            camera: the name of the active camera, or nil.
            world: the name of the world, or nil.
            bounds: a map of `least` and `most`, the corners of the bounding box of all visible objects in world space,
                in metres; nil if there are none.
            counts: the number of `objects`, `collections`, `materials`, `cameras`, `lights`, and of `vertices` and
                `faces` of all meshes, without modifiers.
            objects: a list of maps of `name`, `type`, `parent`, `data` (the names of the parent and of the data, or
                nil), `visible`, `collections` and `materials` (names). Parents come before their children, and
                objects with the same parent in the order of their names.
            collections: a list of maps of `name`, `parent`, `objects` (the number), `excluded` and `hidden` (in
                renders). The parent of the first ones is nil, which means the scene.
            materials: a list of maps of `name`, `nodes` (the number), `users`.
            cameras: a list of maps of `object`, `type`, `lens` (mm), `location`, in world space.
            lights: a list of maps of `object`, `type`, `energy`, `color`, `location`, in world space.
    """
    chosen = options(given, ("scene", "limit"))
    limit = integer(chosen.get("limit", _LIMIT), "limit", 0, _MOST)
    described = _scene_named(chosen["scene"]) if "scene" in chosen else scene()
    # Before the positions of cameras and lights, which can need a temporary scene.
    bounds = _bounds(depsgraph_of(described))
    layer = _layer(described)
    found = {
        "objects": list(_tree(described)),
        "collections": list(_collections(layer.layer_collection, None)),
        "materials": _materials(described),
        "cameras": [each for each in _tree(described) if each.type == "CAMERA"],
        "lights": [each for each in _tree(described) if each.type == "LIGHT"],
    }
    first = {name: items[:limit] for name, items in found.items()}
    return {
        "name": described.name,
        "frame": _frame(described),
        "render": _render(described),
        "camera": _name(described.camera),
        "world": _name(described.world),
        "bounds": bounds,
        "counts": {name: len(items) for name, items in found.items()} | _elements(found["objects"]),
        "objects": [_object(each, layer) for each in first["objects"]],
        "collections": first["collections"],
        "materials": [_material(each) for each in first["materials"]],
        "cameras": [_camera(each, described) for each in first["cameras"]],
        "lights": [_light(each, described) for each in first["lights"]],
    }


def _scene_named(name: Any) -> bpy.types.Scene:
    found: bpy.types.Scene | None = find(bpy.data.scenes, name)
    if found is None:
        raise LookupError(f"no scene named {text(name)!r}; there are: {listed(bpy.data.scenes.keys())}")
    return found


def _layer(described: bpy.types.Scene) -> Any:
    return bpy.context.view_layer if described == bpy.context.scene else described.view_layers[0]


def _frame(described: bpy.types.Scene) -> dict[str, Any]:
    return {
        "current": described.frame_current,
        "first": described.frame_start,
        "last": described.frame_end,
        "step": described.frame_step,
        "fps": described.render.fps / described.render.fps_base,
    }


def _render(described: bpy.types.Scene) -> dict[str, Any]:
    render = described.render
    return {
        "engine": render.engine,
        "width": render.resolution_x * render.resolution_percentage // 100,
        "height": render.resolution_y * render.resolution_percentage // 100,
        "transparent": render.film_transparent,
    }


def _name(block: Any) -> str | None:
    return None if block is None else block.name


# Objects


def _tree(described: bpy.types.Scene) -> Iterator[Any]:
    """Yield all objects of a scene, each after its parent."""
    children: dict[Any, list[Any]] = {}
    inside = set(described.objects)
    for each in sorted(inside, key=lambda each: (each.name, each.library is not None)):
        # The parent can belong to another scene.
        children.setdefault(each.parent if each.parent in inside else None, []).append(each)
    waiting = children.get(None, [])[::-1]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(children.get(found, [])[::-1])


def _object(found: Any, layer: bpy.types.ViewLayer) -> dict[str, Any]:
    return {
        "name": found.name,
        "type": found.type,
        "parent": _name(found.parent),
        "data": _name(found.data),
        "visible": found.visible_get(view_layer=layer),
        "collections": sorted(each.name for each in found.users_collection),
        "materials": [slot.material.name for slot in found.material_slots if slot.material],
    }


def _materials(described: bpy.types.Scene) -> list[Any]:
    found = {slot.material for each in described.objects for slot in each.material_slots if slot.material}
    return sorted(found, key=lambda each: (each.name, each.library is not None))


def _material(found: Any) -> dict[str, Any]:
    tree = found.node_tree if found.use_nodes else None
    return {"name": found.name, "nodes": 0 if tree is None else len(tree.nodes), "users": found.users}


def _camera(found: Any, described: bpy.types.Scene) -> dict[str, Any]:
    camera = found.data
    return {"object": found.name, "type": camera.type, "lens": camera.lens, "location": _location(found, described)}


def _light(found: Any, described: bpy.types.Scene) -> dict[str, Any]:
    light = found.data
    return {
        "object": found.name,
        "type": light.type,
        "energy": light.energy,
        "color": list(light.color),
        "location": _location(found, described),
    }


def _location(found: Any, described: bpy.types.Scene) -> list[float]:
    return list(world_matrix(found, described).to_translation().to_tuple())


def _elements(objects: list[Any]) -> dict[str, int]:
    meshes = [each.data for each in objects if each.type == "MESH"]
    return {"vertices": sum(len(each.vertices) for each in meshes), "faces": sum(len(each.polygons) for each in meshes)}


def _collections(layer: Any, parent: str | None) -> Iterator[dict[str, Any]]:
    for each in layer.children:
        yield {
            "name": each.name,
            "parent": parent,
            "objects": len(each.collection.objects),
            "excluded": each.exclude,
            "hidden": each.collection.hide_render,
        }
        yield from _collections(each, each.name)


def _bounds(depsgraph: bpy.types.Depsgraph) -> dict[str, Any] | None:
    least, most = np.full(3, math.inf), np.full(3, -math.inf)
    for instance in depsgraph.object_instances:
        shown: Any = instance.object
        if not instance.show_self or shown.data is None or shown.type in ("LIGHT", "CAMERA", "SPEAKER", "LIGHT_PROBE"):
            continue
        matrix, corners = np.array(instance.matrix_world), np.array(shown.bound_box)
        # A mesh of a stranger can contain numbers that are not finite.
        corners = corners[np.isfinite(corners).all(axis=1)]
        if len(corners) and np.isfinite(matrix).all():
            corners = corners @ matrix[:3, :3].T + matrix[:3, 3]
            least, most = np.minimum(least, corners.min(axis=0)), np.maximum(most, corners.max(axis=0))
    return {"least": least.tolist(), "most": most.tolist()} if np.isfinite(least).all() else None


# Types


def describe_type(path: str) -> dict[str, Any]:
    """Describe the properties of a type, or of what is at a path.

    Args:
        path: the name of a type of Blender, such as `Object` or `RenderSettings`; or the path of a property for
            `get_property`, such as `objects["Cube"].rotation_mode` or `scenes["Scene"].render`.

    Returns:
        A map of `type` (Blender's name), `description` and `properties`: a list of maps. If the path leads to a single
        property, `type` is the type that has this property, and the list contains only this one. The map of a property:
            name, label, description: text. The name is for paths.
            type: BOOLEAN, INT, FLOAT, STRING, ENUM, POINTER (a struct or datablock) or COLLECTION.
            read_only: true or false.
            default: the default; nil if there is none.
            length: the number of numbers, if the property is an array; otherwise 0.
            least, most: of numbers, the limits; otherwise nil.
            unit: of numbers, what they measure, such as LENGTH (metres) or ROTATION (radians); otherwise NONE.
            items: of an enum, a list of maps of `name`, `label` and `description`. It is empty if Blender knows the
                items only while it runs.
            several: true if an enum has a list of items as its value.
            target: of a pointer or a collection, the type of what it refers to; otherwise nil.

    Raises:
        LookupError: there is no such type or property.
        ValueError: Blender would crash.
    """
    wanted = text(path, "a path")
    definition, only = _definition(wanted)
    properties = [each for each in definition.properties if each.identifier != "rna_type"]
    return {
        "type": definition.identifier,
        "description": definition.description,
        "properties": [_property(each) for each in properties if only in (None, each.identifier)],
    }


def _definition(wanted: str) -> tuple[Any, str | None]:
    """Return the definition of a type, and the name of one of its properties, or None for all."""
    if wanted.isidentifier():
        type_: Any = getattr(bpy.types, wanted, None)
        if type_ is not None and hasattr(type_, "bl_rna"):
            return type_.bl_rna, None
    check_readable(bpy.data, wanted)
    try:
        found: Any = bpy.data.path_resolve(wanted, False)
    except (ValueError, TypeError):
        raise LookupError(f"no type and no property {wanted!r}; a type has a name such as Object or Mesh") from None
    if isinstance(found, bpy.types.bpy_struct):
        return found.bl_rna, None
    step = last_step(bpy.data, wanted)
    if step.name is None or step.name not in step.owner.bl_rna.properties:
        raise LookupError(f"{wanted!r} is a custom property or an item of a property: Blender does not describe it")
    return step.owner.bl_rna, step.name


def _property(definition: Any) -> dict[str, Any]:
    kind = definition.type
    is_number = kind in ("INT", "FLOAT")
    return {
        "name": definition.identifier,
        "label": definition.name,
        "description": definition.description,
        "type": kind,
        "read_only": definition.is_readonly,
        "default": _default(definition),
        "length": getattr(definition, "array_length", 0),
        "least": _finite(definition.hard_min) if is_number else None,
        "most": _finite(definition.hard_max) if is_number else None,
        "unit": definition.unit if is_number else "NONE",
        "items": _items(definition) if kind == "ENUM" else [],
        "several": kind == "ENUM" and definition.is_enum_flag,
        "target": definition.fixed_type.identifier if kind in ("POINTER", "COLLECTION") else None,
    }


def _default(definition: Any) -> Any:
    if definition.type in ("POINTER", "COLLECTION"):
        return None
    if definition.type == "ENUM":
        return sorted(definition.default_flag) if definition.is_enum_flag else definition.default or None
    if getattr(definition, "array_length", 0):
        return [_finite(each) for each in definition.default_array]
    return _finite(definition.default)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _items(definition: Any) -> list[dict[str, str]]:
    return [
        {"name": each.identifier, "label": each.name, "description": each.description} for each in definition.enum_items
    ]
