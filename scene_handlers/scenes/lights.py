"""Handlers for lights and for the world."""

from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..support import rotations
from ..support.arguments import Options, choice, color, editable, number, options, scene, text, vector
from ..support.changes import Changes, changes
from .materials import set_inputs, use_nodes
from .objects import add_to_scene, point

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
    wanted = text(name)
    chosen = options(given, ("energy", "color", "size", "location", "look_at"))
    values = _values(blender_kind, chosen)
    location = Vector(vector(chosen.get("location", (0.0, 0.0, 5.0)), "location"))
    target = point(chosen["look_at"]) if "look_at" in chosen else None
    with changes() as change:
        light = change.new(bpy.data.lights, wanted, blender_kind)
        for property_name, value in values.items():
            setattr(light, property_name, value)
        made: bpy.types.Object = change.new(bpy.data.objects, wanted, light)
        made.location = location
        if target is not None:
            setattr(made, *rotations.towards(made, Matrix.Translation(location), target))
        add_to_scene(made)
        return made.name


def _values(kind: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Check the options and return the properties of the light that they set."""
    energy = chosen.get("energy", 5.0 if kind == "SUN" else 1000.0)
    values: dict[str, Any] = {"energy": number(energy, "energy")}
    if "color" in chosen:
        values["color"] = color(chosen["color"])[:3]
    if "size" in chosen:
        values[_SIZE[kind]] = number(chosen["size"], "size", 0.0)
    return values


def set_world(given: Options) -> bool:
    """Set the background of the scene's world, which lights the scene from all directions. Return True.

    If the scene has no world, create one.

    Args:
        given: the options `color`, "#rrggbb" or linear numbers, default unchanged; `strength`, default 1.0.
    """
    chosen = options(given, ("color", "strength"))
    values = {"Strength": number(chosen.get("strength", 1.0), "strength")}
    colors = {"Color": color(chosen["color"])} if "color" in chosen else {}
    current = editable(scene())
    if current.world is not None:
        editable(current.world)
    with changes() as change:
        if current.world is None:
            change.set(current, "world", change.new(bpy.data.worlds, "World"))
        set_inputs(change, _background(change, current.world), colors | values)
    return True


def _background(change: Changes, world: bpy.types.World) -> bpy.types.Node:
    use_nodes(change, world)
    assert world.node_tree is not None
    for node in world.node_tree.nodes:
        if node.type == "BACKGROUND":
            return node
    raise ValueError(f"the world {world.name!r} has no Background")
