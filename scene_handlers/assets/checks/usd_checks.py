"""Checks of USD files before Blender reads them: usda, usdc, and usdz, which is an archive.

https://openusd.org/release/spec_usdz.html is the specification of usdz. The binary form has no specification; its
tokens contain all paths of other files.
"""

import io
import re
import struct
import zipfile
from collections.abc import Iterator

from ..limits import Limits
from .image_sizes import check_picture

_LAYER = rb"\.(?:usd[acz]?|abc|mtlx|vdb|sdf)"
"""The suffixes of files that USD loads when it opens a file."""

_LAYER_AT_END = re.compile(_LAYER + rb"\s*(?:@|\[|:SDF_FORMAT_ARGS|\Z)", re.IGNORECASE)
_ABSOLUTE = rb"\s*(?:[/\\~].|[a-z]:[/\\]|[a-z][a-z0-9+.-]*://)"
_OUTSIDE = re.compile(rb"\A" + _ABSOLUTE + rb"|(?:\A|[/\\])\.\.(?:[/\\]|\Z)", re.IGNORECASE)
_TEXT_OUTSIDE = re.compile(rb"@" + _ABSOLUTE + rb"|@[^@\n]*\.\.[/\\]", re.IGNORECASE)
_ASSET = re.compile(rb"@@@.*?@@@|@[^@\n]*@", re.DOTALL)
_WITHOUT_FOLDERS = bytes.maketrans(b"/\\:~", b"____")
_CLIPS = b"templateAssetPath"

_HEADER = 30
"""The size of the header of a member of an archive, without the name."""

_DIRECTORY = b"PK\1\2"

_REFERENCE = "the USD file refers to another file: export it with all references in one file (flattened), or as usdz"


def checked_usd(data: bytes, limits: Limits) -> bytes:
    """Return a usda, usdc or usdz file that loads no other file: paths of pictures in it have no folders.

    Raises:
        ValueError: the file is invalid, refers to other USD files, or breaks a limit.
    """
    if data.startswith(b"PK"):
        _check_archive(data, limits)
        return data
    _check_layer(data, limits, packed=False)
    # The other paths are those of pictures, which Blender would open.
    if data.startswith(b"#usda"):
        inner = _ASSET.sub(lambda found: _inside(found[0]), data)
        # An @ in a text could hide the beginning of a path.
        if _TEXT_OUTSIDE.search(inner):
            raise ValueError(_REFERENCE)
        return inner
    return _with_inner_tokens(data, limits)


def _inside(path: bytes) -> bytes:
    return path.translate(_WITHOUT_FOLDERS)


def _with_inner_tokens(data: bytes, limits: Limits) -> bytes:
    """Return a binary layer none of whose tokens leads out of its folder. The new tokens are at its end."""
    tokens = _tokens(data, limits)
    changed = [_inside(token) if _OUTSIDE.search(token) else token for token in tokens]
    if changed == tokens:
        return data
    text = b"\0".join(changed)
    start, _size = _sections(data)["TOKENS"]
    if data[8:11] < b"\0\4\0":
        return data[: start + 16] + text + data[start + 16 + len(text) :]  # As long as before
    packed = b"\0" + _stored(text)
    section = data[start : start + 8] + struct.pack("<QQ", len(text), len(packed)) + packed
    place = _place_of_section(data, b"TOKENS")
    return data[: place + 16] + struct.pack("<qq", len(data), len(section)) + data[place + 32 :] + section


