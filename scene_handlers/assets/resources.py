"""Handlers that pack files into the current file, and unpack them.

Files that a .blend file of a stranger names could be secrets of this computer, or places where a file does harm. So the
handlers read and write files only below the folder of the .blend file, unless the caller allows others.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from ..support.arguments import Options, choice, flag, options
from ..support.changes import Changes, changes
from ..support.files import written
from .limits import LIMITS, Limits, limits

_KINDS = {"images": "image", "sounds": "sound", "fonts": "font", "volumes": "volume"}
"""The collections of `bpy.data` whose datablocks can be packed, and the word for one of them."""

_FOLDERS = {"images": "textures", "sounds": "sounds", "fonts": "fonts", "volumes": "volumes"}
"""The folders beside the .blend file in which Blender unpacks files."""

_BUILT_IN = "<builtin>"
"""The path of Blender's own font, which is no file."""

_VOLUME_TYPE = int.from_bytes(b"VO", "little")
"""The number of the type of volumes, which have no function to unpack them, for an operator."""

_SUFFIXES = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8", ".jpg"),
    (b"\x76\x2f\x31\x01", ".exr"),
    (b"#?RADIANCE", ".hdr"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"RIFF", ".webp"),
)
"""The first bytes of picture files. Images that were painted have no path and so no suffix."""


class _Method(NamedTuple):
    """A way to unpack.

    Attributes:
        local: True: into the folders beside the .blend file. False: to the path that was packed.
        uses: True: a file that is already there is used.
        writes: True: files are written.
    """

    local: bool
    uses: bool
    writes: bool


_METHODS = {
    "use_local": _Method(local=True, uses=True, writes=True),
    "write_local": _Method(local=True, uses=False, writes=True),
    "use_original": _Method(local=False, uses=True, writes=True),
    "write_original": _Method(local=False, uses=False, writes=True),
    "remove": _Method(local=False, uses=True, writes=False),
}


class _Packed(NamedTuple):
    """A file of a datablock.

    Attributes:
        kind: the collection in `bpy.data`.
        block: the datablock. An image of several tiles has several files.
        path: the absolute path.
        data: the content, if it is packed.
    """

    kind: str
    block: Any
    path: Path
    data: bytes = b""

    def described(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.block.name, "path": str(self.path)}


def pack(given: Options = None) -> dict[str, Any]:
    """Pack all images, sounds, fonts and volumes into the current file, so that it needs no other file for them.

    The files themselves stay as they are. The .blend file contains them when it is saved.

    Args:
        given: the options
            external: True: files outside the folder of the .blend file are read, too. Default False: the call fails if
                the current file uses such a file, or was never saved. Allow it only for files that you trust.
            skip_missing: True: files that do not exist stay as they are. Default False: the call fails.
            max_bytes: the largest size of one file; see `limits`.

    Returns:
        A map of `packed`, a list of maps of `kind` (images, sounds, fonts or volumes), `name` and `path` (absolute);
        and `remaining`, the absolute paths of the other files that the current file still needs: movies, sequences of
        images, caches, libraries, and what was skipped.

    Raises:
        ValueError: a file does not exist, is too large, or is outside the folder of the .blend file.
        OSError: a file cannot be read.
    """
    chosen = options(given, ("external", "skip_missing", "max_bytes"))
    limit = limits({name: value for name, value in chosen.items() if name in LIMITS})
    external = flag(chosen.get("external", False), "external")
    skip_missing = flag(chosen.get("skip_missing", False), "skip_missing")
    wanted = list(_unpacked())
    missing = [each for each in wanted if not each.path.exists()]
    if missing and not skip_missing:
        raise ValueError(
            f"{_listed(missing)} {'does' if len(missing) == 1 else 'do'} not exist: "
            "correct the paths, or pass the option skip_missing: true"
        )
    skipped = {each.block for each in missing}
    wanted = [each for each in wanted if each.block not in skipped]
    if not external:
        _check_inside(wanted)
    for each in wanted:
        _check_file(each, limit)
    with changes() as made:
        _pack(made, {each.block: each.kind for each in wanted})
    return {"packed": [each.described() for each in wanted], "remaining": _remaining()}


