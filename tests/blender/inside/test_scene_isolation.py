"""Nothing of a file from a stranger reaches the next one, runs, writes or reads other files.

Each test of something that does not happen has a twin in which it happens, so that the test could fail.
"""

import ctypes
import importlib.util
import math
import os
import shutil
import struct
import tempfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
import scene_dump
from left_behind import app_handlers
from test_scene_assets import HERE, build, glb, png
from test_scene_processing import SMALL, process, saved

pytestmark = pytest.mark.usefixtures("scene_handlers")

CUBE = "Würfel 立方"

STEPS = [
    ("set_frame", [2]),
    ("describe_scene", []),
    ("thumbnail", ["scene", None, SMALL]),
    ("render_still", [{"width": 4, "height": 4, "samples": 1, "engine": "cycles", "denoise": False}]),
    ("apply_modifiers", [None]),
    ("export_bytes", ["glb"]),
]
"""Steps that evaluate all of a file."""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def scripts_allowed() -> Iterator[None]:
    """The user allows scripts in files."""
    filepaths = bpy.context.preferences.filepaths
    filepaths.use_scripts_auto_execute = True
    yield
    filepaths.use_scripts_auto_execute = False


def add_camera() -> None:
    bpy.ops.object.camera_add(location=(0, -9, 0), rotation=(1.57, 0, 0))
    bpy.context.scene.camera = bpy.context.object


def cube() -> Any:
    return bpy.data.objects[CUBE]


def material() -> Any:
    return bpy.data.materials["Röt"]


def handler(name: str) -> Any:
    return {each.__name__: each for each in addon.scene_handlers.ALL}[name]


# Leftovers of files


