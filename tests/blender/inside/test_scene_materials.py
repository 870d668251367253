"""Materials: what an object shows after a call."""

from typing import Any

import addon
import bpy
import pytest

pytestmark = pytest.mark.usefixtures("scene_handlers")


def paint(name: str, **options: Any) -> str:
    made: str = addon.scene_materials.set_material(name, options)
    return made


def shown(name: str) -> list[str | None]:
    """The materials of the slots of an object, as Blender renders them."""
    found = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get())
    return [slot.material.name if slot.material else None for slot in found.material_slots]


def another_cube(name: str, data: Any) -> Any:
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def test_a_slot_that_is_linked_to_the_object() -> None:
    cube = bpy.data.objects["Cube"]
    cube.material_slots[0].link = "OBJECT"
    another_cube("Twin", cube.data)
    assert paint("Cube", material="New", base_color="#ff0000") == "New"
    assert shown("Cube") == ["New"]
    assert shown("Twin") == ["Material"]
    assert cube.material_slots[0].link == "OBJECT"


def test_shared_data_has_one_material() -> None:
    another_cube("Twin", bpy.data.objects["Cube"].data)
    paint("Twin", material="New")
    assert shown("Cube") == shown("Twin") == ["New"]


def test_an_object_without_slots() -> None:
    another_cube("Bare", bpy.data.meshes.new("Bare"))
    assert paint("Bare") == "Bare"
    assert shown("Bare") == ["Bare"]


def test_other_slots_keep_their_materials() -> None:
    cube = bpy.data.objects["Cube"]
    cube.data.materials.append(bpy.data.materials.new("Second"))
    paint("Cube", material="First")
    assert shown("Cube") == ["First", "Second"]


@pytest.mark.parametrize("name", ["M" * 300, "é" * 300])
def test_a_long_name_is_found_again(name: str) -> None:
    made = paint("Cube", material=name, metallic=0.25)
    assert made in bpy.data.materials
    before = len(bpy.data.materials)
    assert paint("Cube", material=name, metallic=0.5) == made
    assert paint("Cube", material=made, metallic=0.5) == made
    assert len(bpy.data.materials) == before


def test_a_material_that_does_not_use_its_nodes() -> None:
    material = bpy.data.materials.new("Old")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = False
    paint("Cube", material="Old", metallic=1)
    assert material.use_nodes
    assert _principled(material).inputs["Metallic"].default_value == 1.0


def test_the_node_that_is_connected_to_the_output_is_changed() -> None:
    material = bpy.data.materials["Material"]
    tree = material.node_tree
    new = tree.nodes.new("ShaderNodeBsdfPrincipled")
    output = tree.get_output_node("ALL")
    tree.links.new(new.outputs[0], output.inputs["Surface"])
    paint("Cube", material="Material", metallic=1)
    assert new.inputs["Metallic"].default_value == 1.0


def _principled(material: Any) -> Any:
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
