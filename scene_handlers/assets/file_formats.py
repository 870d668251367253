"""The formats of 3D files: their names, suffixes and operators, and how to recognise them by their content."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import bpy

from ..support.arguments import choice


class Format(NamedTuple):
    """A format of 3D files.

    Attributes:
        contents: the names of the contents that a file of this format can have; see `content_of`.
        importer, exporter: the names of Blender's operators.
        import_options, export_options: arguments of the operators. Those that an operator does not have are left out,
            because Blender's versions differ.
        selection: the argument with which the operator exports only the selected objects.
        animation: the argument with which the operator exports animations, or an empty string.
        missing: what to do if Blender does not have the operators.
    """

    contents: tuple[str, ...]
    importer: str
    exporter: str
    import_options: dict[str, Any]
    export_options: dict[str, Any]
    selection: str
    animation: str = ""
    missing: str = "this Blender was built without it"


_USD_IMPORT = {"import_textures_mode": "IMPORT_NONE", "import_usd_preview": True, "set_frame_range": True}
_USD_EXPORT = {"export_textures": False, "export_textures_mode": "KEEP", "allow_unicode": True}
_ADD_ON = "enable its add-on in Blender's preferences"


def _usd(contents: tuple[str, ...]) -> Format:
    return Format(
        contents,
        "wm.usd_import",
        "wm.usd_export",
        _USD_IMPORT,
        _USD_EXPORT,
        "selected_objects_only",
        "export_animation",
    )


def _gltf(name: str, container: str) -> Format:
    return Format(
        (name,),
        "import_scene.gltf",
        "export_scene.gltf",
        # Without this, the importer adds a mesh that is the shape of all bones.
        {"disable_bone_shape": True},
        {"export_format": container},
        "use_selection",
        "export_animations",
        _ADD_ON,
    )


FORMATS = {
    "glb": _gltf("glb", "GLB"),
    "gltf": _gltf("gltf", "GLTF_SEPARATE"),
    "fbx": Format(
        ("fbx",),
        "import_scene.fbx",
        "export_scene.fbx",
        {"use_image_search": False},
        {"path_mode": "COPY", "embed_textures": True, "add_leaf_bones": False},
        "use_selection",
        "bake_anim",
        _ADD_ON,
    ),
    "obj": Format(
        ("obj",),
        "wm.obj_import",
        "wm.obj_export",
        {},
        {"path_mode": "STRIP"},
        "export_selected_objects",
    ),
    "usd": _usd(("usda", "usdc")),
    "usda": _usd(("usda",)),
    "usdc": _usd(("usdc",)),
    "usdz": _usd(("usdz",))._replace(
        import_options={**_USD_IMPORT, "import_textures_mode": "IMPORT_PACK"},
        export_options={**_USD_EXPORT, "export_textures": True, "export_textures_mode": "NEW"},
    ),
    "stl": Format(("stl",), "wm.stl_import", "wm.stl_export", {}, {}, "export_selected_objects"),
    "ply": Format(("ply",), "wm.ply_import", "wm.ply_export", {}, {}, "export_selected_objects"),
    "abc": Format(
        ("abc",),
        "wm.alembic_import",
        "wm.alembic_export",
        {"as_background_job": False, "set_frame_range": True},
        {"as_background_job": False},
        "selected",
    ),
    "vrm": Format(
        ("glb",),
        "import_scene.vrm",
        "export_scene.vrm",
        {},
        {},
        "export_only_selections",
        missing="install and enable the extension VRM Add-on for Blender",
    ),
}
"""The formats by the names for the option `format`. Each name is also a suffix of file names."""


def format_named(name: Any, known: Iterable[str] = FORMATS) -> str:
    """Return the name of a format that a caller has chosen.

    Args:
        name: the name, as the caller passed it.
        known: the names of the possible formats.

    Raises:
        ValueError: there is no such format.
    """
    chosen: str = choice(name, {each: each for each in known}, "format")
    return chosen


def operator(identifier: str, format_: str) -> Any:
    """Return an operator of Blender.

    Args:
        identifier: its name, such as `wm.obj_import`.
        format_: the name of the format, for the error message.

    Raises:
        ValueError: Blender does not have it.
    """
    module, name = identifier.split(".")
    found = getattr(getattr(bpy.ops, module), name)
    try:
        found.get_rna_type()
    except KeyError:
        raise ValueError(
            f"this Blender has no {identifier} for the format {format_}: {FORMATS[format_].missing}"
        ) from None
    return found


def content_of(data: bytes) -> str | None:
    """Return which content a file has: the name of a format, or None if it is not known.

    Raises:
        ValueError: the content is that of a format that Blender cannot import.
    """
    head = data[:512]
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    for start, sentence in _REFUSED:
        if head.startswith(start):
            raise ValueError(sentence)
    stripped = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if stripped.startswith(b"{") and b'"asset"' in data:
        return "gltf"
    # A binary STL can begin with any 80 bytes, also with "solid".
    if len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        return "stl"
    if _is_text_stl(stripped, data):
        return "stl"
    return "obj" if _is_obj(data) else None


_STARTS = (
    (b"glTF", "glb"),
    (b"Kaydara FBX Binary  \0", "fbx"),
    (b"PXR-USDC", "usdc"),
    (b"#usda", "usda"),
    (b"PK\x03\x04", "usdz"),
    (b"ply\n", "ply"),
    (b"ply\r", "ply"),
    (b"Ogawa", "abc"),
    (b"BLENDER", "blend"),
    (b"\x28\xb5\x2f\xfd", "blend"),
    (b"\x1f\x8b", "blend"),
)

_REFUSED = (
    (b"; FBX", "the file is an FBX file in its text form, which Blender cannot import: export it as binary FBX"),
    (b"\x89HDF", "the file is an Alembic file in the old HDF5 form, which Blender cannot import: export it as Ogawa"),
)

_STL_LINE = re.compile(rb"^[ \t]*(facet[ \t]+normal|endsolid)\b", re.MULTILINE | re.IGNORECASE)


def _is_text_stl(stripped: bytes, data: bytes) -> bool:
    return stripped[:5].lower() == b"solid" and b"\0" not in data and _STL_LINE.search(data) is not None


_OBJ_LINE = re.compile(rb"^[ \t]*(v|vt|vn|vp|f|l|p|o|g|s|usemtl|mtllib|cstype|curv|end)[ \t]", re.MULTILINE)


def _is_obj(data: bytes) -> bool:
    return b"\0" not in data and _OBJ_LINE.search(data) is not None


def check_content(data: bytes, format_: str) -> str:
    """Check that a file has the content of its format. Return the content.

    Raises:
        ValueError: it has another one.
    """
    found = content_of(data)
    wanted = FORMATS[format_].contents
    if found in wanted:
        return found or ""
    expected = " or ".join(wanted)
    if found is None:
        raise ValueError(f"the file is not a valid file of the format {format_}: its content is not {expected}")
    raise ValueError(f"the file has the content of the format {found}, and not of {expected}: name the right format")
