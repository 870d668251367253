"""Pictures of Blender's windows by the handler `screenshot` show what the screen shows."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import install, started
from window import HEIGHT, PICTURES, WIDTH, System, Window

from tests.blender.erlang import ErlError, erl

NODE = f"gui_{os.getpid()}@127.0.0.1"

ALIKE = 4.0
"""The largest mean difference of two pictures of the same, of 255. The mouse pointer, for example, differs."""

Pixels = Any
"""The pixels of a picture, of shape (height, width, 3), with the highest row first."""


class Pictured:
    """A Blender whose node runs, with Scene Handlers."""

    def __init__(self, window: Window, system: System, folder: Path, environment: dict[str, str]) -> None:
        self.window = window
        self._system = system
        self._folder = folder
        self._environment = environment

    def call(self, function: str, arguments: str = "[]") -> Any:
        return erl(f"erpc:call('{NODE}', 'Elixir.Gui', {function}, {arguments}, 120000)", self._environment)

    def screenshot(self, name: str, options: str = "#{}") -> Pixels:
        """Call the handler. The picture is out/gui/NAME.png then."""
        data = self.call("screenshot", f"[{options}]")
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(data)
        file = self._folder / "picture.png"
        file.write_bytes(data)
        return self.pixels(file)

    def pixels(self, file: Path) -> Pixels:
        """The pixels of a PNG file."""
        seen = self._system.seen(file)
        width, height = map(int, self.window.screen.run("identify", "-format", "%w %h", seen).split())
        raw = self.window.screen.run("convert", seen, "-alpha", "off", "-depth", "8", "rgb:-")
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)

    def screen(self) -> Pixels:
        """The pixels of the screen."""
        self.window.settle()
        raw = self.window.screen.run("import", "-window", "root", "-depth", "8", "rgb:-")
        return np.frombuffer(raw, np.uint8).reshape(HEIGHT, WIDTH, 3)


def difference(left: Pixels, right: Pixels) -> float:
    assert left.shape == right.shape
    # A picture of one colour would be no picture of a window.
    assert left.std() > 10 < right.std()
    return float(np.abs(left.astype(int) - right).mean())


def cut(pixels: Pixels, place: dict[str, Any]) -> Pixels:
    """The part of the screen's pixels in a rectangle whose y is counted from below."""
    top = pixels.shape[0] - place["y"] - place["height"]
    return pixels[top : top + place["height"], place["x"] : place["x"] + place["width"]]


@pytest.fixture
def pictured(
    system: System, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Pictured]:
    install(system, folder, environment)
    (package,) = folder.glob("scene_handlers-*.zip")
    command = system.command(
        system.blender, "--command", "extension", "install-file", "-r", "user_default", "-e", system.seen(package)
    )
    subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=120, check=True)
    with started(Window(system, folder, environment, "screenshots.py"), request.node) as window:
        window.wait(lambda report: report["state"] == "running", "the node runs")
        window.press("Escape")  # The splash screen goes.
        window.hover(5, HEIGHT - 5)
        yield Pictured(window, system, folder, environment)


def test_a_picture_shows_what_the_screen_shows(pictured: Pictured, system: System, folder: Path) -> None:
    whole = pictured.screenshot("screenshot_window")
    assert difference(whole, pictured.screen()) < ALIKE

    # The next picture shows a change that Blender has not drawn by itself.
    pictured.call("create_cube", '[<<"Box">>, #{size => 8.0}]')
    changed = pictured.screenshot("screenshot_changed")
    now = pictured.screen()
    assert difference(changed, now) < ALIKE < difference(whole, now)

    area = next(each for each in pictured.window.report()["windows"][0]["areas"] if each["type"] == "VIEW_3D")
    view = pictured.screenshot("screenshot_area", "#{area => 'VIEW_3D'}")
    assert difference(view, cut(pictured.screen(), area)) < ALIKE

    small = pictured.screenshot("screenshot_small", "#{largest_side => 320}")
    assert small.shape == (200, 320, 3)
    mean = whole.reshape(200, 4, 320, 4, 3).mean(axis=(1, 3))
    assert difference(small, mean) < 3 * ALIKE

    target = system.seen(folder / "new folder" / "window.png")
    assert pictured.call("screenshot", f'[#{{path => <<"{target}">>}}]') == target
    assert difference(pictured.pixels(folder / "new folder" / "window.png"), pictured.screen()) < ALIKE

    for options in ("#{window => 1}", "#{area => 'CLIP_EDITOR'}"):
        with pytest.raises(ErlError):
            pictured.call("screenshot", f"[{options}]")


def test_each_window_has_its_own_picture(pictured: Pictured) -> None:
    alone = pictured.screen()
    assert pictured.call("open_window") == 2
    report = pictured.window.wait(lambda report: len(report["windows"]) == 2, "two windows")
    pictured.window.settle()
    # The second window covers a part of the first one.
    covered = pictured.screen()
    assert difference(covered, alone) > ALIKE
    assert difference(pictured.screenshot("screenshot_first"), alone) < ALIKE
    second = pictured.screenshot("screenshot_second", "#{window => 1}")
    assert difference(second, cut(covered, report["windows"][1])) < ALIKE
    assert difference(pictured.screenshot("screenshot_first_again", "#{window => 0}"), alone) < ALIKE
