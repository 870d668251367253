"""Pictures: their format and size depend on the call only, and the scene has its old settings afterwards."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import addon
import bpy
import imbuf
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("small_scene")

SMALL = {"engine": "cycles", "samples": 1, "denoise": False, "width": 8, "height": 6}

MAGIC = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "exr": b"\x76\x2f\x31\x01",
    "tiff": b"II*\0",
    "webp": b"RIFF",
    "hdr": b"#?RADIANCE",
    "tga": b"\0\0\n",
    "bmp": b"BM",
    "jp2": b"\0\0\0\x0cjP",
}


@pytest.fixture
def small_scene(scene_handlers: None) -> None:
    """The default scene, with settings for a picture of 8x6 pixels that takes no time."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.render.resolution_x, scene.render.resolution_y = 8, 6
    scene.frame_end = 10
    # The image for results is there before the first dump.
    bpy.ops.render.render()


def still(**options: Any) -> Any:
    return addon.scene_render.render_still(options)


def frames(folder: Any, **options: Any) -> list[str]:
    """The paths that `render_animation` returns."""
    return returned(addon.scene_render.render_animation(folder, options))


def returned(call: Any) -> Any:
    """The result of a long call."""
    while True:
        try:
            next(call)
        except StopIteration as end:
            return end.value


