"""Objects, cameras and lights: transforms in each rotation mode, and matrices that are up to date."""

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
from mathutils import Euler, Matrix, Quaternion, Vector

pytestmark = pytest.mark.usefixtures("scene_handlers")

ORDERS = ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]
MODES = [*ORDERS, "QUATERNION", "AXIS_ANGLE"]
TURN = Euler((0.3, -0.8, 1.9), "XYZ")


def cube() -> Any:
    return bpy.data.objects["Cube"]


def turn(made: Any, mode: str, rotation: Matrix) -> None:
    """Set mode and rotation of an object."""
    made.rotation_mode = mode
    if mode == "QUATERNION":
        made.rotation_quaternion = rotation.to_quaternion()
    elif mode == "AXIS_ANGLE":
        axis, angle = rotation.to_quaternion().to_axis_angle()
        made.rotation_axis_angle = (angle, *axis)
    else:
        made.rotation_euler = rotation.to_euler(mode)


def basis(made: Any) -> Matrix:
    """The rotation of an object relative to its parent, as Blender calculates it."""
    return made.matrix_basis.to_3x3().normalized()


def close(left: Any, right: Any) -> bool:
    """Whether two matrices or vectors are the same."""
    pairs = zip(left, right, strict=True)
    return all(close(*pair) if hasattr(pair[0], "__len__") else math.isclose(*pair, abs_tol=1e-5) for pair in pairs)


@pytest.mark.parametrize("mode", MODES)
def test_a_rotation_is_read_and_written_in_the_mode_of_the_object(mode: str) -> None:
    turn(cube(), mode, TURN.to_matrix())
    found = addon.scene_objects.describe_object("Cube")
    assert found["rotation_mode"] == mode
    assert len(found["rotation"]) == (3 if mode in ORDERS else 4)
    assert close(Euler(found["rotation_euler"], "XYZ").to_matrix(), TURN.to_matrix())
    turn(cube(), mode, Matrix.Identity(3))
    again = addon.scene_objects.set_transform("Cube", {"rotation": found["rotation"]})
    assert cube().rotation_mode == mode
    assert close(again["rotation"], found["rotation"])
    assert close(basis(cube()), TURN.to_matrix())


@pytest.mark.parametrize("mode", ["QUATERNION", "AXIS_ANGLE", "XYZ"])
def test_three_angles_fit_all_modes(mode: str) -> None:
    cube().rotation_mode = mode
    found = addon.scene_objects.set_transform("Cube", {"rotation": list(TURN)})
    assert found["rotation_mode"] == mode
    assert close(found["rotation_euler"], TURN)
    assert close(basis(cube()), TURN.to_matrix())


@pytest.mark.parametrize(
    ("mode", "rotation"),
    [
        ("XYZ", [1, 0, 0, 0]),
        ("ZYX", [1, 0]),
        ("QUATERNION", [0, 0, 0, 0]),
        ("AXIS_ANGLE", [1, 0, 0, 0]),
        ("QUATERNION", [1, 0, 0, 0, 0]),
        ("QUATERNION", [1, 0, 0, math.nan]),
        ("XYZ", "up"),
        ("XYZ", None),
    ],
)
def test_what_is_not_a_rotation(mode: str, rotation: Any) -> None:
    cube().rotation_mode = mode
    with pytest.raises(ValueError, match=r"^rotation has to be a "):
        addon.scene_objects.set_transform("Cube", {"location": [1, 1, 1], "rotation": rotation})
    assert tuple(cube().location) == (0, 0, 0)


def test_an_animation_of_quaternions_still_works() -> None:
    cube().rotation_mode = "QUATERNION"
    for frame, angle in ((1, 0.0), (11, 1.0)):
        value = list(Quaternion((0, 0, 1), angle))
        assert addon.scene_animation.keyframe_insert("Cube", "rotation_quaternion", frame, value)
    addon.scene_objects.set_transform("Cube", {"rotation": [0, 0, 3]})
    addon.scene_animation.set_frame(11)
    assert close(addon.scene_objects.describe_object("Cube")["rotation_euler"], [0, 0, 1])


