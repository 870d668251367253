"""A handler for materials. It sets the inputs of Blender's Principled BSDF, by the names in Blender's manual."""

from typing import Any, cast

import bpy

from ..support.arguments import Options, color, editable, find, number, object_named, options, stored_name
from ..support.changes import Changes, changes

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
    """Assign a material to the first slot of an object. If there is no material with this name, create it.

    A slot that Blender links to the object gets the material for this object only. Otherwise the material belongs to
    the data, so other objects that share the data show it, too.

    Args:
        name: the object.
        given: the options
            material: the name of the material, default the name of the object. Objects can share a material.
            base_color, emission, sheen_tint: "#rrggbb", or three or four linear numbers.
            metallic, roughness, ior, alpha, transmission, subsurface, coat, coat_roughness, sheen, emission_strength:
                numbers.
            Inputs without an option keep their value.

    Returns:
        The name of the material, as Blender stores it.
    """
    target = editable(object_named(name))
    chosen = options(given, ("material", *_COLORS, *_NUMBERS))
    wanted = stored_name(chosen.pop("material", target.name))
    inputs = _checked(chosen)
    _check_slot(target)
    found = find(bpy.data.materials, wanted)
    if found is not None and inputs:
        editable(found)
    with changes() as change:
        material: bpy.types.Material = change.new(bpy.data.materials, wanted) if found is None else found
        if found is None or inputs:
            use_nodes(change, material)
            set_inputs(change, _principled(material), inputs)
        _assign(change, target, material)
        return material.name


def _checked(chosen: dict[str, Any]) -> dict[str, Any]:
    """Check the options and return the values of the inputs that they set."""
    colors = {_COLORS[option]: color(chosen[option]) for option in _COLORS if option in chosen}
    numbers = {_NUMBERS[option]: number(chosen[option], option) for option in _NUMBERS if option in chosen}
    if "emission" in chosen:
        # The default strength is 0, so the colour alone would not be visible.
        numbers.setdefault(_NUMBERS["emission_strength"], 1.0)
    return colors | numbers


def use_nodes(change: Changes, owner: Any) -> None:
    """Let the nodes of a material or a world define it."""
    # Since Blender 5 they always do.
    if bpy.app.version < (5, 0, 0) and not owner.use_nodes:
        change.set(owner, "use_nodes", True)


def set_inputs(change: Changes, node: bpy.types.Node, values: dict[str, Any]) -> None:
    """Set inputs of a node, by their names.

    Raises:
        ValueError: an input gets its value from another node, so that the new value would not be visible.
    """
    for name, value in values.items():
        socket: Any = node.inputs[name]
        if socket.is_linked:
            raise ValueError(f"{name} comes from the node {socket.links[0].from_node.name!r}: remove this link first")
        change.set(socket, "default_value", value)


def _principled(material: bpy.types.Material) -> bpy.types.ShaderNode:
    tree = material.node_tree
    assert tree is not None
    # A material can contain nodes that do not have an effect.
    output: Any = tree.get_output_node("ALL")
    links = output.inputs["Surface"].links if output else ()
    for node in (*(link.from_node for link in links), *tree.nodes):
        if node.type == "BSDF_PRINCIPLED":  # The name of the node is translated, its type is not.
            return cast("bpy.types.ShaderNode", node)
    raise ValueError(f"the material {material.name!r} has no Principled BSDF")


def _check_slot(target: bpy.types.Object) -> None:
    """Check that the object can have a material, and that the material would not go to data of another file."""
    data: Any = target.data
    if getattr(data, "materials", None) is None:
        raise ValueError(f"the object {target.name!r} is a {target.type} and cannot have a material")
    if not target.material_slots or target.material_slots[0].link == "DATA":
        editable(data)


def _assign(change: Changes, target: bpy.types.Object, material: bpy.types.Material) -> None:
    if target.material_slots:
        change.set(target.material_slots[0], "material", material)
    else:
        data: Any = target.data
        data.materials.append(material)
        change.on_undo(data.materials.clear)
