"""An extension with one handler, `run_python`: it runs Python code that Erlang and Elixir send.

A caller of `run_python` can do everything that the user of this program can do. So each call fails until the user
allows it; see `permission`. `docs/run_python.md` describes the handler.

Blender's `bpy` is not needed: a Python program without it can serve the handler, too.
"""

import contextlib
import importlib.metadata
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arguments import Map

if TYPE_CHECKING:
    from beam_bpy import BeamServer

log = logging.getLogger("beam_bpy.python_handlers")


def register(server: "BeamServer | None" = None) -> None:
    """Register the handler.

    Blender calls this without a server when the user enables the extension. `serve --handlers python_handlers` calls it
    with a server, in a Python program that has the package beam-bpy.

    After an update of Beam-BPy, Blender's Python keeps its old modules until Blender ends. Then nothing is registered:
    the handler of a new version may need the new modules, and Blender would disable an extension that raises an
    exception.
    """
    if server is None:
        from . import preferences

        server = _server()
        preferences.register()
        if _core_was_updated():
            log.warning("Beam-BPy was updated: restart Blender. Until then, Python Handlers has no handler")
            return
    # If bpy is installed, code gets it. The import takes seconds, so it is not part of the first call.
    with contextlib.suppress(ModuleNotFoundError):
        import bpy  # noqa: F401
    server.expose(owner=__package__, undo=True)(_handler(server))


def unregister() -> None:
    """Undo `register`. Blender calls this when the user disables the extension."""
    from . import preferences

    _server().unregister_owner(__package__)
    preferences.unregister()


def _handler(server: "BeamServer") -> Callable[..., dict[Any, Any]]:
    # Not above: these modules need beam_bpy, and `_server` says so if it is missing.
    from . import execution, permission

    def run_python(code: str, arguments: Map = None, options: Map = None) -> dict[Any, Any]:
        """Run Python code, and return the value of its last expression and the text that it has printed.

        The call fails with `{not_allowed, Sentence}` until the user of this program allows it.

        Args:
            code: the source text. If its last statement is an expression, its value is the result; otherwise None.
            arguments: the values of variables, by their names.
            options: `max_output`, the largest number of characters of `output`; default 100000.

        Returns:
            `#{result => Term, output => Text}`.

        Raises:
            ValueError: an argument or an option cannot be used.
            ErlangError: the code has failed. The reason is `{python_error, #{type, message, traceback, output}}`.
        """
        permission.check(server)
        return execution.run(code, arguments, options, server.encoder)

    return run_python


def _core_was_updated() -> bool:
    """True if Blender has installed another version of Beam-BPy than the one that Python has imported."""
    import beam_bpy

    try:
        installed = importlib.metadata.version("beam-bpy")
    except importlib.metadata.PackageNotFoundError:  # A program for tests imports the sources.
        return False
    return getattr(beam_bpy, "__version__", None) != installed


def _server() -> "BeamServer":
    # Import it here, so that the user of a Blender without Beam-BPy sees this message and not a ModuleNotFoundError.
    try:
        from beam_bpy import get_beam_server
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "Python Handlers needs the extension Beam-BPy: install and enable it, then enable Python Handlers again"
        ) from error
    return get_beam_server()
