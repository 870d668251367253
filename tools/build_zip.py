"""Build the zip files of the extensions with Blender's packaging tool, and validate them with this tool.

The build is reproducible: the same sources result in the same bytes, because the times, the modes and the order of the
files in the archive are fixed. For each zip file the tool also writes a bill of materials. It contains the name and the
SHA-256 of each file in the zip file. With --repository it also writes the index of an extension repository.

Run it with a Python that has hatchling. If the environment variable BLENDER names a Blender program, this Blender runs
the packaging tool. Otherwise the tool comes from the bpy package of this Python.
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

HANDLERS = ("scene_handlers", "python_handlers")
"""The extensions with handlers, and their folders."""

# This is the earliest time that a zip file can store.
_STAMP = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The build has failed. The message is a sentence."""


def main() -> int:
    """Build all zip files. Return the exit code."""
    parser = argparse.ArgumentParser(description="Build and validate the extensions' zip files.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the output folder (default: dist)")
    parser.add_argument("--repository", action="store_true", help="make the output folder an extension repository")
    options = parser.parse_args()
    output: Path = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    try:
        tool = packaging_tool()
        packages = []
        with tempfile.TemporaryDirectory() as folder:
            stage_addon(Path(folder, "addon"))
            for name in HANDLERS:
                _copy_sources(ROOT / name, Path(folder, name))
            for source in (Path(folder, name) for name in ("addon", *HANDLERS)):
                packages.append(build(tool, source, output))
                print(packages[-1], write_bill(packages[-1]), sep="\n")
        if options.repository:
            print(*make_repository(tool, output, packages), sep="\n")
    except BuildError as error:
        print(f"build_zip: {error}", file=sys.stderr)
        return 1
    return 0


def stage_addon(folder: Path) -> None:
    """Copy the files of the extension Beam-BPy to `folder`: the add-on, and a wheel of `beam_bpy`."""
    _copy_sources(ROOT / "beam_bpy_addon", folder)
    shutil.copy(ROOT / MANIFEST, folder)
    shutil.copy(ROOT / "LICENSE", folder)
    check_wheel(folder, _build_wheel(folder / "wheels").name)


def check_wheel(folder: Path, name: str) -> None:
    """Check that the manifest in `folder` names this wheel and its version.

    The extension compares its version with the one of the wheel, to find out whether it was updated while Blender ran.

    Raises:
        BuildError: it names other wheels, or another version.
    """
    manifest = _manifest(folder)
    wanted, version = manifest.get("wheels", []), name.split("-")[1]
    if wanted != [f"./wheels/{name}"]:
        raise BuildError(
            f"the wheel is ./wheels/{name}, but {MANIFEST} names {wanted}: set `wheels` in the manifest to this file"
        )
    if manifest.get("version") != version:
        raise BuildError(
            f"the wheel has the version {version}, and {MANIFEST} has {manifest.get('version')}: use one version"
        )


def packaging_tool() -> list[str]:
    """Return the command of Blender's packaging tool.

    Raises:
        BuildError: BLENDER is not set, and this Python has no bpy package with the tool.
    """
    blender = os.environ.get("BLENDER")
    if blender:
        return [blender, "--command", "extension"]
    # Find the package without importing it, because an import of bpy takes seconds and starts Blender.
    spec = importlib.util.find_spec("bpy")
    home = Path(spec.origin).parent if spec is not None and spec.origin else None
    tools = sorted(home.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")) if home else []
    if not tools:
        raise BuildError(
            "there is no bpy package with Blender's packaging tool: install bpy, or set BLENDER to a Blender"
        )
    return [sys.executable, str(tools[-1])]


def tag_check(tool: list[str]) -> list[str]:
    """Return the option to check the tags of the manifest. If Blender runs the tool, it always checks them."""
    tags = Path(tool[-1]).parents[3] / "modules/_bpy_internal/extensions/tags.py"
    return ["--valid-tags", str(tags)] if tags.exists() else []


def build(tool: list[str], source: Path, output: Path) -> Path:
    """Build the zip file of an extension and validate it. Return its path."""
    manifest = _manifest(source)
    target = output / f"{manifest['id']}-{manifest['version']}.zip"
    packed = source.with_suffix(".zip")
    _run([*tool, "build", "--source-dir", str(source), "--output-filepath", str(packed)])
    make_reproducible(packed, target)
    _run([*tool, "validate", *tag_check(tool), str(target)])
    return target


def make_repository(tool: list[str], folder: Path, packages: list[Path]) -> tuple[Path, Path]:
    """Write the index of an extension repository, and a page for browsers. Return their paths.

    Any web server can serve the folder. The tool lists every zip file in the folder, and Blender expects one version of
    each extension. So other versions of the same extensions are removed first.

    Args:
        tool: the command of Blender's packaging tool.
        folder: the folder that contains the zip files.
        packages: the zip files of the present version.
    """
    for package in packages:
        name = package.name.partition("-")[0]
        for suffix in (".zip", ".cdx.json"):
            for other in folder.glob(f"{name}-*{suffix}"):
                if other.name.removesuffix(suffix) != package.stem:
                    other.unlink()
    _run([*tool, "server-generate", "--html", "--repo-dir", str(folder)])
    return folder / "index.json", folder / "index.html"


def _build_wheel(folder: Path) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        raise BuildError("this Python has no hatchling: install the project with its extra `dev`")
    _run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def _copy_sources(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "pyproject.toml"))


def _manifest(folder: Path) -> dict[str, Any]:
    with (folder / MANIFEST).open("rb") as file:
        return tomllib.load(file)


def make_reproducible(packed: Path, target: Path) -> None:
    """Copy an archive, with its files in alphabetical order, and with fixed times and modes."""
    # Another command may read the target now, so the new file gets its name when it is complete.
    new = target.with_name(f"{target.name}.{os.getpid()}")
    with zipfile.ZipFile(packed) as found, zipfile.ZipFile(new, "w") as made:
        for name in sorted(found.namelist()):
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, found.read(name))
    new.replace(target)


def write_bill(package: Path) -> Path:
    """Write the bill of materials of a zip file next to it, in CycloneDX 1.6. Return its path.

    It contains no time, so that the build is reproducible.
    """
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
    """Return the component of a wheel, with its files. Name, version and licence come from the wheel's metadata."""
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
