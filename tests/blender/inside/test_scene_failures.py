"""A call that fails leaves everything as it was: for each handler, and each way in which a call of it can fail."""

import inspect
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")

M = list(b"M")
"""The term of "M" in Erlang, which each handler refuses where it expects a name."""

NAMES: list[Any] = [M, None, 5, b"\xff", "a\0b"]
"""These are not names."""

ABSENT = [*NAMES, "No such object", "x" * 300]
"""No object has one of these names."""

ABSENT_AND_NOT_ALL = [name for name in ABSENT if name is not None]
"""No object has one of these names. Nil would mean all mesh objects."""

NOT_OPTIONS: list[Any] = [M, "size", 5, {"no such option": 1}, {1: 2}, [1, 2]]

NOT_NUMBERS: list[Any] = [math.nan, math.inf, True, "1", M, None, 10**400]

NOT_INTEGERS: list[Any] = [*NOT_NUMBERS, 1.5, 2**31]

NOT_VECTORS: list[Any] = [5, "123", [1, 2], [1, 2, math.nan], [1, 2, "3"], None]

NOT_COLORS: list[Any] = ["teal", list(b"#ff0000"), [1, 2], 5, [1, 2, math.inf], None]

TRIANGLE = {"vertices": [0, 0, 0, 1, 0, 0, 0, 1, 0], "triangles": [0, 1, 2]}

FACE = {"triangles": [0, 1, 2]}

NOT_MESHES: list[Any] = [
    {"vertices": [0] * 9, **parts}
    for parts in (
        {"vertices": [math.nan] * 9},
        {"triangles": [0, 1, 3]},
        {"triangles": [0, 1, 1]},
        {"triangles": [0, 1, 2, 2, 1, 0]},
        {"triangles": [0, 1]},
        {"triangles": [0, 1, 2], "quads": []},
        {"loop_vertices": [0, 1, 2]},
        {"loop_vertices": [0, 1, 2], "face_sizes": [2]},
        {"edges": [0, 0]},
        {"edges": [0, 1, 1, 0]},
        {"edges": [0, 3]},
        {**FACE, "uvs": [0]},
        {**FACE, "normals": [0, 0, 1]},
        {"materials": "Material"},
        {"materials": [M]},
        {"order": ["a"]},
        {"active": {"uv_map": "a"}},
        {"active": {"shape": "a"}},
        *(
            {"attributes": {"a": {"domain": "point", "type": "float", "values": values}}}
            for values in ([1], "123", None)
        ),
        {"attributes": {"a": {"domain": "edge", "type": "float", "values": []}}},
        {"attributes": {"a": {"domain": "point", "type": "string", "values": [1, 2, 3]}}},
        {"attributes": {".corner_vert": {"domain": "corner", "type": "int", "values": []}}},
        {"attributes": {"material_index": {"domain": "point", "type": "float", "values": [1, 2, 3]}}},
        {"vertex_groups": [{"name": "a", "vertices": [3], "weights": [1]}]},
        {"vertex_groups": [{"name": "a", "vertices": [0], "weights": [2]}]},
        {"vertex_groups": M},
        {"shape_keys": [{"name": "a", "vertices": [0]}]},
        {"shape_keys": [{"name": "a", "vertices": [0] * 9, "value": math.nan}]},
        {"shape_keys": [{"name": "a", "vertices": [0] * 9, "relative_key": "b"}]},
    )
]
"""Meshes with a mistake in one part."""

NOT_PARTS: list[Any] = [
    *[{"rotation": value} for value in [*NOT_VECTORS, [0, 0, 0, 0]]],
    *[{"scale": value} for value in NOT_VECTORS],
    *[{"rotation_mode": value} for value in [*NAMES, "xyz"]],
    {"matrix": [0] * 16},
]
"""Parts of a pose with a mistake."""


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


ROW = [1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 0.0]
"""Location and rotation of a bone or an object."""

NOT_ROWS: list[Any] = [
    *[floats(*row) for row in ([], ROW[:6], [*ROW, 1.0], [*ROW, 1.0, 1.0, 1.0, 1.0], [*ROW, *ROW])],
    floats(*ROW) + b"0",
    *[floats(*ROW[:-1], wrong) for wrong in (math.nan, math.inf)],
    floats(0, 0, 0, 0, 0, 0, 0),
]
"""Binaries with a mistake, for one bone or object."""

NOT_LISTS: list[Any] = [M, None, 5, "Bone", b"Bone", {}, [None], [5]]
"""These are not lists of names."""

RECORDED = {"record_pose": [1, None, "true"], "at": NOT_NUMBERS}