def state() -> dict[str, Any]:
    """All that lives longer than a file, and the empty file."""
    preferences = bpy.context.preferences
    return {
        "datablocks": scene_dump.dump(),
        "preferences": [
            repr(getattr(getattr(preferences, part), each.identifier))
            for part in ("filepaths", "system", "edit", "view", "experimental")
            for each in getattr(preferences, part).bl_rna.properties
            if each.type in ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM") and not each.is_readonly
        ],
        "add-ons": sorted(preferences.addons.keys()),
        "handlers": app_handlers(),
        "names for drivers": sorted(bpy.app.driver_namespace),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": _umask(),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
        "files of Blender": sorted(os.listdir(bpy.app.tempdir)),
        "open files": len(os.listdir("/proc/self/fd")),
        "windows": [(window.scene.name, window.workspace.name) for window in bpy.context.window_manager.windows],
        "clipboard": bpy.context.window_manager.clipboard,
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def code(written: Path) -> str:
    """A script that changes all that lives longer than a file."""
    return f"""
import bpy, os, tempfile
open({str(written)!r}, "w").close()
bpy.app.driver_namespace["left"] = 1
bpy.app.handlers.frame_change_post.append(lambda *_: open({str(written)!r} + ".handler", "w").close())
bpy.app.timers.register(lambda: open({str(written)!r} + ".timer", "w").close(), persistent=True)
bpy.context.preferences.edit.undo_steps = 7
os.environ["LEFT"] = "1"
open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
"""


def harmful(folder: Path) -> bytes:
    """A .blend file with scripts of all kinds, and settings."""
    written = folder / "written"
    build()
    add_camera()
    text = bpy.data.texts.new("script.py")
    text.write(code(written))
    text.use_module = True
    write = f"open({str(written)!r}, 'w').close() or 1.0"
    for owner, path in (
        (cube(), "rotation_euler"),
        (material(), "diffuse_color"),
        (material().node_tree, 'nodes["Principled BSDF"].inputs["Roughness"].default_value'),
        (bpy.context.scene, "gravity"),
        (_keyed().data.shape_keys, 'key_blocks["Up"].value'),
    ):
        curve = owner.driver_add(path)
        curve = curve[0] if isinstance(curve, list) else curve
        curve.driver.type = "SCRIPTED"
        curve.driver.expression = write
    scene = bpy.context.scene
    scene.render.use_freestyle = True
    for layer in scene.view_layers:
        layer.freestyle_settings.mode = "SCRIPT"
        layer.freestyle_settings.modules.new().script = text
    scene.render.fps = 13
    scene.unit_settings.system = "IMPERIAL"
    scene.render.filepath = str(folder / "rendered")
    scene["property"] = "left"
    bpy.data.worlds.new("left").use_fake_user = True
    data = saved(folder / "harmful.blend")
    addon.scene_conversion.empty()
    return data


def _keyed() -> Any:
    sphere = bpy.data.objects["Sphere"]
    for key in ("Basis", "Up"):
        sphere.shape_key_add(name=key)
    return sphere


def left(folder: Path) -> list[str]:
    """The files that the scripts have written."""
    return sorted(each.name for each in folder.iterdir() if each.name.startswith("written"))


def forget(folder: Path) -> None:
    """Take back what the scripts do."""
    for each in list(folder.iterdir()):
        if each.name.startswith("written"):
            each.unlink()
    bpy.app.driver_namespace.clear()
    os.environ.pop("LEFT", None)
    bpy.app.handlers.frame_change_post[:] = [
        each for each in bpy.app.handlers.frame_change_post if each.__name__ != "<lambda>"
    ]
    bpy.context.preferences.edit.undo_steps = 32


def test_scripts_and_drivers_do_not_run_and_nothing_is_left(
    tmp_path: Path, temporary: Path, scripts_allowed: None
) -> None:
    data = harmful(tmp_path)
    forget(tmp_path)
    process(glb({}), STEPS[:3])  # Blender makes some caches when it renders for the first time.
    before = state()
    for steps, failing in (([], None), (STEPS, None), (STEPS[:3], ("describe_object", ["nothing"]))):
        if failing is None:
            assert len(process(data, steps)) == len(steps)
        else:
            with pytest.raises(LookupError, match="step 4"):
                process(data, [*steps, failing])
        assert left(tmp_path) == []
        now = state()
        assert {key: value for key, value in now.items() if value != before[key]} == {}
    assert handler("convert_bytes")(data, "glb")
    assert left(tmp_path) == []
    assert process(glb({}), [("describe_scene", [])])[0]["frame"]["fps"] == 24


def test_the_same_file_runs_its_scripts_if_it_may(tmp_path: Path, temporary: Path) -> None:
    """Without this, the test above could not fail."""
    harmful(tmp_path)
    forget(tmp_path)
    before = state()
    try:
        handler("open_file")(str(tmp_path / "harmful.blend"), {"use_scripts": True})
        bpy.context.scene.frame_set(3)
        assert left(tmp_path) == ["written", "written.handler"]
        addon.scene_conversion.empty()
        now = state()
        differing = {key for key, value in now.items() if value != before[key]}
        assert {"names for drivers", "environment", "preferences", "temporary files"} <= differing
    finally:
        forget(tmp_path)


@pytest.mark.parametrize("kind", ["driver", "driver of nodes", "shape key", "scene", "style"])
def test_each_kind_of_script_runs_if_it_may(kind: str, tmp_path: Path) -> None:
    written = tmp_path / "written"
    harmful(tmp_path)
    handler("open_file")(str(tmp_path / "harmful.blend"))
    forget(tmp_path)
    owner = {
        "driver": cube(),
        "driver of nodes": material().node_tree,
        "shape key": bpy.data.objects["Sphere"].data.shape_keys,
        "scene": bpy.context.scene,
        "style": None,
    }[kind]
    for block in addon.scene_cleaning.with_parts(bpy.data.user_map()):
        if block != owner and getattr(block, "animation_data", None) is not None:
            block.animation_data_clear()
    bpy.data.texts[0].clear()
    bpy.data.texts[0].write(f"open({str(written)!r}, 'w').close()\n" if kind == "style" else "")
    data = saved(tmp_path / "one.blend")
    process(data, STEPS)
    assert left(tmp_path) == []
    handler("open_file")(str(tmp_path / "one.blend"), {"use_scripts": True})
    bpy.context.scene.frame_set(3)
    handler("render_still")({"width": 4, "height": 4, "samples": 1, "engine": "cycles", "denoise": False})
    assert left(tmp_path) == ["written"]
    forget(tmp_path)


def test_memory_does_not_grow(tmp_path: Path) -> None:
    data = harmful(tmp_path)
    sizes = []
    for _ in range(8):
        for _ in range(3):
            process(data, STEPS[:3])
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert sizes[-1] - sizes[3] < 8 * 1024 * 1024


# Other files


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """Watch a folder. Yields the names of the files in it that are opened in the `with` block."""
    system = ctypes.CDLL(None, use_errno=True)
    descriptor = system.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    names: set[str] = set()
    try:
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            # IN_OPEN and IN_CREATE
            assert system.inotify_add_watch(descriptor, os.fsencode(each), 0x20 | 0x100) >= 0
        yield names
        while True:
            try:
                events = os.read(descriptor, 65536)
            except BlockingIOError:
                break
            at = 0
            while at < len(events):
                _watch, mask, _cookie, size = struct.unpack_from("iIII", events, at)
                if not mask & 0x40000000:  # Listing a folder opens it.
                    names.add(os.fsdecode(events[at + 16 : at + 16 + size].rstrip(b"\0")))
                at += 16 + size
    finally:
        os.close(descriptor)


def add_texture(image: Any) -> None:
    tree = material().node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])


