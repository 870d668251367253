"""Meshes, images and curves as binaries and as lists, to Blender and back, from a real Erlang node."""

import struct
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from blender_process import REPOSITORY, Environment
from erlang import ErlError, erl, program

Scene = Callable[[str, str], Any]

EXAMPLES = REPOSITORY / "examples"

# A triangle and a quad, which share an edge.
VERTICES = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.5, -1.0, 1.0, 0.5]
CORNERS = [0, 1, 2, 0, 2, 3, 4]
SIZES = [3, 4]


def floats(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def ints(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def binary(data: bytes) -> str:
    """Bytes as Erlang writes them."""
    return f"<<{','.join(map(str, data))}>>"


def raw(value: str | bytes) -> bytes:
    """A binary that came back; by chance it may have been valid UTF-8."""
    return value.encode() if isinstance(value, str) else value


def refusal(scene: Scene, function: str, arguments: str) -> str:
    """The message of the Python error that a call ends with."""
    with pytest.raises(ErlError) as caught:
        scene(function, arguments)
    _exception, (_python_error, details), *_stack = caught.value.reason
    message: str = details["message"]
    return message


def two_faces(*, lists: bool) -> str:
    """The parts of the mesh of two faces."""
    if lists:
        return f"vertices => {VERTICES}, loop_vertices => {CORNERS}, face_sizes => {SIZES}"
    vertices, corners, sizes = binary(floats(VERTICES)), binary(ints(CORNERS)), binary(ints(SIZES))
    return f"vertices => {vertices}, loop_vertices => {corners}, face_sizes => {sizes}"


@pytest.mark.parametrize("lists", [False, True])
def test_a_mesh_goes_and_comes_back(scene: Scene, lists: bool) -> None:
    made = scene("upload_mesh", f'[<<"Two">>, #{{{two_faces(lists=lists)}}}]')
    assert {"name": "Two", "vertices": 5, "faces": 2, "corners": 7, "mended": False}.items() <= made.items()
    assert set(made["seconds"]) == {"parse", "foreach_set", "update", "validate"}
    assert "Two" in scene("list_objects", "[]")
    found = scene("download_mesh", '[<<"Two">>]')
    assert set(found) == {"vertices", "loop_vertices", "face_sizes", "attributes"}
    assert raw(found["vertices"]) == floats(VERTICES)
    assert raw(found["loop_vertices"]) == ints(CORNERS)
    assert raw(found["face_sizes"]) == ints(SIZES)
    listed = scene("download_mesh", '[<<"Two">>, #{lists => true}]')
    assert listed == {"vertices": VERTICES, "loop_vertices": CORNERS, "face_sizes": SIZES, "attributes": {}}


def test_the_edges_of_the_faces_are_made(scene: Scene) -> None:
    scene("upload_mesh", f'[<<"Edged">>, #{{{two_faces(lists=False)}}}]')
    assert len(scene("get_property", '[<<"meshes[\\"Edged\\"].edges">>]')) == 6
    assert scene("describe_object", '[<<"Edged">>]')["dimensions"] == [2.0, 1.0, 0.5]


@pytest.mark.parametrize(("way", "corners"), [("triangles", [0, 1, 2, 0, 2, 3]), ("quads", [0, 1, 2, 3, 0, 2, 3, 4])])
def test_faces_of_one_size(scene: Scene, way: str, corners: list[int]) -> None:
    mesh = f"#{{vertices => {binary(floats(VERTICES))}, {way} => {binary(ints(corners))}}}"
    assert scene("upload_mesh", f'[<<"Even">>, {mesh}]')["faces"] == 2
    found = scene("download_mesh", '[<<"Even">>]')
    assert set(found) == {"vertices", way, "attributes"}
    assert raw(found[way]) == ints(corners)


# One byte more or less before the binary moves it to another address in the message.
@pytest.mark.parametrize("name", ["A", "Al", "Ali", "Alig", "Align"])
def test_binaries_at_any_address(scene: Scene, name: str) -> None:
    mesh = f"#{{vertices => {binary(floats(VERTICES))}, quads => {binary(ints([0, 1, 2, 3]))}}}"
    scene("upload_mesh", f'[<<"{name}">>, {mesh}]')
    found = scene("download_mesh", f'[<<"{name}">>]')
    assert (raw(found["vertices"]), raw(found["quads"])) == (floats(VERTICES), ints([0, 1, 2, 3]))


def test_a_mesh_replaces_the_one_of_that_name(scene: Scene) -> None:
    scene("create_cube", '[<<"Replaced">>, #{location => [1, 2, 3]}]')
    scene("set_material", '[<<"Replaced">>, #{material => <<"Kept">>}]')
    before = scene("list_objects", "[]")
    scene("upload_mesh", f'[<<"Replaced">>, #{{{two_faces(lists=False)}}}]')
    assert scene("list_objects", "[]") == before
    found = scene("describe_object", '[<<"Replaced">>]')
    assert (found["location"], found["materials"]) == ([1.0, 2.0, 3.0], ["Kept"])
    assert raw(scene("download_mesh", '[<<"Replaced">>]')["vertices"]) == floats(VERTICES)


@pytest.mark.parametrize("lists", [False, True])
def test_vertices_that_are_moved_keep_their_faces_and_all_else(scene: Scene, lists: bool) -> None:
    attributes = f"attributes => #{{weight => #{{domain => point, type => float, values => {VERTICES[:5]}}}}}"
    scene("upload_mesh", f'[<<"Moved">>, #{{{two_faces(lists=False)}, {attributes}}}]')
    before = scene("download_mesh", '[<<"Moved">>]')
    higher = [3.0 * value for value in VERTICES]
    assert scene("move_vertices", f'[<<"Moved">>, {higher if lists else binary(floats(higher))}]') == 5
    found = scene("download_mesh", '[<<"Moved">>]')
    assert raw(found["vertices"]) == floats(higher)
    assert found == before | {"vertices": found["vertices"]}
    assert scene("describe_object", '[<<"Moved">>]')["dimensions"] == [6.0, 3.0, 1.5]
    normal = scene("get_property", '[<<"meshes[\\"Moved\\"].polygons[0].normal">>]')
    scene("move_vertices", f'[<<"Moved">>, {[0.0, *VERTICES[:-1]]}]')
    assert scene("get_property", '[<<"meshes[\\"Moved\\"].polygons[0].normal">>]') != normal


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('<<"Cube">>, [0, 0, 0]', "vertices has 3 numbers, but needs 3 for each of 8 points"),
        ('<<"Cube">>, [0, 0]', "vertices has 2 numbers, which is not a multiple of 3"),
        ('<<"Light">>, []', "the object 'Light' is a LIGHT, and its geometry cannot be replaced"),
        ('<<"Nothing">>, []', "no object named 'Nothing'; there are: "),
    ],
)
def test_vertices_that_cannot_be_moved(scene: Scene, arguments: str, said: str) -> None:
    cube = scene("download_mesh", '[<<"Cube">>]')
    assert refusal(scene, "move_vertices", f"[{arguments}]").startswith(said)
    assert scene("download_mesh", '[<<"Cube">>]') == cube


