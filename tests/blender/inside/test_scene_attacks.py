"""Files that were made to harm: references to other files, sizes that are not the real ones, circles, no numbers."""

import base64
import importlib
import math
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import addon
import bpy
import pytest
from test_scene_assets import HERE, USDA, archive, build, glb, png
from test_scene_isolation import STEPS, handler, opened_in, picture
from test_scene_processing import is_empty, process

pytestmark = pytest.mark.usefixtures("scene_handlers")

LOOK = STEPS[:3]

USD_IS_HERE = "usda" in HERE


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files. Nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def check(data: bytes, **limits: Any) -> bytes:
    """The part of a file that Blender may read."""
    found = addon.scene_formats.content_of(data)
    checked: bytes = addon.scene_checks.checked(data, found, addon.scene_limits.limits(limits))
    return checked


# References of USD


def _sdf() -> Any:
    """The module of USD that writes layers, or None: Blender brings it since 4.4."""
    expose = getattr(bpy.utils, "expose_bundled_modules", None)
    if expose is None:
        return None
    expose()
    try:
        return importlib.import_module("pxr.Sdf")
    except ModuleNotFoundError:
        return None


SDF = _sdf()


def layer(change: Callable[[Any, Any], None], folder: Path) -> bytes:
    """A binary USD file of a triangle, with a change of its root prim."""
    made = SDF.Layer.CreateAnonymous("made.usda")
    made.ImportFromString(USDA.replace("{LINE", ""))
    change(made, made.GetPrimAtPath("/root"))
    made.Export(str(folder / "made.usdc"))
    data = (folder / "made.usdc").read_bytes()
    assert data.startswith(b"PXR-USDC")
    return data


def _sublayer(path: str) -> Callable[[Any, Any], None]:
    return lambda made, _root: made.subLayerPaths.append(path)


def _reference(path: str) -> Callable[[Any, Any], None]:
    return lambda _made, root: root.referenceList.Prepend(SDF.Reference(path))


def _payload(path: str) -> Callable[[Any, Any], None]:
    return lambda _made, root: root.payloadList.Append(SDF.Payload(path, "/a"))


def _variant(path: str) -> Callable[[Any, Any], None]:
    def change(_made: Any, root: Any) -> None:
        variants = SDF.VariantSetSpec(root, "look")
        SDF.VariantSpec(variants, "other").primSpec.referenceList.Prepend(SDF.Reference(path))
        root.variantSelections["look"] = "other"

    return change


def _clips(path: str) -> Callable[[Any, Any], None]:
    def change(_made: Any, root: Any) -> None:
        root.SetInfo("clips", {"default": {"templateAssetPath": path, "templateStartTime": 1.0}})

    return change


def _texture(path: str) -> Callable[[Any, Any], None]:
    def change(made: Any, root: Any) -> None:
        text = made.ExportToString().replace(
            'def Mesh "triangle"',
            f"""def Material "look"
    {{
        token outputs:surface.connect = </root/look/shader.outputs:surface>
        def Shader "shader"
        {{
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor.connect = </root/look/texture.outputs:rgb>
            token outputs:surface
        }}
        def Shader "texture"
        {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @{path}@
            float3 outputs:rgb
        }}
    }}
    def Mesh "triangle" (prepend apiSchemas = ["MaterialBindingAPI"])""",
        )
        text = text.replace(
            "int[] faceVertexCounts", "rel material:binding = </root/look>\n        int[] faceVertexCounts"
        )
        made.ImportFromString(text)

    return change


WAYS = [_sublayer, _reference, _payload, _variant] if SDF is not None else []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["secret.usda", "./secret.usdc", "{folder}/secret.usd", "../x/secret.usdz", "x.usdz[a.usda]"]
)
def test_binary_usd_files_that_refer_to_others(way: Any, name: str, tmp_path: Path) -> None:
    data = layer(way(name.format(folder=tmp_path)), tmp_path)
    with pytest.raises(ValueError, match="refers to another file"):
        check(data)
    assert check(layer(lambda _made, _root: None, tmp_path))


@pytest.mark.parametrize("way", WAYS)
def test_binary_usd_files_of_an_archive_that_refer_to_files_outside(way: Any, tmp_path: Path) -> None:
    inside = layer(lambda _made, _root: None, tmp_path)
    for name, is_allowed in (("./b.usdc", True), ("../b.usdc", False), (f"{tmp_path}/b.usdc", False)):
        data = archive({"a.usdc": layer(way(name), tmp_path), "b.usdc": inside})
        if is_allowed:
            assert check(data)
        else:
            with pytest.raises(ValueError, match="refers to another file"):
                check(data)