Calls = list[tuple[Any, ...]]


def with_names(names: list[Any], *rest: Any) -> Calls:
    return [(name, *rest) for name in names]


def with_options(given: tuple[Any, ...], /, **wrong: list[Any]) -> Calls:
    """Calls with each wrong value of each option, beside options that could be carried out."""
    calls: Calls = [(*given, options) for options in NOT_OPTIONS]
    return calls + [(*given, {option: value}) for option, values in wrong.items() for value in values]


PRIMITIVE = {
    "size": [*NOT_NUMBERS, 0, -1],
    "segments": [*NOT_INTEGERS, 2, 1001],
    "thickness": [*NOT_NUMBERS, -1, 3],
    "smooth": [1, "true", None],
    "location": NOT_VECTORS,
    "rotation": NOT_VECTORS,
    "scale": NOT_VECTORS,
}

PICTURE = {
    "width": [*NOT_INTEGERS, 3],
    "height": [*NOT_INTEGERS, 65537],
    "samples": [*NOT_INTEGERS, 0],
    "denoise": [1, None],
    "engine": [M, "povray", None],
    "depth": [*NOT_INTEGERS, 12],
    "view": [*NAMES, "left"],
    "format": [*NAMES, "gif"],
}

FRAMES = {"first": NOT_INTEGERS, "last": [*NOT_INTEGERS, 0], "step": [*NOT_INTEGERS, 0, -1]}

LIMITS = {name: [*NOT_NUMBERS, -1] for name in ("max_bytes", "max_unpacked", "max_pixels", "max_seconds")}

PATHS: list[Any] = [*NAMES, "", "//x", "~nobody-has-this-name/x.glb", "no such file.glb", "/proc"]
"""No file has one of these paths."""

STL = bytes(80) + (0).to_bytes(4, "little")
"""A file without a triangle."""

SUBJECTS: Calls = [
    *with_names([*NAMES, "mesh"], "Cube"),
    *[("object", name) for name in ABSENT],
    *[(kind, "No such thing") for kind in ("scene", "collection", "material")],
    ("object", "Empty"),
    ("object", "Light"),
]
"""Calls of handlers that picture a datablock, which does not exist or has no surface."""

THUMBNAIL = {
    "width": [*NOT_INTEGERS, 3, 8193],
    "height": [*NOT_INTEGERS, 3, 8193],
    "samples": [*NOT_INTEGERS, 0],
    "denoise": [1, None],
    "engine": [M, "povray", None],
    "from": [*NOT_VECTORS, [0, 0, 0], "behind", M],
}