def _stored(text: bytes) -> bytes:
    """Return a block of LZ4 that stores a text as it is."""
    more = len(text) - 15
    if more < 0:
        return bytes([len(text) << 4]) + text
    return b"\xf0" + b"\xff" * (more // 255) + bytes([more % 255]) + text


def _check_layer(data: bytes, limits: Limits, *, packed: bool) -> None:
    """Check one layer. A layer of an archive may refer to other files of the archive."""
    if data.startswith(b"#usda"):
        refers = _LAYER_AT_END.search(data.rstrip()) is not None
        outside = _TEXT_OUTSIDE.search(data) is not None
        clips = _CLIPS in data
    else:
        tokens = _tokens(data, limits)
        refers = any(_LAYER_AT_END.search(token) for token in tokens)
        outside = any(_OUTSIDE.search(token) for token in tokens)
        clips = _CLIPS in tokens
    if clips or (outside if packed else refers):
        raise ValueError(_REFERENCE)


def _check_archive(data: bytes, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        if not members:
            raise ValueError("the usdz file is empty")
        # Blender would not unpack compressed members, but the limit is for all that the file contains.
        limits.check_unpacked(sum(member.file_size for member in members))
        at = 0
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError("the usdz file has a compressed or encrypted member, which the format forbids")
            start = _start_of(member, at, data)
            at = start + member.file_size
            _check_member(member, data[start:at], limits)
        if not data.startswith(_DIRECTORY, at):
            raise ValueError("the usdz file has content between its members")
    except (zipfile.BadZipFile, struct.error, EOFError, OSError, NotImplementedError, UnicodeError) as error:
        raise ValueError(f"the usdz file is damaged or cut off: {error}") from error


def _start_of(member: zipfile.ZipInfo, at: int, data: bytes) -> int:
    """Return where the content of a member starts. Its header is at this position, and agrees with the directory.

    USD reads the headers from the first byte on, and not the directory at the end, so both have to tell the same.
    """
    header = struct.unpack_from("<4s5H3I2H", data, at)
    name_size, extra_size = map(int, header[9:])
    name = data[at + _HEADER : at + _HEADER + name_size]
    if (
        member.header_offset != at
        or header[0] != b"PK\3\4"
        or header[3] != zipfile.ZIP_STORED
        or header[7:9] != (member.file_size, member.file_size)
        or name != member.orig_filename.encode("utf-8" if header[2] & 0x800 else "cp437")
    ):
        raise ValueError("the usdz file is damaged: the headers of its members and its directory differ")
    return at + _HEADER + name_size + extra_size


def _check_member(member: zipfile.ZipInfo, content: bytes, limits: Limits) -> None:
    if _OUTSIDE.search(member.filename.encode()):
        raise ValueError("the usdz file has a member outside its own folder")
    if member.is_dir():
        return
    suffix = member.filename.rpartition(".")[2].lower()
    if content.startswith((b"PK\x03\x04", b"Ogawa")):
        raise ValueError("the usdz file contains another archive")
    if content.startswith((b"#usda", b"PXR-USDC")):
        _check_layer(content, limits, packed=True)
    elif suffix not in ("m4a", "mp3", "wav"):
        check_picture(content, limits)


def _tokens(data: bytes, limits: Limits) -> list[bytes]:
    """Return the tokens of a binary layer."""
    try:
        sections = _sections(data)
        start, size = sections["TOKENS"]
        section = data[start : start + size]
        if data[8:11] < b"\0\4\0":
            return section[16:].split(b"\0")
        _count, unpacked, packed = struct.unpack_from("<QQQ", section)
        limits.check_unpacked(unpacked)
        text = _unpacked(section[24 : 24 + packed], unpacked)
    except (struct.error, IndexError, KeyError):
        raise ValueError("the USD file is damaged or cut off") from None
    return text.split(b"\0")


def _sections(data: bytes) -> dict[str, tuple[int, int]]:
    """Return the start and the size of each section of a binary layer."""
    return {name: (start, size) for name, start, size, _place in _table(data)}


def _place_of_section(data: bytes, wanted: bytes) -> int:
    """Return where the entry of a section is in the table."""
    return next(place for name, _start, _size, place in _table(data) if name == wanted.decode())


def _table(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield the name, the start and the size of each section of a binary layer, and where its entry is."""
    (table,) = struct.unpack_from("<q", data, 16)
    if not 0 < table < len(data):
        raise ValueError("the USD file is cut off")
    (count,) = struct.unpack_from("<Q", data, table)
    for index in range(min(count, 64)):
        place = table + 8 + 32 * index
        name, start, size = struct.unpack_from("<16sqq", data, place)
        if start < 0 or size < 0 or start + size > len(data):
            raise ValueError("the USD file is damaged or cut off")
        yield name.split(b"\0")[0].decode("ascii", "replace"), start, size, place


def _unpacked(data: bytes, size: int) -> bytes:
    """Unpack a section: the number of blocks, or 0 for a single block, and then the blocks."""
    if data[0] == 0:
        return _lz4(data[1:], size)
    found, at = b"", 1
    for _ in range(data[0]):
        (length,) = struct.unpack_from("<i", data, at)
        found += _lz4(data[at + 4 : at + 4 + length], size - len(found))
        at += 4 + length
    return found


def _lz4(data: bytes, most: int) -> bytes:
    """Unpack a block of LZ4, https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md."""
    out, at = bytearray(), 0
    while at < len(data):
        token = data[at]
        literals, at = _lz4_length(data, at + 1, token >> 4)
        out += data[at : at + literals]
        at += literals
        if at >= len(data):
            break
        back = data[at] | data[at + 1] << 8
        length, at = _lz4_length(data, at + 2, token & 15)
        length += 4
        if not 0 < back <= len(out) or len(out) + length > most:
            raise ValueError("the USD file is damaged: its tokens cannot be unpacked")
        # The copy can overlap its source, and then repeats it.
        source = bytes(out[-back:])
        out += (source * (length // back + 1))[:length]
    return bytes(out)


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while data[at] == 255:
            length += 255
            at += 1
        length += data[at]
        at += 1
    return length, at
