"""Round trips: a result that is sent back through the counterpart gives the same result again, for random content.

The tests make the content with Blender's own functions, send it through the codec, and compare what Blender has then.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import in_blender
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_bpy import ErlangVariantDecoder, ErlangVariantEncoder

bounded = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

pytestmark = pytest.mark.usefixtures("scene_handlers")

LONGEST_GROUP = 63
LONGEST_DATABLOCK = bpy.types.ID.bl_rna.properties["name"].length_max - 1

TYPES = [each.identifier for each in bpy.types.Attribute.bl_rna.properties["data_type"].enum_items]
DOMAINS = ["POINT", "EDGE", "FACE", "CORNER"]
KEY_SETTINGS = ["name", "slider_min", "slider_max", "value", "mute", "vertex_group"]
COLORS = ["BYTE_COLOR", "FLOAT_COLOR"]


def handlers(name: str) -> Any:
    """A module of the installed extension."""
    return sys.modules[f"{in_blender.SCENE_HANDLERS}.{name}"]


def travelled(value: Any, **options: Any) -> Any:
    """A value after its way to the BEAM and back. By default it arrives as at the handlers for large data."""
    form = options or {"binaries": memoryview, "arrays": True}
    return ErlangVariantDecoder(**form).decode(ErlangVariantEncoder().encode(value))


def sent(value: Any) -> Any:
    """A value after its way to the BEAM and back, as it arrives at the other handlers."""
    return travelled(value, binaries=str)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Removes all datablocks of an example."""
    try:
        yield
    finally:
        for kind in ("objects", "meshes", "lights", "images", "materials", "actions"):
            collection = getattr(bpy.data, kind)
            bpy.data.batch_remove(list(collection))


# Names


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@st.composite
def names(draw: st.DrawFn, longest: int) -> str:
    """A name that Blender stores as it is; often one of the greatest length."""
    text = draw(st.text(letters, min_size=1, max_size=20))
    if draw(st.booleans()):
        text *= longest
    return text.encode()[:longest].decode(errors="ignore") or "x"


# Meshes


def random_values(rng: "np.random.Generator", type_: str, count: int) -> tuple[str, Any]:
    """The name of the property for `foreach_set`, and random values."""
    widths = {"FLOAT2": 2, "FLOAT_VECTOR": 3, "FLOAT_COLOR": 4, "BYTE_COLOR": 4, "QUATERNION": 4, "FLOAT4X4": 16}
    if type_ in widths or type_ == "FLOAT":
        name = {1: "value", 2: "vector", 3: "vector", 4: "color"}.get(widths.get(type_, 1), "value")
        values = rng.random(count * widths.get(type_, 1), np.float32)
        return ("value" if type_ == "QUATERNION" else name), values
    if type_ == "BOOLEAN":
        return "value", rng.random(count) < 0.5
    bits, width = {"INT": (32, 1), "INT8": (8, 1), "INT16_2D": (16, 2), "INT32_2D": (32, 2)}[type_]
    return "value", rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), count * width).astype(f"i{bits // 8}")


def add_layer(mesh: Any, rng: "np.random.Generator", name: str, type_: str, domain: str) -> None:
    """Add an attribute with random values, if Blender accepts it."""
    layer = None if _is_topology_or_selection(name) else mesh.attributes.new(name, type_, domain)
    if layer is None:
        return
    layer = mesh.attributes[layer.name]
    if type_ == "STRING":
        for element in layer.data:
            element.value = bytes(rng.integers(1, 256, rng.integers(0, 5)).tolist())
    elif len(layer.data):
        layer.data.foreach_set(*random_values(rng, type_, len(layer.data)))


layers = st.tuples(names(40), st.sampled_from(TYPES), st.sampled_from(DOMAINS))
builtin_layers = st.sampled_from(
    [
        ("sharp_edge", "BOOLEAN", "EDGE"),
        ("crease_edge", "FLOAT", "EDGE"),
        ("bevel_weight_vert", "FLOAT", "POINT"),
        ("sharp_face", "BOOLEAN", "FACE"),
        ("uv_seam" if bpy.app.version >= (4, 5, 0) else ".uv_seam", "BOOLEAN", "EDGE"),
        (".hide_poly", "BOOLEAN", "FACE"),
        (".sculpt_mask", "FLOAT", "POINT"),
    ]
)
uv_maps = names(40).map(lambda name: (name, "FLOAT2", "CORNER"))
colors = st.tuples(names(40), st.sampled_from(COLORS), st.sampled_from(["POINT", "CORNER"]))


