"""The names of datablocks."""

from typing import Any

import bpy

from .arguments import text

_NAME: Any = bpy.types.ID.bl_rna.properties["name"]

LONGEST_NAME: int = _NAME.length_max - 1
"""The largest size of the name of a datablock, in bytes of UTF-8: 63, and 255 since Blender 5."""


def stored_name(value: Any, longest: int = LONGEST_NAME) -> str:
    """Return the name that Blender stores for a new datablock: it cuts a longer name at the end of a character.

    Args:
        value: the name.
        longest: the largest size of the name, in bytes; default that of a datablock.

    Raises:
        ValueError: `value` is not text, is empty, or contains a character that no name can have.
    """
    name = text(value)
    if not name:
        raise ValueError("a name cannot be empty")
    if "\0" in name:
        raise ValueError(f"a name cannot contain a character with the code 0: {name!r}")
    try:
        return name.encode()[:longest].decode(errors="ignore")
    except UnicodeEncodeError:
        raise ValueError(f"a name cannot contain half of a surrogate pair: {name!r}") from None