@pytest.mark.parametrize("mode", MODES)
def test_keyframes_of_the_rotation_are_in_the_mode_of_the_object(mode: str) -> None:
    cube().rotation_mode = mode
    wanted = addon.scene_objects.set_transform("Cube", {"rotation": [0.0, 0.0, 1.0]})["rotation"]
    assert addon.scene_animation.keyframe_insert("Cube", "rotation", 11, [0.0, 0.0, 1.0])
    turn(cube(), mode, Matrix.Identity(3))
    assert addon.scene_animation.keyframe_insert("Cube", "rotation", 1)
    addon.scene_animation.set_frame(11)
    assert close(addon.scene_objects.describe_object("Cube")["rotation"], wanted)
    assert cube().rotation_mode == mode


@pytest.mark.parametrize(("mode", "other"), product(["QUATERNION", "AXIS_ANGLE", "ZYX"], repeat=2))
def test_keyframes_without_an_effect_are_refused(mode: str, other: str) -> None:
    name = f"rotation_{other.lower()}" if other != "ZYX" else "rotation_euler"
    cube().rotation_mode = mode
    if mode == other:
        assert addon.scene_animation.keyframe_insert("Cube", name, 1)
        return
    with pytest.raises(ValueError, match=rf"^keyframes of '{name}' have no effect: .* {mode}"):
        addon.scene_animation.keyframe_insert("Cube", name, 1)
    assert cube().animation_data is None


# Look at


def sight(name: str) -> Vector:
    """The direction in which an object looks, in world space."""
    bpy.context.view_layer.update()
    back = addon.scene_evaluated.world_matrix(bpy.data.objects[name]).to_3x3().col[2]
    return -back.normalized()


def seen_from(name: str, goal: Any) -> bool:
    """Whether an object looks at a point."""
    place = addon.scene_evaluated.world_matrix(bpy.data.objects[name]).to_translation()
    return close(sight(name), (Vector(goal) - place).normalized())


def new(name: str, **properties: Any) -> Any:
    made = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(made)
    for each, value in properties.items():
        setattr(made, each, value)
    return made


def _plain(_made: Any) -> None:
    pass


def _parent(**properties: Any) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        made.parent = new("Parent", location=(3, 1, 2), **properties)

    return change


def _inverse(made: Any) -> None:
    made.parent = new("Parent", location=(3, 1, 2), rotation_euler=(0.5, 0.6, 0.7), scale=(1, 2, 1))
    made.matrix_parent_inverse = Matrix.Rotation(0.4, 4, "X") @ Matrix.Translation((1, 0, 0))


def _grandparent(made: Any) -> None:
    _parent(rotation_euler=(0.5, 0.6, 0.7))(made)
    made.parent.parent = new("Grandparent", rotation_euler=(1, 0, 2), scale=(1, 3, 1))


