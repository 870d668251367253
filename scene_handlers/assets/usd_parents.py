"""Makes one object of a mesh and the empty that USD needs for it.

In USD, a mesh cannot contain objects. Blender writes a mesh object with children as a transform that contains the mesh
and the children, and reads the transform as an empty.
"""

from typing import Any

import bpy
from mathutils import Matrix


def join_parents(objects: list[bpy.types.Object]) -> None:
    """Let each mesh take the place of its empty, with the same name, place, motion and children.

    Args:
        objects: the objects of a USD file. Motion that Blender reads from the file is a constraint.
    """
    for mesh in [each for each in objects if each.type == "MESH"]:
        empty: Any = mesh.parent
        if empty in objects and _belong_together(mesh, empty):
            _replace(empty, mesh)
            objects.remove(empty)
            bpy.data.objects.remove(empty)
            mesh.name = _stem(mesh)


def _belong_together(mesh: Any, empty: Any) -> bool:
    return (
        empty.type == "EMPTY"
        and _stem(mesh) == _stem(empty)
        and mesh.matrix_basis == mesh.matrix_parent_inverse == Matrix.Identity(4)
        and not (mesh.children or mesh.constraints or mesh.animation_data or empty.animation_data)
        # The armature can be one of the children.
        and all(each.type != "ARMATURE" for each in mesh.modifiers)
    )


def _stem(of: Any) -> str:
    """Return a name without the number that Blender adds to it if it is in use."""
    name: str = of.name
    stem, dot, number = name.rpartition(".")
    return stem if dot and number.isdigit() else name


def _replace(empty: Any, mesh: Any) -> None:
    for child in empty.children:
        if child != mesh:
            # Both have the same place, so that of the child does not change.
            child.parent = mesh
    mesh.parent = empty.parent
    mesh.matrix_parent_inverse = empty.matrix_parent_inverse
    mesh.rotation_mode = empty.rotation_mode
    mesh.matrix_basis = empty.matrix_basis
    for constraint in empty.constraints:
        mesh.constraints.copy(constraint)
    mesh.hide_viewport, mesh.hide_render = empty.hide_viewport, empty.hide_render