def unpack(method: str = "use_local", given: Options = None) -> list[dict[str, Any]]:
    """Write all packed files to disk, and use them from there. Undo packs them again, but leaves the files.

    Args:
        method: one of Blender's methods
            use_local: into the folders textures, sounds, fonts and volumes beside the .blend file. A file that is
                already there is used, whatever it contains.
            write_local: the same, but a file that is already there is replaced.
            use_original: to the path from which it was packed. A file that is already there is used.
            write_original: the same, but a file that is already there is replaced.
            remove: nothing is written. The file from which it was packed has to exist, and is used.
        given: the option external: True: files outside the folder of the .blend file may be used and written. Default
            False. Allow it only for files that you trust.

    Returns:
        A list of maps of `kind` (images, sounds, fonts or volumes), `name` and `path` (absolute).

    Raises:
        ValueError: the current file was never saved; two packed files have the same path; a path is outside the folder
            of the .blend file; or a packed file has no path.
        OSError: a file cannot be written.
    """
    way: _Method = choice(method, _METHODS, "method")
    chosen = options(given, ("external",))
    external = flag(chosen.get("external", False), "external")
    if way.local and not bpy.data.filepath:
        raise ValueError("the current file has never been saved, so there is no folder beside it: save it first")
    wanted = list(_packed(local=way.local))
    if not way.local and not external:
        _check_inside(wanted)
    _check_different(wanted)
    for each in wanted:
        if not way.writes and not each.path.is_file():
            raise ValueError(
                f"{_listed([each])} does not exist, so its content would be lost: choose the method use_original"
            )
    with changes() as made:
        made.set(bpy.data, "use_autopack", False)
        for each in wanted:
            if not (way.uses and each.path.exists()):
                _write(made, each)
        for block, kind in {each.block: each.kind for each in wanted}.items():
            _refer(made, kind, block, [each.path for each in wanted if each.block == block], local=way.local)
    return [each.described() for each in wanted]


# The files of the current file


def _blocks() -> Iterator[tuple[str, Any]]:
    """Yield the kind and the datablock of all that can be packed. Linked datablocks belong to another file."""
    for kind in _KINDS:
        blocks: Any = getattr(bpy.data, kind)
        for block in blocks:
            if block.library is None and not (kind == "images" and block.source not in ("FILE", "TILED", "GENERATED")):
                yield kind, block


def _unpacked() -> Iterator[_Packed]:
    """Yield the files that are not packed."""
    for kind, block in _blocks():
        is_file = block.filepath not in ("", _BUILT_IN) and not (kind == "images" and block.source == "GENERATED")
        if is_file and not _contents(kind, block):
            for path in _tiles(block, block.filepath) if kind == "images" else [block.filepath]:
                yield _Packed(kind, block, Path(bpy.path.abspath(path)))


def _packed(*, local: bool) -> Iterator[_Packed]:
    """Yield the files that are packed, with the paths at which they will be."""
    for kind, block in _blocks():
        for path, data in _contents(kind, block):
            if not local and not path:
                raise ValueError(
                    f"the {_KINDS[kind]} {block.name!r} was not packed from a file: unpack it with use_local"
                )
            target = f"//{_FOLDERS[kind]}/{_file_name(path, block, data)}" if local else path
            yield _Packed(kind, block, Path(bpy.path.abspath(target)), data)


def _contents(kind: str, block: Any) -> list[tuple[str, bytes]]:
    """Return the path and the content of each packed file of a datablock."""
    if kind == "images":
        return [(each.filepath or block.filepath, each.packed_file.data) for each in block.packed_files]
    return [(block.filepath, block.packed_file.data)] if block.packed_file else []


