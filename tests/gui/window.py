"""A real Blender with a window, on a screen of its own, and a hand for its mouse and keyboard.

Where to click is found from the rectangles of Blender's regions, which a script inside it writes down
(inside/report.py), and from the sizes of its widgets: the screen, the windows and the resolution scale are the same in
every run.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).parent / "inside"
PICTURES = REPOSITORY / "out" / "gui"

WIDTH, HEIGHT = 1280, 800
DIALOG = (180, 60, 920, 680)
"""Where the second window and those after it are put, as a window manager would: left, top, width, height."""

TIMEOUT = 120.0
"""Seconds after which a test gives up on something that has to happen."""

TRIES = 4
"""How often a click is tried that is to have an effect which Blender reports."""

Report = dict[str, Any]


class System:
    """Where Blender and the programs that a screen needs come from: this system, or one in a folder, run by chroot.

    Args:
        root: the folder of that system, "/" for this one.
        blender: its Blender.
    """

    def __init__(self, root: Path, blender: str) -> None:
        self.root = root
        self.blender = blender

    @classmethod
    def from_environment(cls) -> "System":
        """The program that BLENDER names, or the system folder that BLENDER_ROOT names."""
        if "BLENDER" in os.environ:
            found = shutil.which(os.environ["BLENDER"])
            assert found, f"BLENDER is {os.environ['BLENDER']!r}, and there is no such program"
            return cls(Path("/"), str(Path(found).absolute()))
        assert "BLENDER_ROOT" in os.environ, (
            "set BLENDER to a Blender, or BLENDER_ROOT to what tools/debian13 gui prints"
        )
        return cls(Path(os.environ["BLENDER_ROOT"]), "blender")

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command that runs one of its programs."""
        return [*([] if str(self.root) == "/" else ["chroot", str(self.root)]), program, *arguments]

    def seen(self, path: Path) -> str:
        """A path below `root` as its programs see it."""
        return "/" + str(path.relative_to(self.root))


