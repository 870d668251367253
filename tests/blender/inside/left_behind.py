"""Things in Blender that an extension may leave behind: the tests compare them before and after."""

import gc
import os
import threading
from typing import NamedTuple

import bpy
from in_blender import EXTENSION


class Traces(NamedTuple):
    """The things that exist at one time."""

    threads: list[str]
    classes: list[str]
    operators: list[str]
    files_and_sockets: int
    app_handlers: int


def traces() -> Traces:
    """The things that exist now."""
    gc.collect()
    return Traces(
        sorted(thread.name for thread in threading.enumerate()),
        registered_classes(),
        sorted(dir(bpy.ops.beam_bpy)),
        len(os.listdir("/proc/self/fd")),
        len(app_handlers()),
    )


def registered_classes() -> list[str]:
    """The names of the extension's classes that are registered with Blender."""
    bases = (bpy.types.AddonPreferences, bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.UIList)
    classes = [class_ for base in bases for class_ in base.__subclasses__()]
    return sorted(
        class_.__name__ for class_ in classes if class_.is_registered and class_.__module__.startswith(EXTENSION)
    )


def app_handlers() -> list[object]:
    """All functions in the lists of `bpy.app.handlers`."""
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers) if not name.startswith("_")]
    return [handler for handlers in lists if isinstance(handlers, list) for handler in handlers]
