"""The handlers for meshes, images and curves: what they refuse, what they keep, and the names that Blender stores."""

from collections.abc import Callable
from typing import Any

import addon
import bpy
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("scene_handlers")

LONGEST_NAME = bpy.types.ID.bl_rna.properties["name"].length_max - 1
SQUARE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
NAN, INFINITE = float("nan"), float("inf")


def handler(name: str) -> Callable[..., Any]:
    """A handler of the installed extension."""
    found: Callable[..., Any] = next(each for each in addon.scene_handlers.ALL if each.__name__ == name)
    return found


def upload(name: Any, mesh: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Call upload_mesh."""
    made: dict[str, Any] = handler("upload_mesh")(name, mesh, options)
    return made


def download(name: str, **options: Any) -> dict[str, Any]:
    """Call download_mesh for lists."""
    found = handler("download_mesh")(name, {"lists": True, **options})
    return {part: value.tolist() if isinstance(value, np.ndarray) else value for part, value in found.items()}


def packed(name: str) -> dict[str, Any]:
    """Call download_mesh for binaries."""
    found: dict[str, Any] = handler("download_mesh")(name)
    return found


def cube() -> Any:
    """The cube of the default scene."""
    return bpy.data.objects["Cube"]


# Faces and edges that are not valid

FAULTY = [
    ({"triangles": [[0, 0, 1], [0, 1, 2]]}, "face 0 uses a vertex more than once", [[0, 1, 2]]),
    ({"triangles": [[0, 1, 2], [2, 3, 2]]}, "face 1 uses a vertex more than once", [[0, 1, 2]]),
    ({"quads": [[0, 1, 2, 3], [0, 1, 0, 2]]}, "face 1 uses a vertex more than once", [[0, 1, 2, 3]]),
    ({"quads": [[0, 1, 2, 3], [0, 1, 2, 3]]}, "face 1 has the same vertices as an earlier face", [[0, 1, 2, 3]]),
    ({"quads": [[0, 1, 2, 3], [3, 1, 2, 0]]}, "face 1 has the same vertices as an earlier face", [[0, 1, 2, 3]]),
    ({"triangles": [[0, 1, 2], [2, 1, 0], [0, 2, 3]]}, "face 1 has the same vertices", [[0, 1, 2], [0, 2, 3]]),
    (
        {"loop_vertices": [0, 1, 2, 3, 3, 0, 1, 2, 1], "face_sizes": [5, 4]},
        "face 0 uses a vertex more than once, and so do 1 others",
        [],
    ),
    ({"edges": [[0, 1], [2, 2]]}, "edge 1 uses a vertex more than once", []),
    ({"edges": [[0, 1], [1, 0]]}, "edge 1 has the same vertices as an earlier edge", []),
]


@pytest.mark.parametrize(("parts", "said", "left"), FAULTY)
def test_faulty_faces_and_edges_are_refused_or_dropped(parts: dict[str, Any], said: str, left: Any) -> None:
    for name in ("New", "Cube"):
        with pytest.raises(ValueError, match=said):
            upload(name, {"vertices": SQUARE, **parts})
    assert "New" not in bpy.data.objects
    assert len(cube().data.vertices) == 8
    made = upload("Cube", {"vertices": SQUARE, **parts}, validate=True)
    assert made["mended"] is True
    assert [list(face.vertices) for face in cube().data.polygons] == left
    assert cube().data.validate() is False


def test_what_is_left_after_dropping_keeps_its_values() -> None:
    faces = {"triangles": [[0, 0, 1], [0, 1, 2], [2, 3, 0]], "edges": [[1, 1], [1, 3]]}
    layers = {
        "face": {"domain": "face", "type": "int", "values": [7, 8, 9]},
        "corner": {"domain": "corner", "type": "int", "values": list(range(9))},
        "edge": {"domain": "edge", "type": "int", "values": [5, 6]},
        "text": {"domain": "face", "type": "string", "values": ["a", "b", "c"]},
    }
    uvs = [[n, n] for n in range(9)]
    upload("New", {"vertices": SQUARE, "attributes": layers, "uvs": uvs, **faces}, validate=True)
    found = download("New")
    assert found["uvs"] == [n for n in range(3, 9) for _ in range(2)]
    values = {name: list(layer["values"]) for name, layer in found["attributes"].items()}
    assert values == {
        "face": [8, 9],
        "corner": [3, 4, 5, 6, 7, 8],
        "edge": [6, 0, 0, 0, 0, 0],
        "text": [b"b", b"c"],
    }
    assert found["edges"][:2] == [1, 3]


@pytest.mark.parametrize("wrong", [NAN, INFINITE, -INFINITE])
def test_positions_that_are_not_finite(wrong: float) -> None:
    with pytest.raises(ValueError, match="the position of vertex 2 is infinite or nan"):
        upload("New", {"vertices": [0.0] * 7 + [wrong, 0.0]})
    with pytest.raises(ValueError, match="the position of vertex 7 is infinite or nan"):
        handler("move_vertices")("Cube", [0.0] * 23 + [wrong])
    assert upload("New", {"vertices": [1.0] * 7 + [wrong, 1.0]}, validate=True)["mended"] is True
    assert download("New")["vertices"] == [1.0] * 7 + [0.0, 1.0]


@pytest.mark.parametrize("faces", [[[0, 1, 2, 3]], [[0, 1, 2, 3], [1, 0, 4, 5]]])
def test_a_mesh_that_was_accepted_can_be_subdivided(faces: list[list[int]]) -> None:
    upload("Cube", {"vertices": [*SQUARE, [0, -1, 0], [1, -1, 0]], "quads": faces})
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert len(cube().data.polygons) == 4 * len(faces)


# What an object keeps


def with_vertex_data() -> None:
    """Give the cube a vertex group and two shape keys."""
    cube().vertex_groups.new(name="Group").add([1, 2], 0.25, "REPLACE")
    cube().shape_key_add(name="Basis")
    cube().shape_key_add(name="Key").data[0].co.x = 7.0
    cube().data.shape_keys.key_blocks["Key"].value = 0.5


def vertex_data() -> dict[str, Any]:
    """The weights and the shape keys of the cube."""
    mesh = cube().data
    return {
        "groups": cube().vertex_groups.keys(),
        "weights": [[(each.group, each.weight) for each in vertex.groups] for vertex in mesh.vertices],
        "keys": mesh.shape_keys and {key.name: (key.value, key.data[0].co.x) for key in mesh.shape_keys.key_blocks},
    }


def test_weights_and_shape_keys_stay_if_the_number_of_vertices_stays() -> None:
    with_vertex_data()
    before = vertex_data()
    mesh = download("Cube")
    moved = [number + 1 for number in mesh["vertices"]]
    upload("Cube", {"vertices": mesh["vertices"], "triangles": [[0, 1, 2]]})
    assert vertex_data() == before
    # The key keeps its distance from the basis.
    upload("Cube", {"vertices": moved})
    assert vertex_data()["keys"] == {"Basis": (0.0 if bpy.app.version < (5, 0, 0) else 1.0, 2.0), "Key": (0.5, 8.0)}
    handler("move_vertices")("Cube", mesh["vertices"])
    assert vertex_data() == before


def test_weights_and_shape_keys_are_not_lost_without_a_word() -> None:
    with_vertex_data()
    before = vertex_data()
    said = r"would lose its vertex weights and its shape keys \(it has 8 vertices, and the new mesh 4\)"
    with pytest.raises(ValueError, match=said):
        upload("Cube", {"vertices": SQUARE})
    assert vertex_data() == before
    upload("Cube", {"vertices": SQUARE}, discard=True)
    assert vertex_data() == {"groups": ["Group"], "weights": [[]] * 4, "keys": None}


def test_weights_and_shape_keys_of_the_mesh_replace_those_of_the_object() -> None:
    with_vertex_data()
    groups = [{"name": "Other", "vertices": [3], "weights": [0.5], "lock_weight": True}, {"name": "Empty"}]
    keys = [
        {"name": "Basis", "vertices": SQUARE},
        {"name": "Up", "vertices": SQUARE, "relative_key": "Basis", "value": 1},
    ]
    upload("Cube", {"vertices": SQUARE, "vertex_groups": groups, "shape_keys": keys})
    found = vertex_data()
    assert (found["groups"], found["weights"]) == (["Other", "Empty"], [[], [], [], [(0, 0.5)]])
    assert list(found["keys"]) == ["Basis", "Up"]


def test_details_of_a_multiresolution_modifier_are_not_lost_without_a_word() -> None:
    cube().modifiers.new("Multires", "MULTIRES")
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.multires_subdivide(modifier="Multires")
    mesh = download("Cube")
    with pytest.raises(ValueError, match="would lose its details of the Multiresolution modifier"):
        upload("Cube", mesh)
    assert upload("Cube", mesh, discard=True)["vertices"] == 8


def test_materials_are_found_by_name_or_created() -> None:
    material = bpy.data.materials["Material"]
    upload("New", {"vertices": SQUARE, "materials": ["Material", None, "Created"]})
    assert [each and each.name for each in bpy.data.objects["New"].data.materials] == ["Material", None, "Created"]
    upload("New", {"vertices": SQUARE, "materials": ["Created"]})
    upload("New", {"vertices": SQUARE})
    assert [each.name for each in bpy.data.objects["New"].data.materials] == ["Created"]
    assert material.users == 1


def test_edges_that_are_given_come_first() -> None:
    attributes = {"crease_edge": {"domain": "edge", "type": "float", "values": [0.5, 0.25]}}
    upload("New", {"vertices": SQUARE, "triangles": [0, 1, 2], "edges": [[3, 0], [2, 1]], "attributes": attributes})
    mesh = bpy.data.objects["New"].data
    assert [tuple(edge.vertices) for edge in mesh.edges] == [(3, 0), (2, 1), (0, 1), (2, 0)]
    assert [edge.is_loose for edge in mesh.edges] == [True, False, False, False]
    assert [each.value for each in mesh.attributes["crease_edge"].data] == [0.5, 0.25, 0.0, 0.0]
    assert mesh.validate() is False


def test_normals_point_where_they_are_told() -> None:
    normals = [[0.0, 0.6, 0.8]] * 3
    upload("New", {"vertices": SQUARE, "triangles": [0, 1, 2], "normals": normals})
    mesh = bpy.data.objects["New"].data
    assert [pytest.approx(list(each.vector), abs=1e-4) for each in mesh.corner_normals] == normals


# Modes

MODES = ["EDIT", "SCULPT", "VERTEX_PAINT", "WEIGHT_PAINT", "TEXTURE_PAINT"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shared", [False, True])
def test_a_mesh_in_use_by_a_mode_is_not_replaced(mode: str, shared: bool) -> None:
    name = "Cube"
    if shared:
        other = bpy.data.objects.new("Other", cube().data)
        bpy.context.scene.collection.objects.link(other)
        name = "Other"
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.mode_set(mode=mode)
    mesh = packed(name)
    for call in (lambda: upload(name, mesh), lambda: handler("move_vertices")(name, mesh["vertices"])):
        with pytest.raises(ValueError, match=r"the object 'Cube' is in .*: switch to Object Mode first"):
            call()
    assert packed(name) == mesh
    bpy.ops.object.mode_set(mode="OBJECT")
    assert upload(name, mesh)["name"] == name


def test_a_download_has_the_changes_of_edit_mode() -> None:
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Other", cube().data))
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.subdivide()
    meshes = len(bpy.data.meshes)
    for name in ("Cube", "Other"):
        assert len(download(name)["vertices"]) == len(download(name, evaluated=True)["vertices"]) == 3 * 26
    assert len(bpy.data.meshes) == meshes
    bpy.ops.object.mode_set(mode="OBJECT")


# Names

LONG_NAMES = [
    "a" * 300,
    "é" * 200,
    "日" * 100,
    "🙂" * 90,
    *("a" * (LONGEST_NAME - place) + "🙂" for place in range(5)),
    *("a" * (LONGEST_NAME - place) + "日" for place in range(4)),
]


def datablocks() -> dict[str, int]:
    """The numbers of datablocks that the uploads create."""
    return {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "images")}


@pytest.mark.parametrize("name", LONG_NAMES)
def test_each_upload_finds_the_name_that_blender_stores(name: str) -> None:
    made = upload(name.encode(), {"vertices": SQUARE})["name"]
    image = handler("upload_image")(name, 1, 1, 1, b"\1")
    assert made == image
    assert name.startswith(made)
    assert LONGEST_NAME - 4 < len(made.encode()) <= LONGEST_NAME or made == name
    before = datablocks()
    assert upload(name, {"vertices": SQUARE[:3]})["name"] == made
    assert handler("upload_image")(name, 2, 1, 1, b"\1\2") == made
    assert handler("upload_image")(made, 2, 1, 1, b"\3\4") == made
    assert datablocks() == before
    assert len(download(name)["vertices"]) == 9
    assert handler("download_image")(name)["width"] == 2
    assert handler("move_vertices")(name, SQUARE[:3]) == 3


@pytest.mark.parametrize("name", ["", b"", "a\0b", "\udc80", b"\xff", 5, None, [77], ["M"]])
def test_what_is_no_name(name: Any) -> None:
    before = datablocks()
    for call in (
        lambda: upload(name, {"vertices": SQUARE}),
        lambda: handler("upload_image")(name, 1, 1, 1, b"\1"),
        lambda: upload("New", {"vertices": SQUARE, "materials": [name or ""]}),
        lambda: upload("New", {"vertices": SQUARE, "vertex_groups": [{"name": name}]}),
        lambda: upload("New", {"vertices": SQUARE, "shape_keys": [{"name": name, "vertices": SQUARE}]}),
    ):
        with pytest.raises(ValueError, match="name"):
            call()
    assert datablocks() == before


# Other arguments that are refused

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"edges": [0, 4]}, "an edge uses vertex 4, but there are 4 vertices"),
    ({"edges": [0, -1]}, "an edge uses vertex -1"),
    ({"edges": [0, 1, 2]}, "edges has 3 numbers, which is not a multiple of 2"),
    ({"normals": [0, 0, 1]}, "normals has 3 numbers, but needs 3 for each of 0 corners"),
    ({"triangles": [0, 1, 2], "normals": [NAN] * 9}, "normals contains a number that is infinite or nan"),
    ({"order": ["a"]}, "order names the attribute 'a'"),
    ({"order": "a"}, "order has to be a list"),
    ({"active": {"uv_map": "a"}}, "the active uv_map is 'a', but of this kind there are: none"),
    ({"active": {"color": "a"}}, "the active color is 'a'"),
    ({"active": {"layer": "a"}}, "no active layer 'layer'"),
    ({"materials": "Material"}, "materials has to be a list of names"),
    ({"vertex_groups": {}}, "vertex_groups has to be a list of maps"),
    ({"vertex_groups": [{}]}, "a vertex group needs a name"),
    ({"vertex_groups": [{"name": "a", "vertices": [0]}]}, "'a' has 1 vertices and 0 weights"),
    ({"vertex_groups": [{"name": "a", "vertices": [4], "weights": [1]}]}, "contains a vertex that does not exist"),
    ({"vertex_groups": [{"name": "a", "vertices": [-1], "weights": [1]}]}, "contains a vertex that does not exist"),
    ({"vertex_groups": [{"name": "a", "vertices": [0], "weights": [1.5]}]}, "a weight that is not between 0 and 1"),
    ({"vertex_groups": [{"name": "a", "vertices": [0], "weights": [NAN]}]}, "a weight that is not between 0 and 1"),
    ({"vertex_groups": [{"name": "a"}, {"name": "a"}]}, "two vertex groups with the name 'a'"),
    ({"shape_keys": [{"name": "a"}]}, "the shape key 'a' has 0 numbers, but needs 3 for each of 4 points"),
    ({"shape_keys": [{"name": "a", "vertices": [NAN] * 12}]}, "a position that is infinite or nan"),
    ({"shape_keys": [{"name": "a", "vertices": SQUARE, "relative_key": "b"}]}, "relative to 'b', which is not in"),
    (
        {"shape_keys": [{"name": "a", "vertices": SQUARE, "value": "b"}]},
        "value of the shape key 'a' has to be a number",
    ),
    (
        {"attributes": {"a": {"domain": "point", "type": "string", "values": ["b"]}}},
        "has 1 numbers, but needs 1 for each of 4 points",
    ),
    (
        {"attributes": {"a": {"domain": "point", "type": "string", "values": [1, 2, 3, 4]}}},
        "have to be binaries, not int",
    ),
    (
        {"attributes": {"a": {"domain": "point", "type": "string", "values": ["b" * 256] * 4}}},
        "has more than 255 bytes",
    ),
    (
        {"uvs": [], "attributes": {"UVMap": {"domain": "corner", "type": "float2", "values": []}}},
        "Blender accepts no attribute 'UVMap'",
    ),
    ({"attributes": {"a" * 300: {"domain": "face", "type": "int", "values": []}}}, "Blender accepts no attribute"),
]


@pytest.mark.parametrize(("parts", "said"), REFUSED)
def test_what_is_no_part_of_a_mesh(parts: dict[str, Any], said: str) -> None:
    before = datablocks()
    mesh = packed("Cube")
    for name in ("New", "Cube"):
        with pytest.raises(ValueError, match=said):
            upload(name, {"vertices": SQUARE, **parts})
    assert datablocks() == before
    assert packed("Cube") == mesh


@pytest.mark.parametrize("options", [{"validate": 1}, {"validate": None}, {"discard": "yes"}, {"valid": True}])
def test_what_is_no_option(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has to be true or false|no option"):
        upload("New", {"vertices": SQUARE}, **options)
    assert "New" not in bpy.data.objects


# Images


def test_an_image_of_another_size_keeps_its_settings_and_its_users() -> None:
    handler("upload_image")("Data", 1, 1, 4, bytes(4), {"color_space": "Non-Color", "alpha_mode": "channel_packed"})
    texture = bpy.data.textures.new("Texture", "IMAGE")
    texture.image = bpy.data.images["Data"]
    texture.image.use_fake_user = True
    for pixels in (bytes(8), np.zeros(8, np.float32).tobytes(), bytes(8)):
        handler("upload_image")("Data", 2, 1, 4, pixels)
        found = handler("download_image")("Data")
        assert (found["width"], found["color_space"], found["alpha_mode"]) == (2, "Non-Color", "channel_packed")
        assert (texture.image.name, texture.image.use_fake_user) == ("Data", True)


def test_an_image_that_blender_renders_is_not_replaced() -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.render.resolution_percentage = "CYCLES", 1, 1
    scene.cycles.use_denoising = False
    bpy.ops.render.render()
    name = next(image.name for image in bpy.data.images if image.type == "RENDER_RESULT")
    before = datablocks()
    with pytest.raises(ValueError, match="Blender renders the image 'Render Result' itself"):
        handler("upload_image")(name, 1, 1, 4, bytes(4))
    assert datablocks() == before


# Curves

CURVES: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (("location", 3), {}, "cannot be animated at index 3"),
    (("location", -1), {}, "index has to be at least 0"),
    (("location", 0.5), {}, "index has to be an integer"),
    (("name", 0), {}, "cannot be animated at index 0"),
    (("data.lens", 1), {}, "cannot be animated at index 1"),
    (("location", 0), {"interpolation": ["bezier"]}, "interpolation has 1 words, but there are 2 keyframes"),
    (("location", 0), {"easing": "slow"}, "no easing 'slow'"),
    (("location", 0), {"handle_left": [1.0, 2.0]}, "handle_left has 2 numbers, but needs 2 for each of 2 keyframes"),
    (("location", 0), {"back": [NAN, 1.0]}, "back contains a number that is infinite or nan"),
    (("location", 0), {"extrapolation": "far"}, "no extrapolation 'far'"),
]


@pytest.mark.parametrize(("target", "options", "said"), CURVES)
def test_a_curve_that_is_refused_leaves_no_action(target: tuple[Any, ...], options: dict[str, Any], said: str) -> None:
    camera = bpy.data.objects["Camera"]
    before = len(bpy.data.actions)
    with pytest.raises(ValueError, match=said):
        handler("set_fcurve")("Camera", *target, [1.0, 2.0], [0.0, 1.0], options)
    assert len(bpy.data.actions) == before
    assert (camera.animation_data, camera.data.animation_data) == (None, None)


def test_keyframes_in_any_order_keep_their_handles() -> None:
    options = {
        "interpolation": ["bezier", "constant", "sine"],
        "handle_left_type": "free",
        "handle_right_type": "free",
        "handle_left": [2.5, 30.0, 0.5, 10.0, 1.5, 20.0],
        "handle_right": [3.5, 30.0, 1.5, 10.0, 2.5, 20.0],
    }
    handler("set_fcurve")("Camera", "location", 1, [3, 1, 2], [3.0, 1.0, 2.0], options)
    found = handler("get_fcurve")("Camera", "location", 1, {"lists": True})
    assert found["frames"].tolist() == [1.0, 2.0, 3.0]
    assert found["interpolation"] == ["constant", "sine", "bezier"]
    assert found["handle_left"].tolist() == [0.5, 10.0, 1.5, 20.0, 2.5, 30.0]
    assert (found["handle_left_type"], found["handle_right_type"]) == ("free", "free")
