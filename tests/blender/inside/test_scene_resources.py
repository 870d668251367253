"""Files that are packed into the current file and unpacked: the content survives, and a failed call changes nothing."""

import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
import scene_dump

pytestmark = pytest.mark.usefixtures("scene_handlers")

KINDS = ("images", "sounds", "fonts", "volumes")

FOLDERS = {"images": "textures", "sounds": "sounds", "fonts": "fonts", "volumes": "volumes"}


def pack(*arguments: Any) -> Any:
    return addon.scene_resources.pack(*arguments)


def unpack(*arguments: Any) -> Any:
    return addon.scene_resources.unpack(*arguments)


def picture(path: Path, shade: float = 0.5) -> Path:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = bpy.data.images.new("drawn", 4, 4)
    image.pixels.foreach_set([shade, shade, shade, 1.0] * 16)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def write_files(folder: Path) -> dict[str, Path]:
    """Write one file of each kind. Return their paths."""
    folder.mkdir()
    found = {
        "images": picture(folder / "Bild größe.png"),
        "sounds": folder / "tone.wav",
        "fonts": folder / "letters.woff2",
        "volumes": folder / "cloud.vdb",
    }
    with wave.open(str(found["sounds"]), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(200))
    fonts = Path(bpy.utils.resource_path("LOCAL"), "datafiles", "fonts")
    if not fonts.exists():
        fonts = Path(bpy.utils.resource_path("SYSTEM"), "datafiles", "fonts")
    shutil.copy(next(iter(sorted(fonts.glob("NotoSansTamil*")))), found["fonts"])
    found["volumes"].write_bytes(b"Blender packs it without a look at the content")
    return found


def load(paths: dict[str, Path]) -> dict[str, Any]:
    """Load one file of each kind. Return the datablocks."""
    volume = bpy.data.volumes.new("Cloud")
    volume.filepath = str(paths["volumes"])
    found = {kind: getattr(bpy.data, kind).load(str(paths[kind])) for kind in KINDS[:3]} | {"volumes": volume}
    for block in found.values():
        block.use_fake_user = True
    return found


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """The paths of files below the folder of the current file, which uses all of them."""
    found = write_files(tmp_path / "files")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    load(found)
    return found


def blocks() -> dict[str, Any]:
    """The datablocks that use the files."""
    kinds = {kind: [each for each in getattr(bpy.data, kind) if "builtin" not in each.filepath] for kind in KINDS}
    return {kind: found[0] for kind, found in kinds.items()}


def packed() -> dict[str, bool]:
    return {kind: block.packed_file is not None for kind, block in blocks().items()}


ALL, NONE = dict.fromkeys(KINDS, True), dict.fromkeys(KINDS, False)


def described(paths: dict[str, Path]) -> list[dict[str, str]]:
    return [{"kind": kind, "name": blocks()[kind].name, "path": str(path)} for kind, path in paths.items()]


def test_pack_all_kinds_of_files(paths: dict[str, Path], tmp_path: Path) -> None:
    contents = {kind: path.read_bytes() for kind, path in paths.items()}
    assert pack() == {"packed": described(paths), "remaining": []}
    assert pack() == {"packed": [], "remaining": []}
    shutil.rmtree(tmp_path / "files")
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert packed() == ALL
    assert {kind: block.packed_file.data for kind, block in blocks().items()} == contents


@pytest.mark.parametrize("method", ["use_local", "write_local"])
def test_unpack_beside_the_file(paths: dict[str, Path], method: str, tmp_path: Path) -> None:
    contents = {kind: path.read_bytes() for kind, path in paths.items()}
    pack()
    shutil.rmtree(tmp_path / "files")
    targets = {kind: tmp_path / FOLDERS[kind] / path.name for kind, path in paths.items()}
    present = targets["sounds"]
    present.parent.mkdir()
    present.write_bytes(b"another sound")
    bpy.data.use_autopack = True
    assert unpack(method) == described(targets)
    assert packed() == NONE
    assert not bpy.data.use_autopack
    found = {kind: path.read_bytes() for kind, path in targets.items()}
    assert found.pop("sounds") == (b"another sound" if method == "use_local" else contents.pop("sounds"))
    assert found == {kind: contents[kind] for kind in found}
    assert {kind: block.filepath for kind, block in blocks().items()} == {
        kind: f"//{FOLDERS[kind]}/{path.name}" for kind, path in paths.items()
    }
    assert blocks()["images"].pixels[0] == pytest.approx(0.5, abs=0.01)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*FOLDERS.values(), "scene.blend"])