@pytest.mark.parametrize("vertices", ["<<>>", "[]", binary(floats(VERTICES))])
def test_a_mesh_without_faces(scene: Scene, vertices: str) -> None:
    made = scene("upload_mesh", f'[<<"Points">>, #{{vertices => {vertices}}}]')
    assert (made["faces"], made["corners"]) == (0, 0)
    found = scene("download_mesh", '[<<"Points">>]')
    assert raw(found["vertices"]) == (b"" if len(vertices) < 5 else floats(VERTICES))
    assert (found["loop_vertices"], found["face_sizes"]) == ("", "")


ATTRIBUTES = [
    ("float", "point", floats([0.5, 1.5, 2.5, 3.5, 4.5])),
    ("int", "face", ints([-7, 70000])),
    ("int8", "face", bytes([255, 7])),
    ("boolean", "face", bytes([0, 1])),
    ("float2", "point", floats([float(n) for n in range(10)])),
    ("float_vector", "face", floats([float(n) for n in range(6)])),
    ("float_color", "face", floats([0.25 * n for n in range(8)])),
    ("byte_color", "face", floats([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0])),
    ("int32_2d", "face", ints([1, -2, 3, -4])),
    ("quaternion", "face", floats([1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])),
    ("float4x4", "face", floats([float(n) for n in range(32)])),
    ("float", "corner", floats([float(n) for n in range(7)])),
]