@st.composite
def meshes(draw: st.DrawFn) -> Any:
    """An object with a random mesh: faces of several sizes, loose edges and vertices, layers, weights, shape keys."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 9))
    mesh = bpy.data.meshes.new(draw(names(LONGEST_DATABLOCK)))
    found = bpy.data.objects.new(draw(names(LONGEST_DATABLOCK)), mesh)
    bpy.context.scene.collection.objects.link(found)
    scale = draw(st.sampled_from([1.0, 1e-30, 1e20]))
    positions = rng.normal(size=(count, 3)).astype("f4") * np.float32(scale)
    mesh.from_pydata(positions, _edges(draw, count), _faces(draw, count))
    for _ in range(draw(st.integers(0, 2))):
        mesh.materials.append(draw(st.sampled_from([None, bpy.data.materials.new(draw(names(LONGEST_DATABLOCK)))])))
    mesh.polygons.foreach_set("material_index", rng.integers(0, 2, len(mesh.polygons)).astype("i4"))
    for layer in draw(st.lists(st.one_of(layers, builtin_layers, uv_maps, colors), max_size=7)):
        add_layer(mesh, rng, *layer)
    _choose_active(draw, mesh)
    # Blender computes no normals for faces that are too small or too large, so it cannot store custom ones there.
    if draw(st.booleans()) and len(mesh.polygons) and scale == 1.0:
        mesh.normals_split_custom_set(rng.normal(size=(len(mesh.loops), 3)))
    _add_groups(draw, rng, found)
    _add_keys(draw, rng, found)
    return found


def _faces(draw: st.DrawFn, count: int) -> list[list[int]]:
    if count < 3:
        return []
    face = st.tuples(st.permutations(range(count)), st.integers(3, min(count, 6))).map(lambda pair: pair[0][: pair[1]])
    return draw(st.lists(face, max_size=5, unique_by=frozenset))


def _edges(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    if count < 2:
        return []
    edge = st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)
    return draw(st.lists(edge, max_size=3, unique_by=frozenset))


def _choose_active(draw: st.DrawFn, mesh: Any) -> None:
    if len(mesh.uv_layers):
        mesh.uv_layers.active_index = draw(st.integers(0, len(mesh.uv_layers) - 1))
        mesh.uv_layers[draw(st.integers(0, len(mesh.uv_layers) - 1))].active_render = True
    found = [layer.name for layer in mesh.color_attributes]
    if found:
        mesh.attributes.active_color_name = draw(st.sampled_from(["", *found]))
        mesh.attributes.default_color_name = draw(st.sampled_from(found))


def _add_groups(draw: st.DrawFn, rng: "np.random.Generator", found: Any) -> None:
    for name in draw(st.lists(names(LONGEST_GROUP), max_size=3)):
        group = found.vertex_groups.new(name=name)
        group.lock_weight = draw(st.booleans())
        for vertex in range(len(found.data.vertices)):
            if rng.random() < 0.5:
                group.add([vertex], rng.choice([0.0, 1.0, rng.random()]), "REPLACE")


def _add_keys(draw: st.DrawFn, rng: "np.random.Generator", found: Any) -> None:
    for name in draw(st.lists(names(LONGEST_GROUP), max_size=3)):
        key = found.shape_key_add(name=name, from_mix=False)
        key.data.foreach_set("co", rng.normal(size=3 * len(found.data.vertices)).astype("f4"))
        key.slider_min, key.slider_max, key.value = -1.5, 2.0, float(rng.normal())
        key.mute = draw(st.booleans())
        key.vertex_group = draw(names(LONGEST_GROUP))
        key.relative_key = draw(st.sampled_from(list(found.data.shape_keys.key_blocks)))


def content(found: Any) -> dict[str, Any]:
    """All that Blender has about a mesh object, but for its name, its selection and its custom normals."""
    mesh = found.data
    return {
        "vertices": [tuple(vertex.co) for vertex in mesh.vertices],
        "layers": [_layer(layer) for layer in mesh.attributes if not _is_topology_or_selection(layer.name)],
        "edges": _edges_of(mesh),
        "faces": [tuple(face.vertices) for face in mesh.polygons],
        "active": [
            [(layer.name, layer.active, layer.active_render) for layer in mesh.uv_layers],
            [
                name if name in mesh.color_attributes else ""
                for name in (mesh.attributes.active_color_name, mesh.attributes.default_color_name)
            ],
        ],
        "materials": [each and each.name for each in mesh.materials],
        "groups": [(group.name, group.lock_weight) for group in found.vertex_groups],
        "weights": [{each.group: each.weight for each in vertex.groups} for vertex in mesh.vertices],
        "keys": [
            [
                [tuple(each.co) for each in key.data],
                key.relative_key.name,
                *(getattr(key, name) for name in KEY_SETTINGS),
            ]
            for key in (mesh.shape_keys.key_blocks if mesh.shape_keys else ())
        ],
    }


def _edges_of(mesh: Any) -> list[tuple[int, ...]]:
    """The edges, in order if the order matters: if an edge has data of its own, or belongs to no face."""
    edges = [tuple(edge.vertices) for edge in mesh.edges]
    data = [name for name, layer in mesh.attributes.items() if layer.domain == "EDGE"]
    if any(edge.is_loose for edge in mesh.edges) or any(not _is_topology_or_selection(name) for name in data):
        return edges
    return sorted(tuple(sorted(edge)) for edge in edges)


def _is_topology_or_selection(name: str) -> bool:
    topology = ("position", ".edge_verts", ".corner_vert", ".corner_edge")
    return name in topology or name.startswith((".select_", ".uv_select_", ".vs.", ".es."))


def _layer(layer: Any) -> tuple[Any, ...]:
    if layer.data_type == "STRING":
        return layer.name, layer.data_type, layer.domain, [element.value for element in layer.data]
    property_name = "color" if layer.data_type in COLORS else "value"
    property_name = "vector" if layer.data_type in ("FLOAT2", "FLOAT_VECTOR") else property_name
    values = [getattr(element, property_name) for element in layer.data]
    return layer.name, layer.data_type, layer.domain, [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if hasattr(value, "__len__") else value


def normals(found: Any) -> "np.ndarray[Any, Any]":
    """The normals of all corners."""
    values = np.zeros(3 * len(found.data.loops), np.float32)
    found.data.corner_normals.foreach_get("vector", values)
    return values


@bounded
@given(st.data())
def test_any_mesh_gives_the_same_mesh_again(data: st.DataObject) -> None:
    geometry = handlers("meshes.geometry")
    with nothing_left():
        found = data.draw(meshes())
        before, shape = content(found), normals(found)
        # Blender before 4.5 has no custom normals as numbers, only the vectors that it computes from them.
        inexact = {"normals"} if found.data.has_custom_normals and bpy.app.version < (4, 5, 0) else set()
        mesh = geometry.download_mesh(found.name)
        for name in ("another object", found.name):
            made = geometry.upload_mesh(travelled(name.encode()), travelled(mesh))
            assert content(bpy.data.objects[made["name"]]) == before
            assert normals(bpy.data.objects[made["name"]]) == pytest.approx(shape, abs=1e-3, nan_ok=True)
            again = geometry.download_mesh(made["name"])
            assert {part: again[part] for part in again.keys() - inexact} == {
                part: mesh[part] for part in mesh.keys() - inexact
            }
        assert found.name == made["name"]


vertex_indices = st.lists(st.integers(0, 6), min_size=3, max_size=6)


@bounded
@given(st.lists(vertex_indices, max_size=12))
def test_any_faulty_face_is_found(faces: list[list[int]]) -> None:
    corners = np.array([vertex for face in faces for vertex in face], np.int32)
    starts = np.cumsum([0, *map(len, faces)], dtype=np.int32)[:-1]
    faults = handlers("meshes.topology").faulty_faces(corners, starts)
    assert faults.repeating.tolist() == [place for place, face in enumerate(faces) if len(set(face)) < len(face)]
    ordered = [sorted(face) for face in faces]
    assert faults.duplicates.tolist() == [place for place, face in enumerate(ordered) if face in ordered[:place]]


# Images


@st.composite
def images(draw: st.DrawFn) -> Any:
    """An image with random pixels, of bytes or of floats."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, height = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    is_float = draw(st.booleans())
    name = draw(names(LONGEST_DATABLOCK))
    image = bpy.data.images.new(name, width, height, alpha=draw(st.booleans()), float_buffer=is_float)
    if draw(st.booleans()):
        image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = draw(st.sampled_from(["STRAIGHT", "PREMUL", "CHANNEL_PACKED", "NONE"]))
    pixels = rng.normal(size=4 * width * height) * 1000 if is_float else rng.integers(0, 256, 4 * width * height) / 255
    image.pixels.foreach_set(pixels.astype("f4"))
    if draw(st.booleans()):
        image.pack()
    return image


