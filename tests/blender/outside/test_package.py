"""The zip files: Blender's own tool finds nothing wrong with them, and they hold what they should."""

import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from blender_process import REPOSITORY


@pytest.mark.parametrize("name", ["extension", "scene_handlers", "python_handlers"])
def test_validates(name: str, build_zip: ModuleType, request: pytest.FixtureRequest) -> None:
    tool = build_zip.packaging_tool()
    package = request.getfixturevalue(name)
    result = subprocess.run(
        [*tool, "validate", *build_zip.tag_check(tool), str(package)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout


def test_holds_the_add_on_and_one_wheel(extension: Path) -> None:
    names = zipfile.ZipFile(extension).namelist()
    sources = {path.name for path in (REPOSITORY / "beam_bpy_addon").glob("*.py")}
    version = tomllib.loads((REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
    wheel = f"wheels/beam_bpy-{version}-py3-none-any.whl"
    assert set(names) == {*sources, "LICENSE", "blender_manifest.toml", wheel}


def test_wheel_holds_the_sources(extension: Path) -> None:
    archive = zipfile.ZipFile(extension)
    (name,) = (name for name in archive.namelist() if name.endswith(".whl"))
    with archive.open(name) as file:
        wheel = zipfile.ZipFile(file)
        for package in ("beam_bpy", "vendor_term_codec"):
            for path in (REPOSITORY / package).rglob("*.py"):
                assert wheel.read(path.relative_to(REPOSITORY).as_posix()) == path.read_bytes(), path


def test_a_wheel_of_another_version_is_refused(build_zip: ModuleType, tmp_path: Path) -> None:
    manifest = tmp_path / "blender_manifest.toml"
    manifest.write_text('wheels = ["./wheels/beam_bpy-9.9.9-py3-none-any.whl"]')
    with pytest.raises(build_zip.BuildError, match=r"the wheel is .*0\.1\.0.*, but blender_manifest.toml names .*9\.9"):
        build_zip.check_wheel(tmp_path, "beam_bpy-0.1.0-py3-none-any.whl")


def test_same_contents_make_the_same_bytes(build_zip: ModuleType, tmp_path: Path) -> None:
    packed = [tmp_path / "first.zip", tmp_path / "second.zip"]
    for path, year, names in zip(packed, (1999, 2020), ("ab", "ba"), strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), name * 100)
    for path in packed:
        build_zip.make_reproducible(path, path.with_suffix(".out"))
    first, second = (path.with_suffix(".out").read_bytes() for path in packed)
    assert first == second
    assert zipfile.ZipFile(packed[0].with_suffix(".out")).read("a") == b"a" * 100
