"""Handlers that replace the current file: `new_file`, and conversions of files from strangers."""

from ..support.arguments import Options, flag, options
from .file_formats import FORMATS, format_named, operator
from .opening import OPENING, check_free, check_unsaved, content, empty, opened
from .transfer import exported


def new_file(given: Options = None) -> bool:
    """Replace the current file by an empty one: one scene without objects, and Blender's own settings. Return true.

    Add-ons, preferences and handlers stay as they are.

    Args:
        given: the option discard: True: unsaved changes of the user are lost. Default False. Without a window there is
            no user, so it has no effect.

    Raises:
        ValueError: the user has unsaved changes.
        RuntimeError: a call of `process_bytes` works with a file of its own.
    """
    chosen = options(given, ("discard",))
    discard = flag(chosen.get("discard", False), "discard")
    check_free()
    check_unsaved(discard)
    empty()
    return True


def convert_bytes(data: bytes, to: str, given: Options = None) -> bytes:
    """Convert the content of a file to another format. Return the content of the new file.

    The current file is replaced by an empty one, before and after the conversion, also if it fails. Only a file that is
    refused before Blender reads it leaves the current one as it is. Nothing of a file reaches the next one. Scripts in
    files never run, and no other file is read.

    Args:
        data: the content of the file: one of the formats of `import_file`, or a .blend file.
        to: the new format; see `import_file`.
        given: the options
            format: the format of the file; default that of its content.
            animations: False: without animations. Default True.
            discard: see `new_file`.
            external: see `process_bytes`.
            max_bytes, max_unpacked, max_pixels, max_seconds: see `limits`.

    Raises:
        ValueError: the file is invalid, contains no objects, breaks a limit, or needs other files; or Blender cannot
            read or write the format; or the user has unsaved changes.
        TimeoutError: a step has ended after the time limit.
        RuntimeError: a call of `process_bytes` works with a file of its own.
    """
    chosen = options(given, (*OPENING, "animations"))
    target = format_named(to)
    animations = flag(chosen.get("animations", True), "animations")
    file = content(data, chosen)
    operator(FORMATS[target].exporter, target)
    with opened(file):
        converted = exported({"animations": animations}, target)
        file.limit.check_time()
        return converted