def picture(folder: Path, name: str = "secret.png") -> Path:
    image = bpy.data.images.new("secret", 4, 4)
    image.filepath_raw = str(folder / name)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)
    return folder / name


def image_file(folder: Path) -> None:
    add_texture(bpy.data.images.load(str(picture(folder))))


def image_sequence(folder: Path) -> None:
    image = bpy.data.images.load(str(picture(folder, "secret0001.png")))
    image.source = "SEQUENCE"
    add_texture(image)


def image_tiles(folder: Path) -> None:
    picture(folder, "secret.1001.png")
    image = bpy.data.images.load(str(picture(folder, "secret.1002.png")))
    image.source = "TILED"
    image.filepath = str(folder / "secret.<UDIM>.png")
    add_texture(image)


def partly_packed_tiles(folder: Path) -> None:
    image_tiles(folder)
    image = next(each for each in bpy.data.images if each.source == "TILED")
    image.pack()
    picture(folder, "secret.1003.png")
    image.tiles.new(1003)


def environment(folder: Path) -> None:
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    bpy.context.scene.world = world
    node = world.node_tree.nodes.new("ShaderNodeTexEnvironment")
    node.image = bpy.data.images.load(str(picture(folder)))
    world.node_tree.links.new(node.outputs[0], world.node_tree.nodes["Background"].inputs[0])


def displacement(folder: Path) -> None:
    texture = bpy.data.textures.new("Texture", "IMAGE")
    texture.image = bpy.data.images.load(str(picture(folder)))
    modifier = cube().modifiers.new("Displace", "DISPLACE")
    modifier.texture = texture


def font(folder: Path) -> None:
    fonts = Path(bpy.utils.system_resource("DATAFILES", path="fonts"))
    smallest = min(fonts.iterdir(), key=lambda path: path.stat().st_size)
    curve = bpy.data.curves.new("Text", "FONT")
    curve.body = "abc"
    curve.font = bpy.data.fonts.load(str(shutil.copy(smallest, folder / f"secret{smallest.suffix}")))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Text", curve))