FAILING: dict[str, Calls] = {
    "list_objects": [(1,)],
    "describe_object": with_names(ABSENT),
    "describe_scene": with_options((), scene=[*NAMES, "No such scene"], limit=[*NOT_INTEGERS, -1]),
    "describe_type": with_names([*NAMES, "", "Nothing", 'objects["Cube"].nothing', 'objects["Cube"].location[0]']),
    "get_property": with_names(
        [*NAMES, "", "nothing", 'objects["Cube"].nothing', 'objects["Cube"]["x"]', 'scenes["Scene"].render']
    ),
    "download_mesh": [
        *with_names(ABSENT),
        ("Light",),
        ("Light", {"evaluated": True}),
        ("Empty", {"evaluated": True}),
        *with_options(
            ("Cube",), evaluated=[1, None], lists=["true", None], attributes=[M, "sharp_face", {}, ["no such layer"]]
        ),
    ],
    "download_image": [*with_names([*NAMES, "No such image"]), *with_options(("Picture",), type=["int", M])],
    "get_fcurve": [
        *with_names(ABSENT, "location", 0),
        *[("Cube", path, 0) for path in [*NAMES, "sideways", "location", "location[0]"]],
        *[("Cube", "location", index) for index in [*NOT_INTEGERS, -1]],
        *with_options(("Cube", "location", 0), lists=[1, None]),
    ],
    "bake_motion": [*with_names(ABSENT), *with_options(("Cube",), **FRAMES)],
    "render_still": with_options((), **PICTURE, path=[M, 5, "", b"\xff", "~nobody-has-this-name/x.png", "//x.png"]),
    "render_animation": [
        *with_names([*NAMES, "", "//frames"]),
        *with_options(("/proc/nowhere",), **PICTURE, **FRAMES),
        ("/proc/nowhere",),
    ],
    "render_pass": [
        *with_names([*NAMES, "colour"]),
        *with_options(
            ("depth",),
            **{option: PICTURE[option] for option in ("width", "height", "samples", "engine")},
            view_layer=[*NAMES, "No such layer"],
        ),
    ],
    "thumbnail": [*SUBJECTS, *with_options(("object", "Cube"), **THUMBNAIL)],
    "turntable": [
        *SUBJECTS,
        *with_options(
            ("object", "Cube"),
            **THUMBNAIL,
            count=[*NOT_INTEGERS, 0, 1001],
            folder=[*NAMES, "", "//pictures", "~nobody-has-this-name"],
        ),
    ],
    "create_primitive": [
        *with_names([*NAMES, "dodecahedron"], "New"),
        *[("cube", name) for name in NAMES],
        *with_options(("torus", "New"), **PRIMITIVE),
    ],
    "create_cube": [*with_names(NAMES), *with_options(("New",), **PRIMITIVE)],
    "set_transform": [
        *with_names(ABSENT, {"location": [1, 2, 3]}),
        *with_options(("Cube",), location=NOT_VECTORS, scale=NOT_VECTORS, rotation=[*NOT_VECTORS, [1, 0, 0, 0]]),
        ("Cube", {"location": [1, 2, 3], "scale": [1, 2, 3], "rotation": [1, 2]}),
    ],
    "look_at": [
        *with_names(ABSENT, [1, 2, 3]),
        *[("Camera", target) for target in [*NOT_VECTORS, "No such object", "Camera", list(b"Cube")]],
        ("Cube", [0, 0, 0]),
    ],
    "delete_object": with_names(ABSENT),
    "set_material": [
        *with_names(ABSENT, {"metallic": 1}),
        *with_options(
            ("Cube",), material=NAMES, metallic=NOT_NUMBERS, base_color=NOT_COLORS, emission=NOT_COLORS, ior=NOT_NUMBERS
        ),
        ("Cube", {"material": "New", "metallic": 1, "base_color": "teal"}),
        ("Cube", {"material": "Without nodes", "metallic": 1}),
        ("Cube", {"material": "Linked input", "metallic": 1, "roughness": 1, "base_color": [1, 0, 0]}),
        ("Light", {"material": "New"}),
        ("Empty", {"material": "New"}),
    ],
    "create_light": [
        *with_names([*NAMES, "candle"], "New"),
        *[("sun", name) for name in NAMES],
        *with_options(
            ("area", "New"),
            energy=NOT_NUMBERS,
            size=[*NOT_NUMBERS, -1],
            color=NOT_COLORS,
            location=NOT_VECTORS,
            look_at=[*NOT_VECTORS, "No such object", [0, 0, 5]],
        ),
    ],
    "set_world": with_options((), color=NOT_COLORS, strength=NOT_NUMBERS),
    "create_camera": [
        *with_names(NAMES),
        *with_options(
            ("New",),
            location=NOT_VECTORS,
            look_at=[*NOT_VECTORS, "No such object", [0, -10, 3]],
            lens=[*NOT_NUMBERS, 0],
            fstop=[*NOT_NUMBERS, -1],
            focus=[*NOT_VECTORS, "No such object"],
        ),
        ("New", {"fstop": 1, "focus": [0, -10, 3]}),
    ],
    "set_property": [
        *with_names(NAMES, 1),
        *[('objects["Cube"].location', value) for value in NOT_VECTORS],
        *[('scenes["Scene"].frame_end', value) for value in NOT_INTEGERS],
        *[('objects["Cube"]["x"]', value) for value in ([1, "a"], {1: 2}, 2**40, math.nan, {"a": {"b": [None, 1]}})],
        ('objects["Light"].parent', "Light"),
        ('objects["Light"].parent', "No such object"),
        ('objects["Cube"].data', "No such mesh"),
        ('scenes["Scene"].render.engine', "POVRAY"),
    ],
    "keyframe_insert": [
        *with_names(ABSENT, "location", 1),
        *[("Cube", path, 1) for path in [*NAMES, "sideways", "name", "location[0]", "rotation_quaternion"]],
        *[("Cube", "location", frame, [1, 2, 3]) for frame in NOT_NUMBERS],
        *[("Cube", "location", 1, value) for value in NOT_VECTORS if value is not None],
        ("Cube", "name", 1, "Box"),
        ("Cube", "rotation", 1, [1, 2]),
    ],
    "set_frame": with_names([*NOT_INTEGERS, 2**21]),
    "upload_mesh": [
        *with_names([*NAMES, ""], TRIANGLE),
        *with_options(("New", TRIANGLE), validate=[1, "true", None], discard=[1, None]),
        *[(name, wrong) for name in ("New", "Cube") for wrong in [{}, *NOT_OPTIONS, *NOT_MESHES]],
        ("Light", TRIANGLE),
    ],
    "upload_image": [
        *with_names([*NAMES, ""], 1, 1, 4, [0.0] * 4),
        *with_options(
            ("Picture", 4, 4, 1, bytes(16)), pack=[1, None], color_space=[*NAMES, "Teal"], alpha_mode=[*NAMES, "glass"]
        ),
        *with_options(("Picture", 1, 1, 1, bytes(1)), color_space=["Teal"]),
        *[("Picture", wrong, 1, 4, [0.0] * 4) for wrong in [*NOT_INTEGERS, 0, -1]],
        *[("Picture", 1, wrong, 4, [0.0] * 4) for wrong in [*NOT_INTEGERS, 0, -1]],
        *[("Picture", 1, 1, wrong, [0.0] * 4) for wrong in [*NOT_INTEGERS, 0, 2, 5]],
        *[("Picture", 1, 1, 4, wrong) for wrong in [[0.0] * 3, b"", bytes(5), bytes(12), "1234", None, ["1"] * 4]],
    ],
    "set_fcurve": [
        *with_names(ABSENT, "location", 0, [1, 2], [0.0, 1.0]),
        *[("Cube", path, 0, [1, 2], [0.0, 1.0]) for path in [*NAMES, "sideways", "name", "location[0]"]],
        *[("Cube", "location", index, [1, 2], [0.0, 1.0]) for index in [*NOT_INTEGERS, -1, 3]],
        *with_options(
            ("Cube", "location", 0, [1, 2], [0.0, 1.0]),
            interpolation=[*NAMES, "curly", ["linear"], ["linear", "curly"]],
            easing=[*NAMES, "slow"],
            handle_left_type=[*NAMES, "bent"],
            handle_right=[[1.0], [math.nan] * 4, None],
            amplitude=[[1.0], [math.inf] * 2],
            extrapolation=[*NAMES, "far"],
            auto_smoothing=[*NAMES, "rough"],
        ),
        ("Cube", "location", 0, [1, 2], [0.0]),
        ("Cube", "location", 0, [], []),
        ("Cube", "location", 0, [math.nan], [0.0]),
        ("Camera", "data.lens", 1, [1], [0.0]),
    ],
    "apply_modifiers": [
        *with_names(ABSENT_AND_NOT_ALL),
        *[
            call
            for name in ("Cube", None)
            for call in with_options(
                (name,), modifiers=[M, None, "Two", {}, ["No such modifier"], ["Two", "Hair"]], discard=[1, None]
            )
        ],
        ("Light",),
        ("Empty",),
    ],
    "decimate": [
        *with_names(ABSENT_AND_NOT_ALL, {"ratio": 0.5}),
        (None, {"ratio": 0.5}),
        *with_options(
            ("Cube",),
            ratio=[*NOT_NUMBERS, 0, -1, 1.5, [], [0.5, 2], [0.5, None]],
            faces=[*[each for each in NOT_INTEGERS if each != M], 0, -1, [], [4, 0]],
        ),
        *[("Cube", wrong) for wrong in ({}, None, {"ratio": 0.5, "faces": 4}, {"ratio": 0.5, "discard": 1})],
        ("With keys", {"ratio": 0.5}),
        ("With keys", {"faces": [4, 2]}),
        ("Light", {"ratio": 0.5}),
        ("Empty", {"ratio": 0.5}),
    ],
    "triangulate": [
        *with_names(ABSENT_AND_NOT_ALL),
        *with_options(("Cube",), quads=[*NAMES, "ugly"], polygons=[*NAMES, "ugly"], min_vertices=[*NOT_INTEGERS, 3]),
        ("Light",),
        ("Empty",),
    ],
    "quads": [
        *with_names(ABSENT_AND_NOT_ALL),
        *with_options(("Cube",), face_angle=[*NOT_NUMBERS, -0.1, 4], shape_angle=[*NOT_NUMBERS, -0.1, 4]),
        ("Light",),
        ("Empty",),
    ],
    "bones": [*with_names(ABSENT), ("Cube",), ("Empty",)],
    "current_values": [(value,) for value in (None, 5, "transforms", [5], ["objects"], ["no such topic"])],
    "get_pose": [*with_names(ABSENT), ("Cube",), ("Empty",), *with_options(("Rig",), matrix=[1, None])],
    "set_pose": [
        *with_names(ABSENT, {}),
        *[("Rig", wrong) for wrong in NOT_OPTIONS],
        *[("Rig", {"Bone": {"location": [1, 2, 3], **wrong}}) for wrong in NOT_PARTS],
        ("Cube", {}),
        ("Empty", {}),
        *[("Rig", wrong) for wrong in NOT_ROWS],
        *[("Rig", floats(*ROW), {"bones": wrong}) for wrong in (*NOT_LISTS, ["Bone", "Bone"], ["No such bone"], [])],
        *with_options(("Rig", floats(*ROW)), **RECORDED),
        *with_options(("Rig", {"Bone": {"location": [1, 2, 3]}}), **RECORDED, bones=[["Bone"], None]),
        *[(name, floats(*ROW)) for name in ("Cube", "Empty")],
    ],
    "rest_pose": [
        *with_names(ABSENT),
        *[("Rig", wrong) for wrong in (M, "Bone", 5, {}, ["Bone", "No such bone"], ["Bone", None])],
        ("Cube",),
    ],
    "get_shape_keys": [*with_names(ABSENT), ("Light",), ("Empty",)],
    "set_shape_keys": [
        *with_names(ABSENT, {}),
        *[("With keys", wrong) for wrong in NOT_OPTIONS],
        *[("With keys", {"Up": 0.5, "Down": wrong}) for wrong in NOT_NUMBERS],
        ("With keys", {"Up": 1, "No such key": 1}),
        ("Cube", {"Up": 1}),
        ("Light", {}),
        *[("With keys", wrong) for wrong in (b"", floats(1, 1), floats(1, 1, 1, 1), floats(0, 1, math.nan), b"1")],
        *[("With keys", floats(1), {"keys": wrong}) for wrong in (*NOT_LISTS, ["Up", "Up"], ["No such key"], [])],
        *with_options(("With keys", floats(0, 1, 1)), **RECORDED),
        *with_options(("With keys", {"Up": 1}), **RECORDED, keys=[["Up"], None]),
        *[(name, floats(1)) for name in ("Light", "Empty", "Cube")],
    ],
    "set_transforms": [
        *with_names([*NOT_LISTS, [], ["No such object"], ["Cube", "Cube"]], floats(*ROW)),
        *[(["Cube"], wrong) for wrong in [*NOT_ROWS, None, 5, "text", ROW]],
        (["Cube", "No such object"], floats(*ROW, *ROW)),
        (["Cube", "Light"], floats(*ROW, *ROW[:3], 0, 0, 0, 0)),
        *with_options((["Cube"], floats(*ROW)), **RECORDED),
    ],
    "stop_recording": [(), *with_options((), discard=[1, None])],
    "get_node_inputs": [
        *with_names(ABSENT),
        ("Cube",),
        ("Light",),
        *with_options(("With nodes",), modifier=[*NAMES, "No such modifier"]),
    ],
    "set_node_inputs": [
        *with_names(ABSENT, {}),
        *[("With nodes", wrong) for wrong in NOT_OPTIONS],
        *[("With nodes", {"Float": wrong}) for wrong in NOT_NUMBERS],
        ("With nodes", {"Float": 1.0, "Socket_0": 1.0}),
        ("With nodes", {"Geometry": "Cube"}),
        ("Cube", {}),
        *with_options(("With nodes", {"Float": 1.0}), modifier=[*NAMES, "No such modifier"]),
    ],
    "bake": [
        *with_names([*NAMES, "shadows"], "Cube"),
        *[("ao", name) for name in ABSENT_AND_NOT_ALL],
        ("ao", None),
        ("ao", None, {"unwrap": True, "image": "Picture"}),
        *with_options(
            ("ao", "Cube"),
            width=[*NOT_INTEGERS, 0, 16385],
            height=[*NOT_INTEGERS, 0, 16385],
            margin=[*NOT_INTEGERS, -1],
            samples=[*NOT_INTEGERS, 0],
            space=[*NAMES, "outer"],
            uv_map=[*NAMES, "No such map"],
            unwrap=[1, None],
            image=[*NAMES, "", "Render Result"],
        ),
        ("ao", "Light"),
        ("ao", "Empty"),
        ("ao", "With keys"),
    ],
    "inspect_file": [*with_names(PATHS), *with_options(("no such file.glb",), **LIMITS)],
    "import_file": [
        *with_names(PATHS),
        *with_options(("no such file.glb",), **LIMITS, format=[*NAMES, "gif", "blend"], external=[1, None]),
    ],
    "import_bytes": [
        *with_names([None, 5, M, "text", b"", b"\0" * 200, b"glTF"]),
        *with_options((b"",), **LIMITS, format=[*NAMES, "gif", "obj"]),
        (STL, {"max_bytes": 83}),
        (b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", {"format": "obj"}),
    ],
    "export_file": [
        *with_names([*NAMES, "", "//x.glb", "picture.gif", "no suffix"]),
        *with_options(("x.stl",), format=[M, "gif"], objects=[M, [], ["No such object"], 5], animations=[1, None]),
        ("/proc/nowhere/x.stl",),
    ],
    "export_bytes": [
        *with_names([*NAMES, "gif", "blend"]),
        *with_options(("stl",), objects=[M, [], ["No such object"], 5], animations=[1, None]),
    ],
    "open_file": [
        *with_names(PATHS),
        *with_options(("no such file.blend",), **LIMITS, use_scripts=[1, None], external=[1], discard=[1]),
    ],
    "new_file": with_options((), discard=[1, None]),
    "save_file": [
        (),
        *with_names([name for name in NAMES if name is not None]),
        *with_names(["", "x.glb", "/proc/nowhere/x.blend"]),
        *with_options(("x.blend",), compress=[1, None], copy=[1, None]),
    ],
    **{
        name: [
            *with_names(PATHS, "objects", ["Cube"]),
            *[("no such file.blend", kind, ["Cube"]) for kind in [*NAMES, "screens"]],
            *[("no such file.blend", "objects", names) for names in [M, [], None, "Cube", [None], ["a", "a"]]],
            *with_options(("no such file.blend", "objects", ["Cube"]), **LIMITS, external=[1, None]),
        ]
        for name in ("append", "link")
    },
    "convert_bytes": [
        *[(data, "glb") for data in [None, 5, M, "text", b"", b"\0" * 200, b"glTF"]],
        *[(b"v 0 0 0\n", to) for to in [*NAMES, "gif", "blend"]],
        *with_options((b"v 0 0 0\n", "glb"), **LIMITS, format=[M, 5, "gif", "ply"], animations=[1], discard=[1]),
        (b"v 0 0 0\n", "glb", {"external": True}),
    ],
    "process_bytes": [
        *[(data, []) for data in [None, 5, M, "text", b"", b"\0" * 200, b"glTF", b"BLENDER", b"BLENDER-v405ENDB"]],
        *[
            (b"v 0 0 0\n", steps)
            for steps in (
                *[*NAMES, {}, [5], [["list_objects"]], [["list_objects", None]], [["list_objects", {}]]],
                *[[[name, []]] for name in [*NAMES, "nothing", "process_bytes", "new_file", "move_vertices"]],
                [("list_objects", []), ("list_objects", [1])],
                [("list_objects", []), ("decimate", [])],
            )
        ],
        *with_options(
            (b"v 0 0 0\n", []), **LIMITS, format=[M, 5, "gif", "ply", "blend"], discard=[1], external=[1, True]
        ),
    ],
    "inspect_bytes": [
        *with_names([None, 5, M, "text", b"", b"\0" * 200, b"BLENDER"]),
        *with_options((b"v 0 0 0\n",), **LIMITS),
        (STL, {"max_bytes": 83}),
    ],
    "pack": [
        *with_options((), external=[1, None], skip_missing=[1, None], max_bytes=LIMITS["max_bytes"]),
        ({"max_seconds": 5},),
        ({"external": True},),
    ],
    "unpack": [
        *with_names([*NAMES, "keep"]),
        *with_options(("use_local",), external=[1, None]),
        ("use_local",),
        ("use_original",),
        ("use_original", {"external": True}),
        ("remove",),
    ],
    "screenshot": [
        *with_options(
            (),
            window=[*NOT_INTEGERS, -1],
            area=[*NAMES, "view_3d"],
            largest_side=[*NOT_INTEGERS, 0],
            path=[*NAMES, "", "x.jpg", "//x.png"],
        ),
        (),
        ({"path": "x.png"},),
    ],
    "watch_viewport": [
        *with_options(
            (),
            width=[*NOT_INTEGERS, 3, 4097],
            height=[*NOT_INTEGERS, 3, 4097],
            rate=[*NOT_NUMBERS, 0, 61],
            format=[*NAMES, "gif", "exr"],
            quality=[*NOT_INTEGERS, 0, 101],
            window=[*NOT_INTEGERS, -1],
            camera=[*ABSENT_AND_NOT_ALL, "Cube"],
        ),
        (),
        ({"camera": "Camera"},),
    ],
    "watch_render": with_options((), largest_side=[*NOT_INTEGERS, 0, 65537], format=[*NAMES, "gif", "raw"]),
    "move_vertices": [
        *with_names(ABSENT, [0.0] * 24),
        *[("Cube", wrong) for wrong in [[0.0] * 23, [0.0] * 27, [math.nan] * 24, [math.inf] * 24, None, "1234", b"1"]],
        ("Light", [0.0] * 3),
        ("Empty", [0.0] * 3),
    ],
}


@pytest.fixture
def handlers() -> dict[str, Callable[..., Any]]:
    """All handlers, by name."""
    return {handler.__name__: handler for handler in addon.scene_handlers.ALL}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scene with all that can be in the way of a handler."""
    monkeypatch.chdir(tmp_path)
    picture = bpy.data.images.new("Picture", 4, 4)
    picture.pixels[0] = 1.0
    picture.pack()
    bpy.data.volumes.new("Missing").filepath = "/no such file.vdb"
    empty = bpy.data.objects.new("Empty", None)
    bpy.context.scene.collection.objects.link(empty)
    nodes = bpy.data.materials.new("Without nodes")
    nodes.use_nodes = True
    nodes.node_tree.nodes.clear()
    linked = bpy.data.materials.new("Linked input")
    linked.use_nodes = True
    tree = linked.node_tree
    principled = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    tree.links.new(tree.nodes.new("ShaderNodeRGB").outputs[0], principled.inputs["Base Color"])
    add_modifiers()
    add_armature()
    bpy.context.view_layer.update()
    _render_once()


def _render_once() -> None:
    """The first render finds out which inputs of nodes have an effect, and makes the image for results."""
    scene = bpy.context.scene
    former = scene.render.engine, scene.render.resolution_percentage, scene.cycles.samples, scene.cycles.use_denoising
    scene.render.engine, scene.render.resolution_percentage, scene.cycles.samples = "CYCLES", 1, 1
    scene.cycles.use_denoising = False  # A Blender can be built without it.
    bpy.ops.render.render()
    scene.render.engine, scene.render.resolution_percentage, scene.cycles.samples, scene.cycles.use_denoising = former


def add_modifiers() -> None:
    """Give the cube modifiers, and add an object with shape keys and one with geometry nodes."""
    cube = bpy.data.objects["Cube"]
    for name in ("With keys", "With nodes"):
        added = bpy.data.objects.new(name, bpy.data.meshes.new_from_object(cube))
        bpy.context.scene.collection.objects.link(added)
    cube.modifiers.new("Two", "ARRAY")
    cube.modifiers.new("Hair", "PARTICLE_SYSTEM")
    keyed = bpy.data.objects["With keys"]
    for key in ("Basis", "Up", "Down"):
        keyed.shape_key_add(name=key)
    while keyed.data.uv_layers:
        keyed.data.uv_layers.remove(keyed.data.uv_layers[0])
    group = bpy.data.node_groups.new("Group", "GeometryNodeTree")
    for kind in ("Geometry", "Float"):
        group.interface.new_socket(kind, in_out="INPUT", socket_type=f"NodeSocket{kind}")
    bpy.data.objects["With nodes"].modifiers.new("Nodes", "NODES").node_group = group


def add_armature() -> None:
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    active = bpy.context.view_layer.objects.active
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.new("Bone").tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.objects.active = active


def run(handler: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    result = handler(*arguments)
    if inspect.isgenerator(result):
        for _progress in result:
            pass


def test_all_handlers_are_here(handlers: dict[str, Any]) -> None:
    assert set(FAILING) == set(handlers)


@pytest.mark.parametrize("name", FAILING)
def test_a_failed_call_leaves_nothing(name: str, handlers: dict[str, Any], scene: None, tmp_path: Path) -> None:
    before = scene_dump.dump()
    for arguments in FAILING[name]:
        with pytest.raises((ValueError, LookupError, TypeError, OSError)) as caught:
            run(handlers[name], arguments)
        assert str(caught.value), arguments
        assert "SystemError" not in repr(caught.value)
        assert isinstance(caught.value, TypeError) == (name == "list_objects"), (arguments, caught.value)
    assert scene_dump.changed(before) == {}
    assert list(tmp_path.iterdir()) == []


# Datablocks that cannot be edited


@pytest.fixture
def library(tmp_path: Path, scene: None) -> None:
    """The objects Linked, Linked Light, Linked Rig and Linked keys, which belong to another file."""
    path = str(tmp_path / "library.blend")
    mesh = bpy.data.objects["Cube"].data.copy()
    material = bpy.data.materials.new("Linked Material")
    material.use_nodes = True
    mesh.materials[0] = material
    objects = {
        bpy.data.objects.new("Linked", mesh),
        bpy.data.objects.new("Linked Light", bpy.data.objects["Light"].data.copy()),
        bpy.data.objects.new("Linked Rig", bpy.data.objects["Rig"].data.copy()),
        bpy.data.objects.new("Linked keys", bpy.data.objects["With keys"].data.copy()),
    }
    names = sorted(each.name for each in objects)
    bpy.data.libraries.write(path, objects)
    bpy.data.batch_remove([material, *(each.data for each in objects), *objects])
    with bpy.data.libraries.load(path, link=True) as (_source, target):
        target.objects = names
    for each in target.objects:
        bpy.context.scene.collection.objects.link(each)
    # Objects of this file with data of the other one.
    own = bpy.data.objects.new("Own", bpy.data.objects["Linked"].data)
    bpy.context.scene.collection.objects.link(own)
    bpy.context.view_layer.update()


LINKED: list[tuple[str, tuple[Any, ...]]] = [
    ("set_transform", ("Linked", {"location": [1, 2, 3]})),
    ("set_transforms", (["Cube", "Linked"], floats(*ROW, *ROW))),
    ("set_pose", ("Linked Rig", {"Bone": {"location": [1, 2, 3]}})),
    ("set_pose", ("Linked Rig", floats(*ROW))),
    ("set_shape_keys", ("Linked keys", {"Up": 1})),
    ("set_shape_keys", ("Linked keys", floats(0, 1, 1))),
    ("look_at", ("Linked", [1, 2, 3])),
    ("delete_object", ("Linked",)),
    ("set_material", ("Linked", {"metallic": 1})),
    ("set_material", ("Own", {"material": "New"})),
    ("set_material", ("Cube", {"material": "Linked Material", "metallic": 1})),
    ("keyframe_insert", ("Linked", "location", 1)),
    ("keyframe_insert", ("Linked Light", "data.energy", 1)),
    ("upload_mesh", ("Linked", TRIANGLE)),
    ("upload_mesh", ("Own", TRIANGLE)),
    ("move_vertices", ("Linked", [0.0] * 24)),
    ("move_vertices", ("Own", [0.0] * 24)),
    ("set_fcurve", ("Linked", "location", 0, [1], [0.0])),
    ("set_fcurve", ("Linked Light", "data.energy", 0, [1], [0.0])),
    *[
        (handler, (name, *rest))
        for name in ("Linked", "Own")
        for handler, rest in (
            ("apply_modifiers", ()),
            ("decimate", ({"ratio": 0.5},)),
            ("triangulate", ()),
            ("quads", ()),
        )
    ],
    ("set_property", ('objects["Linked"].location', [1, 2, 3])),
    ("set_property", ('objects["Linked"].location[0]', 1)),
    ("set_property", ('objects["Linked"]["x"]', 1)),
    ("set_property", ('objects["Own"].data.use_auto_texspace', False)),
    (
        "set_property",
        ('materials["Linked Material"].node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value', 0.1),
    ),
]


@pytest.mark.parametrize(("name", "arguments"), LINKED)
def test_linked_datablocks_are_not_changed(
    name: str, arguments: tuple[Any, ...], handlers: dict[str, Any], library: None
) -> None:
    before = scene_dump.dump("objects", "meshes", "materials", "actions", "lights")
    with pytest.raises(
        ValueError, match=r"is linked from .*library.blend and cannot be changed|cannot be animated|'data."
    ):
        handlers[name](*arguments)
    assert scene_dump.changed(before, "objects", "meshes", "materials", "actions", "lights") == {}


def test_linked_datablocks_can_be_used(handlers: dict[str, Any], library: None) -> None:
    assert handlers["describe_object"]("Linked")["type"] == "MESH"
    assert handlers["set_material"]("Cube", {"material": "Linked Material"}) == "Linked Material"
    assert handlers["create_camera"]("Cam", {"look_at": "Linked", "location": [5, 5, 5]}) == "Cam"


def test_a_local_datablock_comes_before_a_linked_one(handlers: dict[str, Any], library: None) -> None:
    own = bpy.data.objects.new("Linked", None)
    assert own.name == "Linked"
    handlers["set_transform"]("Linked", {"location": [1, 2, 3]})
    assert tuple(own.location) == (1, 2, 3)


def test_overrides_can_be_changed_if_the_user_can_edit_them(handlers: dict[str, Any], library: None) -> None:
    override = bpy.data.objects["Linked"].override_create(remap_local_usages=True)
    override.override_library.is_system_override = False
    assert handlers["set_transform"](override.name, {"location": [1, 2, 3]})["location"][:] == (1, 2, 3)
    override.override_library.is_system_override = True
    with pytest.raises(ValueError, match="is a library override that cannot be edited"):
        handlers["set_transform"](override.name, {"location": [4, 5, 6]})
    assert tuple(override.location) == (1, 2, 3)