def eventually(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Wait until `condition` is true, for things that nobody announces; returns its value."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"it never happened: {what}")


class Screen:
    """An X server without a monitor."""

    def __init__(self, system: System) -> None:
        self._system = system
        sockets = system.root / "tmp" / ".X11-unix"
        sockets.mkdir(exist_ok=True)
        sockets.chmod(0o1777)
        size = f"{WIDTH}x{HEIGHT}x24"
        # It takes the first display number that is free, and prints it.
        self._process = subprocess.Popen(
            system.command("Xvfb", "-displayfd", "1", "-screen", "0", size, "-nolisten", "tcp", "-noreset"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        number = self._process.stdout.readline().strip()
        assert number, "Xvfb did not start"
        self.display = f":{number}"

    def run(self, *command: str) -> bytes:
        """Run a program on this screen; returns what it printed."""
        environment = {**os.environ, "DISPLAY": self.display}
        done = subprocess.run(
            self._system.command(*command), env=environment, cwd="/", capture_output=True, timeout=60, check=False
        )
        return done.stdout

    def stop(self) -> None:
        """End the X server, and with it whatever has a window there."""
        self._process.terminate()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Window:
    """A Blender with a window, and what a person does with it.

    Args:
        system: whose Blender.
        folder: a new folder below the system's root; Blender's settings and the scripts live there.
        environment: more variables for Blender.
        scripts: files of inside/ that Blender runs when it has started.
    """

    def __init__(self, system: System, folder: Path, environment: dict[str, str], *scripts: str) -> None:
        self.folder = folder
        self._system = system
        self._report = folder / "report.json"
        self._log = folder / "blender.log"
        self.screen = Screen(system)
        options = ["--window-geometry", "0", "0", str(WIDTH), str(HEIGHT)]
        for script in ("report.py", *scripts):
            options += ["--python", system.seen(Path(shutil.copy(INSIDE / script, folder)))]
        own = {
            "DISPLAY": self.screen.display,
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "GUI_REPORT": system.seen(self._report),
        }
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                system.command(system.blender, "--python-use-system-env", *options),
                env={**environment, **own},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def printed(self) -> str:
        """The text that Blender has printed."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self.screen.stop()

    def picture(self, name: str) -> Path:
        """Photograph the screen, as out/gui/NAME.png."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        target = PICTURES / f"{name}.png"
        target.write_bytes(self.screen.run("import", "-window", "root", "png:-"))
        return target

    def report(self) -> Report:
        """The last report that Blender wrote about its state."""
        told: Report = json.loads(self._report.read_text())
        return told

    def wait(self, condition: Callable[[Report], Any], what: str, timeout: float = TIMEOUT) -> Report:
        """Wait until Blender reports what `condition` looks for."""

        def told() -> Report | None:
            assert self.process.poll() is None, f"Blender has ended:\n{self.printed()}"
            report = self.report() if self._report.exists() else None
            return report if report and condition(report) else None

        found: Report = eventually(told, what, timeout)
        return found

    def settle(self) -> Report:
        """Wait until Blender's main loop has gone round: it has seen by then what mouse and keyboard did."""
        number = self.report()["number"]
        return self.wait(lambda report: report["number"] >= number + 3, "Blender's main loop goes round")

    def hover(self, x: int, y: int) -> None:
        """Move the mouse, in pixels from the screen's upper left corner."""
        # A widget notices a mouse that moves over it, not one that is there at once.
        self.screen.run("xdotool", "mousemove", str(x - 3), str(y - 2))
        self.settle()
        self.screen.run("xdotool", "mousemove", str(x), str(y))
        self.settle()

    def click(self, x: int, y: int, times: int = 1) -> None:
        """Click with the left button."""
        self.hover(x, y)
        for _ in range(times):
            self.screen.run("xdotool", "click", "1")
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys one after the other, each as xdotool names it."""
        for key in keys:
            self.screen.run("xdotool", "key", key)
            self.settle()

    def type(self, text: str) -> None:
        """Type a text."""
        self.screen.run("xdotool", "type", "--delay", "20", text)
        self.settle()

    def until(self, act: Callable[[], None], condition: Callable[[Report], Any], what: str) -> Report:
        """Do something until Blender reports its effect: a person clicks again, too, where the first one was lost."""
        for _ in range(TRIES - 1):
            act()
            with contextlib.suppress(AssertionError):
                return self.wait(condition, what, timeout=8)
            self.press("Escape")
        act()
        return self.wait(condition, what, timeout=20)

    def place_dialog(self, title: str) -> None:
        """Move a new window to where all of it can be seen, which is a window manager's business elsewhere."""
        find = ("xdotool", "search", "--onlyvisible", "--name", title)
        number = eventually(lambda: self.screen.run(*find).split(), f"a window '{title}'")[-1].decode()
        left, top, width, height = map(str, DIALOG)
        self.screen.run("xdotool", "windowmove", number, left, top)
        self.screen.run("xdotool", "windowsize", number, width, height)
        self.wait(lambda report: report["windows"][-1]["width"] == DIALOG[2], f"'{title}' has its size")
        self.settle()

    def put_away(self, title: str) -> None:
        """Take a window from the screen, as the button of a window manager does."""
        find = ("xdotool", "search", "--onlyvisible", "--name", title)
        self.screen.run("xdotool", "windowunmap", self.screen.run(*find).split()[-1].decode())
        eventually(lambda: not self.screen.run(*find), f"'{title}' is gone from the screen")
        self.settle()

    def in_dialog(self, x: int, y: int) -> tuple[int, int]:
        """Screen coordinates of a point in the dialog: from the upper left corner, or from the others if negative."""
        left, top, width, height = DIALOG
        return left + x % width, top + y % height


def region(report: Report, area_type: str, region_type: str) -> dict[str, int] | None:
    """A region's rectangle in the first window; `left` and `top` count from the screen's upper left corner."""
    main = report["windows"][0]
    for area in main["areas"]:
        for found in area["regions"]:
            if (area["type"], found["type"]) == (area_type, region_type):
                return {**found, "left": found["x"], "top": main["height"] - found["y"] - found["height"]}
    return None