CLIPS = [_clips] if SDF is not None else []


@pytest.mark.parametrize("way", CLIPS)
def test_binary_usd_files_with_clips(way: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refers to another file"):
        check(layer(way("./secret.#.usd"), tmp_path))


TEXTURES = [_texture] if SDF is not None else []


@pytest.mark.parametrize("way", TEXTURES)
@pytest.mark.parametrize("name", ["{file}", "../../neighbours/secret.png", "file:{file}", "secret.png"])
def test_textures_of_usd_files_are_not_read(way: Any, name: str, tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "neighbours"
    folder.mkdir()
    path = name.format(file=picture(folder))
    data = layer(way(path), tmp_path)
    text = bytes(SDF.Layer.OpenAsAnonymous(str(tmp_path / "made.usdc")).ExportToString(), "utf-8")
    for each in (data, text, text.replace(f"@{path}@".encode(), f"@@@{path}@@@".encode())):
        with opened_in(folder) as opened:
            described, _picture = process(each, [("describe_scene", []), LOOK[2]])
        assert opened == set()
        assert (described["counts"]["materials"], described["counts"]["vertices"]) == (1, 3)


@pytest.mark.parametrize("way", TEXTURES)
def test_textures_of_usd_files_are_read_if_they_may_be(way: Any, tmp_path: Path) -> None:
    """Without this, the test above could not fail."""
    folder = tmp_path / "neighbours"
    folder.mkdir()
    layer(way(str(picture(folder))), tmp_path)
    with opened_in(folder) as opened:
        handler("import_file")(str(tmp_path / "made.usdc"), {"external": True})
    assert opened == {"secret.png"}


@pytest.mark.parametrize(
    "text", ['"@"; asset a = @/etc/secret.png@', '"@@@"; asset a = @/etc/x.png@; string b = "@@@"']
)
def test_paths_that_a_text_hides(text: str) -> None:
    data = USDA.replace("{LINE", "").replace("{\n", f"{{\n    string c = {text}\n", 1).encode()
    try:
        assert b"/etc" not in check(data)
    except ValueError as error:
        assert "refers to another file" in str(error)  # noqa: PT017 - either is safe.


# Circles of USD. They end, and the other content is there or the file is refused.

CIRCLES = {
    "a reference to itself": USDA.replace("{LINE", "(prepend references = </root>)"),
    "a reference to a child": USDA.replace("{LINE", "(prepend references = </root/triangle>)"),
    "inherits from itself": USDA.replace("{LINE", "(prepend inherits = </root>)"),
    "two references": USDA.replace("{LINE", "(prepend references = </other>)")
    + 'def Xform "other" (prepend references = </root>)\n{\n}\n',
}


if USD_IS_HERE:

    @pytest.mark.parametrize("name", CIRCLES)
    def test_circles_in_one_layer(name: str) -> None:
        assert process(CIRCLES[name].encode(), LOOK)[1]["counts"]["vertices"] >= 3
        assert is_empty()

    @pytest.mark.parametrize("line", ["(prepend references = @b.usda@)", "(prepend payload = @./b.usda@)"])
    def test_circles_of_layers_in_an_archive(line: str) -> None:
        back = USDA.replace("{LINE", line.replace("b.usda", "a.usda"))
        data = archive({"a.usda": USDA.replace("{LINE", line).encode(), "b.usda": back.encode()})
        assert process(data, LOOK)[1]["counts"]["vertices"] >= 3

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_circles_of_sublayers_in_an_archive(count: int) -> None:
        """USD ignores what would close the circle."""
        text = USDA.replace("{LINE", "").replace('(defaultPrim = "root")', "(\n    subLayers = [@NEXT.usda@]\n)")
        members = {f"{place}.usda": text.replace("NEXT", str((place + 1) % count)).encode() for place in range(count)}
        assert process(archive(members), LOOK)[1]["counts"]["vertices"] == 3


# Archives whose parts do not fit together

BAD_LAYER = USDA.replace("{LINE", "(prepend references = @/etc/secret.usda@)").encode()
GOOD_LAYER = USDA.replace("{LINE", "").encode()


def _hidden_before() -> bytes:
    """A member before the first one that the directory lists. USD would read it as the first one."""
    hidden = archive({"a.usda": BAD_LAYER})
    return hidden[: hidden.index(b"PK\1\2")] + archive({"a.usda": GOOD_LAYER})


def _hidden_after() -> bytes:
    data = archive({"a.usda": GOOD_LAYER})
    hidden = archive({"b.usda": BAD_LAYER})
    at = data.index(b"PK\1\2")
    part = hidden[: hidden.index(b"PK\1\2")]
    end = data.index(b"PK\5\6")
    # The directory begins later now.
    return data[:at] + part + data[at : end + 16] + struct.pack("<I", at + len(part)) + data[end + 20 :]


def _other_name() -> bytes:
    """The header has another name than the directory."""
    return archive({"a.txt0": GOOD_LAYER}).replace(b"a.txt0", b"a.usda", 1)


def _other_size() -> bytes:
    """The directory has a smaller size than the header."""
    data = bytearray(archive({"a.usda": GOOD_LAYER + b"\n" + BAD_LAYER}))
    at = data.index(b"PK\1\2")
    struct.pack_into("<II", data, at + 20, len(GOOD_LAYER), len(GOOD_LAYER))
    return bytes(data)


def _huge() -> bytes:
    data = bytearray(archive({"a.usda": GOOD_LAYER}))
    for at in (data.index(b"PK\1\2") + 20, 18):
        struct.pack_into("<II", data, at, 2**32 - 2, 2**32 - 2)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_hidden_before(), "headers of its members and its directory differ"),
        (_hidden_after(), "content between its members|directory differ"),
        (_other_name(), "directory differ"),
        (_other_size(), "content between its members|directory differ"),
        (_huge(), "would unpack to 4294967294 bytes"),
        (archive({"a.usda": GOOD_LAYER, "b.png": archive({"c.usda": BAD_LAYER})}), "contains another archive"),
        (archive({"a.usda": GOOD_LAYER, "b.usdz": archive({"c.usdz": archive({"d": b""})})}), "another archive"),
        (archive({"a.usda": GOOD_LAYER, "b.abc": b"Ogawa\xff\0\1" + bytes(50)}), "contains another archive"),
        (archive({"a.usda": GOOD_LAYER, "/etc/b.png": png()}), "outside its own folder"),
        (archive({"a.usda": GOOD_LAYER, "b.wav": BAD_LAYER}), "refers to another file"),
    ],
)
def test_archives_whose_parts_do_not_fit(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(data)


def test_an_archive_that_fits() -> None:
    assert check(archive({"a.usda": GOOD_LAYER, "b/c.png": png(), "d.usda": GOOD_LAYER}))


# URIs of glTF


def _uri(uri: str) -> bytes:
    return glb({"images": [{"uri": uri}]})


@pytest.mark.parametrize(
    "uri",
    [
        "{file}",
        "file://{file}",
        " {file}",
        "DATA:image/png;base64,",
        " data:image/png;base64,",
        "secret.png",
        "../secret.png",
        "%2e%2e/secret.png",
        "http://127.0.0.1:9/secret.png",
        "//127.0.0.1/secret.png",
    ],
)
def test_pictures_of_gltf_files_that_are_elsewhere(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "neighbours"
    folder.mkdir()
    file = picture(folder)
    with opened_in(folder) as opened:
        described = process(_uri(uri.format(file=file)), [("describe_scene", []), LOOK[2]])[0]
    assert opened == set()
    assert described["counts"]["vertices"] == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"uri": "data:image/png;base64,"}]}, "whose size is unknown"),
        ({"images": [{"uri": "data:image/png"}]}, "data URI without data"),
        ({"images": [{"uri": "data:image/png;base64,x"}]}, "that is not base64"),
        ({"images": [{"uri": "data:text/html,%3Cb%3E"}]}, "whose size is unknown"),
        ({"buffers": [{"byteLength": 36, "uri": "data:,abc"}]}, "3 bytes of data instead of 36"),
        ({"buffers": [{"byteLength": 36, "uri": "file:///etc/passwd"}]}, "its meshes in another file"),
        ({"buffers": [{"byteLength": 36, "uri": "DATA:,abc"}]}, "its meshes in another file"),
        ({"buffers": [{"byteLength": 10**12}]}, "bytes of data instead of 1000000000000"),
        ({"nodes": [{"mesh": 0, "translation": [math.nan, 0, 0]}]}, "finite|NaN"),
        ({"nodes": [{"mesh": 0, "scale": [1, math.inf, 1]}]}, "finite|Infinity"),
    ],
)
def test_gltf_files_with_wrong_data(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        process(glb(changes), LOOK)


def test_a_data_uri_of_a_text() -> None:
    points = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    encoded = "".join(f"%{byte:02x}" for byte in points)
    for uri in (f"data:,{encoded}", f"data:x/y;base64,{base64.b64encode(points).decode()}"):
        data = glb({"buffers": [{"byteLength": 36, "uri": uri}], "bufferViews": [{"buffer": 0, "byteLength": 36}]})
        assert process(data, LOOK)[1]["counts"]["vertices"] == 3


@pytest.mark.parametrize("kind", ["data:,x", "data:x/y,BM", "data:,;base64"])
def test_data_that_a_data_uri_hides_from_the_checks(kind: str) -> None:
    """The URI is text by RFC 2397, but Blender takes what follows ";base64,"."""
    hidden = base64.b64encode(png(60_000, 60_000)).decode()
    with pytest.raises(ValueError, match="a picture"):
        process(_uri(f"{kind};base64,{hidden}"), LOOK)
    uri = f"{kind};base64,{base64.b64encode(struct.pack('<9f', *[math.nan] * 9)).decode()}"
    data = glb({"buffers": [{"byteLength": 36, "uri": uri}], "bufferViews": [{"buffer": 0, "byteLength": 36}]})
    bounds = process(data, LOOK)[1]["bounds"]
    assert all(map(math.isfinite, [*bounds["least"], *bounds["most"]]))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("start", [0, 12, 32])
def test_numbers_of_gltf_files(number: float, start: int) -> None:
    data = bytearray(glb({}))
    at = data.index(struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0))
    struct.pack_into("<f", data, at + start, number)
    with pytest.raises(ValueError, match="not a finite number"):
        process(bytes(data), LOOK)