@pytest.mark.parametrize("method", ["use_original", "write_original", "remove"])
def test_unpack_to_the_former_place(paths: dict[str, Path], method: str) -> None:
    contents = {kind: path.read_bytes() for kind, path in paths.items()}
    pack()
    paths["volumes"].write_bytes(b"another volume")
    if method != "remove":
        paths["fonts"].unlink()
    assert unpack(method) == described(paths)
    assert packed() == NONE
    contents["volumes"] = contents["volumes"] if method == "write_original" else b"another volume"
    assert {kind: path.read_bytes() for kind, path in paths.items()} == contents


def test_tiles(tmp_path: Path) -> None:
    for number in (1001, 1002):
        picture(tmp_path / "in" / f"tile.{number}.png", number - 1001)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    image = bpy.data.images.load(str(tmp_path / "in" / "tile.1001.png"))
    image.source = "TILED"
    image.filepath = str(tmp_path / "in" / "tile.<UDIM>.png")
    if len(image.tiles) == 1:
        image.tiles.new(1002)
    image.use_fake_user = True
    (tmp_path / "in" / "tile.1002.png").rename(tmp_path / "elsewhere.png")
    before = scene_dump.dump("images")
    with pytest.raises(ValueError, match=r"^'.*tile.1002.png' of the image 'tile.* does not exist"):
        pack()
    assert scene_dump.changed(before, "images") == {}
    (tmp_path / "elsewhere.png").rename(tmp_path / "in" / "tile.1002.png")
    assert len(pack()["packed"]) == len(image.packed_files) == 2
    shutil.rmtree(tmp_path / "in")
    assert [Path(each["path"]).name for each in unpack()] == ["tile.1001.png", "tile.1002.png"]
    assert image.filepath == "//textures/tile.<UDIM>.png"
    assert not image.packed_files
    assert pack()["remaining"] == []


@pytest.mark.parametrize(
    ("pixels", "suffix", "start"), [(b"\x40\x40\x40\xff" * 4, ".png", b"\x89PNG"), ([0.25] * 16, ".exr", b"\x76\x2f")]
)
def test_a_painted_image_gets_a_path(pixels: Any, suffix: str, start: bytes, tmp_path: Path) -> None:
    addon.scene_image.upload_image("Bemalt/1", 2, 2, 4, pixels, {"pack": True})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    with pytest.raises(ValueError, match="'Bemalt/1' was not packed from a file: unpack it with use_local"):
        unpack("use_original")
    (found,) = unpack()
    assert Path(found["path"]).parent == tmp_path / "textures"
    assert Path(found["path"]).suffix == suffix
    assert Path(found["path"]).read_bytes().startswith(start)
    image = bpy.data.images["Bemalt/1"]
    assert (image.source, image.packed_file) == ("FILE", None)
    assert image.pixels[0] == pytest.approx(0.25, abs=0.01)


def test_missing_files_are_named_or_skipped(paths: dict[str, Path]) -> None:
    paths["sounds"].unlink()
    paths["images"].unlink()
    before = scene_dump.dump(*KINDS)
    with pytest.raises(ValueError, match=r"größe.png' of the image 'Bild größe.png' and .*tone.wav' .* do not exist"):
        pack()
    assert scene_dump.changed(before, *KINDS) == {}
    found = pack({"skip_missing": True})
    assert [each["kind"] for each in found["packed"]] == ["fonts", "volumes"]
    assert found["remaining"] == sorted(str(paths[kind]) for kind in ("images", "sounds"))
    assert packed() == {**NONE, "fonts": True, "volumes": True}


