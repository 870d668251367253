"""Reads what a .blend file contains, without Blender: its version, its datablocks, and the files to which it refers.

https://developer.blender.org/docs/features/core/blend_file describes the format: a header, and then blocks. The block
DNA1 describes the structs of all others.
"""

import gzip
import importlib
import io
import struct
from typing import Any, NamedTuple

from .limits import Limits

_KINDS = {
    "AC": "actions",
    "AR": "armatures",
    "BR": "brushes",
    "CA": "cameras",
    "CF": "cache_files",
    "CU": "curves",
    "CV": "hair_curves",
    "GD": "grease_pencils",
    "GP": "grease_pencils",
    "GR": "collections",
    "IM": "images",
    "KE": "shape_keys",
    "LA": "lights",
    "LI": "libraries",
    "LP": "lightprobes",
    "LS": "linestyles",
    "LT": "lattices",
    "MA": "materials",
    "MB": "metaballs",
    "MC": "movieclips",
    "ME": "meshes",
    "MS": "masks",
    "NT": "node_groups",
    "OB": "objects",
    "PA": "particles",
    "PC": "paint_curves",
    "PL": "palettes",
    "PT": "pointclouds",
    "SC": "scenes",
    "SK": "speakers",
    "SO": "sounds",
    "TE": "textures",
    "TX": "texts",
    "VF": "fonts",
    "VO": "volumes",
    "WO": "worlds",
}
"""The collections of `bpy.data` by the codes of their blocks."""

_WITH_FILES = {"LI", "IM", "SO", "VF", "MC", "CF", "VO"}
"""The kinds that have a file of their own."""

_PATH_FIELDS = ("filepath", "name")
"""The field with the path of this file. Older versions of Blender call it `name`."""

_SEQUENCE, _MOVIE, _GENERATED, _VIEWER, _TILED = range(2, 7)
"""The sources of images, besides a single file. Blender reads sequences and movies from files in any case."""

_PARTS_WITH_FILES = {
    "NodeShaderScript": ("files", ("filepath",)),
    "NodeShaderTexIES": ("files", ("filepath",)),
    "StripElem": ("files", ("filename", "name")),
    "MeshCacheModifierData": ("files", ("filepath",)),
    "CustomDataExternal": ("files", ("filepath", "filename")),
    "OceanModifierData": ("caches", ("cachepath",)),
    "FluidDomainSettings": ("caches", ("cache_directory",)),
    "PointCache": ("caches", ("path",)),
    "NodesModifierData": ("caches", ("*bake_directory", "*simulation_bake_directory")),
    "NodesModifierBake": ("caches", ("*directory",)),
    "bNode": ("nodes", ("idname",)),
}
"""The structs inside of datablocks that can name a file: the kind of reference, and the field in Blender's versions."""

_ONLY_IF = {"OceanModifierData": ("cached", 1), "PointCache": ("flag", 1 << 9)}
"""The fields of such a struct, and their bits, without which Blender does not read the file."""

_IMPORT_NODES = "GeometryNodeImport"

_PIECE = 1024 * 1024


class Reference(NamedTuple):
    """A file to which a .blend file refers.

    Attributes:
        kind: the collection of `bpy.data`, such as `libraries`. For parts of datablocks: `files`; `caches`, which need
            not exist; or `nodes`, which read a file whose path is calculated: then `path` is the name of the node.
        path: the path as it is stored. `//` is the folder of the .blend file.
        packed: whether the content is in the .blend file.
    """

    kind: str
    path: str
    packed: bool


class BlendFile(NamedTuple):
    """The content of a .blend file.

    Attributes:
        version: the version of Blender that saved the file: 4.5.
        compression: none, gzip or zstd.
        unpacked: the size after unpacking.
        names: the names of the datablocks by their collection in `bpy.data`.
        references: the files to which it refers.
        scene: the name of the scene that was the current one, or None.
    """

    version: str
    compression: str
    unpacked: int
    names: dict[str, list[str]]
    references: list[Reference]
    scene: str | None


class _Block(NamedTuple):
    code: str
    struct: int
    address: int
    start: int
    size: int


def read_blend(data: bytes, limits: Limits) -> BlendFile:
    """Return what a .blend file contains.

    Raises:
        ValueError: the file is invalid, or unpacks to more than the limit.
    """
    compression, content = unpacked(data, limits)
    try:
        version, blocks, order, pointer = _blocks(content)
        structs = _Structs(content, next(block for block in blocks if block.code == "DNA1"), order, pointer)
        return BlendFile(
            version,
            compression,
            len(content),
            _names(content, blocks, structs),
            _references(content, blocks, structs, order),
            _scene(content, blocks, structs, order),
        )
    except StopIteration:
        raise ValueError("the .blend file is cut off") from None
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise ValueError(f"the .blend file is damaged or cut off: {error}") from error


