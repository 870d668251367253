"""Data that is up to date.

Blender calculates `matrix_world`, `dimensions` and the results of modifiers, constraints and drivers only when it
updates its dependency graph, and only for objects that the view layer contains. Before that, a new object is at the
origin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
from mathutils import Matrix

from .arguments import scene
from .changes import changes


@contextmanager
def evaluated(found: bpy.types.Object, of: bpy.types.Scene | None = None) -> Iterator[bpy.types.Object]:
    """Yield the evaluated object in the current frame. It is valid only in the `with` block.

    Args:
        found: the object. It may be hidden, in an excluded collection, in another scene or in none.
        of: the scene with the current frame, default that of the context.
    """
    with evaluated_in(found, of) as (result, _):
        yield result


@contextmanager
def evaluated_in(
    found: bpy.types.Object, of: bpy.types.Scene | None = None
) -> Iterator[tuple[bpy.types.Object, bpy.types.Depsgraph]]:
    """Yield the evaluated object, as `evaluated` does, and the dependency graph that contains it."""
    shown = scene() if of is None else of
    depsgraph = depsgraph_of(shown)
    result = found.evaluated_get(depsgraph)
    if result.is_evaluated:
        yield result, depsgraph
        return
    # Blender does not evaluate this object in the view layer. An object that depends on it, in a scene of its own,
    # makes Blender evaluate it with all its parents, constraints and drivers.
    with changes(temporary=True) as change:
        own: Any = change.new(bpy.data.scenes, "evaluated")
        child = change.new(bpy.data.objects, "evaluated", None)
        child.parent = found
        own.collection.objects.link(child)
        own.frame_current, own.frame_subframe = shown.frame_current, shown.frame_subframe
        depsgraph = depsgraph_of(own)
        yield found.evaluated_get(depsgraph), depsgraph


def world_matrix(found: bpy.types.Object, of: bpy.types.Scene | None = None) -> Matrix:
    """Return the world matrix of an object in the current frame of a scene, default that of the context."""
    with evaluated(found, of) as result:
        return result.matrix_world.copy()


def depsgraph_of(of: bpy.types.Scene) -> bpy.types.Depsgraph:
    """Return the dependency graph of a scene, up to date."""
    if of == bpy.context.scene:
        return bpy.context.evaluated_depsgraph_get()
    layer = of.view_layers[0]
    layer.update()  # This also creates the dependency graph.
    assert layer.depsgraph is not None
    return layer.depsgraph
