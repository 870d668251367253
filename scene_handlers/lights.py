"""Handlers for lights and for the world."""

from typing import Any, cast

import bpy

from .arguments import Options, choice, color, options, scene, vector
from .objects import add_to_scene, aim, point

_KINDS = {"point": "POINT", "sun": "SUN", "spot": "SPOT", "area": "AREA"}

# Blender's name for the property with the size of a light.
_SIZE = {"POINT": "shadow_soft_size", "SPOT": "shadow_soft_size", "SUN": "angle", "AREA": "size"}


def create_light(kind: str, name: str, given: Options = None) -> str:
    """Create a light. Return its name.

    Args:
        kind: point, sun, spot or area.
        name: the name. If it is in use, Blender adds a number.
        given: the options
            energy: in watts, default 1000; for a sun in W/m², default 5.
            color: "#rrggbb", or three linear numbers.
            size: the radius in metres; for an area light the length of an edge in metres; for a sun the angle in
                radians. A larger light has softer shadows.
            location: the position in metres, default [0, 0, 5].
            look_at: a point or the name of an object; default: the light points down.
    """
    blender_kind: str = choice(kind, _KINDS, "kind of light")
    chosen = options(given, ("energy", "color", "size", "location", "look_at"))
    # Check all options before creating anything, so that a refused call does not change the scene.
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
    """Check the options and return the properties of the light that they set."""
    values: dict[str, Any] = {"energy": float(chosen.get("energy", 5.0 if kind == "SUN" else 1000.0))}
    if "color" in chosen:
        values["color"] = color(chosen["color"])[:3]
    if "size" in chosen:
        values[_SIZE[kind]] = float(chosen["size"])
    return values


def set_world(given: Options) -> bool:
    """Set the background of the scene's world, which lights the scene from all directions.

    Args:
        given: the options `color`, "#rrggbb" or linear numbers, default unchanged; `strength`, default 1.0.
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
