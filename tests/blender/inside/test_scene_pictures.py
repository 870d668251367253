"""Pictures for subscribers: files from pixels, topics, and the frames of a render."""

from pathlib import Path
from typing import Any

import addon
import bpy
import in_blender
import numpy as np
import pytest
import scene_dump
from left_behind import app_handlers

from beam_bpy import BeamServer

SIZES = [(1, 1), (3, 70), (16, 16), (17, 33), (54, 96)]


def smooth(height: int, width: int) -> Any:
    """Pixels of a gradient with a reddish rectangle, without extreme values, which a decoder would have to cut."""
    y, x = np.mgrid[0:height, 0:width]
    shades = (x * 127 // width, y * 127 // height, (x + y) * 127 // (width + height))
    made = (np.stack(shades, axis=-1) + 64).astype(np.uint8)
    made[height // 4 : height // 2, width // 4 : width // 2] = (190, 80, 80)
    return made


def brightness(pixels: Any) -> Any:
    return pixels @ (0.299, 0.587, 0.114)


def decoded(data: bytes, file: Path) -> Any:
    """The pixels of a file as Blender reads it, from top to bottom."""
    file.write_bytes(data)
    image = bpy.data.images.load(str(file))
    width, height = image.size
    numbers = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(numbers)
    bpy.data.images.remove(image)
    return np.rint(numbers.reshape(height, width, -1)[::-1, :, :3] * 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_png_file_has_the_same_pixels(size: tuple[int, int], scene_handlers: None, tmp_path: Path) -> None:
    pixels = smooth(*size)
    for level in (-1, 0, 1, 9):
        assert np.array_equal(decoded(addon.scene_encoding.png(pixels, level), tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("size", SIZES)
def test_a_jpeg_file_has_nearly_the_same_shades(size: tuple[int, int], scene_handlers: None, tmp_path: Path) -> None:
    pixels = smooth(*size)
    errors, lengths = [], []
    for quality in (1, 25, 50, 75, 100):
        data = addon.scene_encoding.jpeg(pixels, quality)
        found = decoded(data, tmp_path / "a.jpg")
        assert found.shape == pixels.shape
        # The colours have half the resolution.
        errors.append(np.abs(brightness(found) - brightness(pixels)).mean())
        lengths.append(len(data))
    assert errors[-1] < 2
    assert errors[0] >= errors[-1]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_a_jpeg_file_of_any_pixels(quality: int, scene_handlers: None, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    grey = random.integers(0, 2, (64, 80, 1)).repeat(3, axis=2).astype(np.uint8) * 255
    for pixels in (grey, grey // 255 * 0, grey // 255 * 0 + 255, random.integers(0, 256, (64, 80, 3)).astype(np.uint8)):
        found = decoded(addon.scene_encoding.jpeg(pixels, quality), tmp_path / "a.jpg").astype(int)
        assert found.shape == pixels.shape
        # Noise loses its details and keeps its mean.
        assert abs(found.mean() - pixels.mean()) < 8
    # Black and white noise of full quality keeps each pixel, because the colours have no details.
    if quality == 100:
        assert np.abs(decoded(addon.scene_encoding.jpeg(grey, 100), tmp_path / "a.jpg").astype(int) - grey).max() < 8


def render_frames(last: int) -> None:
    """Render the frames 1 to `last` as an animation of Blender."""
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, last
    bpy.context.scene.render.filepath = bpy.app.tempdir + "rendered_"
    bpy.ops.render.render(animation=True)


@pytest.fixture
def served(scene_handlers: None, server: BeamServer) -> None:
    """A running server, and a scene that Blender renders in a moment."""
    scene = bpy.context.scene
    render = scene.render
    render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 48, 100
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "16"
    server.expose(render_frames)
    bpy.ops.beam_bpy.start_server()


def received(options: str, code: str) -> list[dict[str, Any]]:
    """The pictures that a subscriber gets while Erlang code runs. In it, Call(Function, Arguments) calls a handler."""
    found: list[dict[str, Any]] = in_blender.erl(
        f"""
        Call = fun(Function, Arguments) -> erpc:call(N, scene, Function, Arguments, 60000) end,
        Topic = Call(watch_render, [{options}]), ok = Call(subscribe, [Topic]),
        {code},
        fun Next() -> receive {{beam_bpy_event, N, Topic, Payload}} -> [Payload | Next()] after 0 -> [] end end()
        """
    )
    return found


def test_each_rendered_frame_is_a_picture(served: None, tmp_path: Path) -> None:
    before = scene_dump.dump("scenes")
    frames = received("#{largest_side => 32, format => png}", "Call(render_frames, [2])")
    assert [(each["frame"], each["width"], each["height"]) for each in frames] == [(1, 32, 24), (2, 32, 24)]
    assert all((each["scene"], each["format"]) == ("Scene", "png") for each in frames)
    for each in frames:
        pixels = decoded(each["data"], tmp_path / "a.png")
        assert pixels.shape == (24, 32, 3)
        assert pixels.std() > 5
    changed = scene_dump.changed(before, "scenes")
    assert [path for path in changed if "image_settings" in path] == []


def test_a_picture_has_the_colours_of_a_png_file_of_the_scene(served: None, tmp_path: Path) -> None:
    file = tmp_path / "still.png"
    for format_, error in (("png", 0), ("jpeg", 4)):
        (picture,) = received(f"#{{format => {format_}}}", f'Call(render_still, [#{{path => <<"{file}">>}}])')
        assert (picture["width"], picture["height"]) == (64, 48)
        found = decoded(picture["data"], tmp_path / f"picture.{format_}").astype(int)
        assert np.abs(found - decoded(file.read_bytes(), tmp_path / "copy.png")).mean() <= error


def test_handlers_with_a_scene_of_their_own_send_no_pictures(served: None) -> None:
    options = "#{width => 16, height => 16, samples => 1}"
    assert received("#{}", f'Call(thumbnail, [object, <<"Cube">>, {options}])') == []


def test_no_picture_is_made_without_subscribers(served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(addon.scene_render_pictures, "_picture", lambda *_arguments: made.append(1))
    in_blender.erl("erpc:call(N, scene, watch_render, []), erpc:call(N, scene, render_frames, [1], 60000)")
    assert made == []
    code = "Call(render_frames, [1]), Call(unsubscribe, [Topic]), Call(render_frames, [1])"
    assert received("#{}", code) == [None]
    assert made == [1]


def test_a_topic_without_subscribers_is_forgotten(served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, streams = addon.scene_render_pictures, addon.scene_streams
    first = pictures.watch_render({"largest_side": 10})
    assert first == pictures.watch_render([("largest_side", 10.0), ("format", "jpeg")])
    second = pictures.watch_render({"largest_side": 11})
    assert first != second
    assert len(pictures._state.streams) == 2
    monkeypatch.setattr(streams, "FORGET_AFTER", 0.0)
    third = pictures.watch_render({"largest_side": 12})
    assert third not in (first, second)
    assert len(pictures._state.streams) == 1


def test_without_a_window_there_is_no_viewport(served: None) -> None:
    with pytest.raises(ValueError, match="this Blender has no window: render_still and thumbnail"):
        addon.scene_viewport.watch_viewport()


def test_nothing_remains_after_unregister(scene_handlers: None) -> None:
    before = app_handlers()
    addon.scene_render_pictures.unregister()
    assert len(app_handlers()) == len(before) - 1
    addon.scene_render_pictures.register(addon.scene_events._state.server)
    assert len(app_handlers()) == len(before)
