"""Handlers from the files and modules that a command line names."""

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import beam_bpy
from beam_bpy.beam_server import BeamServer
from beam_bpy.logger import log


class HandlersError(Exception):
    """Handlers cannot be loaded; the message is a sentence that says why, with file and line."""


def load_handlers(names: Iterable[str], server: BeamServer) -> None:
    """Let Python files, or modules, register their handlers: the function `register(server)` of each is called.

    A file is loaded as Python loads a script: modules in its folder can be imported, also those of files that were
    loaded before. It is in `sys.modules` under its own name without `.py`, or with a number after it if another module
    has that name.

    Args:
        names: paths of files, or names of modules. A name is a path if it ends in `.py` or contains a slash.
        server: the server that gets the handlers.

    Raises:
        HandlersError: one of them cannot be loaded, has no such function, or raises an exception.
    """
    for name in names:
        _register(name, _load(name), server)


def _load(name: str) -> ModuleType:
    try:
        return _load_file(Path(name).expanduser().absolute()) if _is_path(name) else importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A file may raise anything, also SystemExit.
        raise _error(name, f"cannot be loaded: {_explained(error)}{_hint(name, error)}", error) from error


def _register(name: str, module: ModuleType, server: BeamServer) -> None:
    register = getattr(module, "register", None)
    if not callable(register) or inspect.iscoroutinefunction(register):
        raise HandlersError(f"the handlers {name!r} have no function register(server)")
    try:
        register(server)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _error(name, f"cannot be registered: {_explained(error)}", error) from error


def _is_path(name: str) -> bool:
    return name.endswith(".py") or os.sep in name or (os.altsep is not None and os.altsep in name)


def _load_file(path: Path) -> ModuleType:
    stem = path.stem.replace(".", "_")  # With a dot, it would be a module in a package.
    loaded = sys.modules.get(stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded  # Another file of handlers has imported it.
    _make_importable(path.resolve().parent)
    module_name = _free_name(stem, path)
    spec = ModuleSpec(module_name, SourceFileLoader(module_name, str(path)), origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    # Before it runs: dataclasses and pickle look there for the module of a class.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _make_importable(folder: Path) -> None:
    """Add a folder to `sys.path`, behind the standard library.

    A script's folder stands before it. But then a file `queue.py` or `json.py` there would break the modules of Python
    and Blender that are imported later.
    """
    if str(folder) not in sys.path:
        standard = [index for index, entry in enumerate(sys.path) if _is_standard(entry)]
        sys.path.insert(max(standard, default=-1) + 1, str(folder))


def _free_name(stem: str, path: Path) -> str:
    name, number = stem, 1
    while _belongs_to_another(name, path):
        number += 1
        name = f"{stem}_{number}"
    return name


def _belongs_to_another(name: str, path: Path) -> bool:
    if name in sys.modules or name in sys.stdlib_module_names:
        return True
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin != str(path) and spec.origin != str(path.resolve())


def _error(name: str, problem: str, error: BaseException) -> HandlersError:
    log.debug("the traceback of the handlers %r", name, exc_info=error)
    return HandlersError(f"the handlers {name!r} {problem}")


def _explained(error: BaseException) -> str:
    """The type, the place and the message of an exception, in one line."""
    message = error.msg if isinstance(error, SyntaxError) else _text(error)
    sentence = ": ".join(part for part in (type(error).__name__ + _place(error), message) if part)
    return " ".join(sentence.split())


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - __str__ may raise anything
        return ""


def _place(error: BaseException) -> str:
    """The innermost line of the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" in {error.filename}, line {error.lineno or 1}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not (frame.filename.startswith("<") or _is_standard(frame.filename) or _is_ours(frame.filename)):
            return f" in {frame.filename}, line {frame.lineno}"
    return ""


def _hint(name: str, error: BaseException) -> str:
    is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
    return f"; to load the file {name}.py, write {name}.py" if is_missing and Path(f"{name}.py").is_file() else ""


_STANDARD = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_OURS = str(Path(beam_bpy.__file__).parent)


def _is_standard(path: str) -> bool:
    """True for the standard library, and for the folders in which Python looks for it."""
    return path.startswith(_STANDARD) and "-packages" not in path


def _is_ours(path: str) -> bool:
    return path.startswith(_OURS + os.sep)