def unpacked(data: bytes, limits: Limits) -> tuple[str, bytes]:
    """Return the compression of a .blend file, and its content.

    Raises:
        ValueError: it cannot be unpacked, or unpacks to more than the limit.
    """
    if data.startswith(b"BLENDER"):
        return "none", data
    pieces, size = [], 0
    compression = "gzip" if data.startswith(b"\x1f\x8b") else "zstd"
    source = _opened(data, compression)
    try:
        while piece := source.read(_PIECE):
            size += len(piece)
            limits.check_unpacked(size)
            pieces.append(piece)
    except ValueError:
        raise
    except Exception as error:  # zstandard has exceptions of its own.
        raise ValueError(f"the .blend file is damaged or cut off: {error}") from error
    content = b"".join(pieces)
    if not content.startswith(b"BLENDER"):
        raise ValueError("the file is compressed, but it does not contain a .blend file")
    return compression, content


def _opened(data: bytes, compression: str) -> Any:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=io.BytesIO(data))
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ModuleNotFoundError:
        raise ValueError(
            "the .blend file is compressed, and this Blender has no Python module zstandard to unpack it"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)


def _blocks(content: bytes) -> tuple[str, list[_Block], str, int]:
    """Return the version, the blocks, the byte order and the size of pointers."""
    if content[7:8] in b"_-" and content[7:8]:
        pointer = 4 if content[7:8] == b"_" else 8
        order = "<" if content[8:9] == b"v" else ">"
        number, at = int(content[9:12]), 12
        head = struct.Struct(f"{order}4si{'I' if pointer == 4 else 'Q'}ii")
        large = False
    else:
        # Blender 5: the size of the header, the version of the format, and four digits.
        at, number = int(content[7:9]), int(content[13:17])
        pointer, order, large = 8, "<", True
        head = struct.Struct("<4siQqq")
    blocks: list[_Block] = []
    while True:
        fields = head.unpack_from(content, at)
        size, struct_ = (fields[3], fields[1]) if large else (fields[1], fields[3])
        at += head.size
        code = fields[0].rstrip(b"\0").decode("ascii")
        if code == "ENDB":
            return f"{number // 100}.{number % 100}", blocks, order, pointer
        if size < 0 or at + size > len(content):
            raise ValueError("a block ends after the file")
        blocks.append(_Block(code, struct_, fields[2], at, size))
        at += size


class _Structs:
    """The structs of a file.

    Attributes:
        fields: for each struct its fields, with the offset and the size of each.
        names: the name of each struct.
        sizes: the size of each struct.
    """

    def __init__(self, content: bytes, block: _Block, order: str, pointer: int) -> None:
        self._data, self._at, self._order, self._pointer = content, block.start + 4, order, pointer
        names = self._texts(b"NAME")
        types = self._texts(b"TYPE")
        self._expect(b"TLEN")
        sizes = self._numbers("H", len(types))
        self._expect(b"STRC")
        (count,) = self._numbers("I", 1)
        self.fields: list[dict[str, tuple[int, int]]] = []
        self.names: list[str] = []
        self.sizes: list[int] = []
        for _ in range(count):
            type_, fields = self._numbers("H", 2)
            self.names.append(types[type_])
            self.sizes.append(sizes[type_])
            self.fields.append(self._fields(fields, names, types, sizes))

    def _fields(
        self, count: int, names: list[str], types: list[str], sizes: tuple[int, ...]
    ) -> dict[str, tuple[int, int]]:
        found, offset = {}, 0
        for _ in range(count):
            type_, name = self._numbers("H", 2)
            size = self._pointer if names[name].startswith(("*", "(")) else sizes[type_]
            base, *lengths = names[name].replace("]", "").split("[")
            for length in lengths:
                size *= int(length)
            found[base] = (offset, size)
            offset += size
        return found

    def _expect(self, word: bytes) -> None:
        # Each part begins at a multiple of four.
        self._at = self._data.index(word, self._at, self._at + 8) + 4

    def _numbers(self, code: str, count: int) -> tuple[int, ...]:
        format_ = f"{self._order}{count}{code}"
        found = struct.unpack_from(format_, self._data, self._at)
        self._at += struct.calcsize(format_)
        return found

    def _texts(self, word: bytes) -> list[str]:
        self._expect(word)
        (count,) = self._numbers("I", 1)
        found = []
        for _ in range(count):
            end = self._data.index(b"\0", self._at)
            found.append(self._data[self._at : end].decode())
            self._at = end + 1
        return found


