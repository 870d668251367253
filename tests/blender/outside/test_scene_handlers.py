"""Each handler of the extension Scene Handlers, called from a real Erlang node."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blender_process import REPOSITORY, Environment, seen
from erlang import ErlError, program

Scene = Callable[[str, str], Any]


def refusal(scene: Scene, function: str, arguments: str) -> tuple[str, str]:
    """Type and message of the Python error that a call ends with."""
    with pytest.raises(ErlError) as caught:
        scene(function, arguments)
    assert caught.value.kind == "error"
    _exception, (python_error, details), *_stack = caught.value.reason
    assert python_error == "python_error"
    return details["type"], details["message"]


def test_list_objects(scene: Scene) -> None:
    assert {"Camera", "Cube", "Light"} <= set(scene("list_objects", "[]"))


def test_describe_object(scene: Scene) -> None:
    found = scene("describe_object", '[<<"Cube">>]')
    assert found == {
        "name": "Cube",
        "type": "MESH",
        "location": [0.0, 0.0, 0.0],
        "rotation": [0.0, 0.0, 0.0],
        "rotation_mode": "XYZ",
        "rotation_euler": [0.0, 0.0, 0.0],
        "scale": [1.0, 1.0, 1.0],
        "dimensions": [2.0, 2.0, 2.0],
        "parent": None,
        "materials": ["Material"],
    }


def test_an_object_that_is_not_there(scene: Scene) -> None:
    kind, message = refusal(scene, "describe_object", '[<<"Crate">>]')
    assert kind == "LookupError"
    assert message.startswith("no object named 'Crate'; there are: ")
    assert "Cube" in message


@pytest.mark.parametrize("kind", ["cube", "uv_sphere", "ico_sphere", "cylinder", "cone", "torus", "plane", "monkey"])
def test_create_primitive(scene: Scene, kind: str) -> None:
    options = "#{size => 3, segments => 24, location => [1, 2.5, -3], scale => [1, 1, 1], smooth => true}"
    name = scene("create_primitive", f'[{kind}, <<"New {kind}">>, {options}]')
    assert name == f"New {kind}"
    # Evaluates the new object, so that its dimensions are known.
    found = scene("set_transform", f'[<<"{name}">>, #{{}}]')
    assert found["location"] == [1.0, 2.5, -3.0]
    assert max(found["dimensions"]) == pytest.approx(3.0, rel=0.05)
    polygons = scene("get_property", f'[<<"objects[\\"{name}\\"].data.polygons">>]')
    assert len(polygons) >= 1


def test_create_primitive_makes_names_unique(scene: Scene) -> None:
    assert scene("create_primitive", '[cone, <<"Twin">>]') == "Twin"
    assert scene("create_primitive", '[cone, <<"Twin">>]') == "Twin.001"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('[dodecahedron, <<"D">>]', "no kind of primitive 'dodecahedron'; there are: cone, cube"),
        ('[cube, <<"C">>, #{sise => 2}]', "no option 'sise'; there are: location"),
        ('[cube, <<"C">>, #{location => [1, 2]}]', "location has to be a list of three numbers, not [1, 2]"),
        ('[cube, <<"C">>, #{scale => 2}]', "scale has to be a list of three numbers, not 2"),
    ],
)
def test_create_primitive_refuses(scene: Scene, arguments: str, said: str) -> None:
    kind, message = refusal(scene, "create_primitive", arguments)
    assert kind == "ValueError"
    assert message.startswith(said)


@pytest.mark.parametrize(
    ("data", "function", "arguments"),
    [
        ("meshes", "create_primitive", '[cube, <<"C">>, #{location => nowhere}]'),
        ("lights", "create_light", '[point, <<"L">>, #{look_at => <<"Nothing">>}]'),
        ("cameras", "create_camera", '[<<"C">>, #{focus => <<"Nothing">>}]'),
    ],
)
def test_what_is_refused_leaves_nothing(scene: Scene, data: str, function: str, arguments: str) -> None:
    before = scene("get_property", f'[<<"{data}">>]')
    refusal(scene, function, arguments)
    assert scene("get_property", f'[<<"{data}">>]') == before


def test_create_cube(scene: Scene) -> None:
    assert scene("create_cube", '[<<"Crate">>]') == "Crate"
    # A keyword list, as Elixir writes options.
    assert scene("create_cube", '[<<"Small Crate">>, [{size, 0.5}]]') == "Small Crate"


def test_set_transform(scene: Scene) -> None:
    scene("create_cube", '[<<"Moved">>]')
    options = "#{location => [1, 2, 3], rotation => [0, 0, 1.5], scale => [2, 1, 1]}"
    found = scene("set_transform", f'[<<"Moved">>, {options}]')
    assert found["location"] == [1.0, 2.0, 3.0]
    assert found["rotation"] == [0.0, 0.0, 1.5]
    assert found["dimensions"] == [4.0, 2.0, 2.0]
    assert scene("set_transform", '[<<"Moved">>, #{location => [0, 0, 0]}]')["scale"] == [2.0, 1.0, 1.0]


def test_look_at(scene: Scene) -> None:
    scene("create_camera", '[<<"Looker">>, #{location => [0, 0, 5]}]')
    assert scene("look_at", '[<<"Looker">>, [0, 0, 0]]') == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    scene("create_cube", '[<<"Seen">>, #{location => [0, 10, 5]}]')
    assert scene("look_at", '[<<"Looker">>, <<"Seen">>]') == pytest.approx([3.14159265 / 2, 0.0, 0.0], abs=1e-5)


def test_delete_object(scene: Scene) -> None:
    name = scene("create_cube", '[<<"Doomed">>]')
    assert name in scene("get_property", '[<<"meshes">>]')
    assert scene("delete_object", f'[<<"{name}">>]') is True
    assert name not in scene("list_objects", "[]")
    assert name not in scene("get_property", '[<<"meshes">>]')


def test_set_material(scene: Scene) -> None:
    scene("create_cube", '[<<"Painted">>]')
    colors = 'base_color => <<"#008080">>, emission => [1, 0, 0]'
    options = f'#{{material => <<"Teal">>, {colors}, metallic => 0.5, roughness => 0.25}}'
    assert scene("set_material", f'[<<"Painted">>, {options}]') == "Teal"
    assert scene("describe_object", '[<<"Painted">>]')["materials"] == ["Teal"]
    shader = 'materials[\\"Teal\\"].node_tree.nodes[\\"Principled BSDF\\"].inputs'

    def shown(name: str) -> Any:
        return scene("get_property", f'[<<"{shader}[\\"{name}\\"].default_value">>]')

    assert shown("Base Color") == pytest.approx([0.0, 0.2158605, 0.2158605, 1.0])
    assert shown("Metallic") == 0.5
    assert shown("Roughness") == 0.25
    assert shown("Emission Color") == [1.0, 0.0, 0.0, 1.0]
    assert shown("Emission Strength") == 1.0


def test_set_material_refuses(scene: Scene) -> None:
    assert "cannot have a material" in refusal(scene, "set_material", '[<<"Light">>, #{}]')[1]
    message = refusal(scene, "set_material", '[<<"Cube">>, #{base_color => <<"teal">>}]')[1]
    assert message == "a hexadecimal colour must be \"#rrggbb\", not 'teal'"


@pytest.mark.parametrize(("kind", "type_"), [("point", "POINT"), ("sun", "SUN"), ("spot", "SPOT"), ("area", "AREA")])
def test_create_light(scene: Scene, kind: str, type_: str) -> None:
    options = "#{energy => 250, color => [1, 0.5, 0], size => 0.5, location => [0, 0, 4], look_at => [0, 0, 0]}"
    name = scene("create_light", f'[{kind}, <<"A {kind}">>, {options}]')
    light = f'lights[\\"{name}\\"]'
    assert scene("get_property", f'[<<"{light}.type">>]') == type_
    assert scene("get_property", f'[<<"{light}.energy">>]') == 250.0
    assert scene("get_property", f'[<<"{light}.color">>]') == [1.0, 0.5, 0.0]


def test_set_world(scene: Scene) -> None:
    assert scene("set_world", "[#{color => [0, 0, 1], strength => 0.5}]") is True
    background = 'worlds[\\"World\\"].node_tree.nodes[\\"Background\\"].inputs'
    assert scene("get_property", f'[<<"{background}[0].default_value">>]') == [0.0, 0.0, 1.0, 1.0]
    assert scene("get_property", f'[<<"{background}[1].default_value">>]') == 0.5


def test_create_camera(scene: Scene) -> None:
    options = '#{location => [0, -5, 0], look_at => <<"Cube">>, lens => 85, fstop => 2.0}'
    name = scene("create_camera", f'[<<"Portrait">>, {options}]')
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].camera">>]') == name
    assert scene("get_property", f'[<<"cameras[\\"{name}\\"].lens">>]') == 85.0
    assert scene("get_property", f'[<<"cameras[\\"{name}\\"].dof.focus_distance">>]') == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('objects[\\"Cube\\"].location', [1.0, 2.0, 3.0]),
        ('objects[\\"Cube\\"].location[2]', 7.0),
        ('objects[\\"Cube\\"].hide_render', True),
        ('scenes[\\"Scene\\"].frame_end', 42),
        ('scenes[\\"Scene\\"].camera', "Camera"),
        ('objects[\\"Light\\"].parent', "Cube"),
        ('objects[\\"Light\\"].parent', None),
        ('objects[\\"Cube\\"].display_type', "WIRE"),
    ],
)
def test_properties(scene: Scene, path: str, value: Any) -> None:
    term = {True: "true", None: "nil"}.get(value, value) if not isinstance(value, list) else value
    written = f'<<"{term}">>' if isinstance(value, str) else str(term)
    assert scene("set_property", f'[<<"{path}">>, {written}]') == value
    assert scene("get_property", f'[<<"{path}">>]') == value


def test_custom_properties(scene: Scene) -> None:
    path = 'objects[\\"Cube\\"][\\"made.by\\"]'
    assert scene("set_property", f'[<<"{path}">>, <<"erlang">>]') == "erlang"
    assert scene("get_property", f'[<<"{path}">>]') == "erlang"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ('objects[\\"Nothing\\"].location', "no property at 'objects[\"Nothing\"].location'"),
        ('objects[\\"Cube\\"].__class__', "no property at"),
        ("__import__('os')", "no property at"),
        ('objects[\\"Cube\\"].bound_box', None),
        ('objects[\\"Cube\\"].data.vertices[0]', "is a MeshVertex; name one of its properties: "),
    ],
)
def test_get_property_knows_properties_only(scene: Scene, path: str, said: str | None) -> None:
    if said is None:
        assert len(scene("get_property", f'[<<"{path}">>]')) == 8
    else:
        assert said in refusal(scene, "get_property", f'[<<"{path}">>]')[1]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ('objects[\\"Cube\\"].type', '<<"LIGHT">>', "is read-only"),
        ('objects[\\"Cube\\"].nothing', "1", "no property at"),
        ('scenes[\\"Scene\\"].camera', '<<"Nikon">>', "none of the objects is named 'Nikon'"),
        ('objects[\\"Cube\\"].location', '<<"up">>', "location' cannot be set to 'up': "),
        ("os.system('true')", "1", "no property at"),
    ],
)
def test_set_property_refuses(scene: Scene, path: str, value: str, said: str) -> None:
    assert said in refusal(scene, "set_property", f'[<<"{path}">>, {value}]')[1]


def test_keyframes_and_frames(scene: Scene) -> None:
    scene("create_cube", '[<<"Mover">>]')
    for frame, x in ((1, 0), (11, 10)):
        assert scene("keyframe_insert", f'[<<"Mover">>, location, {frame}, [{x}, 0, 0]]') is True
    assert scene("set_frame", "[6]") == 6
    assert scene("describe_object", '[<<"Mover">>]')["location"] == pytest.approx([5.0, 0.0, 0.0])
    assert scene("set_frame", "[11]") == 11
    assert scene("describe_object", '[<<"Mover">>]')["location"] == pytest.approx([10.0, 0.0, 0.0])


def test_keyframes_keep_what_is(scene: Scene) -> None:
    scene("create_cube", '[<<"Still">>, #{location => [0, 4, 0]}]')
    assert scene("keyframe_insert", '[<<"Still">>, location, 5]') is True
    assert scene("set_frame", "[20]") == 20
    assert scene("describe_object", '[<<"Still">>]')["location"] == [0.0, 4.0, 0.0]
    assert "no property at 'sideways'" in refusal(scene, "keyframe_insert", '[<<"Still">>, sideways, 5, 1]')[1]


def test_keyframes_of_the_data(scene: Scene) -> None:
    for frame, energy in ((1, 100), (11, 200)):
        assert scene("keyframe_insert", f'[<<"Light">>, <<"data.energy">>, {frame}, {energy}]') is True
    scene("set_frame", "[11]")
    assert scene("get_property", '[<<"objects[\\"Light\\"].data.energy">>]') == 200.0
    said = refusal(scene, "keyframe_insert", '[<<"Light">>, <<"location[0]">>, 5]')[1]
    assert said == "'location[0]' is one number of a property: name the property, and pass the index"


def test_render_still_as_the_answer(scene: Scene) -> None:
    picture = scene("render_still", "[#{engine => cycles, width => 32, height => 24, samples => 1, denoise => false}]")
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (32, 24)
    # Settings for one picture do not stay in the scene.
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].render.resolution_x">>]') == 1920
    assert scene("get_property", '[<<"scenes[\\"Scene\\"].render.filepath">>]') == "/tmp/"


def test_render_still_to_a_file(scene: Scene, folder: Path) -> None:
    target = folder / "still.png"
    path = seen(target)
    small = "engine => cycles, width => 32, height => 24, samples => 1, denoise => false"
    options = f'#{{{small}, path => <<"{path}">>}}'
    assert scene("render_still", f"[{options}]") == path
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_render_still_refuses(scene: Scene) -> None:
    assert "no engine 'povray'; there are: " in refusal(scene, "render_still", "[#{engine => povray}]")[1]
    camera = scene("get_property", '[<<"scenes[\\"Scene\\"].camera">>]')
    scene("set_property", '[<<"scenes[\\"Scene\\"].camera">>, nil]')
    assert refusal(scene, "render_still", "[]")[1] == "the scene has no camera: make one with create_camera"
    scene("set_property", f'[<<"scenes[\\"Scene\\"].camera">>, <<"{camera}">>]')


@pytest.mark.parametrize("event", ["render_init", "render_pre", "render_post", "render_write"])
def test_a_killed_blender_leaves_no_broken_picture(
    script: Callable[..., list[str]], environment: Environment, folder: Path, event: str
) -> None:
    (folder / "pictures").mkdir()
    target = folder / "pictures" / "still.png"
    target.write_text("old")
    command = script("killed_render.py", event, seen(target))
    # A Blender in another system is run by a chroot, which Blender replaces.
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=60, check=False).returncode == -9
    assert [each.name for each in folder.rglob("*.png")] == ["still.png"]
    assert target.read_text() == "old"


def test_calls_of_one_batch_see_the_changes_of_each_other(scene: Scene) -> None:
    calls = """[[{create_cube, [<<"Far">>, #{location => [5, 0, 0]}]},
        {set_transform, [<<"Far">>, #{location => [0, 5, 0]}]},
        {create_camera, [<<"Batched">>, #{location => [0, 0, 0], look_at => <<"Far">>}]},
        {describe_object, [<<"Batched">>]}]]"""
    ok, found = scene("call_batch", calls)[-1]
    assert ok == "ok"
    assert found["rotation"] == pytest.approx([3.14159265 / 2, 0.0, 0.0], abs=1e-5)


def test_a_charlist_is_refused_with_the_binary_to_write(scene: Scene) -> None:
    for function, arguments in (("describe_object", '["Ma"]'), ("create_primitive", '["cube", "X"]')):
        kind, message = refusal(scene, function, arguments)
        assert kind == "ValueError"
        assert "has to be a binary: write <<" in message


def test_the_elixir_example(scene_node: tuple[str, dict[str, str]]) -> None:
    node, environment = scene_node
    example = REPOSITORY / "examples" / "drive_scene.exs"
    result = subprocess.run(
        [program("elixir"), str(example), node],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "location: [2.0, 0.0, 0.5]" in result.stdout
    assert "no object named 'No such crate'; there are: " in result.stdout
