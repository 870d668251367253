"""Build the extensions' zip files with Blender's own packaging tool, and let it validate them.

The same sources give the same bytes: file times, modes and their order in the archive are fixed. Beside each zip goes
its bill of materials, which names every file in it and its SHA-256.

Run it with a Python that has hatchling. Blender's tool comes from the bpy package of this Python, or, when the
environment variable BLENDER names a Blender, from there.
"""

import argparse
import email
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

MANIFEST = "blender_manifest.toml"

# Zip files know no time before 1980.
_STAMP = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The build cannot go on; the message is a sentence."""


def main() -> int:
    """Build all zip files; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build and validate the extensions' zip files.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder to put them in (default: dist)")
    output: Path = parser.parse_args().output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    try:
        tool = packaging_tool()
        with tempfile.TemporaryDirectory() as folder:
            for name, stage in (("addon", stage_addon), ("scene_handlers", stage_scene_handlers)):
                source = Path(folder, name)
                stage(source)
                package = build(tool, source, output)
                print(package, write_bill(package), sep="\n")
    except BuildError as error:
        print(f"build_zip: {error}", file=sys.stderr)
        return 1
    return 0


def stage_addon(folder: Path) -> None:
    """Lay out Beam-BPy's extension: the add-on's files at the root, the core as a wheel."""
    _copy_sources(ROOT / "beam_bpy_addon", folder)
    shutil.copy(ROOT / MANIFEST, folder)
    shutil.copy(ROOT / "LICENSE", folder)
    check_wheel(folder, _build_wheel(folder / "wheels").name)


def check_wheel(folder: Path, name: str) -> None:
    """Refuse a wheel that the manifest in `folder` does not name."""
    wanted = _manifest(folder).get("wheels", [])
    if wanted != [f"./wheels/{name}"]:
        raise BuildError(
            f"the wheel is ./wheels/{name}, but {MANIFEST} names {wanted}: "
            "set its `wheels` to that file, so that it has the version of the manifest"
        )


def stage_scene_handlers(folder: Path) -> None:
    """Lay out the example extension."""
    _copy_sources(ROOT / "examples" / "scene_handlers", folder)
    shutil.copy(ROOT / "LICENSE", folder)


def packaging_tool() -> list[str]:
    """The command that runs Blender's own packaging tool."""
    blender = os.environ.get("BLENDER")
    if blender:
        return [blender, "--command", "extension"]
    # Found, not imported: importing bpy takes seconds and starts a Blender.
    spec = importlib.util.find_spec("bpy")
    home = Path(spec.origin).parent if spec is not None and spec.origin else None
    tools = sorted(home.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")) if home else []
    if not tools:
        raise BuildError("there is no bpy with Blender's packaging tool: install it, or set BLENDER to a Blender")
    return [sys.executable, str(tools[-1])]


def tag_check(tool: list[str]) -> list[str]:
    """The option that makes the tool check the manifest's tags; it is the default when Blender itself runs the tool."""
    tags = Path(tool[-1]).parents[3] / "modules/_bpy_internal/extensions/tags.py"
    return ["--valid-tags", str(tags)] if tags.exists() else []


def build(tool: list[str], source: Path, output: Path) -> Path:
    """Pack an extension, and validate the result."""
    manifest = _manifest(source)
    target = output / f"{manifest['id']}-{manifest['version']}.zip"
    packed = source.with_suffix(".zip")
    _run([*tool, "build", "--source-dir", str(source), "--output-filepath", str(packed)])
    make_reproducible(packed, target)
    _run([*tool, "validate", *tag_check(tool), str(target)])
    return target


def _build_wheel(folder: Path) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        raise BuildError("this Python has no hatchling: install the project with its extra `dev`")
    _run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def _copy_sources(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))


def _manifest(folder: Path) -> dict[str, Any]:
    with (folder / MANIFEST).open("rb") as file:
        return tomllib.load(file)


def make_reproducible(packed: Path, target: Path) -> None:
    """Copy an archive with its files in order, without the times and modes that they happened to have."""
    with zipfile.ZipFile(packed) as found, zipfile.ZipFile(target, "w") as made:
        for name in sorted(found.namelist()):
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, found.read(name))


def write_bill(package: Path) -> Path:
    """Write what an extension's zip holds beside it, in CycloneDX 1.6; without a time, so that it can be repeated."""
    data = package.read_bytes()
    with zipfile.ZipFile(package) as archive:
        manifest = tomllib.loads(archive.read(MANIFEST).decode())
        license = manifest["license"][0].removeprefix("SPDX:")
        whole = {"version": manifest["version"], **_component("application", manifest["id"], data, license)}
        parts = [
            (_wheel if name.endswith(".whl") else _file)(name, archive.read(name), license)
            for name in sorted(archive.namelist())
        ]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.UUID(bytes=hashlib.sha256(data).digest()[:16], version=5).urn,
        "version": 1,
        "metadata": {"component": whole},
        "components": parts,
    }
    target = package.with_suffix(".cdx.json")
    target.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    return target


def _wheel(path: str, data: bytes, _license: str) -> dict[str, Any]:
    """A wheel, whose name, version and licence it says itself, and its files."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = email.message_from_bytes(archive.read(about))
        license = fields["License-Expression"]
        files = [_file(name, archive.read(name), license, within=f"{path}/") for name in names]
    whole = _component("library", fields["Name"], data, license, ref=path)
    return {**whole, "version": fields["Version"], "components": files}


def _file(name: str, data: bytes, license: str, within: str = "") -> dict[str, Any]:
    return _component("file", name, data, license, ref=within + name)


def _component(kind: str, name: str, data: bytes, license: str, ref: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": ref or name,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}],
        "licenses": [{"license": {"id": license}}],
    }


def _run(command: list[str]) -> None:
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    sys.exit(main())