def png(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, bits of a channel and type of colour (2: RGB, 6: RGBA) of a PNG file."""
    assert data[:8] == MAGIC["png"]
    assert data[-12:-4] == b"\0\0\0\0IEND"
    found: tuple[int, int, int, int] = struct.unpack(">IIBB", data[16:26])
    return found


def exr_channels(data: bytes) -> dict[str, int]:
    """The channels of an OpenEXR file, and the type of each: 1 for half floats, 2 for floats."""
    assert data[:4] == MAGIC["exr"]
    at = data.index(b"channels\0chlist\0") + len(b"channels\0chlist\0") + 4
    found = {}
    while data[at]:
        name, rest = data[at:].split(b"\0", 1)
        found[name.decode()] = int.from_bytes(rest[:4], "little")
        at += len(name) + 1 + 16
    return found


def test_the_result_is_a_png() -> None:
    assert png(still()) == (8, 6, 8, 6)


# Settings of the user that must not have an effect on the result.


def _video(scene: Any) -> None:
    if bpy.app.version >= (5, 0, 0):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MKV", "FFV1"
    scene.render.ffmpeg.gopsize = 7


def _layers(scene: Any) -> None:
    if bpy.app.version >= (5, 0, 0):
        scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"


def _file(format_: str, depth: str, mode: str) -> Callable[[Any], None]:
    def change(scene: Any) -> None:
        settings = scene.render.image_settings
        settings.file_format, settings.color_mode, settings.color_depth = format_, mode, depth
        settings.quality, settings.compression = 11, 12

    return change


def _override(scene: Any) -> None:
    settings = scene.render.image_settings
    settings.color_management = "OVERRIDE"
    settings.view_settings.view_transform = "Raw"
    settings.view_settings.exposure = 3.0


def _stereo(views: str, files: str) -> Callable[[Any], None]:
    def change(scene: Any) -> None:
        scene.render.use_multiview = True
        scene.render.views_format = views
        scene.render.image_settings.views_format = files
        scene.render.image_settings.stereo_3d_format.display_mode = "SIDEBYSIDE"

    return change


def _border(scene: Any) -> None:
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_max_x = 0.5


def _set(**settings: Any) -> Callable[[Any], None]:
    def change(scene: Any) -> None:
        for name, value in settings.items():
            setattr(scene.render, name, value)

    return change


SETTINGS: dict[str, Callable[[Any], None]] = {
    "video": _video,
    "layers": _layers,
    "EXR, 32 bits": _file("OPEN_EXR", "32", "RGB"),
    "EXR, 16 bits": _file("OPEN_EXR", "16", "RGBA"),
    "PNG, grey": _file("PNG", "16", "BW"),
    "JPEG": _file("JPEG", "8", "BW"),
    "TIFF": _file("TIFF", "16", "RGB"),
    "HDR": _file("HDR", "32", "RGB"),
    "DPX": _file("DPX", "12", "RGB"),
    "own colour management": _override,
    "stereo, one file": _stereo("STEREO_3D", "STEREO_3D"),
    "stereo, two files": _stereo("STEREO_3D", "INDIVIDUAL"),
    "views, one file": _stereo("MULTIVIEW", "STEREO_3D"),
    "views, files": _stereo("MULTIVIEW", "INDIVIDUAL"),
    "border": _border,
    "percentage": _set(resolution_percentage=50),
    "suffix": _set(use_file_extension=True, use_overwrite=False, use_placeholder=True),
    "output path": _set(filepath="//nowhere/{blend_name}/####"),
}


@pytest.fixture(params=SETTINGS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A scene with other settings for its output; returns the dump of it."""
    SETTINGS[request.param](bpy.context.scene)
    return scene_dump.dump("scenes", "images")


def test_the_settings_of_the_output_have_no_effect(settings: dict[str, Any], tmp_path: Path) -> None:
    assert png(still()) == (8, 6, 8, 6)
    assert png(still(width=12, depth=16)) == (12, 6, 16, 6)
    path = str(tmp_path / "x.exr")
    assert still(path=path) == path
    assert exr_channels(Path(path).read_bytes()) == dict.fromkeys("ABGR", 1)
    assert [Path(each).name for each in frames(str(tmp_path), last=2)] == ["0001.png", "0002.png"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0001.png", "0002.png", "x.exr"]
    assert scene_dump.changed(settings, "scenes", "images") == {}


def test_the_settings_are_those_of_before_after_a_failure(settings: dict[str, Any], tmp_path: Path) -> None:
    with _broken_files(), pytest.raises(OSError, match=r"^Blender could not write the whole picture"):
        still(**SMALL)
    with _broken_files(), pytest.raises(OSError, match=r"^Blender could not write the whole picture"):
        frames(str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []
    assert scene_dump.changed(settings, "scenes", "images") == {}


@contextmanager
def _broken_files() -> Iterator[None]:
    """Cuts each file that Blender writes while it renders, as a full disk does."""

    def cut(*_scene: object) -> None:
        part = Path(bpy.path.abspath(bpy.context.scene.render.filepath.replace("{{", "{").replace("}}", "}")))
        part.write_bytes(part.read_bytes()[:-20])

    bpy.app.handlers.render_write.append(cut)
    try:
        yield
    finally:
        bpy.app.handlers.render_write.remove(cut)


@pytest.mark.parametrize("files", ["STEREO_3D", "INDIVIDUAL"])
@pytest.mark.parametrize("views", ["STEREO_3D", "MULTIVIEW"])
def test_stereo_scenes_can_render_one_view(views: str, files: str, tmp_path: Path) -> None:
    cube = bpy.data.objects["Cube"]
    cube.scale = (0.2, 5.0, 5.0)
    camera = bpy.context.scene.camera
    camera.data.stereo.interocular_distance = 3.0
    if views == "MULTIVIEW":
        # Each view has a camera of its own, whose name ends with the suffix of the view.
        camera.name = "Camera_L"
        other = bpy.data.objects.new("Camera_R", camera.data)
        other.matrix_world = camera.matrix_world
        other.location.x += 3.0
        bpy.context.scene.collection.objects.link(other)
    plain = pixels(still(width=64, height=16))
    _stereo(views, files)(bpy.context.scene)
    before = scene_dump.dump("scenes", "images")
    assert pixels(still(width=64, height=16)) == plain
    left, right = (pixels(still(width=64, height=16, view=view)) for view in ("left", "right"))
    assert left != right
    path = str(tmp_path / "x.png")
    assert still(width=64, height=16, view="right", path=path) == path
    assert pixels(Path(path).read_bytes()) == right
    assert [each.name for each in tmp_path.iterdir()] == ["x.png"]
    assert scene_dump.changed(before, "scenes", "images") == {}


def pixels(data: bytes) -> tuple[float, ...]:
    """The pixels of a picture."""
    path = Path(bpy.app.tempdir or "/tmp", "read.png")
    path.write_bytes(data)
    image = bpy.data.images.load(str(path))
    try:
        return tuple(image.pixels)
    finally:
        bpy.data.images.remove(image)
        path.unlink()


def test_a_view_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"^no view 'left' to render; there are: none$"):
        still(view="left")
    _stereo("STEREO_3D", "INDIVIDUAL")(bpy.context.scene)
    with pytest.raises(ValueError, match=r"^no view 'middle' to render; there are: left, right$"):
        still(view="middle")


def _writable() -> Iterator[tuple[str, int]]:
    from_blender = bpy.types.ImageFormatSettings.bl_rna.properties["file_format"].enum_items
    for name, format_ in (
        ("png", ("PNG", (8, 16))),
        ("jpeg", ("JPEG", (8,))),
        ("exr", ("OPEN_EXR", (16, 32))),
        ("tiff", ("TIFF", (8, 16))),
        ("webp", ("WEBP", (8,))),
        ("hdr", ("HDR", (32,))),
        ("tga", ("TARGA", (8,))),
        ("bmp", ("BMP", (8,))),
        ("jp2", ("JPEG2000", (8, 12, 16))),
    ):
        if format_[0] in from_blender:
            yield from ((name, depth) for depth in format_[1])


@pytest.mark.parametrize(("name", "depth"), _writable())
def test_formats(name: str, depth: int, tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = 64  # A picture of JPEG 2000 cannot be smaller.
    path = tmp_path / f"x.{name}"
    assert still(path=str(path), depth=depth) == str(path)
    data = still(format=name, depth=float(depth))
    for written in (path.read_bytes(), data):
        assert written.startswith(MAGIC[name])
    assert tuple(imbuf.load(str(path)).size) == (64, 64)
    if name == "png":
        assert png(data) == (64, 64, depth, 6)
    if name == "exr":
        assert exr_channels(data) == dict.fromkeys("ABGR", depth // 16)
    assert frames(str(tmp_path), last=1, format=name) == [str(tmp_path / f"0001.{name}")]


@pytest.mark.parametrize(("suffix", "name"), [(".jpg", "jpeg"), (".JPG", "jpeg"), (".tif", "tiff"), (".Png", "png")])
def test_other_suffixes(suffix: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    still(path=str(path))
    assert path.read_bytes().startswith(MAGIC[name])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"path": "x.xyz"}, r"the suffix of the path selects the format, but that of 'x.xyz' is none of: .png, "),
    ({"path": "x"}, "the suffix of the path selects the format"),
    ({"path": "x.png", "format": "exr"}, "the format exr does not fit the path 'x.png'"),
    ({"path": list(b"x.png")}, 'the path has to be a binary: write <<"x.png">>'),
    ({"path": None, "format": "gif"}, "no format 'gif'; there are: bmp, exr"),
    ({"depth": 32}, "the depth of PNG cannot be 32; possible: 8, 16"),
    ({"depth": 8.5}, "depth has to be an integer, not 8.5"),
    ({"width": 640.5}, "width has to be an integer, not 640.5"),
    ({"width": 3}, "width has to be from 4 to 65536, not 3"),
    ({"height": 65537}, "height has to be from 4 to 65536"),
    ({"height": "6"}, "height has to be an integer, not '6'"),
    ({"samples": 0}, "samples has to be from 1 to "),
    ({"samples": True}, "samples has to be an integer, not True"),
    ({"denoise": 1}, "denoise has to be true or false, not 1"),
    ({"engine": "povray"}, "no engine 'povray'; there are: cycles, eevee, workbench"),
    ({"engine": list(b"cycles")}, 'the engine has to be a binary: write <<"cycles">>'),
    ({"wide": 8, "high": 6}, "no option 'high' and no option 'wide'; there are: "),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_what_is_refused_changes_nothing(
    options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = scene_dump.dump("scenes", "images")
    with pytest.raises(ValueError, match=f"^{said}"):
        still(**options)
    if "path" not in options:
        with pytest.raises(ValueError, match=f"^{said}"):
            frames("new", **options)
    assert scene_dump.changed(before, "scenes", "images") == {}
    assert list(tmp_path.iterdir()) == []


def test_an_integer_may_be_a_float_without_a_fraction(tmp_path: Path) -> None:
    assert png(still(width=12.0, height=8.0, samples=1.0)) == (12, 8, 8, 6)
    assert len(frames(str(tmp_path), first=1.0, last=3.0, step=2.0)) == 2


def test_paths_of_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "saved").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved" / "file.blend"))
    for given, found in (
        ("x.png", tmp_path / "x.png"),
        ("~/x.png", tmp_path / "home" / "x.png"),
        ("//x.png", tmp_path / "saved" / "x.png"),
        ("a##b {x} {{y}.png", tmp_path / "a##b {x} {{y}.png"),
        ("f{o}lder##/größe.png", tmp_path / "f{o}lder##" / "größe.png"),
    ):
        assert still(path=given) == str(found)
        assert png(found.read_bytes()) == (8, 6, 8, 6)
    assert frames("~/frames", last=1) == [str(tmp_path / "home" / "frames" / "0001.png")]
    assert not (tmp_path / "~").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    (tmp_path / "file").write_text("old")
    before = scene_dump.dump("scenes", "images")
    with pytest.raises(OSError, match=r"^cannot write '.*x.png': it is a folder$"):
        still(path=str(tmp_path / "x.png"))
    with pytest.raises(OSError, match=r"^cannot write '.*0001.png': "):
        frames(str(tmp_path / "file"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "x.png"]
    assert scene_dump.changed(before, "scenes", "images") == {}


def test_a_picture_that_is_not_complete_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    target.write_text("old")
    with _broken_files(), pytest.raises(OSError, match=r"^Blender could not write the whole picture"):
        still(path=str(target))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x.png", "old")]


def test_an_error_of_blender_names_the_file_of_the_caller(tmp_path: Path) -> None:
    target = tmp_path / "x.jp2"  # This format is not possible for a picture of this size.
    with pytest.raises(RuntimeError, match=rf"^Blender could not render: .*'{target}'"):
        still(path=str(target))
    assert list(tmp_path.iterdir()) == []


# Scenes


def test_a_scene_without_a_camera(tmp_path: Path) -> None:
    bpy.context.scene.camera = None
    before = scene_dump.dump("scenes", "images")
    for call in (still, lambda: frames(str(tmp_path / "new"))):
        with pytest.raises(ValueError, match=r"^the scene has no camera: make one with create_camera$"):
            call()
    assert scene_dump.changed(before, "scenes", "images") == {}


def test_a_scene_without_a_world() -> None:
    bpy.context.scene.world = None
    assert png(still()) == (8, 6, 8, 6)


def test_the_first_render_that_fails_leaves_no_result_image() -> None:
    bpy.data.batch_remove([image for image in bpy.data.images if image.type == "RENDER_RESULT"])
    before = scene_dump.dump("scenes", "images")
    with _broken_files(), pytest.raises(OSError, match="whole picture"):
        still()
    assert scene_dump.changed(before, "scenes", "images") == {}


def test_pictures_of_the_sequencer_need_no_camera() -> None:
    scene = bpy.context.scene
    scene.camera = None
    editor = scene.sequence_editor_create()
    strips = editor.strips if bpy.app.version >= (4, 4, 0) else editor.sequences
    end = {"length": 10} if bpy.app.version >= (5, 0, 0) else {"frame_end": 11}
    strip = strips.new_effect("Red", "COLOR", channel=1, frame_start=1, **end)
    strip.color = (1.0, 0.0, 0.0)
    red, green = pixels(still())[:2]
    assert red > 0.5 > green


def test_edit_mode_is_no_obstacle() -> None:
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    bpy.ops.object.mode_set(mode="EDIT")
    assert png(still()) == (8, 6, 8, 6)
    assert bpy.context.mode == "EDIT_MESH"


# Frames


def test_frames_are_those_of_the_scene(tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.frame_step = 2, 9, 3
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 4, 5
    scene.frame_set(7, subframe=0.25)
    before = scene_dump.dump("scenes", "images")
    assert [Path(each).name for each in frames(str(tmp_path))] == ["0002.png", "0005.png", "0008.png"]
    assert [Path(each).name for each in frames(str(tmp_path), step=7)] == ["0002.png", "0009.png"]
    assert [Path(each).name for each in frames(str(tmp_path), first=3, last=4)] == ["0003.png"]
    assert scene_dump.changed(before, "scenes", "images") == {}


def test_negative_and_large_frames_have_the_names_of_blender(tmp_path: Path) -> None:
    found = frames(str(tmp_path), first=-1, last=0, step=1)
    found += frames(str(tmp_path), first=123456, last=123456)
    assert [Path(each).name for each in found] == ["-0001.png", "0000.png", "123456.png"]


def test_the_frame_and_the_camera_are_those_of_before_in_each_pause(tmp_path: Path) -> None:
    scene = bpy.context.scene
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    marker = scene.timeline_markers.new("cut", frame=3)
    marker.camera = other
    scene.frame_set(8, subframe=0.5)
    scene.camera = bpy.data.objects["Camera"]
    before = scene_dump.dump("scenes", "images")
    call = addon.scene_render.render_animation(str(tmp_path), {"first": 2, "last": 5})
    for done in range(1, 5):
        assert next(call) == (done, 4)
        assert scene_dump.changed(before, "scenes", "images") == {}
    call.close()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_scene_that_is_deleted_ends_the_animation(tmp_path: Path) -> None:
    call = addon.scene_render.render_animation(str(tmp_path), {"last": 3})
    next(call)
    old = bpy.context.scene
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(old)
    with pytest.raises(LookupError, match=r"^the scene 'Scene' does not exist any more$"):
        next(call)


FRAMES = [
    ({"first": 2, "last": 1}, "the last frame, 1, comes before the first, 2"),
    ({"first": 1.5}, "first has to be an integer, not 1.5"),
    ({"last": 2**31}, "last has to be from -1048574 to 1048574"),
    ({"step": 0}, "step has to be at least 1, not 0"),
    ({"step": -1}, "step has to be at least 1, not -1"),
]


@pytest.mark.parametrize(("options", "said"), FRAMES)
def test_frames_that_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    for call in (
        addon.scene_render.render_animation(str(tmp_path / "new"), options),
        addon.scene_animation.bake_motion("Cube", options),
    ):
        with pytest.raises(ValueError, match=f"^{said}"):
            next(call)
    assert list(tmp_path.iterdir()) == []