@pytest.mark.parametrize(("type_", "domain", "data"), ATTRIBUTES)
def test_attributes(scene: Scene, type_: str, domain: str, data: bytes) -> None:
    attribute = f'#{{domain => {domain}, type => <<"{type_}">>, values => {binary(data)}}}'
    mesh = f'#{{{two_faces(lists=False)}, attributes => #{{<<"made by">> => {attribute}}}}}'
    scene("upload_mesh", f'[<<"Attributed">>, {mesh}]')
    (name, found), *others = scene("download_mesh", '[<<"Attributed">>]')["attributes"].items()
    assert (name, found["domain"], found["type"], raw(found["values"])) == ("made by", domain, type_, data)
    assert not others


def test_uvs_and_attributes_by_name(scene: Scene, scene_node: tuple[str, Environment]) -> None:
    uvs = [n / 16 for n in range(14)]
    weight = "#{domain => point, type => float, values => [1.0, 2.0, 3.0, 4.0, 5.0]}"
    sharp = "#{domain => face, type => boolean, values => [true, false]}"
    attributes = f"#{{weight => {weight}, sharp_face => {sharp}}}"
    mesh = f"#{{{two_faces(lists=False)}, uvs => {binary(floats(uvs))}, attributes => {attributes}}}"
    scene("upload_mesh", f'[<<"Mapped">>, {mesh}]')
    assert scene("get_property", '[<<"meshes[\\"Mapped\\"].uv_layers">>]') == ["UVMap"]
    found = scene("download_mesh", '[<<"Mapped">>, #{lists => true, attributes => [weight]}]')
    assert found["uvs"] == uvs
    assert found["attributes"] == {"weight": {"domain": "point", "type": "float", "values": [1.0, 2.0, 3.0, 4.0, 5.0]}}
    assert set(scene("download_mesh", '[<<"Mapped">>]')["attributes"]) == {"weight", "sharp_face"}
    # The reply can be sent again as an argument.
    node, environment = scene_node
    code = f"""
        Mesh = erpc:call('{node}', scene, download_mesh, [<<"Mapped">>]),
        erpc:call('{node}', scene, upload_mesh, [<<"Copy">>, Mesh]),
        erpc:call('{node}', scene, download_mesh, [<<"Copy">>]) =:= Mesh
    """
    assert erl(code, environment) is True


def test_the_evaluated_mesh(scene: Scene) -> None:
    plain = scene("download_mesh", '[<<"Cube">>, #{lists => true}]')
    assert set(plain) == {"vertices", "quads", "uvs", "attributes", "materials"}
    assert (len(plain["vertices"]), len(plain["quads"])) == (24, 24)
    evaluated = scene("download_mesh", '[<<"Cube">>, #{evaluated => true, lists => true}]')
    assert evaluated == plain
    assert "is a LIGHT, which has no mesh" in refusal(scene, "download_mesh", '[<<"Light">>, #{evaluated => true}]')


def test_validating(scene: Scene) -> None:
    twice = f"#{{vertices => {VERTICES}, quads => [0, 1, 1, 2]}}"
    assert scene("upload_mesh", f'[<<"Bad">>, {twice}, #{{validate => true}}]')["mended"] is True
    assert scene("upload_mesh", f'[<<"Good">>, #{{{two_faces(lists=True)}}}, #{{validate => true}}]')["mended"] is False


