"""Materials: Blender's Principled BSDF, by the names that its manual uses."""

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
    """Give an object a material, made when there is none of that name; returns the material's name.

    Args:
        name: the object.
        given: material, the material's name, default the object's; several objects may share one. Colours, "#rrggbb"
            or numbers: base_color, emission, sheen_tint. Numbers: metallic, roughness, ior, alpha, transmission,
            subsurface, coat, coat_roughness, sheen, emission_strength. What is not named stays.
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
        if node.type == "BSDF_PRINCIPLED":  # Not by its name, which is translated.
            return cast("bpy.types.ShaderNode", node)
    raise ValueError(f"the material {material.name!r} has no Principled BSDF")


def _set_inputs(node: bpy.types.ShaderNode, chosen: dict[str, Any]) -> None:
    for option, value in chosen.items():
        socket: Any = node.inputs[_COLORS.get(option) or _NUMBERS[option]]
        socket.default_value = color(value) if option in _COLORS else float(value)
    if "emission" in chosen and "emission_strength" not in chosen:
        # Off by default: whoever names a colour wants to see it.
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
