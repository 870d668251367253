"""Run the demo: install the extension in a real Blender, and let an Elixir script build and render a scene in it.

Run it with a Python that has bpy, after tools/build_zip.py. Blender uses a temporary folder for its settings, so the
settings of the user do not change. The output of Blender goes to out/blender.log. If Elixir is not installed, a Python
program makes the same calls.

Exit codes: 0 the demo has saved the picture; 1 it has failed.
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
    "The program elixir is not on the PATH, so a Python program makes the calls. To install Elixir: "
    "apt install elixir (Debian, Ubuntu), brew install elixir (macOS), dnf install elixir (Fedora)."
)


class DemoError(Exception):
    """The demo has failed. The message is a sentence."""


def main() -> int:
    """Run the demo. Return the exit code."""
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
    print(f"Saved the picture as {PICTURE.relative_to(ROOT)} after {time.monotonic() - begin:.0f} s.")
    return 0


def _set_environment(settings: str) -> None:
    # Set them before the import of bpy, because Blender reads them when it starts.
    os.environ["BLENDER_USER_RESOURCES"] = settings
    os.environ["BPY_BEAM_NODE"] = f"beam_bpy_demo_{os.getpid()}"
    os.environ["BPY_BEAM_COOKIE"] = secrets.token_hex(16)
    os.environ["BPY_BEAM_HOST"] = "localhost"
    os.environ["BPY_BEAM_PORT"] = "0"


def _divert_blender_output(log: Path) -> None:
    """Redirect the output of Blender's C code to a file, because it reports each sample. Python's output stays."""
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)


def _install_extensions() -> None:
    import bpy

    print(f"Blender {bpy.app.version_string} is running as a Python module.")
    for manifest in (ROOT / "blender_manifest.toml", ROOT / "scene_handlers" / "blender_manifest.toml"):
        package = _zip_of(manifest)
        print(f"Installing {package.relative_to(ROOT)} with Blender's installer.")
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
    """Return the command of the program that makes the calls."""
    elixir = shutil.which("elixir")
    if elixir is not None:
        return [elixir, "examples/demo.exs"]
    print(NO_ELIXIR)
    return [sys.executable, "examples/demo.py"]


def _serve_script(command: list[str]) -> None:
    """Answer the calls of the script on this thread, which is Blender's main thread, until the script ends."""
    import bpy

    from beam_bpy import get_beam_server

    server = get_beam_server()
    # The type stubs of bpy do not contain the operators of the extension.
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
    """Wait until the script ends, then stop the server. This ends `serve_forever`."""
    from beam_bpy import get_beam_server

    try:
        script.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        script.kill()
    get_beam_server().stop()


def _check_picture() -> None:
    """Load the picture in Blender, and check that it has the right size and more than one colour."""
    import bpy
    import numpy as np

    if not PICTURE.exists():
        raise DemoError("the script has saved no picture")
    try:
        image = bpy.data.images.load(str(PICTURE))
    except RuntimeError as error:
        raise DemoError(f"Blender cannot load the picture {PICTURE}: {error}") from error
    if tuple(image.size) != SIZE:
        raise DemoError(f"the picture has {tuple(image.size)} pixels instead of {SIZE}")
    pixels = np.empty(SIZE[0] * SIZE[1] * 4, dtype=np.float32)
    stored: Any = image.pixels
    stored.foreach_get(pixels)
    if pixels.reshape(-1, 4)[:, :3].std() < 0.01:
        raise DemoError("the picture has only one colour: nothing was rendered")


if __name__ == "__main__":
    sys.exit(main())
