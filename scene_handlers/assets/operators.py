"""Blender's operators for files, whose problems become sentences."""

from typing import Any

from .file_formats import operator


def run(identifier: str, format_: str, doing: str, **arguments: Any) -> None:
    """Run an operator that reads or writes a file.

    Args:
        identifier: the name of the operator, such as `wm.obj_import`.
        format_: the name of the format, for error messages.
        doing: what failed if the operator fails: "import this file".
        arguments: the arguments of the operator. Those that it does not have are left out.

    Raises:
        ValueError: Blender does not have the operator, or the operator fails.
    """
    found = operator(identifier, format_)
    possible = {each.identifier for each in found.get_rna_type().properties}
    try:
        result = found(**{name: value for name, value in arguments.items() if name in possible})
    except RuntimeError as error:
        said = str(error).replace(str(arguments.get("filepath")), "it")
        raise ValueError(f"Blender could not {doing}: {_sentence(said)}") from error
    if "FINISHED" not in result:
        importing = "it is damaged, or has a form that Blender does not know"
        exporting = f"the scene does not have what {format_} needs"
        raise ValueError(f"Blender could not {doing}: {importing if doing.startswith('import') else exporting}")


def _sentence(said: str) -> str:
    """Return the last line of a report of an operator, without the traceback of an importer in Python."""
    lines = [line.strip().removeprefix("Error: ") for line in said.splitlines() if line.strip()]
    if not lines:
        return "it gave no reason"
    if lines[0].startswith(("Python: Traceback", "Traceback")):
        # An importer in Python did not expect this content. Its last line names the exception.
        named = [line for line in lines if not line.startswith(("Location:", "File "))]
        return f"its content is damaged ({named[-1]})"
    return lines[0]