def _tiles(image: Any, path: str) -> list[str]:
    """Return the paths of the tiles of an image, or its only path."""
    if image.source != "TILED":
        return [path]
    numbers = [tile.number for tile in image.tiles]
    columns = [(number, (number - 1001) % 10 + 1, (number - 1001) // 10 + 1) for number in numbers]
    return [path.replace("<UDIM>", str(number)).replace("<UVTILE>", f"u{u}_v{v}") for number, u, v in columns]


def _file_name(path: str, block: Any, data: bytes) -> str:
    name = _last_part(path)
    if name:
        return name
    suffix = next((suffix for start, suffix in _SUFFIXES if data.startswith(start)), "")
    stem: str = bpy.path.clean_name(block.name)
    return stem if stem.lower().endswith(suffix) else stem + suffix


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _remaining() -> list[str]:
    """Return the paths of the files that are not packed, without those that each Blender has."""
    own = [bpy.utils.resource_path(kind) for kind in ("LOCAL", "SYSTEM")]
    paths = bpy.utils.blend_paths(absolute=True, packed=False, local=False)
    return sorted({path for path in paths if path and _BUILT_IN not in path and not _is_below(path, own)})


def _is_below(path: str, folders: list[str]) -> bool:
    return any(folder and Path(folder) in Path(path).parents for folder in folders)


# Check the files


def _check_inside(wanted: list[_Packed]) -> None:
    """Check that files are below the folder of the .blend file.

    Raises:
        ValueError: they are not, or the current file was never saved.
    """
    # A link could lead elsewhere.
    folder = Path(bpy.data.filepath).resolve().parent if bpy.data.filepath else None
    outside = [each for each in wanted if folder is None or folder not in each.path.resolve().parents]
    if outside:
        raise ValueError(
            f"{_listed(outside)} {'is' if len(outside) == 1 else 'are'} not below the folder of the current file: "
            "pass the option external: true if you trust this file"
        )


def _check_file(wanted: _Packed, limit: Limits) -> None:
    if not wanted.path.is_file():
        raise ValueError(f"{_listed([wanted])} is not a regular file")
    size = wanted.path.stat().st_size
    if size > limit.max_bytes:
        raise ValueError(f"{_listed([wanted])} has {size} bytes, and max_bytes is {limit.max_bytes}")
    try:
        with wanted.path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise type(error)(f"cannot read {_listed([wanted])}: {error.strerror}") from error


def _check_different(wanted: list[_Packed]) -> None:
    """Check that no file would overwrite another one.

    Raises:
        ValueError: two files with different contents have the same path.
    """
    seen: dict[Path, _Packed] = {}
    for each in wanted:
        other = seen.setdefault(each.path, each)
        if other.data != each.data:
            raise ValueError(
                f"{_listed([other, each])} have the same path, but different contents: change one of their paths"
            )


def _listed(wanted: list[_Packed]) -> str:
    """Return the names of files for an error message."""
    named = [f"{str(each.path)!r} of the {_KINDS[each.kind]} {each.block.name!r}" for each in wanted[:5]]
    more = [f"{len(wanted) - 5} more files"] if len(wanted) > 5 else []
    return " and ".join(named + more)


# Pack and unpack


def _pack(made: Changes, wanted: dict[Any, str]) -> None:
    """Pack the files of datablocks: volumes last, as in `_KINDS`."""
    for block, kind in wanted.items():
        made.on_undo(_use_file, kind, block)
        said = "it gave no reason"
        try:
            if kind == "volumes":
                # Only this operator packs volumes. By now, all other files are packed or missing, and it says so.
                bpy.ops.file.pack_all()
            else:
                block.pack()
        except RuntimeError as error:
            said = str(error).removeprefix("Error: ").strip()
        if not block.packed_file:
            raise OSError(f"Blender could not pack the {_KINDS[kind]} {block.name!r}: {said}")


def _use_file(kind: str, block: Any) -> None:
    """Forget the packed file of a datablock, so that it uses the one at its path."""
    if not block.packed_file:
        return
    if kind == "volumes":
        bpy.ops.file.unpack_item(method="USE_ORIGINAL", id_name=block.name, id_type=_VOLUME_TYPE)
    else:
        block.unpack(method="USE_ORIGINAL")


def _write(made: Changes, wanted: _Packed) -> None:
    """Write a packed file to its path."""
    folders = [folder for folder in wanted.path.parents if not folder.exists()]
    former = wanted.path.read_bytes() if wanted.path.is_file() else None
    with written(wanted.path) as part:
        part.write_bytes(wanted.data)
    made.on_undo(_take_back, wanted.path, former, folders)


def _take_back(path: Path, former: bytes | None, folders: list[Path]) -> None:
    if former is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(former)
    for folder in folders:
        with suppress(OSError):  # Another program may have written to it.
            folder.rmdir()


def _refer(made: Changes, kind: str, block: Any, paths: list[Path], *, local: bool) -> None:
    """Let a datablock use the files at these paths."""
    former = [each.filepath for each in block.packed_files] if kind == "images" else []
    if local:
        folder = f"//{_FOLDERS[kind]}/"
        if kind == "images":
            for each, path in zip(block.packed_files, paths, strict=True):
                each.filepath = folder + path.name
        # The path of an image of several tiles contains a word in place of their numbers.
        is_tiled = kind == "images" and block.source == "TILED"
        # If `filepath` of an image is set, Blender packs the file at the new path instead of the packed one.
        name = "filepath_raw" if kind == "images" else "filepath"
        made.set(block, name, folder + (_last_part(block.filepath) if is_tiled else paths[0].name))
    made.on_undo(_pack_again, block, former)
    _use_file(kind, block)
    if block.packed_file:
        raise OSError(f"Blender could not unpack the {_KINDS[kind]} {block.name!r}")


def _pack_again(block: Any, paths: list[str]) -> None:
    if not block.packed_file:
        # The file still exists, with the same content.
        bpy.ops.file.pack_all() if isinstance(block, bpy.types.Volume) else block.pack()
    for each, path in zip(getattr(block, "packed_files", ()), paths, strict=False):
        each.filepath = path