def _bone(made: Any) -> None:
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bone = rig.data.edit_bones.new("Bone")
    bone.head, bone.tail = (0, 0, 0), (1, 1, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.rotation_euler = (0.1, 0.2, 0.3)
    made.parent, made.parent_type, made.parent_bone = rig, "BONE", "Bone"


def _child_of(made: Any) -> None:
    constraint = made.constraints.new("CHILD_OF")
    constraint.target = new("Target", location=(0, 2, 0), rotation_euler=(0.3, 0.4, 0.5))


def _copy_location(made: Any) -> None:
    _parent(rotation_euler=(0.5, 0.6, 0.7))(made)
    made.constraints.new("COPY_LOCATION").target = new("Target", location=(0, 7, 0))


def _delta(made: Any) -> None:
    made.delta_location, made.delta_rotation_euler, made.delta_scale = (1, 2, 3), (0.3, 0.2, 0.1), (1, 2, 1)
    made.delta_rotation_quaternion = Euler((0.3, 0.2, 0.1)).to_quaternion()


def _delta_and_parent(made: Any) -> None:
    _delta(made)
    _parent(rotation_euler=(0.5, 0.6, 0.7), scale=(2, 2, 2))(made)


def _scale(made: Any) -> None:
    made.scale = (2, -1, -3)


SITUATIONS = {
    "plain": _plain,
    "parent": _parent(),
    "turned parent": _parent(rotation_euler=(0.5, 0.6, 0.7)),
    "scaled parent": _parent(rotation_euler=(0.5, 0.6, 0.7), scale=(1, 2, 3)),
    "mirrored parent": _parent(rotation_euler=(0.5, 0.6, 0.7), scale=(-1, 1, 2)),
    "inverse": _inverse,
    "grandparent": _grandparent,
    "bone": _bone,
    "child of": _child_of,
    "copied location": _copy_location,
    "delta": _delta,
    "delta and parent": _delta_and_parent,
    "negative scale": _scale,
}


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "QUATERNION", "AXIS_ANGLE"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_look_at(situation: str, mode: str) -> None:
    looker = new("Looker", location=(1, -4, 2))
    turn(looker, mode, TURN.to_matrix())
    SITUATIONS[situation](looker)
    new("Seen", location=(5, 6, 7), parent=new("Above", location=(0, 0, 3)))
    for target, goal in (([-3, 4, 1], (-3, 4, 1)), ("Seen", (5, 6, 10)), (b"Cube", (0, 0, 0))):
        returned = addon.scene_objects.look_at("Looker", target)
        assert seen_from("Looker", goal)
        assert looker.rotation_mode == mode
        found = addon.scene_objects.describe_object("Looker")
        assert close(returned, found["rotation_euler"])
        assert tuple(looker.location) == (1, -4, 2)


@pytest.mark.parametrize("situation", ["plain", "parent", "turned parent", "delta", "child of"])
def test_look_at_keeps_the_horizon(situation: str) -> None:
    looker = new("Looker", location=(1, -4, 2))
    SITUATIONS[situation](looker)
    addon.scene_objects.look_at("Looker", [5, 5, -5])
    right, up = (addon.scene_evaluated.world_matrix(looker).to_3x3().col[axis].normalized() for axis in (0, 1))
    assert math.isclose(right.z, 0.0, abs_tol=1e-5)
    assert up.z > 0


@pytest.mark.parametrize("goal", [(1, -4, 9), (1, -4, -9)])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_look_straight_up_and_down(situation: str, goal: tuple[float, float, float]) -> None:
    looker = new("Looker", location=(1, -4, 2))
    SITUATIONS[situation](looker)
    place = addon.scene_evaluated.world_matrix(looker).to_translation()
    addon.scene_objects.look_at("Looker", [place.x, place.y, goal[2] * 10])
    assert seen_from("Looker", (place.x, place.y, goal[2] * 10))


def test_look_at_refuses(tmp_path: Path) -> None:
    new("Looker", location=(1, 2, 3), rotation_euler=(1, 1, 1))
    flat = new("Flat", scale=(0, 1, 1), parent=new("Parent"))
    for name, target, said in (
        ("Looker", "Looker", r"^the object 'Looker' cannot look at itself$"),
        ("Looker", [1, 2, 3], r"^the object 'Looker' is at the point that it is to look at$"),
        ("Looker", list(b"Seen"), r'^a target is .*: write <<"Seen">>$'),
        ("Looker", [1, 2], r"^a target is a list of three numbers or the name of an object, not \[1, 2\]$"),
        ("Looker", None, r"^a name has to be a binary"),
        (flat.name, [5, 5, 5], r"^the object 'Flat' or a parent of it has a scale of zero$"),
    ):
        with pytest.raises(ValueError, match=said):
            addon.scene_objects.look_at(name, target)
    assert tuple(bpy.data.objects["Looker"].rotation_euler) == (1, 1, 1)


# Data that is up to date


def _exclude(made: Any) -> None:
    hidden = bpy.data.collections.new("Hidden")
    bpy.context.scene.collection.children.link(hidden)
    hidden.objects.link(made)
    bpy.context.scene.collection.objects.unlink(made)
    bpy.context.view_layer.layer_collection.children["Hidden"].exclude = True


def _hide_collection(made: Any) -> None:
    _exclude(made)
    bpy.context.view_layer.layer_collection.children["Hidden"].exclude = False
    bpy.data.collections["Hidden"].hide_viewport = True


def _unlink(made: Any) -> None:
    bpy.context.scene.collection.objects.unlink(made)


def _other_scene(made: Any) -> None:
    _unlink(made)
    bpy.data.scenes.new("Other").collection.objects.link(made)


HIDDEN: dict[str, Callable[[Any], None]] = {
    "seen": _plain,
    "hidden": lambda made: made.hide_set(True),
    "disabled": lambda made: setattr(made, "hide_viewport", True),
    "excluded": _exclude,
    "in a disabled collection": _hide_collection,
    "in no scene": _unlink,
    "in another scene": _other_scene,
}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_positions_are_up_to_date(hidden: str) -> None:
    far = bpy.data.objects[addon.scene_objects.create_cube("Far")]
    far.parent = new("Parent", location=(1, 0, 0))
    far.constraints.new("LIMIT_LOCATION").use_max_z = True
    HIDDEN[hidden](far)
    datablocks = {name: len(getattr(bpy.data, name)) for name in ("objects", "scenes", "meshes")}
    addon.scene_objects.set_transform("Far", {"location": [4, 0, 9], "scale": [1, 2, 3]})
    addon.scene_cameras.create_camera("Cam", {"location": [0, 0, 0], "look_at": "Far"})
    assert close(sight("Cam"), (1, 0, 0))
    addon.scene_lights.create_light("spot", "Lamp", {"location": [5, 5, 0], "look_at": "Far"})
    assert close(sight("Lamp"), (0, -1, 0))
    addon.scene_objects.look_at("Light", "Far")
    assert seen_from("Light", (5, 0, 0))
    assert close(addon.scene_objects.describe_object("Far")["dimensions"], (2, 4, 6))
    assert len(bpy.data.objects) == datablocks["objects"] + 2
    assert len(bpy.data.scenes) == datablocks["scenes"]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_baked_motion_is_up_to_date(hidden: str) -> None:
    made = new("Mover")
    parent = new("Parent")
    made.parent = parent
    for frame in (1, 5):
        addon.scene_animation.keyframe_insert("Parent", "location", frame, [frame, 0, 0])
    for curve in _curves(parent):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
    HIDDEN[hidden](made)
    call = addon.scene_animation.bake_motion("Mover", {"first": 1, "last": 5, "step": 2})
    try:
        while True:
            next(call)
    except StopIteration as end:
        baked = end.value
    assert (baked["first"], baked["last"], baked["step"]) == (1, 5, 2)
    assert list(memoryview(baked["matrices"]).cast("f")[3::16]) == [1.0, 3.0, 5.0]


def _curves(animated: Any) -> Any:
    action = animated.animation_data.action
    if bpy.app.version < (4, 4, 0):
        return action.fcurves
    return action.layers[0].strips[0].channelbag(animated.animation_data.action_slot).fcurves


# Cameras, lights and primitives


def test_a_camera_at_the_default_target_looks_down() -> None:
    addon.scene_cameras.create_camera("Cam", {"location": [0, 0, 0]})
    assert close(sight("Cam"), (0, 0, -1))


def test_a_file_without_a_scene_camera_and_a_world() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert bpy.context.scene.world is None
    assert addon.scene_lights.set_world({"color": "#ff0000"}) is True
    assert bpy.context.scene.world.name == "World"
    assert addon.scene_cameras.create_camera("Cam") == "Cam"
    assert bpy.context.scene.camera.name == "Cam"


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT"])
def test_handlers_in_other_modes(mode: str) -> None:
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.mode_set(mode=mode)
    assert addon.scene_objects.create_cube("New") == "New"
    assert addon.scene_objects.set_transform("Cube", {"location": [1, 2, 3]})["location"] == Vector((1, 2, 3))
    assert addon.scene_materials.set_material("Cube", {"material": "New"}) == "New"
    with pytest.raises(ValueError, match=rf"^the object 'Cube' is in {mode.lower()} mode: leave this mode first$"):
        addon.scene_objects.delete_object("Cube")
    assert bpy.context.object.mode == mode
    bpy.ops.object.mode_set(mode="OBJECT")
    assert addon.scene_objects.delete_object("Cube") is True


@pytest.mark.parametrize("name", ["M" * 300, "é" * 300])
def test_the_returned_name_is_the_stored_one(name: str) -> None:
    for made in (
        addon.scene_objects.create_cube(name),
        addon.scene_cameras.create_camera(name),
        addon.scene_lights.create_light("sun", name),
    ):
        assert made in bpy.data.objects
        assert addon.scene_objects.describe_object(made)["name"] == made