# Numbers that are none


@pytest.mark.parametrize("place", ["vertex", "object", "motion"])
@pytest.mark.parametrize("format_", [each for each in HERE if each not in ("glb", "gltf")])
def test_coordinates_that_are_not_numbers(place: str, format_: str) -> None:
    """The exporter for glTF replaces them, and formats without motion cannot have it."""
    build()
    cube = bpy.data.objects["Würfel 立方"]
    if place == "motion":
        for index in range(3):
            curve = addon.scene_curves.find_curve(cube, "location", index)
            curve.keyframe_points[1].co = (25, math.nan)
    elif place == "vertex":
        cube.data.vertices[0].co.x = math.nan
    else:
        cube.animation_data_clear()
        cube.location.x = math.nan
    data = handler("export_bytes")(format_)
    addon.scene_conversion.empty()
    if place == "motion" and format_ in ("obj", "stl", "ply"):
        assert process(data, LOOK, {"format": format_})[1]["counts"]["vertices"] >= 490
        return
    with pytest.raises(ValueError, match="finite"):
        process(data, LOOK, {"format": format_})
    assert is_empty()


# Pictures whose header has two sizes


def exr(*windows: tuple[str, int]) -> bytes:
    """The header of an EXR picture with attributes, of which only some are windows."""
    body = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    for name, size in windows:
        value = struct.pack("<iiii", 0, 0, size - 1, size - 1)
        if name == "comment":
            value = b"dataWindow\0box2i\0" + struct.pack("<I", 16) + value
            body += b"comment\0string\0" + struct.pack("<I", len(value)) + value
        else:
            body += name.encode() + b"\0box2i\0" + struct.pack("<I", 16) + value
    return body + b"\0"


