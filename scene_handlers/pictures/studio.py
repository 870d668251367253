"""A temporary scene with a camera and lights, in which datablocks of the user are pictured.

The datablocks themselves are in the temporary scene, and no copies, so that all of their modifiers, materials and
drivers have an effect. The scene of the user is not used, so its settings have no effect on the picture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import bmesh
import bpy
import numpy as np
from mathutils import Euler, Matrix

from ..scenes.materials import set_inputs, use_nodes
from ..support.arguments import choice, find, listed, scene, text
from ..support.changes import Changes, changes
from ..support.silence import silent
from .framing import Shape, View
from .render import remove_results, results

KINDS = {"scene": "scenes", "object": "objects", "collection": "collections", "material": "materials"}
"""The kinds of datablocks that can be pictured, and the collection of `bpy.data` for each."""

SLOPE = 0.36
"""Half of the longer side of a picture, at a distance of 1: that of a lens of 50 mm."""

_LIGHTS = ((2.2, (-45, -40, 0)), (0.6, (-15, 55, 0)), (1.2, (-125, 20, 0)))
"""The strength of each sun in W/m², and its direction relative to the camera, as angles around X, Y and Z in degrees:
the main light from the upper left, a weaker one from the right, and one from behind for the contours. Distances have no
effect on the light of suns."""

_SURROUNDING = 0.3
"""The strength of the light from all directions."""

_MOST_POINTS = 20_000_000
"""If instances have more points in total, the corners of the bounding boxes replace the points of their meshes."""


class Subject(NamedTuple):
    """The subject of a picture. A long call keeps the names, and no references."""

    kind: str
    name: str

    def find(self) -> Any:
        """Return the datablock.

        Raises:
            LookupError: it does not exist.
        """
        blocks: Any = getattr(bpy.data, KINDS[self.kind])
        found = find(blocks, self.name)
        if found is None:
            raise LookupError(f"no {self.kind} named {self.name!r}; there are: {listed(blocks.keys())}")
        return found


def subject(kind: Any, name: Any) -> Subject:
    """Check what a caller wants to picture. The name nil means the current scene.

    Raises:
        ValueError: there is no such kind, or the name is not text.
        LookupError: there is no such datablock.
    """
    choice(kind, KINDS, "kind of subject")
    wanted = text(kind)
    named = scene().name if wanted == "scene" and name is None else text(name)
    found = Subject(wanted, named)
    block = found.find()
    if wanted == "material" and block.is_grease_pencil:
        raise ValueError(f"the material {named!r} is for Grease Pencil: only materials of surfaces can be pictured")
    return found


class Studio:
    """The temporary scene."""

    def __init__(self, made: bpy.types.Scene, what: Subject, change: Changes) -> None:
        self.scene = made
        self._what = what
        self._camera = change.new(bpy.data.objects, "studio", change.new(bpy.data.cameras, "studio"))
        self._lights = [_light(change, energy) for energy, _ in _LIGHTS]
        for each in (self._camera, *self._lights):
            made.collection.objects.link(each)
        made.camera = self._camera

    def place(self, view: View) -> None:
        """Move the camera, and the lights with it."""
        axes = Matrix(view.axes.tolist()).transposed()
        self._camera.matrix_world = Matrix.Translation(view.location.tolist()) @ axes.to_4x4()
        camera: Any = self._camera.data
        # The width of the sensor is 36 mm.
        camera.lens = 18.0 / SLOPE
        camera.clip_start = max(view.nearest / 2, 1e-6)
        camera.clip_end = max(view.farthest * 2, 1e-5)
        for light, (_, degrees) in zip(self._lights, _LIGHTS, strict=True):
            turned = Euler(np.radians(degrees).tolist()).to_matrix()
            light.matrix_world = (axes @ turned).to_4x4()

    def shapes(self) -> list[Shape]:
        """Return all that a render of the scene would show.

        Raises:
            ValueError: it would show nothing.
        """
        found = _measured(self.scene)
        if not found:
            kind, name = self._what
            raise ValueError(f"the {kind} {name!r} has nothing to picture: no surface that a render would show")
        return found


@contextmanager
def studio(what: Subject) -> Iterator[Studio]:
    """Yield a temporary scene that contains what is pictured. It exists only in the `with` block."""
    block = what.find()
    with silent(), changes() as result, changes(temporary=True) as change:
        result.on_undo(remove_results, results())
        made = change.new(bpy.data.scenes, "studio")
        made.frame_set(scene().frame_current, subframe=scene().frame_subframe)
        _set_look(made)
        made.world = _world(change)
        # Before the lights of the studio exist.
        for light in [each for each in bpy.data.objects if each.type == "LIGHT" and not each.hide_render]:
            change.set(light, "hide_render", True)
        _ADD[what.kind](change, made, block)
        yield Studio(made, what, change)


def _set_look(made: Any) -> None:
    made.render.film_transparent = True
    made.render.use_compositing = made.render.use_sequencer = False
    made.render.dither_intensity = 0.0
    made.view_settings.view_transform = "Standard"
    # A new scene has no values here, and Blender would print a warning at each render.
    made.render.ffmpeg.ffmpeg_preset = "GOOD"
    with suppress(TypeError):  # A studio can configure Blender with other colour spaces.
        made.render.image_settings.linear_colorspace_settings.name = "Linear Rec.709"
    cycles = getattr(made, "cycles", None)
    if cycles is not None:
        cycles.device = "CPU"
        cycles.use_adaptive_sampling = False
        cycles.max_bounces = 4


def _world(change: Changes) -> Any:
    world = change.new(bpy.data.worlds, "studio")
    use_nodes(change, world)
    background = next((node for node in world.node_tree.nodes if node.type == "BACKGROUND"), None)
    assert background is not None, "a new world has a background"
    set_inputs(change, background, {"Color": (1.0, 1.0, 1.0, 1.0), "Strength": _SURROUNDING})
    return world


def _light(change: Changes, energy: float) -> Any:
    light = change.new(bpy.data.lights, "studio", "SUN")
    light.energy = energy
    light.angle = 0.2
    return change.new(bpy.data.objects, "studio", light)


# Add what is pictured


def _add_scene(_change: Changes, made: Any, pictured: Any) -> None:
    for each in pictured.collection.children:
        made.collection.children.link(each)
    for each in pictured.collection.objects:
        made.collection.objects.link(each)
    layer: Any = bpy.context.view_layer if pictured == bpy.context.scene else pictured.view_layers[0]
    _copy_excluded(layer.layer_collection, made.view_layers[0].layer_collection)


def _copy_excluded(source: Any, target: Any) -> None:
    copies = {each.collection: each for each in target.children}
    for each in source.children:
        copy = copies.get(each.collection)
        if copy is not None:
            copy.exclude = each.exclude
            _copy_excluded(each, copy)


def _add_object(change: Changes, made: Any, pictured: Any) -> None:
    change.set(pictured, "hide_render", False)
    group = change.new(bpy.data.collections, "studio")
    for each in (pictured, *pictured.children_recursive):
        group.objects.link(each)
    # Only now, because each change of a collection of a scene takes as long as the scene is large.
    made.collection.children.link(group)


def _add_collection(change: Changes, made: Any, pictured: Any) -> None:
    change.set(pictured, "hide_render", False)
    made.collection.children.link(pictured)


def _add_material(change: Changes, made: Any, pictured: Any) -> None:
    ball = change.new(bpy.data.meshes, "studio")
    shape = bmesh.new()
    try:
        bmesh.ops.create_uvsphere(shape, u_segments=64, v_segments=32, radius=1.0, calc_uvs=True)
        for face in shape.faces:
            face.smooth = True
        shape.loops.layers.uv.verify()
        shape.to_mesh(ball)
    finally:
        shape.free()
    ball.materials.append(pictured)
    made.collection.objects.link(change.new(bpy.data.objects, "studio", ball))


_ADD: dict[str, Callable[[Changes, Any, Any], None]] = {
    "scene": _add_scene,
    "object": _add_object,
    "collection": _add_collection,
    "material": _add_material,
}


# Measure


def _measured(made: Any) -> list[Shape]:
    """Return the shapes that a render of the scene shows.

    Only a render engine gets the objects as a render shows them: with the modifiers for renders, and without the
    objects that are hidden in renders.

    Raises:
        ValueError: a mesh has coordinates that are not finite.
    """
    found: list[Shape] = []
    errors: list[ValueError] = []

    class Measure(bpy.types.RenderEngine):
        bl_idname = "BEAMBPY_MEASURE"
        bl_label = "Measure"

        def render(self, depsgraph: bpy.types.Depsgraph) -> None:  # type: ignore[override]
            # Blender would print an exception, and the handler would not know of it.
            try:
                found.extend(_shapes(depsgraph))
            except ValueError as error:
                errors.append(error)

    former = made.render.engine
    bpy.utils.register_class(Measure)
    try:
        made.render.engine = "BEAMBPY_MEASURE"
        made.render.resolution_x = made.render.resolution_y = 4
        with bpy.context.temp_override(scene=made):
            bpy.ops.render.render()
    finally:
        made.render.engine = former
        bpy.utils.unregister_class(Measure)
    if errors:
        raise errors[0]
    return found


def _shapes(depsgraph: bpy.types.Depsgraph) -> list[Shape]:
    points: dict[int, Any] = {}
    placed: list[tuple[int, Any]] = []
    for instance in depsgraph.object_instances:
        shown: Any = instance.object
        if not instance.show_self or shown.type in ("LIGHT", "CAMERA"):
            continue
        key = shown.data.as_pointer() if shown.data is not None else 0
        if key not in points:
            points[key] = _points(shown)
        if len(points[key]):
            placed.append((key, np.array(instance.matrix_world, np.float64)))
    if sum(len(points[key]) for key, _ in placed) > _MOST_POINTS:
        points = {key: _corners(each) for key, each in points.items()}
    return [Shape(points[key], matrix) for key, matrix in placed if np.isfinite(matrix).all()]


def _points(shown: Any) -> Any:
    """Return the points of an evaluated object, of shape (n, 3); none if a render would not show it."""
    if shown.type == "MESH":
        mesh = shown.data
        values = np.empty(3 * (len(mesh.vertices) if len(mesh.polygons) else 0), np.float32)
        if len(values):
            mesh.vertices.foreach_get("co", values)
        if not np.isfinite(values).all():
            # Cycles would show nothing at all.
            raise ValueError(f"the mesh {mesh.name!r} has coordinates that are not finite: repair it first")
    else:
        values = np.array(shown.bound_box if shown.data is not None else (), np.float32)
    found = values.reshape(-1, 3)
    found = found[np.isfinite(found).all(axis=1)]
    # Blender gives objects without geometry the bounding box of one point, or one from -1 to 1.
    is_shape = len(found) and np.ptp(found, axis=0).any()
    return found if is_shape else found[:0]


def _corners(points: Any) -> Any:
    if len(points) <= 8:
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    choose = np.array([[bool(corner & bit) for bit in (1, 2, 4)] for corner in range(8)])
    return np.where(choose, high, low)
