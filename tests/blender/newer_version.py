"""Builds the extensions from a changed copy of the sources, as their next version."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

VERSION = "9.8.7"

_SOURCES = ("beam_bpy", "vendor_term_codec", "beam_bpy_addon", "scene_handlers", "python_handlers", "tools")
_FILES = ("blender_manifest.toml", "pyproject.toml", "README.md", "LICENSE")
_VERSIONED = (
    "blender_manifest.toml",
    "scene_handlers/blender_manifest.toml",
    "python_handlers/blender_manifest.toml",
    "beam_bpy/version.py",
)

NEW_CORE: Mapping[str, str] = {
    # The new add-on needs a name that the old core does not have, and the new core cannot do without a new module.
    "beam_bpy/__init__.py": "from beam_bpy.brand_new import BRAND_NEW\n",
    "beam_bpy/brand_new.py": "BRAND_NEW = 'new'\n",
    "beam_bpy_addon/lifecycle.py": "from beam_bpy import BRAND_NEW\n",
    "scene_handlers/events.py": """
_register = register
def register(server):
    from beam_bpy import BRAND_NEW
    _register(server)
""",
    "python_handlers/permission.py": "from beam_bpy import BRAND_NEW\n",
}
"""Text that is added to the end of files."""


def build(folder: Path, additions: Mapping[str, str] = NEW_CORE, version: str = VERSION, *options: str) -> Path:
    """Build the zips of another version in `folder`; returns the folder that holds them.

    Args:
        folder: a new folder for the copy of the sources.
        additions: text that is added to the end of files.
        version: the version of both extensions.
        options: more options of the program that builds the zips.
    """
    for name in _SOURCES:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy(REPOSITORY / name, folder)
    for name in _VERSIONED:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(?m)^(version|__version__) = ".*"', rf'\1 = "{version}"', text), encoding="utf-8")
    manifest = folder / "blender_manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r"beam_bpy-[0-9.]+-py3", f"beam_bpy-{version}-py3", text), encoding="utf-8")
    for name, addition in additions.items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(addition)
    program = folder / "tools" / "build_zip.py"
    subprocess.run([sys.executable, program, *options], check=True, capture_output=True, timeout=180)
    return folder / "dist"
