"""A handler for materials. It sets the inputs of Blender's Principled BSDF, by the names in Blender's manual."""

from typing import Any, cast

import bpy

from .arguments import Options, color, object_named, options

_COLORS = {"base_color": "Base Color", "emission": "Emission Color", "sheen_tint": "Sheen Tint"}

_NUMBERS = {
    "metallic": "Metallic",
    "roughness": "Roughness",
    "ior": "IOR",
    "alpha": "Alpha",
    "transmission": "Transmission Weight",
    "subsurface": "Subsurface Weight",
    "coat": "Coat Weight",
    "coat_roughness": "Coat Roughness",
    "sheen": "Sheen Weight",
    "emission_strength": "Emission Strength",
}


def set_material(name: str, given: Options) -> str:
    """Assign a material to an object. If there is no material with this name, create it. Return its name.

    Args:
        name: the object.
        given: the options
            material: the name of the material, default the name of the object. Objects can share a material.
            base_color, emission, sheen_tint: "#rrggbb", or three or four linear numbers.
            metallic, roughness, ior, alpha, transmission, subsurface, coat, coat_roughness, sheen, emission_strength:
                numbers.
            Inputs without an option keep their value.
    """
    target = object_named(name)
    chosen = options(given, ("material", *_COLORS, *_NUMBERS))
    material = _material(str(chosen.pop("material", name)))
    _set_inputs(_principled(material), chosen)
    _assign(target, material)
    return material.name


def _material(name: str) -> bpy.types.Material:
    found = bpy.data.materials.get(name)
    if found is None:
        found = bpy.data.materials.new(name)
        found.use_nodes = True
    return found


def _principled(material: bpy.types.Material) -> bpy.types.ShaderNode:
    tree = material.node_tree
    for node in tree.nodes if tree else ():
        if node.type == "BSDF_PRINCIPLED":  # The name of the node is translated, its type is not.
            return cast("bpy.types.ShaderNode", node)
    raise ValueError(f"the material {material.name!r} has no Principled BSDF")


def _set_inputs(node: bpy.types.ShaderNode, chosen: dict[str, Any]) -> None:
    for option, value in chosen.items():
        socket: Any = node.inputs[_COLORS.get(option) or _NUMBERS[option]]
        socket.default_value = color(value) if option in _COLORS else float(value)
    if "emission" in chosen and "emission_strength" not in chosen:
        # The default strength is 0, so the colour alone would not be visible.
        strength: Any = node.inputs[_NUMBERS["emission_strength"]]
        strength.default_value = 1.0


def _assign(target: bpy.types.Object, material: bpy.types.Material) -> None:
    materials: Any = getattr(target.data, "materials", None)
    if materials is None:
        raise ValueError(f"the object {target.name!r} is a {target.type} and cannot have a material")
    if len(materials):
        materials[0] = material
    else:
        materials.append(material)