@pytest.mark.parametrize(
    ("mesh", "said"),
    [
        ("#{}", "a mesh needs vertices"),
        ("[1]", "expected a map whose keys are names, not [1]"),
        ("#{vertices => <<1, 2, 3>>}", "vertices has 3 bytes, which is not a multiple of 4 (float32)"),
        ("#{vertices => <<1, 2, 3, 4>>}", "vertices has 1 numbers, which is not a multiple of 3"),
        ("#{vertices => many}", "vertices has to be a binary of float32 or a list of such numbers"),
        ("#{vertices => [[0.0, 0.0], [1.0]]}", "vertices has to be a binary of float32 or a list of such numbers"),
        ("#{vertexes => []}", "no part of a mesh 'vertexes'; there are: active, attributes, edges, face_sizes, "),
        (
            "#{vertices => [0, 0, 0], triangles => [0, 0, 1]}",
            "a face uses vertex 1, but there are 1 vertices, numbered from 0",
        ),
        ("#{vertices => [0, 0, 0], triangles => [0, 0, -1]}", "a face uses vertex -1, but there are 1 vertices, "),
        ("#{vertices => [0, 0, 0], triangles => [0, 0, 0.5]}", "triangles has to be a binary of int32 or a list"),
        (
            "#{vertices => [0, 0, 0], triangles => [0, 0, 1 bsl 32]}",
            "triangles contains a number that is too large or too small for int32",
        ),
        (
            "#{vertices => [0, 0, 0], triangles => [], quads => []}",
            "give the faces in one form only, not as triangles and ",
        ),
        ("#{vertices => [0, 0, 0], face_sizes => [3]}", "loop_vertices and face_sizes must be given together"),
        (
            "#{vertices => [0, 0, 0], loop_vertices => [0, 0, 0], face_sizes => [4]}",
            "face_sizes adds up to 4, but loop_vertices has 3 numbers",
        ),
        (
            "#{vertices => [0, 0, 0], loop_vertices => [0, 0], face_sizes => [2]}",
            "a face has at least three vertices, but face_sizes contains 2",
        ),
        ("#{vertices => [], uvs => [0, 0]}", "uvs has 2 numbers, but needs 2 for each of 0 corners"),
        ("#{vertices => [], attributes => #{a => #{domain => point}}}", "the attribute 'a' needs type"),
        (
            "#{vertices => [], attributes => #{a => #{domain => edge, type => float, values => []}}}",
            "the attribute 'a' has a value for each edge: pass the part edges, too",
        ),
        (
            "#{vertices => [], attributes => #{a => #{domain => point, type => double, values => []}}}",
            "no type of attribute 'double'; there are: boolean, ",
        ),
        (
            "#{vertices => [], attributes => #{position => #{}}}",
            "the attribute 'position' belongs to Blender: pass vertices and faces instead",
        ),
        (
            "#{vertices => [], attributes => #{material_index => #{domain => point, type => float, values => []}}}",
            "Blender accepts no attribute 'material_index' of the type float for each point",
        ),
    ],
)
def test_what_is_no_mesh_is_refused_and_leaves_nothing(scene: Scene, mesh: str, said: str) -> None:
    meshes = scene("get_property", '[<<"meshes">>]')
    cube = scene("download_mesh", '[<<"Cube">>]')
    assert refusal(scene, "upload_mesh", f'[<<"Refused">>, {mesh}]').startswith(said)
    refusal(scene, "upload_mesh", f'[<<"Cube">>, {mesh}]')
    assert scene("get_property", '[<<"meshes">>]') == meshes
    assert scene("download_mesh", '[<<"Cube">>]') == cube


def test_what_cannot_be_a_mesh(scene: Scene) -> None:
    said = refusal(scene, "upload_mesh", '[<<"Light">>, #{vertices => []}]')
    assert said == "the object 'Light' is a LIGHT, and its geometry cannot be replaced"
    assert "set the option evaluated" in refusal(scene, "download_mesh", '[<<"Light">>]')
    said = refusal(scene, "download_mesh", '[<<"Cube">>, #{attributes => [weight]}]')
    assert said == "the mesh has no attribute 'weight' to download; of the requested ones it has: none"


PIXELS = bytes(range(0, 96, 2))
"""4 x 3 pixels of four channels."""