@pytest.mark.parametrize(
    "data",
    [
        exr(("comment", 1), ("dataWindow", 60_000)),
        exr(("dataWindow", 60_000), ("displayWindow", 1)),
        exr(("dataWindow", 1), ("displayWindow", 60_000)),
        b"#?RADIANCE\nCOMMENT=-Y 1 +X 1\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n",
        b"BM" + bytes(16) + struct.pack("<ii", 60_000, -60_000),
        b"II*\0"
        + struct.pack("<IH", 8, 2)
        + struct.pack("<HHII", 256, 4, 1, 60_000)
        + struct.pack("<HHII", 257, 4, 1, 60_000),
        bytes([0, 0, 2]) + bytes(9) + struct.pack("<HHB", 60_000, 60_000, 24) + bytes(9),
        b"DDS " + bytes(8) + struct.pack("<II", 60_000, 60_000),
    ],
    ids=["exr comment", "exr data", "exr display", "hdr", "bmp", "tiff", "tga", "dds"],
)
def test_the_size_of_a_picture_cannot_be_hidden(data: bytes) -> None:
    with pytest.raises(ValueError, match="a picture of 60000x60000 pixels"):
        check(glb({"images": [{"bufferView": 1}]}, data))


if SDF is None:  # A Blender that cannot write binary layers for these tests.
    del test_binary_usd_files_that_refer_to_others, test_binary_usd_files_of_an_archive_that_refer_to_files_outside
    del test_binary_usd_files_with_clips, test_textures_of_usd_files_are_not_read
    del test_textures_of_usd_files_are_read_if_they_may_be