def test_other_files_only_if_the_caller_trusts_them(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside")
    load(outside)
    with pytest.raises(ValueError, match=r"are not below the folder of the current file: pass .* external: true"):
        pack()
    (tmp_path / "home").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "home" / "scene.blend"))
    with pytest.raises(ValueError, match="are not below the folder"):
        pack()
    # A link from the folder leads outside.
    (tmp_path / "home" / "link").symlink_to(tmp_path / "outside")
    for kind, block in blocks().items():
        block.filepath = f"//link/{outside[kind].name}"
    with pytest.raises(ValueError, match="are not below the folder"):
        pack()
    assert packed() == NONE
    assert len(pack({"external": True})["packed"]) == 4
    with pytest.raises(ValueError, match="are not below the folder"):
        unpack("write_original")
    assert packed() == ALL
    assert len(unpack("write_original", {"external": True})) == 4


def test_limits_and_other_files(paths: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has \d+ bytes, and max_bytes is 40"):
        pack({"max_bytes": 40})
    blocks()["volumes"].filepath = str(tmp_path / "files")
    with pytest.raises(ValueError, match="is not a regular file"):
        pack()
    assert packed() == NONE


def test_two_files_with_one_name(tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    for number, shade in ((1, 0.1), (2, 0.9), (3, 0.9)):
        path = picture(tmp_path / str(number) / "wood.png", shade)
        bpy.data.images.load(str(path)).use_fake_user = True
    pack()
    before = scene_dump.dump("images")
    with pytest.raises(ValueError, match=r"'wood.png' and .* 'wood.png.001' have the same path, but different"):
        unpack()
    assert scene_dump.changed(before, "images") == {}
    assert not (tmp_path / "textures").exists()
    bpy.data.images.remove(bpy.data.images["wood.png"])
    assert [each["path"] for each in unpack()] == [str(tmp_path / "textures" / "wood.png")] * 2


def test_a_file_that_was_never_saved(tmp_path: Path) -> None:
    addon.scene_image.upload_image("Painted", 1, 1, 4, [0.0] * 4, {"pack": True})
    with pytest.raises(ValueError, match="never been saved, so there is no folder beside it"):
        unpack()


def test_remove_needs_the_file(paths: dict[str, Path]) -> None:
    pack()
    paths["fonts"].unlink()
    before = scene_dump.dump(*KINDS)
    with pytest.raises(ValueError, match="does not exist, so its content would be lost"):
        unpack("remove")
    assert scene_dump.changed(before, *KINDS) == {}


def _fail(*_arguments: Any) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize("method", ["use_local", "write_local", "write_original"])
def test_a_failure_in_the_middle_takes_all_back(
    paths: dict[str, Path], method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack()
    for path in paths.values():
        path.write_bytes(b"later")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    contents = {kind: block.packed_file.data for kind, block in blocks().items()}
    before = {kind: block.filepath for kind, block in blocks().items()}
    use_file: Callable[..., None] = addon.scene_resources._use_file

    def fail_at_fonts(kind: str, block: Any) -> None:
        use_file(kind, block)
        if kind == "volumes":
            _fail()

    monkeypatch.setattr(addon.scene_resources, "_use_file", fail_at_fonts)
    with pytest.raises(OSError, match="disk is full"):
        unpack(method)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert {kind: block.packed_file.data for kind, block in blocks().items()} == contents
    assert {kind: block.filepath for kind, block in blocks().items()} == before


def test_linked_datablocks_stay(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    image = bpy.data.images.load(str(path))
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {image})
    bpy.data.images.remove(image)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (source, target):
        target.images = source.images
    assert pack() == {"packed": [], "remaining": sorted([str(path), str(tmp_path / "library.blend")])}
    assert bpy.data.images["a.png"].packed_file is None
