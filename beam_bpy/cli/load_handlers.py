"""Handlers from a file or a module that the command line names."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from beam_bpy.beam_server import BeamServer


class HandlersError(Exception):
    """Handlers cannot be loaded; the message is a sentence that says why."""


def load_handlers(name: str, server: BeamServer) -> None:
    """Let a Python file, or a module by its name, register its handlers: its `register(server)` is called.

    Raises:
        HandlersError: it cannot be loaded, or has no such function.
    """
    try:
        module = _load(name)
    except (ImportError, OSError, SyntaxError) as error:
        raise HandlersError(f"the handlers {name!r} cannot be loaded: {error}") from error
    register = getattr(module, "register", None)
    if not callable(register):
        raise HandlersError(f"the handlers {name!r} have no function register(server)")
    register(server)


def _load(name: str) -> ModuleType:
    path = Path(name)
    if path.suffix != ".py":
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