def image_content(image: Any) -> dict[str, Any]:
    """All that a call transfers of an image."""
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    settings = (image.is_float, image.colorspace_settings.name, image.alpha_mode)
    return {"size": tuple(image.size), "pixels": pixels.tolist(), "settings": settings}


@bounded
@given(st.data())
def test_any_image_gives_the_same_image_again(data: st.DataObject) -> None:
    module = handlers("pictures.image")
    with nothing_left():
        found = data.draw(images())
        stored, before = found.name, image_content(found)
        image = module.download_image(stored)
        arguments = [image["width"], image["height"], image["channels"], image["pixels"]]
        options = {option: image[option] for option in ("color_space", "alpha_mode")}
        for name in ("another image", stored):
            made = module.upload_image(travelled(name.encode()), *travelled(arguments), travelled(options))
            assert made == name
            assert image_content(bpy.data.images[made]) == before
            assert module.download_image(made) == image


# Curves


frames = st.lists(st.integers(-1000, 1000), min_size=1, max_size=6, unique=True)
PATHS = [("location", 3), ("rotation_euler", 3), ("hide_render", 1), ('["custom"]', 1), ("data.energy", 1)]


def item_of(owner: Any, name: str) -> st.SearchStrategy[str]:
    """One of the words that a property can have."""
    return st.sampled_from([item.identifier for item in owner.bl_rna.properties[name].enum_items])


