"""The demo: a real Blender with the extension installed, and an Elixir script that builds and renders a scene in it.

Run it with a Python that has bpy, after tools/build_zip.py. Blender's settings live in a temporary folder, so the
user's own are never touched. What Blender itself prints goes to out/blender.log. Where there is no Elixir, a Python
program makes the same calls.

Exit codes: 0 the picture is there; 1 something failed.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "out" / "demo.png"
SIZE = (960, 540)
TIME_LIMIT = 300.0

NO_ELIXIR = (
    "There is no elixir on the PATH, so a Python program makes the calls. Elixir comes with your system's packages "
    "(Debian and Ubuntu: apt install elixir; macOS: brew install elixir; Fedora: dnf install elixir)."
)


class DemoError(Exception):
    """The demo cannot go on; the message is a sentence."""


def main() -> int:
    """Run the demo; returns the exit code."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.unlink(missing_ok=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="beam_bpy_demo_") as settings:
        _set_environment(settings)
        _divert_blender_output(PICTURE.parent / "blender.log")
        try:
            _install_extensions()
            _serve_script(_script())
            _check_picture()
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    print(f"The picture is {PICTURE.relative_to(ROOT)}; all in {time.monotonic() - begin:.0f} s.")
    return 0


def _set_environment(settings: str) -> None:
    # Before bpy is imported: Blender reads these when it starts.
    os.environ["BLENDER_USER_RESOURCES"] = settings
    os.environ["BPY_BEAM_NODE"] = f"beam_bpy_demo_{os.getpid()}"
    os.environ["BPY_BEAM_COOKIE"] = secrets.token_hex(16)
    os.environ["BPY_BEAM_HOST"] = "localhost"
    os.environ["BPY_BEAM_PORT"] = "0"


def _divert_blender_output(log: Path) -> None:
    """Let Blender's C code, which reports each sample, print to a file; Python prints where it did."""
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)


def _install_extensions() -> None:
    import bpy

    print(f"Blender {bpy.app.version_string} is running, as a Python module.")
    for manifest in (ROOT / "blender_manifest.toml", ROOT / "examples" / "scene_handlers" / "blender_manifest.toml"):
        package = _zip_of(manifest)
        print(f"Installing {package.relative_to(ROOT)} with Blender's own installer.")
        try:
            bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)
        except RuntimeError as error:
            raise DemoError(f"Blender cannot install {package.name}: {error}") from error


def _zip_of(manifest: Path) -> Path:
    fields = tomllib.loads(manifest.read_text(encoding="utf-8"))
    package = ROOT / "dist" / f"{fields['id']}-{fields['version']}.zip"
    if not package.exists():
        raise DemoError(f"{package} is missing: build it with tools/build_zip.py")
    return package


def _script() -> list[str]:
    """The command of the program that makes the calls."""
    elixir = shutil.which("elixir")
    if elixir is not None:
        return [elixir, "examples/demo.exs"]
    print(NO_ELIXIR)
    return [sys.executable, "examples/demo.py"]


def _serve_script(command: list[str]) -> None:
    """Answer the script's calls on this thread, Blender's main thread, until the script ends."""
    import bpy

    from beam_bpy import get_beam_server

    server = get_beam_server()
    # The extension's operators, which the type stubs of bpy don't know.
    operators: Any = bpy.ops
    try:
        operators.beam_bpy.start_server()
    except RuntimeError as error:
        raise DemoError(str(error)) from error
    print(f"The node is {server.get_address()}, with {len(server.handlers)} handlers.")
    script = subprocess.Popen(
        [*command, server.node_name, str(PICTURE)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=sys.stdout.fileno(),
    )
    threading.Thread(target=_stop_after, args=(script,), daemon=True).start()
    server.serve_forever()
    if script.wait() != 0:
        raise DemoError(f"{command[-1]} ended with {script.returncode}")


def _stop_after(script: "subprocess.Popen[bytes]") -> None:
    """Stop the server when the script has ended, which ends `serve_forever`."""
    from beam_bpy import get_beam_server

    try:
        script.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        script.kill()
    get_beam_server().stop()


def _check_picture() -> None:
    """Let Blender read the picture back: the right size, and more than one colour."""
    import bpy
    import numpy as np

    if not PICTURE.exists():
        raise DemoError("the Elixir script has saved no picture")
    try:
        image = bpy.data.images.load(str(PICTURE))
    except RuntimeError as error:
        raise DemoError(f"{PICTURE} is no picture: {error}") from error
    if tuple(image.size) != SIZE:
        raise DemoError(f"the picture has {tuple(image.size)} pixels instead of {SIZE}")
    pixels = np.empty(SIZE[0] * SIZE[1] * 4, dtype=np.float32)
    stored: Any = image.pixels
    stored.foreach_get(pixels)
    if pixels.reshape(-1, 4)[:, :3].std() < 0.01:
        raise DemoError("the picture is of one colour: nothing was rendered")


if __name__ == "__main__":
    sys.exit(main())