def test_an_image_of_bytes_goes_and_comes_back(scene: Scene) -> None:
    assert scene("upload_image", f'[<<"Bytes">>, 4, 3, 4, {binary(PIXELS)}]') == "Bytes"
    found = scene("download_image", '[<<"Bytes">>]')
    assert (found["width"], found["height"], found["channels"]) == (4, 3, 4)
    assert raw(found["pixels"]) == PIXELS
    as_floats = raw(scene("download_image", '[<<"Bytes">>, #{type => float32}]')["pixels"])
    assert struct.unpack("<48f", as_floats) == pytest.approx([byte / 255 for byte in PIXELS])


def test_an_image_of_floats_goes_and_comes_back(scene: Scene) -> None:
    bright = [n / 8 for n in range(48)]
    assert scene("upload_image", f'[<<"Floats">>, 4, 3, 4, {binary(floats(bright))}]') == "Floats"
    assert raw(scene("download_image", '[<<"Floats">>]')["pixels"]) == floats(bright)
    assert scene("get_property", '[<<"images[\\"Floats\\"].is_float">>]') is True


@pytest.mark.parametrize(
    ("channels", "pixels", "stored"),
    [
        (1, bytes([10, 20]), bytes([10, 10, 10, 255, 20, 20, 20, 255])),
        (3, bytes([1, 2, 3, 4, 5, 6]), bytes([1, 2, 3, 255, 4, 5, 6, 255])),
    ],
)
def test_channels_that_are_missing(scene: Scene, channels: int, pixels: bytes, stored: bytes) -> None:
    scene("upload_image", f'[<<"Few">>, 2, 1, {channels}, {binary(pixels)}]')
    assert raw(scene("download_image", '[<<"Few">>]')["pixels"]) == stored


def test_an_image_replaces_the_one_of_that_name(scene: Scene) -> None:
    scene("upload_image", f'[<<"Again">>, 4, 3, 4, {binary(PIXELS)}]')
    scene("set_property", '[<<"scenes[\\"Scene\\"].world.use_nodes">>, true]')
    before = scene("get_property", '[<<"images">>]')
    scene("upload_image", f'[<<"Again">>, 4, 3, 4, {binary(PIXELS[::-1])}]')
    assert raw(scene("download_image", '[<<"Again">>]')["pixels"]) == PIXELS[::-1]
    scene("upload_image", '[<<"Again">>, 1, 2, 1, [0.5, 2.0], #{pack => true}]')
    found = scene("download_image", '[<<"Again">>]')
    assert struct.unpack("<8f", raw(found["pixels"])) == (0.5, 0.5, 0.5, 1.0, 2.0, 2.0, 2.0, 1.0)
    assert scene("get_property", '[<<"images">>]') == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("0, 1, 1, <<>>", "width has to be at least 1, not 0"),
        ("2, 2, 2, <<1, 2, 3, 4, 5, 6, 7, 8>>", "an image has 1, 3 or 4 channels, not 2"),
        ("2, 2, 1, <<1, 2, 3>>", "pixels has 3 bytes, which is not a multiple of 4 (float32)"),
        ("2, 2, 1, <<1:64>>", "pixels has 2 float32 numbers, but 2x2 pixels of 1 channels need 4"),
    ],
)
def test_what_is_no_image_is_refused(scene: Scene, arguments: str, said: str) -> None:
    before = scene("get_property", '[<<"images">>]')
    assert refusal(scene, "upload_image", f'[<<"Refused">>, {arguments}]') == said
    assert scene("get_property", '[<<"images">>]') == before


def test_images_that_are_not_there(scene: Scene) -> None:
    assert refusal(scene, "download_image", '[<<"Nothing">>]').startswith("no image named 'Nothing'; there are: ")
    scene("upload_image", '[<<"There">>, 1, 1, 1, [1.0]]')
    said = refusal(scene, "download_image", '[<<"There">>, #{type => float64}]')
    assert said == "the type of pixels must be uint8 or float32, not 'float64'"


