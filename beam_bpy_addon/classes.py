"""Unregister classes that a handler or a script may have unregistered already."""

from collections.abc import Sequence
from typing import Any

import bpy


def unregister_classes(classes: Sequence[type[Any]]) -> None:
    """Unregister classes in the reverse order, except those that are not registered any more."""
    for class_ in reversed(classes):
        if class_.is_registered:
            bpy.utils.unregister_class(class_)