@st.composite
def curves(draw: st.DrawFn, first: Any, second: Any) -> tuple[str, int]:
    """The path and index of a property of both objects, of which the first is animated."""
    path, width = draw(st.sampled_from(PATHS))
    index = draw(st.integers(0, width - 1))
    for owner in (first, second):
        owner["custom"] = 1.0
    animated, full_path = handlers("scenes.properties").place(first, path)
    for frame in draw(frames):
        animated.keyframe_insert(full_path, index=index if width > 1 else -1, frame=frame)
    curve = handlers("motion.curves").find_curve(animated, full_path, index)
    for point in curve.keyframe_points:
        point.co.y = draw(st.floats(-1e6, 1e6, width=32))
        for name in ("interpolation", "easing", "handle_left_type", "handle_right_type", "type"):
            setattr(point, name, draw(item_of(bpy.types.Keyframe, name)))
        for name in ("amplitude", "period", "back"):
            setattr(point, name, draw(st.floats(0, 10, width=32)))
        point.handle_left.x -= draw(st.floats(0, 3, width=32))
        point.handle_right.y += draw(st.floats(-3, 3, width=32))
    curve.extrapolation = draw(item_of(bpy.types.FCurve, "extrapolation"))
    curve.auto_smoothing = draw(item_of(bpy.types.FCurve, "auto_smoothing"))
    curve.update()
    return path, index