def sound_file(folder: Path) -> str:
    with wave.open(str(folder / "secret.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return str(folder / "secret.wav")


def speaker(folder: Path) -> None:
    data = bpy.data.speakers.new("Speaker")
    data.sound = bpy.data.sounds.load(sound_file(folder))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Speaker", data))


def strips() -> Any:
    editor = bpy.context.scene.sequence_editor_create()
    bpy.context.scene.render.use_sequencer = True
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def picture_strip(folder: Path) -> None:
    strips().new_image("Strip", str(picture(folder)), 1, 2)


def sound_strip(folder: Path) -> None:
    strips().new_sound("Strip", sound_file(folder), 1, 1)


def movie_clip(folder: Path) -> None:
    clip = bpy.data.movieclips.load(str(picture(folder)))
    background = bpy.context.scene.camera.data.background_images.new()
    background.source = "MOVIE_CLIP"
    background.clip = clip
    constraint = cube().constraints.new("CAMERA_SOLVER")
    constraint.clip = clip


def volume(folder: Path) -> None:
    (folder / "secret.vdb").write_bytes(b" BDV" + bytes(200))
    data = bpy.data.volumes.new("Volume")
    data.filepath = str(folder / "hidden.vdb")
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Volume", data))


def mesh_cache(folder: Path) -> None:
    points = len(cube().data.vertices)
    (folder / "secret.mdd").write_bytes(struct.pack(f">ii1f{3 * points}f", 1, points, 0.0, *[1.0] * 3 * points))
    modifier = cube().modifiers.new("Cache", "MESH_CACHE")
    modifier.cache_format = "MDD"
    modifier.filepath = str(folder / "secret.mdd")


def lamp_profile(folder: Path) -> None:
    (folder / "secret.ies").write_text("IESNA:LM-63-2002\nTILT=NONE\n1 1000 1 2 1 1 2 0 0 0\n1 1 100\n0 90\n0\n1 1\n")
    light = bpy.data.lights.new("Light", "POINT")
    light.use_nodes = True
    node = light.node_tree.nodes.new("ShaderNodeTexIES")
    node.mode = "EXTERNAL"
    node.filepath = str(folder / "secret.ies")
    light.node_tree.links.new(node.outputs[0], light.node_tree.nodes["Emission"].inputs["Strength"])
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Light", light))


def open_shading_language(folder: Path) -> None:
    """A script of which Cycles reads the compiled file."""
    (folder / "secret.osl").write_text("shader secret(output color Color = 0.5) {}\n")
    (folder / "secret.oso").write_text("OpenShadingLanguage 1.00\nshader secret\n")
    bpy.context.scene.cycles.shading_system = True
    tree = material().node_tree
    node = tree.nodes.new("ShaderNodeScript")
    node.mode = "EXTERNAL"
    node.filepath = str(folder / "secret.oso")


def alembic(folder: Path) -> None:
    bpy.ops.object.select_all(action="SELECT")
    wave_modifier = bpy.data.objects["Sphere"].modifiers.new("Wave", "WAVE")
    wave_modifier.height = 2
    bpy.ops.wm.alembic_export(filepath=str(folder / "secret.abc"), start=1, end=3)
    bpy.ops.wm.alembic_import(filepath=str(folder / "secret.abc"), as_background_job=False)


def imported_by_nodes(folder: Path) -> None:
    bpy.ops.wm.obj_export(filepath=str(folder / "secret.obj"))
    group = bpy.data.node_groups.new("Import", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    group.interface.new_socket("Path", in_out="INPUT", socket_type="NodeSocketString")
    given, node, result = (
        group.nodes.new(kind) for kind in ("NodeGroupInput", "GeometryNodeImportOBJ", "NodeGroupOutput")
    )
    group.links.new(given.outputs[1], node.inputs[0])
    group.links.new(node.outputs[0], result.inputs[0])
    modifier = cube().modifiers.new("Import", "NODES")
    modifier.node_group = group
    modifier["Socket_2"] = str(folder / "hidden.obj")


def external_cache(folder: Path) -> None:
    plane = bpy.data.objects["Sphere"]
    modifier = plane.modifiers.new("Cloth", "CLOTH")
    cache = modifier.point_cache
    (folder / "secret_000001_00.bphys").write_bytes(b"BPHYSICS" + struct.pack("<III", 1, 0, 0))
    (folder / "secret_000002_00.bphys").write_bytes(b"BPHYSICS" + struct.pack("<III", 1, 0, 0))
    cache.name = "secret"
    cache.use_external = True
    cache.index = 0
    cache.filepath = str(folder)


def written_by_compositor(folder: Path) -> None:
    scene = bpy.context.scene
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
    layers, output = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(output, "base_path"):
        output.base_path = str(folder)
    else:
        output.directory = str(folder)
        output.file_output_items.new("RGBA", "Image")
    tree.links.new(layers.outputs[0], output.inputs[0])


SEEN_BY_EVALUATION: list[Callable[[Path], None]] = [
    image_file,
    image_tiles,
    partly_packed_tiles,
    environment,
    displacement,
    font,
    picture_strip,
    volume,
    mesh_cache,
    lamp_profile,
    written_by_compositor,
]
"""References that Blender follows in the steps, if it may."""

OTHERS: list[Callable[[Path], None]] = [
    image_sequence,
    speaker,
    movie_clip,
    open_shading_language,
    external_cache,
]
"""References that Blender follows in some builds or versions only."""

if bpy.app.build_options.audaspace:
    OTHERS.append(sound_strip)

if hasattr(bpy.types, "GeometryNodeImportOBJ"):
    # Blender follows it, but after that the bpy module crashes at its end.
    OTHERS.append(imported_by_nodes)

if "abc" in HERE:
    OTHERS.append(alembic)


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    """The folder with files of someone else."""
    folder = tmp_path / "neighbours"
    folder.mkdir()
    return folder


def referring(build_it: Callable[[Path], None], folder: Path) -> bytes:
    """A .blend file that refers to a file in a folder."""
    build()
    add_camera()
    build_it(folder)
    path = folder.parent / "referring.blend"
    # Blender has read some files while the scene was built, and would not read them again.
    data = saved(path, relative_remap=False, compress=False).replace(b"/hidden.", b"/secret.")
    path.write_bytes(data)
    addon.scene_conversion.empty()
    return data


@pytest.mark.parametrize("build_it", [*SEEN_BY_EVALUATION, *OTHERS])
def test_other_files_are_not_read(build_it: Callable[[Path], None], neighbours: Path) -> None:
    data = referring(build_it, neighbours)
    with opened_in(neighbours) as opened:
        results = process(data, STEPS)
    assert opened == set()
    assert results[-1][:4] == b"glTF"
    assert results[1]["counts"]["objects"] >= 3


@pytest.mark.parametrize("build_it", SEEN_BY_EVALUATION)
def test_other_files_are_read_if_they_may_be(build_it: Callable[[Path], None], neighbours: Path) -> None:
    """Without this, the test above could not fail."""
    referring(build_it, neighbours)
    with opened_in(neighbours) as opened:
        bpy.ops.wm.open_mainfile(filepath=str(neighbours.parent / "referring.blend"), load_ui=False, use_scripts=False)
        bpy.context.scene.frame_set(2)
        for name, arguments in STEPS[2:4]:
            handler(name)(*arguments)
    assert opened


@pytest.mark.parametrize("build_it", [image_file, environment, font, volume, mesh_cache, lamp_profile])
def test_process_bytes_reads_other_files_if_it_may(build_it: Callable[[Path], None], neighbours: Path) -> None:
    data = referring(build_it, neighbours)
    with opened_in(neighbours) as opened:
        process(data, STEPS, {"external": True})
    assert opened


@pytest.mark.parametrize(
    "build_it", [each for each in [*SEEN_BY_EVALUATION, *OTHERS] if each is not written_by_compositor]
)
def test_open_file_refuses_references(build_it: Callable[[Path], None], neighbours: Path) -> None:
    referring(build_it, neighbours)
    path = str(neighbours.parent / "referring.blend")
    for name, arguments in (("open_file", (path,)), ("append", (path, "objects", [CUBE]))):
        with (
            opened_in(neighbours) as opened,
            pytest.raises(ValueError, match=r"'referring.blend' loads other files: .*; pass external: true"),
        ):
            handler(name)(*arguments)
        assert opened == set()
    assert handler("open_file")(path, {"external": True}) == path


def test_paths_that_are_relative_lead_nowhere(tmp_path: Path, temporary: Path) -> None:
    build()
    image = bpy.data.images.load(str(picture(tmp_path)))
    path = tmp_path / "relative.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    image.filepath = "//secret.png"
    add_texture(image)
    data = saved(path, relative_remap=False)
    addon.scene_conversion.empty()
    with opened_in(tmp_path) as opened:
        process(data, STEPS[:3])
    assert "secret.png" not in opened


def test_packed_files_stay(tmp_path: Path) -> None:
    build()
    folder = tmp_path / "neighbours"
    folder.mkdir()
    image_file(folder)
    font(folder)
    image = next(each for each in bpy.data.images if each.source == "FILE")
    image.pack()
    next(each for each in bpy.data.fonts if each.filepath != "<builtin>").pack()
    data = saved(tmp_path / "packed.blend")
    shutil.rmtree(folder)
    described, glb_ = process(data, [("describe_scene", []), ("export_bytes", ["glb"])])
    assert described["counts"]["objects"] == 3
    assert b"image/png" in glb_
    assert handler("open_file")(str(tmp_path / "packed.blend"))


def test_packed_tiles_stay(tmp_path: Path) -> None:
    build()
    folder = tmp_path / "neighbours"
    folder.mkdir()
    image_tiles(folder)
    image = next(each for each in bpy.data.images if each.source == "TILED")
    image.pack()
    data = saved(tmp_path / "packed.blend", relative_remap=False)
    with opened_in(folder) as opened:
        glb_ = process(data, [("export_bytes", ["glb"])])[0]
    assert opened == set()
    assert b"image/png" in glb_


def test_a_missing_texture_gives_the_colour_of_the_material(tmp_path: Path) -> None:
    build()
    for each in bpy.data.objects:
        if not each.data.materials:
            bpy.data.objects.remove(each)
    material().node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0, 1, 0, 1)
    without = saved(tmp_path / "without.blend")
    image_file(tmp_path)
    with_one = saved(tmp_path / "with.blend")
    (tmp_path / "secret.png").unlink()
    steps = [("thumbnail", ["scene", None, SMALL])]
    assert process(with_one, steps) == process(without, steps)


def test_linked_libraries_are_refused(tmp_path: Path) -> None:
    build()
    path = tmp_path / "library.blend"
    saved(path)
    addon.scene_conversion.empty()
    handler("link")(str(path), "objects", [CUBE])
    data = saved(tmp_path / "linked.blend", relative_remap=False)
    with (
        opened_in(tmp_path) as opened,
        pytest.raises(ValueError, match=r"links datablocks of other files: .*library.blend; make them local"),
    ):
        process(data, [])
    assert opened == set()
    described = process(data, [("describe_scene", [])], {"external": True})[0]
    assert described["counts"]["vertices"] == 8
    assert len(bpy.data.libraries) == 0


# Limits of .blend files


def test_the_limits_of_a_blend_file(tmp_path: Path) -> None:
    build()
    bpy.data.images.new("Generated", 300, 200).use_fake_user = True
    data = saved(tmp_path / "file.blend", compress=True)
    if importlib.util.find_spec("zstandard") is None:  # As in the Blender of Debian.
        with pytest.raises(ValueError, match="compressed, and this Blender has no Python module zstandard"):
            process(data, [])
        return
    size = handler("inspect_bytes")(data)["unpacked"]
    for limits, said in (
        ({"max_bytes": len(data) - 1}, "max_bytes is"),
        ({"max_unpacked": size - 1}, "would unpack to"),
        ({"max_pixels": 59_999}, "a picture of 300x200 pixels, and max_pixels is 59999"),
    ):
        with pytest.raises(ValueError, match=said):
            process(data, [], limits)
    assert process(data, [], {"max_bytes": len(data), "max_unpacked": size, "max_pixels": 60_000}) == []


def test_a_packed_picture_of_gigabytes(tmp_path: Path) -> None:
    build()
    (tmp_path / "small.png").write_bytes(png())
    image = bpy.data.images.load(str(tmp_path / "small.png"))
    image.pack(data=(huge := png(60_000, 60_000)), data_len=len(huge))
    image.use_fake_user = True
    data = saved(tmp_path / "file.blend")
    with pytest.raises(ValueError, match="a picture of 60000x60000 pixels"):
        process(data, STEPS)
    assert len(bpy.data.objects) == 0


@pytest.mark.parametrize("place", ["vertex", "object"])
def test_coordinates_of_a_blend_file_that_are_not_numbers(place: str, tmp_path: Path) -> None:
    build(motion=False)
    if place == "vertex":
        cube().data.vertices[0].co.x = math.nan
    else:
        cube().location.x = math.nan
    data = saved(tmp_path / "file.blend")
    with pytest.raises(ValueError, match="has a coordinate that is not a finite number"):
        process(data, STEPS)


def test_blend_files_that_are_cut_off(tmp_path: Path) -> None:
    build()
    add_camera()
    data = saved(tmp_path / "file.blend")
    for size in range(0, len(data) - 64, len(data) // 9):
        with pytest.raises(ValueError, match=r"empty|cut off|damaged|not that of any"):
            process(data[:size], [])
    assert len(process(data, STEPS)) == len(STEPS)
