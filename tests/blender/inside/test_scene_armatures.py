"""Bones, poses and shape keys: what is set is read again, in all rotation modes."""

import math
from typing import Any

import addon
import bpy
import pytest
from mathutils import Euler, Matrix, Quaternion, Vector

pytestmark = pytest.mark.usefixtures("scene_handlers")

MODES = ["QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "AXIS_ANGLE"]


@pytest.fixture
def rig() -> Any:
    """An armature Rig of the bones Arm and Händ, which is its child; it is not in Edit Mode."""
    data = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    hand = data.edit_bones.new("Händ")
    arm = data.edit_bones.new("Arm")
    arm.head, arm.tail = (0, 0, 0), (0, 0, 2)
    hand.head, hand.tail = (0, 0, 2), (0, 0, 3)
    hand.parent, hand.use_connect, hand.use_deform = arm, True, False
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def armatures() -> Any:
    return addon.scene_armatures


def test_bones_are_in_the_order_of_their_parents(rig: Any) -> None:
    arm, hand = armatures().bones("Rig")
    assert (arm["name"], arm["parent"], arm["connected"], arm["deform"]) == ("Arm", None, False, True)
    assert (hand["name"], hand["parent"], hand["connected"], hand["deform"]) == ("Händ", "Arm", True, False)
    assert hand["head"][:] == (0, 0, 2)
    assert hand["tail"][:] == (0, 0, 3)
    assert (hand["matrix"] @ Vector((0, 1, 0)))[:] == pytest.approx((0, 0, 3))


def test_bones_of_edit_mode_are_those_that_the_user_sees(rig: Any) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones["Händ"].tail = (0, 0, 5)
    rig.data.edit_bones.new("New").tail = (1, 0, 0)
    found = {bone["name"]: bone for bone in armatures().bones("Rig")}
    assert found["Händ"]["tail"][:] == (0, 0, 5)
    assert "New" in found
    assert bpy.context.mode == "EDIT_ARMATURE"
    with pytest.raises(ValueError, match="is in Edit Mode: switch to Object Mode or Pose Mode first"):
        armatures().set_pose("Rig", {"Arm": {"location": [1, 2, 3]}})


@pytest.mark.parametrize("mode", MODES)
def test_a_pose_can_be_set_again_in_each_rotation_mode(rig: Any, mode: str) -> None:
    rig.pose.bones["Arm"].rotation_mode = mode
    angles = Euler((0.1, -0.2, 0.3))
    armatures().set_pose("Rig", {"Arm": {"location": [1, 2, 3], "rotation": list(angles), "scale": [1, 2, 0.5]}})
    assert same_rotation(rig, angles) == (mode not in MODES[2:7])
    before = armatures().get_pose("Rig")
    armatures().rest_pose("Rig")
    assert at_rest(rig)
    assert armatures().set_pose("Rig", before) == before
    assert armatures().get_pose("Rig") == before
    assert before["Arm"]["rotation_mode"] == mode
    assert before["Arm"]["location"][:] == (1, 2, 3)


def same_rotation(rig: Any, angles: Euler) -> bool:
    """Whether the bone is turned by angles around X, Y and Z."""
    turned: Matrix = rig.pose.bones["Arm"].matrix_basis.to_3x3().normalized()
    return bool(turned.to_quaternion().rotation_difference(angles.to_quaternion()).angle < 1e-4)


def at_rest(rig: Any) -> bool:
    return all(bone.matrix_basis == Matrix.Identity(4) for bone in rig.pose.bones)


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_changes_and_the_direction_stays(rig: Any, mode: str) -> None:
    rig.pose.bones["Arm"].rotation_quaternion = Quaternion((1, 1, 1), 0.5)
    (changed,) = armatures().set_pose("Rig", {"Arm": {"rotation_mode": mode}}).values()
    assert changed["rotation_mode"] == mode
    turned = rig.pose.bones["Arm"].matrix_basis.to_quaternion()
    assert turned.rotation_difference(Quaternion((1, 1, 1), 0.5)).angle < 1e-3


def test_a_mode_and_a_rotation_in_this_mode(rig: Any) -> None:
    pose = {"Arm": {"rotation_mode": "AXIS_ANGLE", "rotation": [math.pi / 2, 0, 0, 1]}}
    assert armatures().set_pose("Rig", pose)["Arm"]["rotation"] == pytest.approx([math.pi / 2, 0, 0, 1])


def test_matrices_are_up_to_date_with_parents(rig: Any) -> None:
    armatures().set_pose("Rig", {"Arm": {"location": [0, 1, 0]}})
    assert armatures().get_pose("Rig", {"matrix": True})["Händ"]["matrix"].translation[:] == pytest.approx((0, 0, 3))


@pytest.mark.parametrize("linked", [True, False])
def test_an_object_that_blender_has_not_evaluated_has_a_pose(rig: Any, linked: bool) -> None:
    second = bpy.data.objects.new("Second", rig.data)
    if linked:
        bpy.context.scene.collection.objects.link(second)
    assert armatures().set_pose("Second", {"Arm": {"scale": [2, 2, 2]}})["Arm"]["scale"][:] == (2, 2, 2)
    assert rig.pose.bones["Arm"].scale[:] == (1, 1, 1)


@pytest.mark.parametrize("chosen", [["Händ"], None])
def test_bones_go_back_to_rest(rig: Any, chosen: list[str] | None) -> None:
    armatures().set_pose("Rig", {name: {"rotation": [1, 0, 0]} for name in ("Arm", "Händ")})
    names = armatures().rest_pose("Rig", chosen)
    assert sorted(names) == sorted(chosen or ["Arm", "Händ"])
    assert {bone.name for bone in rig.pose.bones if bone.matrix_basis == Matrix.Identity(4)} == set(names)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ({"Leg": {}}, "no bone 'Leg'"),
        ({"Arm": {"location": [1, 2]}}, "location has to be a list of three numbers"),
        ({"Arm": {"rotation": [0, 0, 0, 0]}}, "that is not zero"),
        ({"Arm": {"rotation": [1, 2, 3, 4], "rotation_mode": "XYZ"}}, "a list of three numbers"),
        ({"Arm": {"rotation_mode": "xyz"}}, "no rotation mode 'xyz'"),
        ({"Arm": {"place": [1, 2, 3]}}, "no part of a pose 'place'"),
        ({"Arm": [1, 2, 3]}, "expected a map"),
    ],
)
def test_a_wrong_part_of_a_pose_changes_no_bone(rig: Any, pose: Any, message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        armatures().set_pose("Rig", {"Händ": {"location": [1, 2, 3]}, **pose})
    assert at_rest(rig)


def test_a_bone_that_does_not_exist_is_not_reset(rig: Any) -> None:
    armatures().set_pose("Rig", {"Arm": {"location": [1, 2, 3]}})
    for wrong in (["Arm", "Leg"], "Arm", [5]):
        with pytest.raises((ValueError, LookupError)):
            armatures().rest_pose("Rig", wrong)
    assert rig.pose.bones["Arm"].location[:] == (1, 2, 3)


# Shape keys


@pytest.fixture
def face() -> Any:
    cube = bpy.data.objects["Cube"]
    for name in ("Basis", "Smile", "Größer"):
        cube.shape_key_add(name=name).value = 0.0  # Since Blender 5 it is 1.
    cube.data.shape_keys.key_blocks["Größer"].slider_max = 2.0
    return cube


def test_shape_keys_are_set_by_name(face: Any) -> None:
    values = armatures().set_shape_keys("Cube", {"Smile": 0.25, "Größer": 5})
    assert values == {"Basis": 0.0, "Smile": 0.25, "Größer": 2.0}
    assert armatures().get_shape_keys("Cube") == values


def test_a_wrong_value_changes_no_key(face: Any) -> None:
    for wrong in ({"Frown": 1}, {"Basis": math.nan}, {"Basis": True}):
        with pytest.raises((ValueError, LookupError)):
            armatures().set_shape_keys("Cube", {"Smile": 1, **wrong})
    assert armatures().get_shape_keys("Cube")["Smile"] == 0.0


def test_objects_without_shape_keys() -> None:
    assert armatures().get_shape_keys("Cube") == {}
    with pytest.raises(ValueError, match="is a LIGHT, which has no shape keys"):
        armatures().get_shape_keys("Light")
