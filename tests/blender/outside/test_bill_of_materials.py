"""The released zips: each bill of materials is correct, all code is from this repository, permissions match it."""

import ast
import hashlib
import io
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blender_process import REPOSITORY

SOURCES = {
    "extension": REPOSITORY / "beam_bpy_addon",
    "scene_handlers": REPOSITORY / "scene_handlers",
    "python_handlers": REPOSITORY / "python_handlers",
}


@pytest.fixture(params=SOURCES)
def package(request: pytest.FixtureRequest) -> Path:
    """The zip of an extension."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture
def sources(package: Path, extension: Path) -> Path:
    """The folder of the files at the root of that zip."""
    return SOURCES["extension" if package == extension else package.name.partition("-")[0]]


def files(package: Path) -> dict[str, bytes]:
    """Every file of a zip; those in a wheel by its path and theirs."""
    found = {}
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            found[name] = archive.read(name)
            if name.endswith(".whl"):
                with zipfile.ZipFile(io.BytesIO(found[name])) as wheel:
                    found |= {f"{name}/{inner}": wheel.read(inner) for inner in wheel.namelist()}
    return found


def code(package: Path) -> dict[str, ast.Module]:
    """Every Python file of a zip, parsed."""
    return {name: ast.parse(data) for name, data in files(package).items() if name.endswith(".py")}


def manifest(package: Path) -> dict[str, Any]:
    return tomllib.loads(files(package)["blender_manifest.toml"].decode())


def components(bill: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All components but the zip itself, at any depth."""
    for component in bill.get("components", []):
        yield component
        yield from components(component)


def test_the_bill_and_the_zip_say_the_same(package: Path) -> None:
    bill = json.loads(package.with_suffix(".cdx.json").read_text(encoding="utf-8"))
    listed = list(components(bill))

    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    said = {component["bom-ref"]: component["hashes"] for component in listed}
    assert len(said) == len(listed)
    assert said == {name: hashes(data) for name, data in files(package).items()}
    whole, about = bill["metadata"]["component"], manifest(package)
    assert (whole["name"], whole["version"], whole["hashes"]) == (
        about["id"],
        about["version"],
        hashes(package.read_bytes()),
    )
    assert {licence(component) for component in [whole, *listed]} == {"MIT"}


def hashes(data: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}]


def licence(component: dict[str, Any]) -> str:
    (entry,) = component["licenses"]
    text: str = entry["license"]["id"]
    return text


def test_the_bill_names_the_wheel_that_the_manifest_names(extension: Path) -> None:
    bill = json.loads(extension.with_suffix(".cdx.json").read_text(encoding="utf-8"))
    wheels = [component for component in bill["components"] if component["type"] == "library"]

    assert [f"./{wheel['bom-ref']}" for wheel in wheels] == manifest(extension)["wheels"]
    assert [(wheel["name"], wheel["version"]) for wheel in wheels] == [("beam-bpy", manifest(extension)["version"])]


def test_the_bill_of_the_same_zip_is_the_same(package: Path, build_zip: ModuleType, tmp_path: Path) -> None:
    copy = tmp_path / package.name
    copy.write_bytes(package.read_bytes())

    assert build_zip.write_bill(copy).read_bytes() == package.with_suffix(".cdx.json").read_bytes()


def test_every_file_is_one_of_this_repository(package: Path, sources: Path) -> None:
    for name, data in files(package).items():
        _wheel, _, inner = name.partition(".whl/")
        if name.endswith(".whl"):
            continue
        if ".dist-info/" in inner:
            assert inner.partition(".dist-info/")[2] in MADE_BY_THE_BUILD, name
        elif inner:
            assert data == (REPOSITORY / inner).read_bytes(), name
        else:
            assert data == (sources if (sources / name).exists() else REPOSITORY).joinpath(name).read_bytes(), name


MADE_BY_THE_BUILD = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}

OURS = {"beam_bpy", "vendor_term_codec"}
BLENDERS = {"blf", "bmesh", "bpy", "gpu", "idprop", "imbuf", "mathutils", "numpy"}


def test_nothing_is_imported_but_what_ships_and_what_python_and_blender_have(package: Path) -> None:
    for name, module in code(package).items():
        assert imports(module) <= set(sys.stdlib_module_names) | OURS | BLENDERS, name


def imports(module: ast.Module) -> set[str]:
    """The top names of the modules that are imported anywhere; imports from the own package are left out."""
    return {name.partition(".")[0] for name in imported_modules(module)}


def imported_modules(module: ast.Module) -> set[str]:
    """The whole names of these modules."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found


def runs_code(module: ast.Module) -> bool:
    """True if it runs source text, which may use files and the network."""
    return any(isinstance(node, ast.Name) and node.id in ("exec", "eval") for node in ast.walk(module))


def uses_network(module: ast.Module) -> bool:
    """`urllib.parse` only splits and decodes text."""
    used = {name.partition(".")[0] for name in imported_modules(module) - {"urllib.parse"}}
    networks = {"socket", "ssl", "http", "urllib", "socketserver", "ftplib", "smtplib", "xmlrpc"}
    return runs_code(module) or bool(used & networks)


def uses_files(module: ast.Module) -> bool:
    """A bare `open`, or a method that only files have."""
    return runs_code(module) or any(
        (isinstance(node, ast.Name) and node.id == "open")
        or (isinstance(node, ast.Attribute) and node.attr in FILE_METHODS)
        for node in ast.walk(module)
    )


FILE_METHODS = {
    *("read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "rmtree", "TemporaryDirectory"),
    *("load_cert_chain", "load_verify_locations", "spec_from_file_location", "save_render", "save_as_mainfile"),
}


def uses_clipboard(module: ast.Module) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr == "clipboard" for node in ast.walk(module))


def uses_devices(module: ast.Module) -> bool:
    """A camera or a microphone is out of reach of Python's own library and of bpy: only other modules lead to one."""
    devices = {"cv2", "aud", "sounddevice", "pyaudio", "ossaudiodev"}
    return bool(imports(module) & devices) or loads_libraries(module)


def loads_libraries(module: ast.Module) -> bool:
    """True if it uses ctypes for anything but the C library, which asks Linux to end a program with its parent."""
    rest = ast.unparse(module).replace("ctypes.CDLL(None)", "")
    return "ctypes" in imports(module) and re.search("dll|LoadLibrary", rest, re.IGNORECASE) is not None


USES: dict[str, Callable[[ast.Module], bool]] = {
    "network": uses_network,
    "files": uses_files,
    "clipboard": uses_clipboard,
    "camera": uses_devices,
    "microphone": uses_devices,
}


def test_the_permissions_are_true(package: Path) -> None:
    used = {
        permission: sorted(name for name, module in code(package).items() if uses(module))
        for permission, uses in USES.items()
    }

    assert {permission for permission, names in used.items() if names} == set(manifest(package)["permissions"]), used


@pytest.mark.parametrize(
    ("code", "loads"),
    [
        ("import ctypes\nctypes.CDLL(None).prctl(1, ctypes.c_ulong(9))", False),
        ("import ctypes\nctypes.CDLL('libv4l2.so')", True),
        ("import ctypes as c\nload = c.CDLL", True),
        ("import ctypes\nctypes.cdll.LoadLibrary('libasound.so')", True),
        ("from ctypes import CDLL\nCDLL('libasound.so')", True),
    ],
)
def test_a_library_that_is_loaded_counts_as_a_device(code: str, loads: bool) -> None:
    assert loads_libraries(ast.parse(code)) is loads