def _text(content: bytes, start: int, size: int) -> str:
    return content[start : start + size].split(b"\0", 1)[0].decode("utf-8", "replace")


def _place_of_names(structs: _Structs) -> tuple[int, int]:
    """Return the offset and the size of the names in datablocks, which begin with the code of the kind."""
    id_struct = next(
        fields
        for fields in structs.fields
        if "name" in fields and "us" in fields and "lib" in {key.lstrip("*") for key in fields}
    )
    return id_struct["name"]


def _scene(content: bytes, blocks: list[_Block], structs: _Structs, order: str) -> str | None:
    start, size = _place_of_names(structs)
    for block in blocks:
        fields = structs.fields[block.struct]
        if block.code == "GLOB" and "*curscene" in fields:
            offset, width = fields["*curscene"]
            at = block.start + offset
            address = int.from_bytes(content[at : at + width], "little" if order == "<" else "big")
            for each in blocks:
                if each.code == "SC" and each.address == address:
                    return _text(content, each.start + start, size)[2:]
    return None


def _names(content: bytes, blocks: list[_Block], structs: _Structs) -> dict[str, list[str]]:
    start, size = _place_of_names(structs)
    found: dict[str, list[str]] = {}
    for block in blocks:
        if block.code in _KINDS:
            found.setdefault(_KINDS[block.code], []).append(_text(content, block.start + start, size)[2:])
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def _references(content: bytes, blocks: list[_Block], structs: _Structs, order: str) -> list[Reference]:
    addresses = {block.address: block for block in blocks if block.code == "DATA"}
    found = []
    for place, block in enumerate(blocks):
        if block.code in _WITH_FILES:
            reference = _own_file(content, block, structs)
            if block.code == "IM":
                reference = reference._replace(packed=_is_held(content, place, blocks, structs, reference.packed))
            # Blender has a font of its own, which is called <builtin>.
            if reference.path and reference.path != "<builtin>":
                found.append(reference)
        elif block.code == "DATA" and structs.names[block.struct] in _PARTS_WITH_FILES:
            size = structs.sizes[block.struct]
            for start in range(block.start, block.start + block.size - size + 1, size):
                path = _path_in(content, start, block.struct, structs, addresses, order)
                if path:
                    found.append(Reference(_PARTS_WITH_FILES[structs.names[block.struct]][0], path, packed=False))
    return found


def _own_file(content: bytes, block: _Block, structs: _Structs) -> Reference:
    """Return the file of a datablock."""
    fields = structs.fields[block.struct]
    start, size = next(fields[name] for name in _PATH_FIELDS if name in fields)
    packed = any(
        any(content[block.start + fields[name][0] : block.start + sum(fields[name])])
        for name in ("*packedfile", "packedfiles")
        if name in fields
    )
    return Reference(_KINDS[block.code], _text(content, block.start + start, size), packed)


def _is_held(content: bytes, place: int, blocks: list[_Block], structs: _Structs, packed: bool) -> bool:
    """Whether Blender needs no file for a picture."""
    block = blocks[place]
    offset, width = structs.fields[block.struct]["source"]
    numbers = content[block.start + offset : block.start + offset + width]
    source = numbers[0] | numbers[-1]  # All other bytes of the number are 0, in each byte order.
    if source in (_GENERATED, _VIEWER):
        return True
    if source != _TILED:
        return packed and source not in (_SEQUENCE, _MOVIE)
    parts = []
    # The parts of a datablock follow it.
    for each in blocks[place + 1 :]:
        if each.code != "DATA":
            break
        parts.append(structs.names[each.struct])
    return packed and parts.count("ImagePackedFile") >= parts.count("ImageTile")


def _path_in(
    content: bytes, start: int, struct_: int, structs: _Structs, addresses: dict[int, _Block], order: str
) -> str:
    """Return the path in a part of a datablock, or an empty text."""

    def number(name: str) -> int:
        offset, size = fields[name]
        return int.from_bytes(content[start + offset : start + offset + size], "little" if order == "<" else "big")

    name, fields = structs.names[struct_], structs.fields[struct_]
    field = next((each for each in _PARTS_WITH_FILES[name][1] if each in fields), None)
    if field is None:
        return ""
    if name in _ONLY_IF and not number(_ONLY_IF[name][0]) & _ONLY_IF[name][1]:
        return ""
    if field.startswith("*"):
        held = addresses.get(number(field))
        return "" if held is None else _text(content, held.start, held.size)
    text = _text(content, start + fields[field][0], fields[field][1])
    return "" if name == "bNode" and not text.startswith(_IMPORT_NODES) else text