@bounded
@given(st.data())
def test_any_curve_gives_the_same_curve_again(data: st.DataObject) -> None:
    module = handlers("motion.curves")
    with nothing_left():
        first, second = (bpy.data.objects.new(name, bpy.data.lights.new(name, "AREA")) for name in ("first", "second"))
        path, index = data.draw(curves(first, second))
        curve = module.get_fcurve("first", path, index)
        settings = {part: value for part, value in curve.items() if part not in ("frames", "values")}
        for name in ("second", "first"):
            arguments = travelled([name.encode(), path.encode(), index, curve["frames"], curve["values"], settings])
            assert module.set_fcurve(*arguments) == len(curve["frames"]) // 4
            assert module.get_fcurve(name, path, index) == curve
            for place in data.draw(st.lists(st.floats(-1000, 1000), max_size=3)):
                values = [
                    module.find_curve(
                        *handlers("scenes.properties").place(bpy.data.objects[each], path), index
                    ).evaluate(place)
                    for each in ("first", name)
                ]
                assert values[0] == pytest.approx(values[1], rel=1e-5, abs=1e-5)


# Objects and properties

MODES = [item.identifier for item in bpy.types.Object.bl_rna.properties["rotation_mode"].enum_items]
distances = st.floats(-1e6, 1e6, width=32)
angles = st.floats(-100, 100, width=32)
lengths = st.floats(0.5, 100, width=32)
"""A quaternion or an axis of zeros is no rotation, and `set_transform` refuses it."""


@st.composite
def objects(draw: st.DrawFn, count: int = 2) -> list[str]:
    """The names of objects with the same rotation mode and random transforms; often one is the parent of the other."""
    mode = draw(st.sampled_from(MODES))
    found: list[Any] = []
    for _ in range(count):
        made = bpy.data.objects.new(draw(names(LONGEST_DATABLOCK)), None)
        bpy.context.scene.collection.objects.link(made)
        made.location = draw(st.tuples(distances, distances, distances))
        made.scale = draw(st.tuples(angles, angles, angles))
        made.rotation_mode = mode
        made.rotation_euler = draw(st.tuples(angles, angles, angles))
        made.rotation_quaternion = draw(st.tuples(lengths, angles, angles, angles))
        made.rotation_axis_angle = draw(st.tuples(angles, angles, angles, lengths))
        made.parent = draw(st.sampled_from([None, *found]))
        made.matrix_parent_inverse[0][3] = draw(distances)
        found.append(made)
    return [each.name for each in found]


@bounded
@given(st.data())
def test_any_transform_gives_the_same_transform_again(data: st.DataObject) -> None:
    module = handlers("scenes.objects")
    with nothing_left():
        first, second = data.draw(objects())
        described = module.describe_object(first)
        transform = sent({part: described[part] for part in ("location", "rotation", "scale")})
        assert _same_transform(module.set_transform(first, transform), described)
        assert _same_transform(module.set_transform(second, transform), described)
        assert _same_transform(module.describe_object(second), described)


def _same_transform(one: dict[str, Any], other: dict[str, Any]) -> bool:
    parts = ("location", "rotation", "rotation_mode", "rotation_euler", "scale")
    return all(sent(one[part]) == sent(other[part]) for part in parts)


integers = st.integers(-(2**31), 2**31 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(letters, max_size=20)
keys = names(LONGEST_GROUP)
custom_values = st.recursive(
    integers | floats | texts | st.booleans(),
    lambda values: st.one_of(
        st.lists(integers, max_size=5),
        st.lists(floats, max_size=5),
        st.lists(texts, max_size=5),
        st.dictionaries(keys, values, max_size=3),
    ),
    max_leaves=6,
)


@bounded
@given(st.data())
def test_any_custom_property_gives_the_same_value_again(data: st.DataObject) -> None:
    module = handlers("scenes.properties")
    with nothing_left():
        objects_with_it = [bpy.data.objects.new(data.draw(names(LONGEST_DATABLOCK)), None) for _ in range(2)]
        key, value = data.draw(keys), data.draw(custom_values)
        first, second = (
            f'objects["{bpy.utils.escape_identifier(each.name)}"]["{bpy.utils.escape_identifier(key)}"]'
            for each in objects_with_it
        )
        objects_with_it[0][key] = value
        found = module.get_property(first)
        for path in (second, first):
            assert module.set_property(path, sent(found)) == found
            assert module.get_property(path) == found