def test_a_curve_goes_and_comes_back(scene: Scene) -> None:
    scene("create_cube", '[<<"Driven">>]')
    frames, values = [1.0, 2.0, 4.5, 10.0], [0.0, 5.0, -1.0, 2.0]
    curve = f'<<"Driven">>, location, 1, {binary(floats(frames))}, {binary(floats(values))}'
    assert scene("set_fcurve", f"[{curve}]") == 4
    found = scene("get_fcurve", '[<<"Driven">>, location, 1]')
    assert (raw(found["frames"]), raw(found["values"])) == (floats(frames), floats(values))
    assert scene("set_frame", "[10]") == 10
    assert scene("get_property", '[<<"objects[\\"Driven\\"].location">>]') == [0.0, 2.0, 0.0]
    # In any order, in place of those that it had.
    assert scene("set_fcurve", '[<<"Driven">>, location, 1, [11, 1], [10.0, 0.0]]') == 2
    found = scene("get_fcurve", '[<<"Driven">>, location, 1, #{lists => true}]')
    assert found == {"frames": [1.0, 11.0], "values": [0.0, 10.0]}
    scene("set_frame", "[6]")
    assert scene("get_property", '[<<"objects[\\"Driven\\"].location">>]') == pytest.approx([0.0, 5.0, 0.0])


@pytest.mark.parametrize(("interpolation", "height"), [("constant", 0.0), ("linear", 2.5), ("bezier", 1.5625)])
def test_interpolation(scene: Scene, interpolation: str, height: float) -> None:
    scene("create_cube", f'[<<"By {interpolation}">>]')
    curve = f'<<"By {interpolation}">>, location, 2, [1, 21], [0.0, 10.0]'
    scene("set_fcurve", f"[{curve}, #{{interpolation => {interpolation}}}]")
    scene("set_frame", "[6]")
    location = scene("get_property", f'[<<"objects[\\"By {interpolation}\\"].location">>]')
    assert location[2] == pytest.approx(height, abs=0.05)


@pytest.mark.parametrize("path", ["data.energy", '[\\"some \\\\\\"name\\"]'])
def test_curves_of_other_properties(scene: Scene, path: str) -> None:
    if path.startswith("["):
        scene("set_property", f'[<<"objects[\\"Light\\"]{path}">>, 1.0]')
    assert scene("set_fcurve", f'[<<"Light">>, <<"{path}">>, 0, [1, 5], [10.0, 50.0]]') == 2
    found = scene("get_fcurve", f'[<<"Light">>, <<"{path}">>, 0, #{{lists => true}}]')
    assert found == {"frames": [1.0, 5.0], "values": [10.0, 50.0]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nothing, 0, [1], [2]", "no property at 'nothing'"),
        ("location, 3, [1], [2]", "'location' cannot be animated at index 3: "),
        ("name, 0, [1], [2]", "'name' cannot be animated at index 0: "),
        ('<<"location[1]">>, 0, [1], [2]', "'location[1]' is one number of a property: name the property, and pass"),
        ("location, 0, [1, 2], [2]", "there are 2 frames and 1 values, and each frame needs a value"),
        ("location, 0, [], []", "a curve needs at least one keyframe"),
        ("location, 0, <<0, 0, 192, 127>>, [1]", "frames and values must be finite numbers"),
        ("location, 0, [1], [1], #{interpolation => curly}", "no interpolation 'curly'; there are: back, "),
    ],
)
def test_what_is_no_curve_is_refused(scene: Scene, arguments: str, said: str) -> None:
    assert refusal(scene, "set_fcurve", f'[<<"Camera">>, {arguments}]').startswith(said)


def test_curves_that_are_not_there(scene: Scene) -> None:
    said = refusal(scene, "get_fcurve", '[<<"Camera">>, scale, 0]')
    assert said == "'scale' of 'Camera' has no keyframes at index 0"


def test_the_elixir_example(scene_node: tuple[str, Environment]) -> None:
    node, environment = scene_node
    command = [program("elixir"), str(EXAMPLES / "mesh_million.exs"), node, "20"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "441 vertices, 400 faces, 0.0 MB" in result.stdout
    assert "The downloaded mesh equals the uploaded mesh, byte for byte." in result.stdout
