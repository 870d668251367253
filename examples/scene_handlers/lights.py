"""Lights and the world around the scene."""

from typing import Any, cast

import bpy

from .arguments import Options, choice, color, options, scene, vector
from .objects import add_to_scene, aim, point

_KINDS = {"point": "POINT", "sun": "SUN", "spot": "SPOT", "area": "AREA"}

# The property that Blender calls a light's size by.
_SIZE = {"POINT": "shadow_soft_size", "SPOT": "shadow_soft_size", "SUN": "angle", "AREA": "size"}


def create_light(kind: str, name: str, given: Options = None) -> str:
    """Make a light; returns its name, which Blender makes unique.

    Args:
        kind: point, sun, spot or area.
        name: the name wanted.
        given: energy, watts or for a sun W/m², default 1000 or 5; color, "#rrggbb" or numbers; size, the radius, for
            an area the edge, in metres, for a sun the angle in radians: the larger, the softer its shadows;
            location, default [0, 0, 5]; look_at, a point or an object's name.
    """
    blender_kind: str = choice(kind, _KINDS, "kind of light")
    chosen = options(given, ("energy", "color", "size", "location", "look_at"))
    # All that may be wrong is looked at first, so that a refused call leaves nothing behind.
    values = _values(blender_kind, chosen)
    location = vector(chosen.get("location", (0.0, 0.0, 5.0)), "location")
    target = point(chosen["look_at"]) if "look_at" in chosen else None
    light = bpy.data.lights.new(name, cast("Any", blender_kind))
    for property_name, value in values.items():
        setattr(light, property_name, value)
    made = bpy.data.objects.new(name, light)
    made.location = location
    if target is not None:
        aim(made, target)
    add_to_scene(made)
    return made.name


def _values(kind: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The light's properties that the options name, checked."""
    values: dict[str, Any] = {"energy": float(chosen.get("energy", 5.0 if kind == "SUN" else 1000.0))}
    if "color" in chosen:
        values["color"] = color(chosen["color"])[:3]
    if "size" in chosen:
        values[_SIZE[kind]] = float(chosen["size"])
    return values


def set_world(given: Options) -> bool:
    """Light the scene from all around.

    Args:
        given: color, "#rrggbb" or numbers; strength, default 1.0.
    """
    chosen = options(given, ("color", "strength"))
    background: Any = _background()
    if "color" in chosen:
        background.inputs["Color"].default_value = color(chosen["color"])
    background.inputs["Strength"].default_value = float(chosen.get("strength", 1.0))
    return True


def _background() -> bpy.types.Node:
    world = scene().world
    if world is None:
        world = scene().world = bpy.data.worlds.new("World")
    world.use_nodes = True
    assert world.node_tree is not None
    for node in world.node_tree.nodes:
        if node.type == "BACKGROUND":
            return node
    raise ValueError(f"the world {world.name!r} has no Background")
